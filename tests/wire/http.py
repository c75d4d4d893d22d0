"""HTTP messages and the primitives they carry (TS-0009): good ones for both directions, bad ones to refuse."""

from dataclasses import dataclass
from typing import Any

from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status


@dataclass(frozen=True)
class RequestSample:
    """A request message and its primitive.

    Attributes:
        name: of the sample.
        message: the bytes.
        request: what it means.
        canonical: our client writes the same line, header fields (in any order) and body.
    """

    name: str
    message: bytes
    request: Request
    canonical: bool = True


@dataclass(frozen=True)
class ResponseSample:
    """A response message and its primitive; written exactly so by our server when ``canonical``."""

    name: str
    message: bytes
    response: Response
    canonical: bool = True


@dataclass(frozen=True)
class BadSample:
    """A request message to refuse: with which status, which request identifier, and a word of the explanation."""

    name: str
    message: bytes
    status: Status
    hint: str
    request_id: str = "1"
    lenient_too: bool = True


def message(line: str, *headers: str, body: str | bytes = b"") -> bytes:
    """A message of its parts, with Content-Length when there is a body."""
    data = body.encode() if isinstance(body, str) else body
    fields = [*headers, f"Content-Length: {len(data)}"] if data else list(headers)
    return "\r\n".join([line, *fields, "", ""]).encode() + data


FROM, RI, RVI = "X-M2M-Origin: Cae1", "X-M2M-RI: 1", "X-M2M-RVI: 3"
JSON_ACCEPTED = "Accept: application/json"
CBOR_BODY = bytes.fromhex("a1676d326d3a636e74a162726e626331")


def _request(operation: Operation, to: str, **fields: Any) -> Request:
    return Request(operation, to, **{"originator": "Cae1", "request_id": "1", "release": "3", **fields})


C, R, U, D, N = Operation
GET_CNT = "GET /cse-in/c1 HTTP/1.1"

REQUESTS = [
    RequestSample(
        "create",
        message(
            "POST /cse-in/ae1 HTTP/1.1",
            "X-M2M-Origin: Cae1",
            "X-M2M-RI: 17",
            "X-M2M-RVI: 3",
            "Content-Type: application/json;ty=3",
            JSON_ACCEPTED,
            body='{"m2m:cnt":{"rn":"c1"}}',
        ),
        _request(C, "cse-in/ae1", request_id="17", resource_type=3, content={"m2m:cnt": {"rn": "c1"}}),
    ),
    RequestSample(
        "create in CBOR",
        message(
            "POST /cse-in/ae1 HTTP/1.1",
            FROM,
            RI,
            RVI,
            "Content-Type: application/cbor;ty=3",
            "Accept: application/cbor",
            body=CBOR_BODY,
        ),
        _request(C, "cse-in/ae1", resource_type=3, content={"m2m:cnt": {"rn": "c1"}}),
    ),
    RequestSample("retrieve", message(GET_CNT, FROM, RI, RVI, JSON_ACCEPTED), _request(R, "cse-in/c1")),
    RequestSample(
        "retrieve SP-relative",
        message("GET /~/id-in/-/c1 HTTP/1.1", FROM, RI, RVI, JSON_ACCEPTED),
        _request(R, "/id-in/-/c1"),
    ),
    RequestSample(
        "retrieve absolute",
        message("GET /_/sp.example.org/id-in/x HTTP/1.1", FROM, RI, RVI, JSON_ACCEPTED),
        _request(R, "//sp.example.org/id-in/x"),
    ),
    RequestSample(
        "discovery",
        message("GET /cse-in?drt=2&fu=1&ty=3&ty=4&lbl=key:value&apn=x%3Dy HTTP/1.1", FROM, RI, RVI, JSON_ACCEPTED),
        _request(
            R,
            "cse-in",
            desired_identifier=2,
            filter={"fu": 1, "ty": [3, 4], "lbl": ["key:value"], "atr": [{"nm": "apn", "val": "x=y"}]},
        ),
    ),
    RequestSample(
        "partial retrieve",
        message("GET /cse-in/c1?atrl=lbl+rn HTTP/1.1", FROM, RI, RVI, JSON_ACCEPTED),
        _request(R, "cse-in/c1", attribute_list=["lbl", "rn"]),
    ),
    RequestSample(
        "partial retrieve in a body",
        message(GET_CNT, FROM, RI, RVI, "Content-Type: application/json", body='{"m2m:atrl":["lbl"]}'),
        _request(R, "cse-in/c1", attribute_list=["lbl"]),
        canonical=False,
    ),
    RequestSample(
        "update",
        message(
            "PUT /cse-in/c1?rcn=9 HTTP/1.1",
            FROM,
            RI,
            RVI,
            "Content-Type: application/json",
            JSON_ACCEPTED,
            body='{"m2m:cnt":{"lbl":null}}',
        ),
        _request(U, "cse-in/c1", result_content=9, content={"m2m:cnt": {"lbl": None}}),
    ),
    RequestSample("delete", message("DELETE /abc-1 HTTP/1.1", FROM, RI, RVI, JSON_ACCEPTED), _request(D, "abc-1")),
    RequestSample(
        "notify",
        message(
            "POST /cse-in/ae1 HTTP/1.1",
            FROM,
            RI,
            RVI,
            "Content-Type: application/json",
            JSON_ACCEPTED,
            body='{"m2m:sgn":{"vrq":true}}',
        ),
        _request(N, "cse-in/ae1", content={"m2m:sgn": {"vrq": True}}),
    ),
    RequestSample(
        "all header fields",
        message(
            "GET /cse-in?rt=2 HTTP/1.1",
            FROM,
            RI,
            RVI,
            JSON_ACCEPTED,
            "X-M2M-OT: 20260101T000000",
            "X-M2M-RET: 20260101T000001,5",
            "X-M2M-RST: 5000",
            "X-M2M-OET: -1",
            "X-M2M-RTU: http://a/n&mqtt://b/n",
            "X-M2M-EC: 4",
            "X-M2M-GID: g1",
            "X-M2M-GTM: m1+m2",
            "X-M2M-AUS: s1",
            "X-M2M-VSI: vendor said",
            "Authorization: t1+t2",
        ),
        _request(
            R,
            "cse-in",
            response_type=2,
            originating_time="20260101T000000",
            request_expiration="20260101T000001,5",
            result_expiration=5000,
            execution_time=-1,
            response_targets=["http://a/n", "mqtt://b/n"],
            event_category=4,
            group_request_id="g1",
            group_targets=["m1", "m2"],
            authorization_signatures=["s1"],
            vendor="vendor said",
            tokens=["t1", "t2"],
        ),
    ),
    RequestSample(
        "no notification wanted",
        message("GET /cse-in?rt=2 HTTP/1.1", FROM, RI, RVI, JSON_ACCEPTED, "X-M2M-RTU: "),
        _request(R, "cse-in", response_type=2, response_targets=[]),
    ),
    RequestSample(
        "release 1, anonymous",
        message("GET /cse-in HTTP/1.1", RI, JSON_ACCEPTED),
        _request(R, "cse-in", originator="", release=None),
    ),
    # what others write, and we only read
    RequestSample(
        "blanks around ty",
        message(
            "POST /cse-in HTTP/1.1", FROM, RI, RVI, "Content-Type: application/json ; ty = 4", body='{"m2m:cin":{}}'
        ),
        _request(C, "cse-in", resource_type=4, content={"m2m:cin": {}}),
        canonical=False,
    ),
    RequestSample(
        "vendor type, charset, small letters",
        message(
            "POST /cse-in HTTP/1.1",
            "x-m2m-origin: Cae1",
            "x-m2m-ri: 1",
            "x-m2m-rvi: 3",
            'content-type: Application/vnd.oneM2M-res+JSON;charset=UTF-8;TY="4"',
            body='{"m2m:cin":{}}',
        ),
        _request(C, "cse-in", resource_type=4, content={"m2m:cin": {}}),
        canonical=False,
    ),
    RequestSample(
        "escaped path",
        message("GET /%7E/id%2Din/cse-in HTTP/1.1", FROM, RI, RVI),
        _request(R, "/id-in/cse-in"),
        canonical=False,
    ),
    RequestSample(
        "transport credentials are no tokens",
        message(GET_CNT, FROM, RI, RVI, "Authorization: Basic Zm9vOmJhcg=="),
        _request(R, "cse-in/c1"),
        canonical=False,
    ),
    RequestSample(
        "user and password as originator",
        message(GET_CNT, "X-M2M-Origin: user:pass", RI, RVI),
        _request(R, "cse-in/c1", originator="user:pass"),
        canonical=False,
    ),
    RequestSample(
        "browser",
        message(GET_CNT, FROM, RI, RVI, "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Cookie: a=b"),
        _request(R, "cse-in/c1"),
        canonical=False,
    ),
    RequestSample(
        "joined and repeated lists",
        message("GET /cse-in?fu=1&lbl=a+b&lbl=c%20d&ty=3+4 HTTP/1.1", FROM, RI, RVI),
        _request(R, "cse-in", filter={"fu": 1, "lbl": ["a", "b", "c d"], "ty": [3, 4]}),
        canonical=False,
    ),
    RequestSample(
        "type on a retrieve is for the core to refuse",
        message(GET_CNT, FROM, RI, RVI, "Content-Type: application/json;ty=3"),
        _request(R, "cse-in/c1", resource_type=3),
        canonical=False,
    ),
    RequestSample(
        "trailing slash is for the core to refuse",
        message("GET /cse-in/ HTTP/1.1", FROM, RI, RVI),
        _request(R, "cse-in/"),
        canonical=False,
    ),
]

_JSON = "Content-Type: application/json"
_CREATED = message(
    "HTTP/1.1 201 Created", "X-M2M-RSC: 2001", "X-M2M-RI: 17", "X-M2M-RVI: 3", _JSON, body='{"m2m:cnt":{"rn":"c1"}}'
)
RESPONSES = [
    ResponseSample("created", _CREATED, Response(Status.CREATED, "17", content={"m2m:cnt": {"rn": "c1"}}, release="3")),
    ResponseSample(
        "created, address only",
        message(
            "HTTP/1.1 201 Created",
            "X-M2M-RSC: 2001",
            RI,
            "Content-Location: /cse-in/ae/c1",
            _JSON,
            body='{"m2m:uri":"cse-in/ae/c1"}',
        ),
        Response(Status.CREATED, "1", content={"m2m:uri": "cse-in/ae/c1"}),
    ),
    ResponseSample(
        "created, address and attributes",
        message(
            "HTTP/1.1 201 Created",
            "X-M2M-RSC: 2001",
            RI,
            "Content-Location: /~/id-in/x",
            _JSON,
            body='{"m2m:rce":{"uri":"/id-in/x","m2m:cnt":{}}}',
        ),
        Response(Status.CREATED, "1", content={"m2m:rce": {"uri": "/id-in/x", "m2m:cnt": {}}}),
    ),
    ResponseSample(
        "accepted",
        message(
            "HTTP/1.1 202 Accepted", "X-M2M-RSC: 1001", RI, "Content-Location: /req1", _JSON, body='{"m2m:uri":"req1"}'
        ),
        Response(Status.ACCEPTED_NONBLOCKING_SYNC, "1", content={"m2m:uri": "req1"}),
    ),
    ResponseSample(
        "all header fields",
        message(
            "HTTP/1.1 200 OK",
            "X-M2M-RSC: 2000",
            RI,
            "X-M2M-RVI: 2a",
            "X-M2M-OT: 20260101T000000",
            "X-M2M-VSI: v",
            "X-M2M-RST: 5000",
            "X-M2M-EC: 2",
            "X-M2M-CTS: 1",
            "X-M2M-CTO: 11",
            "X-M2M-ATI: l1:t1@x+l2:t2@x",
            _JSON,
            body='{"m2m:uril":[]}',
        ),
        Response(
            Status.OK,
            "1",
            content={"m2m:uril": []},
            release="2a",
            originating_time="20260101T000000",
            vendor="v",
            result_expiration=5000,
            event_category=2,
            content_status=1,
            content_offset=11,
            assigned_tokens=[{"lti": "l1", "tkid": "t1@x"}, {"lti": "l2", "tkid": "t2@x"}],
        ),
    ),
    ResponseSample(
        "deleted",
        message("HTTP/1.1 200 OK", "X-M2M-RSC: 2002", RI, "Content-Length: 0"),
        Response(Status.DELETED, "1"),
    ),
    ResponseSample(
        "refused",
        message("HTTP/1.1 404 Not Found", "X-M2M-RSC: 4004", RI, _JSON, body='{"m2m:dbg":"no such resource"}'),
        Response(Status.NOT_FOUND, "1", content={"m2m:dbg": "no such resource"}),
    ),
    ResponseSample(
        "small letters, other order, originator",
        message(
            "HTTP/1.1 200 OK",
            "content-type: application/vnd.onem2m-res+json",
            "x-m2m-ri: 1",
            "x-m2m-rsc: 2004",
            "x-m2m-origin: /id-in",
            body='{"m2m:cnt":{}}',
        ),
        Response(Status.UPDATED, "1", content={"m2m:cnt": {}}, originator="/id-in"),
        canonical=False,
    ),
    ResponseSample(
        "a code of a later release",
        message("HTTP/1.1 400 Bad Request", "X-M2M-RSC: 4999", RI),
        Response(Status.BAD_REQUEST, "1"),
        canonical=False,
    ),
    ResponseSample(
        "an error page with a status code",
        message("HTTP/1.1 500 Oops", "X-M2M-RSC: 5000", RI, "Content-Type: text/html", body="<h1>oops</h1>"),
        Response(Status.INTERNAL_SERVER_ERROR, "1"),
        canonical=False,
    ),
]

_POST = "POST /cse-in HTTP/1.1"
_GET = "GET /cse-in HTTP/1.1"
_4000 = Status.BAD_REQUEST
BAD_REQUESTS = [
    BadSample("no identifier", message(_GET, FROM, RVI), _4000, "X-M2M-RI", ""),
    BadSample("empty identifier", message(_GET, FROM, "X-M2M-RI: "), _4000, "X-M2M-RI", ""),
    BadSample("two identifiers", message(_GET, FROM, RI, RI), _4000, "twice", ""),
    BadSample("two originators", message(_GET, FROM, "x-m2m-origin: Cae2", RI), _4000, "x-m2m-origin stands twice"),
    BadSample("two unknown fields", message(_GET, FROM, "X-M2M-New: 1", "X-M2M-New: 1", RI), _4000, "x-m2m-new"),
    BadSample(
        "two content types", message(_POST, FROM, RI, _JSON, _JSON, body="{}"), _4000, "content-type stands twice"
    ),
    BadSample("method", message("PATCH /cse-in HTTP/1.1", FROM, RI), Status.OPERATION_NOT_ALLOWED, "PATCH"),
    BadSample("options", message("OPTIONS /cse-in HTTP/1.1"), Status.OPERATION_NOT_ALLOWED, "OPTIONS", ""),
    BadSample("no target", message("GET / HTTP/1.1", FROM, RI), _4000, "names no resource"),
    BadSample("no target behind ~", message("GET /~ HTTP/1.1", FROM, RI), _4000, "names no resource"),
    BadSample("no target behind ~/", message("GET /~/ HTTP/1.1", FROM, RI), _4000, "names no resource"),
    BadSample("no target behind _", message("GET /_/ HTTP/1.1", FROM, RI), _4000, "names no resource"),
    BadSample("two slashes", message("GET //id-in/cse-in HTTP/1.1", FROM, RI), _4000, "empty segment"),
    BadSample("escaped slash", message("GET /cse-in%2Fc1 HTTP/1.1", FROM, RI), _4000, "escape"),
    BadSample("escaped NUL", message("GET /cse-in%00 HTTP/1.1", FROM, RI), _4000, "escape"),
    BadSample("escaped line end", message("GET /cse-in%0D%0A HTTP/1.1", FROM, RI), _4000, "escape"),
    BadSample("escaped fragment", message("GET /cse-in%23rn HTTP/1.1", FROM, RI), _4000, "escape"),
    BadSample("half an escape", message("GET /cse-in%4 HTTP/1.1", FROM, RI), _4000, "escape"),
    BadSample("path not UTF-8", message("GET /cse-in%ff HTTP/1.1", FROM, RI), _4000, "UTF-8"),
    BadSample("type in letters", message(_POST, FROM, RI, f"{_JSON};ty=cnt", body="{}"), _4000, "ty="),
    BadSample("empty type", message(_POST, FROM, RI, f"{_JSON};ty=", body="{}"), _4000, "ty="),
    BadSample("negative type", message(_POST, FROM, RI, f"{_JSON};ty=-1", body="{}"), _4000, "ty="),
    BadSample("two types", message(_POST, FROM, RI, f"{_JSON};ty=3;ty=3", body="{}"), _4000, "'ty' twice"),
    BadSample(
        "XML",
        message(_POST, FROM, RI, "Content-Type: application/xml;ty=3", body="<a/>"),
        Status.UNSUPPORTED_MEDIA_TYPE,
        "application/json",
    ),
    BadSample(
        "form",
        message(_POST, FROM, RI, "Content-Type: application/x-www-form-urlencoded", body="a=b"),
        Status.UNSUPPORTED_MEDIA_TYPE,
        "application/json",
    ),
    BadSample(
        "latin-1",
        message(_POST, FROM, RI, f"{_JSON};charset=latin-1", body="{}"),
        Status.UNSUPPORTED_MEDIA_TYPE,
        "application/json",
    ),
    BadSample(
        "no content type",
        message("PUT /cse-in HTTP/1.1", FROM, RI, body="{}"),
        Status.UNSUPPORTED_MEDIA_TYPE,
        "missing",
        lenient_too=False,
    ),
    BadSample(
        "nothing acceptable", message(_GET, FROM, RI, "Accept: application/xml"), Status.NOT_ACCEPTABLE, "Accept"
    ),
    BadSample("JSON refused", message(_GET, FROM, RI, "Accept: application/json;q=0"), Status.NOT_ACCEPTABLE, "Accept"),
    BadSample("half a body", message(_POST, FROM, RI, _JSON, body='{"m2m:sgn"'), _4000, "JSON"),
    BadSample("a list", message(_POST, FROM, RI, _JSON, body="[1]"), _4000, "object"),
    BadSample("a number", message(_POST, FROM, RI, _JSON, body="1"), _4000, "object"),
    BadSample("a member twice", message(_POST, FROM, RI, _JSON, body='{"a":1,"a":1}'), _4000, "twice"),
    BadSample("body not UTF-8", message(_POST, FROM, RI, _JSON, body=b'{"a":"\xff"}'), _4000, "JSON"),
    BadSample(
        "half a CBOR body",
        message(_POST, FROM, RI, "Content-Type: application/cbor", body=CBOR_BODY[:-1]),
        _4000,
        "CBOR",
    ),
    BadSample("rcn in words", message("GET /cse-in?rcn=all HTTP/1.1", FROM, RI), _4000, "rcn"),
    BadSample("event category in words", message(_GET, FROM, RI, "X-M2M-EC: urgent"), _4000, "x-m2m-ec"),
    BadSample(
        "header not UTF-8", message(_GET, RI).replace(b"X-M2M-RI", b"X-M2M-VSI: \xff\r\nX-M2M-RI"), _4000, "UTF-8"
    ),
    BadSample("header with a tab", message(_GET, RI, "X-M2M-VSI: a\tb"), _4000, "control"),
]
