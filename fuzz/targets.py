"""The functions that are fuzzed: each takes any bytes and fails only when the product does.

The contract of all: no exception but the one that says "bad input"; what was read can be written and read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cse.bindings import coap_codec, http_codec, mqtt_codec, primitive_codec, query_codec, websocket_codec
from cse.bindings.coap_blockwise import BlockLimits, Blockwise
from cse.bindings.coap_message import EMPTY, Message, MessageError
from cse.bindings.coap_message import decode as decode_datagram
from cse.bindings.coap_message import encode as encode_datagram
from cse.bindings.http_url import split_url
from cse.bindings.outbound import OutboundGuard, Refused
from cse.bindings.outbound_rules import parse_rules
from cse.core.hosting import HostingCse
from cse.core.pipeline import handle
from cse.core.setup import prepare
from cse.onem2m.addressing import parse_address
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.serialisation import dump_cbor, dump_json, load_cbor, load_json
from cse.onem2m.status import Status
from cse.onem2m.timestamps import absolute_time, parse_duration
from cse.ports import Env, Send, Settings
from cse.resources.registry import load_registry
from cse.storage.memory import MemoryStore

Target = Callable[[bytes], None]
#: requests after which the CSE that is fuzzed is a new one, so that no run depends on all before it
_FRESH_AFTER = 500


def _quiet(_dialect: str) -> None:
    """Count no dialect."""


def json(data: bytes) -> None:
    """A JSON body."""
    try:
        value = load_json(data)
    except CseError:
        return
    assert load_json(dump_json(value)) == value


def cbor(data: bytes) -> None:
    """A CBOR body."""
    try:
        value = load_cbor(data)
    except CseError:
        return
    assert dump_cbor(load_cbor(dump_cbor(value))) == dump_cbor(value)


def http_request(data: bytes) -> None:
    """An HTTP request: start line, header fields, body, as a parser of HTTP leaves them."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    method, _, target = line.partition(b" ")
    path, _, query = target.partition(b" ")[0].partition(b"?")
    headers = [(name.lower(), value.strip()) for name, _, value in (field.partition(b":") for field in fields)]
    for lenient in (False, True):
        try:
            request, media_type = http_codec.decode_message(
                method.decode("latin-1"), path, query, headers, body, lenient, ""
            )
        except CseError as error:
            status, _, _ = http_codec.encode_error(error, headers, method.decode("latin-1"))
            assert status < 500 or error.status in (Status.NOT_IMPLEMENTED, Status.RELEASE_VERSION_NOT_SUPPORTED), error
            continue
        http_codec.encode_response(Response(Status.OK, request.request_id, {"m2m:cnt": {}}), media_type)


def http_response(data: bytes) -> None:
    """What a notification target answers over HTTP."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    headers = [(name, value.strip()) for name, _, value in (field.partition(b":") for field in fields)]
    digits = line[:3]
    with contextlib.suppress(CseError):
        http_codec.decode_response(int(digits) if digits.isdigit() else 200, headers, body)


def coap_datagram(data: bytes) -> None:
    """A CoAP datagram: the message, its blocks, the request or the answer in it."""
    try:
        message = decode_datagram(data)
    except MessageError:
        return
    if message.code != EMPTY:
        again = decode_datagram(encode_datagram(message))
        assert (again.code, again.token, again.payload) == (message.code, message.token, message.payload)
    if message.code >= 64:
        with contextlib.suppress(CseError, ValueError):
            coap_codec.decode_response(message)
        return
    blocks = Blockwise(BlockLimits())
    whole, answer = blocks.take(("192.0.2.1", 1), message, 0.0)
    assert whole is not None or answer is not None
    if whole is None or message.code == EMPTY:
        return
    for lenient in (False, True):
        style = coap_codec.reply_style(whole, lenient=lenient)
        try:
            request = coap_codec.decode_request(whole, style, lenient=lenient)
        except CseError as error:
            assert isinstance(coap_codec.encode_error(error, style), Message)
            continue
        coap_codec.encode_response(Response(Status.OK, request.request_id), style, request.operation)


def mqtt_message(data: bytes) -> None:
    """A topic, a line end, and a payload."""
    text, _, payload = data.partition(b"\n")
    for lenient in (False, True):
        topic = mqtt_codec.parse_topic(text.decode("utf-8", "replace"), "", lenient=lenient)
        serialisation = topic.serialisation if topic is not None else "json"
        if topic is not None:
            assert mqtt_codec.parse_topic(topic.text(""), "", lenient=lenient) == topic
        primitive_codec.find_request_id(payload)
        try:
            value, _ = primitive_codec.unwrap(
                mqtt_codec.load(payload, serialisation), "m2m:rqp", lenient=lenient, note=_quiet
            )
            request = primitive_codec.decode_request(value, lenient=lenient, note=_quiet)
            if topic is not None:
                mqtt_codec.identify(request, topic, "id-in", "//sp")
        except CseError:
            continue
        mqtt_codec.dump(primitive_codec.encode_request(request), serialisation)


def websocket_message(data: bytes) -> None:
    """A choice of subprotocol and frame, and a message."""
    kind, payload = data[:1], data[1:]
    choice = kind[0] if kind else 0
    names = [*websocket_codec.SUBPROTOCOLS, ""]
    lenient = bool(choice & 64)
    with contextlib.suppress(websocket_codec.Unreadable):
        incoming = websocket_codec.decode(
            payload, text=bool(choice & 128), subprotocol=names[choice % len(names)], lenient=lenient, note=_quiet
        )
        if isinstance(incoming.primitive, Request):
            websocket_codec.encode_request(incoming.primitive, incoming.serialisation)


def identifiers(data: bytes) -> None:
    """Everything that is a text with a grammar: addresses, URLs, topic levels, times, allow lists."""
    text = data.decode("utf-8", "surrogateescape")
    guard = OutboundGuard(parse_rules(()))
    with contextlib.suppress(CseError):
        parse_address(text)
    with contextlib.suppress(CseError):
        mqtt_codec.from_topic_level(mqtt_codec.to_topic_level(text))
    with contextlib.suppress(CseError):
        mqtt_codec.parse_url(text)
    with contextlib.suppress(ValueError):
        split_url(text)
    with contextlib.suppress(Refused):
        guard.check_url(text)
    assert guard.refusal(text, 80) or text
    with contextlib.suppress(ValueError):
        parse_rules([text])
    for read in (lambda: absolute_time(text, 0.0), lambda: parse_duration(text)):
        with contextlib.suppress(CseError, ValueError):
            read()


def filter_criteria(data: bytes) -> None:
    """A query: filter criteria and other parameters of a request."""
    for lenient in (False, True):
        request = Request(Operation.RETRIEVE, "cse-in", "Cx", "1", release="3")
        try:
            query_codec.apply_query(query_codec.split_query(data.decode("latin-1")), request, lenient=lenient)
        except CseError:
            continue
        query_codec.query_pairs(request)


class Pipeline:
    """A whole CSE without sockets: any primitive gets an answer, and none of them 5000."""

    def __init__(self) -> None:
        self._registry = load_registry()
        self._requests = 0
        self._ids = 0
        self._now = 1_795_348_800.0
        self._cse: HostingCse
        self._fresh()

    def __call__(self, data: bytes) -> None:
        """Serve the primitive in a JSON payload."""
        try:
            request = primitive_codec.decode_request(load_json(data), lenient=True, note=_quiet)
        except CseError:
            return
        self._requests += 1
        if self._requests % _FRESH_AFTER == 0:
            self._fresh()
        response = self._serve(request, lambda send: None)
        if response is not None:
            assert response.status is not Status.INTERNAL_SERVER_ERROR, response.content
            primitive_codec.encode_response(response)

    def _serve(self, request: Request, answer: Callable[[Send], Response | None]) -> Response | None:
        """The response to a request, None when it asks others without end."""
        steps = handle(request, self._cse, self._env())
        said: Response | None = None
        for _ in range(1000):
            try:
                said = answer(steps.send(said))
            except StopIteration as done:
                response: Response = done.value.response
                return response
        steps.close()
        return None

    def _fresh(self) -> None:
        """Begin anew with a small tree that has something of everything."""
        self._cse = HostingCse(Settings(admin=("CAdmin",), lenient=True), self._registry, MemoryStore())
        prepare(self._cse, self._env())
        everybody = {"acr": [{"acor": ["all"], "acop": 63}]}
        for ty, to, root, attributes in (
            (2, "cse-in", "ae", {"rn": "ae", "api": "Nx", "rr": True, "srv": ["3"]}),
            (3, "cse-in", "cnt", {"rn": "c"}),
            (4, "cse-in/c", "cin", {"rn": "i", "con": "1"}),
            (9, "cse-in", "grp", {"rn": "g", "mnm": 3, "mid": ["cse-in/c"]}),
            (23, "cse-in/c", "sub", {"rn": "s", "nu": ["http://127.0.0.1:9/"]}),
            (1, "cse-in", "acp", {"rn": "p", "pv": everybody, "pvs": everybody}),
        ):
            who = "Cae" if ty == 2 else "CAdmin"
            request = Request(Operation.CREATE, to, who, f"r{ty}", ty, {f"m2m:{root}": attributes}, "3")
            made = self._serve(request, lambda send: Response(Status.OK, send.request.request_id))
            assert made is not None
            assert made.status is Status.CREATED, made.content

    def _env(self) -> Env:
        self._now += 0.001
        return Env(self._now, self._new_id)

    def _new_id(self) -> str:
        self._ids += 1
        return f"id{self._ids}"


def all_targets() -> dict[str, Target]:
    """Every target by its name."""
    return {
        "json": json,
        "cbor": cbor,
        "http_request": http_request,
        "http_response": http_response,
        "coap_datagram": coap_datagram,
        "mqtt_message": mqtt_message,
        "websocket_message": websocket_message,
        "identifiers": identifiers,
        "filter_criteria": filter_criteria,
        "pipeline": Pipeline(),
    }
