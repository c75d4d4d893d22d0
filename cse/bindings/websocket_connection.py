"""One WebSocket connection as an asyncio protocol: handshake, messages, pings, closing, limits (RFC 6455).

Frames are parsed and written by the sans-I/O part of ``websockets``; what is in the messages is for
``cse.bindings.websocket_link``. Compression is never agreed on, so that a small message cannot become a large one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as HandshakeRequest
from websockets.http11 import Response as HandshakeResponse
from websockets.protocol import State
from websockets.server import ServerProtocol

from cse.bindings.websocket_codec import INTERNAL_ERROR, NORMAL, TRY_AGAIN_LATER

#: how long a peer may take to close its side
_CLOSE_S = 2.0
_REASON_BYTES = 120


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """What a WebSocket connection may cost (trust.md R16).

    Attributes:
        message_bytes: largest message; beyond it the connection is closed with 1009.
        queued: messages waiting for a peer that does not read; beyond them it is closed with 1013.
        ping_s: pause between pings; a peer that was silent for a whole further pause is gone.
        in_flight: requests of one connection executed at a time before reading stops.
        in_flight_most: the same while this side waits for answers, which only come when it reads; beyond it 1013.
        handshake_s: how long a server may take to let this side in.
    """

    message_bytes: int = 1 << 20
    queued: int = 100
    ping_s: float = 30.0
    in_flight: int = 64
    in_flight_most: int = 1024
    handshake_s: float = 5.0


class Owner(Protocol):
    """Who uses a connection."""

    def opened(self) -> None:
        """The handshake is done: messages may be sent."""

    def received(self, payload: bytes, text: bool) -> None:
        """A message is complete."""

    def closed(self, reason: str) -> None:
        """The connection is gone; called once, also when the handshake failed."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An HTTP request that asks for a WebSocket.

    Attributes:
        target: its request target.
        headers: its header fields, names in small letters.
        peer_address: the socket peer's address.
        released: to be called when the connection is gone.
        credential: the entity a TLS client certificate proves, "" without one.
    """

    target: str
    headers: Sequence[tuple[bytes, bytes]]
    peer_address: str
    released: Callable[[], None]
    credential: str = ""

    def field(self, name: str) -> str:
        """The value of a header field, several joined by commas, "" without one."""
        wanted = name.lower().encode()
        return ", ".join(value.decode("latin-1").strip() for key, value in self.headers if key.lower() == wanted)


def asks_for_websocket(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the header fields of a GET, names in small letters, ask for a WebSocket (RFC 6455 clause 4.1)."""
    asked = wanted = b""
    for name, value in headers:
        if name == b"connection":
            wanted = value.lower()
        elif name == b"upgrade":
            asked = value.lower()
    return asked == b"websocket" and b"upgrade" in [token.strip() for token in wanted.split(b",")]


class WebSocketConnection(asyncio.Protocol):
    """One connection, of either side.

    Args:
        frames: the sans-I/O protocol.
        limits: what it may cost.
        released: called when the connection is gone, besides ``owner.closed``.
    """

    def __init__(
        self,
        frames: ServerProtocol | ClientProtocol,
        limits: WebSocketLimits,
        released: Callable[[], None] = lambda: None,
    ) -> None:
        self._frames = frames
        self._limits = limits
        self._released = released
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._owner: Owner | None = None
        self._fragments: list[bytes] = []
        self._fragments_text = True
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._writing_paused = False
        self._silent = False
        self._reading = True
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self._closing = False
        self._ended = False

    # --- opening ------------------------------------------------------------------------------------------------

    @classmethod
    def accepted(
        cls, upgrade: Upgrade, subprotocol: str, limits: WebSocketLimits, owner: Owner | None, refusal: tuple[int, str]
    ) -> WebSocketConnection:
        """The server's side of a connection; the answer to the handshake is written when it gets its transport.

        Args:
            upgrade: the handshake.
            subprotocol: what is agreed on; "" for none.
            limits: what it may cost.
            owner: who uses it; None when it is refused.
            refusal: HTTP status and words when it is refused.
        """
        frames = ServerProtocol(
            subprotocols=[cast(Any, subprotocol)] if subprotocol else None,
            select_subprotocol=lambda _protocol, _offered: cast(Any, subprotocol or None),
            max_size=limits.message_bytes,
        )
        connection = cls(frames, limits, upgrade.released)
        connection._owner = owner
        lines = [f"GET {upgrade.target} HTTP/1.1".encode("latin-1")]
        lines += [name + b": " + value for name, value in upgrade.headers]
        frames.receive_data(b"\r\n".join(lines) + b"\r\n\r\n")
        request = next(iter(frames.events_received()), None)
        if owner is None or request is None:
            status, words = refusal if owner is None else (400, "this is no WebSocket handshake")
            response = frames.reject(status, words + "\n")
        else:
            response = frames.accept(cast(HandshakeRequest, request))
        frames.send_response(response)
        return connection

    @classmethod
    def connecting(
        cls, frames: ClientProtocol, headers: Headers, limits: WebSocketLimits, owner: Owner
    ) -> WebSocketConnection:
        """The client's side of a connection; the handshake is written when it gets its transport."""
        connection = cls(frames, limits)
        connection._owner = owner
        request = frames.connect()
        request.headers.update(headers)
        frames.send_request(request)
        return connection

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send this side's part of the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self._flush()
        if isinstance(self._frames, ServerProtocol):
            if self._frames.state is State.OPEN:
                self._open()
            else:
                self._reason = "the handshake was refused"
                self._close_soon()

    def data_received(self, data: bytes) -> None:
        """Take frames."""
        self._silent = False
        self._frames.receive_data(data)
        # Frames first: what was sent before a close frame is still to be served.
        for event in self._frames.events_received():
            if isinstance(event, HandshakeResponse):
                self._let_in(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()
        if self._frames.close_expected():
            self._close_soon()

    def eof_received(self) -> None:
        """The peer closed its side."""
        self._frames.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._frames.receive_eof()
        self._end(self._reason or self._said() or (str(exc) if exc else "the peer closed the connection"))

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._writing_paused = False
        while self._waiting and not self._writing_paused and self.is_open:
            self._write(*self._waiting.popleft())

    # --- what its owner does ------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._frames.state is State.OPEN

    def send(self, payload: bytes, text: bool) -> bool:
        """Send a message, now or when the peer reads again; False when the connection is closed."""
        if not self.is_open:
            return False
        if self._writing_paused:
            if len(self._waiting) >= self._limits.queued:
                self.close(TRY_AGAIN_LATER, f"{self._limits.queued} messages wait and are not read")
                return False
            self._waiting.append((payload, text))
        else:
            self._write(payload, text)
        return True

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say why, and close."""
        self._reason = self._reason or reason
        if self.is_open:
            self._waiting.clear()
            self._frames.send_close(code, reason.encode()[:_REASON_BYTES].decode(errors="ignore"))
            self._flush()
        self._close_soon()

    def read_on(self, on: bool) -> None:
        """Stop reading, or go on."""
        self._reading = on
        if self._transport is not None and not self._transport.is_closing():
            if on:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # --- inside -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._timer = self._loop.call_later(self._limits.ping_s, self._ping)
        if self._owner is not None:
            self._owner.opened()

    def _let_in(self, response: HandshakeResponse) -> None:
        failure = self._frames.handshake_exc
        if failure is None:
            self._open()
        else:
            status = f"HTTP status {response.status_code}"
            self._reason = f"no WebSocket there ({failure if isinstance(failure, InvalidHandshake) else status})"
            self._close_soon()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._fragments_text = frame.opcode is Opcode.TEXT
            self._fragments = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._fragments.append(bytes(frame.data))
        else:
            return
        if frame.fin:
            fragments, self._fragments = self._fragments, []
            if self._owner is not None:
                self._owner.received(b"".join(fragments), self._fragments_text)

    def _write(self, payload: bytes, text: bool) -> None:
        if text:
            self._frames.send_text(payload)
        else:
            self._frames.send_binary(payload)
        self._flush()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self._frames.data_to_send():
            if transport.is_closing():
                return
            if data:
                transport.write(data)
            elif transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        if transport.get_write_buffer_size() > 4 * self._limits.message_bytes + (1 << 20):
            # Pongs and answers nobody reads: the bound on queued messages is in _waiting, this one is on the rest.
            self._reason = "the peer does not read"
            transport.abort()

    def _ping(self) -> None:
        if not self.is_open:
            return
        if self._silent and self._reading:
            self.close(INTERNAL_ERROR, "no answer to a ping")
            return
        self._silent = True
        self._frames.send_ping(b"")
        self._flush()
        self._timer = self._loop.call_later(self._limits.ping_s, self._ping)

    def _said(self) -> str:
        received = self._frames.close_rcvd
        return f"the peer closed the connection: {received.code} {received.reason}".rstrip() if received else ""

    def _close_soon(self) -> None:
        """Close after the peer had time to close its side."""
        if self._closing or self._ended or self._transport is None:
            return
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_CLOSE_S, self._transport.abort)

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        self._released()
        if self._owner is not None:
            self._owner.closed(reason)
