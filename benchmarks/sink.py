"""A notification target that costs little: answers 2000 to every notification and notes when each one came.

The content of a request carries ``bench-<number>``, and so does its notification.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"\r\nx-m2m-ri:[ \t]*([^\r]*)", re.IGNORECASE)
_NUMBER = re.compile(rb"bench-(\d{10})")
_ANSWER = b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nX-M2M-RVI: 3\r\nX-M2M-RI: %b\r\nContent-Length: 0\r\n\r\n"


class Sink:
    """What came, against what was created.

    Args:
        wait: whether connections wait for the notification of their request before they send the next one.
    """

    def __init__(self, *, wait: bool = True) -> None:
        self.wait = wait
        self._expected: dict[int, tuple[float, Callable[[], None]]] = {}
        self._created: set[int] = set()
        self._missing = 0
        self._settled = asyncio.Event()
        self._seen: set[int] = set()
        self._times: list[float] = []
        self.repeated = 0

    def expect(self, number: int, sent: float, arrived: Callable[[], None]) -> None:
        """A request is sent now; ``arrived`` is called when its notification is there."""
        if self.wait:
            self._expected[number] = (sent, arrived)
        else:
            self._expected[number] = (sent, _nothing)
            arrived()

    def created(self, number: int) -> None:
        """The request was answered: its notification must come."""
        self._created.add(number)
        if number not in self._seen:
            self._missing += 1
            self._settled.clear()

    def forget(self, number: int) -> None:
        """The request was refused."""
        self._expected.pop(number, None)

    def arrived(self, body: bytes) -> None:
        """A notification came."""
        for digits in _NUMBER.findall(body):
            number = int(digits)
            if number in self._seen:
                self.repeated += 1
                continue
            self._seen.add(number)
            if number in self._created:
                self._missing -= 1
                if not self._missing:
                    self._settled.set()
            sent, call = self._expected.pop(number, (0.0, _nothing))
            if sent:
                self._times.append(time.perf_counter() - sent)
            call()

    async def settle(self, within_s: float) -> None:
        """Wait until every answered request was notified, or until the time is over."""
        if self._missing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), within_s)

    def result(self) -> dict[str, Any]:
        """The fields of a sample that are about notifications."""
        return {
            "notified": len(self._created & self._seen),
            "lost": self._missing,
            "repeated": self.repeated,
            "notified_p50_ms": median(self._times) * 1e3 if self._times else 0.0,
        }


def _nothing() -> None:
    return None


class SinkServer:
    """Listens for notifications on a free port of 127.0.0.1; what comes goes to the ``sink`` of the moment."""

    def __init__(self) -> None:
        self.sink = Sink()
        self._server: asyncio.Server

    async def start(self) -> int:
        """Listen; returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Receiver(self), "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port


class _Receiver(asyncio.Protocol):
    def __init__(self, server: SinkServer) -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answers = []
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, head)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < end:
                break
            request_id = _REQUEST_ID.search(self._buffer, 0, head)
            answers.append(_ANSWER % (request_id[1] if request_id else b"0"))
            self._server.sink.arrived(self._buffer[head + 4 : end])
            self._buffer = self._buffer[end:]
        if answers:
            self._transport.write(b"".join(answers))
