"""Where a document runs: a folder of its own, and ports that are free in place of those it names."""

from __future__ import annotations

import os
import random
import re
import socket
import sys
from pathlib import Path

from tests.brokers import LOOPBACK, find_tool

ROOT = Path(__file__).resolve().parents[2]
#: what a document may use as if it stood in a checkout
_OF_THE_CHECKOUT = (
    *("examples", "compose.yaml", "docker", "Makefile", "pyproject.toml", "uv.lock", "requirements.lock", ".ci"),
)
#: below the ports that the kernel gives to outgoing connections: they are still free when somebody listens there
_FREE_RANGE = (18000, 32000)
_ADDRESS = re.compile(r"(?<![\w.-])(127\.0\.0\.1|0\.0\.0\.0|localhost|\[::1\])(:|\x22, )(\d{2,5})(?!\d)")
_PORT_OPTION = re.compile(r"(?<!\S)(-p|--port|--(?:cloud|edge|coap|adapter|mep|broker)-port)([ =])(\d{2,5})(?!\d)")
_LISTENER = re.compile(r"(?m)^(\s*(?:listener|port)\s*=?\s*)(\d{3,5})\b")
_IMPLIED = {"coap": 5683, "coaps": 5684, "mqtt": 1883, "mqtts": 8883}
_NO_PORT = re.compile(r"\b(coaps?|mqtts?)://((?:[^/\s@'\"]+@)?)(127\.0\.0\.1|localhost)(?![\w:.])")


class Ports:
    """A free port for each port that a document names, the same one each time."""

    def __init__(self) -> None:
        self._free: dict[int, int] = {}

    def free(self, documented: int) -> int:
        """The port that stands for a documented one; TCP and UDP are free."""
        if documented not in self._free:
            self._free[documented] = _free_for_both(set(self._free.values()))
        return self._free[documented]

    def rewritten(self, text: str) -> str:
        """A text with the ports that are used instead of the documented ones."""
        text = _NO_PORT.sub(lambda m: f"{m[1]}://{m[2]}{m[3]}:{_IMPLIED[m[1]]}", text)
        text = _ADDRESS.sub(lambda m: f"{m[1]}{m[2]}{self.free(int(m[3]))}", text)
        text = _LISTENER.sub(lambda m: f"{m[1]}{self.free(int(m[2]))}", text)
        return _PORT_OPTION.sub(lambda m: f"{m[1]}{m[2]}{self.free(int(m[3]))}", text)

    def as_documented(self, text: str) -> str:
        """What was printed, with the documented ports again."""
        back = {str(port): str(documented) for documented, port in self._free.items()}
        return re.sub(r"\d{4,5}", lambda m: back.get(m[0], m[0]), text)


def _free_for_both(taken: set[int]) -> int:
    while True:
        port = random.randint(*_FREE_RANGE)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((LOOPBACK, port))
                udp.bind((LOOPBACK, port))
            except OSError:
                continue
        if port not in taken:
            return port


class Place:
    """A working directory that looks like a fresh checkout after ``make setup``, with a home of its own.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.ports = Ports()
        #: the environment says where things are that a document leaves to their defaults
        self.defaults = True
        self.more_environment: dict[str, str] = {}
        self.work, self.logs, self._home = folder / "work", folder / "logs", folder / "home"
        for made in (self.work / ".venv/bin", self.logs, self._home / ".config"):
            made.mkdir(parents=True)
        for name in _OF_THE_CHECKOUT:
            (self.work / name).symlink_to(ROOT / name)
        for name, words in {"onemec": " -m onemec", "python": "", "python3": ""}.items():
            program = self.work / ".venv/bin" / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable}{words} "$@"\n')
            program.chmod(0o755)
        (self.work / ".venv/.setup-stamp").touch()  # `make up` finds everything installed
        for tool in ("mosquitto_rr", "mosquitto_pub", "mosquitto_sub"):
            (self._home / ".config" / tool).write_text(f"-p {self.ports.free(1883)}\n")

    @property
    def environment(self) -> dict[str, str]:
        """For everything that is run here: documented defaults lead to the ports that are used instead."""
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
        path = [str(self.work / ".venv/bin"), os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"]
        if postgres := find_tool("postgres"):
            path.append(str(Path(postgres).resolve().parent))
        told = {
            **kept,
            "PATH": os.pathsep.join(path),
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home / ".config"),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            "TERM": "dumb",
            "COLUMNS": "110",
            **self.more_environment,
        }
        return told | (self._default_addresses() if self.defaults else {})

    def _default_addresses(self) -> dict[str, str]:
        free, on = self.ports.free, f"{LOOPBACK}:"
        return {
            "ONEMEC_CSE": f"http://{on}{free(8080)}",
            "ONEMEC_CSE_HTTP": f"{on}{free(8080)}",
            "ONEMEC_MEP_HTTP": f"{on}{free(8090)}",
            "ONEMEC_MEP_URL": f"http://{on}{free(8090)}",
            "ONEMEC_UP_MQTT_URL": "embedded",
            "ONEMEC_UP_BROKER_PORT": str(free(1883)),
            "ONEMEC_UP_CLOUD_PORT": str(free(8080)),
            "ONEMEC_UP_EDGE_PORT": str(free(8081)),
            "ONEMEC_UP_ADAPTER_PORT": str(free(8082)),
            "ONEMEC_UP_MEP_PORT": str(free(8090)),
            "ONEMEC_UP_COAP_PORT": str(free(5683)),
        }
