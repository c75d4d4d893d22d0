"""One attempt to send a request: which point of access, over which binding (bindings.md section 6).

Every attempt is in the delivery log.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, cast

from cse.bindings.outbound import Guard
from cse.delivery_log import DeliveryLog, Result
from cse.metering import Histogram
from cse.onem2m.primitives import Request, Response
from cse.polling import CHANNEL_ITSELF, PollingChannels
from cse.ports import Send, Sender, Unreachable
from cse.tracing import Tracing

#: entities remembered as reachable over the broker they were heard on
_REMEMBERED = 100_000
#: notifications that never leave this process: not worth a line in the log
_INSIDE = "watch://"


class _InBatches(Protocol):
    """A sender that sends several requests without waiting for each answer (``cse.bindings.http_sender``)."""

    def takes_several(self, url: str) -> bool:
        """Whether whoever is at a URL has shown that it can be done."""

    async def send_several(self, url: str, sends: Sequence[Send]) -> list[Response | Unreachable]:
        """Send requests in order; gives what came of each.

        Raises:
            Unreachable: nothing was sent.
        """


class Attempts:
    """Sends one request at a time, wherever its receiver can be reached.

    Args:
        senders: sending sides by URL scheme.
        serve_local: serves a request that is for this CSE itself.
        own_id: CSE-ID of this CSE.
        guard: decides which URLs may be sent to; None lets all pass.
        log: takes a line for each attempt.
        channels: what is held for those who poll.
    """

    def __init__(
        self,
        senders: Mapping[str, Sender],
        serve_local: Callable[[Request], Awaitable[Response]],
        own_id: str,
        guard: Guard | None,
        log: DeliveryLog,
        channels: PollingChannels,
    ) -> None:
        self._senders = senders
        self._serve_local = serve_local
        self._own_id = own_id
        self._guard = guard
        self._log = log
        self._channels = channels
        self._on_broker: OrderedDict[str, str] = OrderedDict()
        #: names the open connection (WebSocket) over which an entity can be reached right now, "" without one
        self.open_channel: Callable[[str], str] = lambda entity: ""
        #: makes a span of each attempt; None makes none
        self.tracing: Tracing | None = None
        #: how long each attempt took, by URL scheme
        self.seconds: dict[str, Histogram] = {}

    def heard_on_broker(self, originator: str, broker_url: str) -> None:
        """Remember that an entity speaks over a broker, so that it can be reached there when it names no poa."""
        self._on_broker[originator] = broker_url
        self._on_broker.move_to_end(originator)
        if len(self._on_broker) > _REMEMBERED:
            self._on_broker.popitem(last=False)

    async def make(self, send: Send, attempt: int = 1) -> Response:
        """Send a request and give the answer.

        Args:
            send: the request.
            attempt: which one it is, for the log.

        Raises:
            Unreachable: nobody answered at any point of access.
        """
        if send.receiver == CHANNEL_ITSELF:
            return await self._channels.serve(send)
        if send.channel:
            return await self._ask_channel(send, attempt)
        if send.receiver == self._own_id and not send.urls:
            return await self._serve_local(send.request)
        urls = send.urls
        if send.receiver and (channel := self.open_channel(send.receiver)):
            urls = (*urls, channel)
        if not send.urls:
            # A connection that is open is surer than a broker over which it was heard once.
            urls = (*urls, *self._live_channel(send.receiver))
        if not urls:
            reason = "it has no point of access: set 'poa' of the AE, or stay connected (MQTT, WebSocket)"
            self._log.add(send, send.receiver, Result.FAILED, reason, attempt=attempt)
            raise Unreachable(reason)
        reason = ""
        for url in urls:
            try:
                return await self._attempt_at(url, send, attempt)
            except Unreachable as error:
                # Only a transport failure leads on to the next point of access.
                reason = str(error)
        raise Unreachable(reason)

    def takes_several(self, url: str) -> bool:
        """Whether several requests may be sent to a URL without waiting for each answer."""
        sender = self._senders.get(url.partition("://")[0])
        # A trace has a span for each request, with the time that was its own.
        return self.tracing is None and hasattr(sender, "send_several") and cast(_InBatches, sender).takes_several(url)

    async def make_several(self, url: str, sends: Sequence[Send]) -> list[Response | None]:
        """Send plain requests to one URL in order; gives their answers, None for those nobody answered.

        Args:
            url: ``takes_several``.
            sends: each ``is_plain``.
        """
        scheme = url.partition("://")[0]
        started_s = time.monotonic()
        try:
            if self._guard is not None:
                self._guard.check_url(url)
            outcomes = await cast(_InBatches, self._senders[scheme]).send_several(url, sends)
        except Unreachable:
            return []
        duration_s = time.monotonic() - started_s
        answers = [outcome if isinstance(outcome, Response) else None for outcome in outcomes]
        for send, answer in zip(sends, answers, strict=True):
            if answer is not None:
                self.seconds.setdefault(scheme, Histogram()).observe(duration_s)
                if answer.status.is_success or answer.status.is_accepted:
                    self._log.add(send, url, Result.DELIVERED, status=int(answer.status), duration_s=duration_s)
        return answers

    async def _ask_channel(self, send: Send, attempt: int) -> Response:
        """Ask the owner of a polling channel; what it does not fetch or answer is in the log."""
        try:
            return await self._channels.ask(send.channel, send.request, send.timeout_s)
        except Unreachable as error:
            self._log.add(send, target_of(send), Result.FAILED, str(error), attempt=attempt)
            raise

    async def _attempt_at(self, url: str, send: Send, attempt: int) -> Response:
        """Send to one point of access, and write what came of it into the log."""
        started_s = time.monotonic()
        reason = "the time was up before an answer came"
        answer: Response | None = None
        scheme = url.partition("://")[0].lower()
        try:
            sender = self._senders.get(scheme)
            if sender is None:
                raise Unreachable(f"this CSE sends nothing over {scheme!r}: that binding is off")
            if self._guard is not None and url in send.urls:
                self._guard.check_url(url)
            sending = sender.send(url, send) if self.tracing is None else self.tracing.send(sender, url, send)
            answer = await sending
        except Unreachable as error:
            reason = str(error)
            raise
        finally:
            if not url.startswith(_INSIDE):
                duration_s = time.monotonic() - started_s
                if scheme in self._senders:  # a URL may name any scheme
                    self.seconds.setdefault(scheme, Histogram()).observe(duration_s)
                taken = answer is not None and (answer.status.is_success or answer.status.is_accepted)
                self._log.add(
                    send,
                    url,
                    Result.DELIVERED if taken else Result.FAILED,
                    "" if taken else reason if answer is None else f"it answered {int(answer.status)}",
                    status=0 if answer is None else int(answer.status),
                    attempt=attempt,
                    duration_s=duration_s,
                )
        return answer

    def _live_channel(self, receiver: str) -> tuple[str, ...]:
        stem = receiver.rpartition("/")[2]
        url = self._on_broker.get(receiver) or self._on_broker.get(stem)
        return (url,) if url else ()


def is_plain(send: Send) -> bool:
    """Whether a request goes to one URL as it is, and nowhere else."""
    return send.exact_url and len(send.urls) == 1 and not send.channel


def target_of(send: Send) -> str:
    """Who is sent to, as the log and the queues name them: the first point of access, else the identifier."""
    return send.urls[0] if send.urls else send.receiver
