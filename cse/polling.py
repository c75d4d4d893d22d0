"""Polling channels while they are held: requests that wait to be fetched, polls that wait for requests, and answers.

The rules are in ``cse.resources.polling_channel``; here is only what needs time to pass (TS-0001 clause 10.2.5.13).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import Any

from cse.bindings import primitive_codec
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable

#: ``Send.receiver`` of requests that are for a polling channel itself
CHANNEL_ITSELF = "pcu"
#: requests that wait in one channel; beyond, new ones are refused
_MOST_WAITING = 1000


class PollingChannels:
    """All polling channels of a CSE by the resource-ID of their resource."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, deque[Request]] = defaultdict(deque)
        self._polls: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._askers: dict[tuple[str, str], asyncio.Future[Response]] = {}

    async def ask(self, channel: str, request: Request, timeout_s: float) -> Response:
        """Queue a request and give its answer.

        Raises:
            Unreachable: nobody fetched it, or nobody answered, in time.
        """
        queue = self._queues[channel]
        if len(queue) >= _MOST_WAITING:
            raise Unreachable(f"{_MOST_WAITING} requests wait in its polling channel already: it does not poll")
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._askers[channel, request.request_id] = answer
        queue.append(request)
        self._wake(channel)
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError as error:
            raise Unreachable(f"it fetched nothing or answered nothing within {timeout_s:g} s") from error
        finally:
            del self._askers[channel, request.request_id]
            if request in queue:
                queue.remove(request)
            if not queue:
                self._queues.pop(channel, None)

    async def serve(self, send: Send) -> Response:
        """A poll (RETRIEVE) or an answer (NOTIFY) for a channel itself, checked by the core."""
        if send.request.operation is Operation.RETRIEVE:
            return await self._poll(send)
        try:
            response = primitive_codec.decode_response(send.request.content["m2m:rsp"])
        except CseError as error:
            return Response(Status.BAD_REQUEST, content={"m2m:dbg": error.debug})
        asker = self._askers.get((send.channel, response.request_id))
        if asker is None or asker.done():
            debug = f"no request {response.request_id!r} waits for an answer here: it may have expired"
            return Response(Status.BAD_REQUEST, content={"m2m:dbg": debug})
        asker.set_result(response)
        return Response(Status.OK)

    async def _poll(self, send: Send) -> Response:
        """Hold a poll until something is queued; 4008 when its time is up."""
        channel = send.channel
        deadline = asyncio.get_running_loop().time() + send.timeout_s
        while not self._queues.get(channel):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            polls = self._polls[channel]
            polls.append(turn)
            try:
                await asyncio.wait_for(turn, deadline - asyncio.get_running_loop().time())
            except TimeoutError:
                return Response(Status.REQUEST_TIMEOUT, content={"m2m:dbg": "no request came for this polling channel"})
            finally:
                if turn in polls:
                    polls.remove(turn)
                if not polls:
                    self._polls.pop(channel, None)
        queue = self._queues[channel]
        if not send.request.content:
            return Response(Status.OK, content={"m2m:rqp": primitive_codec.encode_request(queue.popleft())})
        fetched: list[dict[str, Any]] = [primitive_codec.encode_request(request) for request in queue]
        queue.clear()
        return Response(Status.OK, content={"m2m:agrp": {"m2m:rqp": fetched}})

    def _wake(self, channel: str) -> None:
        """The poll that waits longest may look."""
        for turn in self._polls.get(channel, ()):
            if not turn.done():
                turn.set_result(None)
                return
