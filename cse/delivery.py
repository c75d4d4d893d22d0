"""Delivery of what the core wants sent: which binding, in which order, how often tried (bindings.md section 6).

One queue and one worker per target, so a slow or dead target delays only itself and order is kept per target
(trust.md R8). Notifications are tried again with growing pauses and then given up with a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cse.bindings.outbound import Guard
from cse.onem2m.primitives import Request, Response
from cse.onem2m.status import Status
from cse.polling import CHANNEL_ITSELF, PollingChannels
from cse.ports import Send, Sender, Unreachable

_log = logging.getLogger("cse.delivery")

#: pauses before a notification is tried again, in seconds
RETRY_PAUSES_S = (0.2, 1.0, 3.0)
#: notifications waiting for one target; beyond, the oldest is dropped and counted
QUEUE_LENGTH = 10_000
#: how long a notification waits in a polling channel to be fetched and answered, in seconds
_CHANNEL_PATIENCE_S = 3600.0
#: the event category of which only the newest matters (TS-0001 clause 8.1.2)
_LATEST = 4
#: entities remembered as reachable over the broker they were heard on
_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What became of notifications so far."""

    sent: int
    failed: int
    dropped: int
    waiting: int


class Delivery:
    """Sends for the core.

    Args:
        senders: sending sides by URL scheme.
        serve_local: serves a request that is for this CSE itself.
        own_id: CSE-ID of this CSE.
        tell: told of the answer to each notification that has a subject, or of None when there was none.
        guard: decides which URLs may be sent to; None lets all pass.
    """

    def __init__(
        self,
        senders: Mapping[str, Sender],
        serve_local: Callable[[Request], Awaitable[Response]],
        own_id: str,
        tell: Callable[[Send, Response | None], None] = lambda send, answer: None,
        guard: Guard | None = None,
    ) -> None:
        self._senders = senders
        self._serve_local = serve_local
        self._own_id = own_id
        self._tell = tell
        self._guard = guard
        self._channels = PollingChannels()
        self._waiting_in_channels: set[asyncio.Task[None]] = set()
        self._queues: dict[str, deque[Send]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._counts: Counter[str] = Counter()
        self._on_broker: OrderedDict[str, str] = OrderedDict()
        #: names the open connection (WebSocket) over which an entity can be reached right now, "" without one
        self.open_channel: Callable[[str], str] = lambda entity: ""
        self._stopping = False

    @property
    def counts(self) -> DeliveryCounts:
        """Counters since the start."""
        waiting = sum(len(queue) for queue in self._queues.values())
        return DeliveryCounts(self._counts["sent"], self._counts["failed"], self._counts["dropped"], waiting)

    def heard_on_broker(self, originator: str, broker_url: str) -> None:
        """Remember that an entity speaks over a broker, so that it can be reached there when it names no poa."""
        self._on_broker[originator] = broker_url
        self._on_broker.move_to_end(originator)
        if len(self._on_broker) > _REMEMBERED:
            self._on_broker.popitem(last=False)

    async def ask(self, send: Send) -> Response | None:
        """Send a request now and give the answer; None when nobody answered at any point of access."""
        try:
            return await asyncio.wait_for(self._attempt(send), send.timeout_s + 1.0)
        except (Unreachable, TimeoutError) as error:
            _log.info("%s to %s failed: %s", send.request.operation.name, _target(send), error)
            return None

    def post(self, send: Send) -> None:
        """Queue a notification for its target."""
        if send.channel:
            # It waits in the channel: others must not wait behind it, they may be fetched together.
            task = asyncio.create_task(self._deliver_by_channel(send), name=f"channel {send.channel}")
            self._waiting_in_channels.add(task)
            task.add_done_callback(self._waiting_in_channels.discard)
            return
        target = _target(send)
        queue = self._queues.get(target)
        if queue is None:
            queue = self._queues[target] = deque()
        if send.request.event_category == _LATEST:
            for older in [one for one in queue if one.subject == send.subject and one.target == send.target]:
                queue.remove(older)
                self._counts["dropped"] += 1
        if len(queue) >= QUEUE_LENGTH:
            queue.popleft()
            self._counts["dropped"] += 1
        queue.append(send)
        if target not in self._workers:
            self._workers[target] = asyncio.create_task(self._work(target, queue), name=f"notify {target}")

    async def stop(self, grace_s: float) -> None:
        """Give what is queued a last chance, then stop."""
        self._stopping = True
        for waiting in self._waiting_in_channels:
            waiting.cancel()
        await asyncio.gather(*self._waiting_in_channels, return_exceptions=True)
        if self._workers:
            _, late = await asyncio.wait(self._workers.values(), timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for sender in {id(sender): sender for sender in self._senders.values()}.values():
            await sender.close()

    async def _work(self, target: str, queue: deque[Send]) -> None:
        try:
            while queue:
                await self._deliver(queue.popleft())
        finally:
            del self._workers[target]
            if not queue:
                self._queues.pop(target, None)

    async def _deliver_by_channel(self, send: Send) -> None:
        try:
            answer = await self._channels.ask(send.channel, send.request, _CHANNEL_PATIENCE_S)
        except Unreachable as error:
            self._counts["failed"] += 1
            _log.warning("notification to %s not delivered: %s", _target(send), error)
            self._report(send, None)
        else:
            self._counts["sent"] += 1
            self._report(send, answer)

    def _report(self, send: Send, answer: Response | None) -> None:
        if send.subject and not send.final:
            self._tell(send, answer)

    async def _deliver(self, send: Send) -> None:
        reason = ""
        answer: Response | None = None
        for pause_s in (0.0, *RETRY_PAUSES_S):
            if pause_s:
                if self._stopping:
                    break
                await asyncio.sleep(pause_s)
            try:
                answer = await asyncio.wait_for(self._attempt(send), send.timeout_s + 1.0)
            except (Unreachable, TimeoutError) as error:
                reason = str(error) or f"no answer within {send.timeout_s:g} s"
                continue
            except Exception:
                # A fault of ours costs this notification, never those queued behind it.
                _log.exception("notification to %s failed", _target(send))
                reason = "a fault of this CSE, see above"
                break
            if answer.status.is_success or answer.status.is_accepted:
                self._counts["sent"] += 1
                self._report(send, answer)
                return
            reason = f"it answered {int(answer.status)} {answer.status.name}"
            if answer.status is not Status.TARGET_NOT_REACHABLE:
                break
        self._counts["failed"] += 1
        _log.warning("notification to %s not delivered: %s", _target(send), reason)
        unreached = answer is None or answer.status is Status.TARGET_NOT_REACHABLE
        self._report(send, None if unreached else answer)

    async def _attempt(self, send: Send) -> Response:
        if send.receiver == CHANNEL_ITSELF:
            return await self._channels.serve(send)
        if send.channel:
            return await self._channels.ask(send.channel, send.request, send.timeout_s)
        if send.receiver == self._own_id and not send.urls:
            return await self._serve_local(send.request)
        urls = send.urls or self._live_channel(send.receiver)
        if send.receiver and (channel := self.open_channel(send.receiver)):
            urls = (*urls, channel)
        if not urls:
            raise Unreachable("it has no point of access: set 'poa' of the AE, or stay connected (MQTT, WebSocket)")
        reason = ""
        for url in urls:
            sender = self._senders.get(url.partition("://")[0].lower())
            if sender is None:
                reason = f"this CSE sends nothing over {url.partition('://')[0]!r}: that binding is off"
                continue
            try:
                if self._guard is not None and url in send.urls:
                    self._guard.check_url(url)
                return await sender.send(url, send)
            except Unreachable as error:
                # Only a transport failure leads on to the next point of access.
                reason = str(error)
        raise Unreachable(reason)

    def _live_channel(self, receiver: str) -> tuple[str, ...]:
        stem = receiver.rpartition("/")[2]
        url = self._on_broker.get(receiver) or self._on_broker.get(stem)
        return (url,) if url else ()


def _target(send: Send) -> str:
    return send.urls[0] if send.urls else send.receiver
