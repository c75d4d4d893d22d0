"""Whole primitives: samples in both directions, dialects, words for what is wrong, and no crash whatever comes."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.bindings import primitive_codec as codec
from cse.bindings.mqtt_codec import dump, load
from cse.onem2m.errors import BadRequest, CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from tests.wire import mqtt as samples


@pytest.mark.parametrize(("type_", "payload", "request_"), [s[1:] for s in samples.REQUESTS], ids=lambda v: "")
@pytest.mark.parametrize("lenient", [True, False])
def test_request_samples_in_both_directions(type_: str, payload: bytes, request_: Request, lenient: bool) -> None:
    notes: list[str] = []
    value = load(payload, type_)
    assert codec.decode_request(value, lenient=lenient, note=notes.append) == request_
    assert codec.encode_request(request_) == value
    assert load(dump(codec.encode_request(request_), type_), type_) == value
    assert notes == []


@pytest.mark.parametrize(("type_", "payload", "response"), [s[1:] for s in samples.RESPONSES], ids=lambda v: "")
def test_response_samples_in_both_directions(type_: str, payload: bytes, response: Response) -> None:
    value = load(payload, type_)
    assert codec.decode_response(value, lenient=False) == response
    assert codec.encode_response(response) == value


@pytest.mark.parametrize("dialect", samples.DIALECTS, ids=lambda d: f"{d.note} {d.payload!r}")
def test_dialects_are_understood_and_noted_or_refused_in_words(dialect: samples.Dialect) -> None:
    notes: list[str] = []
    value = load(dialect.payload, "json")
    assert codec.decode_request(value, lenient=True, note=notes.append) == dialect.request
    assert dialect.note in notes
    with pytest.raises(CseError) as refused:
        codec.decode_request(value, lenient=False)
    assert refused.value.status is dialect.strict
    assert refused.value.request_id == "1"
    assert "send" in refused.value.debug or "leave it out" in refused.value.debug


@pytest.mark.parametrize(("payload", "request_id", "word"), samples.BAD_REQUESTS)
@pytest.mark.parametrize("lenient", [True, False])
def test_bad_requests_name_the_parameter_and_say_what_to_send(
    payload: bytes, request_id: str, word: str, lenient: bool
) -> None:
    with pytest.raises(BadRequest) as refused:
        codec.decode_request(load(payload, "json"), lenient=lenient)
    assert word in refused.value.debug
    assert "send" in refused.value.debug
    assert refused.value.request_id == request_id


@pytest.mark.parametrize(("body", "type_", "request_id"), samples.BROKEN_BODIES)
def test_the_request_identifier_is_found_in_broken_bodies(body: bytes, type_: str, request_id: str) -> None:
    with pytest.raises(BadRequest):
        codec.decode_request(load(body, type_), lenient=True)
    assert codec.find_request_id(body) == request_id


def test_a_missing_release_is_noted_and_left_out() -> None:
    notes: list[str] = []
    request = codec.decode_request({"op": 2, "to": "x", "fr": "C", "rqi": "1"}, lenient=True, note=notes.append)
    assert request.release is None
    assert notes == ["no rvi"]
    assert "rvi" not in codec.encode_request(request)


def test_the_wrapper_is_taken_off_when_lenient_and_refused_otherwise() -> None:
    wrapped = {"m2m:rqp": {"op": 2, "to": "x", "rqi": "7"}}
    assert codec.unwrap(wrapped, "m2m:rqp", lenient=True) == (wrapped["m2m:rqp"], True)
    assert codec.unwrap(wrapped["m2m:rqp"], "m2m:rqp", lenient=True) == (wrapped["m2m:rqp"], False)
    with pytest.raises(BadRequest) as refused:
        codec.unwrap(wrapped, "m2m:rqp", lenient=False)
    assert refused.value.request_id == "7"
    assert codec.request_id(wrapped) == "7"


def test_numeric_strings_are_milliseconds_for_times_without_being_a_dialect() -> None:
    value = {"op": 2, "to": "x", "fr": "C", "rqi": "1", "rvi": "3", "rqet": "5000", "rset": "20261122T220000"}
    request = codec.decode_request(value, lenient=False)
    assert (request.request_expiration, request.result_expiration) == (5000, "20261122T220000")


@pytest.mark.parametrize(
    ("code", "status"), [(2000, Status.OK), (2099, Status.OK), (4999, Status.BAD_REQUEST), (5999, 5000), (1999, 1000)]
)
def test_unknown_status_codes_become_the_general_one_of_their_class(code: int, status: int) -> None:
    assert codec.decode_response({"rsc": code, "rqi": "1"}).status == status


@pytest.mark.parametrize(
    "value", [None, [], {}, {"rsc": 2000}, {"rqi": "1"}, {"rsc": 0, "rqi": "1"}, {"rsc": 99999, "rqi": "1"}]
)
def test_what_is_no_response_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest):
        codec.decode_response(value)


# --- whatever comes ---------------------------------------------------------------------------------------------

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_names = st.sampled_from([*codec._REQUEST, "op", "to", "rqi", "rt", "fc", "zzz", *codec._RESPONSE, "rsc", "m2m:rqp"])
_times = st.none() | st.integers(0, 2**40) | st.just("20261122T220000")
_lists = st.none() | st.lists(_texts, max_size=3)
_requests = st.builds(
    Request,
    operation=st.sampled_from(Operation),
    to=_texts,
    originator=_texts,
    request_id=_texts,
    resource_type=st.none() | st.integers(1, 99),
    content=st.none() | st.dictionaries(st.just("m2m:cnt"), st.dictionaries(_texts, _texts), min_size=1),
    release=st.sampled_from([None, "2a", "3"]),
    result_content=st.none() | st.integers(0, 12),
    filter=st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "lbl": st.lists(_texts),
            "ty": st.lists(st.integers(1, 99)),
            "lim": st.integers(0, 9),
            "atr": st.lists(st.fixed_dictionaries({"nm": _texts, "val": _texts | st.integers(0, 9)})),
        },
    ),
    response_type=st.none() | st.integers(1, 5),
    response_targets=_lists,
    result_persistence=_times,
    request_expiration=_times,
    result_expiration=_times,
    execution_time=_times,
    event_category=st.none() | st.integers(2, 999),
    delivery_aggregation=st.none() | st.booleans(),
    group_targets=_lists,
    role_ids=_lists,
    tokens=_lists,
    semantic_query=st.none() | st.booleans(),
)


@given(_requests, st.sampled_from(["json", "cbor"]))
def test_any_request_survives_the_wire(request: Request, type_: str) -> None:
    value = load(dump(codec.encode_request(request), type_), type_)
    assert codec.decode_request(value, lenient=False) == request


@given(st.dictionaries(_names, _values, max_size=8) | _values, st.booleans())
def test_garbage_gives_a_primitive_or_an_error_that_can_be_answered(value: Any, lenient: bool) -> None:
    for decode in (codec.decode_request, codec.decode_response):
        with contextlib.suppress(CseError):
            assert isinstance(decode(value, lenient=lenient), Request | Response)
    codec.request_id(value)


@given(st.binary(max_size=200) | st.binary(max_size=40).map(lambda tail: b"\xa2\x63rqi" + tail))
def test_any_bytes_can_be_searched_for_a_request_identifier(body: bytes) -> None:
    assert isinstance(codec.find_request_id(body), str)
