"""WebSocket samples: messages as frames carry them, with what they mean (TS-0020 clause 6, TS-0004 clause 8)."""

from dataclasses import dataclass

from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status

#: (name, subprotocol, payload, primitive): the same in both directions
MESSAGES: list[tuple[str, str, bytes, Request | Response]] = [
    (
        "create AE",
        "oneM2M.json",
        b'{"op":1,"to":"cse-in","rqi":"1","fr":"Cae","ty":2,"pc":{"m2m:ae":{"api":"Nx","rr":true,"srv":["3"]}},"rvi":"3"}',
        Request(
            Operation.CREATE, "cse-in", "Cae", "1", 2, {"m2m:ae": {"api": "Nx", "rr": True, "srv": ["3"]}}, "3"
        ),
    ),
    (
        "retrieve under the name of Release 2",
        "oneM2M.R2.0.json",
        b'{"op":2,"to":"/id-in/-/ae","rqi":"2","fr":"/id-in/Cae","rvi":"2a"}',
        Request(Operation.RETRIEVE, "/id-in/-/ae", "/id-in/Cae", "2", release="2a"),
    ),
    (
        "notification of the CSE",
        "oneM2M.json",
        b'{"op":5,"to":"Cae","rqi":"n1","fr":"/id-in","pc":{"m2m:sgn":{"vrq":true}},"rvi":"3"}',
        Request(Operation.NOTIFY, "Cae", "/id-in", "n1", content={"m2m:sgn": {"vrq": True}}, release="3"),
    ),
    (
        "answer to it",
        "oneM2M.json",
        b'{"rsc":2000,"rqi":"n1","rvi":"3"}',
        Response(Status.OK, "n1", release="3"),
    ),
    (
        "created",
        "oneM2M.json",
        b'{"rsc":2001,"rqi":"1","pc":{"m2m:cnt":{"rn":"c"}},"rvi":"3"}',
        Response(Status.CREATED, "1", {"m2m:cnt": {"rn": "c"}}, "3"),
    ),
    (
        "notify in CBOR",
        "oneM2M.cbor",
        bytes.fromhex(
            "a6626f7005" "62746f" "63436165" "63727169" "616e" "626672" "662f69642d696e" "627063" "a1676d326d3a73676e"
            "a163767271f5" "63727669" "6133"
        ),
        Request(Operation.NOTIFY, "Cae", "/id-in", "n", content={"m2m:sgn": {"vrq": True}}, release="3"),
    ),
    (
        "answer in CBOR",
        "oneM2M.cbor",
        bytes.fromhex("a263727363" "1907d0" "63727169" "6131"),
        Response(Status.OK, "1"),
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """A message that is refused when strict and understood when lenient.

    Attributes:
        note: the name it is counted under.
        subprotocol: what was agreed on.
        text: it comes in text frames.
        payload: the message.
        meant: what it means.
        strict: the RSC it is refused with, or the close code when it cannot be answered.
    """

    note: str
    subprotocol: str
    text: bool
    payload: bytes
    meant: Request | Response
    strict: int


_MEANT = Request(Operation.RETRIEVE, "cse-in", "Cae", "1", release="3")
_PLAIN = b'{"op":2,"to":"cse-in","fr":"Cae","rqi":"1","rvi":"3"}'

DIALECTS = [
    Dialect("m2m:rqp wrapper", "oneM2M.json", True, b'{"m2m:rqp":' + _PLAIN + b"}", _MEANT, 4000),
    Dialect(
        "m2m:rsp wrapper", "oneM2M.json", True, b'{"m2m:rsp":{"rsc":2000,"rqi":"1"}}', Response(Status.OK, "1"), 4000
    ),
    Dialect("json in a binary frame", "oneM2M.json", False, _PLAIN, _MEANT, 1003),
    Dialect("number as string", "oneM2M.json", True, _PLAIN.replace(b"2,", b'"2",', 1), _MEANT, 4000),
    Dialect("unknown parameter", "oneM2M.json", True, _PLAIN.replace(b"{", b'{"zz":1,', 1), _MEANT, 5001),
]

#: (subprotocol, text, payload, rqi, RSC): refused, lenient or not, in an answer that says which request it was
REFUSED: list[tuple[str, bool, bytes, str, Status]] = [
    ("oneM2M.json", True, b'{"op":2,"to":"cse-in","rqi":"abc","pc":{', "abc", Status.BAD_REQUEST),
    ("oneM2M.json", True, b'{"op":9,"to":"cse-in","rqi":"abc"}', "abc", Status.BAD_REQUEST),
    ("oneM2M.json", True, b'{"op":2,"rqi":"abc"}', "abc", Status.BAD_REQUEST),
    ("oneM2M.json", True, b'{"op":2,"to":"x","rqi":"a","rqi":"b"}', "a", Status.BAD_REQUEST),
    ("oneM2M.json", True, b'{"rqi":"a","pc":' + b"[" * 100 + b"]" * 100 + b"}", "a", Status.BAD_REQUEST),
    ("oneM2M.cbor", False, bytes.fromhex("a3626f7002" "63727169" "63616263" "62746f"), "abc", Status.BAD_REQUEST),
]  # fmt: skip

#: (subprotocol, text, payload, close code): cannot be answered
UNREADABLE: list[tuple[str, bool, bytes, int]] = [
    ("oneM2M.json", True, b"hello", 1007),
    ("oneM2M.json", True, b"", 1007),
    ("oneM2M.json", True, b"[]", 1007),
    ("oneM2M.json", True, b"null", 1007),
    ("oneM2M.json", True, b'{"op":2,"to":"cse-in","fr":"Cae"}', 1007),
    ("oneM2M.json", True, b'{"rsc":2000}', 1007),
    ("oneM2M.json", True, b'"\xff"', 1007),
    ("oneM2M.cbor", False, b"\xff\xff", 1007),
    ("oneM2M.cbor", False, b"", 1007),
]

#: (offered, chosen)
SUBPROTOCOLS: list[tuple[list[str], str]] = [
    (["oneM2M.json"], "oneM2M.json"),
    (["oneM2M.cbor", "oneM2M.json"], "oneM2M.cbor"),
    (["chat", "oneM2M.R2.0.json"], "oneM2M.R2.0.json"),
    (["oneM2M.xml"], ""),
    (["onem2m.json"], ""),
    ([], ""),
]
