"""Natural group commit: while one group is committed the next gathers (docs/adr/0006, performance.md).

The rows of a group are written on the event loop's thread; only the COMMIT, which waits for the disk with the
interpreter lock released, runs in a thread of its own. There is no timer: a group closes when the one before it is
done. A store that cannot write becomes read-only, tries again by itself and heals.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from cse.onem2m.errors import InternalServerError
from cse.ports import Ticket
from cse.storage import statements as sql
from cse.storage.ballast import Ballast
from cse.storage.garbage import Garbage
from cse.storage.group import Group

_LOG = logging.getLogger(__name__)

#: pauses between attempts of a read-only store, in seconds: first, most
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
#: how long a group waits for a lock that another program holds on the database, in seconds
_LOCKED_S = 2.0
_LOCKED_PAUSE_S = 0.01
#: a disk with less room than this is full
_LEAST_FREE_BYTES = 128 << 10
#: pause between slices of garbage when nothing else is written, in seconds
_GARBAGE_PAUSE_S = 0.02


#: how many lost groups are remembered for those who ask late
_REMEMBERED = 10_000

#: the ticket of a change that a read-only store undid at once
REFUSED: Ticket = -1


class Changes(Protocol):
    """The owner of the changes, told what became of a group."""

    def next_group(self, group: Group) -> None:
        """From now on changes go into this group."""

    def next_number(self) -> int:
        """The number of the next parent of instances."""

    def written(self, group: Group) -> None:
        """The group is about to be committed."""

    def settled(self, group: Group) -> None:
        """The group is durable."""

    def undo(self, groups: list[Group]) -> None:
        """The groups are lost: undo their changes, latest first."""

    def refuse(self, reason: str) -> None:
        """Take nothing new for this reason; "" ends it."""


class GroupCommit:
    """Gathers change sets and makes them durable.

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
        self._changes = changes
        self._ballast = ballast
        self._garbage = garbage
        self._limit = limit
        self.gathering = Group(1)
        self._sealed: deque[Group] = deque()
        self._in_flight: Group | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled = False
        self._settled = 0
        self._saved_number = 0
        self._garbage_timer = False
        self._stopped = False
        self._failed: dict[Ticket, str] = {REFUSED: "storage: it could not be written"}
        self._locked_since = 0.0
        self._pause_s = 0.0
        self._next_probe = 0.0
        self.reason = ""
        self._jobs: SimpleQueue[Group | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Group, Exception | None]] = SimpleQueue()
        self._thread = Thread(target=self._commit_groups, name="onemec-commit", daemon=True)
        self._thread.start()

    # --- from the store

    def add(self) -> Ticket:
        """A change set is complete in the gathering group; returns the group's ticket."""
        group = self.gathering
        group.requests += 1
        if group.requests >= self._limit:
            self._seal()
        if not self._scheduled and self._in_flight is None and not self._schedule() and self._sealed:
            self.flush()
        return group.ticket

    async def durable(self, ticket: Ticket) -> None:
        """Return when the group with this ticket is on disk.

        Raises:
            InternalServerError: it could not be written.
        """
        if ticket > self._settled:
            group = self._group(ticket)
            if group is not None:
                loop = asyncio.get_running_loop()
                waiter = loop.create_future()
                group.waiters.append(waiter)
                if self._in_flight is None:
                    self._schedule()
                elif self._loop is not loop:  # the loop that started this commit is gone
                    self._loop = loop
                    self._reap(wait=True)
                await waiter
        if ticket in self._failed:
            raise InternalServerError(self._failed[ticket])

    async def drain(self) -> None:
        """Write all there is; what cannot be written is lost, with a word in the log."""
        while self._in_flight is not None or self._sealed or self.gathering.requests:
            last = self.gathering if self.gathering.requests else (self._sealed or [self._in_flight])[-1]
            if last is None or last.probe or not last.requests:
                # Nobody waits for a trial write or a slice of a large deletion, so there is nothing to await.
                self._reap(wait=True)
                await asyncio.sleep(0)
                continue
            try:
                await self.durable(last.ticket)
            except InternalServerError as error:
                _LOG.error("%s; the last changes are lost", error.debug)

    def flush(self) -> None:
        """Write all there is and wait for the disk on this thread (when no event loop runs, and at the end)."""
        while self._in_flight is not None or self._sealed or self.gathering.requests:
            if self._in_flight is None:
                self._flush()
            if self._in_flight is None and (self._locked_since or self._stopped):
                return  # the loop tries again until it succeeds or gives up
            self._reap(wait=True)

    def probe(self) -> None:
        """Try whether a read-only store can write again, if it is time to."""
        if time.monotonic() >= self._next_probe:
            self._probe()

    def stop(self) -> None:
        """End the thread; what is not written is lost."""
        self._stopped = True
        self._reap(wait=True)
        self._jobs.put(None)
        self._thread.join()

    # --- groups, on the thread of the store

    def _group(self, ticket: Ticket) -> Group | None:
        for group in (self.gathering, self._in_flight, *self._sealed):
            if group is not None and group.ticket == ticket and group.requests:
                return group
        return None

    def _seal(self) -> None:
        group = self.gathering
        group.seal(self._changes.next_number())
        self._sealed.append(group)
        self.gathering = Group(group.ticket + 1)
        self._changes.next_group(self.gathering)

    def _schedule(self) -> bool:
        loop = _running_loop()
        if loop is None:
            return False
        if not self._scheduled or self._loop is not loop:
            self._scheduled, self._loop = True, loop
            loop.call_soon(self._flush)
        return True

    def _flush(self) -> None:
        """Write the next group and have it committed."""
        self._scheduled = False
        if self._in_flight is not None or self._stopped:
            return
        try:
            if not self._sealed:
                if not self.gathering.requests and (self.reason or not self._garbage):
                    return
                self._seal()
            if not self._open_transaction():
                return
            group = self._sealed[0]
            group.write(self._connection)
            if group.next_number != self._saved_number:
                self._connection.execute(sql.SET_META, ("next_number", str(group.next_number)))
        except Exception as error:
            self._fail(error)
            return
        self._in_flight = self._sealed.popleft()
        self._changes.written(group)
        self._loop = _running_loop()
        self._jobs.put(group)

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
            loop = _running_loop()
            if loop is None:
                raise
            self._scheduled = True
            loop.call_later(_LOCKED_PAUSE_S, self._flush)
            return False
        self._locked_since = 0.0
        return True

    def _reap(self, *, wait: bool = False) -> None:
        """Take note of what the thread has done."""
        while self._in_flight is not None and (wait or not self._results.empty()):
            group, error = self._results.get()
            self._in_flight = None
            if group.probe:
                self._probed(error)
            elif error is not None:
                self._sealed.appendleft(group)
                self._fail(error)
            else:
                self._settle(group)
        if self._in_flight is None and (self._sealed or self.gathering.requests):
            if self._loop is not None and self._loop is _running_loop():
                self._flush()
        elif self._in_flight is None and self._garbage and not self.reason and not self._garbage_timer:
            loop = _running_loop()
            if loop is not None:
                self._garbage_timer = True
                loop.call_later(_GARBAGE_PAUSE_S, self._delete_garbage)

    def _delete_garbage(self) -> None:
        self._garbage_timer = False
        self._flush()

    def _settle(self, group: Group) -> None:
        self._settled = group.ticket
        self._saved_number = group.next_number
        self._garbage.extend(group.garbage())
        self._changes.settled(group)
        group.undo.clear()
        _wake(group)

    # --- failure

    def _fail(self, error: Exception) -> None:
        """Nothing of what is not durable will be: undo it, say so to all who wait, be careful from now on."""
        self._locked_since = 0.0
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            _LOG.exception("storage: the failed transaction could not be rolled back")
        lost = [*self._sealed, self.gathering]
        self._sealed.clear()
        self._changes.undo(lost)
        reason = f"storage: {_words(error)}"
        for group in lost:
            self._failed[group.ticket] = reason
        for ticket in list(self._failed)[:-_REMEMBERED]:
            del self._failed[ticket]
        self._settled = self.gathering.ticket
        self.gathering = Group(self._settled + 1)
        self._changes.next_group(self.gathering)
        if _is_storage_error(error):
            self._become_read_only(error)
        else:
            _LOG.error("storage: a group could not be written", exc_info=error)
        for group in lost:
            _wake(group)

    def _become_read_only(self, error: Exception) -> None:
        if _is_disk_full(error):
            self._ballast.release()
        if not self.reason:
            _LOG.error("storage: %s: only deletions are taken until it can be written again", _words(error))
        self.reason = f"storage: {_words(error)}: only deletions are taken until it can be written again"
        self._failed.pop(REFUSED, None)
        self._failed[REFUSED] = self.reason
        self._changes.refuse(self.reason)
        self._pause_s = _FIRST_PAUSE_S
        self._plan_probe()

    def _plan_probe(self) -> None:
        self._next_probe = time.monotonic() + self._pause_s
        loop = _running_loop()
        if loop is not None:
            loop.call_later(self._pause_s, self._probe_later)

    def _probe_later(self) -> None:
        # a timer may be a little early by another clock: it counts as due, or nobody would plan the next one
        if self.reason and self._in_flight is not None and not self._stopped:
            self._plan_probe()
        else:
            self._probe()

    def _probe(self) -> None:
        if self.reason and self._in_flight is None and not self._stopped:
            self._in_flight = Group(0, probe=True)
            self._loop = _running_loop()
            self._jobs.put(self._in_flight)
            if self._loop is None:
                self._reap(wait=True)

    def _probed(self, error: Exception | None) -> None:
        if error is None:
            _LOG.warning("storage: it can be written again")
            self.reason = ""
            self._changes.refuse("")
            return
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        self._plan_probe()

    # --- on the thread of its own

    def _commit_groups(self) -> None:
        """Commit what is written, one group at a time."""
        while (group := self._jobs.get()) is not None:
            error: Exception | None = None
            try:
                if group.probe:
                    self._try_disk()
                else:
                    self._garbage.delete_slice(self._connection)
                    self._connection.execute("COMMIT")
                    self._garbage.sliced()
            except Exception as failure:
                error = failure
            self._results.put((group, error))
            loop = self._loop
            if loop is not None:
                try:
                    loop.call_soon_threadsafe(self._reap)
                except RuntimeError:  # that loop is closed: whoever comes next reaps
                    continue

    def _try_disk(self) -> None:
        """Write something small, having made sure that there is room for more.

        Raises:
            OSError, sqlite3.Error: not yet.
        """
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


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _wake(group: Group) -> None:
    for waiter in group.waiters:
        if not waiter.done():
            waiter.set_result(None)
    group.waiters.clear()


def _is_storage_error(error: Exception) -> bool:
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return False
    return isinstance(error, sqlite3.Error | OSError)


def _is_disk_full(error: Exception) -> bool:
    # a write-ahead log that cannot grow is reported as an I/O error on some file systems
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, OSError) or (
        code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    )


def _words(error: Exception) -> str:
    if isinstance(error, sqlite3.Error | OSError):
        return str(error) or type(error).__name__
    return "the change could not be written"
