"""``onemec export``: the values below a resource, over a time range, as CSV, lines of JSON or Parquet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onemec.process import errors, fail
from onemec.resources_command import ADMIN, CSE_ID, URL, At, Cse, CseId, Json, Originator, To, run_at
from onemec.settings import USAGE
from onemec.values import FORMATS, INSTANCE, TIME_SERIES_INSTANCE, BadRow, NoParquet, Row, timestamp_of, writing

if TYPE_CHECKING:
    from cse.client import Client

#: what holds values, the type of the values, and what that is called
_HOLDERS = {3: (4, INSTANCE), 29: (30, TIME_SERIES_INSTANCE)}


def export(
    to: To,
    form: Annotated[
        str, typer.Option("--format", "-f", help="csv, ndjson (one JSON object a line) or parquet (typed columns).")
    ] = "csv",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default: the standard output.")] = None,
    since: Annotated[
        str, typer.Option("--from", "--since", help="Only what was created at this UTC time or later.")
    ] = "",
    until: Annotated[
        str, typer.Option("--to", "--until", help="Only what was created before this UTC time: 20261123T080000.")
    ] = "",
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    as_json: Json = False,
) -> None:
    """Export the contentInstances and timeSeriesInstances at and below a resource, oldest first.

    With --json what was done is told as JSON on the standard error, because the values may go to the standard output.

    Examples: onemec export -/lamp > lamp.csv;
    onemec export - --from 2026-11-23T00:00 --to 2026-11-24T00:00 -f parquet -o day.parquet
    """
    if form not in FORMATS:
        fail(f"--format {form} is none of {', '.join(FORMATS)}", USAGE)
    span = _span(since, until)

    async def work(client: Client) -> None:
        count = 0
        try:
            with writing(form, output) as write:
                async for row in _rows(client, to, span):
                    write(row)
                    count += 1
        except BrokenPipeError:
            raise
        except OSError as error:
            fail(f"--output {output}: {error.strerror or error}")
        except NoParquet as error:
            fail(str(error))
        if as_json:
            errors.print(f'{{"exported": {count}}}', markup=False)
        else:
            errors.print(f"{count} values exported", markup=False)

    run_at(At(cse, cse_id, originator), work)


def _span(since: str, until: str) -> tuple[str, str]:
    """From when, and until when; "" for no bound."""
    moments = []
    for option, value in (("--from", since), ("--to", until)):
        try:
            moments.append(timestamp_of(value))
        except BadRow as error:
            fail(f"{option}: {error}", USAGE)
    return moments[0], moments[1]


async def _rows(client: Client, to: str, span: tuple[str, str]) -> AsyncIterator[Row]:
    """The values, container by container; progress is shown where somebody looks."""
    from rich.progress import Progress

    from onemec.acp_sites import address_of

    top = await client.retrieve(to)
    places = [(await address_of(client, to), top)] if top.get("ty") in _HOLDERS else []
    for found in await client.discover(to, types=list(_HOLDERS)):
        places.append((found, await client.retrieve(found, attributes=["ty", "cni"])))
    total = sum(place.get("cni", 0) for _, place in places)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("exporting", total=total)
        for path, place in places:
            number, name = _HOLDERS[place["ty"]]
            async for value in client.instances(path, type=number, since=span[0], until=span[1]):
                progress.advance(task)
                yield row_of(value, path, name)


def row_of(value: dict[str, Any], path: str, kind: str) -> Row:
    """The row of an instance.

    Args:
        value: its attributes.
        path: structured address of what it is in.
        kind: the long name of its type.
    """
    return Row(
        time=str(value["ct"]),
        container=path,
        name=str(value["rn"]),
        content=value.get("con"),
        kind=kind,
        generated=str(value.get("dgt", "")),
        creator=str(value.get("cr") or ""),
        info=str(value.get("cnf", "")),
        labels=tuple(value.get("lbl") or ()),
    )
