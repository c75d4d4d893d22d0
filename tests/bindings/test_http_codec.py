"""HTTP messages to primitives and back, on byte samples and on anything hypothesis finds."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.bindings.http_codec import (
    decode_message,
    decode_request,
    decode_response,
    encode_error,
    encode_request,
    encode_response,
)
from cse.bindings.http_status import HTTP_STATUS
from cse.bindings.http_url import path_of, split_url
from cse.bindings.media import SERIALISATIONS
from cse.onem2m.errors import BadRequest, CseError, NotAcceptable
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from tests.wire.http import BAD_REQUESTS, REQUESTS, RESPONSES, BadSample, RequestSample, ResponseSample

HeaderList = list[tuple[bytes, bytes]]
ANSWER_HEADERS = [(b"x-m2m-ri", b"1")]


def parts(message: bytes) -> tuple[bytes, HeaderList, bytes]:
    """Start line, header fields with small names, and body of a message."""
    head, _, body = message.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (field.partition(b":") for field in fields)]
    return line, headers, body


def decoded(message: bytes, *, lenient: bool = False, root_path: str = "") -> tuple[Request, str]:
    line, headers, body = parts(message)
    method, target, _ = line.split(b" ")
    path, _, query = target.partition(b"?")
    return decode_message(method.decode(), path, query, headers, body, lenient, root_path)


@pytest.mark.behaviour("EB-1.27")
@pytest.mark.parametrize("sample", REQUESTS, ids=lambda sample: sample.name)
@pytest.mark.parametrize("lenient", [False, True])
def test_requests_are_read(sample: RequestSample, lenient: bool) -> None:
    assert decoded(sample.message, lenient=lenient)[0] == sample.request


@pytest.mark.parametrize("sample", [s for s in REQUESTS if s.canonical], ids=lambda sample: sample.name)
def test_requests_are_written(sample: RequestSample) -> None:
    line, headers, body = parts(sample.message)
    serialisation = "cbor" if b"cbor" in sample.message else "json"
    method, url, written, written_body = encode_request(
        sample.request, "http://host", exact_url=False, serialisation=serialisation
    )
    assert f"{method} {url.removeprefix('http://host')} HTTP/1.1".encode() == line
    expected = sorted(pair for pair in headers if pair[0] != b"content-length")
    assert sorted((name.lower().encode(), value.encode()) for name, value in written) == expected
    assert written_body == body


@pytest.mark.parametrize("sample", RESPONSES, ids=lambda sample: sample.name)
def test_responses_are_read(sample: ResponseSample) -> None:
    line, headers, body = parts(sample.message)
    assert decode_response(int(line.split()[1]), headers, body) == sample.response


@pytest.mark.behaviour("EB-3.03")
@pytest.mark.parametrize("sample", [s for s in RESPONSES if s.canonical], ids=lambda sample: sample.name)
def test_responses_are_written(sample: ResponseSample) -> None:
    line, headers, body = parts(sample.message)
    status, written, written_body = encode_response(sample.response)
    assert str(status).encode() == line.split()[1]
    assert sorted((name.lower(), value) for name, value in written) == sorted(headers)
    assert written_body == body


@pytest.mark.parametrize("sample", BAD_REQUESTS, ids=lambda sample: sample.name)
@pytest.mark.parametrize("lenient", [False, True])
def test_bad_requests_are_refused_in_words(sample: BadSample, lenient: bool) -> None:
    if lenient and not sample.lenient_too:
        decoded(sample.message, lenient=True)
        return
    with pytest.raises(CseError) as caught:
        decoded(sample.message, lenient=lenient)
    assert caught.value.status is sample.status
    assert caught.value.request_id == sample.request_id
    assert sample.hint in caught.value.debug


def test_every_status_has_an_http_status() -> None:
    assert set(HTTP_STATUS) == set(Status)
    for status, http_status in HTTP_STATUS.items():
        assert (http_status < 300) == (status < 3000)


@pytest.mark.parametrize(
    ("path", "to"),
    [(b"/root/cse-in", "cse-in"), (b"/root/~/id-in/x", "/id-in/x"), (b"/cse-in", "cse-in"), (b"/rooted", "rooted")],
)
def test_root_path_is_no_part_of_the_address(path: bytes, to: str) -> None:
    assert decode_request("GET", path, b"", ANSWER_HEADERS, b"", lenient=True, root_path="/root").to == to


@pytest.mark.parametrize(
    ("headers", "media_type"),
    [
        ([], "application/json"),
        ([(b"content-type", b"application/cbor")], "application/cbor"),
        ([(b"content-type", b"application/vnd.onem2m-res+cbor;ty=3")], "application/cbor"),
        ([(b"content-type", b"application/cbor"), (b"accept", b"*/*")], "application/cbor"),
        ([(b"content-type", b"application/cbor"), (b"accept", b"application/json")], "application/json"),
        ([(b"accept", b"application/xml, application/cbor;q=0.5")], "application/cbor"),
        ([(b"accept", b"application/cbor;q=0.5, application/json;q=0.6")], "application/json"),
        ([(b"accept", b"application/cbor, application/json")], "application/json"),
        ([(b"accept", b"application/xml"), (b"accept", b"application/cbor")], "application/cbor"),
        ([(b"accept", b"application/vnd.onem2m-res+json")], "application/vnd.onem2m-res+json"),
        ([(b"accept", b"application/json;q=high")], "application/json"),
        ([(b"accept", b"")], "application/json"),
    ],
)
def test_media_type_of_the_answer(headers: HeaderList, media_type: str) -> None:
    chosen = decode_message("GET", b"/cse-in", b"", [*ANSWER_HEADERS, *headers], b"", False, "")[1]
    assert chosen == media_type
    _, written, body = encode_response(Response(Status.OK, "1", content={}), media_type)
    assert (b"Content-Type", media_type.encode()) in written
    assert body == (b"\xa0" if SERIALISATIONS[media_type] == "cbor" else b"{}")


def test_error_answers() -> None:
    headers = [(b"x-m2m-ri", b"7"), (b"x-m2m-rvi", b"3"), (b"accept", b"application/xml")]
    status, written, body = encode_error(NotAcceptable("send another Accept", "7"), headers, "GET")
    assert status == 406
    assert body == b'{"m2m:dbg":"send another Accept"}'
    assert written == [
        (b"X-M2M-RSC", b"5207"),
        (b"X-M2M-RI", b"7"),
        (b"X-M2M-RVI", b"3"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % len(body)),
    ]


def test_refused_methods_are_told_the_allowed_ones() -> None:
    with pytest.raises(CseError) as caught:
        decode_request("PATCH", b"/cse-in", b"", [], b"", lenient=True)
    status, written, _ = encode_error(caught.value, [], "PATCH")
    assert status == 405
    assert (b"Allow", b"GET, POST, PUT, DELETE") in written


def test_no_response_is_an_empty_204() -> None:
    assert encode_response(Response(Status.OK, "1", content={"a": 1}, silent=True)) == (204, [], b"")


def test_values_of_other_bindings_cannot_end_a_header() -> None:
    response = Response(Status.OK, "a\r\nSet-Cookie: x", vendor="\x00", release="3")
    for _, value in encode_response(response)[1]:
        assert not set(value) & {0, 10, 13}
    with pytest.raises(BadRequest):
        encode_request(Request(Operation.NOTIFY, "x", "a\r\nb", "1"), "http://h", exact_url=True)


def test_exact_urls_stay_as_they_are() -> None:
    request = Request(Operation.NOTIFY, "Cae1", "/id-in", "1", content={"m2m:sgn": {}}, release="3", result_content=1)
    method, url, headers, body = encode_request(request, "http://host/a%20b?x=1", exact_url=True)
    assert (method, url, body) == ("POST", "http://host/a%20b?x=1", b'{"m2m:sgn":{}}')
    assert headers == [
        ("X-M2M-Origin", "/id-in"),
        ("X-M2M-RI", "1"),
        ("X-M2M-RVI", "3"),
        ("Content-Type", "application/json"),
    ]


@pytest.mark.parametrize(
    ("to", "path"),
    [("cse-in/x", "/cse-in/x"), ("/id/cse", "/~/id/cse"), ("//sp/id/cse", "/_/sp/id/cse"), ("a b#rn", "/a%20b")],
)
def test_path_of_an_address(to: str, path: str) -> None:
    assert path_of(to) == path


def test_fragments_become_a_partial_retrieve() -> None:
    request = Request(Operation.RETRIEVE, "cse-in#lbl", "C", "1")
    assert encode_request(request, "http://host:1/root/", exact_url=False)[1] == "http://host:1/root/cse-in?atrl=lbl"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/n", ("http://h/n", None)),
        ("http://h/n?ct=cbor", ("http://h/n", "cbor")),
        ("http://h/n?a=1&ct=json&b=2", ("http://h/n?a=1&b=2", "json")),
        ("http://h/n?ct=xml", ("http://h/n", None)),
        ("http://h/n?act=1", ("http://h/n?act=1", None)),
        ("http://h/n?ct=application/cbor", ("http://h/n", "cbor")),
    ],
)
def test_serialisation_in_a_url(url: str, expected: tuple[str, str | None]) -> None:
    assert split_url(url) == expected


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], b""),
        ([(b"x-m2m-rsc", b"ok")], b""),
        ([(b"x-m2m-rsc", b"2000"), (b"x-m2m-cts", b"x")], b""),
        ([(b"x-m2m-rsc", b"2000"), (b"content-type", b"application/json")], b"{"),
        ([(b"x-m2m-rsc", b"2000"), (b"content-type", b"text/html")], b"<p>"),
        ([(b"x-m2m-rsc", b"\xff")], b""),
    ],
)
def test_answers_that_are_no_response(headers: HeaderList, body: bytes) -> None:
    with pytest.raises(CseError):
        decode_response(200, headers, body)


# --- anything ----------------------------------------------------------------------------------------------------

_segment = st.from_regex(r"[A-Za-z0-9\-_][A-Za-z0-9\-._]{0,8}", fullmatch=True)
_path = st.lists(_segment, min_size=1, max_size=4).map("/".join).filter(lambda path: path.split("/")[0] not in "~_")
_to = _path | _path.map("/{}".format) | _path.map("//sp/{}".format)
_printable = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="\x7f\xad"), min_size=1)
_field = _printable.filter(str.isprintable)
_entry = _field.filter(lambda text: not set(text) & set("+& "))
_content = st.dictionaries(
    _field,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(_field, inner),
        max_leaves=5,
    ),
    min_size=1,
)
_optional = st.fixed_dictionaries(
    {},
    optional={
        "release": st.sampled_from(["2", "2a", "3", "4", "5"]),
        "result_content": st.integers(0, 12),
        "response_type": st.integers(1, 5),
        "response_targets": st.lists(_entry),
        "request_expiration": st.integers().filter(lambda number: abs(number) < 10**18) | st.just("20300101T000000"),
        "originating_time": st.just("20260101T000000"),
        "event_category": st.integers(0, 999),
        "group_request_id": _field,
        "vendor": _field,
        "tokens": st.lists(_entry, min_size=1),
        "delivery_aggregation": st.booleans(),
        "filter": st.fixed_dictionaries({"fu": st.integers(1, 4)}, optional={"lbl": st.lists(_entry, min_size=1)}),
    },
)


@given(
    to=_to,
    originator=_field,
    request_id=_field,
    operation=st.sampled_from(Operation),
    content=_content,
    serialisation=st.sampled_from(["json", "cbor"]),
    optional=_optional,
)
def test_requests_round_trip(
    to: str, originator: str, request_id: str, operation: Operation, content: Any, serialisation: str, optional: Any
) -> None:
    request = Request(operation, to, originator, request_id, **optional)
    if operation not in (Operation.RETRIEVE, Operation.DELETE):
        request.content = content
    if operation is Operation.CREATE:
        request.resource_type = 3
    method, url, headers, body = encode_request(request, "http://h/root", exact_url=False, serialisation=serialisation)
    path, _, query = url.removeprefix("http://h").encode().partition(b"?")
    received = [(name.lower().encode(), value.encode()) for name, value in headers]
    again = decode_request(method, path, query, received, body, lenient=False, root_path="/root")
    assert again == request


@given(
    status=st.sampled_from(Status),
    request_id=_field,
    content=st.none() | _content,
    media_type=st.sampled_from(sorted(SERIALISATIONS)),
    content_offset=st.none() | st.integers(0, 10**9),
    vendor=st.none() | _field,
)
def test_responses_round_trip(status: Status, request_id: str, media_type: str, **fields: Any) -> None:
    response = Response(status, request_id, **fields)
    http_status, headers, body = encode_response(response, media_type)
    assert decode_response(http_status, headers, body) == response


_garbage = st.binary(max_size=40)
_names = st.sampled_from(
    [b"content-type", b"accept", b"authorization", b"x-m2m-origin", b"x-m2m-rsc"]
) | st.sampled_from(["ri", "rvi", "ret", "ec", "rtu", "ati", "cto"]).map("x-m2m-{}".format).map(str.encode)
_types = st.sampled_from([b"application/json", b"application/json;ty=3", b"application/cbor;ty=4", b"*/*"])
_headers = st.lists(st.tuples(_names, _garbage | _types), max_size=8)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", ""]),
    path=_garbage | _garbage.map(lambda rest: b"/" + rest),
    query=_garbage,
    headers=_headers,
    body=_garbage,
    lenient=st.booleans(),
)
def test_garbage_requests_raise_nothing_but_cse_errors(
    method: str, path: bytes, query: bytes, headers: HeaderList, body: bytes, lenient: bool
) -> None:
    received = [(b"x-m2m-ri", b"1"), *headers] if lenient else headers
    try:
        decode_message(method, path, query, received, body, lenient, "")
    except CseError as error:
        status, written, _ = encode_error(error, received, method)
        assert status in (400, 405, 406, 415)
        assert all(b"\r" not in value and b"\n" not in value for _, value in written)


@given(_headers, _garbage)
def test_garbage_responses_raise_nothing_but_cse_errors(headers: HeaderList, body: bytes) -> None:
    with contextlib.suppress(CseError):
        decode_response(200, headers, body)
