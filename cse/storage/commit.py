"""Natural group commit: while one group is committed the next gathers (docs/adr/0006, performance.md).

What waits for the disk runs in a thread of its own. There is no timer: a group closes when the one before it is done.
A store that cannot write becomes read-only, tries again by itself and heals. How a group is written is the engine's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from cse.metering import CommitMeter
from cse.onem2m.errors import InternalServerError
from cse.ports import Ticket
from cse.storage.garbage import Garbage
from cse.storage.group import Group

_LOG = logging.getLogger(__name__)

#: pauses between attempts of a read-only store, in seconds: first, most
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
#: pause between slices of garbage when nothing else is written, in seconds
_GARBAGE_PAUSE_S = 0.02
#: how long what was sent may wait for a group in which its rows go, in seconds
_TIDY_S = 0.5


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


class GroupCommit(ABC):
    """Gathers change sets and makes them durable.

    Args:
        changes: told what became of each group.
        garbage: ranges of instances to delete bit by bit.
        limit: most change sets in a group.
    """

    def __init__(self, changes: Changes, garbage: Garbage, limit: int) -> None:
        self._changes = changes
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
        self._tidy_timer = False
        self._stopped = False
        #: groups whose waiters are still to be told
        self._durable: list[Group] = []
        self._failed: dict[Ticket, str] = {REFUSED: "storage: it could not be written"}
        self._pause_s = 0.0
        self._next_probe = 0.0
        self.reason = ""
        self.meter = CommitMeter()
        self._jobs: SimpleQueue[Group | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Group, Exception | None, float]] = SimpleQueue()
        self._thread = Thread(target=self._commit_groups, name="onemec-commit", daemon=True)
        self._thread.start()

    @property
    def takes_removals(self) -> bool:
        """Whether a store that takes nothing new lets something be removed."""
        return True

    @property
    def waiting(self) -> int:
        """Change sets that are not durable yet."""
        under_way = self._in_flight.requests if self._in_flight is not None else 0
        return self.gathering.requests + under_way + sum(group.requests for group in self._sealed)

    @property
    def unsettled(self) -> Ticket:
        """The ticket of the newest change set that is not durable yet; 0 when all are."""
        for group in (self.gathering, *reversed(self._sealed), self._in_flight):
            if group is not None and group.requests:
                return group.ticket
        return 0

    # --- what an engine says

    @abstractmethod
    def _write(self, group: Group) -> bool:
        """On the thread of the store: write what need not wait for the disk; False to be asked again later.

        Whoever says False has ``_flush`` called again, and says by ``_waits_for_lock`` that it does.
        """

    def _waits_for_lock(self) -> bool:
        """Whether a group waits for a lock of another program and will be tried again."""
        return False

    @abstractmethod
    def _commit(self, group: Group) -> None:
        """On the committing thread: make the group durable."""

    @abstractmethod
    def _abandon(self) -> None:
        """On the thread of the store: end the transaction of a group that failed."""

    @abstractmethod
    def _try_disk(self) -> None:
        """On the committing thread: write something small, having made sure that there is room for more.

        Raises:
            Exception: not yet.
        """

    @abstractmethod
    def _is_storage_error(self, error: Exception) -> bool:
        """Whether writing may fail again for the same reason, so that nothing should be taken for now."""

    @abstractmethod
    def _cannot_write(self, error: Exception) -> None:
        """The store becomes read-only for this reason."""

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

    def tidy_later(self) -> None:
        """The gathering group removes what nobody waits for: it is written soon, with others or on its own."""
        if not self._tidy_timer and not self.gathering.requests:
            loop = running_loop()
            if loop is not None:
                self._tidy_timer = True
                loop.call_later(_TIDY_S, self._tidy_now)

    def _tidy_now(self) -> None:
        self._tidy_timer = False
        self.tidy()
        if self.gathering.sent and not self._stopped:
            self.tidy_later()

    def tidy(self) -> None:
        """Have written what the gathering group removes, unless the store takes nothing now."""
        if self.gathering.sent and not self.gathering.requests and not self.reason and not self._stopped:
            self.add()

    async def durable(self, ticket: Ticket) -> None:
        """Return when the group with this ticket is on disk.

        Raises:
            InternalServerError: it could not be written.
        """
        if ticket > self._settled:
            waiter = asyncio.get_running_loop().create_future()
            self.when_durable(ticket, partial(_release, waiter))
            await waiter
        if ticket in self._failed:
            raise InternalServerError(self._failed[ticket])

    def when_durable(self, ticket: Ticket, call: Callable[[str], None]) -> None:
        """Have ``call`` called when the group with this ticket is on disk: with "", or with words when it is lost.

        It is called on the thread of the loop; at once when that is known already.
        """
        group = self._group(ticket) if ticket > self._settled else None
        if group is None:
            call(self._failed.get(ticket, ""))
            return
        group.waiters.append(call)
        if self._in_flight is None:
            if not self._scheduled:
                self._schedule()
        elif self._loop is not (loop := running_loop()):  # the loop that started this commit is gone
            self._loop = loop
            self._reap(wait=True)

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
            if self._in_flight is None and (self._stopped or self._waits_for_lock()):
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
        if self.gathering.ticket == ticket and self.gathering.requests:
            return self.gathering
        for group in (self._in_flight, *self._sealed):
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
        loop = running_loop()
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
            group = self._sealed[0]
            if not self._write(group):
                return
        except Exception as error:
            self._fail(error)
            return
        self._in_flight = self._sealed.popleft()
        self._changes.written(group)
        self._loop = running_loop()
        self._jobs.put(group)

    def _reap(self, *, wait: bool = False) -> None:
        """Take note of what the thread has done."""
        while self._in_flight is not None and (wait or not self._results.empty()):
            group, error, duration_s = self._results.get()
            self._in_flight = None
            if group.probe:
                self._probed(error)
            elif error is not None:
                self._sealed.appendleft(group)
                self._fail(error)
            else:
                if group.requests:
                    self.meter.committed(group.requests, group.row_count, duration_s)
                self._settle(group)
        if self._in_flight is None and (self._sealed or self.gathering.requests):
            if self._loop is not None and self._loop is running_loop():
                self._flush()
        elif self._in_flight is None and self._garbage and not self.reason and not self._garbage_timer:
            loop = running_loop()
            if loop is not None:
                self._garbage_timer = True
                loop.call_later(_GARBAGE_PAUSE_S, self._delete_garbage)
        # The next group is on its way to the disk while these are answered.
        while self._durable:
            wake(self._durable.pop(0), "")

    def _delete_garbage(self) -> None:
        self._garbage_timer = False
        self._flush()

    def _settle(self, group: Group) -> None:
        self._settled = max(self._settled, group.ticket)
        self._saved_number = group.next_number
        self._garbage.extend(group.garbage())
        self._changes.settled(group)
        group.undo.clear()
        self._durable.append(group)

    # --- failure

    def _fail(self, error: Exception) -> None:
        """Nothing of what is not durable will be: undo it, say so to all who wait, be careful from now on."""
        self.meter.failures += 1
        self._abandon()
        reason = f"storage: {self._words(error)}"
        lost = self._undo_all(reason)
        if self._is_storage_error(error):
            self._become_read_only(error)
        else:
            _LOG.error("storage: a group could not be written", exc_info=error)
        for group in lost:
            wake(group, reason)

    def _undo_all(self, reason: str) -> list[Group]:
        """Undo all groups but one that is being committed; returns them, for ``wake``."""
        lost = [*self._sealed, self.gathering]
        self._sealed.clear()
        self._changes.undo(lost)
        for group in lost:
            self._failed[group.ticket] = reason
        for ticket in list(self._failed)[:-_REMEMBERED]:
            del self._failed[ticket]
        self._settled = self.gathering.ticket
        self.gathering = Group(self._settled + 1)
        self._changes.next_group(self.gathering)
        return lost

    def _become_read_only(self, error: Exception) -> None:
        self._cannot_write(error)
        words = self._words(error)
        if not self.reason:
            _LOG.error("storage: %s: only deletions are taken until it can be written again", words)
        self.reason = f"storage: {words}: only deletions are taken until it can be written again"
        self._failed.pop(REFUSED, None)
        self._failed[REFUSED] = self.reason
        self._changes.refuse(self.reason)
        self._pause_s = _FIRST_PAUSE_S
        self._plan_probe()

    def _plan_probe(self) -> None:
        self._next_probe = time.monotonic() + self._pause_s
        loop = running_loop()
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
            self._loop = running_loop()
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
            began_s = time.perf_counter()
            try:
                if group.probe:
                    self._try_disk()
                else:
                    self._commit(group)
            except Exception as failure:
                error = failure
            self._results.put((group, error, time.perf_counter() - began_s))
            loop = self._loop
            if loop is not None:
                try:
                    loop.call_soon_threadsafe(self._reap)
                except RuntimeError:  # that loop is closed: whoever comes next reaps
                    continue

    def _words(self, error: Exception) -> str:
        if self._is_storage_error(error):
            return " ".join(str(error).split()) or type(error).__name__
        return "the change could not be written"


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread; None when there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def wake(group: Group, reason: str) -> None:
    """Let all go on who wait for the group.

    Args:
        group: durable, or lost.
        reason: why it is lost; "" when it is not.
    """
    waiters, group.waiters = group.waiters, []
    for call in waiters:
        try:
            call(reason)
        except Exception:  # one who waits must not keep the others waiting
            _LOG.exception("what was to follow a change failed")


def _release(waiter: asyncio.Future[None], _reason: str) -> None:
    if not waiter.done():
        waiter.set_result(None)
