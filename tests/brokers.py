"""Real MQTT brokers for tests: Mosquitto from Debian and our embedded one, each in its own process on a free port."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 20.0
MOSQUITTO_CONFIG = """\
# written by the tests; the same rules as docker/mosquitto.conf, but on loopback and in memory
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
persistence false
log_dest stderr
log_type error
log_type warning
"""

# Where Debian puts what is not on everybody's PATH, and the names under which it ships.
_NAMES = {"coap-client": ("coap-client", "coap-client-notls", "coap-client-openssl", "coap-client-gnutls")}
_PACKAGES = {
    "coap-client": "libcoap3-bin",
    "mosquitto_rr": "mosquitto-clients",
    "mosquitto_pub": "mosquitto-clients",
    "postgres": "postgresql",
}


def find_tool(name: str) -> str | None:
    """Return the path of a command, looking also where Debian keeps servers; None when it is not installed."""
    places = [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"]
    places += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    for candidate in _NAMES.get(name, (name,)):
        found = shutil.which(candidate, path=os.pathsep.join(places))
        if found:
            return found
    return None


def require_tool(name: str) -> str:
    """Return the path of a command; where it is missing the test is skipped by name, and with CI=true it fails."""
    found = find_tool(name)
    if found:
        return found
    reason = f"{name} is not installed (Debian: apt-get install {_PACKAGES.get(name, name)})"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true asks for it", pytrace=False)
    pytest.skip(reason)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of 127.0.0.1 that nobody listens on; pass SOCK_DGRAM for UDP (CoAP)."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_listener(
    port: int, process: subprocess.Popen[str], words: IO[str] | None = None, timeout_s: float = START_TIMEOUT_S
) -> None:
    """Return when something accepts on the port; fail when the process ended or took too long.

    Args:
        port: TCP port of 127.0.0.1.
        process: who is to listen there; it is ended when it does not.
        words: the file that has the process's messages; its end goes into the failure.
        timeout_s: how long to wait.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"{process.args} ended with {process.returncode}: {_last(words)}", pytrace=False)
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
            return
        time.sleep(0.02)
    stop_process(process)
    pytest.fail(f"{process.args} did not listen on port {port} within {timeout_s:.0f} s: {_last(words)}", pytrace=False)


def stop_process(process: subprocess.Popen[str], timeout_s: float = 10.0) -> int:
    """End a process that this test started, by its id, and return its exit code (SIGTERM first, then SIGKILL)."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout_s)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return process.returncode


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[str]:
    """Run Mosquitto on a free port with its own configuration file in `folder`; gives its mqtt:// URL."""
    program = require_tool("mosquitto")
    port = free_port()
    config = folder / f"mosquitto-{port}.conf"
    config.write_text(MOSQUITTO_CONFIG.format(port=port))
    with _running([program, "-c", str(config)], port) as url:
        yield url


@contextlib.contextmanager
def embedded_broker() -> Iterator[str]:
    """Run our embedded broker in its own process on a free port; gives its mqtt:// URL."""
    port = free_port()
    with _running([sys.executable, "-m", "onemec.broker", "--host", LOOPBACK, "--port", str(port)], port) as url:
        yield url


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[str]:
    # a pipe that nobody reads would fill up and stop a talkative broker, so its messages go to a file
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words, text=True)
        try:
            wait_for_listener(port, process, words)
            yield f"mqtt://{LOOPBACK}:{port}"
        finally:
            stop_process(process)


def _last(words: IO[str] | None) -> str:
    if words is None:
        return ""
    words.seek(0)
    return words.read()[-2000:].strip()
