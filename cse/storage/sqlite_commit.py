"""Group commit into SQLite: rows are written on the loop's thread, only the COMMIT waits for the disk elsewhere.

The COMMIT runs with the interpreter lock released, which is why inserting in the other thread would gain nothing
(docs/adr/0001).
"""

from __future__ import annotations

import logging
import sqlite3
import time

from cse.storage import statements as sql
from cse.storage.ballast import Ballast
from cse.storage.commit import Changes, GroupCommit, running_loop
from cse.storage.garbage import Garbage
from cse.storage.group import Group

_LOG = logging.getLogger(__name__)

#: how long a group waits for a lock that another program holds on the database, in seconds
_LOCKED_S = 2.0
_LOCKED_PAUSE_S = 0.01
#: a disk with less room than this is full
_LEAST_FREE_BYTES = 128 << 10


class SqliteCommit(GroupCommit):
    """Makes groups durable in an SQLite database.

    Args:
        connection: for writing; used by this class only.
        changes: told what became of each group.
        ballast: released when the disk is full.
        garbage: ranges of instances to delete bit by bit.
        limit: most change sets in a group.
    """

    def __init__(
        self, connection: sqlite3.Connection, changes: Changes, ballast: Ballast, garbage: Garbage, limit: int
    ) -> None:
        self._connection = connection
        self._ballast = ballast
        self._locked_since = 0.0
        super().__init__(changes, garbage, limit)

    def _write(self, group: Group) -> bool:
        if not self._open_transaction():
            return False
        group.write(self._connection.executemany)
        if group.next_number != self._saved_number:
            self._connection.execute(sql.SET_META, ("next_number", str(group.next_number)))
        return True

    def _open_transaction(self) -> bool:
        """Begin; returns False when another program holds a lock and this will be tried again."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            now = time.monotonic()
            if (
                getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY
                or 0 < self._locked_since < now - _LOCKED_S
            ):
                raise
            self._locked_since = self._locked_since or now
            loop = running_loop()
            if loop is None:
                raise
            self._scheduled = True
            loop.call_later(_LOCKED_PAUSE_S, self._flush)
            return False
        self._locked_since = 0.0
        return True

    def _waits_for_lock(self) -> bool:
        return bool(self._locked_since)

    def _commit(self, group: Group) -> None:
        self._garbage.delete_slice(self._connection)
        self._connection.execute("COMMIT")
        self._garbage.sliced()

    def _abandon(self) -> None:
        self._locked_since = 0.0
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            _LOG.exception("storage: the failed transaction could not be rolled back")

    def _cannot_write(self, error: Exception) -> None:
        # a write-ahead log that cannot grow is reported as an I/O error on some file systems
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, OSError) or (
            code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
        ):
            self._ballast.release()

    def _try_disk(self) -> None:
        connection = self._connection
        if self._ballast.free_bytes() < _LEAST_FREE_BYTES:
            raise OSError("the disk is still full")
        if not self._ballast.make():
            pages = connection.execute("PRAGMA freelist_count").fetchone()[0]
            size = connection.execute("PRAGMA page_size").fetchone()[0]
            if self._ballast.free_bytes() * 2 < self._ballast.size_bytes or pages * size < self._ballast.size_bytes:
                raise OSError("the disk is still full")
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(sql.SET_META, ("probe", str(time.time_ns())))
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _is_storage_error(self, error: Exception) -> bool:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
            return False
        return isinstance(error, sqlite3.Error | OSError)
