"""Where the documents of the platform are kept over restarts: nowhere, or in one SQLite file."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import orjson

from mec_adapter.platform.config import PlatformStartError
from mec_adapter.platform.documents import Change, JsonObject


class Store(Protocol):
    """What the platform needs of its storage; `save` is called from a worker thread, one call at a time."""

    def load(self) -> Iterable[tuple[str, str, JsonObject]]:
        """Return every document as (kind, key, body), oldest first."""
        ...

    def save(self, changes: Sequence[Change]) -> None:
        """Make the changes durable as one transaction, or raise and change nothing."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class MemoryStore:
    """Keeps nothing: the state ends with the process."""

    def load(self) -> Iterable[tuple[str, str, JsonObject]]:
        """Return nothing."""
        return ()

    def save(self, changes: Sequence[Change]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class SqliteStore:
    """One table in one SQLite file; an answered request is on disk (WAL, synchronous=FULL)."""

    def __init__(self, path: Path) -> None:
        try:
            # The file holds the signing key: it is for its owner only.
            path.touch(mode=0o600, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS document (kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL,"
                " PRIMARY KEY (kind, key))"
            )
        except (sqlite3.Error, OSError) as error:
            raise PlatformStartError(
                f"cannot use the store {path}: {error}; check that the folder exists, is writable and the file "
                "is a database of this platform"
            ) from error

    def load(self) -> Iterable[tuple[str, str, JsonObject]]:
        """Return every document as (kind, key, body), oldest first."""
        rows = self._database.execute("SELECT kind, key, body FROM document ORDER BY rowid").fetchall()
        return [(kind, key, orjson.loads(body)) for kind, key, body in rows]

    def save(self, changes: Sequence[Change]) -> None:
        """Write the changes as one transaction.

        Raises:
            sqlite3.Error: nothing was written.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                if change.body is None:
                    self._database.execute("DELETE FROM document WHERE kind=? AND key=?", (change.kind, change.key))
                else:
                    self._database.execute(
                        "INSERT INTO document (kind, key, body) VALUES (?, ?, ?)"
                        " ON CONFLICT (kind, key) DO UPDATE SET body=excluded.body",
                        (change.kind, change.key, orjson.dumps(change.body)),
                    )
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def open_store(store: str) -> Store:
    """Open the store named in the configuration.

    Args:
        store: `memory` or `sqlite:///path`.

    Raises:
        PlatformStartError: the file cannot be used.
    """
    if store == "memory":
        return MemoryStore()
    return SqliteStore(Path(store.removeprefix("sqlite:///")))
