"""The outbox of the cloud sync: every instance on disk before it counts as taken (docs/adr/0008).

One SQLite file (WAL, synchronous=FULL) in one worker thread. Whatever waits when a commit ends goes into the next
one together, so the cost of a sync to disk is shared.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

_log = logging.getLogger("mec_adapter.outbox")
_T = TypeVar("_T")
_Operation = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any] | None"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS container (
    id INTEGER PRIMARY KEY, ri TEXT NOT NULL UNIQUE, path TEXT NOT NULL,
    complete INTEGER NOT NULL, sent INTEGER NOT NULL, forwarded INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS item (
    container INTEGER NOT NULL, tag INTEGER NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, taken REAL NOT NULL,
    PRIMARY KEY (container, tag, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gap (
    path TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, items INTEGER NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS refused (
    path TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL);
"""
#: most operations in one transaction
_GROUP = 512
_STOP: Any = object()


class OutboxError(Exception):
    """The outbox cannot be used. The message is one line that says what to mend."""


@dataclass(frozen=True, slots=True)
class Item:
    """One instance on its way.

    Attributes:
        tag: stateTag of the instance at the edge; the order of its container.
        name: resourceName at the cloud.
        body: the primitive content of its CREATE, encoded.
        taken: when it was stored, seconds since the epoch.
    """

    tag: int
    name: str
    body: bytes
    taken: float


@dataclass(frozen=True, slots=True)
class Cursor:
    """What the outbox knows of a container.

    Attributes:
        id: number in this outbox.
        ri: resource-ID at the edge.
        path: structured address at the edge.
        complete: every instance up to this stateTag is here, or was forwarded.
        sent: every instance up to this stateTag was forwarded.
        forwarded: how many were forwarded.
        pending: how many wait.
        oldest: when the first of them was taken, seconds since the epoch; 0.0 when none waits.
    """

    id: int
    ri: str
    path: str
    complete: int
    sent: int
    forwarded: int
    pending: int
    oldest: float


class Outbox:
    """A durable queue per container. Calls come from one event loop; the file is touched by one thread.

    Args:
        path: of the SQLite file.

    Raises:
        OutboxError: the file cannot be used.
    """

    def __init__(self, path: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._operations: queue.SimpleQueue[_Operation | Any] = queue.SimpleQueue()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            (self.size_bytes,) = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM item").fetchone()
        except sqlite3.Error as error:
            raise OutboxError(
                f"outbox {path!r} cannot be used ({error}): name a writable file, or remove it"
            ) from error
        self._failed_since = 0.0
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Commit what was asked for, and close the file."""
        self._operations.put(_STOP)
        await asyncio.to_thread(self._thread.join)

    # --- containers ------------------------------------------------------------------------------------------

    async def cursors(self) -> list[Cursor]:
        """All containers the outbox knows."""
        return await self._ask(lambda db: [_cursor(db, row) for row in db.execute(_SELECT)])

    async def adopt(self, ri: str, path: str) -> Cursor:
        """The cursor of a container; a new one starts before its first instance."""

        def adopt(db: sqlite3.Connection) -> Cursor:
            db.execute(
                "INSERT INTO container (ri, path, complete, sent, forwarded) VALUES (?, ?, -1, -1, 0) "
                "ON CONFLICT (ri) DO UPDATE SET path = excluded.path",
                (ri, path),
            )
            return _cursor(db, db.execute(_SELECT + " WHERE ri = ?", (ri,)).fetchone())

        return await self._ask(adopt)

    async def drop(self, container: int) -> None:
        """Forget a container and what waits for it."""

        def drop(db: sqlite3.Connection) -> int:
            (size,) = db.execute(
                "SELECT coalesce(sum(length(body)), 0) FROM item WHERE container = ?", (container,)
            ).fetchone()
            db.execute("DELETE FROM item WHERE container = ?", (container,))
            db.execute("DELETE FROM container WHERE id = ?", (container,))
            return int(size)

        self.size_bytes -= await self._ask(drop)

    # --- items -----------------------------------------------------------------------------------------------------

    async def store(
        self, container: int, items: Sequence[Item], first: int, without: Collection[str] = ()
    ) -> tuple[int, int]:
        """Keep instances; returns when they are on disk.

        Args:
            container: whose.
            items: every instance there is with a stateTag from ``first`` to that of the last one, in order; those that
                are here or were forwarded already are left out.
            first: where they begin.
            without: names of those that were here and were dropped.

        Returns:
            How many were new, and ``complete``, which grows only if nothing is missing before ``first``.

        Raises:
            OutboxError: they could not be written; nothing of it is kept.
        """

        def store(db: sqlite3.Connection) -> tuple[int, int, int]:
            row = db.execute("SELECT sent, complete FROM container WHERE id = ?", (container,)).fetchone()
            if row is None:
                return 0, 0, -1
            sent, complete = row
            # A listing may bring what a notification brought before, also when that was dropped meanwhile.
            new = [item for item in items if item.tag > max(sent, complete) and item.name not in without]
            if new:
                known = {
                    name
                    for (name,) in db.execute(
                        "SELECT name FROM item WHERE container = ? AND tag BETWEEN ? AND ?",
                        (container, new[0].tag, new[-1].tag),
                    )
                }
                new = list({item.name: item for item in new if item.name not in known}.values())
                db.executemany(
                    "INSERT INTO item VALUES (?, ?, ?, ?, ?)",
                    [(container, item.tag, item.name, item.body, item.taken) for item in new],
                )
            last = items[-1].tag if items else first - 1
            if complete >= first - 1 and last > complete:
                complete = last
                db.execute("UPDATE container SET complete = ? WHERE id = ?", (complete, container))
            return len(new), sum(len(item.body) for item in new), complete

        added, size, complete = await self._ask(store)
        self.size_bytes += size
        return added, complete

    async def waiting(self, container: int, up_to: int, limit: int) -> list[Item]:
        """The first instances that wait, in order.

        Args:
            container: whose.
            up_to: highest stateTag that may go.
            limit: most instances.
        """
        rows = await self._ask(
            lambda db: db.execute(
                "SELECT tag, name, body, taken FROM item WHERE container = ? AND tag <= ? ORDER BY tag, name LIMIT ?",
                (container, up_to, limit),
            ).fetchall()
        )
        return [Item(*row) for row in rows]

    def forget(self, container: int, items: Sequence[Item], *, again: bool = False) -> None:
        """Instances are at the cloud. Not waited for: after a crash they are sent again, and refused as there already.

        Args:
            container: whose.
            items: which ones, in order; ``size_bytes`` is without them already.
            again: they were counted before.
        """

        def forget(db: sqlite3.Connection) -> None:
            db.executemany(_REMOVE, [(container, item.tag, item.name) for item in items])
            db.execute(
                "UPDATE container SET sent = max(sent, ?), forwarded = forwarded + ? WHERE id = ?",
                (items[-1].tag - 1, 0 if again else len(items), container),
            )

        self._operations.put((forget, None))

    async def refuse(self, container: int, path: str, item: Item, reason: str) -> None:
        """Put an instance aside that the cloud will never take."""

        def refuse(db: sqlite3.Connection) -> None:
            db.execute(_REMOVE, (container, item.tag, item.name))
            db.execute("INSERT INTO refused VALUES (?, ?, ?, ?, ?)", (path, item.name, item.body, reason, time.time()))

        await self._ask(refuse)
        self.size_bytes -= len(item.body)

    async def drop_oldest(self, size_bytes: int) -> list[tuple[int, int, str]]:
        """Drop the instances taken first until ``size_bytes`` are free; the gaps are recorded.

        Returns:
            Container, stateTag and name of each.
        """

        def drop(db: sqlite3.Connection) -> tuple[list[tuple[int, int, str]], int]:
            freed = 0
            gaps: dict[str, list[int]] = {}
            rows = db.execute(
                "SELECT container, tag, item.name, length(body), path FROM item JOIN container ON container.id = "
                "item.container ORDER BY taken, tag"
            )
            doomed = []
            for container, tag, name, length, path in rows:
                if freed >= size_bytes:
                    break
                doomed.append((container, tag, name))
                freed += length
                gaps.setdefault(path, []).append(tag)
            db.executemany(_REMOVE, doomed)
            db.executemany(
                "INSERT INTO gap VALUES (?, ?, ?, ?, ?)",
                [(path, min(tags), max(tags), len(tags), time.time()) for path, tags in gaps.items()],
            )
            return doomed, freed

        dropped, freed = await self._ask(drop)
        self.size_bytes -= freed
        return dropped

    def not_lost(self, path: str) -> None:
        """An instance that was just dropped had reached the cloud after all. Not waited for."""
        statement = "UPDATE gap SET items = items - 1 WHERE rowid = (SELECT max(rowid) FROM gap WHERE path = ?)"
        self._operations.put((lambda db: db.execute(statement, (path,)), None))

    async def losses(self) -> tuple[int, int]:
        """How many instances were dropped for want of room, and how many the cloud refused for good."""
        return await self._ask(
            lambda db: db.execute(
                "SELECT (SELECT coalesce(sum(items), 0) FROM gap), (SELECT count(*) FROM refused)"
            ).fetchone()
        )

    # --- the thread ------------------------------------------------------------------------------------------------

    async def _ask(self, operation: Callable[[sqlite3.Connection], _T]) -> _T:
        future: asyncio.Future[_T] = self._loop.create_future()
        self._operations.put((operation, future))
        return await future

    def _work(self) -> None:
        running = True
        while running:
            group: list[_Operation] = []
            entry = self._operations.get()
            while True:
                if entry is _STOP:
                    running = False
                    break
                group.append(entry)
                if len(group) >= _GROUP:
                    break
                try:
                    entry = self._operations.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._commit(group)
        self._db.close()

    def _commit(self, group: list[_Operation]) -> None:
        results: list[tuple[asyncio.Future[Any] | None, Any, Exception | None]] = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            results = [(future, operation(self._db), None) for operation, future in group]
            self._db.execute("COMMIT")
            self._failed_since = 0.0
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            failure = OutboxError(f"the outbox cannot be written ({error}): make room on its disk")
            results = [(future, None, failure) for _, future in group]
            if not self._failed_since:
                self._failed_since = time.monotonic()
                _log.error("%s", failure)
        try:
            self._loop.call_soon_threadsafe(_resolve, results)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return


_REMOVE = "DELETE FROM item WHERE container = ? AND tag = ? AND name = ?"
_SELECT = "SELECT id, ri, path, complete, sent, forwarded FROM container"


def _cursor(db: sqlite3.Connection, row: tuple[Any, ...]) -> Cursor:
    pending, oldest = db.execute(
        "SELECT count(*), coalesce(min(taken), 0.0) FROM item WHERE container = ?", (row[0],)
    ).fetchone()
    number, ri, path, complete, sent, forwarded = row
    return Cursor(number, ri, path, complete, sent, forwarded, pending, oldest)


def _resolve(results: list[tuple[asyncio.Future[Any] | None, Any, Exception | None]]) -> None:
    for future, result, failure in results:
        if future is None or future.done():
            continue
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(result)
