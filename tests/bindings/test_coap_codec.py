"""The CoAP codec: samples in both directions, round trips, garbage (TS-0008 clause 6)."""

from dataclasses import replace
from typing import Any

import aiocoap
import pytest
from aiocoap.numbers.optionnumbers import OptionNumber
from hypothesis import given
from hypothesis import strategies as st

from cse.bindings import coap_message
from cse.bindings.coap_codec import (
    ReplyStyle,
    decode_request,
    decode_response,
    encode_error,
    encode_request,
    encode_response,
    reply_style,
    uri_path,
)
from cse.bindings.coap_codes import COAP_CODE, NEW_NUMBERS, OLD_NUMBERS
from cse.bindings.coap_message import Block, Message, MessageError, decode, dotted, encode
from cse.onem2m.errors import BadRequest, CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from tests.wire.coap import BAD_REQUESTS, NOT_COAP, REQUESTS, RESPONSES, BadSample, RequestSample, ResponseSample


def named(samples: list[Any]) -> Any:
    return pytest.mark.parametrize("sample", samples, ids=lambda sample: sample.name)


def frame(message: Message, kind: int = coap_message.CON) -> bytes:
    message.type, message.message_id, message.token = kind, 0x1234, b"\xa1\xb2"
    return encode(message)


# --- requests --------------------------------------------------------------------------------------------------------


@named(REQUESTS)
def test_a_request_is_read(sample: RequestSample) -> None:
    message = decode(sample.datagram)
    style = reply_style(message)
    assert decode_request(message, style) == sample.request
    assert style.numbers is sample.numbers
    assert (style.request_id, style.release) == (sample.request.request_id, sample.request.release)


@named([sample for sample in REQUESTS if sample.canonical])
def test_a_request_is_written(sample: RequestSample) -> None:
    serialisation = reply_style(decode(sample.datagram)).serialisation
    path = uri_path(sample.request.to)
    message = encode_request(sample.request, path=path, serialisation=serialisation, numbers=sample.numbers)
    assert frame(message) == sample.datagram


@named(BAD_REQUESTS)
def test_a_bad_request_is_refused_in_words(sample: BadSample) -> None:
    message = decode(sample.datagram)
    style = reply_style(message)
    with pytest.raises(CseError) as caught:
        decode_request(message, style)
    answer = encode_error(caught.value, style)
    response = decode_response(answer)
    assert response.status is sample.status
    assert dotted(answer.code) == sample.code
    assert sample.hint in response.content["m2m:dbg"]
    assert response.request_id == sample.request_id


def test_without_tolerance_the_older_numbers_are_unknown() -> None:
    sample = next(sample for sample in REQUESTS if sample.numbers is OLD_NUMBERS)
    message = decode(sample.datagram)
    style = reply_style(message, lenient=False)
    with pytest.raises(BadRequest, match="257"):
        decode_request(message, style, lenient=False)
    assert style.numbers is NEW_NUMBERS


def test_without_tolerance_a_trailing_slash_stays() -> None:
    sample = next(sample for sample in REQUESTS if sample.name == "trailing slash")
    message = decode(sample.datagram)
    assert decode_request(message, reply_style(message), lenient=False).to == "cse-in/app/"


def test_no_response_is_no_resource_name() -> None:
    options = [(11, b"cse-in"), (256, b"Cae1"), (257, b"1"), (258, b"\x1a"), (267, b"\x03")]
    message = Message(coap_message.POST, options=options, payload=b'{"m2m:cnt":{}}')
    assert decode_request(message, reply_style(message)).content == {"m2m:cnt": {}}


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"originator": "C" * 256}, "255"),
        ({"filter": {"lbl": ["x" * 300]}}, "255"),
        ({"event_category": -1}, "0 to"),
        ({"vendor": "\ud800"}, "UTF-8"),
    ],
)
def test_what_no_option_can_hold_is_not_sent(changes: dict[str, Any], hint: str) -> None:
    request = Request(Operation.RETRIEVE, "cse-in", "Cae1", "1")
    with pytest.raises(BadRequest, match=hint):
        encode_request(replace(request, **changes), path=["cse-in"])


# --- responses -------------------------------------------------------------------------------------------------------


@named(RESPONSES)
def test_a_response_is_read(sample: ResponseSample) -> None:
    assert decode_response(decode(sample.datagram)) == sample.response


@named(RESPONSES)
def test_a_response_is_written(sample: ResponseSample) -> None:
    style = ReplyStyle(sample.numbers, "1", sample.response.release)
    message = encode_response(sample.response, style, sample.operation)
    assert message is not None
    assert frame(message, coap_message.ACK) == sample.datagram


@pytest.mark.parametrize("status", list(Status), ids=lambda status: status.name)
def test_every_status_has_a_coap_code(status: Status) -> None:
    message = encode_response(Response(status, "1"), ReplyStyle(), Operation.CREATE)
    expected_class = {1: 2, 2: 2, 4: (4, 5), 5: (4, 5), 6: (4, 5)}[status // 1000]
    if status is Status.ACCEPTED:
        assert COAP_CODE[status] == 0
        assert message is None
        return
    assert message is not None
    assert message.code >> 5 in (expected_class if isinstance(expected_class, tuple) else (expected_class,))
    assert decode_response(message).status is status


def test_no_response_wanted_none_written() -> None:
    assert encode_response(Response(Status.CREATED, "1", silent=True), ReplyStyle(), Operation.CREATE) is None


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ([], 50),
        ([(12, b"\x3c")], 60),
        ([(12, b"\x27\x11")], 10001),
        ([(12, b"\x27\x1a")], 10010),
        ([(17, b"\x3c")], 60),
        ([(17, b"\x27\x1a")], 10010),
        ([(12, b"\x3c"), (17, b"\x32")], 50),
        ([(17, b"\x29")], 50),
    ],
)
def test_the_answer_is_written_as_the_caller_wants(asked: list[tuple[int, bytes]], answered: int) -> None:
    style = reply_style(Message(coap_message.GET, options=asked))
    content = {"m2m:cnt": {"rn": "c"}}
    message = encode_response(Response(Status.OK, "1", content), style, Operation.RETRIEVE)
    assert message is not None
    assert message.option(12) == coap_message.uint(answered)
    assert decode_response(message).content == content


@pytest.mark.parametrize(("member", "answered"), [("m2m:rqp", 10007), ("m2m:rsp", 10009), ("m2m:cnt", 10001)])
def test_the_media_type_names_the_kind_of_content(member: str, answered: int) -> None:
    message = encode_response(Response(Status.OK, "1", {member: {}}), ReplyStyle(vendor=True), Operation.RETRIEVE)
    assert message is not None
    assert message.option(12) == coap_message.uint(answered)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (2999, Status.OK),
        (4999, Status.BAD_REQUEST),
        (5999, Status.INTERNAL_SERVER_ERROR),
        (0, Status.INTERNAL_SERVER_ERROR),
    ],
)
def test_an_unknown_status_is_read_by_its_class(number: int, status: Status) -> None:
    message = Message(coap_message.code("2.05"), options=[(307, coap_message.uint(number))])
    assert decode_response(message).status is status


def test_an_answer_without_status_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"4\.04"):
        decode_response(Message(coap_message.code("4.04"), payload=b"not here"))


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "datagram", "reset"), NOT_COAP, ids=[name for name, _, _ in NOT_COAP])
def test_what_is_no_message_is_told_apart(name: str, datagram: bytes, reset: bool) -> None:
    with pytest.raises(MessageError) as caught:
        decode(datagram)
    assert (caught.value.confirmable and caught.value.message_id is not None) == reset


option_values = st.binary(max_size=300)
messages = st.builds(
    Message,
    code=st.integers(1, 255),
    type=st.integers(0, 3),
    message_id=st.integers(0, 65535),
    token=st.binary(max_size=8),
    options=st.lists(st.tuples(st.integers(0, 65535), option_values), max_size=8),
    payload=st.binary(max_size=64),
)


@given(messages)
def test_messages_survive_the_wire(message: Message) -> None:
    again = decode(encode(message))
    assert replace(again, options=[]) == replace(message, options=[])
    assert again.options == sorted(message.options, key=lambda option: option[0])


@given(st.integers(0, (1 << 20) - 1), st.booleans(), st.integers(0, 6))
def test_blocks_survive_the_wire(number: int, more: bool, exponent: int) -> None:
    block = Block(number, more, exponent)
    assert coap_message.decode_block(coap_message.encode_block(block)) == block


@given(messages)
def test_aiocoap_reads_the_same(message: Message) -> None:
    # Options with a format of their own in aiocoap are left to the samples: it refuses values we only pass on.
    message.options = [option for option in message.options if option[0] > 600]
    theirs = aiocoap.Message.decode(encode(message))
    assert (int(theirs.code), int(theirs.mtype), theirs.mid, theirs.token, theirs.payload) == (
        message.code,
        message.type,
        message.message_id,
        message.token,
        message.payload,
    )
    assert [(int(option.number), option.encode()) for option in theirs.opt.option_list()] == sorted(
        message.options, key=lambda option: option[0]
    )
    assert OptionNumber(NEW_NUMBERS.rqi).is_critical()


@given(st.binary(max_size=200))
def test_garbage_is_a_message_or_a_message_error(datagram: bytes) -> None:
    for candidate in (datagram, b"\x40\x01\x00\x01" + datagram):
        try:
            message = decode(candidate)
        except MessageError:
            continue
        style = reply_style(message)
        try:
            decode_request(message, style)
        except CseError as error:
            answered = encode_error(error, style)
            assert answered.payload


known_numbers = st.sampled_from([11, 12, 15, 17, 23, 27, *range(256, 268), *range(271, 352, 4)])


@given(
    st.integers(0, 31), st.lists(st.tuples(known_numbers, st.binary(max_size=12)), max_size=6), st.binary(max_size=20)
)
def test_options_of_any_value_never_crash_the_codec(
    code: int, options: list[tuple[int, bytes]], payload: bytes
) -> None:
    message = Message(code, options=sorted(options), payload=payload)
    style = reply_style(message)
    try:
        decode_request(message, style)
    except CseError as error:
        response = decode_response(encode_error(error, style))
        assert response.status is error.status  # noqa: PT017


words = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="+&%/#\x7f\xa0\xad"),
    min_size=1,
    max_size=20,
)
times = st.none() | st.integers(-1000, 10**15) | st.sampled_from(["20261122T101112", "20261122T101112,000001"])
requests = st.builds(
    Request,
    operation=st.sampled_from(Operation),
    to=st.lists(words.filter(lambda word: word not in "~_"), min_size=1, max_size=5).map("/".join),
    originator=words,
    request_id=words,
    resource_type=st.none() | st.integers(1, 65535),
    release=st.none() | st.sampled_from(["2a", "3", "5"]),
    result_content=st.none() | st.integers(0, 12),
    response_type=st.none() | st.integers(1, 5),
    response_targets=st.none() | st.lists(words, max_size=3),
    request_expiration=times,
    result_expiration=times,
    execution_time=times,
    event_category=st.none() | st.integers(0, 999),
    group_targets=st.none() | st.lists(words.filter(lambda word: word.isascii()), max_size=3),
    filter=st.none() | st.fixed_dictionaries({"lbl": st.lists(words, min_size=1, max_size=3), "fu": st.just(1)}),
    vendor=st.none() | words,
)


@given(requests, st.sampled_from(["json", "cbor"]), st.sampled_from(["", "/", "//"]))
def test_requests_survive_the_wire(request: Request, serialisation: str, prefix: str) -> None:
    if prefix:
        request.to = prefix + request.to
    if request.operation in (Operation.CREATE, Operation.UPDATE, Operation.NOTIFY):
        request.content = {"m2m:any": {"rn": request.originator, "value": [1, 2.5, None, True]}}
    message = decode(encode(encode_request(request, path=uri_path(request.to), serialisation=serialisation)))
    assert decode_request(message, reply_style(message)) == request
