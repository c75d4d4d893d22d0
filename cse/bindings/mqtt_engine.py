"""paho as protocol engine without a socket: packets in by ``feed``, packets out to a ``Stream`` (MQTT 3.1.1).

paho keeps the connection: connect, subscribe, keep-alive. The two packets of which there are thousands a second,
PUBLISH and PUBACK, are read here and written by ``mqtt_outbox``, because paho reads them byte by byte and builds the
objects of MQTT 5 for each: that costs more than all the rest of a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from paho.mqtt.client import Client

from cse.bindings.mqtt_stream import Stream

_PUBLISH, _PUBACK = 0x30, 0x40
#: the bits of the first byte of a PUBLISH that say so
_QOS_1 = 0x02
_PROTOCOL_ERROR = 2
#: longest header before a payload: topic length, topic, packet identifier
_HEADER_LIMIT = 2 + 65535 + 2


class Incoming(NamedTuple):
    """A message from the broker.

    Attributes:
        topic: as bytes; anybody may have sent what is no UTF-8.
        payload: as sent.
        mid: packet identifier to acknowledge it with, 0 with QoS 0.
        dup: the broker sent it before.
        retain: it was kept by the broker, nobody sent it now.
        oversized: it was too large to be kept; the payload is empty.
    """

    topic: bytes
    payload: bytes
    mid: int
    dup: bool
    retain: bool
    oversized: bool = False


def _drop_message(_message: Incoming) -> None:
    """Take a message nobody wants."""


def _drop_puback(_mid: int) -> None:
    """Take an acknowledgement nobody waits for."""


class Engine(Client):
    """A paho client on a stream that is connected already.

    Attributes:
        stream: what the next ``reconnect`` uses.
        packet_limit: packets with more bytes are not kept while they come in.
        on_incoming: called with each message, in order.
        on_puback: called with the packet identifier of each PUBACK.
        next_mid: gives a packet identifier that is not in use.
    """

    stream: Stream | None = None
    packet_limit = 1 << 20
    _skip = 0
    on_incoming: Callable[[Incoming], None] = staticmethod(_drop_message)
    on_puback: Callable[[int], None] = staticmethod(_drop_puback)
    next_mid: Callable[[], int]

    def _create_socket(self) -> Any:
        self._skip = 0
        return self.stream

    def _mid_generate(self) -> int:
        return self.next_mid()

    def feed(self, data: bytes) -> bytes:
        """Handle the whole packets in ``data``; returns the part of a packet at its end."""
        at, size = min(self._skip, len(data)), len(data)
        self._skip -= at
        self._last_bytes_received = time.monotonic()
        while at + 2 <= size and self._sock is not None:
            head, length, start, shift = data[at], data[at + 1] & 0x7F, at + 2, 7
            while data[start - 1] > 0x7F:
                if shift > 21:
                    self._loop_rc_handle(_PROTOCOL_ERROR)  # type: ignore[arg-type]
                    return b""
                if start == size:
                    return data[at:]
                length |= (data[start] & 0x7F) << shift
                start, shift = start + 1, shift + 7
            if length > self.packet_limit and size - start >= min(length, _HEADER_LIMIT):
                self._skip = max(0, start + length - size)
                self._packet(head, data, start, min(start + length, size), oversized=True)
                at = min(start + length, size)
                continue
            end = start + length
            if end > size:
                break
            if head & 0xF0 == _PUBACK and length == 2:
                self.on_puback(data[start] << 8 | data[start + 1])
            else:
                self._packet(head, data, start, end)
            at = end
        return data[at:] if at else data

    def _packet(self, head: int, data: bytes, start: int, end: int, *, oversized: bool = False) -> None:
        qos = head & 0x06
        if head & 0xF0 == _PUBLISH and qos <= _QOS_1 and end - start >= 2:
            topic_end = start + 2 + (data[start] << 8 | data[start + 1])
            begin = topic_end + 2 if qos else topic_end
            if begin <= end:
                mid = data[topic_end] << 8 | data[topic_end + 1] if qos else 0
                topic, body = data[start + 2 : topic_end], b"" if oversized else data[begin:end]
                self.on_incoming(Incoming(topic, body, mid, bool(head & 0x08), bool(head & 0x01), oversized))
                return
        if not oversized:
            self._hand_to_paho(head, data[start:end])

    def _hand_to_paho(self, head: int, body: bytes) -> None:
        packet = self._in_packet
        packet["command"], packet["remaining_length"] = head, len(body)
        packet["packet"], packet["pos"] = bytearray(body), 0
        try:
            code = self._packet_handle()
        except Exception:  # paho raises several kinds for malformed packets
            code = _PROTOCOL_ERROR  # type: ignore[assignment]
        if code:
            self._loop_rc_handle(code)
