"""``onemec export``: the values below a resource, over a time range, as CSV or lines of JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from onemec.process import errors, fail
from onemec.resources_command import ADMIN, CSE_ID, URL, At, Cse, CseId, Originator, To, run_at
from onemec.settings import USAGE

if TYPE_CHECKING:
    from cse.client import Client

FORMATS = ("csv", "ndjson")
#: what holds values, the type of the values, and the root of each in an answer
_HOLDERS = {3: (4, "m2m:cin"), 29: (30, "m2m:tsi")}
_PAGE = 500
_COLUMNS = ("time", "container", "name", "content")
Row = dict[str, Any]


def export(
    to: To,
    form: Annotated[str, typer.Option("--format", "-f", help="csv or ndjson (one JSON object a line).")] = "csv",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default: the standard output.")] = None,
    since: Annotated[str, typer.Option(help="Only what was created at this UTC time or later: 20261123T080000.")] = "",
    until: Annotated[str, typer.Option(help="Only what was created before this UTC time.")] = "",
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
) -> None:
    """Export the contentInstances and timeSeriesInstances at and below a resource, oldest first.

    Examples: onemec export -/lamp > lamp.csv;
    onemec export - --since 20261123T000000 -f ndjson -o day.ndjson
    """
    if form not in FORMATS:
        fail(f"--format {form} is none of {', '.join(FORMATS)}", USAGE)
    span = {name: value for name, value in (("cra", since), ("crb", until)) if value}

    async def work(client: Client) -> None:
        count = 0
        with _Writer(form, output) as write:
            async for row in _rows(client, to, span):
                write(row)
                count += 1
        errors.print(f"{count} values exported", markup=False)

    run_at(At(cse, cse_id, originator), work)


async def _rows(client: Client, to: str, span: dict[str, str]) -> AsyncIterator[Row]:
    """The values, container by container; progress is shown where somebody looks."""
    from rich.progress import Progress

    top = await client.retrieve(to)
    places = [(to, top)] if top.get("ty") in _HOLDERS else []
    for found in await client.discover(to, types=list(_HOLDERS)):
        places.append((found, await client.retrieve(found, attributes=["ty", "cni"])))
    total = sum(place.get("cni", 0) for _, place in places)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("exporting", total=total)
        for path, place in places:
            async for row in _values(client, path, place["ty"], span):
                progress.advance(task)
                yield row


async def _values(client: Client, path: str, kind: int, span: dict[str, str]) -> AsyncIterator[Row]:
    number, root = _HOLDERS[kind]
    offset = 1
    while True:
        page = await client.retrieve(path, rcn=8, filter={"ty": [number], "lim": _PAGE, "ofst": offset, **span})
        values = page.get(root, [])
        for value in values:
            yield {"time": value["ct"], "container": path, "name": value["rn"], "content": value.get("con")}
        if len(values) < _PAGE:
            return
        offset += len(values)


class _Writer:
    """Writes rows in a format; a context, so that a file is whole or not there at all."""

    def __init__(self, form: str, output: Path | None) -> None:
        self._form, self._output = form, output
        self._temporary = output.with_name(f".{output.name}.part") if output is not None else None
        self._file: IO[str] = sys.stdout

    def __enter__(self) -> Callable[[Row], object]:
        if self._temporary is not None:
            try:
                self._file = self._temporary.open("w", encoding="utf-8", newline="")
            except OSError as error:
                fail(f"--output {self._output}: {error.strerror}")
        if self._form == "ndjson":
            return lambda row: print(json.dumps(row, ensure_ascii=False), file=self._file)
        table = csv.DictWriter(self._file, _COLUMNS)
        table.writeheader()
        return lambda row: table.writerow(row | {"content": _text(row["content"])})

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._temporary is None or self._output is None:
            return
        self._file.close()
        if kind is None:
            self._temporary.replace(self._output)
        else:
            self._temporary.unlink(missing_ok=True)


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
