"""Values of a resource tree as rows, in files of three formats: what ``onemec export`` writes and ``import`` reads.

A row is what a contentInstance or timeSeriesInstance holds, and where. ``encoding`` tells a text that looks like JSON
from JSON, so that what is imported is what was exported.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

FORMATS = ("csv", "ndjson", "parquet")
INSTANCE, TIME_SERIES_INSTANCE = "contentInstance", "timeSeriesInstance"
#: rows of a row group, which is what memory holds
_GROUP = 10_000
_BATCH = 1_000


class NoParquet(Exception):
    """The extra that reads and writes Parquet is not installed; the message says how to install it."""


class BadRow(Exception):
    """A line that is no row; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value.

    Attributes:
        time: when the CSE took it (ct), ``YYYYMMDDThhmmss,ffffff`` in UTC.
        container: structured address of what it is in.
        name: its resourceName.
        content: the value itself.
        kind: ``contentInstance`` or ``timeSeriesInstance``.
        generated: when it was measured (dgt), for timeSeriesInstances.
        creator: who made it, where the CSE tells.
        info: contentInfo (cnf), where it has one.
        labels: its labels.
    """

    time: str
    container: str
    name: str
    content: Any
    kind: str = INSTANCE
    generated: str = ""
    creator: str = ""
    info: str = ""
    labels: tuple[str, ...] = ()


#: columns of CSV, in their order; ``encoding`` is ``json`` where the content is no text
COLUMNS = (*(field.name for field in fields(Row)), "encoding")
#: other names that tables of others have for a column
_ALIASES = {
    "path": "container", "resource": "container", "cnt": "container", "rn": "name", "con": "content",
    "value": "content", "ct": "time", "timestamp": "time", "dgt": "generated", "cnf": "info", "lbl": "labels",
    "cr": "creator",
}  # fmt: skip


def number_of(content: object) -> float | None:
    """The number a value is or spells; None for everything else."""
    if isinstance(content, bool) or not isinstance(content, int | float | str):
        return None
    try:
        return float(content)
    except (ValueError, OverflowError):
        return None


def moment_of(timestamp: str) -> datetime | None:
    """A oneM2M timestamp as an instant; None for an empty or unreadable one."""
    text = timestamp.replace(",", ".")
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S.%f" if "." in text else "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def timestamp_of(value: object) -> str:
    """A oneM2M timestamp of one, of an ISO 8601 text or of an instant; "" of nothing.

    Raises:
        BadRow: it is no time.
    """
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        if moment_of(value) is not None:
            return value
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise BadRow(f"{value!r} is no time: write 20261123T080000 or 2026-11-23T08:00:00Z") from None
    if not isinstance(value, datetime):
        raise BadRow(f"{value!r} is no time: write 20261123T080000 or 2026-11-23T08:00:00Z")
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S,%f")


# --- writing ----------------------------------------------------------------------------------------------------------


class Writer:
    """Writes rows to a file, or to the standard output; a file is whole in the end or not there at all.

    Args:
        form: one of ``FORMATS``.
        output: the file; None for the standard output.

    Raises:
        OSError: the file cannot be written.
        NoParquet: see there.
    """

    def __init__(self, form: str, output: Path | None) -> None:
        self._output = output
        self._temporary = output.with_name(f".{output.name}.part") if output is not None else None
        self._parquet: _ParquetWriter | None = None
        self._file: IO[str] = sys.stdout
        if form == "parquet":
            to = self._temporary if self._temporary is not None else sys.stdout.buffer
            self._parquet = _ParquetWriter(to)
            self.write: Callable[[Row], object] = self._parquet.write
            return
        if self._temporary is not None:
            self._file = self._temporary.open("w", encoding="utf-8", newline="")
        if form == "ndjson":
            self.write = lambda row: print(json.dumps(_as_json(row), ensure_ascii=False), file=self._file)
        else:
            table = csv.DictWriter(self._file, COLUMNS)
            table.writeheader()
            self.write = lambda row: table.writerow(_as_csv(row))

    def close(self, *, whole: bool) -> None:
        """Put the file in its place, or take it away when it is not whole."""
        if self._parquet is not None:
            self._parquet.close()
        if self._temporary is None or self._output is None:
            self._file.flush()
            return
        if self._file is not sys.stdout:
            self._file.close()
        if whole:
            self._temporary.replace(self._output)
        else:
            self._temporary.unlink(missing_ok=True)


@contextmanager
def writing(form: str, output: Path | None) -> Iterator[Callable[[Row], object]]:
    """What writes a row; after an error there is no file.

    Raises:
        OSError: the file cannot be written.
        NoParquet: see there.
    """
    writer = Writer(form, output)
    try:
        yield writer.write
    except BaseException:
        writer.close(whole=False)
        raise
    writer.close(whole=True)


def _as_json(row: Row) -> dict[str, Any]:
    """What a line of NDJSON has: nothing that is empty."""
    return {name: value for name, value in asdict(row).items() if value not in ("", ()) or name == "content"}


def _as_csv(row: Row) -> dict[str, str]:
    is_text = isinstance(row.content, str)
    content = row.content if is_text else json.dumps(row.content, ensure_ascii=False)
    shown = {**asdict(row), "labels": " ".join(row.labels), "content": content}
    return {**shown, "encoding": "text" if is_text else "json"}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise NoParquet("Parquet needs an extra: pip install 'onemec[parquet]', or use csv or ndjson") from None
    return pyarrow, pyarrow.parquet


class _ParquetWriter:
    """Typed columns: instants, the number a value is or spells, and the value as it is."""

    def __init__(self, to: Path | IO[bytes]) -> None:
        arrow, parquet = _pyarrow()
        instant = arrow.timestamp("us", tz="UTC")
        self._arrow = arrow
        self._schema = arrow.schema(
            [
                ("time", instant),
                ("container", arrow.dictionary(arrow.int32(), arrow.string())),
                ("name", arrow.string()),
                ("value", arrow.float64()),
                ("content", arrow.string()),
                ("encoding", arrow.dictionary(arrow.int32(), arrow.string())),
                ("kind", arrow.dictionary(arrow.int32(), arrow.string())),
                ("generated", instant),
                ("creator", arrow.dictionary(arrow.int32(), arrow.string())),
                ("info", arrow.dictionary(arrow.int32(), arrow.string())),
                ("labels", arrow.list_(arrow.string())),
            ]
        )
        self._file = parquet.ParquetWriter(to, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, row: Row) -> None:
        """Keep a row, and write a group of them."""
        self._rows.append(
            {
                **_as_csv(row),
                "time": moment_of(row.time),
                "generated": moment_of(row.generated),
                "value": number_of(row.content),
                "creator": row.creator or None,
                "info": row.info or None,
                "labels": list(row.labels),
            }
        )
        if len(self._rows) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        if self._rows:
            self._flush()
        self._file.close()


# --- reading ----------------------------------------------------------------------------------------------------------


def format_of(file: Path) -> str:
    """The format that the name of a file tells; "" when it tells none."""
    return {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}.get(file.suffix.lower(), "")


def read(form: str, file: Path) -> Iterator[tuple[int, Row | BadRow, float]]:
    """The rows of a file, each with the number of its line (or row) and the part of the file read so far, 0 to 1.

    Args:
        form: one of ``FORMATS``.
        file: to read; ``-`` for the standard input, except Parquet.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file of this format.
        NoParquet: see there.
    """
    if form == "parquet":
        yield from _read_parquet(file)
        return
    size = 0 if str(file) == "-" else file.stat().st_size
    opened = sys.stdin if str(file) == "-" else file.open(encoding="utf-8", newline="")
    done_bytes = 0

    def lines() -> Iterator[str]:
        nonlocal done_bytes
        for line in opened:
            done_bytes += len(line)
            yield line

    try:
        if form == "ndjson":
            for number, line in enumerate(lines(), 1):
                if line.strip():
                    yield number, _row_of_line(line), done_bytes / size if size else 0.0
            return
        table = csv.DictReader(lines())
        _check_columns(table.fieldnames or ())
        for fields_ in table:
            yield table.line_num, _row_of(fields_), done_bytes / size if size else 0.0
    except csv.Error as error:
        raise ValueError(f"{file} is no CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}") from error
    finally:
        if opened is not sys.stdin:
            opened.close()


def _check_columns(names: object) -> None:
    known = {_ALIASES.get(name, name) for name in names} if isinstance(names, list | tuple) else set()
    if "content" not in known:
        raise ValueError("there is no column 'content' (or value, con): the first line must name the columns")


def _row_of_line(line: str) -> Row | BadRow:
    try:
        found = json.loads(line)
    except ValueError as error:
        return BadRow(f"this is no JSON: {error}")
    return _row_of(found) if isinstance(found, dict) else BadRow("this is no JSON object")


def _row_of(given: Mapping[Any, Any]) -> Row | BadRow:
    """A row of named values as somebody gave them."""
    if None in given:
        return BadRow("it has more fields than the first line names")
    values = {_ALIASES.get(name, name): value for name, value in given.items() if value is not None}
    if "content" not in values:
        return BadRow("it has no content")
    labels = values.get("labels") or ()
    try:
        return Row(
            time=timestamp_of(values.get("time")),
            container=str(values.get("container") or ""),
            name=str(values.get("name") or ""),
            content=json.loads(values["content"]) if values.get("encoding") == "json" else values["content"],
            kind=str(values.get("kind") or INSTANCE),
            generated=timestamp_of(values.get("generated")),
            creator=str(values.get("creator") or ""),
            info=str(values.get("info") or ""),
            labels=tuple(labels.split() if isinstance(labels, str) else labels),
        )
    except BadRow as error:
        return error
    except (ValueError, TypeError) as error:
        return BadRow(f"its content is no JSON, though encoding says so: {error}")


def _read_parquet(file: Path) -> Iterator[tuple[int, Row | BadRow, float]]:
    arrow, parquet = _pyarrow()
    try:
        opened = parquet.ParquetFile(file)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{file} is no Parquet file: {error}") from error
    with opened:
        names = opened.schema_arrow.names
        # "value" stands beside "content" in files of ours, and for it in files of others
        names = [name for name in names if not (name == "value" and "content" in names)]
        _check_columns(names)
        total = opened.metadata.num_rows
        number = 0
        for batch in opened.iter_batches(_BATCH, columns=names):
            for given in batch.to_pylist():
                number += 1
                yield number, _row_of(given), number / total
