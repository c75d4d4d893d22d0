"""What an HTTP connection may cost: uvicorn's protocol with limits on sizes, slowness and numbers (TS-0009).

uvicorn bounds neither the size of a request nor how long it may take to arrive, so both are done here, in the parser's
callbacks and by one sweep a second over the open connections.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from cse.bindings.http_codec import encode_error, readable_request_id
from cse.bindings.websocket_connection import Upgrade
from cse.onem2m.addressing import is_loopback
from cse.onem2m.errors import BadRequest

_SWEEP_S = 1.0
_LINGER_S = 2.0
_IDLE, _HEAD, _BODY, _ANSWERING, _UPGRADED = range(5)
#: gives the protocol that takes over a connection whose request asks for a WebSocket
AcceptUpgrade = Callable[[Upgrade], asyncio.Protocol]
#: gives the entity a verified TLS client certificate names, "" for none
ReadCertificate = Callable[[Any], str]
#: where the ASGI scope has the entity that the connection proved
CREDENTIAL = "onem2m.credential"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What the HTTP server takes from a peer.

    Attributes:
        body_bytes: largest body.
        head_bytes: largest request line and header fields together.
        line_bytes: longest request target, and longest header field.
        header_count: most header fields.
        head_timeout_s: a head must be complete in this time.
        body_grace_s: after this time a body must have come at ``body_bytes_per_s`` or faster.
        body_bytes_per_s: slowest body.
        idle_timeout_s: an idle connection is closed after this time; one on which nothing ever came, like a slow head.
        connections: most connections in all; a new one takes the place of one that only waits.
        connections_per_address: most connections of one address; loopback, where proxies live, may have all.
    """

    body_bytes: int = 64 * 1024
    head_bytes: int = 16 * 1024
    line_bytes: int = 8 * 1024
    header_count: int = 64
    head_timeout_s: float = 10.0
    body_grace_s: float = 10.0
    body_bytes_per_s: int = 1024
    idle_timeout_s: float = 30.0
    connections: int = 2000
    connections_per_address: int = 64


class _Refused(Exception):
    """Raised in a parser callback to stop parsing; the status is noted on the protocol."""


class ConnectionGuard:
    """Knows the connections of one server, and closes those that dawdle.

    Args:
        limits: what is allowed.
        accept_upgrade: takes over connections that ask for a WebSocket; None when there are none here.
        read_certificate: tells who a client certificate is of; None when none is asked for.
    """

    def __init__(
        self,
        limits: HttpLimits,
        accept_upgrade: AcceptUpgrade | None = None,
        read_certificate: ReadCertificate | None = None,
    ) -> None:
        self.limits = limits
        self.accept_upgrade = accept_upgrade
        self.read_certificate = read_certificate
        #: seconds on this guard's own coarse clock, which connections stamp for the price of an attribute
        self.now_s = 0.0
        #: in the order they came
        self._open: dict[GuardedProtocol, None] = {}
        self._per_address: Counter[str] = Counter()

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> GuardedProtocol:
        """A protocol for a new connection, as uvicorn asks for one."""
        return GuardedProtocol(self, config, server_state, app_state, _loop)

    def admit(self, connection: GuardedProtocol, address: str) -> bool:
        """Whether one more connection from this address is let in; if so it is counted until ``release``."""
        if len(self._open) >= self.limits.connections and not self._make_room():
            return False
        if self._per_address[address] >= self.limits.connections_per_address and not is_loopback(address):
            return False
        self._open[connection] = None
        self._per_address[address] += 1
        return True

    def release(self, connection: GuardedProtocol, address: str) -> None:
        """Forget a connection that was let in."""
        if connection in self._open:
            del self._open[connection]
            self._per_address[address] -= 1
            if self._per_address[address] <= 0:
                del self._per_address[address]

    def _make_room(self) -> bool:
        """Close the connection that keeps its place waiting: of the address with most, the one quiet for longest."""
        waiting = [connection for connection in self._open if connection.waits]
        if not waiting:
            return False
        victim = min(waiting, key=lambda one: (-self._per_address[one.address], one.since_s))
        self.release(victim, victim.address)
        victim.transport.abort()
        return True

    async def watch(self) -> None:
        """Close connections that are too slow or idle, for ever."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.sweep(loop.time() - start_s)

    def sweep(self, now_s: float) -> None:
        """Close the connections that are too slow or idle at ``now_s`` (seconds on the guard's clock)."""
        self.now_s = now_s
        for connection in list(self._open):
            connection.check_pace(now_s)


class GuardedProtocol(HttpToolsProtocol):
    """One HTTP connection under a guard.

    Args:
        guard: admits it and watches it.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        loop: the running loop.
    """

    def __init__(
        self,
        guard: ConnectionGuard,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._guard = guard
        self._address = ""
        self._phase = _IDLE
        self._since_s = guard.now_s
        #: of an unfinished head, what came in later pieces than its first
        self._head_bytes = 0
        self._chunk_bytes = 0
        self._body_bytes = 0
        self._refusing = False
        self._credential = ""
        #: nothing was asked for yet
        self._fresh = True

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
        return self._phase in (_IDLE, _HEAD, _BODY) and not self.flow.read_paused

    # --- connection -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection in, or answer 503 and close it."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._since_s = self._guard.now_s
        read = self._guard.read_certificate
        secured = transport.get_extra_info("ssl_object") if read is not None else None
        if read is not None and secured is not None:
            self._credential = read(secured.getpeercert())
        if not self._guard.admit(self, self._address):
            self.refuse(503, "too many connections: try again later", retry_after_s=5)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._guard.release(self, self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless the connection is being closed."""
        if self._refusing:
            return
        self._chunk_bytes = len(data)
        if self._phase == _HEAD:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._phase == _HEAD and self._head_bytes > self._guard.limits.head_bytes:
            self.refuse(431, self._head_limits())

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser would not read."""
        self.refuse(400, "this is no well-formed HTTP/1.1 request")

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
        cycle = cast(RequestResponseCycle | None, self.cycle)
        if cycle is not None and self._phase == _BODY:
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()
        elif cycle is not None and not cycle.response_complete:
            # The answer to an earlier request is still to come; anything else would be taken for it.
            cycle.keep_alive = False
            return
        headers = (self.headers or []) if self._phase in (_HEAD, _BODY) else []
        _, fields, body = encode_error(BadRequest(debug, readable_request_id(headers)), headers)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            fields = [field for field in fields if field[0] != b"X-M2M-RSC"]
        if retry_after_s:
            fields.append((b"Retry-After", b"%d" % retry_after_s))
        fields.append((b"Connection", b"close"))
        head = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(b"HTTP/1.1 %d %s\r\n%s\r\n" % (status, HTTPStatus(status).phrase.encode(), head) + body)
        # Closing with unread bytes resets the connection, and the peer may never see the answer. So the rest of what
        # it sends is read and dropped until it has seen the end, for a short while.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_S, self.transport.close)

    # --- WebSocket ------------------------------------------------------------------------------------------

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; it stays counted until its new protocol lets go of it."""
        accept = self._guard.accept_upgrade
        assert accept is not None
        self._phase = _UPGRADED
        self.connections.discard(self)
        target = self.url.decode("latin-1")
        upgrade = Upgrade(target, self.headers, self._address, self._release, self._credential)
        protocol = accept(upgrade)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)

    def _release(self) -> None:
        self._guard.release(self, self._address)

    def _should_upgrade_to_ws(self) -> bool:
        return self._guard.accept_upgrade is not None and self.scope["method"] == "GET" and not self._refusing

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is answered as the plain HTTP request it is too."""

    # --- pace -----------------------------------------------------------------------------------------------

    def check_pace(self, now_s: float) -> None:
        """Close the connection when it idles or its request comes too slowly."""
        if self.flow.read_paused:
            return  # It is this server that does not read on.
        limits = self._guard.limits
        elapsed_s = now_s - self._since_s
        if self._phase == _HEAD:
            if elapsed_s > limits.head_timeout_s:
                self.refuse(408, f"the head of the request was not complete in {limits.head_timeout_s:g} s")
        elif self._phase == _BODY:
            if elapsed_s > limits.body_grace_s and self._body_bytes < limits.body_bytes_per_s * elapsed_s:
                self.refuse(408, f"the body came slower than {limits.body_bytes_per_s} bytes a second")
        elif self._phase == _IDLE and elapsed_s > (limits.head_timeout_s if self._fresh else limits.idle_timeout_s):
            self.transport.close()

    # --- parser callbacks -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._phase = _HEAD
        self._fresh = False
        self._since_s = self._guard.now_s
        self._head_bytes = 0
        super().on_message_begin()
        if self._credential:
            cast(dict[str, Any], self.scope)[CREDENTIAL] = self._credential

    def on_headers_complete(self) -> None:
        """The head is complete."""
        limits = self._guard.limits
        headers = self.headers
        if len(self.url) > limits.line_bytes:
            self._refuse_head(414, f"the request target is longer than {limits.line_bytes} bytes")
        # Only a head that came in more bytes than a line may have can be beyond a limit in bytes.
        long = self._head_bytes + self._chunk_bytes > limits.line_bytes
        if len(headers) > limits.header_count or (long and self._head_too_large()):
            self._refuse_head(431, self._head_limits())
        super().on_headers_complete()
        self._phase = _BODY
        self._since_s = self._guard.now_s
        self._body_bytes = 0
        for name, value in headers:
            if name == b"content-length" and int(value) > limits.body_bytes:
                self._refuse_body()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._guard.limits.body_bytes:
            self._refuse_body()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.parser.should_upgrade() and self._should_upgrade():
            return
        self._phase = _IDLE if self.cycle.response_complete else _ANSWERING
        self._since_s = self._guard.now_s
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written."""
        if self._phase == _ANSWERING and self.cycle.response_complete:
            self._phase = _IDLE
            self._since_s = self._guard.now_s
        super().on_response_complete()

    def _head_too_large(self) -> bool:
        limits = self._guard.limits
        sizes = [len(name) + len(value) + 4 for name, value in self.headers]
        return max(sizes, default=0) > limits.line_bytes or sum(sizes) + len(self.url) > limits.head_bytes

    def _head_limits(self) -> str:
        limits = self._guard.limits
        return (
            f"the head of the request is beyond {limits.header_count} header fields or {limits.head_bytes} bytes, "
            f"or one field beyond {limits.line_bytes} bytes"
        )

    def _refuse_body(self) -> None:
        self.refuse(413, f"the body is larger than {self._guard.limits.body_bytes} bytes: send less")
        raise _Refused

    def _refuse_head(self, status: int, debug: str) -> None:
        self.refuse(status, debug)
        raise _Refused
