"""Options that come again mean what the codec made of them, and nothing that differs from them is taken for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.bindings.coap_codec import decode_request, decode_response, encode_request, reply_style, uri_path
from cse.bindings.coap_heads import Heads
from cse.bindings.coap_message import CON, Message, MessageError, decode, encode
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from tests.bindings.test_coap import raw_peer, serving
from tests.wire.coap import BAD_REQUESTS, NOT_COAP, REQUESTS


def create(rqi: str = "0001", to: str = "cse-in/ae/data", con: str = "1") -> Message:
    request = Request(Operation.CREATE, to, "Cme", rqi, 4, {"m2m:cin": {"con": con}}, release="3")
    message = encode_request(request, path=uri_path(to))
    message.type, message.message_id, message.token = CON, 7, b"ab"
    return message


def retrieve(rqi: str = "0001") -> Message:
    return encode_request(Request(Operation.RETRIEVE, "", "Cme", rqi, release="3"), path=["cse-in", "ae"])


def learned(*datagrams: bytes) -> Heads:
    heads = Heads()
    for datagram in datagrams:
        try:
            message = decode(datagram)
            style = reply_style(message)
            heads.learn(message, style, decode_request(message, style))
        except (MessageError, CseError):
            pass
    return heads


def outcome(make: Callable[[], Any]) -> Any:
    """What comes out: a value, or what the error says."""
    try:
        return make()
    except MessageError as error:
        return str(error), error.message_id, error.confirmable
    except CseError as error:
        return type(error), str(error)


def same(heads: Heads, datagram: bytes) -> bool:
    """Hold what is made of a datagram against what the codec makes of it; returns whether it had a known head."""
    message = outcome(lambda: heads.read(datagram))
    assert message == outcome(lambda: decode(datagram))
    if not isinstance(message, Message) or message.head is None:
        return False
    notes: list[str] = []
    style = reply_style(message)
    assert message.head.reply_style(message) == style
    assert outcome(lambda: message.head.request(message)) == outcome(
        lambda: decode_request(message, style, note=notes.append)
    )
    assert not notes, "a dialect must be counted each time"
    return True


SAMPLES = [sample.datagram for sample in REQUESTS]
HOSTILE = [*(sample.datagram for sample in BAD_REQUESTS), *(datagram for _, datagram, _ in NOT_COAP)]
KNOWN = learned(encode(create()), encode(retrieve()), *SAMPLES, *HOSTILE)


@pytest.mark.parametrize("rqi", ["1", "x" * 12, "x" * 13, "x" * 64])
@pytest.mark.parametrize("make", [create, retrieve])
def test_a_head_that_came_before_is_known_with_another_identifier(make: Callable[[str], Message], rqi: str) -> None:
    assert same(KNOWN, encode(make(rqi)))


def test_another_body_belongs_to_the_request_it_came_with() -> None:
    assert same(KNOWN, encode(create(con="2" * 300)))


def test_a_body_that_is_no_json_is_refused_as_without_a_head() -> None:
    broken = create()
    broken.payload = b"{"
    assert same(KNOWN, encode(broken))


@pytest.mark.parametrize("rqi", ["", "x" * 65, "x" * 300, "a b", "\x01", "ä"])
def test_an_identifier_that_is_not_plain_goes_through_the_codec(rqi: str) -> None:
    message = create()
    message.options[-1] = (message.options[-1][0], rqi.encode())
    assert not same(KNOWN, encode(message))


@pytest.mark.parametrize("number", [15, 23, 27, 252, 256, 259, 287, 292, 299, 343])
def test_another_option_goes_through_the_codec(number: int) -> None:
    message = create()
    message.options.append((number, b"1"))
    assert not same(KNOWN, encode(message))


@pytest.mark.parametrize("left_out", [271, 12])
def test_what_older_clients_leave_out_is_counted_each_time(left_out: int) -> None:
    message = create()
    message.options = [option for option in message.options if option[0] != left_out]
    assert len(learned(encode(message))) == 0


def test_a_trailing_slash_is_counted_each_time() -> None:
    assert len(learned(encode(create(to="cse-in/ae/")))) == 0


@pytest.mark.parametrize("datagram", [*SAMPLES, *HOSTILE], ids=range(len(SAMPLES) + len(HOSTILE)))
def test_samples_mean_the_same_with_all_heads_learned(datagram: bytes) -> None:
    same(KNOWN, datagram)


@given(
    st.sampled_from([encode(create()), encode(retrieve()), *SAMPLES]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), st.binary(max_size=3)), max_size=3),
)
def test_whatever_is_changed_in_a_datagram_means_what_the_codec_says(
    datagram: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for where, removed, put in changes:
        at = where % (len(datagram) + 1)
        datagram = datagram[:at] + put + datagram[at + removed :]
    same(KNOWN, datagram)
    same(learned(datagram), encode(create("other")))


def test_heads_are_bounded_and_the_oldest_go_first() -> None:
    heads = learned(*(encode(create(to=f"cse-in/{number:05}")) for number in range(1100)))
    assert len(heads) == 1024
    assert not same(heads, encode(create(to="cse-in/00000")))
    assert same(heads, encode(create(to="cse-in/01099")))


def test_heads_of_many_lengths_and_long_ones_are_not_kept() -> None:
    heads = learned(*(encode(create(to="x" * length)) for length in range(1, 100)))
    assert len(heads) == 16
    assert len(learned(encode(create(to="/".join(["x" * 200] * 3))))) == 0


async def test_a_server_answers_each_request_with_a_known_head_for_itself() -> None:
    served: list[Request] = []

    async def serve(request: Request) -> Response:
        served.append(request)
        return Response(Status.CREATED, request.request_id)

    async with serving(serve) as server, raw_peer(server) as raw:
        for number in range(5):
            message = create(f"rqi-{number}", con=str(number))
            message.message_id = number
            answer = await raw.exchange(message)
            assert (answer.message_id, decode_response(answer).request_id) == (number, f"rqi-{number}")
    assert [(request.request_id, request.content) for request in served] == [
        (f"rqi-{number}", {"m2m:cin": {"con": str(number)}}) for number in range(5)
    ]
    assert {(request.to, request.binding, request.peer_address) for request in served} == {
        ("cse-in/ae/data", "coap", "127.0.0.1")
    }
