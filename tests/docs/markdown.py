"""The blocks of a Markdown document and what comments beside them ask for.

A comment stands on a line of its own; those of blocks stand directly before the block:

    <!-- run: with=cse -->                     start a fixture (tests/docs/fixtures.py): cse, broker, postgresql, ...
    <!-- run: skip reason="needs Docker" -->   do not run this block, and say why
    <!-- run: background name=cse -->          run it beside the rest, go on when it prints `until` (default: ready)
    <!-- run: wait name=cse until=text -->     go on when it has printed this
    <!-- run: stop name=cse -->                end it (SIGTERM), for restarts
    <!-- run: retry=30 -->                     repeat for at most 30 s until it succeeds and gives what is expected
    <!-- run: status=4 -->                     the block ends with this exit code
    <!-- run: timeout=120 -->                  seconds it may take (default: 60)
    <!-- expect: 2001 -->                      its output contains this (repeat)
    <!-- file: app.json -->                    the next block, of any language, is put into this file
    <!-- output -->                            the next block is what the last one printed; ... stands for anything
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

SHELL, PYTHON, CONSOLE = frozenset({"sh", "bash"}), frozenset({"python"}), frozenset({"console"})
RUN = SHELL | PYTHON | CONSOLE
_FENCE = re.compile(r"^( {0,3})(```+|~~~+)\s*([^\s`]*)[^`]*$")
_COMMENT = re.compile(r"^\s*<!--\s*(run|expect|file|output)\b:?\s*(.*?)\s*-->\s*$")
_LOOKS_LIKE_SHELL = re.compile(
    r"^\s*(\$ |sudo |onemec |\.venv/|curl |mosquitto|coap-client|docker |make |pip |python3? |git |export |cd |apt"
    r"|psql |pg_|createdb|systemctl |openssl |sqlite3 |helm |kubectl |examples/|echo |cat |for |while )"
)
_OPTIONS = frozenset(
    {"with", "skip", "reason", "background", "name", "until", "wait", "stop", "retry", "status", "timeout"}
)


class DocumentError(Exception):
    """A document that cannot be run as it stands; the message begins with file:line."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block or a lone comment.

    Attributes:
        line: of its first line of text (1 is the first line of the document).
        language: after the fence; "" for none; "comment" for ``run: with``, ``wait`` and ``stop``, which need none.
        text: without fences.
        options: of ``run:``.
        expects: texts of ``expect:``.
        file: of ``file:``.
        is_output: it shows what the block before it printed.
    """

    line: int
    language: str
    text: str
    options: dict[str, str] = field(default_factory=dict)
    expects: tuple[str, ...] = ()
    file: str = ""
    is_output: bool = False

    @property
    def is_run(self) -> bool:
        """Whether it is something to run."""
        return self.language in RUN and not self.file and not self.is_output

    @property
    def skipped(self) -> bool:
        """Whether a comment says that it is not run."""
        return "skip" in self.options


def blocks(text: str, name: str) -> list[Block]:
    """All blocks of a document in their order.

    Args:
        text: the document.
        name: of its file, for messages.

    Raises:
        DocumentError: a comment that is not understood, a skip without reason, or shell that says not what it is.
    """
    found: list[Block] = []
    waiting = Block(0, "", "")
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        where = f"{name}:{number}"
        if comment := _COMMENT.match(line):
            waiting = _asked(waiting, comment[1], comment[2], where)
            if {"with", "stop", "wait"} & set(waiting.options):
                found.append(replace(waiting, line=number, language="comment"))
                waiting = Block(0, "", "")
        elif fence := _FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner.strip().startswith(fence[2]) and not inner.strip().strip("`~"):
                    break
                body.append(inner[len(fence[1]) :] if inner.startswith(fence[1]) else inner)
            else:
                raise DocumentError(f"{where}: the block has no end")
            found.append(replace(waiting, line=number + 1, language=fence[3], text="\n".join(body) + "\n"))
            _check(found[-1], where)
            waiting = Block(0, "", "")
        elif line.strip():
            if waiting != Block(0, "", ""):
                raise DocumentError(f"{where}: a comment for the runner stands before text; put it before a block")
            if line.startswith("    ") and _LOOKS_LIKE_SHELL.match(line):
                raise DocumentError(f"{where}: indented shell is not run; put it between ```sh and ```")
    return found


def _asked(waiting: Block, word: str, rest: str, where: str) -> Block:
    if word == "expect":
        return replace(waiting, expects=(*waiting.expects, rest))
    if word == "file":
        return replace(waiting, file=rest)
    if word == "output":
        return replace(waiting, is_output=True)
    options = {}
    for part in shlex.split(rest):
        key, _, value = part.partition("=")
        if key not in _OPTIONS:
            raise DocumentError(f"{where}: run: {key} means nothing; there are {', '.join(sorted(_OPTIONS))}")
        options[key] = value
    return replace(waiting, options={**waiting.options, **options})


def _check(block: Block, where: str) -> None:
    if block.skipped and len(block.options.get("reason", "")) < 10:
        raise DocumentError(f'{where}: a block that is not run needs a reason="..."')
    if not block.language and not block.is_output and not block.file:
        shell = [line for line in block.text.splitlines() if _LOOKS_LIKE_SHELL.match(line)]
        if shell:
            raise DocumentError(f"{where}: {shell[0].strip()!r} looks like shell: write ```sh, or ```text if it is not")
    if block.language in {"shell", "zsh", "py", "python3", "bat"}:
        raise DocumentError(f"{where}: write ```sh, ```console or ```python, which are run")
    if block.options and not block.is_run and block.language != "comment":
        raise DocumentError(f"{where}: run: stands before a block that is not run")


def documents(root: Path) -> list[Path]:
    """README.md and everything below docs/ that is not made from code or history: what a reader may paste from.

    Args:
        root: of the repository.
    """
    made = {root / "docs/conformance.md", root / "docs/CHANGELOG.md"}
    below = [path for path in (root / "docs").rglob("*.md") if path not in made]
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted(below)]
