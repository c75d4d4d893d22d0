"""Messages with QoS 1 until the broker has acknowledged them: packets, numbers, what a new connection begins with."""

import asyncio
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from cse.bindings.mqtt_engine import Engine, Incoming
from cse.bindings.mqtt_outbox import Outbox, OutboxFull, encode_puback, encode_publish
from cse.bindings.mqtt_stream import Stream


def read(data: bytes, *, packet_limit: int = 1 << 30) -> tuple[list[Incoming], list[int], bytes]:
    """Messages and PUBACKs in what another end wrote, and the part of a packet after them."""
    messages: list[Incoming] = []
    acknowledged: list[int] = []
    engine = Engine(CallbackAPIVersion.VERSION2, "reader", manual_ack=True)
    engine._sock = io.BytesIO()  # type: ignore[assignment]
    engine.packet_limit = packet_limit
    engine.on_incoming, engine.on_puback = messages.append, acknowledged.append
    return messages, acknowledged, engine.feed(data)


@given(st.text(min_size=1, max_size=40), st.integers(1, 65535), st.binary(max_size=300), st.integers(0, 3))
def test_what_is_written_is_read(topic: str, mid: int, payload: bytes, cut: int) -> None:
    data = encode_publish(topic, mid, payload) + encode_puback(mid)
    messages, acknowledged, rest = read(data[: len(data) - cut])
    assert messages == [Incoming(topic.encode(), payload, mid, dup=False, retain=False)]
    assert (acknowledged, rest) == (([], data[len(data) - 4 : -cut]) if cut else ([mid], b""))


@pytest.mark.parametrize("size", [0, 121, 122, 16377, 16378, 2097145, 2097146])
def test_lengths_of_one_to_four_bytes(size: int) -> None:
    packet = encode_publish("tt", 7, b"x" * size)
    at = 1
    while packet[at] > 0x7F:
        at += 1
    assert len(packet) == at + 1 + 6 + size
    messages, _, rest = read(packet)
    assert (len(messages[0].payload), messages[0].mid, rest) == (size, 7, b"")


def test_a_message_is_kept_until_it_is_acknowledged() -> None:
    box = Outbox(limit=2)
    first, packet = box.add("t", b"1", sent=True)
    assert packet == encode_publish("t", first, b"1")
    second, _ = box.add("t", b"2", sent=True)
    with pytest.raises(OutboxFull):
        box.add("t", b"3", sent=True)
    box.remove(first)
    box.remove(first)
    third, _ = box.add("t", b"3", sent=True)
    assert len(box) == 2
    assert [message.mid for message in read(box.pending())[0]] == [second, third]


def test_only_what_went_out_before_is_marked_as_sent_again() -> None:
    box = Outbox(limit=5)
    box.add("t", b"1", sent=True)
    box.add("t", b"2", sent=False)
    gone, _ = box.add("t", b"3", sent=False)
    box.remove(gone)
    seen = [(message.payload, message.dup) for message in read(box.pending())[0]]
    assert seen == [(b"1", True), (b"2", False)]
    assert [message.dup for message in read(box.pending())[0]] == [True, True]


def test_a_packet_identifier_in_use_is_not_given_again() -> None:
    box = Outbox(limit=10)
    kept, _ = box.add("t", b"", sent=True)
    given_out = {box.next_mid() for _ in range(65534)}
    assert kept not in given_out
    assert given_out | {kept} == set(range(1, 65536))
    assert box.next_mid() != kept


async def test_what_is_sent_in_one_turn_of_the_loop_is_one_write() -> None:
    writes: asyncio.Queue[bytes] = asyncio.Queue()

    class Transport(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            writes.put_nowait(bytes(data))

    stream = Stream(lambda rest: rest, lambda _stream: None, lambda: None)
    stream.connection_made(Transport())
    for turn in (b"ab", b"cd"):
        for byte in turn:
            stream.send(bytes((byte,)))
        assert writes.empty()
        assert await writes.get() == turn
    assert writes.empty()
