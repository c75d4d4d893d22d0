"""MQTT samples: topics and whole primitives as bytes, with what they mean (TS-0010 clause 6, TS-0004 clause 8)."""

from dataclasses import dataclass
from typing import Any

from cse.bindings.mqtt_codec import Topic
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status

#: (name, type, payload, request): the same in both directions
REQUESTS: list[tuple[str, str, bytes, Request]] = [
    (
        "create contentInstance",
        "json",
        b'{"op":1,"to":"cse-in/ae/cnt","fr":"Cae","rqi":"17","ty":4,"pc":{"m2m:cin":{"con":"21.5"}},"rvi":"3"}',
        Request(
            Operation.CREATE, "cse-in/ae/cnt", "Cae", "17", 4, {"m2m:cin": {"con": "21.5"}}, "3"
        ),
    ),
    (
        "retrieve",
        "json",
        b'{"op":2,"to":"/id-in/-/ae#lbl","fr":"/id-in/Cae","rqi":"r","rvi":"2a","rcn":4}',
        Request(Operation.RETRIEVE, "/id-in/-/ae#lbl", "/id-in/Cae", "r", release="2a", result_content=4),
    ),
    (
        "retrieve some attributes",
        "json",
        b'{"op":2,"to":"cse-in","fr":"Cae","rqi":"r","rvi":"3","pc":{"m2m:atrl":["lbl","ri"]}}',
        Request(Operation.RETRIEVE, "cse-in", "Cae", "r", release="3", attribute_list=["lbl", "ri"]),
    ),
    (
        "discovery",
        "json",
        b'{"op":2,"to":"cse-in","fr":"Cae","rqi":"r","rvi":"3","drt":2,"fc":{"fu":1,"ty":[3,4],"lbl":["a","b:c"],'
        b'"lim":0,"lvl":2,"cra":"20260101T000000","atr":[{"nm":"rn","val":"c*"},{"nm":"mni","val":3}]}}',
        Request(
            Operation.RETRIEVE,
            "cse-in",
            "Cae",
            "r",
            release="3",
            desired_identifier=2,
            filter={
                "fu": 1,
                "ty": [3, 4],
                "lbl": ["a", "b:c"],
                "lim": 0,
                "lvl": 2,
                "cra": "20260101T000000",
                "atr": [{"nm": "rn", "val": "c*"}, {"nm": "mni", "val": 3}],
            },
        ),
    ),
    (
        "non-blocking, with times",
        "json",
        b'{"op":4,"to":"ri1","fr":"Cae","rqi":"r","rvi":"3","rt":{"rtv":2,"nu":["http://127.0.0.1/n"]},"rp":60000,'
        b'"ot":"20261122T220000","rqet":"20261122T220100,5","rset":5000,"oet":100,"ec":4,"da":true,"gid":"g",'
        b'"vsi":"v"}',
        Request(
            Operation.DELETE,
            "ri1",
            "Cae",
            "r",
            release="3",
            response_type=2,
            response_targets=["http://127.0.0.1/n"],
            result_persistence=60000,
            originating_time="20261122T220000",
            request_expiration="20261122T220100,5",
            result_expiration=5000,
            execution_time=100,
            event_category=4,
            delivery_aggregation=True,
            group_request_id="g",
            vendor="v",
        ),
    ),
    (
        "security parameters",
        "json",
        b'{"op":3,"to":"g/fopt","fr":"Cae","rqi":"r","rvi":"4","pc":{"m2m:cnt":{"lbl":null}},"grtm":["a"],'
        b'"rids":["x@y"],"tkns":["t"],"tids":["i"],"ltids":["l"],"tqi":false,"aus":["s"],"asi":true,"auri":false}',
        Request(
            Operation.UPDATE,
            "g/fopt",
            "Cae",
            "r",
            content={"m2m:cnt": {"lbl": None}},
            release="4",
            group_targets=["a"],
            role_ids=["x@y"],
            tokens=["t"],
            token_ids=["i"],
            local_token_ids=["l"],
            token_request=False,
            authorization_signatures=["s"],
            authorization_signature_request=True,
            authorization_relationship=False,
        ),
    ),
    (
        "notify in CBOR",
        "cbor",
        bytes.fromhex(
            "a6626f7005" "62746f" "63436165" "626672" "662f69642d696e" "63727169" "616e" "627063" "a1676d326d3a73676e"
            "a163767271f5" "63727669" "6133"
        ),
        Request(Operation.NOTIFY, "Cae", "/id-in", "n", content={"m2m:sgn": {"vrq": True}}, release="3"),
    ),
]  # fmt: skip

#: (name, type, payload, response): the same in both directions
RESPONSES: list[tuple[str, str, bytes, Response]] = [
    (
        "created",
        "json",
        b'{"rsc":2001,"rqi":"17","rvi":"3","pc":{"m2m:cnt":{"rn":"c"}},"to":"Cae","fr":"/id-in"}',
        Response(Status.CREATED, "17", {"m2m:cnt": {"rn": "c"}}, "3", "Cae", "/id-in"),
    ),
    ("deleted", "json", b'{"rsc":2002,"rqi":"1"}', Response(Status.DELETED, "1")),
    (
        "partial",
        "json",
        b'{"rsc":2000,"rqi":"1","pc":{"m2m:uril":[]},"cnst":1,"cnot":11,"ot":"20261122T220000","rset":"20261122T230000",'
        b'"ec":4,"vsi":"v","ati":{"ltia":[{"lti":"l","tkid":"t"}]}}',
        Response(
            Status.OK,
            "1",
            {"m2m:uril": []},
            content_status=1,
            content_offset=11,
            originating_time="20261122T220000",
            result_expiration="20261122T230000",
            event_category=4,
            vendor="v",
            assigned_tokens=[{"lti": "l", "tkid": "t"}],
        ),
    ),
    ("CBOR", "cbor", bytes.fromhex("a263727363" "1907d0" "63727169" "6131"), Response(Status.OK, "1")),
]  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """A payload that is refused when strict and means ``request`` when lenient."""

    note: str
    payload: bytes
    request: Request
    strict: Status = Status.BAD_REQUEST


def _r(**fields: Any) -> Request:
    return Request(Operation.RETRIEVE, "cse-in", "Cae", "1", release="3", **fields)


def _json(more: str) -> bytes:
    return b'{"op":2,"to":"cse-in","fr":"Cae","rqi":"1","rvi":"3",' + more.encode() + b"}"


DIALECTS = [
    Dialect("number as string", b'{"op":"2","to":"cse-in","fr":"Cae","rqi":"1","rvi":"3"}', _r()),
    Dialect("number as string", _json('"rcn":"4"'), _r(result_content=4)),
    Dialect("number as string", _json('"ty":"3"'), _r(resource_type=3)),
    Dialect("number as string", _json('"fc":{"fu":"1","lim":"5"}'), _r(filter={"fu": 1, "lim": 5})),
    Dialect("boolean as string", _json('"da":"true"'), _r(delivery_aggregation=True)),
    Dialect("text as number", b'{"op":2,"to":"cse-in","fr":"Cae","rqi":1,"rvi":3}', _r()),
    Dialect("single value for a list", _json('"fc":{"ty":3,"lbl":"a"}'), _r(filter={"ty": [3], "lbl": ["a"]})),
    Dialect(
        "single value for a list",
        _json('"fc":{"atr":{"nm":"rn","val":"x"}}'),
        _r(filter={"atr": [{"nm": "rn", "val": "x"}]}),
    ),
    Dialect("rt as number", _json('"rt":3'), _r(response_type=3)),
    Dialect(
        "attribute in fc",
        _json('"fc":{"rn":"x","c.mni":3,"fu":1}'),
        _r(filter={"fu": 1, "atr": [{"nm": "rn", "val": "x"}], "catr": [{"nm": "mni", "val": 3}]}),
    ),
    Dialect("unknown parameter", _json('"zzz":1'), _r(), Status.NOT_IMPLEMENTED),
]

#: (payload, readable rqi, a word of the message): refused with 4000, lenient or not
BAD_REQUESTS: list[tuple[bytes, str, str]] = [
    (b'{"op":2,"to":"cse-in","fr":"Cae"}', "", "rqi"),
    (b'{"op":2,"to":"cse-in","rqi":""}', "", "rqi"),
    (b'{"op":2,"to":"cse-in","rqi":["1"]}', "", "rqi"),
    (b'{"to":"cse-in","rqi":"1"}', "1", "op"),
    (b'{"op":6,"to":"cse-in","rqi":"1"}', "1", "op"),
    (b'{"op":true,"to":"cse-in","rqi":"1"}', "1", "op"),
    (b'{"op":2.0,"to":"cse-in","rqi":"1"}', "1", "op"),
    (b'{"op":"zwei","to":"cse-in","rqi":"1"}', "1", "op"),
    (b'{"op":2,"rqi":"1"}', "1", "to"),
    (b'{"op":2,"to":"","rqi":"1"}', "1", "to"),
    (b'{"op":2,"to":7,"rqi":"1"}', "1", "to"),
    (b'{"op":2,"to":"x","rqi":"1","fr":{}}', "1", "fr"),
    (b'{"op":1,"to":"x","rqi":"1","pc":[]}', "1", "pc"),
    (b'{"op":1,"to":"x","rqi":"1","pc":"text"}', "1", "pc"),
    (b'{"op":2,"to":"x","rqi":"1","fc":[]}', "1", "fc"),
    (b'{"op":2,"to":"x","rqi":"1","fc":{"szb":-1}}', "1", "szb"),
    (b'{"op":2,"to":"x","rqi":"1","fc":{"ty":["a"]}}', "1", "ty"),
    (b'{"op":2,"to":"x","rqi":"1","fc":{"atr":[{"nm":"rn"}]}}', "1", "atr"),
    (b'{"op":2,"to":"x","rqi":"1","fc":{"foo":{}}}', "1", "foo"),
    (b'{"op":2,"to":"x","rqi":"1","fc":{"geom":[1]}}', "1", "geom"),
    (b'{"op":2,"to":"x","rqi":"1","rt":{}}', "1", "rt"),
    (b'{"op":2,"to":"x","rqi":"1","rt":{"rtv":2,"x":1}}', "1", "rt"),
    (b'{"op":2,"to":"x","rqi":"1","rqet":true}', "1", "rqet"),
    (b'{"op":2,"to":"x","rqi":"1","rqet":1.5}', "1", "rqet"),
    (b'{"op":2,"to":"x","rqi":"1","da":"maybe"}', "1", "da"),
    (b'{"op":2,"to":"x","rqi":"1","gid":""}', "1", "gid"),
    (b"[]", "", "object"),
    (b'"text"', "", "object"),
    (b"null", "", "object"),
]

#: (body, type, readable rqi): no JSON or CBOR as a whole, or beyond a limit
BROKEN_BODIES: list[tuple[bytes, str, str]] = [
    (b'{"op":2,"to":"cse-in","rqi":"abc","pc":{', "json", "abc"),
    (b'{"op":2,"rqi" : "abc","op":3}', "json", "abc"),
    (b"not json", "json", ""),
    (b"", "json", ""),
    (b'{"rqi":"' + b"\xff" + b'"}', "json", "\ufffd"),
    (b'{"rqi":"a","pc":' + b"[" * 100 + b"]" * 100 + b"}", "json", "a"),
    (bytes.fromhex("a3626f7002" "63727169" "63616263" "62746f"), "cbor", "abc"),
    (bytes.fromhex("a263727169" "7804" "61626364" "626f70"), "cbor", "abcd"),
    (bytes.fromhex("a163727169" "6561"), "cbor", ""),
    (b"\xff\xff", "cbor", ""),
]  # fmt: skip

#: (topic, prefix, taken apart): the same in both directions
TOPICS: list[tuple[str, str, Topic]] = [
    ("/oneM2M/req/Cae/id-in/json", "", Topic("req", "Cae", "id-in", "json")),
    ("/oneM2M/resp/id-in:Cae/id-mn/cbor", "", Topic("resp", "id-in:Cae", "id-mn", "cbor")),
    ("/oneM2M/reg_req/10-ABC@sp/id-in/json", "", Topic("reg_req", "10-ABC@sp", "id-in", "json")),
    ("/oneM2M/reg_resp/:sp.x:id-in/id-in/json", "", Topic("reg_resp", ":sp.x:id-in", "id-in", "json")),
    ("p/q/oneM2M/req/Cae/id-in/json", "p/q", Topic("req", "Cae", "id-in", "json")),
    ("/oneM2M/req/Cae/id-in", "", Topic("req", "Cae", "id-in", "")),
]
#: ignored: not ours, wrong depth, unknown type, hostile levels
BAD_TOPICS = [
    "oneM2M/req/Cae/id-in/json",
    "/onem2m/req/Cae/id-in/json",
    "/oneM2M/request/Cae/id-in/json",
    "/oneM2M/req/Cae/id-in/xml",
    "/oneM2M/req/Cae/id-in/",
    "/oneM2M/req/Cae/id-in/json/x",
    "/oneM2M/req/Cae",
    "/oneM2M/req//id-in/json",
    "/oneM2M/req/Cae//json",
    "/oneM2M/req/$SYS/id-in/json",
    "/oneM2M/req/C ae/id-in/json",
    "/oneM2M/req/" + "C" * 600 + "/id-in/json",
    "x/oneM2M/req/Cae/id-in/json",
    "",
    "/",
]
#: identifier, topic level: both directions
IDENTIFIERS = [
    ("/id-in", "id-in"),
    ("/id-in/Cae", "id-in:Cae"),
    ("Cae", "Cae"),
    ("Sae", "Sae"),
    ("//sp.example/id-in", ":sp.example:id-in"),
    ("//sp.example/id-in/Cae", ":sp.example:id-in:Cae"),
]
BAD_IDENTIFIERS = ["", "/", "//", "C+", "C#", "$SYS", "C\0", "C ae", "/id-in//Cae", "///x", "C:x", "Cä", "C" * 600]
