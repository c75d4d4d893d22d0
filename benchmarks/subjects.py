"""What is measured: a CSE with its addresses, and how one of ours is started as it is shipped (SQLite, WAL, FULL)."""

from __future__ import annotations

import http.client
import json
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.driver import Address
from benchmarks.processes import LOOPBACK, BenchError, Child, Stage, find_tool, free_port
from benchmarks.wire import AE, CONTAINER, Speaker

OURS = "onemec"
#: a CSE that somebody else started
FOREIGN = "cse"
SHIPPED = "SQLite, WAL, synchronous=FULL, answered after commit"


@dataclass(frozen=True, slots=True)
class Subject:
    """A CSE that runs.

    Attributes:
        name: short name, e.g. ``onemec`` or ``acme``.
        http: its HTTP address.
        base: name of its CSEBase.
        cse_id: its CSE-ID.
        durability: what is on disk when it answers, in words.
        coap: its CoAP address, None when there is none.
        broker: the MQTT broker it is on, None when there is none.
        broker_name: which broker that is.
        pids: its processes; empty when they are not known.
        speaker: who asks.
        another: starts one more of the same kind with an empty store; None when that cannot be done.
    """

    name: str
    http: Address
    base: str
    cse_id: str
    durability: str
    coap: Address | None = None
    broker: Address | None = None
    broker_name: str = ""
    pids: tuple[int, ...] = ()
    speaker: Speaker = field(default_factory=lambda: Speaker(f"Cbench{secrets.token_hex(3)}"))
    another: Callable[[], Subject] | None = None

    def ask(
        self, method: str, path: str, body: Any = None, ty: int = 0, originator: str = "", timeout_s: float = 60.0
    ) -> tuple[int, Any]:
        """One request outside the measurement; returns HTTP status and body.

        Raises:
            BenchError: nobody answers.
        """
        headers = {
            "X-M2M-Origin": originator or self.speaker.originator,
            "X-M2M-RI": secrets.token_hex(8),
            "X-M2M-RVI": "3",
            "Accept": "application/json",
        }
        if self.speaker.token:
            headers["Authorization"] = f"Bearer {self.speaker.token}"
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = f"application/json;ty={ty}" if ty else "application/json"
        connection = http.client.HTTPConnection(*self.http, timeout=timeout_s)
        try:
            connection.request(method, f"/{path}", payload, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(
                f"no CSE answers at http://{self.http[0]}:{self.http[1]} ({error}): start it, or correct --url"
            ) from None
        finally:
            connection.close()
        with suppress(ValueError):
            return answer.status, json.loads(content)
        return answer.status, content.decode("utf-8", "replace")

    def create(self, parent: str, ty: int, kind: str, attributes: dict[str, Any], originator: str = "") -> str:
        """Make a resource; returns its address.

        Raises:
            BenchError: the CSE refused; the message has what it said.
        """
        status, answer = self.ask("POST", parent, {kind: attributes}, ty, originator)
        if status != 201:
            raise BenchError(f"{self.name} refused to create {attributes.get('rn')} in {parent} ({status}): {answer}")
        return f"{parent}/{attributes['rn']}"

    def register(self, originator: str = "") -> str:
        """Register an AE with a name of its own; returns its address."""
        name = f"bench-{secrets.token_hex(4)}"
        attributes = {"rn": name, "api": "Nbench", "rr": False, "srv": ["3"]}
        return self.create(self.base, AE, "m2m:ae", attributes, originator)

    def container(self, parent: str, name: str = "", **attributes: Any) -> str:
        """Make a container with a name of its own; returns its address."""
        return self.create(parent, CONTAINER, "m2m:cnt", {"rn": name or f"c{secrets.token_hex(5)}", **attributes})


def running(url: str, *, originator: str, token: str, coap: str, mqtt: str) -> Subject:
    """A CSE that somebody else started.

    Args:
        url: of its HTTP binding, with the name of the CSEBase as path where that cannot be found out.
        originator: who asks; "" for a fresh AE-ID.
        token: bearer token for HTTP.
        coap: host:port, "" when it is not to be measured.
        mqtt: host:port of its broker, "" when it is not to be measured.

    Raises:
        BenchError: nobody is there, or it does not say who it is.
    """
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise BenchError(f"--url has to be an http:// URL, and {url!r} is none")
    address = (parts.hostname, parts.port or 80)
    speaker = Speaker(originator or f"Cbench{secrets.token_hex(3)}", token, f"{address[0]}:{address[1]}")
    pids = _listening(address)
    found = Subject(
        FOREIGN,
        address,
        parts.path.strip("/"),
        "",
        "as it was started",
        coap=_address("--coap", coap, 5683),
        broker=_address("--mqtt", mqtt, 1883),
        broker_name="its broker",
        pids=pids,
        speaker=speaker,
    )
    for path in (found.base or "-",):
        status, body = found.ask("GET", path)
        if status == 200 and isinstance(body, dict) and "m2m:cb" in body:
            return replace(found, base=body["m2m:cb"]["rn"], cse_id=body["m2m:cb"]["csi"])
    raise BenchError(
        f"{url} did not show its CSEBase ({status}: {body}): give its name as path (http://host:port/cse-in), and "
        "--originator and --token of somebody who may read it"
    )


def _address(option: str, text: str, port: int) -> Address | None:
    if not text:
        return None
    parts = urlsplit(text if "//" in text else f"//{text}")
    if not parts.hostname:
        raise BenchError(f"{option} has to be host:port, and {text!r} is not")
    return parts.hostname, parts.port or port


def _listening(address: Address) -> tuple[int, ...]:
    """The processes on this machine that listen at a loopback address, as far as /proc shows them to us."""
    if address[0] not in (LOOPBACK, "localhost", "::1"):
        return ()
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == address[1]:
                    inodes.add(f"socket:[{fields[9]}]")
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            if any(str(one.readlink()) in inodes for one in folder.iterdir()):
                found.append(int(folder.parent.name))
    return tuple(found)


def broker(stage: Stage) -> tuple[Address, str]:
    """Start a broker: Mosquitto where it is installed, else the embedded one; returns its address and its name."""
    port = free_port()
    if (program := find_tool("mosquitto")) is not None:
        config = stage.folder / f"mosquitto-{port}.conf"
        config.write_text(
            f"listener {port} {LOOPBACK}\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 100\n"
            "set_tcp_nodelay true\npersistence false\nlog_type none\n"
        )
        child, name = stage.start(program, "-c", str(config)), "mosquitto"
    else:
        child, name = stage.python("-m", "onemec.broker", "--host", LOOPBACK, "--port", str(port)), "embedded broker"
    child.wait_for_port(port)
    return (LOOPBACK, port), name


def ours(
    stage: Stage,
    *,
    mqtt: tuple[Address, str] | None = None,
    store: str = "",
    durability: str = SHIPPED,
    name: tuple[str, str] = ("cse-in", "/id-in"),
    port: int = 0,
    options: tuple[str, ...] = (),
) -> tuple[Subject, Child]:
    """Start ``onemec cse`` with a fresh store in the stage's folder; returns it and its process.

    Args:
        stage: ends it.
        mqtt: the broker it is to use.
        store: another store than a new SQLite file.
        durability: of that store, in words.
        name: of its CSEBase, and its CSE-ID.
        port: of its HTTP binding, 0 for a free one.
        options: more options of ``onemec cse``.
    """
    http, coap = port or free_port(), free_port()
    store = store or f"sqlite:///{stage.folder}/{secrets.token_hex(4)}.db"
    command = [
        *(sys.executable, "-m", "onemec", "cse", "--http", f"{LOOPBACK}:{http}", "--coap", f"{LOOPBACK}:{coap}"),
        *("--store", store, "--credentials", "off", "--insecure-dev", "--log-level", "error"),
        *("--name", name[0], "--id", name[1]),
        *(("--mqtt", f"mqtt://{mqtt[0][0]}:{mqtt[0][1]}") if mqtt else ("--mqtt", "off")),
        *options,
    ]
    child = stage.python(*command[1:])
    subject = Subject(
        OURS,
        (LOOPBACK, http),
        *name,
        durability,
        coap=(LOOPBACK, coap),
        broker=mqtt[0] if mqtt else None,
        broker_name=mqtt[1] if mqtt else "",
        pids=(child.pid,),
        another=lambda: ours(stage)[0],
    )
    first_answer(subject, child)
    return subject, child


def first_answer(subject: Subject, child: Child, within_s: float = 60.0) -> float:
    """Ask until the CSEBase is there; returns how long that took in seconds.

    Raises:
        BenchError: it ended, or does not answer in time.
    """
    began = time.perf_counter()
    while True:
        with suppress(BenchError):
            status, _ = subject.ask("GET", subject.base, originator="CAdmin", timeout_s=5)
            if status in (200, 403):
                return time.perf_counter() - began
        if child.process.poll() is not None:
            raise BenchError(f"{subject.name} ended with code {child.process.returncode}: {child.last_words()}")
        if time.perf_counter() - began > within_s:
            raise BenchError(f"{subject.name} did not answer in {within_s:.0f} s: {child.last_words()}")
        time.sleep(0.005)
