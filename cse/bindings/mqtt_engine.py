"""paho as protocol engine without a socket: packets in by ``feed``, packets out to a ``Stream`` (MQTT 3.1.1).

paho keeps the session: connect, subscribe, keep-alive, what must be sent again. The two packets of which there are
thousands a second, PUBLISH and PUBACK, are read here, because paho reads them byte by byte and builds the objects of
MQTT 5 for each: that costs more than all the rest of a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client

from cse.bindings.mqtt_stream import Stream

_PUBLISH, _PUBACK = 0x30, 0x40
_PROTOCOL_ERROR = 2
#: longest header before a payload: topic length, topic, packet identifier
_HEADER_LIMIT = 2 + 65535 + 2


@dataclass(frozen=True, slots=True)
class Incoming:
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
        on_puback: called with the packet identifier of each message that the broker has acknowledged.
    """

    stream: Stream | None = None
    packet_limit = 1 << 20
    _skip = 0
    on_incoming: Callable[[Incoming], None] = staticmethod(_drop_message)
    on_puback: Callable[[int], None] = staticmethod(_drop_puback)

    def _create_socket(self) -> Any:
        self._skip = 0
        return self.stream

    def feed(self, data: bytes) -> bytes:
        """Handle the whole packets in ``data``; returns the part of a packet at its end."""
        at, size = min(self._skip, len(data)), len(data)
        self._skip -= at
        self._last_bytes_received = time.monotonic()
        while at + 2 <= size and self._sock is not None:
            length, start, shift = 0, at + 1, 0
            while start < size:
                byte = data[start]
                start += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
                if shift > 21:
                    self._loop_rc_handle(_PROTOCOL_ERROR)  # type: ignore[arg-type]
                    return b""
            else:
                break
            if length > self.packet_limit and size - start >= min(length, _HEADER_LIMIT):
                self._skip = max(0, start + length - size)
                self._packet(data[at], data, start, min(start + length, size), oversized=True)
                at = min(start + length, size)
                continue
            if start + length > size:
                break
            self._packet(data[at], data, start, start + length)
            at = start + length
        return data[at:] if at else data

    def _packet(self, head: int, data: bytes, start: int, end: int, *, oversized: bool = False) -> None:
        kind = head & 0xF0
        if kind == _PUBLISH and head & 0x06 != 0x04 and end - start >= 2:
            topic_end = start + 2 + int.from_bytes(data[start : start + 2])
            begin = topic_end + 2 if head & 0x06 else topic_end
            if begin <= end and head & 0x06 != 0x06:
                mid = int.from_bytes(data[topic_end:begin]) if begin > topic_end else 0
                topic, body = data[start + 2 : topic_end], b"" if oversized else data[begin:end]
                self.on_incoming(Incoming(topic, body, mid, bool(head & 0x08), bool(head & 0x01), oversized))
                return
        elif kind == _PUBACK and end - start == 2:
            mid = int.from_bytes(data[start:end])
            if self._out_messages.pop(mid, None) is not None:
                self.on_puback(mid)
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

    def forget(self, mid: int) -> None:
        """Do not send a message again after the next connect."""
        self._out_messages.pop(mid, None)

    @property
    def unsent(self) -> int:
        """Messages the broker has not acknowledged."""
        return len(self._out_messages)
