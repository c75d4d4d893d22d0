"""What paho takes for its socket: an asyncio transport with a buffer on each side (TS-0010 clause 6.1)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast


class Stream(asyncio.Protocol):
    """What paho takes for its socket: received bytes in a buffer, sent bytes gathered for a turn of the loop."""

    def __init__(
        self, received: Callable[[bytes], bytes], lost: Callable[[Stream], None], writable: Callable[[], None]
    ) -> None:
        self._received, self._lost, self._writable = received, lost, writable
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._in: bytes = b""
        self._quick: socket.socket | None = None
        self._out: list[bytes | bytearray] = []
        self._eof = self._held = False
        #: the broker reads slower than we write
        self.congested = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by class
        if hasattr(socket, "TCP_QUICKACK"):
            self._quick = transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        """Take the whole packets out of what came; the rest waits for more."""
        self._acknowledge_at_once()
        self._in = self._received(self._in + data if self._in else data)

    def _acknowledge_at_once(self) -> None:
        # Brokers that leave Nagle's algorithm on (Mosquitto does) hold back the next packet until the kernel has
        # acknowledged this one, and Linux delays that by 40 ms unless it is told not to, each time anew.
        if self._quick is not None:
            self._quick.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let paho read the end of the stream."""
        self._eof = True
        self._lost(self)

    def pause_writing(self) -> None:
        """Stop taking requests."""
        self.congested = True

    def resume_writing(self) -> None:
        """Take requests again."""
        self.congested = False
        self._writable()

    def recv(self, size: int) -> bytes:
        """b"" at the end of the stream; until then nothing, because bytes are taken as they come.

        Raises:
            BlockingIOError: the stream has not ended.
        """
        if self._eof:
            return b""
        raise BlockingIOError

    def send(self, data: bytes | bytearray) -> int:
        """Gather bytes to be written; returns how many."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        return len(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def hold(self, on: bool) -> None:
        """Stop or go on reading, so that the broker keeps what we cannot take."""
        if on is self._held or self._transport is None or self._transport.is_closing():
            return
        self._held = on
        if on:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def close(self) -> None:
        """Write what is left, then close."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without writing what is left."""
        if self._transport is not None:
            self._transport.abort()

    def fileno(self) -> int:
        """No descriptor: nobody but asyncio waits for this stream."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """Never blocks."""
