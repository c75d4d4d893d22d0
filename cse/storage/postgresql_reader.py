"""The statements of the SQL engines as PostgreSQL understands them, and the connection that the tree is read over.

Labels are stored as bytes: they may hold what text of PostgreSQL cannot (NUL), and be longer than an index takes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import psycopg

from cse.onem2m.errors import InternalServerError
from cse.storage import statements as sql

#: labels up to this length, in bytes, are indexed as they are; longer ones by their hash
_LABEL_BYTES = 512
#: rows fetched at once of a statement whose reader stops early
_PAGE = 64
#: rows fetched at once when all of a table is read
_STREAMED = 5000
#: how long nothing is tried after the database could not be reached, in seconds: the loop's thread would wait for it
_PAUSE_S = 1.0

#: statements that differ in more than the form of their parameters; arrays go in binary form (%b): bytes as text take
#: thirty times as long to write
_TRANSLATED = {
    sql.SET_META: "INSERT INTO meta (name, value) VALUES (%s, %s) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    sql.SAVE_RESOURCE: "INSERT INTO resource (sequence, ri, pi, rn, ty, root, body, internal, number, next) "
    "SELECT * FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::text[], %b::int[], %b::text[], %b::bytea[], "
    "%b::bytea[], %b::int[], %b::bigint[]) ON CONFLICT (sequence) DO UPDATE SET ri = excluded.ri, pi = excluded.pi, "
    "rn = excluded.rn, ty = excluded.ty, root = excluded.root, body = excluded.body, internal = excluded.internal, "
    "number = excluded.number, next = excluded.next",
    sql.DELETE_RESOURCE: "DELETE FROM resource WHERE sequence = ANY(%b::bigint[])",
    sql.INSERT_INSTANCE: "INSERT INTO instance (id, rn, et, ty, root, body, internal) SELECT * FROM unnest("
    "%b::bigint[], %b::text[], %b::text[], %b::int[], %b::text[], %b::bytea[], %b::bytea[])",
    sql.SET_INTERNAL: "UPDATE instance SET internal = new.internal FROM unnest(%b::bytea[], %b::bigint[]) "
    "AS new (internal, id) WHERE instance.id = new.id",
    sql.INSERT_LABEL: "INSERT INTO instance_label (label, sequence, id) SELECT * FROM unnest("
    "%b::bytea[], %b::bigint[], %b::bigint[])",
    sql.INSERT_SEND: "INSERT INTO outbox (number, body) SELECT * FROM unnest(%b::bigint[], %b::bytea[])",
}
#: of these many rows are given as one array per column
_COLUMNS = frozenset(_TRANSLATED) - {sql.SET_META}
#: their readers stop early, so they are read page by page
_PAGED = frozenset({sql.DUE, sql.EARLIEST})


@cache
def translated(statement: str) -> bytes:
    """A statement of ``cse.storage.statements`` in PostgreSQL's form."""
    return (_TRANSLATED.get(statement) or statement.replace("?", "%s")).encode()


def is_lost(error: psycopg.Error) -> bool:
    """Whether an error means that the connection is gone, and not that the server refused something."""
    return error.sqlstate is None or error.sqlstate.startswith(("57P", "08"))


def label_bytes(label: str) -> bytes:
    """What stands for a label in the table; no UTF-8 starts with the byte that marks a hash."""
    text = label.encode("utf-8", "surrogatepass")
    return text if len(text) <= _LABEL_BYTES else b"\xff" + hashlib.sha256(text).digest()


def bulk(cursor: psycopg.Cursor[Any], statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a writing statement for many rows, as one where it can be."""
    if statement not in _COLUMNS:
        cursor.executemany(translated(statement), rows)
        return
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    if statement == sql.INSERT_LABEL:
        columns[0] = [label_bytes(label) for label in columns[0]]
    cursor.execute(translated(statement), columns, prepare=True)


class _Pages:
    """The rows of a statement, fetched a page at a time."""

    def __init__(self, fetch: Callable[[int], list[Any]]) -> None:
        self._fetch = fetch
        self._rows = self._all()

    def _all(self) -> Iterator[Any]:
        offset = 0
        while rows := self._fetch(offset):
            yield from rows
            offset += len(rows)
            if len(rows) < _PAGE:
                return

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """All other rows."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def close(self) -> None:
        """Nobody wants the rest."""


class PostgresReader:
    """Runs reading statements; a lost connection is made anew.

    Args:
        connect: makes a connection in autocommit mode.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._connection = connect()
        self._failed_at_s = 0.0

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Run a statement and give its rows.

        Raises:
            InternalServerError: the database cannot be reached.
        """
        if statement == sql.LABELLED:
            parameters = (label_bytes(parameters[0]),)
        text = translated(statement)
        if statement in _PAGED:
            paged = text + f" LIMIT {_PAGE} OFFSET %s".encode()
            return _Pages(lambda offset: self._run(paged, (*parameters, offset)).fetchall())
        if statement == sql.LOAD_RESOURCES:
            return self._stream(text)
        return self._run(text, parameters)

    def _stream(self, text: bytes) -> Iterator[Any]:
        """All rows of a statement that gives very many; nothing else runs meanwhile."""
        with self._connection.transaction(), self._connection.cursor("load", binary=True) as cursor:
            cursor.itersize = _STREAMED
            cursor.execute(text)
            yield from cursor

    def _run(self, text: bytes, parameters: Sequence[Any]) -> psycopg.Cursor[Any]:
        for last in (False, True):
            try:
                if self._connection.closed:
                    self._reconnect()
                return self._connection.execute(text, parameters, prepare=True, binary=True)
            except psycopg.OperationalError as error:
                if is_lost(error):
                    self._connection.close()
                if last or not is_lost(error):
                    words = " ".join(str(error).split())
                    raise InternalServerError(f"storage: the database cannot be read now ({words})") from error
        raise AssertionError("unreachable")

    def _reconnect(self) -> None:
        if time.monotonic() < self._failed_at_s + _PAUSE_S:
            raise psycopg.OperationalError("no connection")
        try:
            self._connection = self._connect()
        except psycopg.OperationalError:
            self._failed_at_s = time.monotonic()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
