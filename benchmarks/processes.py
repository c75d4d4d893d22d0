"""Starts what is measured, ends it by process id, and reads what it costs (processor time, resident memory)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

LOOPBACK = "127.0.0.1"
START_WITHIN_S = 60.0
#: the settings of somebody's shell would change what is measured
_FOREIGN_SETTINGS = ("ONEMEC_",)
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class BenchError(Exception):
    """Something that is needed is missing or failed; the message is one line that says what to do."""


class Child:
    """One process that was started here.

    Args:
        command: what to run.
        folder: its working directory, where its messages are kept too.
        environment: in addition to the one of this process.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        environment: dict[str, str] | None = None,
        user: dict[str, object] | None = None,
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_SETTINGS)}
        self.name = Path(command[0]).name
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=inherited | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=self._words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **(user or {}),  # type: ignore[call-overload]
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self.process.pid)

    def last_words(self) -> str:
        """The last line it said."""
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def wait_for_port(self, port: int, within_s: float = START_WITHIN_S) -> None:
        """Return when it listens.

        Raises:
            BenchError: it ended or took too long.
        """
        deadline = time.monotonic() + within_s
        while True:
            with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
                return
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended with code {self.process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not listen on port {port} in {within_s:.0f} s: {self.last_words()}")
            time.sleep(0.005)

    def wait_for_line(self, line: str, within_s: float = START_WITHIN_S) -> None:
        """Return when it has said a line.

        Raises:
            BenchError: it ended or took too long.
        """
        deadline = time.monotonic() + within_s
        while True:
            self._words.seek(0)
            if line.encode() in self._words.read().splitlines():
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not get ready: {self.last_words()}")
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait until it has; what does not end in 20 s is killed."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._words.close()


class Stage(ExitStack):
    """A temporary folder and the processes in it; all end with the block, the last started first.

    Args:
        directory: where the databases go; the disk matters. None for the system's place for temporary files.
    """

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__()
        if directory is not None and not directory.is_dir():
            raise BenchError(f"there is no directory {directory}: make it, or leave --directory out")
        self.folder = Path(tempfile.mkdtemp(prefix="onemec-bench-", dir=directory))
        self.callback(shutil.rmtree, self.folder, ignore_errors=True)

    def start(
        self,
        *command: str,
        environment: dict[str, str] | None = None,
        folder: Path | None = None,
        user: dict[str, object] | None = None,
        ends_by: signal.Signals = signal.SIGTERM,
    ) -> Child:
        """Run a command until the end of the block."""
        child = Child(command, folder or self.folder, environment=environment, user=user)
        self.callback(child.stop, ends_by)
        return child

    def python(self, *arguments: str) -> Child:
        """Run this Python until the end of the block."""
        return self.start(sys.executable, *arguments, environment={"PYTHONPATH": python_path()})


def python_path() -> str:
    """Where this package was found, so that a child that runs elsewhere finds the same one."""
    here = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH", "")])])


def find_tool(name: str) -> str | None:
    """The path of a command, looking also where Debian keeps servers; None when it is not installed."""
    places = [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"]
    places += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    return shutil.which(name, path=os.pathsep.join(places))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def with_children(pids: Iterable[int]) -> list[int]:
    """The processes and all that they started."""
    found, waiting = [], list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time, user and system, that the processes used so far; 0.0 where the system has no /proc."""
    total = 0
    for pid in with_children(pids):
        with suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def resident_mb(pids: Iterable[int]) -> float:
    """Resident memory of the processes in MB (10^6 bytes); 0.0 where the system has no /proc."""
    pages = 0
    for pid in with_children(pids):
        with suppress(OSError, IndexError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else 0.0
