"""The files of an SQLite store: opened by one process only, recognised, created, checked (docs/adr/0006)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from cse.storage import statements as sql
from cse.storage.errors import StoreOpenError
from cse.storage.instance_ids import SEQUENCE_BITS

_LOG = logging.getLogger(__name__)

#: makes a connection from a path; tests give one that fails
Connect = Callable[[str], sqlite3.Connection]

#: log pages after which a commit copies the log into the database, in its own thread
_CHECKPOINT_PAGES = 2000
_WRITE_CACHE_KIB = 8192
_READ_CACHE_KIB = 4096
#: how long a statement waits for a lock that another program holds, in milliseconds; the loop's thread waits too
_BUSY_MS = 20


def connect(path: str) -> sqlite3.Connection:
    """A connection without implicit transactions that any thread may use."""
    return sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)


class Lock:
    """The right to be the only process on a store: held until ``release`` or the end of the process.

    Raises:
        StoreOpenError: another process has it, or its file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreOpenError(_unwritable(path, error)) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(self._file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreOpenError(
                f"storage {str(path).removesuffix('-lock')} is in use by process {owner}: "
                "stop that one, or give this CSE a file of its own"
            ) from error
        with contextlib.suppress(OSError):  # on a full disk the lock holds, only the name of its owner is missing
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let others in. The file stays: removing it would let two in."""
        os.close(self._file)


def _unwritable(path: Path, error: OSError) -> str:
    where = path.parent
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"storage directory {where} cannot be written by this user ({error.strerror}): change its owner or mode"
    return f"storage file {path} cannot be opened: {error.strerror}"


class Database:
    """An open store on disk: its lock and its two connections.

    Args:
        path: the database file; created when it does not exist.
        synchronous: ``FULL``, or ``OFF`` which loses acknowledged writes at a power cut (for control tests only).
        connect: makes connections.

    Raises:
        StoreOpenError: with one line that says what to mend.
    """

    def __init__(self, path: Path, synchronous: str = "FULL", connect: Connect = connect) -> None:
        if synchronous not in ("FULL", "OFF"):
            raise ValueError("synchronous is FULL or OFF")
        self.path = path.absolute()
        if not self.path.parent.is_dir():
            raise StoreOpenError(f"storage directory {self.path.parent} does not exist: create it, or change the URL")
        if self.path.is_dir():
            raise StoreOpenError(f"storage {self.path} is a directory: give the path of a file")
        self.lock = Lock(self.path.with_name(self.path.name + "-lock"))
        connections: list[sqlite3.Connection] = []
        try:
            self.write = connect(str(self.path))
            connections.append(self.write)
            self._prepare(synchronous)
            self.read = connect(str(self.path))
            connections.append(self.read)
            self.read.execute(f"PRAGMA cache_size=-{_READ_CACHE_KIB}")
            self.read.execute("PRAGMA query_only=ON")
        except BaseException as error:
            for connection in connections:
                connection.close()
            self.lock.release()
            if isinstance(error, sqlite3.Error):
                raise StoreOpenError(_unopened(self.path, error)) from error
            raise

    def _prepare(self, synchronous: str) -> None:
        write = self.write
        empty = not write.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty and write.execute("PRAGMA application_id").fetchone()[0] != sql.APPLICATION_ID:
            raise StoreOpenError(f"storage {self.path} is a database of another program: give another path")
        if write.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
            raise StoreOpenError(f"the file system of {self.path} cannot hold a write-ahead log: use a local disk")
        write.execute(f"PRAGMA synchronous={synchronous}")
        write.execute(f"PRAGMA cache_size=-{_WRITE_CACHE_KIB}")
        write.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        # Debian's SQLite overwrites what is deleted, writing as much again: on a full disk nothing large could go.
        write.execute("PRAGMA secure_delete=FAST")
        write.execute("PRAGMA temp_store=MEMORY")
        if empty:
            write.execute("BEGIN IMMEDIATE")
            write.execute(f"PRAGMA application_id={sql.APPLICATION_ID}")
            for statement in sql.CREATE:
                write.execute(statement)
            write.execute(sql.SET_META, ("schema_version", str(sql.SCHEMA_VERSION)))
            write.execute("COMMIT")
        version = int(dict(write.execute(sql.GET_META).fetchall()).get("schema_version", "0"))
        if version > sql.SCHEMA_VERSION:
            raise StoreOpenError(
                f"storage {self.path} was written by a later release (schema {version}, this release knows "
                f"{sql.SCHEMA_VERSION}): run that release, or give another path"
            )
        if version < sql.SCHEMA_VERSION:
            self._upgrade(version)

    def _upgrade(self, version: int) -> None:
        from cse.storage.migrations import upgrade_sqlite  # takes most of a second to import

        _LOG.warning("storage %s: from schema %d to %d", self.path, version, sql.SCHEMA_VERSION)
        try:
            upgrade_sqlite(str(self.path), version)
        except Exception as error:
            words = " ".join(str(error).split())
            raise StoreOpenError(
                f"storage {self.path} cannot be brought from schema {version} to {sql.SCHEMA_VERSION} ({words}): "
                "nothing was changed; make room on the disk, or run the earlier release"
            ) from error

    def close(self) -> None:
        """Let go of the files; the log is copied into the database."""
        self.read.close()
        self.write.close()
        self.lock.release()


def _unopened(path: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_NOTADB:
        return f"storage {path} is not a database: give another path, or move that file away"
    if code is not None and code & 0xFF == sqlite3.SQLITE_CANTOPEN:
        return f"storage {path} cannot be opened: check the owner and the mode of the file and its directory"
    if code is not None and code & 0xFF == sqlite3.SQLITE_READONLY:
        return f"storage {path} cannot be written by this user: change the owner or the mode of the file"
    if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
        return f"storage {path} cannot be opened: no space is left on its disk"
    if code is not None and code & 0xFF == sqlite3.SQLITE_CORRUPT:
        return f"storage {path} is damaged ({error}): put the last backup in its place"
    return f"storage {path} cannot be opened: {error}"


def check(path: Path) -> list[str]:
    """What is wrong with the store at ``path``, in words; empty when it is sound.

    The store may be in use. Reads the whole file.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        if problems:
            return problems
        rows = connection.execute("SELECT ri, pi, number FROM resource").fetchall()
        known = {ri for ri, _, _ in rows}
        problems += [
            f"resource {ri} hangs below {pi}, which does not exist" for ri, pi, _ in rows if pi and pi not in known
        ]
        numbers = {number for _, _, number in rows if number is not None}
        garbage = connection.execute(sql.LOAD_GARBAGE).fetchall()
        parents = connection.execute(
            f"SELECT id >> {SEQUENCE_BITS}, min(id), max(id) FROM instance GROUP BY 1"
        ).fetchall()
        for number, low, high in parents:
            if number not in numbers and not any(start <= low and high <= end for start, end in garbage):
                problems.append(f"instances {low} to {high} have no parent")
    except sqlite3.Error as error:
        return [str(error)]
    finally:
        connection.close()
    return problems
