"""The systemd unit, and what a CSE tells the service manager, over a real notification socket."""

import configparser
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.main import get_command

from onemec.cli import app
from onemec.service_manager import notify, watchdog_s
from tests.brokers import require_tool

UNIT = Path(__file__).resolve().parent.parent / "deploy/systemd/onemec-cse.service"


@contextmanager
def manager(path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(60)
        yield listening


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    tool = require_tool("systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    done = subprocess.run([tool, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    done = subprocess.run(
        [tool, "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:]  # exposure 2.0 of 10 at most


def test_the_unit_starts_what_there_is_and_keeps_its_data_where_it_may_write() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    words = service["ExecStart"].split()[1:]
    command = get_command(app)
    assert words == ["cse"]
    assert "cse" in command.commands  # type: ignore[attr-defined]
    (state,) = {service["StateDirectory"]}
    named = re.findall(r"(?m)^Environment=ONEMEC_CSE_(\w+)=(.*)$", UNIT.read_text())
    options = {option.name for option in command.commands["cse"].params}  # type: ignore[attr-defined]
    assert {name.lower() for name, _ in named} <= options
    assert len(named) == 2
    assert all(f"/var/lib/{state}/" in value for _, value in named)


def test_a_service_manager_hears_ready_signs_of_life_and_stopping(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with manager(path) as listening:
        environment = {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "onemec", "cse", "--http", "127.0.0.1:0", "--insecure-dev"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            heard: list[bytes] = []
            while b"READY=1" not in heard:
                heard.append(listening.recv(100))
            listening.recv(100)
            assert listening.recv(100) == b"WATCHDOG=1", "it goes on while nothing happens"
            process.terminate()
            while (said := listening.recv(100)) != b"STOPPING=1":
                assert said == b"WATCHDOG=1"
            assert process.wait(30) == 0


def test_an_abstract_socket_is_understood_and_nobody_there_is_no_fault() -> None:
    name = f"onemec-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        assert notify("READY=1", {"NOTIFY_SOCKET": f"@{name}"})
        assert listening.recv(100) == b"READY=1"
    assert not notify("READY=1", {"NOTIFY_SOCKET": f"@{name}"})
    assert not notify("READY=1", {})


@pytest.mark.parametrize(
    ("environment", "span_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "60000000"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "17"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "18"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_signs_of_life_are_sent_by_who_is_asked(environment: dict[str, str], span_s: float) -> None:
    assert watchdog_s(environment, pid=17) == span_s
