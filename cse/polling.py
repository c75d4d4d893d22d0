"""Polling channels while they are held: requests that wait to be fetched, the poll that waits for them, and answers.

The rules are in ``cse.resources.polling_channel``; here is only what needs time to pass (TS-0001 clause 10.2.5.13).
Everything is bounded (trust.md R16): what waits in a channel, what was fetched and not answered, and the polls held.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cse.bindings import primitive_codec
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable

_log = logging.getLogger("cse.delivery")

#: ``Send.receiver`` of requests that are for a polling channel itself
CHANNEL_ITSELF = "pcu"
#: requests that wait in one channel to be fetched (beyond, new ones are refused), and that were fetched, not answered
#: (beyond, the oldest are given up)
MOST_WAITING = 100
#: polls held at a time for one channel, and over all channels; beyond, the one held longest ends
MOST_POLLS = 4
MOST_HELD = 500
#: how long after a deletion the polls of deleted channels end, in seconds
_SWEEP_S = 0.2


_Turn = asyncio.Future[Response | None]


class ChannelFull(Unreachable):
    """No further request fits into a polling channel."""


class _Channel:
    """What waits in one channel."""

    __slots__ = ("askers", "is_full", "queue")

    def __init__(self) -> None:
        #: requests to be fetched, in their order
        self.queue: OrderedDict[str, Request] = OrderedDict()
        #: who waits for the answer to each request, fetched ones (which are the older) included
        self.askers: dict[str, asyncio.Future[Response]] = {}
        #: a request was refused since one was fetched
        self.is_full = False


class PollingChannels:
    """All polling channels of a CSE by the resource-ID of their resource."""

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}
        #: the polls of each channel in their order; a result ends one, None sends it to the queue
        self._polls: dict[str, deque[_Turn]] = {}
        #: all of them with their channels, the one held longest first
        self._held: dict[_Turn, str] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None

    async def ask(self, ri: str, request: Request, timeout_s: float) -> Response:
        """Queue a request and give its answer.

        Args:
            ri: resource-ID of the channel.
            request: what the owner of the channel is asked.
            timeout_s: how long to wait for it to be fetched and answered.

        Raises:
            ChannelFull: too many requests wait in the channel.
            Unreachable: nobody fetched it, or nobody answered, in time; or the channel was deleted.
        """
        channel = self._channels.setdefault(ri, _Channel())
        if len(channel.queue) >= MOST_WAITING:
            if not channel.is_full:
                channel.is_full = True
                _log.warning("polling channel %s is full: it takes no more until its owner polls", ri)
            raise ChannelFull(f"{MOST_WAITING} requests wait in its polling channel already: it does not poll")
        wire_id = request.request_id
        number = 1
        while wire_id in channel.askers:  # of another originator that uses the same identifiers
            number += 1
            wire_id = f"{request.request_id}-{number}"
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        channel.askers[wire_id] = answer
        channel.queue[wire_id] = request if number == 1 else replace(request, request_id=wire_id)
        self._end_poll(ri, None)
        try:
            async with asyncio.timeout(timeout_s):
                response = await answer
        except TimeoutError as error:
            raise Unreachable(f"it fetched nothing or answered nothing within {timeout_s:g} s") from error
        finally:
            channel.queue.pop(wire_id, None)
            channel.askers.pop(wire_id, None)
            if not channel.askers and self._channels.get(ri) is channel:
                del self._channels[ri]
        response.request_id = request.request_id
        return response

    async def serve(self, send: Send) -> Response:
        """A poll (RETRIEVE) or an answer (NOTIFY) for a channel itself, checked by the core."""
        if send.request.operation is Operation.RETRIEVE:
            return await self._poll(send)
        try:
            response = primitive_codec.decode_response(send.request.content["m2m:rsp"])
        except CseError as error:
            return _refusal(Status.BAD_REQUEST, error.debug)
        channel = self._channels.get(send.channel)
        asker = channel.askers.get(response.request_id) if channel is not None else None
        if asker is None or asker.done():
            debug = f"no request {response.request_id!r} waits for an answer here: it may have expired"
            return _refusal(Status.BAD_REQUEST, debug)
        asker.set_result(response)
        return Response(Status.OK)

    def look_soon(self, exists: Callable[[str], bool]) -> None:
        """Resources were deleted: end what is held for channels among them, soon.

        Args:
            exists: whether a resource-ID is still known.
        """
        if self._sweep_timer is None and (self._polls or self._channels):
            self._sweep_timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep, exists)

    def close(self) -> None:
        """Look no more for deleted channels."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    async def _poll(self, send: Send) -> Response:
        """Hold a poll until something is queued; 4008 when its time is up, or when too many others came."""
        ri, loop = send.channel, asyncio.get_running_loop()
        deadline = loop.time() + send.timeout_s
        while (channel := self._channels.get(ri)) is None or not channel.queue:
            ended = await self._hold(ri, deadline - loop.time())
            if ended is not None:
                return ended
        if not send.request.content:
            return Response(Status.OK, content={"m2m:rqp": self._fetch(channel)})
        fetched: list[dict[str, Any]] = [self._fetch(channel) for _ in range(len(channel.queue))]
        return Response(Status.OK, content={"m2m:agrp": {"m2m:rqp": fetched}})

    async def _hold(self, ri: str, timeout_s: float) -> Response | None:
        """Wait for requests; gives the answer that ends the poll, None when there are some."""
        if len(self._polls.get(ri, ())) >= MOST_POLLS:
            words = f"{MOST_POLLS} newer polls took its place: one at a time is enough"
            self._end_poll(ri, _refusal(Status.REQUEST_TIMEOUT, words))
        while len(self._held) >= MOST_HELD:
            longest = next(iter(self._held.values()))
            self._end_poll(longest, _refusal(Status.REQUEST_TIMEOUT, "too many polls are held here: poll again"))
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._polls.setdefault(ri, deque()).append(turn)
        self._held[turn] = ri
        try:
            async with asyncio.timeout(timeout_s):
                return await turn
        except TimeoutError:
            return _refusal(Status.REQUEST_TIMEOUT, "no request came for this polling channel: poll again")
        finally:
            self._forget(turn, ri)

    def _forget(self, turn: _Turn, ri: str) -> None:
        self._held.pop(turn, None)
        turns = self._polls.get(ri)
        if turns is not None and turn in turns:
            turns.remove(turn)
        if not turns:
            self._polls.pop(ri, None)

    def _fetch(self, channel: _Channel) -> dict[str, Any]:
        """Take the oldest request out of a channel; its answer is waited for."""
        channel.is_full = False
        _, request = channel.queue.popitem(last=False)
        if len(channel.askers) - len(channel.queue) > MOST_WAITING:
            oldest = channel.askers.pop(next(iter(channel.askers)))
            if not oldest.done():
                oldest.set_exception(Unreachable(f"it answered none of {MOST_WAITING} requests that it fetched"))
        return primitive_codec.encode_request(request)

    def _end_poll(self, ri: str, ended: Response | None) -> None:
        """Let the poll that was held longest for a channel go on: to its end, or to the queue."""
        turns = self._polls.get(ri)
        if turns:
            turn = turns[0]
            self._forget(turn, ri)
            if not turn.done():
                turn.set_result(ended)

    def _sweep(self, exists: Callable[[str], bool]) -> None:
        self._sweep_timer = None
        for ri in [ri for ri in self._held.values() if not exists(ri)]:
            self._end_poll(ri, _refusal(Status.NOT_FOUND, "this polling channel was deleted: create another"))
        for ri in [ri for ri in self._channels if not exists(ri)]:
            for asker in self._channels[ri].askers.values():
                if not asker.done():
                    asker.set_exception(Unreachable("its polling channel was deleted"))


def _refusal(status: Status, debug: str) -> Response:
    return Response(status, content={"m2m:dbg": debug})
