"""Messages and primitives, subprotocols, and who may say what on a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.bindings import websocket_codec as codec
from cse.onem2m.errors import BadRequest, CseError, OriginatorHasNoPrivilege, OriginatorHasNotRegistered
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from tests.wire import websocket as samples


def decode(
    payload: bytes, subprotocol: str = "oneM2M.json", *, text: bool | None = None, lenient: bool = True
) -> tuple[codec.Incoming, list[str]]:
    notes: list[str] = []
    kind = codec.is_text(codec.SUBPROTOCOLS[subprotocol]) if text is None else text
    return codec.decode(payload, text=kind, subprotocol=subprotocol, lenient=lenient, note=notes.append), notes


@pytest.mark.parametrize(("name", "subprotocol", "payload", "primitive"), samples.MESSAGES)
@pytest.mark.parametrize("lenient", [True, False])
def test_samples_in_both_directions(
    name: str, subprotocol: str, payload: bytes, primitive: Request | Response, lenient: bool
) -> None:
    incoming, notes = decode(payload, subprotocol, lenient=lenient)
    assert incoming.primitive == primitive
    assert incoming.is_answer is isinstance(primitive, Response)
    assert set(notes) <= {"no rvi"}
    encoded = (
        codec.encode_request(primitive, incoming.serialisation)
        if isinstance(primitive, Request)
        else codec.encode_response(primitive, incoming.serialisation)
    )
    assert decode(encoded, subprotocol, lenient=False)[0].primitive == primitive
    assert len(encoded) == len(payload)


@pytest.mark.parametrize("sample", samples.DIALECTS, ids=lambda sample: sample.note)
def test_dialects_are_understood_and_counted_or_refused(sample: samples.Dialect) -> None:
    incoming, notes = decode(sample.payload, sample.subprotocol, text=sample.text)
    assert incoming.primitive == sample.meant
    assert notes == [sample.note]
    assert incoming.wrapped is ("wrapper" in sample.note)
    if sample.strict < 2000:
        with pytest.raises(codec.Unreadable) as closed:
            decode(sample.payload, sample.subprotocol, text=sample.text, lenient=False)
        assert closed.value.close_code == sample.strict
    else:
        strict, _ = decode(sample.payload, sample.subprotocol, text=sample.text, lenient=False)
        assert isinstance(strict.primitive, CseError)
        assert (int(strict.primitive.status), strict.primitive.request_id) == (sample.strict, "1")


def test_a_wrapped_request_gets_a_wrapped_answer() -> None:
    assert codec.encode_response(Response(Status.OK, "1"), "json", wrapped=True) == (
        b'{"m2m:rsp":{"rsc":2000,"rqi":"1"}}'
    )


@pytest.mark.parametrize(("subprotocol", "text", "payload", "rqi", "status"), samples.REFUSED)
@pytest.mark.parametrize("lenient", [True, False])
def test_what_is_wrong_is_answered(
    subprotocol: str, text: bool, payload: bytes, rqi: str, status: Status, lenient: bool
) -> None:
    incoming, _ = decode(payload, subprotocol, text=text, lenient=lenient)
    assert isinstance(incoming.primitive, CseError)
    assert (incoming.primitive.status, incoming.primitive.request_id) == (status, rqi)
    assert len(incoming.primitive.debug) > 10


@pytest.mark.parametrize(("subprotocol", "text", "payload", "code"), samples.UNREADABLE)
@pytest.mark.parametrize("lenient", [True, False])
def test_what_cannot_be_answered_closes(subprotocol: str, text: bool, payload: bytes, code: int, lenient: bool) -> None:
    with pytest.raises(codec.Unreadable) as closed:
        decode(payload, subprotocol, text=text, lenient=lenient)
    assert closed.value.close_code == code


@given(st.binary(max_size=80), st.sampled_from(sorted(codec.SUBPROTOCOLS)), st.booleans(), st.booleans())
def test_any_bytes_are_a_primitive_a_refusal_or_a_reason_to_close(
    payload: bytes, subprotocol: str, text: bool, lenient: bool
) -> None:
    codes: list[int] = []
    try:
        incoming, _ = decode(payload, subprotocol, text=text, lenient=lenient)
    except codec.Unreadable as error:
        codes.append(error.close_code)
    else:
        assert incoming.primitive.request_id
    assert set(codes) <= {1003, 1007}


@pytest.mark.parametrize(("offered", "chosen"), samples.SUBPROTOCOLS)
def test_the_first_subprotocol_that_is_spoken_here_is_chosen(offered: list[str], chosen: str) -> None:
    assert codec.choose_subprotocol(offered) == chosen


@pytest.mark.parametrize(
    ("header", "entity"),
    [
        ("Cae", "Cae"),
        ("/id-in/Cae", "Cae"),
        ("//sp/id-in/Cae", "Cae"),
        ("/Sae", "Sae"),
        ("/id-mn", "/id-mn"),
        ("//other/id-x", "//other/id-x"),
        ("", ""),
        ("C", ""),
        ("S", ""),
    ],
)
def test_entities_of_handshakes(header: str, entity: str) -> None:
    assert codec.entity_of_handshake(header, "/id-in", "//sp") == entity


@pytest.mark.parametrize("header", ["C ae", "///", "C\x00", "Cä", "x" * 600])
def test_bad_names_in_handshakes(header: str) -> None:
    with pytest.raises(BadRequest):
        codec.entity_of_handshake(header, "/id-in", "//sp")


@pytest.mark.parametrize("header", ["/id-in", "//sp/id-in"])
def test_nobody_takes_the_name_of_this_cse(header: str) -> None:
    with pytest.raises(OriginatorHasNotRegistered):
        codec.entity_of_handshake(header, "/id-in", "//sp")


def _request(originator: str, operation: Operation = Operation.RETRIEVE, ty: int | None = None) -> Request:
    return Request(operation, "cse-in", originator, "1", ty)


@pytest.mark.parametrize("originator", ["Cae", "/id-in/Cae", "//sp/id-in/Cae", ""])
def test_the_entity_itself_is_admitted_and_named(originator: str) -> None:
    request = _request(originator)
    assert codec.identify(request, "Cae", "/id-in", "//sp")
    assert request.originator == (originator or "Cae")


@pytest.mark.parametrize("originator", ["Cother", "/id-in", "/id-in/Cother", "C", "CAdmin", "/id-mn/Cae"])
def test_somebody_else_is_refused(originator: str) -> None:
    with pytest.raises(OriginatorHasNotRegistered, match="belongs to 'Cae'"):
        codec.identify(_request(originator), "Cae", "/id-in", "//sp")
    with pytest.raises(OriginatorHasNotRegistered):
        codec.identify(_request(originator, Operation.CREATE, 2), "Cae", "/id-in", "//sp")


def test_before_anybody_is_known_only_registrations_are_admitted() -> None:
    assert codec.identify(_request("C", Operation.CREATE, 2), "", "/id-in", "//sp")
    assert codec.identify(_request("/id-mn", Operation.CREATE, 16), "", "/id-in", "//sp")
    for request in (_request("Cae"), _request("Cae", Operation.CREATE, 3), _request("Cae", Operation.DELETE)):
        with pytest.raises(OriginatorHasNoPrivilege, match="create your AE first"):
            codec.identify(request, "", "/id-in", "//sp")


def test_a_cse_sends_for_those_below_it() -> None:
    assert codec.identify(_request("/id-mn"), "/id-mn", "/id-in", "//sp") is True
    assert codec.identify(_request("/id-mn/Cae"), "/id-mn", "/id-in", "//sp") is True
    assert codec.identify(_request("/id-far/Cae"), "/id-mn", "/id-in", "//sp") is False
    assert codec.identify(_request("Cae"), "/id-mn", "/id-in", "//sp") is False
    with pytest.raises(OriginatorHasNotRegistered):
        codec.identify(_request("/id-far", Operation.CREATE, 16), "/id-mn", "/id-in", "//sp")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("", True),
        ("http://h:80", True),
        ("https://app.example", True),
        ("https://app.example.evil", False),
        ("http://other", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_pages_that_may_connect(origin: str, allowed: bool) -> None:
    assert codec.origin_allowed(origin, "h:80", ("https://app.example",)) is allowed
