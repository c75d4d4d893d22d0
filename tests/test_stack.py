"""The whole stack as `onemec up` starts it: data arrives everywhere, and everything ends when it is told to."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest

from onemec.stack.brokers import Broker, BrokerTrouble, choose_broker
from onemec.stack.parts import fleet_sizes
from onemec.stack.ports import USES, PortInUse, a_free_port, choose_ports
from tests.brokers import free_port
from tests.onemec.processes import ENVIRONMENT, Command, run, running

FREE_PORTS = [word for use in USES for word in (use.option, "0")]
PARTS = ("MEC platform", "cloud IN-CSE", "edge CSE", "Mp1 adapter", "simulated devices", "MEC application")


def check(data: Path, *options: str) -> str:
    """Run a check that has to pass; returns what it printed."""
    done = run("up", "--data", str(data), *FREE_PORTS, *options, timeout_s=110)
    logs = "".join(f"\n--- {log.name}\n{log.read_text('utf-8')[-1500:]}" for log in sorted(data.glob("logs/*.log")))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert done.stdout.splitlines()[-3:-1] == ["PASS", "everything is stopped"], done.stdout
    return done.stdout


def total(text: str) -> list[int]:
    """devices, sent, acknowledged, edge and cloud of the table's last line."""
    return [int(word) for word in re.search(r"^ *total(( +\d+){5})", text, re.MULTILINE)[1].split()]  # type: ignore[index]


@pytest.mark.stack
def test_everything_arrives_with_the_broker_of_our_own(tmp_path: Path) -> None:
    text = check(tmp_path, "--check", "8s", "--devices", "12", "--mqtt-url", "embedded")
    assert "(our own)" in text
    devices, sent, acknowledged, edge, cloud = total(text)
    assert devices == 12
    assert sent == acknowledged == edge == cloud > 12 * 6
    for part in PARTS:
        assert part in text
    for binding in ("MQTT", "CoAP", "HTTP"):
        assert re.search(rf"^ *{binding} +[1-9]", text, re.MULTILINE)
    assert re.search(r"ok +MEC app = edge +[1-9]\d* instances, 13 subscriptions", text)
    assert re.search(r"ok +AEs = app instances +12 exposed", text)
    assert re.search(r"ok +actuator obeys +[1-9]", text)


@pytest.mark.stack
def test_everything_arrives_with_mosquitto_and_once_more_in_the_same_folder(tmp_path: Path, mosquitto_url: str) -> None:
    first = check(tmp_path, "--check", "4s", "--devices", "4", "--mqtt-url", mosquitto_url)
    assert f"broker {mosquitto_url}" in first
    assert "MQTT broker" not in first
    second = check(tmp_path, "--check", "4s", "--devices", "4", "--mqtt-url", mosquitto_url)
    assert total(second)[3] == total(first)[3] + total(second)[2], "the first run's data must still be there"
    assert total(second)[3] == total(second)[4]


@pytest.mark.stack
def test_everything_arrives_although_the_cloud_is_killed(tmp_path: Path) -> None:
    text = check(
        tmp_path,
        "--check",
        "12s",
        "--kill-cloud",
        "3s:8s",
        "--devices",
        "12",
        "--mqtt-url",
        "embedded",
        "--rate",
        "2/s",
    )
    assert "the cloud IN-CSE is killed (SIGKILL)" in text
    assert "cloud away" in text
    assert total(text)[3] == total(text)[4] > 12 * 2 * 9


@pytest.mark.stack
def test_one_instance_missing_in_the_cloud_fails_the_check(tmp_path: Path) -> None:
    words = ["up", *FREE_PORTS, "--devices", "4", "--mqtt-url", "embedded", "--check", "6s", "--data", str(tmp_path)]
    with running(tmp_path, *words) as up:
        up.wait_until(lambda: "everything is up" in up.out, 60)
        cloud = re.search(r"cloud IN-CSE /id-in +(\S+)", up.out)[1]  # type: ignore[index]
        headers = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "1", "X-M2M-RVI": "3"}
        search = Request(f"{cloud}?fu=1&ty=4&lim=1", headers=headers)
        found: list[str] = []

        def one_is_there() -> list[str]:
            with urlopen(search, timeout=5) as answer:
                found[:] = json.loads(answer.read())["m2m:uril"]
            return found

        up.wait_until(one_is_there, 5)
        address = f"{cloud.rpartition('/')[0]}/{found[0]}"
        urlopen(Request(address, headers=headers, method="DELETE"), timeout=5).close()
        assert up.process.wait(60) == 1
        assert re.search(r"FAIL +cloud = edge +cse-edge/\S+: edge (\d+), cloud \d+", up.out), up.out
        assert re.search(r"ok +edge = acknowledged", up.out)
        assert re.search(r"^FAIL: cloud = edge: ", up.out, re.MULTILINE)
        assert f"data and logs are in {tmp_path}" in up.out


def started(folder: Path, *options: str) -> Command:
    """A stack that is up."""
    words = ["up", *FREE_PORTS, "--devices", "4", "--mqtt-url", "embedded", *options]
    return Command(folder, *words, TMPDIR=str(folder))


@pytest.mark.stack
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_every_part_within_ten_seconds(tmp_path: Path, number: signal.Signals) -> None:
    up = started(tmp_path)
    try:
        up.wait_until(lambda: "everything is up" in up.out, 60)
        below = up.children()
        assert len(below) >= len(PARTS) + 1
        assert up.end(number, timeout_s=10) == 0
        assert [process for process in below if process.is_running()] == []
        assert "was killed" not in up.out
        assert up.out.splitlines()[-1] == "everything is stopped"
        assert list(tmp_path.glob("onemec-*")) == [], "the temporary folder is removed"
    finally:
        up.end(signal.SIGKILL)


@pytest.mark.stack
def test_the_live_view_shows_the_stack_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "onemec", "up", *FREE_PORTS, "--devices", "4", "--mqtt-url", "embedded"]
    environment = {**ENVIRONMENT, "TERM": "xterm-256color", "TMPDIR": str(tmp_path)}
    del environment["COLUMNS"]
    up = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
    os.close(theirs)
    seen = b""
    try:
        deadline = time.monotonic() + 60
        while b"temperature-1" not in seen or b"edge CSE" not in seen.partition(b"\x1b[?1049h")[2]:
            assert time.monotonic() < deadline, seen[-3000:].decode()
            seen += _read(ours)
        os.killpg(up.pid, signal.SIGINT)
        while chunk := _read(ours):
            seen += chunk
        assert up.wait(10) == 0
    finally:
        up.kill()
        os.close(ours)
    before, view = seen.decode("utf-8", "replace").split("\x1b[?1049h")
    view, after = view.split("\x1b[?1049l")
    assert "everything is up" in before
    assert "MEC services" in view
    assert "everything is stopped" in after


def _read(terminal: int) -> bytes:
    """What a terminal shows next, nothing at its end."""
    ready, _, _ = select.select([terminal], [], [], 10)
    try:
        return os.read(terminal, 65536) if ready else b""
    except OSError:  # Linux: the other side is closed
        return b""


@pytest.mark.stack
def test_parts_do_not_outlive_a_killed_command(tmp_path: Path) -> None:
    up = started(tmp_path)
    try:
        up.wait_until(lambda: "everything is up" in up.out, 60)
        below = up.children()
        up.end(signal.SIGKILL)
        _, left = psutil.wait_procs(below, timeout=15)
        assert left == []
    finally:
        up.end(signal.SIGKILL)


@pytest.mark.stack
def test_a_part_that_dies_fails_the_check_with_its_name(tmp_path: Path) -> None:
    words = ["up", *FREE_PORTS, "--devices", "4", "--mqtt-url", "embedded", "--check", "60s", "--data", str(tmp_path)]
    with running(tmp_path, *words) as up:
        up.wait_until(lambda: "everything is up" in up.out, 60)
        adapter = next(child for child in up.children() if "adapter" in child.cmdline())
        adapter.kill()
        assert up.process.wait(20) == 1
        last = up.err.strip().splitlines()[-1]
        assert last.startswith("onemec: Mp1 adapter ended in the middle, killed by SIGKILL")
        assert not up.children()


@pytest.mark.stack
def test_a_part_that_cannot_start_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "edge.db").write_bytes(b"this is no database" * 100)
    done = run("up", *FREE_PORTS, "--mqtt-url", "embedded", "--data", str(tmp_path), "--check", "5s", timeout_s=60)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("onemec: edge CSE /id-edge ended before it was ready, exit code 1: ")
    assert "edge.db" in last
    assert "logs/edge.log" in last


# --- the pieces ------------------------------------------------------------------------------------------------------


def test_a_chosen_port_that_is_taken_is_refused_and_a_default_one_replaced() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"port {taken} is in use \(edge CSE, HTTP\).*--edge-port"):
            choose_ports({"edge": taken})
    free = free_port()
    ports = choose_ports({"edge": free, "cloud": 0})
    assert ports["edge"] == free
    assert len(set(ports.values())) == len(USES)
    with pytest.raises(PortInUse):
        choose_ports({"edge": free, "mep": free})


def test_free_ports_are_not_those_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(a_free_port() < lowest for _ in range(20))


@pytest.mark.parametrize("count", range(1, 60))
def test_every_stack_has_all_its_devices(count: int) -> None:
    sizes = fleet_sizes(count)
    assert sum(sizes.values()) == count
    assert min(sizes.values()) >= 1
    assert ("actuator" in sizes) == (count >= 4)
    assert len(sizes) == min(4, count)


async def test_a_broker_that_carries_another_stack_is_not_shared(tmp_path: Path, embedded_broker_url: str) -> None:
    url = f"{embedded_broker_url}/other-stack"
    assert await choose_broker(url) == Broker(url)
    options = ["--id", "/id-edge", "--name", "cse-edge", "--http", "off", "--mqtt", url, "--insecure-dev"]
    with running(tmp_path, "cse", *options) as cse:
        cse.wait_ready()
        with pytest.raises(BrokerTrouble, match="another CSE /id-edge"):
            await choose_broker(url)
    assert (await choose_broker("embedded")).embedded
    with pytest.raises(BrokerTrouble, match="mqtt://host:port"):
        await choose_broker("http://127.0.0.1:1883")
