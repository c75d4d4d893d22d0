"""CoAP datagrams and the primitives they carry (TS-0008): good ones for both directions, bad ones to refuse.

The bytes were written with aiocoap, not with the product's own message codec.
"""

from dataclasses import dataclass

from cse.bindings.coap_codes import NEW_NUMBERS, OLD_NUMBERS, Numbering
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status

CREATE, RETRIEVE, UPDATE, DELETE, NOTIFY = list(Operation)


@dataclass(frozen=True)
class RequestSample:
    """A request and its primitive; our client writes the same bytes when ``canonical``."""

    name: str
    datagram: bytes
    request: Request
    numbers: Numbering = NEW_NUMBERS
    canonical: bool = True


@dataclass(frozen=True)
class ResponseSample:
    """A response and its primitive, written exactly so by our server as the answer to ``operation``."""

    name: str
    datagram: bytes
    response: Response
    operation: Operation
    numbers: Numbering = NEW_NUMBERS


@dataclass(frozen=True)
class BadSample:
    """A request to refuse: with which status, CoAP code and request identifier, and a word of the explanation."""

    name: str
    datagram: bytes
    status: Status
    code: str
    hint: str
    request_id: str = "1"


REQUESTS = [
    RequestSample(
        "retrieve",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d1f73384436165314131"),
        Request(RETRIEVE, "cse-in/app", "Cae1", "1", release="3"),
    ),
    RequestSample(
        "create with a resource type",
        bytes.fromhex(
            "42021234a1b2b66373652d696e1132d1f202413384436165314131ff7b226d326d3a6165223a7b22726e223a22617070"
            "222c22617069223a224e78222c227272223a747275657d7d"
        ),
        Request(
            CREATE,
            "cse-in",
            "Cae1",
            "1",
            resource_type=2,
            content={"m2m:ae": {"rn": "app", "api": "Nx", "rr": True}},
            release="3",
        ),
    ),
    RequestSample(
        "create in CBOR",
        bytes.fromhex(
            "42021234a1b2b66373652d696e113cd1f202413384436165314131ffa1666d326d3a6165a362726e6361707063617069"
            "624e78627272f5"
        ),
        Request(
            CREATE,
            "cse-in",
            "Cae1",
            "1",
            resource_type=2,
            content={"m2m:ae": {"rn": "app", "api": "Nx", "rr": True}},
            release="3",
        ),
    ),
    RequestSample(
        "create with the oneM2M media type",
        bytes.fromhex(
            "42021234a1b2b66373652d696e122711d1f202413384436165314131ff7b226d326d3a6165223a7b22726e223a226170"
            "70222c22617069223a224e78222c227272223a747275657d7d"
        ),
        Request(
            CREATE,
            "cse-in",
            "Cae1",
            "1",
            resource_type=2,
            content={"m2m:ae": {"rn": "app", "api": "Nx", "rr": True}},
            release="3",
        ),
        canonical=False,
    ),
    RequestSample(
        "registration without originator",
        bytes.fromhex(
            "42021234a1b2b66373652d696e1132d1f2024133c131ff7b226d326d3a6165223a7b22726e223a22617070222c226170"
            "69223a224e78222c227272223a747275657d7d"
        ),
        Request(
            CREATE,
            "cse-in",
            "",
            "1",
            resource_type=2,
            content={"m2m:ae": {"rn": "app", "api": "Nx", "rr": True}},
            release="3",
        ),
    ),
    RequestSample(
        "update",
        bytes.fromhex(
            "42031234a1b2b66373652d696e036170701132d1f63384436165314131ff7b226d326d3a6165223a7b226c626c223a5b"
            "2261225d7d7d"
        ),
        Request(UPDATE, "cse-in/app", "Cae1", "1", content={"m2m:ae": {"lbl": ["a"]}}, release="3"),
    ),
    RequestSample(
        "delete",
        bytes.fromhex("42041234a1b2b66373652d696e03617070d1f73384436165314131"),
        Request(DELETE, "cse-in/app", "Cae1", "1", release="3"),
    ),
    RequestSample(
        "notify",
        bytes.fromhex(
            "42021234a1b2b66e6f7469667904686572651132d1f633862f69642d696e4131ff7b226d326d3a73676e223a7b227672"
            "71223a747275657d7d"
        ),
        Request(NOTIFY, "notify/here", "/id-in", "1", content={"m2m:sgn": {"vrq": True}}, release="3"),
    ),
    RequestSample(
        "notify to the bare address",
        bytes.fromhex("42021234a1b2c132d1f633862f69642d696e4131ff7b226d326d3a73676e223a7b22767271223a747275657d7d"),
        Request(NOTIFY, "", "/id-in", "1", content={"m2m:sgn": {"vrq": True}}, release="3"),
    ),
    RequestSample(
        "SP-relative target",
        bytes.fromhex("42011234a1b2b17e0569642d6d6e066373652d6d6e03617070d1f73384436165314131"),
        Request(RETRIEVE, "/id-mn/cse-mn/app", "Cae1", "1", release="3"),
    ),
    RequestSample(
        "absolute target",
        bytes.fromhex("42011234a1b2b15f0a73702e6578616d706c650569642d6d6e012d03617070d1f73384436165314131"),
        Request(RETRIEVE, "//sp.example/id-mn/-/app", "Cae1", "1", release="3"),
    ),
    RequestSample(
        "discovery",
        bytes.fromhex(
            "42011234a1b2b66373652d696e4572636e3d36056472743d320466753d31056c626c3d61076c626c3d623a630474793d"
            "33d1f33384436165314131"
        ),
        Request(
            RETRIEVE,
            "cse-in",
            "Cae1",
            "1",
            release="3",
            result_content=6,
            desired_identifier=2,
            filter={"fu": 1, "lbl": ["a", "b:c"], "ty": [3]},
        ),
    ),
    RequestSample(
        "partial retrieve",
        bytes.fromhex("42011234a1b2b66373652d696e03617070486174726c3d6c626c076174726c3d7272d1f33384436165314131"),
        Request(RETRIEVE, "cse-in/app", "Cae1", "1", release="3", attribute_list=["lbl", "rr"]),
    ),
    RequestSample(
        "every request option",
        bytes.fromhex(
            "42021234a1b2b66373652d696e0361707011323472743d32dde7023230323631313232543130313131324d0d636f6170"
            "3a2f2f31302e302e302e3726687474703a2f2f682f78410341338443616531413184353030304d093230323631313232"
            "543131313131322c30303030303144313030304104826731d1077643612062ff7b226d326d3a636e74223a7b7d7d"
        ),
        Request(
            CREATE,
            "cse-in/app",
            "Cae1",
            "1",
            resource_type=3,
            content={"m2m:cnt": {}},
            release="3",
            response_type=2,
            response_targets=["coap://10.0.0.7", "http://h/x"],
            originating_time="20261122T101112",
            request_expiration=5000,
            result_expiration="20261122T111112,000001",
            execution_time=1000,
            event_category=4,
            group_request_id="g1",
            vendor="v",
            group_targets=["a", "b"],
        ),
    ),
    RequestSample(
        "empty list of response targets",
        bytes.fromhex("42011234a1b2b66373652d696e4472743d32d0eb813384436165314131"),
        Request(RETRIEVE, "cse-in", "Cae1", "1", release="3", response_type=2, response_targets=[]),
    ),
    RequestSample(
        "retrieve over POST",
        bytes.fromhex("42021234a1b2b66373652d696e03617070446f703d320472743d31d1f33384436165314131"),
        Request(RETRIEVE, "cse-in/app", "Cae1", "1", release="3", response_type=1),
        canonical=False,
    ),
    RequestSample(
        "older numbers: create",
        bytes.fromhex(
            "42021234a1b2b66373652d696e1132d4e7436165311131a102ff7b226d326d3a6165223a7b22726e223a22617070222c"
            "22617069223a224e78222c227272223a747275657d7d"
        ),
        Request(
            CREATE, "cse-in", "Cae1", "1", resource_type=2, content={"m2m:ae": {"rn": "app", "api": "Nx", "rr": True}}
        ),
        numbers=OLD_NUMBERS,
    ),
    RequestSample(
        "older numbers: retrieve",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d4e8436165311131"),
        Request(RETRIEVE, "cse-in/app", "Cae1", "1"),
        numbers=OLD_NUMBERS,
    ),
    RequestSample(
        "older numbers: the other parameters",
        bytes.fromhex(
            "42011234a1b2b66373652d696ed4e84361653111312d0232303236313132325431303131313214353030301436303030"
            "14313030302104226731523261"
        ),
        Request(
            RETRIEVE,
            "cse-in",
            "Cae1",
            "1",
            release="2a",
            originating_time="20261122T101112",
            request_expiration=5000,
            result_expiration=6000,
            execution_time=1000,
            event_category=4,
            group_request_id="g1",
        ),
        numbers=OLD_NUMBERS,
    ),
    RequestSample(
        "older numbers: resourceName in an option",
        bytes.fromhex("42021234a1b2b66373652d696e1132d4e74361653111311263319103ff7b226d326d3a636e74223a7b7d7d"),
        Request(CREATE, "cse-in", "Cae1", "1", resource_type=3, content={"m2m:cnt": {"rn": "c1"}}),
        numbers=OLD_NUMBERS,
        canonical=False,
    ),
    RequestSample(
        "no content format: JSON",
        bytes.fromhex("42031234a1b2b66373652d696e03617070d1f73384436165314131ff7b226d326d3a6165223a7b7d7d"),
        Request(UPDATE, "cse-in/app", "Cae1", "1", content={"m2m:ae": {}}, release="3"),
        canonical=False,
    ),
    RequestSample(
        "no content format: CBOR",
        bytes.fromhex("42031234a1b2b66373652d696e03617070d1f73384436165314131ffa1666d326d3a6165a0"),
        Request(UPDATE, "cse-in/app", "Cae1", "1", content={"m2m:ae": {}}, release="3"),
        canonical=False,
    ),
    RequestSample(
        "trailing slash",
        bytes.fromhex("42011234a1b2b66373652d696e0361707000d1f73384436165314131"),
        Request(RETRIEVE, "cse-in/app", "Cae1", "1", release="3"),
        canonical=False,
    ),
    RequestSample(
        "observe, host, port and a response option are passed over",
        bytes.fromhex(
            "42011234a1b23b6373652e6578616d706c6530121633466373652d696e036170706132d1f13384436165314131d20b07d0"
        ),
        Request(RETRIEVE, "cse-in/app", "Cae1", "1", release="3"),
        canonical=False,
    ),
    RequestSample(
        "non-confirmable",
        bytes.fromhex("52011234a1b2b66373652d696e03617070d1f73384436165314131"),
        Request(RETRIEVE, "cse-in/app", "Cae1", "1", release="3"),
        canonical=False,
    ),
]

RESPONSES = [
    ResponseSample(
        "retrieved",
        bytes.fromhex("62451234a1b2c13220d1f433c131d20b07d0ff7b226d326d3a636e74223a7b22726e223a2263227d7d"),
        Response(Status.OK, "1", {"m2m:cnt": {"rn": "c"}}, "3"),
        RETRIEVE,
    ),
    ResponseSample(
        "notified",
        bytes.fromhex("62441234a1b2d001d1f433c131d20b07d0"),
        Response(Status.OK, "1", release="3"),
        NOTIFY,
    ),
    ResponseSample(
        "created, with its address",
        bytes.fromhex(
            "62411234a1b2866373652d696e0163413220d1f433c131d20b07d1ff7b226d326d3a757269223a226373652d696e2f63227d"
        ),
        Response(Status.CREATED, "1", {"m2m:uri": "cse-in/c"}, "3"),
        CREATE,
    ),
    ResponseSample(
        "created, with address and attributes",
        bytes.fromhex(
            "62411234a1b2866373652d696e0163413220d1f433c131d20b07d1ff7b226d326d3a726365223a7b22757269223a2263"
            "73652d696e2f63222c226d326d3a636e74223a7b7d7d7d"
        ),
        Response(Status.CREATED, "1", {"m2m:rce": {"uri": "cse-in/c", "m2m:cnt": {}}}, "3"),
        CREATE,
    ),
    ResponseSample(
        "updated",
        bytes.fromhex("62441234a1b2d001e1000031d20b07d4"),
        Response(Status.UPDATED, "1"),
        UPDATE,
    ),
    ResponseSample(
        "deleted",
        bytes.fromhex("62421234a1b2d001e1000031d20b07d2"),
        Response(Status.DELETED, "1"),
        DELETE,
    ),
    ResponseSample(
        "accepted, with a request resource",
        bytes.fromhex(
            "62411234a1b2866373652d696e0172413220e1000031d20b03eaff7b226d326d3a757269223a226373652d696e2f72227d"
        ),
        Response(Status.ACCEPTED_NONBLOCKING_ASYNC, "1", {"m2m:uri": "cse-in/r"}),
        CREATE,
    ),
    ResponseSample(
        "accepted, without a request resource",
        bytes.fromhex("62441234a1b2d001e1000031d20b03ea"),
        Response(Status.ACCEPTED_NONBLOCKING_ASYNC, "1"),
        CREATE,
    ),
    ResponseSample(
        "not found",
        bytes.fromhex("62841234a1b2c13220d1f433c131d20b0fa4ff7b226d326d3a646267223a22676f6e65227d"),
        Response(Status.NOT_FOUND, "1", {"m2m:dbg": "gone"}, "3"),
        RETRIEVE,
    ),
    ResponseSample(
        "every response option",
        bytes.fromhex(
            "62451234a1b2c13220dde802323032363131323254313031313132c134862f69642d696e4131cd023230323631313232"
            "5431313131313281044207d0c10a41014b313a74406820323a7540684176ff7b226d326d3a7572696c223a5b5d7d"
        ),
        Response(
            Status.OK,
            "1",
            {"m2m:uril": []},
            "4",
            originator="/id-in",
            originating_time="20261122T101112",
            result_expiration="20261122T111112",
            event_category=4,
            content_status=1,
            content_offset=10,
            vendor="v",
            assigned_tokens=[{"lti": "1", "tkid": "t@h"}, {"lti": "2", "tkid": "u@h"}],
        ),
        RETRIEVE,
    ),
    ResponseSample(
        "older numbers",
        bytes.fromhex("62411234a1b2c13220d1e6318207d1ff7b226d326d3a636e74223a7b7d7d"),
        Response(Status.CREATED, "1", {"m2m:cnt": {}}),
        CREATE,
        numbers=OLD_NUMBERS,
    ),
]

BAD_REQUESTS = [
    BadSample(
        "no request identifier",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d4ff43616531"),
        Status.BAD_REQUEST,
        "4.00",
        "283",
        request_id="",
    ),
    BadSample(
        "request identifier is empty",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d4ff4361653140"),
        Status.BAD_REQUEST,
        "4.00",
        "283",
        request_id="",
    ),
    BadSample(
        "originator is not UTF-8",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d2fffffe4131"),
        Status.BAD_REQUEST,
        "4.00",
        "UTF-8",
    ),
    BadSample(
        "originator with a line feed",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d3ff430a584131"),
        Status.BAD_REQUEST,
        "4.00",
        "control",
    ),
    BadSample(
        "request identifier with NUL",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d4ff43616531426100"),
        Status.BAD_REQUEST,
        "4.00",
        "control",
        request_id="",
    ),
    BadSample(
        "originator of 256 bytes",
        bytes.fromhex(
            "42011234a1b2b66373652d696e03617070ddfff343434343434343434343434343434343434343434343434343434343"
            "434343434343434343434343434343434343434343434343434343434343434343434343434343434343434343434343"
            "434343434343434343434343434343434343434343434343434343434343434343434343434343434343434343434343"
            "434343434343434343434343434343434343434343434343434343434343434343434343434343434343434343434343"
            "434343434343434343434343434343434343434343434343434343434343434343434343434343434343434343434343"
            "4343434343434343434343434343434343434343434343434343434343434343434343434131"
        ),
        Status.BAD_REQUEST,
        "4.02",
        "255",
    ),
    BadSample(
        "unknown critical option",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d4ff436165314131e105d978"),
        Status.BAD_REQUEST,
        "4.02",
        "2049",
    ),
    BadSample(
        "If-Match",
        bytes.fromhex("42011234a1b21178a66373652d696e03617070d4ff436165314131"),
        Status.BAD_REQUEST,
        "4.02",
        "option 1",
    ),
    BadSample(
        "originator twice",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d4ff4361653104436165324131"),
        Status.BAD_REQUEST,
        "4.02",
        "twice",
    ),
    BadSample(
        "resource type of five bytes",
        bytes.fromhex(
            "42021234a1b2b66373652d696e036170701132d5f20102030405c4436165314131ff7b226d326d3a636e74223a7b7d7d"
        ),
        Status.BAD_REQUEST,
        "4.02",
        "unsigned",
    ),
    BadSample(
        "through a proxy",
        bytes.fromhex("42011234a1b2b66373652d696e03617070da0b636f61703a2f2f682f78d4e7436165314131"),
        Status.BAD_REQUEST,
        "5.05",
        "proxy",
    ),
    BadSample(
        "XML body",
        bytes.fromhex("42021234a1b2b66373652d696e036170701129d1f203c4436165314131ff3c6d326d3a636e742f3e"),
        Status.UNSUPPORTED_MEDIA_TYPE,
        "4.15",
        "50 (JSON)",
    ),
    BadSample(
        "plain text body",
        bytes.fromhex("42021234a1b2b66373652d696e0361707010d1f203c4436165314131ff68656c6c6f"),
        Status.UNSUPPORTED_MEDIA_TYPE,
        "4.15",
        "50 (JSON)",
    ),
    BadSample(
        "XML wanted",
        bytes.fromhex("42011234a1b2b66373652d696e036170706129d4f9436165314131"),
        Status.NOT_ACCEPTABLE,
        "4.06",
        "50 (JSON)",
    ),
    BadSample(
        "broken JSON",
        bytes.fromhex("42031234a1b2b66373652d696e036170701132d4fe436165314131ff7b226d326d3a6165223a"),
        Status.BAD_REQUEST,
        "4.00",
        "not JSON",
    ),
    BadSample(
        "broken CBOR",
        bytes.fromhex("42031234a1b2b66373652d696e03617070113cd4fe436165314131ffa161"),
        Status.BAD_REQUEST,
        "4.00",
        "not CBOR",
    ),
    BadSample(
        "a list as body",
        bytes.fromhex("42031234a1b2b66373652d696e036170701132d4fe436165314131ff5b315d"),
        Status.BAD_REQUEST,
        "4.00",
        "object",
    ),
    BadSample(
        "a member twice",
        bytes.fromhex(
            "42031234a1b2b66373652d696e036170701132d4fe436165314131ff7b226d326d3a6165223a7b227272223a74727565"
            "2c227272223a66616c73657d7d"
        ),
        Status.BAD_REQUEST,
        "4.00",
        "twice",
    ),
    BadSample(
        "FETCH",
        bytes.fromhex("42051234a1b2b66373652d696e03617070d4ff436165314131"),
        Status.OPERATION_NOT_ALLOWED,
        "4.05",
        "GET",
    ),
    BadSample(
        "operation 7",
        bytes.fromhex("42021234a1b2b66373652d696e03617070446f703d37d4fb436165314131"),
        Status.BAD_REQUEST,
        "4.00",
        "op",
    ),
    BadSample(
        "operation against the method",
        bytes.fromhex("42011234a1b2b66373652d696e03617070446f703d34d4fb436165314131"),
        Status.BAD_REQUEST,
        "4.00",
        "POST",
    ),
    BadSample(
        "a slash in a segment",
        bytes.fromhex("42011234a1b2ba6373652d696e2f617070d4ff436165314131"),
        Status.BAD_REQUEST,
        "4.00",
        "segment",
    ),
    BadSample(
        "an attribute in a segment",
        bytes.fromhex("42011234a1b2b66373652d696e07617070236c626cd4ff436165314131"),
        Status.BAD_REQUEST,
        "4.00",
        "atrl",
    ),
    BadSample(
        "no CSE-ID behind the tilde",
        bytes.fromhex("42011234a1b2b17ed4ff436165314131"),
        Status.BAD_REQUEST,
        "4.00",
        "CSE-ID",
    ),
    BadSample(
        "result content is a word",
        bytes.fromhex("42011234a1b2b66373652d696e036170704772636e3d616c6cd4fb436165314131"),
        Status.BAD_REQUEST,
        "4.00",
        "rcn",
    ),
    BadSample(
        "query that is not UTF-8",
        bytes.fromhex("42011234a1b2b66373652d696e03617070456c626c3dffd4fb436165314131"),
        Status.BAD_REQUEST,
        "4.00",
        "UTF-8",
    ),
    BadSample(
        "primitive profile",
        bytes.fromhex("42011234a1b2b66373652d696e03617070d4ff436165314131d13370"),
        Status.NOT_IMPLEMENTED,
        "5.01",
        "347",
    ),
]

#: datagrams that are no CoAP message, and whether their sender is told so with a reset
NOT_COAP = [
    ("empty", b"", False),
    ("three bytes", b"\x40\x01\x00", False),
    ("version 2", b"\x80\x01\x00\x01", False),
    ("token of nine bytes", b"\x49\x01\x00\x01" + bytes(9), True),
    ("token cut off", b"\x44\x01\x00\x01ab", True),
    ("token cut off, non-confirmable", b"\x54\x01\x00\x01ab", False),
    ("empty message with a token", b"\x41\x00\x00\x01a", True),
    ("option cut off", b"\x40\x01\x00\x01\xb5cse", True),
    ("option delta 15", b"\x40\x01\x00\x01\xf0", True),
    ("option length 15", b"\x40\x01\x00\x01\x0f", True),
    ("extended delta cut off", b"\x40\x01\x00\x01\xd0", True),
    ("extended length cut off", b"\x40\x01\x00\x01\x0e\x01", True),
    ("option number beyond 65535", b"\x40\x01\x00\x01\xe0\xff\xff", True),
    ("payload marker without payload", b"\x40\x01\x00\x01\xff", True),
]
