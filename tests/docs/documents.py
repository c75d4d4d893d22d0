"""Runs a document from its first block to its last, as a reader would, and says with file:line where it is not true."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from tests.docs.fixtures import FIXTURES
from tests.docs.markdown import CONSOLE, PYTHON, Block, DocumentError, blocks
from tests.docs.places import Place
from tests.docs.sessions import Background, Ran, Session, python, shell

_TIMEOUT_S, _READY_S = 60.0, 60.0
_GAP = re.compile(r"\.\.\.|…")
#: an answer that refuses; a document that shows one says so with `expect`
_REFUSED = re.compile(r"\"m2m:dbg\"|\"rsc\": ?[45]\d\d\d|\bTraceback \(most recent call last\)")
#: around shell that may fail, on lines of its own only where that moves no line
_MAY_FAIL = (
    "set +e; trap - ERR; ( set -e; ",
    '\n); echo "status-$?"; set -e; trap \'echo "$LINENO" >> "$FAILED"\' ERR\n',
)
_STATUS = re.compile(r"status-(\d+)\n\Z")


def run_document(path: Path, name: str, folder: Path) -> int:
    """Run every block of a document that is not skipped; returns how many.

    Args:
        path: of the document.
        name: for messages.
        folder: an empty one.

    Raises:
        DocumentError: the first thing that is not as the document says.
    """
    found = blocks(path.read_text("utf-8"), name)
    with contextlib.ExitStack() as stack:
        running = _Running(name, Place(folder), stack)
        for block in found:
            running.do(block)
    return running.count


class _Running:
    """One run of a document."""

    def __init__(self, name: str, place: Place, stack: contextlib.ExitStack) -> None:
        self._name, self._place, self._stack, self.count = name, place, stack, 0
        self._sessions: dict[str, Session] = {}
        self._beside: dict[str, Background] = {}
        self._last = ""

    def do(self, block: Block) -> None:
        """Do what one block asks for."""
        if block.skipped:
            return
        if block.file:
            self._write(block)
        elif block.is_output:
            self._compare(block.text, self._last, block.line)
        elif "with" in block.options:
            for wanted in block.options["with"].split(","):
                if wanted not in FIXTURES:
                    self._fail(block.line, f"there is no fixture {wanted!r}: use {', '.join(FIXTURES)}")
                self._stack.enter_context(FIXTURES[wanted](self._place))
        elif "stop" in block.options:
            self._beside.pop(block.options["name"]).close()
        elif "wait" in block.options:
            name, until = block.options["name"], block.options["until"]
            if not self._beside[name].wait_until(until, _READY_S):
                self._fail(block.line, f"{name} did not print {until!r}")
        elif "background" in block.options:
            self._start(block)
        elif block.is_run:
            self._run(block)

    def _write(self, block: Block) -> None:
        text = self._place.ports.rewritten(block.text)
        if block.file.endswith("mosquitto.conf") and os.geteuid() == 0:
            text = f"user root\n{text}"  # started by root it becomes somebody else, who cannot read this folder
        (self._place.work / block.file).write_text(text)

    def _start(self, block: Block) -> None:
        self.count += 1
        name = block.options.get("name", f"line-{block.line}")
        started = Background(self._place, name, self._place.ports.rewritten(block.text))
        self._beside[name] = started
        self._stack.callback(started.close)
        until = block.options.get("until", "ready")
        if not started.wait_until(until, float(block.options.get("timeout", _READY_S))):
            self._fail(block.line, f"it did not print {until!r}", started.out)
        self._last = started.out
        self._check(block, started.out)

    def _run(self, block: Block) -> None:
        self.count += 1
        if block.language in CONSOLE:
            for line, command, shown in console(block):
                out = self._ran(block, command, line)
                self._check(block, out)
                if shown:
                    self._compare(shown, out, line)
            return
        deadline = time.monotonic() + float(block.options.get("retry", 0))
        while True:
            try:
                self._check(block, self._ran(block, block.text, block.line))
            except DocumentError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def _ran(self, block: Block, text: str, line: int) -> str:
        """Run a text and return what it printed; one that may fail runs in a subshell, which is all it ends."""
        wanted = int(block.options.get("status", 0))
        may_fail = bool({"status", "retry"} & set(block.options)) and block.language not in PYTHON
        text = self._place.ports.rewritten(text)
        ran = self._session(block.language).run(
            f"{_MAY_FAIL[0]}{text}{_MAY_FAIL[1]}" if may_fail else text,
            line,
            float(block.options.get("timeout", _TIMEOUT_S)),
        )
        self._last, status = ran.out, ran.status
        if may_fail and (told := _STATUS.search(ran.out)):
            self._last, status = ran.out[: told.start()], int(told[1])
        if status != wanted:
            reason = "it did not end in time" if status is None else f"it ended with exit code {status}"
            self._fail(ran.line or _line_of(ran) or line, reason, self._last)
        return self._last

    def _session(self, language: str) -> Session:
        kind = "python" if language in PYTHON else "shell"
        if kind not in self._sessions:
            opened = python(self._place) if kind == "python" else shell(self._place)
            self._sessions[kind] = opened
            self._stack.callback(opened.close)
        return self._sessions[kind]

    def _check(self, block: Block, out: str) -> None:
        shown = self._place.ports.as_documented(out)
        for expected in block.expects:
            if expected not in shown:
                self._fail(block.line, f"its output does not contain {expected!r}", shown)
        if (refused := _REFUSED.search(shown)) and not any(_REFUSED.search(text) for text in block.expects):
            self._fail(block.line, f"it was refused ({refused[0]}) and the document does not say so", shown)

    def _compare(self, documented: str, out: str, line: int) -> None:
        shown = " ".join(self._place.ports.as_documented(out).split())
        lines = documented.rstrip().splitlines()
        for number in range(1, len(lines) + 1):
            if not re.search(_pattern("\n".join(lines[:number])), shown):
                self._fail(line + number - 1, f"it does not print {lines[number - 1].strip()!r} there", out)

    def _fail(self, line: int, reason: str, out: str = "") -> None:
        beside = "".join(f"\n--- {name}:\n{started.out[-1500:]}" for name, started in self._beside.items())
        raise DocumentError(f"{self._name}:{line}: {reason}\n{out[-3000:]}{beside}")


def console(block: Block) -> list[tuple[int, str, str]]:
    """Line, command and shown output of every ``$`` of a console block."""
    found: list[tuple[int, str, str]] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append((number, line[2:] + "\n", ""))
        elif not found:
            raise DocumentError(f"line {number}: a console block begins with '$ ' and a command")
        elif not found[-1][2] and found[-1][1].rstrip("\n").endswith("\\"):
            found[-1] = (found[-1][0], found[-1][1] + line.removeprefix("> ") + "\n", "")
        else:
            found[-1] = (found[-1][0], found[-1][1], found[-1][2] + line + "\n")
    return found


def _pattern(documented: str) -> str:
    """Shown output as a regular expression: lines may be wrapped elsewhere, ... stands for anything."""
    return ".*?".join(r"\s".join(map(re.escape, part.split())) for part in _GAP.split(documented))


def _line_of(ran: Ran) -> int:
    """The line that a Python traceback names; 0 when there is none."""
    lines = re.findall(r'File "[^"]*\.in", line (\d+)', ran.out)
    return int(lines[-1]) if lines else 0
