"""A shell and a Python that stay open from block to block, so that functions and variables last as for a reader."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psutil

from tests.docs.places import Place

#: a file that is sourced says which of its lines failed; `set -E` makes that true within functions
_SHELL = """\
set -eE -o pipefail
trap 'echo "$LINENO" >> "$FAILED"' ERR
"""
_PYTHON = '''\
"""Runs files one after the other in one namespace; a file may await at its top level."""
import ast, asyncio, inspect, pathlib, sys
names, loop = {"__name__": "__main__"}, asyncio.new_event_loop()
asyncio.set_event_loop(loop)
for order in sys.stdin:
    source, done = order.split()
    code = compile(pathlib.Path(source).read_text(), source, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        loop.run_until_complete(eval(code, names))
    else:
        exec(code, names)
    print(end="", flush=True)
    pathlib.Path(done).write_text("0")
'''


@dataclass(frozen=True, slots=True)
class Ran:
    """How a block went.

    Attributes:
        status: exit code; None when it did not end in time.
        out: what it printed, errors too.
        line: of the document, where the shell says that it failed; 0 when it does not say.
    """

    status: int | None
    out: str
    line: int = 0


class Session:
    """One interpreter in the folder of a document.

    Args:
        place: where.
        command: the interpreter; it reads orders from its standard input.
        order: the order that runs a file: gets its path, that of its output and that which says it is done.
        preamble: first orders.
    """

    def __init__(
        self, place: Place, command: list[str], order: Callable[[Path, Path, Path], str], preamble: str = ""
    ) -> None:
        self._place, self._order, self._number = place, order, 0
        self._failed = place.logs / f"{Path(command[0]).name}-{id(self)}.failed"
        self._rest = (place.logs / f"{Path(command[0]).name}-{id(self)}.out").open("w+")
        self.process = subprocess.Popen(
            command,
            cwd=place.work,
            env={**place.environment, "FAILED": str(self._failed)},
            stdin=subprocess.PIPE,
            stdout=self._rest,
            stderr=self._rest,
            text=True,
            start_new_session=True,
        )
        self._tell(preamble)

    def _tell(self, text: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(text)
            self.process.stdin.flush()

    def run(self, text: str, line: int, timeout_s: float) -> Ran:
        """Run a text whose first line is this line of the document; after a failure the session is at its end."""
        self._number += 1
        stem = self._place.logs / f"{Path(self._failed).stem}-{self._number}"
        source, out, done = stem.with_suffix(".in"), stem.with_suffix(".out"), stem.with_suffix(".done")
        source.write_text("\n" * (line - 1) + text)
        begin = self._rest.seek(0, 2)
        self._tell(self._order(source, out, done))
        deadline = time.monotonic() + timeout_s
        while not done.exists() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        status = int(done.read_text() or 0) if done.exists() else self.process.poll()
        self._rest.seek(begin)
        printed = (out.read_text("utf-8", "replace") if out.exists() else "") + self._rest.read()
        failed = self._failed.read_text().split() if self._failed.exists() else []
        return Ran(status, printed, int(failed[0]) if failed else 0)

    def close(self) -> None:
        """End it and everything it started."""
        end(self.process)
        self._rest.close()


def shell(place: Place) -> Session:
    """A bash that stops at the first line that fails."""

    def order(source: Path, out: Path, done: Path) -> str:
        return f'. "{source}" > "{out}" 2>&1 < /dev/null; echo 0 > "{done}.new"; mv "{done}.new" "{done}"\n'

    return Session(place, ["bash", "--noprofile", "--norc"], order, _SHELL)


def python(place: Place) -> Session:
    """A Python whose names last from block to block."""
    return Session(place, [sys.executable, "-u", "-c", _PYTHON], lambda source, _out, done: f"{source} {done}\n")


class Background:
    """A block that runs beside the rest of its document.

    Args:
        place: where.
        name: for its messages.
        text: shell.
    """

    def __init__(self, place: Place, name: str, text: str) -> None:
        self._path = place.logs / f"background-{name}-{id(self)}"
        self._path.with_suffix(".in").write_text("set -e\n" + text)
        self._out: TextIO = self._path.open("w")
        self.process = subprocess.Popen(
            ["bash", str(self._path.with_suffix(".in"))],
            cwd=place.work,
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._out,
            start_new_session=True,
        )

    @property
    def out(self) -> str:
        """What it has printed."""
        return self._path.read_text("utf-8", "replace")

    def wait_until(self, text: str, timeout_s: float) -> bool:
        """Whether it printed something, in time and without ending before."""
        deadline = time.monotonic() + timeout_s
        while text not in self.out:
            if (self.process.poll() is not None and text not in self.out) or time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def close(self) -> None:
        """End it as Ctrl-C does, and everything below it."""
        end(self.process)
        self._out.close()


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes], patience_s: float = 20.0) -> None:
    """End a process we started with all its children: those first, politely, then whatever is left."""
    below: list[psutil.Process] = []
    first: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        below = psutil.Process(process.pid).children(recursive=True)
        # asked apart from the whole: what has ended in between has no parent to name
        first = psutil.Process(process.pid).children() if process.poll() is None else below
    for child in first:
        # what a wrapper started is told by the wrapper; make passes SIGTERM on as well
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    psutil.wait_procs(first, patience_s)
    if process.poll() is None:
        process.terminate()
    for child in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
