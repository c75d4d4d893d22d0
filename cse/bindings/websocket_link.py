"""Primitives over one WebSocket connection: requests in both directions, answers matched by rqi (TS-0020 clause 6.3).

A link belongs to one node, which says who may send what, and to at most one entity on the other side.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import replace
from typing import Protocol

from cse.bindings import websocket_codec as codec
from cse.bindings.media import JSON
from cse.bindings.websocket_connection import WebSocketConnection, WebSocketLimits
from cse.onem2m.errors import CseError, InternalServerError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Unreachable

_log = logging.getLogger(__name__)


class Node(Protocol):
    """The owner of links: what they need of a CSE or an application."""

    #: dialects are understood and counted
    lenient: bool

    def note(self, dialect: str) -> None:
        """Count a dialect."""

    def admit(self, link: WebSocketLink, request: Request) -> None:
        """Check who sends a request.

        Raises:
            CseError: the answer to it instead.
        """

    async def serve(self, request: Request) -> Response:
        """Execute a request."""

    def answered(self, link: WebSocketLink, request: Request, response: Response) -> None:
        """A request was executed; its answer is sent next."""

    def sent(self, link: WebSocketLink, request: Request, response: Response) -> None:
        """The answer was sent."""

    def opened(self, link: WebSocketLink) -> None:
        """The connection is open."""

    def gone(self, link: WebSocketLink, reason: str) -> None:
        """The connection is closed, or never opened."""


class WebSocketLink:
    """One connection and the requests on it (``websocket_connection.Owner``).

    Args:
        node: who it belongs to.
        subprotocol: what is agreed on; "" for none.
        limits: what it may cost.
        entity: who is on the other side, in its shortest form; "" as long as nobody knows.
        peer_address: the socket peer's address.
        outward: this side opened it.
    """

    def __init__(
        self,
        node: Node,
        subprotocol: str,
        limits: WebSocketLimits,
        *,
        entity: str = "",
        peer_address: str = "",
        outward: bool = False,
    ) -> None:
        self.entity = entity
        self.peer_address = peer_address
        self.outward = outward
        #: what the other side proved to be, "" for nothing
        self.credential = ""
        #: that was proved by a token, which may be taken away
        self.by_token = False
        #: the entity is or was registered here, so that the end of its registration ends the connection
        self.registered = False
        #: set when the connection is open or gone
        self.settled = asyncio.Event()
        #: set when the connection is gone
        self.ended = asyncio.Event()
        self.connection: WebSocketConnection | None = None
        self._node = node
        self._subprotocol = subprotocol
        self._limits = limits
        self._serialisation = codec.SUBPROTOCOLS.get(subprotocol, JSON)
        self._expected: dict[str, asyncio.Future[Response]] = {}
        self._numbers = itertools.count(1)
        self._running: dict[asyncio.Task[None], Request] = {}
        self._registering = False
        self._held: list[codec.Incoming] = []
        self._reading = True
        self._why_gone = ""

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self.connection is not None and self.connection.is_open

    @property
    def why_gone(self) -> str:
        """Why the connection is gone, "" while it is not."""
        return self._why_gone

    async def ask(self, request: Request, timeout_s: float) -> Response:
        """Send a request and give the answer.

        Raises:
            Unreachable: the connection is closed, or nobody answered in ``timeout_s``.
        """
        connection = self.connection
        if connection is None or not connection.is_open:
            raise Unreachable(self._why_gone or "the connection is closed")
        wire_id = request.request_id
        while wire_id in self._expected:
            # Several originators may use the same rqi at a time, and the answers come over one connection.
            wire_id = f"{request.request_id}-{next(self._numbers)}"
        sent = request if wire_id == request.request_id else replace(request, request_id=wire_id)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._expected[wire_id] = answer
        self._regulate()
        try:
            payload = codec.encode_request(sent, self._serialisation)
            if not connection.send(payload, codec.is_text(self._serialisation)):
                raise Unreachable(self._why_gone or "the connection is closed")
            async with asyncio.timeout(timeout_s):
                response = await answer
        except TimeoutError as error:
            raise Unreachable(f"no answer in {timeout_s:g} s") from error
        finally:
            del self._expected[wire_id]
            self._regulate()
        response.request_id = request.request_id
        return response

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        if self.connection is not None:
            self.connection.close(code, reason)

    async def finish(self, grace_s: float) -> None:
        """Wait for running requests to be answered, at most ``grace_s`` seconds, then close (1001)."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace_s)
            for task in late:
                task.cancel()
        self.close(codec.GOING_AWAY, "this node stops")

    # --- websocket_connection.Owner -----------------------------------------------------------------------------

    def opened(self) -> None:
        """The handshake is done."""
        self.settled.set()
        self._node.opened(self)

    def received(self, payload: bytes, text: bool) -> None:
        """Take one message."""
        try:
            incoming = codec.decode(
                payload, text=text, subprotocol=self._subprotocol, lenient=self._node.lenient, note=self._node.note
            )
        except codec.Unreadable as error:
            self.close(error.close_code, error.reason)
            return
        if not self._subprotocol:
            self._serialisation = incoming.serialisation
        if incoming.is_answer:
            self._match(incoming)
        else:
            self._take(incoming)

    def closed(self, reason: str) -> None:
        """The connection is gone: nobody will answer any more."""
        self._why_gone = reason
        for answer in self._expected.values():
            if not answer.done():
                answer.set_exception(Unreachable(reason))
        for task, request in self._running.items():
            if request.operation is Operation.RETRIEVE and request.to.endswith("/pcu"):
                task.cancel()  # a poll nobody waits for must not take what comes next
        self._held.clear()
        self.settled.set()
        self.ended.set()
        self._node.gone(self, reason)

    # --- inside -------------------------------------------------------------------------------------------------

    def _match(self, incoming: codec.Incoming) -> None:
        """Give a response to who waits for it; one that comes too late is dropped."""
        primitive = incoming.primitive
        assert not isinstance(primitive, Request)
        answer = self._expected.get(primitive.request_id)
        if answer is None or answer.done():
            return
        if isinstance(primitive, Response):
            answer.set_result(primitive)
        else:
            answer.set_exception(Unreachable(f"the answer is no oneM2M response: {primitive.debug}"))

    def _take(self, incoming: codec.Incoming) -> None:
        """Start a request, or answer what is wrong with it."""
        if self._registering and not self.entity:
            self._held.append(incoming)  # who it is, is known when the registration is answered
            self._regulate()
            return
        request = incoming.primitive
        assert not isinstance(request, Response)
        if isinstance(request, CseError):
            self._answer(_failure(request, request.request_id), incoming)
            return
        request.binding, request.peer_address, request.credential = "ws", self.peer_address, self.credential
        try:
            self._node.admit(self, request)
        except CseError as error:
            self._answer(_failure(error, request.request_id, request.release), incoming)
            return
        self._registering = self._registering or (not self.entity and codec.registers(request))
        task = asyncio.get_running_loop().create_task(self._execute(request, incoming))
        self._running[task] = request
        task.add_done_callback(self._ended)
        self._regulate()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._regulate()

    async def _execute(self, request: Request, incoming: codec.Incoming) -> None:
        try:
            response = await self._node.serve(request)
        except CseError as error:
            response = _failure(error, request.request_id, request.release)
        except Exception:
            _log.exception("ws: request %r failed", request.request_id)
            fault = InternalServerError("the request met a fault of this CSE: see its log")
            response = _failure(fault, request.request_id, request.release)
        self._node.answered(self, request, response)
        self._answer(response, incoming)
        self._node.sent(self, request, response)
        if self._registering and codec.registers(request):
            self._registering = False
            held, self._held = self._held, []
            for waiting in held:
                self._take(waiting)

    def _answer(self, response: Response, incoming: codec.Incoming) -> None:
        if response.silent or self.connection is None:
            return
        payload = codec.encode_response(response, incoming.serialisation, wrapped=incoming.wrapped)
        self.connection.send(payload, codec.is_text(incoming.serialisation))

    def _regulate(self) -> None:
        """Stop reading while enough requests run, but not while an answer is waited for, which comes the same way."""
        if self.connection is None:
            return
        running = len(self._running) + len(self._held)
        if running > self._limits.in_flight_most:
            self.close(codec.TRY_AGAIN_LATER, f"more than {self._limits.in_flight_most} requests at a time")
            return
        reading = running < self._limits.in_flight or bool(self._expected) or self._registering
        if reading != self._reading:
            self._reading = reading
            self.connection.read_on(reading)


def _failure(error: CseError, request_id: str, release: str | None = None) -> Response:
    return Response(error.status, request_id, {"m2m:dbg": error.debug}, release)


def is_deletion(request: Request, response: Response) -> bool:
    """Whether a request deleted something."""
    return request.operation is Operation.DELETE and response.status is Status.DELETED
