"""A load generator that costs little: pre-built requests on raw sockets, one in flight per connection.

Its ceiling is measured in the same run against a trivial server, so that a figure near it is known to be the
generator's and not the CSE's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run.

    Attributes:
        rate: answers with the expected code per second.
        p50_ms: median time from sending to the whole answer.
        p99_ms: 99th percentile of it.
        wrong: answers with another code, and connections that broke.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    wrong: int


class Tally:
    """Counts answers and times until a deadline; what comes during the warm-up is not counted."""

    def __init__(self, warm_up_s: float, seconds: float) -> None:
        now = time.perf_counter()
        self.begin = now + warm_up_s
        self.end = self.begin + seconds
        self.times: list[float] = []
        self.wrong = 0

    def over(self, now: float) -> bool:
        """Whether the run is over."""
        return now >= self.end

    def add(self, sent: float, now: float, right: bool) -> None:
        """Count one answer."""
        if sent >= self.begin:
            if right:
                self.times.append(now - sent)
            else:
                self.wrong += 1

    def sample(self) -> Sample:
        """What was measured."""
        times = sorted(self.times)
        count = len(times)
        if not count:
            return Sample(0.0, 0.0, 0.0, self.wrong)
        span = self.end - self.begin
        return Sample(count / span, times[count // 2] * 1e3, times[min(count - 1, count * 99 // 100)] * 1e3, self.wrong)


class _HttpClient(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, request: Callable[[], bytes], expected: bytes, tally: Tally, done: asyncio.Future[None]) -> None:
        self._request, self._expected, self._tally, self._done = request, expected, tally, done
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = self._buffer.lower().find(b"content-length:", 0, head)
        length = int(self._buffer[start + 15 : self._buffer.find(b"\r\n", start)]) if start >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        now = time.perf_counter()
        self._tally.add(self._sent, now, self._buffer[9:12] == self._expected)
        self._buffer = b""
        if self._tally.over(now):
            self._transport.close()
        else:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._tally.over(time.perf_counter()):
            self._tally.wrong += 1
        if not self._done.done():
            self._done.set_result(None)

    def _next(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request())


async def http(
    host: str, port: int, request: Callable[[], bytes], *, connections: int, expected: int, tally: Tally
) -> Sample:
    """Drive an HTTP server.

    Args:
        host: of the server.
        port: of the server.
        request: gives the bytes of the next request.
        connections: each has one request in flight.
        expected: HTTP status that counts as right.
        tally: where to count.
    """
    loop = asyncio.get_running_loop()
    code = str(expected).encode()
    waiting: list[asyncio.Future[None]] = []

    def connect() -> _HttpClient:
        waiting.append(loop.create_future())
        return _HttpClient(request, code, tally, waiting[-1])

    for _ in range(connections):
        await loop.create_connection(connect, host, port)
    await asyncio.gather(*waiting)
    return tally.sample()


class _CoapClient(asyncio.DatagramProtocol):
    """``window`` CON requests outstanding from one socket; what is lost is sent again after a second."""

    def __init__(self, request: Callable[[int], bytes], window: int, expected: int, tally: Tally) -> None:
        self._request, self._window, self._expected, self._tally = request, window, expected, tally
        self._sent: dict[int, float] = {}
        self._mid = 0
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        for _ in range(self._window):
            self._next()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        now = time.perf_counter()
        sent = self._sent.pop(int.from_bytes(data[2:4], "big"), None)
        if sent is None:
            return
        self._tally.add(sent, now, data[1] == self._expected)
        if not self._tally.over(now):
            self._next()

    def resend_lost(self) -> None:
        """Count requests without an answer for a second as wrong, and go on with new ones."""
        now = time.perf_counter()
        for mid in [mid for mid, sent in self._sent.items() if now - sent > 1.0]:
            del self._sent[mid]
            self._tally.wrong += 1
            self._next()

    def _next(self) -> None:
        self._mid = (self._mid + 1) & 0xFFFF
        self._sent[self._mid] = time.perf_counter()
        self._transport.sendto(self._request(self._mid))


async def coap(
    host: str, port: int, request: Callable[[int], bytes], *, window: int, expected: int, tally: Tally
) -> Sample:
    """Drive a CoAP server; ``request`` gives the datagram for a message ID, ``expected`` is the wire code."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(
        lambda: _CoapClient(request, window, expected, tally), remote_addr=(host, port)
    )
    while not tally.over(time.perf_counter()):
        await asyncio.sleep(0.2)
        client.resend_lost()
    transport.close()
    return tally.sample()


def mqtt(
    host: str, port: int, topics: tuple[str, str], payload: Callable[[int], bytes], *, clients: int, tally: Tally
) -> Sample:
    """Drive a CSE through a broker with ``clients`` requests outstanding on one connection (blocking call).

    Args:
        host: of the broker.
        port: of the broker.
        topics: request and response topic.
        payload: gives the request primitive with a number in its rqi as ``"rqi":"<number>"``.
        clients: requests outstanding.
        tally: where to count.
    """
    sent: dict[int, float] = {}
    numbers = iter(range(1, 1 << 60))
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"bench-{time.time_ns()}")
    client.max_inflight_messages_set(1000)

    def post() -> None:
        number = next(numbers)
        sent[number] = time.perf_counter()
        client.publish(topics[0], payload(number), qos=0)

    def received(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        now = time.perf_counter()
        start = message.payload.find(b'"rqi":"') + 7
        number = int(message.payload[start : message.payload.find(b'"', start)])
        began = sent.pop(number, None)
        if began is not None:
            tally.add(began, now, b'"rsc":2001' in message.payload)
            if not tally.over(now):
                post()

    def subscribed(*_args: Any) -> None:
        for _ in range(clients):
            post()

    client.on_message = received
    client.on_subscribe = subscribed
    client.connect(host, port)
    client.subscribe(topics[1], qos=0)
    while not tally.over(time.perf_counter()):
        client.loop(0.05)
    client.disconnect()
    client.loop(0.05)
    return tally.sample()
