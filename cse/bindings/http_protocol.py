"""One HTTP/1.1 connection of the server: an asyncio protocol on httptools' parser (RFC 9112, TS-0009).

A oneM2M request goes from the parser to the application and back to the socket as a chain of calls, without a task and
without the ASGI messages in between (docs/adr/0021 has the figures). What a client sends behind it without waiting is
begun meanwhile (``cse.bindings.http_pipeline``). Everything else on the port, pages and streams, is ASGI, done by
uvicorn's request cycle: when all before it is answered, and before all that follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httptools

from cse.bindings.http_asgi import FlowControl, cycle_of
from cse.bindings.http_codec import encode_error, readable_request_id
from cse.bindings.http_connections import ConnectionGuard
from cse.bindings.http_heads import Heads
from cse.bindings.http_message import Application, Header, HttpMessage, response_bytes
from cse.bindings.http_pipeline import Pipeline
from cse.bindings.websocket_connection import Upgrade, asks_for_websocket
from cse.onem2m.errors import BadRequest, RequestTimeout
from cse.ports import Cancellable

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_LINGER_S = 2.0
#: UPGRADING: a request for a WebSocket waits until all before it are answered
_IDLE, _HEAD, _BODY, _UPGRADING, _UPGRADED = range(5)
_log = logging.getLogger(__name__)


class _Refused(Exception):
    """Raised in a parser callback to stop parsing; the peer has its answer."""


class HttpConnection(asyncio.Protocol):
    """One connection.

    Args:
        application: answers its requests.
        guard: admits it and watches it.
        connections: those of the server; it is in it as long as it is open.
        heads: of requests to the server that came before.
    """

    transport: asyncio.Transport

    def __init__(
        self, application: Application, guard: ConnectionGuard, connections: set[HttpConnection], heads: Heads
    ) -> None:
        self._heads = heads
        self._application, self._guard, self._limits, self._connections = application, guard, guard.limits, connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # what follows a request that closes is left unread, and is no error
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._peer: tuple[str, int] | None = None
        self._address = self._credential = ""
        self._flow: FlowControl
        # --- what comes
        self._phase = _IDLE
        self._since_s = guard.now_s
        #: of an unfinished head, what came in later pieces than its first
        self._head_bytes = self._chunk_bytes = self._body_bytes = 0
        self._url = b""
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        #: nothing was asked for yet
        self._fresh = True
        self._refusing = False
        #: requests that came while one was answered
        self._waiting: deque[HttpMessage] = deque()
        #: the request that was complete last
        self._parsed: HttpMessage | None = None
        # --- what goes
        self._answered: HttpMessage | None = None
        self._work: Cancellable | None = None
        #: begun behind the one that is answered
        self._early = Pipeline(self._reply)
        self._cycle: RequestResponseCycle | None = None
        self._closing = False

    @property
    def address(self) -> str:
        """Of the peer."""
        return self._address

    @property
    def since_s(self) -> float:
        """When it began what it does now, on the guard's clock."""
        return self._since_s

    @property
    def waits(self) -> bool:
        """Whether it is the peer's turn: nothing is being answered."""
        return self._answered is None and self._phase != _UPGRADED and not self._flow.read_paused

    # --- connection -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, or answer 503 and close it."""
        self.transport = cast(asyncio.Transport, transport)
        self._flow = FlowControl(self.transport)
        self._connections.add(self)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._peer = (str(peer[0]), int(peer[1]))
            self._address = self._peer[0]
        self._since_s = self._guard.now_s
        read = self._guard.read_certificate
        secured = transport.get_extra_info("ssl_object") if read is not None else None
        if read is not None and secured is not None:
            self._credential = read(secured.getpeercert())
        if not self._guard.admit(self, self._address):
            self.refuse(503, "too many connections: try again later", retry_after_s=5)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection. What is being executed for it goes on: others may depend on it."""
        self._guard.release(self, self._address)
        self._connections.discard(self)
        self._waiting.clear()
        self._early.clear()
        self._closing = True
        cycle = self._cycle
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self._flow.resume_writing()

    def eof_received(self) -> bool:
        """The peer sends no more: what was begun for it is still answered."""
        if self._answered is None or self._cycle or self.transport.get_extra_info("ssl_object") is not None:
            return False
        self._closing = True
        self._waiting.clear()
        return True

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless the connection is being closed."""
        if self._refusing:
            return
        begins = self._phase == _IDLE
        if begins and self._answered is None and not (self._waiting or self._closing or self._flow.write_paused):
            familiar = self._heads.message(data, self._peer, self._credential)
            if familiar is not None:
                self._fresh = False
                self._since_s = self._guard.now_s
                self._answer(familiar)
                return
        self._chunk_bytes = len(data)
        if self._phase == _HEAD:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._asks_for_websocket():
                self._upgrade_in_turn()
            return
        except httptools.HttpParserError:
            self.refuse(400, "this is no well-formed HTTP/1.1 request")
            return
        if self._phase == _HEAD and self._head_bytes > self._limits.head_bytes:
            self.refuse(431, self._limits.head_words)
        if begins and self._parsed is not None:
            self._heads.learn(data, self._parsed)
        self._parsed = None

    def pause_writing(self) -> None:
        """The peer does not read: nothing more is read from it, and nothing answered."""
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._flow.resume_writing()
        self._go_on()

    def shut_down(self) -> None:
        """Close as soon as what is begun is answered."""
        if self._answered is None:
            self.transport.close()
            return
        self._closing = True
        self._waiting.clear()
        if self._cycle is not None:
            self._cycle.keep_alive = False

    def cut_short(self) -> None:
        """The server waits no longer: what is being answered is answered with an error."""
        while (message := self._answered) is not None:
            if self._work is not None:
                self._work.cancel()
            if self._cycle is not None or self.transport.is_closing():
                return
            rqi = readable_request_id(message.headers)
            stopping = RequestTimeout("the CSE is stopping: send the request again", rqi)
            self._reply(*encode_error(stopping, message.headers))

    def refuse(self, status: int, debug: str, *, retry_after_s: int = 0) -> None:
        """Answer an error in place of the application, and close.

        Args:
            status: the HTTP status.
            debug: what was wrong and what to send instead.
            retry_after_s: when to come again, in seconds; 0 leaves it open.
        """
        if self._refusing or self.transport.is_closing():
            return
        self._refusing = True
        if self._answered is not None or self._waiting:
            # The answer to an earlier request is still to come; anything else would be taken for it.
            self.shut_down()
            return
        headers = self._headers if self._phase in (_HEAD, _BODY) else []
        _, fields, body = encode_error(BadRequest(debug, readable_request_id(headers)), headers)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            fields = [field for field in fields if field[0] != b"X-M2M-RSC"]
        if retry_after_s:
            fields.append((b"Retry-After", b"%d" % retry_after_s))
        self.transport.write(response_bytes(status, fields, body, close=True, has_body=True))
        # Closing with unread bytes resets the connection, and the peer may never see the answer. So the rest of what
        # it sends is read and dropped until it has seen the end, for a short while.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._flow.resume_reading()
        self._loop.call_later(_LINGER_S, self.transport.close)

    # --- parser callbacks -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._phase = _HEAD
        self._fresh = False
        self._since_s = self._guard.now_s
        self._head_bytes = 0
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        limits, headers = self._limits, self._headers
        if len(self._url) > limits.line_bytes:
            self._refuse_now(414, f"the request target is longer than {limits.line_bytes} bytes")
        # Only a head that came in more bytes than a line may have can be beyond a limit in bytes.
        long = self._head_bytes + self._chunk_bytes > limits.line_bytes
        if len(headers) > limits.header_count or (long and limits.is_head_too_large(self._url, headers)):
            self._refuse_now(431, limits.head_words)
        self._phase = _BODY
        self._since_s = self._guard.now_s
        self._body_bytes = 0
        self._body = []
        asks_before = False
        for name, value in headers:
            if name == b"content-length":
                if int(value) > limits.body_bytes:
                    self._refuse_body()
            elif name == b"expect":
                asks_before = value.lower() == b"100-continue"
        if asks_before and self._answered is None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._refuse_body()
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        parser = self._parser
        upgrade = parser.should_upgrade()
        if upgrade and self._asks_for_websocket():
            return
        self._phase = _IDLE
        self._since_s = self._guard.now_s
        path, _, query = self._url.partition(b"?")
        if path[:1] != b"/" or b"#" in self._url:
            path, query = self._parsed_target()
        version = parser.get_http_version()
        message = HttpMessage(
            parser.get_method().decode("ascii"),
            path,
            query,
            self._headers,
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
            self._peer,
            self._credential,
            # after an Upgrade that is not taken the parser reads no further
            parser.should_keep_alive() and version != "1.0" and not upgrade,
            version,
        )
        self._parsed = message
        if self.transport.is_closing():
            return  # the answer before it was the last
        if self._answered is None and not (self._waiting or self._flow.write_paused):
            self._answer(message)
        elif self._waiting or not self._begins_early(message):
            self._waiting.append(message)
            self._flow.pause_reading()

    def _parsed_target(self) -> tuple[bytes, bytes]:
        try:
            target = httptools.parse_url(self._url)
        except httptools.HttpParserInvalidURLError:
            self._refuse_now(400, "the request target is no path and no URL: send e.g. GET /<CSE name> HTTP/1.1")
        return target.path or b"/", target.query or b""

    def _refuse_body(self) -> None:
        self._refuse_now(413, f"the body is larger than {self._limits.body_bytes} bytes: send less")

    def _refuse_now(self, status: int, debug: str) -> None:
        self.refuse(status, debug)
        raise _Refused

    # --- answers --------------------------------------------------------------------------------------------

    def _answer(self, message: HttpMessage) -> None:
        """Have a request answered; nothing else is being answered."""
        self._answered = message
        known = message.head is not None and message.head.decoded is not None
        if known or self._application.is_direct(message):
            work = self._application.answer(message, self._reply)
            if self._answered is message:
                self._work = work
        else:
            self._converse(message)

    def _begins_early(self, message: HttpMessage) -> bool:
        """Begin a request while those before it wait for the disk; false when it has to wait for their answers."""
        before = self._answered
        if before is None or self._closing or self._flow.write_paused or not self._early.may_begin(before, self._work):
            return False
        if not self._application.is_direct(message):
            return False
        self._early.begin(message, self._application.answer)
        return True

    def _reply(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Send the answer to the request whose turn it is, and those behind it that are held."""
        message = self._answered
        while (
            message is not None and not self.transport.is_closing()
        ):  # else the peer is gone, or was told to wait no more
            close = not message.keep_alive or (self._closing and not self._early.begun)
            try:
                answer = response_bytes(status, headers, body, close=close, has_body=message.method != "HEAD")
            except ValueError:
                _log.exception("an answer cannot be written")
                answer, close = response_bytes(500, (), b"", close=True, has_body=False), True
            self._answered = self._work = message = None
            self.transport.write(answer)
            if self._phase == _IDLE:
                self._since_s = self._guard.now_s
            if close:
                self.transport.close()
            elif self._early.begun:
                early = self._early.take_turn()
                self._answered, self._work = early.message, early.work
                if early.answer is not None:
                    message, (status, headers, body) = early.message, early.answer
        if self._waiting or self._flow.read_paused:
            # not from here: a thousand requests in one piece would be a thousand calls deep
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Begin those of the requests that came meanwhile that may, or read on."""
        if self._flow.write_paused or self._refusing or self._closing or self.transport.is_closing():
            return
        waiting = self._waiting
        if self._answered is None and waiting:
            self._answer(waiting.popleft())
            if self._answered is None:
                return  # it is answered already, and the next follows soon
        while waiting and self._begins_early(waiting[0]):
            waiting.popleft()
        if self._phase == _UPGRADING:
            self._upgrade_in_turn()
        elif not waiting:
            self._flow.resume_reading()

    def _converse(self, message: HttpMessage) -> None:
        """Have a request answered by the application as an ASGI application."""
        keep_alive = message.keep_alive and not self._closing
        cycle = cycle_of(message, self.transport, self._flow, keep_alive=keep_alive, on_response=self._conversed)
        name = f"http {cycle.scope['path']}"
        task = self._loop.create_task(cycle.run_asgi(cast(Any, self._application)), name=name)
        self._cycle, self._work = cycle, task
        task.add_done_callback(self._conversation_over)

    def _conversed(self) -> None:
        """The ASGI application has answered."""
        self._answered = self._work = self._cycle = None
        if self._phase == _IDLE:
            self._since_s = self._guard.now_s
        self._loop.call_soon(self._go_on)

    def _conversation_over(self, task: asyncio.Task[None]) -> None:
        if task is self._work:  # it ended without an answer: uvicorn's cycle has closed the connection
            self._answered = self._work = self._cycle = None
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()

    # --- WebSocket ------------------------------------------------------------------------------------------

    def _asks_for_websocket(self) -> bool:
        may_be = self._guard.accept_upgrade is not None and not self._refusing and self._parser.get_method() == b"GET"
        return may_be and asks_for_websocket(self._headers)

    def _upgrade_in_turn(self) -> None:
        """Hand the connection over; it stays counted until its new protocol lets go of it."""
        if self._answered is not None or self._waiting:  # their answers would come in the middle of its frames
            self._phase = _UPGRADING
            self._flow.pause_reading()
            return
        accept = self._guard.accept_upgrade
        assert accept is not None
        self._flow.resume_reading()
        self._phase = _UPGRADED
        self._connections.discard(self)
        target = self._url.decode("latin-1")
        protocol = accept(Upgrade(target, self._headers, self._address, self._release, self._credential))
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)

    def _release(self) -> None:
        self._guard.release(self, self._address)

    # --- pace -----------------------------------------------------------------------------------------------

    def check_pace(self, now_s: float) -> None:
        """Close the connection when it idles or its request comes too slowly."""
        if self._flow.read_paused:
            return  # It is this server that does not read on.
        limits = self._limits
        elapsed_s = now_s - self._since_s
        if self._phase == _HEAD:
            if elapsed_s > limits.head_timeout_s:
                self.refuse(408, f"the head of the request was not complete in {limits.head_timeout_s:g} s")
        elif self._phase == _BODY:
            if elapsed_s > limits.body_grace_s and self._body_bytes < limits.body_bytes_per_s * elapsed_s:
                self.refuse(408, f"the body came slower than {limits.body_bytes_per_s} bytes a second")
        elif self._phase == _IDLE and self._answered is None:
            limit_s = limits.head_timeout_s if self._fresh else limits.idle_timeout_s
            if elapsed_s > limit_s:
                self.transport.close()
