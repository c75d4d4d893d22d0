"""HTTP side of the load generator: pre-encoded requests on raw sockets, one in flight per connection.

Each answer is checked: status, X-M2M-RSC, and, where asked for, how often something stands in the body.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.sink import Sink
from benchmarks.tally import Sample, Tally, Template

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*", re.IGNORECASE)
_RSC = re.compile(rb"\r\nx-m2m-rsc:[ \t]*", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
#: how long an answer may take, and a connection may need to be there again
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What makes an answer right.

    Attributes:
        status: HTTP status code.
        rsc: response status code of oneM2M (X-M2M-RSC), "" where there is none.
        pattern: regular expression that has to be in the body ``count`` times, "" for any body.
        count: how many times.
    """

    status: int
    rsc: str = ""
    pattern: str = ""
    count: int = 0


class _Connection(asyncio.Protocol):
    """One keep-alive connection. The spelling of header names is learnt from the first answer and then only found."""

    def __init__(self, template: Template, expected: Expected, tally: Tally, sink: Sink | None) -> None:
        self._template, self._tally, self._sink = template, tally, sink
        self._status, self._rsc = str(expected.status).encode(), expected.rsc.encode()
        self._pattern = re.compile(expected.pattern.encode()) if expected.pattern else None
        self._times = expected.count
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._sent = 0.0
        self._number = 0
        self._length_name = self._rsc_name = b""
        self._keeps = True
        self._answered = self._notified = True
        self.over: asyncio.Future[None] = self._loop.create_future()
        self.again: Callable[[], None] = lambda: None
        self._transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._length_name = b""
        self.send_next()

    def send_next(self) -> None:
        """Send the next request, now or, in a paced run, when it is due; end when there is none."""
        number = self._tally.next_number()
        if not number:
            self._finish()
            return
        self._number = number
        if self._tally.rate_per_s:
            wait_s = self._tally.due(number) - time.perf_counter()
            if wait_s > 0:
                self._loop.call_later(wait_s, self._send)
                return
        self._send()

    def _send(self) -> None:
        self._answered = False
        self._sent = time.perf_counter()
        if self._sink is not None:
            self._notified = False
            self._sink.expect(self._number, self._sent, self._has_arrived)
        self._transport.write(self._template.render(self._number))

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = data
            return
        if not self._length_name:
            self._learn(data[: head + 2])
        start = data.find(self._length_name, 0, head)
        length = int(data[start + len(self._length_name) : data.find(b"\r\n", start + 2)]) if start >= 0 else 0
        if len(data) < head + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        self._judge(data, head)

    def _learn(self, head: bytes) -> None:
        length, rsc = _LENGTH.search(head), _RSC.search(head)
        self._length_name = length[0] if length else b"\r\nContent-Length: "
        self._rsc_name = rsc[0] if rsc else b"\r\nX-M2M-RSC: "
        self._keeps = head.startswith(b"HTTP/1.1") and not _CLOSES.search(head)

    def _judge(self, data: bytes, head: int) -> None:
        now = time.perf_counter()
        right = data[9:12] == self._status
        if right and self._rsc:
            start = data.find(self._rsc_name, 0, head) + len(self._rsc_name)
            right = data[start : start + 4] == self._rsc
        if right and self._pattern is not None:
            right = len(self._pattern.findall(data, head)) == self._times
        if right:
            self._tally.right(self._sent, now)
            if self._sink is not None:
                self._sink.created(self._number)
        else:
            self._tally.fault(data)
            if self._sink is not None:
                self._sink.forget(self._number)
                self._notified = True
        self._answered = True
        if self._notified:
            self._go_on()

    def _has_arrived(self) -> None:
        self._notified = True
        if self._answered:
            self._go_on()

    def _go_on(self) -> None:
        if self._keeps:
            self.send_next()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._buffer = b""
        if self.over.done():
            return
        if not self._answered:
            self._tally.fault(f"the connection broke: {exc or 'closed by the server'}")
            self._answered = True
        self.again()

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
        self._transport.close()

    def give_up(self) -> None:
        """End although an answer is still missing, which is counted as wrong."""
        if not self.over.done():
            self._tally.fault(f"no answer for {PATIENCE_S:.0f} s" if not self._answered else "no notification")
            self._finish()


async def drive(
    address: tuple[str, int],
    template: Template,
    expected: Expected,
    tally: Tally,
    *,
    connections: int,
    sink: Sink | None = None,
) -> Sample:
    """Drive an HTTP server until the tally is full.

    Args:
        address: host and port.
        template: the requests.
        expected: what makes an answer right.
        tally: where to count.
        connections: each has one request in flight.
        sink: when given, a connection goes on only when the notification of its request has come.

    Raises:
        OSError: nobody listens there.
    """
    loop = asyncio.get_running_loop()
    drivers = [_Connection(template, expected, tally, sink) for _ in range(connections)]
    tasks: set[asyncio.Task[None]] = set()

    async def reconnect(one: _Connection) -> None:
        try:
            await loop.create_connection(lambda: one, *address)
        except OSError as error:
            tally.fault(f"cannot connect any more: {error}")
            if not one.over.done():
                one.over.set_result(None)

    def again(one: _Connection) -> None:
        task = loop.create_task(reconnect(one))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for one in drivers:
        one.again = lambda one=one: again(one)  # type: ignore[misc]
        await loop.create_connection(lambda one=one: one, *address)  # type: ignore[misc]
    await _until_over(drivers, tally)
    return tally.sample()


async def _until_over(drivers: list[_Connection], tally: Tally) -> None:
    waiting = {one.over for one in drivers}
    seen, since = -1, time.perf_counter()
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=1.0)
        if tally.answers + tally.wrong != seen:
            seen, since = tally.answers + tally.wrong, time.perf_counter()
        elif time.perf_counter() - since > PATIENCE_S:
            for one in drivers:
                one.give_up()
