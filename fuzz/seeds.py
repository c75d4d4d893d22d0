"""Where fuzzing begins: the wire samples of all bindings, good and bad, and what was found before.

An input that once broke something is a file below ``fuzz/found/<target>/`` and is tried for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cse.bindings.websocket_codec import SUBPROTOCOLS as WEBSOCKET_NAMES
from tests.wire import coap, http, mqtt, websocket

FOUND = Path(__file__).parent / "found"


def seeds(target: str) -> list[bytes]:
    """The inputs a target begins with."""
    known = {
        "json": [sample[2] for sample in (*mqtt.REQUESTS, *mqtt.RESPONSES) if sample[1] == "json"],
        "cbor": [sample[2] for sample in (*mqtt.REQUESTS, *mqtt.RESPONSES) if sample[1] == "cbor"],
        "http_request": [sample.message for sample in (*http.REQUESTS, *http.BAD_REQUESTS)],
        "http_response": [sample.message.partition(b" ")[2] for sample in http.RESPONSES],
        "coap_datagram": _datagrams(),
        "mqtt_message": list(_on_topics()),
        "websocket_message": list(_in_frames()),
        "identifiers": [text.encode() for text in _texts()],
        "filter_criteria": list(_queries()),
        "pipeline": [*(sample[2] for sample in mqtt.REQUESTS if sample[1] == "json"), *_PRIMITIVES],
    }[target]
    folder = FOUND / target
    return [*known, *(file.read_bytes() for file in sorted(folder.glob("*")) if folder.is_dir())]


def _datagrams() -> list[bytes]:
    good = [sample.datagram for sample in (*coap.REQUESTS, *coap.RESPONSES)]
    return [*good, *(sample.datagram for sample in coap.BAD_REQUESTS), *(sample[1] for sample in coap.NOT_COAP)]


def _on_topics() -> Iterator[bytes]:
    for _, kind, payload, _ in mqtt.REQUESTS:
        yield f"/oneM2M/req/Cae/id-in/{kind}\n".encode() + payload
    for payload, *_ in (*mqtt.BAD_REQUESTS, *mqtt.BROKEN_BODIES):
        yield b"/oneM2M/req/Cae/id-in/json\n" + payload
    for text, *_ in mqtt.TOPICS:
        yield f"{text}\n{{}}".encode()


def _in_frames() -> Iterator[bytes]:
    names = [*WEBSOCKET_NAMES, ""]
    for _, name, payload, _ in websocket.MESSAGES:
        kind = names.index(name) | (0 if WEBSOCKET_NAMES[name] == "cbor" else 128)
        yield bytes([kind]) + payload
        yield bytes([kind | 64]) + payload


def _texts() -> Iterable[str]:
    yield from ("/id-in/-/ae#lbl", "//sp/id-in/cse-in/c", "cse-in/ae/la", "mqtt://h:1883/a?ct=json", "~/x", "/~/id/x")
    yield from (
        "20261123T031500,123",
        "PT1H",
        "P1Y2M3DT4H5M6S",
        "192.168.1.0/24",
        "[::1]:80",
        "http://u:p@h/",
        "loopback",
    )


def _queries() -> Iterator[bytes]:
    for sample in http.REQUESTS:
        _, mark, query = sample.message.partition(b"\r\n")[0].rpartition(b" ")[0].partition(b"?")
        if mark:
            yield query
    yield b"fu=1&ty=3+4&lbl=a+b%3Ac&lim=0&lvl=2&cra=20260101T000000&atr=rn,c*&drt=2&fo=2&arp=la&ops=34"


_PRIMITIVES = [
    b'{"op":1,"to":"cse-in","fr":"CAdmin","rqi":"1","rvi":"3","ty":%d,"pc":{"m2m:%s":%s}}' % (ty, root, attributes)
    for ty, root, attributes in (
        (1, b"acp", b'{"pv":{"acr":[{"acor":["C*"],"acop":63,"acco":[{"actw":["* * * * * * *"]}]}]},"pvs":{"acr":[]}}'),
        (3, b"cnt", b'{"mni":1,"mbs":10,"lbl":["a"],"acpi":["cse-in/p"],"et":"20300101T000000"}'),
        (9, b"grp", b'{"mnm":10,"mid":["cse-in/c","cse-in/g"],"macp":["cse-in/p"],"mt":3,"csy":2}'),
        (10, b"lcp", b'{"los":2,"lou":["PT1M"],"lot":"1","lon":"a"}'),
        (14, b"nod", b'{"ni":"n"}'),
        (18, b"sch", b'{"se":{"sce":["* 0-5 2,6,10 * * * *"]}}'),
        (
            23,
            b"sub",
            b'{"nu":["cse-in/ae"],"enc":{"net":[1,2,3],"atr":["lbl"]},"bn":{"num":2},"rl":{"mnn":1,"tww":"PT1S"}}',
        ),
        (29, b"ts", b'{"pei":100,"mdd":true,"mdt":10,"mdn":3}'),
    )
] + [
    b'{"op":2,"to":"cse-in","fr":"CAdmin","rqi":"1","rvi":"3","rcn":4,"fc":{"lvl":2,"atr":[{"nm":"rn","val":"*"}]}}',
    b'{"op":2,"to":"cse-in/g/fopt","fr":"CAdmin","rqi":"1","rvi":"3"}',
    b'{"op":2,"to":"cse-in/c/la","fr":"CAdmin","rqi":"1","rvi":"3","rcn":1}',
    b'{"op":3,"to":"cse-in/c","fr":"CAdmin","rqi":"1","rvi":"3","pc":{"m2m:cnt":{"lbl":null,"mni":3}}}',
    b'{"op":4,"to":"cse-in/c","fr":"CAdmin","rqi":"1","rvi":"3","rt":{"rtv":1}}',
    b'{"op":5,"to":"cse-in/ae","fr":"CAdmin","rqi":"1","rvi":"3","pc":{"m2m:sgn":{"nev":{"rep":{},"net":1},"sur":"x"}}}',
]
