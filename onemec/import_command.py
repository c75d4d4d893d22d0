"""``onemec import``: values from a file into containers, the reverse of ``onemec export``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onemec.process import errors, fail, tell
from onemec.resources_command import ADMIN, CSE_ID, URL, At, Cse, CseId, Json, Originator, address, run_at
from onemec.settings import USAGE
from onemec.values import FORMATS, TIME_SERIES_INSTANCE, BadRow, NoParquet, Row, format_of, read

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from cse.client import Client, RequestFailed

_CONTAINER, _INSTANCE, _SERIES, _SERIES_INSTANCE = 3, 4, 29, 30
#: rows read at a time, rows that may wait for one sender, refused lines that are shown
_BATCH, _WAITING, _SHOWN = 256, 64, 20
#: how often a CSE that is busy is asked again, and after how long
_TRIES, _PAUSE_S = 8, 0.25

Line = tuple[int, Row | BadRow, float]


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or Parquet file; - for the standard input (with -f).")],
    into: Annotated[
        str,
        typer.Option(
            parser=address,
            metavar="ADDRESS",
            help="Below this resource; for rows without a container, the container itself.",
        ),
    ] = "-",
    strip: Annotated[
        int, typer.Option(min=0, help="Leave out so many names at the beginning of each container (the CSEBase's).")
    ] = 1,
    form: Annotated[
        str, typer.Option("--format", "-f", help="csv, ndjson or parquet; default: what the name says.")
    ] = "",
    at_a_time: Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Requests at a time.")] = 8,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    as_json: Json = False,
) -> None:
    """Import values: containers are made where they are missing, what is there already is skipped.

    Values of one container arrive in the order of the file. Run it again after an interruption: each value has a name,
    from the file or made from its line, by which it is known. The CSE gives its own creation time.
    Exit code 1: lines were refused.

    Examples: onemec import lamp.csv; onemec import day.parquet --into -/copy
    """
    chosen = form or format_of(file)
    if chosen not in FORMATS:
        fail(f"--format is one of {', '.join(FORMATS)}: the name {file} does not tell", USAGE)
    if str(file) == "-" and chosen == "parquet":
        fail("Parquet is not read from the standard input: give a file", USAGE)
    summary = Summary()

    async def work(client: Client) -> None:
        importing = _Import(client, into, strip, summary)
        try:
            await importing.run(read(chosen, file), at_a_time)
        except OSError as error:
            fail(f"{file}: {error.strerror or error}")
        except NoParquet as error:
            fail(str(error))

    try:
        run_at(At(cse, cse_id, originator), work)
    finally:
        _show(summary, as_json)
    if summary.refused:
        raise typer.Exit(1)


import_.__name__ = "import"


@dataclass(slots=True)
class Summary:
    """What came of an import.

    Attributes:
        posted: values that are new at the CSE.
        skipped: values that were there.
        made: containers that were made.
        refused: how many lines were refused.
        shown: the first of those, each with its number and the reason.
        reasons: how often each kind of reason was given.
    """

    posted: int = 0
    skipped: int = 0
    made: list[str] = field(default_factory=list)
    refused: int = 0
    shown: list[tuple[int, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def refuse(self, line: int, words: str, kind: str) -> None:
        """A line was refused."""
        self.refused += 1
        self.reasons[kind] += 1
        if len(self.shown) < _SHOWN:
            self.shown.append((line, words))


class _Import:
    """One import: a reader, and senders that each see to some of the containers.

    Args:
        client: sends.
        into: address below which everything goes.
        strip: names left out at the beginning of each container.
        summary: is kept up to date.
    """

    def __init__(self, client: Client, into: str, strip: int, summary: Summary) -> None:
        self._client, self._into, self._strip, self._summary = client, into.rstrip("/"), strip, summary
        self._ready: dict[tuple[str, bool], asyncio.Task[None]] = {}

    async def run(self, lines: Iterator[Line], at_a_time: int) -> None:
        """Send all of it.

        Raises:
            OSError, ValueError, NoParquet: of the file.
            Unreachable: nobody answers any more.
        """
        try:
            await self._run(lines, at_a_time)
        except BaseExceptionGroup as group:  # the first says what is wrong, the others follow from it
            raise group.exceptions[0] from None

    async def _run(self, lines: Iterator[Line], at_a_time: int) -> None:
        from rich.progress import Progress

        queues: list[asyncio.Queue[tuple[int, Row, str]]] = [asyncio.Queue(_WAITING) for _ in range(at_a_time)]
        places: dict[str, int] = {}
        with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
            task = progress.add_task("importing", total=1.0)
            async with asyncio.TaskGroup() as group:
                senders = [group.create_task(self._send_all(queue)) for queue in queues]
                while batch := await asyncio.to_thread(lambda: list(islice(lines, _BATCH))):
                    for number, row, part in batch:
                        if isinstance(row, BadRow):
                            self._summary.refuse(number, str(row), "bad line")
                            continue
                        to = self._place(row)
                        queue = queues[places.setdefault(to, len(places)) % at_a_time]
                        await queue.put((number, row, to))
                        self._advance(progress, task, part)
                for queue in queues:
                    await queue.join()
                for sender in senders:
                    sender.cancel()

    def _advance(self, progress: Progress, task: TaskID, part: float) -> None:
        done = self._summary.posted + self._summary.skipped
        progress.update(task, completed=part, description=f"importing, {done} values")

    def _place(self, row: Row) -> str:
        """Where a row goes: its container below ``into``, without the names that are left out."""
        names = [name for name in row.container.split("/") if name][self._strip :]
        return "/".join([self._into, *names])

    async def _send_all(self, queue: asyncio.Queue[tuple[int, Row, str]]) -> None:
        while True:
            number, row, to = await queue.get()
            await self._send(number, row, to)
            queue.task_done()

    async def _send(self, number: int, row: Row, to: str) -> None:
        from cse.client import RequestFailed
        from cse.onem2m.errors import CseError
        from cse.onem2m.status import Status

        is_series = row.kind == TIME_SERIES_INSTANCE
        attributes: dict[str, Any] = {"con": row.content, "rn": row.name or _name(number, row)}
        attributes |= {"dgt": row.generated} if is_series and row.generated else {}
        attributes |= {"cnf": row.info} if row.info and not is_series else {}
        attributes |= {"lbl": list(row.labels)} if row.labels else {}
        try:
            await self._there(to, series=is_series)
            await self._patiently(to, _SERIES_INSTANCE if is_series else _INSTANCE, attributes)
        except RequestFailed as error:
            if error.status is Status.CONFLICT:
                self._summary.skipped += 1
            else:
                self._summary.refuse(number, f"{to}: {error}", f"{int(error.status)} {error.status.name}")
        except (CseError, ValueError, TypeError) as error:
            self._summary.refuse(number, f"{to}: {error}", "bad line")
        else:
            self._summary.posted += 1

    async def _there(self, to: str, *, series: bool) -> None:
        """Return when there is a container (or timeSeries) of this address; it is looked for once."""
        making = self._ready.get((to, series))
        if making is None:
            making = self._ready[to, series] = asyncio.create_task(self._make(to, series=series))
        await asyncio.shield(making)

    async def _make(self, to: str, *, series: bool) -> None:
        from cse.client import RequestFailed
        from cse.onem2m.status import Status

        try:
            await self._client.retrieve(to)
        except RequestFailed as error:
            if error.status is not Status.NOT_FOUND or "/" not in to:
                raise
        else:
            return
        parent, _, name = to.rpartition("/")
        await self._there(parent, series=False)
        try:
            await self._client.create(parent, _SERIES if series else _CONTAINER, {"rn": name})
        except RequestFailed as refusal:
            if refusal.status is not Status.CONFLICT:
                raise
        else:
            self._summary.made.append(to)

    async def _patiently(self, to: str, kind: int, attributes: dict[str, Any]) -> None:
        """Create an instance; a CSE that has too much to do is asked again."""
        from cse.client import RequestFailed

        for attempt in range(1, _TRIES + 1):
            try:
                await self._client.create(to, kind, attributes, rcn=0)
            except RequestFailed as error:
                if attempt == _TRIES or not _is_busy(error):
                    raise
                await asyncio.sleep(_PAUSE_S * attempt)
            else:
                return


def _name(number: int, row: Row) -> str:
    """A name made from what a line says and where it stands, the same in every run."""
    said = json.dumps([row.container, row.time, row.generated, row.content], sort_keys=True)
    return f"imp-{hashlib.sha256(said.encode()).hexdigest()[:16]}-{number}"


def _is_busy(error: RequestFailed) -> bool:
    from cse.onem2m.errors import Overloaded

    return error.status is Overloaded.status


def _show(summary: Summary, as_json: bool) -> None:
    if as_json:
        shown: dict[str, Any] = {"posted": summary.posted, "skipped": summary.skipped, "containers": summary.made}
        shown |= {"refused": summary.refused, "reasons": dict(summary.reasons)}
        shown["lines"] = [{"line": number, "reason": words} for number, words in summary.shown]
        print(json.dumps(shown, indent=2))
        return
    words = f"{summary.posted} values imported"
    words += f", {summary.skipped} were there already" if summary.skipped else ""
    words += f", {len(summary.made)} containers made" if summary.made else ""
    tell(words + (f", {summary.refused} lines refused:" if summary.refused else ""))
    for number, reason in summary.shown:
        print(f"  line {number}: {reason}", file=sys.stderr)
    if summary.refused > len(summary.shown):
        counted = ", ".join(f"{count} x {kind}" for kind, count in summary.reasons.most_common())
        print(f"  and {summary.refused - len(summary.shown)} more; in all {counted}", file=sys.stderr)
