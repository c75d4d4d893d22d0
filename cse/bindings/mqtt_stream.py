"""What paho takes for its socket: an asyncio transport with a buffer on each side (TS-0010 clause 6.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Stream(asyncio.Protocol):
    """What paho takes for its socket: received bytes in a buffer, sent bytes gathered until ``flush``."""

    def __init__(
        self, received: Callable[[], None], lost: Callable[[Stream], None], writable: Callable[[], None]
    ) -> None:
        self._received, self._lost, self._writable = received, lost, writable
        self._transport: asyncio.Transport | None = None
        self._in: bytes = b""
        self._at = 0
        self._out: list[bytes | bytearray] = []
        self._eof = False
        #: the broker reads slower than we write
        self.congested = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Give paho what came."""
        self._in = data if self._at == len(self._in) else self._in[self._at :] + data
        self._at = 0
        self._received()

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
        """Up to ``size`` bytes, b"" at the end of the stream.

        Raises:
            BlockingIOError: there is nothing yet.
        """
        if self._at == len(self._in):
            if self._eof:
                return b""
            raise BlockingIOError
        start, self._at = self._at, min(self._at + size, len(self._in))
        return self._in[start : self._at]

    @property
    def has_data(self) -> bool:
        """Whether ``recv`` would give bytes."""
        return self._at < len(self._in)

    def send(self, data: bytes | bytearray) -> int:
        """Gather bytes to be written."""
        self._out.append(data)
        return len(data)

    def flush(self) -> None:
        """Write what was gathered, in one piece."""
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def hold(self, on: bool) -> None:
        """Stop or go on reading, so that the broker keeps what we cannot take."""
        if self._transport is not None and not self._transport.is_closing():
            if on and self._transport.is_reading():
                self._transport.pause_reading()
            elif not on and not self._transport.is_reading():
                self._transport.resume_reading()

    def close(self) -> None:
        """Write what is left, then close."""
        self.flush()
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
