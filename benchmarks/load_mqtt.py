"""MQTT side of the load generator: MQTT 3.1.1 with QoS 1 on a raw socket, ``clients`` requests outstanding.

Only what is needed of the protocol: CONNECT, SUBSCRIBE, PUBLISH, PUBACK. No client library is on the hot path.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import Any

from benchmarks.tally import Sample, Tally, Template

_CONNACK, _PUBLISH, _SUBACK = 2, 3, 9
_REQUEST_ID = re.compile(rb"\"rqi\":\s*\"bench-(\d{10})\"")
#: how long an answer may take
_PATIENCE_S = 30.0


def frame(head: int, body: bytes) -> bytes:
    """An MQTT control packet (MQTT 3.1.1 clause 2.2)."""
    length, encoded = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        encoded.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((head,)) + bytes(encoded) + body


def text(value: str) -> bytes:
    """A UTF-8 encoded string as MQTT has it: two bytes of length before it."""
    encoded = value.encode()
    return len(encoded).to_bytes(2, "big") + encoded


class Link(asyncio.Protocol):
    """One connection to a broker, subscribed to one topic filter.

    Args:
        topic_filter: what to subscribe to.
        subscribed: called when the broker has confirmed it.
        received: called with topic and payload of each message, after it was acknowledged.
    """

    def __init__(
        self, topic_filter: str, subscribed: Callable[[], None], received: Callable[[bytes, bytes], None]
    ) -> None:
        self._filter, self._subscribed, self._received = topic_filter, subscribed, received
        self._buffer = b""
        self._mid = 0
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        name = text(f"bench-{os.urandom(6).hex()}")
        transport.write(frame(0x10, text("MQTT") + bytes((4, 2, 0, 0)) + name))

    def publish(self, topic_field: bytes, payload: bytes) -> None:
        """Publish with QoS 1; ``topic_field`` is the topic as ``text`` makes it."""
        self._mid = self._mid % 0xFFFF + 1
        self._transport.write(frame(0x32, topic_field + self._mid.to_bytes(2, "big") + payload))

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        position, whole = 0, len(data)
        acknowledged = []
        while position + 1 < whole:
            length, shift, start = 0, 0, position + 1
            while start < whole:
                digit = data[start]
                length |= (digit & 127) << shift
                start, shift = start + 1, shift + 7
                if digit < 128:
                    break
            else:
                break
            if data[start - 1] >= 128 or start + length > whole:
                break
            kind = data[position] >> 4
            if kind == _PUBLISH:
                begin = start + 2 + int.from_bytes(data[start : start + 2], "big")
                topic = data[start + 2 : begin]
                if data[position] & 6:
                    acknowledged.append(b"\x40\x02" + data[begin : begin + 2])
                    begin += 2
                self._received(topic, data[begin : start + length])
            elif kind in (_CONNACK, _SUBACK):
                self._progress(kind, data[start + length - 1])
            position = start + length
        self._buffer = data[position:]
        if acknowledged:
            self._transport.write(b"".join(acknowledged))

    def _progress(self, kind: int, code: int) -> None:
        if (kind == _CONNACK and code) or code >= 0x80:
            self.close(f"the broker refused with code {code}")
        elif kind == _CONNACK:
            self._transport.write(frame(0x82, b"\0\1" + text(self._filter) + b"\1"))
        else:
            self._subscribed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(f"the broker closed the connection: {exc or 'no reason given'}")

    def close(self, why: str = "") -> None:
        """End the connection; ``why`` is empty when all is well."""
        if not self.over.done():
            self.over.set_result(why)
            self._transport.write(b"\xe0\0")
            self._transport.close()


class _Requester:
    """Keeps requests outstanding, and matches answers by their rqi."""

    def __init__(self, template: Template, rsc: int, tally: Tally, topics: tuple[str, str], clients: int) -> None:
        self._template, self._tally, self._clients = template, tally, clients
        self._right = re.compile(rb"\"rsc\":\s*%d\b" % rsc)
        self._topic = text(topics[0])
        self._outstanding: dict[int, float] = {}
        self.link = Link(topics[1], self._begin, self._answered)

    def _begin(self) -> None:
        for _ in range(self._clients):
            self._next()

    def _next(self) -> None:
        number = self._tally.next_number()
        if number:
            self._outstanding[number] = time.perf_counter()
            self.link.publish(self._topic, self._template.render(number))
        elif not self._outstanding:
            self.link.close()

    def _answered(self, _topic: bytes, payload: bytes) -> None:
        now = time.perf_counter()
        found = _REQUEST_ID.search(payload)
        sent = self._outstanding.pop(int(found[1]), None) if found else None
        if sent is None:
            return
        if self._right.search(payload):
            self._tally.right(sent, now)
        else:
            self._tally.fault(payload)
        self._next()

    def give_up(self) -> None:
        """Count what is outstanding as wrong."""
        for _ in self._outstanding:
            self._tally.fault(f"no answer over MQTT for {_PATIENCE_S:.0f} s")
        self.link.close()


async def drive(
    address: tuple[str, int], template: Template, rsc: int, tally: Tally, *, topics: tuple[str, str], clients: int
) -> Sample:
    """Drive a CSE through a broker until the tally is full.

    Args:
        address: of the broker.
        template: request primitives whose rqi is ``bench-<number>``.
        rsc: response status code that counts as right.
        tally: where to count.
        topics: of the requests, and to subscribe to for the answers.
        clients: requests outstanding.

    Raises:
        OSError: no broker there, or it refused.
    """
    requester = _Requester(template, rsc, tally, topics, clients)
    await asyncio.get_running_loop().create_connection(lambda: requester.link, *address)
    seen, since = -1, time.perf_counter()
    while not requester.link.over.done():
        await asyncio.wait({requester.link.over}, timeout=1.0)
        if tally.answers + tally.wrong != seen:
            seen, since = tally.answers + tally.wrong, time.perf_counter()
        elif time.perf_counter() - since > _PATIENCE_S:
            requester.give_up()
    if why := requester.link.over.result():
        raise ConnectionError(why)
    return tally.sample()
