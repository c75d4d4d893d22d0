"""The command `onemec` as a real process for tests: what it prints, when it is ready, how it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}


def run(*words: str, timeout_s: float = 60.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "onemec", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**ENVIRONMENT, **environment},
    )


class Command:
    """A running command whose output can be waited for.

    Args:
        folder: for its output.
        words: options.
        environment: more variables.
    """

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self.name = " ".join(words[:2])
        self._out, self._err = folder / f"{id(self)}.out", folder / f"{id(self)}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "onemec", *words],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env={**ENVIRONMENT, **environment},
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text("utf-8")

    @property
    def err(self) -> str:
        """What it has printed to stderr so far."""
        return self._err.read_text("utf-8")

    def wait_until(self, condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Return when a condition holds; fail when it does not, or when the process has ended before."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.process.poll() is not None and not condition():
                pytest.fail(f"{self.name} ended with {self.process.returncode}: {self.out}{self.err}", pytrace=False)
            if time.monotonic() > deadline:
                pytest.fail(f"{self.name}: not within {timeout_s:g} s: {self.out}{self.err}", pytrace=False)
            time.sleep(0.02)

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return when it has printed the word ready."""
        self.wait_until(lambda: "ready" in self.out.splitlines(), timeout_s)

    def children(self) -> list[psutil.Process]:
        """All processes below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 15.0) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


@contextlib.contextmanager
def running(folder: Path, *words: str, **environment: str) -> Iterator[Command]:
    """A command until the end of the block; what it started does not survive it."""
    command = Command(folder, *words, **environment)
    below: list[psutil.Process] = []
    try:
        yield command
    finally:
        below = command.children()
        if command.process.poll() is None:
            command.process.terminate()
            try:
                command.process.wait(15)
            except subprocess.TimeoutExpired:
                command.process.kill()
                command.process.wait(5)
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
