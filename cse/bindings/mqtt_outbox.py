"""Messages on their way to a broker: numbered, and kept until it has acknowledged them (MQTT 3.1.1 clause 4.4). Pure.

Everything this binding publishes has QoS 1. That is two packets of fixed form for each message, which paho makes with
locks, conditions and a log line: more than all the rest of an answer (docs/adr/0031).
"""

from __future__ import annotations

_PUBLISH_QOS_1, _PUBACK_OF_TWO_BYTES = 0x32, b"\x40\x02"
_DUP = 0x08
_LAST_MID = 0xFFFF


class OutboxFull(Exception):
    """The broker has not acknowledged as many messages as may be kept."""


def encode_publish(topic: str, mid: int, payload: bytes) -> bytes:
    """A PUBLISH packet with QoS 1 (MQTT 3.1.1 clause 3.3).

    Args:
        topic: at most 65535 bytes of UTF-8, without wildcards.
        mid: packet identifier, 1 to 65535.
        payload: of the message.
    """
    name = topic.encode()
    head = bytes((_PUBLISH_QOS_1, *_length(4 + len(name) + len(payload))))
    return b"".join((head, len(name).to_bytes(2), name, mid.to_bytes(2), payload))


def encode_puback(mid: int) -> bytes:
    """A PUBACK packet (MQTT 3.1.1 clause 3.4)."""
    return _PUBACK_OF_TWO_BYTES + mid.to_bytes(2)


def _length(length: int) -> list[int]:
    """A remaining length: seven bits a byte, the lowest first (MQTT 3.1.1 clause 2.2.3)."""
    digits = []
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return digits


class Outbox:
    """The messages the broker has not acknowledged, in the order they were published.

    Args:
        limit: most messages kept; fewer than there are packet identifiers.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._packets: dict[int, bytes] = {}
        self._not_sent: set[int] = set()
        self._last_mid = 0

    def __len__(self) -> int:
        return len(self._packets)

    def next_mid(self) -> int:
        """A packet identifier that no message here has."""
        mid = self._last_mid
        while True:
            mid = mid + 1 if mid < _LAST_MID else 1
            if mid not in self._packets:
                self._last_mid = mid
                return mid

    def add(self, topic: str, payload: bytes, *, sent: bool) -> tuple[int, bytes]:
        """Keep a message; returns its packet identifier and the packet.

        Args:
            topic: where it is published.
            payload: what is published.
            sent: whether the packet goes out now; otherwise it does with ``pending``.

        Raises:
            OutboxFull: too many are here.
        """
        if len(self._packets) >= self._limit:
            raise OutboxFull
        mid = self.next_mid()
        packet = self._packets[mid] = encode_publish(topic, mid, payload)
        if not sent:
            self._not_sent.add(mid)
        return mid, packet

    def remove(self, mid: int) -> None:
        """A message was acknowledged, or is not to be sent again."""
        if self._packets.pop(mid, None) is None:
            return
        if self._not_sent:
            self._not_sent.discard(mid)

    def pending(self) -> bytes:
        """What a new connection begins with: all packets, those that went out before with the flag DUP."""
        for mid, packet in self._packets.items():
            if mid not in self._not_sent:
                self._packets[mid] = bytes((packet[0] | _DUP,)) + packet[1:]
        self._not_sent.clear()
        return b"".join(self._packets.values())
