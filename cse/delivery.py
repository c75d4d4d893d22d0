"""Delivery of what the core wants sent: which binding, in which order, how often tried (bindings.md section 6).

One queue and one worker per target, so a slow or dead target delays only itself and order is kept per target
(trust.md R8). A notification that nobody takes is tried again with growing pauses; then it goes back to a subscription
that keeps it (pendingNotification), or becomes a dead letter. Every attempt is in the delivery log.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

from cse.bindings.outbound import Guard
from cse.delivery_attempt import Attempts, is_plain, target_of
from cse.delivery_breaker import Breaker, Targets
from cse.delivery_log import DeliveryLog, Result
from cse.log_context import about
from cse.onem2m.primitives import Request, Response
from cse.onem2m.serialisation import dump_json
from cse.onem2m.status import Status
from cse.polling import ChannelFull, PollingChannels
from cse.ports import Send, Sender, Unreachable

_log = logging.getLogger("cse.delivery")

#: pauses before a target is tried again, in seconds; a notification is tried once more than there are pauses
RETRY_PAUSES_S = (0.2, 1.0, 3.0)
#: notifications waiting for one target, and for all
QUEUE_LENGTH, QUEUED = 1000, 10_000
#: bytes of content waiting for all targets
QUEUED_BYTES = 32 * 1024 * 1024
#: how long a notification waits for a target that does not answer, in seconds
PATIENCE_S = 60.0
#: attempts at a time: to targets that answered last time, and to those that did not
IN_FLIGHT, IN_FLIGHT_SUSPECT = 512, 128
#: how many of those that wait for one target leave together at most
BATCH = 32
#: notifications from which on their size is looked at
_FEW = 16
#: how long a notification waits in a polling channel to be fetched and answered, in seconds
_CHANNEL_PATIENCE_S = 3600.0
#: the event category of which only the newest matters (TS-0001 clause 8.1.2)
_LATEST = 4


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What became of notifications so far."""

    sent: int
    failed: int
    dropped: int
    waiting: int


@dataclass(slots=True, eq=False)
class _Waiting:
    """A notification on its way."""

    send: Send
    size_bytes: int
    posted_s: float
    attempts: int = 0
    superseded: bool = False


class _Line:
    """What waits for one target: all but what its worker has in hand, one or a batch."""

    __slots__ = ("at_hand", "batch", "queue", "worker")

    def __init__(self) -> None:
        self.queue: deque[_Waiting] = deque()
        self.at_hand: _Waiting | None = None
        self.batch: list[_Waiting] = []
        self.worker: asyncio.Task[None] | None = None


class SendStore(Protocol):
    """What keeps notifications over a crash (``cse.ports.Engine``)."""

    def unsent(self) -> Sequence[Send]:
        """What was on its way before, in its order; given once."""

    def keeps(self, send: Send) -> bool:
        """Whether a send outlives this process."""

    def sent(self, send: Send) -> None:
        """Nobody needs this send any more."""


class Delivery:
    """Sends for the core.

    Args:
        senders: sending sides by URL scheme.
        serve_local: serves a request that is for this CSE itself.
        own_id: CSE-ID of this CSE.
        tell: told of the answer to each notification that has a subject, or of None when there was none.
        guard: decides which URLs may be sent to; None lets all pass.
        keeps: whether the subject of a notification keeps it itself when it is told None.
    """

    def __init__(
        self,
        senders: Mapping[str, Sender],
        serve_local: Callable[[Request], Awaitable[Response]],
        own_id: str,
        tell: Callable[[Send, Response | None], None] = lambda send, answer: None,
        guard: Guard | None = None,
        keeps: Callable[[Send], bool] = lambda send: False,
    ) -> None:
        self._senders = senders
        self._tell = tell
        self._keeps = keeps
        self._store: SendStore | None = None
        self._is_open = True
        #: every attempt, and what was given up
        self.log = DeliveryLog(time.time)
        self._breaker = Breaker(time.monotonic, random.random, RETRY_PAUSES_S)
        #: what is held for those who poll
        self.channels = PollingChannels()
        #: how a request gets to its receiver
        self.attempts = Attempts(senders, serve_local, own_id, guard, self.log, self.channels)
        self._waiting_in_channels: set[asyncio.Task[None]] = set()
        self._lines: dict[str, _Line] = {}
        self._queued = self._queued_bytes = 0
        self._sent = self._failed = self._dropped = 0
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._suspect_slots = asyncio.Semaphore(IN_FLIGHT_SUSPECT)
        self._stopping = asyncio.Event()

    @property
    def counts(self) -> DeliveryCounts:
        """Counters since the start."""
        return DeliveryCounts(self._sent, self._failed, self._dropped, self._queued)

    @property
    def targets(self) -> Targets:
        """How the targets are."""
        return Targets(len(self._lines), len(self._breaker), self._breaker.open_count())

    async def ask(self, send: Send) -> Response | None:
        """Send a request now and give the answer; None when nobody answered at any point of access."""
        try:
            answer = await asyncio.wait_for(self.attempts.make(send), send.timeout_s + 1.0)
        except (Unreachable, TimeoutError) as error:
            _log.info("%s to %s failed: %s", send.request.operation.name, target_of(send), error)
            return None
        self._breaker.answered(target_of(send))
        return answer

    def resume(self, store: SendStore) -> None:
        """Queue what was on its way when this CSE stopped, before anything new; it goes out at ``open``.

        Args:
            store: keeps notifications over a crash.
        """
        self._store, self._is_open = store, False
        for send in store.unsent():
            self.post(send)

    def open(self) -> None:
        """The senders are there: send what was gathered, and from now on what is posted."""
        self._is_open = True
        for target, line in self._lines.items():
            self._set_going(target, line)

    def _set_going(self, target: str, line: _Line) -> None:
        if line.worker is None and self._is_open:
            line.worker = asyncio.create_task(self._work(target, line), name=f"notify {target}")

    def post(self, send: Send) -> None:
        """Queue a notification for its target."""
        if self.attempts.tracing is not None and send.request.trace_parent is None:
            send.request.trace_parent = self.attempts.tracing.header()
        if send.channel:
            # It waits in the channel: others must not wait behind it, they may be fetched together.
            task = asyncio.create_task(self._deliver_by_channel(send), name=f"channel {send.channel}")
            self._waiting_in_channels.add(task)
            task.add_done_callback(self._waiting_in_channels.discard)
            return
        target = target_of(send)
        line = self._lines.get(target)
        if line is None:
            line = self._lines[target] = _Line()
        if send.request.event_category == _LATEST:
            self._supersede(line, send)
        size_bytes = len(dump_json(send.request.content)) if len(line.queue) >= _FEW else 0
        waiting = _Waiting(send, size_bytes, time.monotonic())
        if self._makes_room(line, waiting):
            self._enqueue(line, waiting)
        self._set_going(target, line)

    async def stop(self, grace_s: float) -> None:
        """Give what is queued a last chance, then give the rest back to who keeps it, and stop."""
        self._stopping.set()
        self.channels.close()
        for waiting in self._waiting_in_channels:
            waiting.cancel()
        await asyncio.gather(*self._waiting_in_channels, return_exceptions=True)
        workers = [line.worker for line in self._lines.values() if line.worker is not None]
        if workers:
            _, late = await asyncio.wait(workers, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._queued:
            _log.warning("%d notifications were not delivered before this CSE stopped", self._queued)
        for line in list(self._lines.values()):
            for left in ([line.at_hand] if line.at_hand is not None else []) + line.batch + list(line.queue):
                self._end(left, Result.GIVEN_UP, "this CSE stopped before it was delivered", None)
        self._lines.clear()
        self._queued = self._queued_bytes = 0
        for sender in {id(sender): sender for sender in self._senders.values()}.values():
            await sender.close()

    # --- the lines ------------------------------------------------------------------------------------------------

    def _enqueue(self, line: _Line, waiting: _Waiting) -> None:
        line.queue.append(waiting)
        self._queued += 1
        self._queued_bytes += waiting.size_bytes

    def _dequeue(self, line: _Line) -> _Waiting:
        waiting = line.queue.popleft()
        self._queued -= 1
        self._queued_bytes -= waiting.size_bytes
        return waiting

    def _supersede(self, line: _Line, newer: Send) -> None:
        """Older notifications of the same subject to the same target no longer matter."""
        if line.at_hand is not None and _replaces(newer, line.at_hand.send):
            line.at_hand.superseded = True  # what is on the wire arrives; what failed is not tried again
        if any(_replaces(newer, older.send) for older in line.queue):
            kept = deque(older for older in line.queue if not _replaces(newer, older.send))
            for older in line.queue:
                if _replaces(newer, older.send):
                    self._queued -= 1
                    self._queued_bytes -= older.size_bytes
                    self._dropped += 1
                    self._forget(older.send)
                    self.log.add(older.send, target_of(older.send), Result.SUPERSEDED, "a newer one waits")
            line.queue = kept

    def _makes_room(self, line: _Line, waiting: _Waiting) -> bool:
        """Whether a notification can be queued; the oldest of its line goes when there is no room."""

        def full() -> bool:
            beyond = self._queued >= QUEUED or self._queued_bytes + waiting.size_bytes > QUEUED_BYTES
            return len(line.queue) >= QUEUE_LENGTH or beyond

        reason = f"{len(line.queue)} wait for this target, {self._queued} for all: it takes too little"
        if full() and self._keeps(waiting.send):
            # Its subscription keeps it, behind those that are queued.
            self._end(waiting, Result.DROPPED, reason, None)
            return False
        while full() and line.queue:
            self._dropped += 1
            self._end(self._dequeue(line), Result.DROPPED, reason, None)
        if full():
            self._dropped += 1
            self._end(waiting, Result.DROPPED, reason, None)
            return False
        return True

    async def _work(self, target: str, line: _Line) -> None:
        try:
            while line.queue:
                batch = self._batch(target, line) if len(line.queue) > 1 else 0
                if batch:
                    await self._deliver_several(target, line, batch)
                    continue
                line.at_hand = self._dequeue(line)
                await self._deliver(target, line.at_hand)
                line.at_hand = None
        finally:
            line.worker = None
            if not line.queue and line.at_hand is None and not line.batch and self._lines.get(target) is line:
                del self._lines[target]

    async def _deliver_by_channel(self, send: Send) -> None:
        started_s = time.monotonic()
        try:
            answer = await self.channels.ask(send.channel, send.request, _CHANNEL_PATIENCE_S)
        except ChannelFull as error:
            self._dropped += not self._keeps(send)
            self._end(_Waiting(send, 0, started_s), Result.DROPPED, str(error), None)
        except Unreachable as error:
            self._end(_Waiting(send, 0, started_s), Result.GIVEN_UP, str(error), None)
        except asyncio.CancelledError:
            self._end(_Waiting(send, 0, started_s), Result.GIVEN_UP, "this CSE stopped before it was fetched", None)
            raise
        else:
            self._sent += 1
            duration_s = time.monotonic() - started_s
            self.log.add(send, target_of(send), Result.DELIVERED, status=int(answer.status), duration_s=duration_s)
            self._report(send, answer)

    def _forget(self, send: Send) -> None:
        if self._store is not None:
            self._store.sent(send)

    def _report(self, send: Send, answer: Response | None) -> None:
        self._forget(send)
        if send.subject and not send.final:
            self._tell(send, answer)

    def _end(self, waiting: _Waiting, result: Result, reason: str, answer: Response | None) -> None:
        """A notification was not delivered: it goes back to who keeps it, or is a dead letter."""
        send = waiting.send
        if answer is None and self._stopping.is_set() and self._store is not None and self._store.keeps(send):
            self.log.add(send, target_of(send), Result.KEPT, reason, attempt=waiting.attempts)
            return
        if answer is None and not send.final and self._keeps(send):
            result = Result.KEPT
        elif result is not Result.DROPPED:
            self._failed += 1
        if result is not Result.KEPT:
            # One warning for each time a target goes away; the rest is in the delivery log.
            circuit = self._breaker.get(target_of(send))
            again = self._stopping.is_set() or (circuit is not None and circuit.failures > len(RETRY_PAUSES_S) + 1)
            _log.log(
                logging.DEBUG if again or result is Result.DROPPED else logging.WARNING,
                "notification to %s not delivered: %s",
                target_of(send),
                reason,
                extra=about(send.request),
            )
        status = 0 if answer is None else int(answer.status)
        self.log.add(send, target_of(send), result, reason, status=status, attempt=waiting.attempts)
        self._report(send, answer)

    def _batch(self, target: str, line: _Line) -> int:
        """How many of those that wait for a target may leave together, in order; 0: one at a time."""
        if self._breaker.get(target) is not None or not self.attempts.takes_several(target):
            return 0
        count = 0
        for waiting in line.queue:
            send = waiting.send
            if count == BATCH or waiting.attempts or send.request.event_category == _LATEST or not is_plain(send):
                break
            count += 1
        return count if count > 1 else 0

    async def _deliver_several(self, target: str, line: _Line, count: int) -> None:
        """Send the first of a line on one connection; what gets no answer is tried again, one at a time, in order."""
        batch = line.batch = [self._dequeue(line) for _ in range(count)]
        outcomes: list[Response | None] = []
        try:
            async with self._slots:
                outcomes = await self.attempts.make_several(target, [waiting.send for waiting in batch])
        except Exception:
            _log.exception("several notifications to %s failed", target)
        left: list[_Waiting] = []
        for waiting, answer in zip_longest(batch, outcomes):
            if answer is None or answer.status is Status.TARGET_NOT_REACHABLE:
                left.append(waiting)
                continue
            waiting.attempts += 1
            self._take_answer(waiting, answer)
        line.batch = left
        while line.batch:
            line.at_hand = line.batch.pop(0)
            await self._deliver(target, line.at_hand)
            line.at_hand = None

    def _take_answer(self, waiting: _Waiting, answer: Response) -> None:
        """The target has answered: it took the notification, or refused it."""
        if answer.status.is_success or answer.status.is_accepted:
            self._sent += 1
            self._report(waiting.send, answer)
        else:
            reason = f"it answered {int(answer.status)} {answer.status.name}"
            self._end(waiting, Result.REFUSED, reason, answer)

    async def _deliver(self, target: str, waiting: _Waiting) -> None:
        send = waiting.send
        while True:
            reason = await self._wait_for(target, waiting)
            if reason:
                self._end(waiting, Result.GIVEN_UP, reason, None)
                return
            if waiting.superseded and waiting.attempts:
                self._dropped += 1
                self._forget(send)
                self.log.add(send, target, Result.SUPERSEDED, "a newer one waits", attempt=waiting.attempts)
                return
            waiting.attempts += 1
            answer: Response | None = None
            try:
                async with self._slots if self._breaker.get(target) is None else self._suspect_slots:
                    answer = await asyncio.wait_for(self.attempts.make(send, waiting.attempts), send.timeout_s + 1.0)
            except (Unreachable, TimeoutError) as error:
                reason = str(error) or f"no answer within {send.timeout_s:g} s"
            except Exception:
                # A fault of ours costs this notification, never those queued behind it.
                _log.exception("notification to %s failed", target, extra=about(send.request))
                self._end(waiting, Result.GIVEN_UP, "a fault of this CSE: see its log", None)
                return
            if answer is not None and answer.status is not Status.TARGET_NOT_REACHABLE:
                self._breaker.answered(target)
                self._take_answer(waiting, answer)
                return
            self._breaker.failed(target)
            if waiting.attempts > len(RETRY_PAUSES_S) or self._stopping.is_set():
                self._end(waiting, Result.GIVEN_UP, reason or "it answered that it cannot be reached", None)
                return

    async def _wait_for(self, target: str, waiting: _Waiting) -> str:
        """Wait until a target may be tried; returns why a notification waits no longer, "" when it is its turn."""
        pause_s = self._breaker.pause_s(target)
        circuit = self._breaker.get(target)
        if not pause_s or circuit is None:
            return ""
        words = f"{circuit.failures} attempts in a row failed, the next comes in {pause_s:.1f} s"
        if self._stopping.is_set() or (circuit.is_open and self._keeps(waiting.send)):
            return words
        if time.monotonic() + pause_s - waiting.posted_s > PATIENCE_S and circuit.failed_s > waiting.posted_s:
            return f"nobody answered for {PATIENCE_S:g} s: {words}"
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return ""
        return words


def _replaces(newer: Send, older: Send) -> bool:
    return older.subject == newer.subject and older.target == newer.target
