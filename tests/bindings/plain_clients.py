"""Clients that send what they are told, right or wrong, over each binding, and give the answer as it came."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import paho.mqtt.client as paho

from cse.app import Cse
from cse.bindings.coap_message import Message, code, decode, encode, uint

#: how long an answer may take on a busy machine, in seconds
_PATIENCE_S = 20.0
HTTP_METHODS = {1: "POST", 2: "GET", 3: "PUT", 4: "DELETE", 5: "POST"}
COAP_METHODS = {1: "0.02", 2: "0.01", 3: "0.03", 4: "0.04", 5: "0.02"}
#: CoAP options of the parameters, of today and of Release 1 to 3
COAP_TODAY = {"fr": 279, "rqi": 283, "ty": 267, "rvi": 271, "rsc": 307}
COAP_OLD = {"fr": 256, "rqi": 257, "ty": 267, "rvi": 271, "rsc": 265}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        rsc: response status code; of a WebSocket that was closed instead, the code of that below zero.
        content: of the primitive.
        raw: the whole primitive (MQTT, WebSocket), {} otherwise.
    """

    rsc: int
    content: Any = None
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def debug(self) -> str:
        """The words of an error."""
        return str(self.content.get("m2m:dbg", "")) if isinstance(self.content, dict) else ""


async def over_http(
    cse: Cse, primitive: dict[str, Any], *, headers: dict[str, str] | None = None, query: str = "", body: bytes = b""
) -> Answer:
    """Send a request over HTTP; ``headers`` replace those of the primitive, None values leave them out."""
    fields = {"X-M2M-Origin": primitive["fr"], "X-M2M-RI": primitive["rqi"]}
    if "rvi" in primitive:
        fields["X-M2M-RVI"] = primitive["rvi"]
    data = body or (json.dumps(primitive["pc"]).encode() if "pc" in primitive else None)
    if data is not None:
        fields["Content-Type"] = "application/json" + (f";ty={primitive['ty']}" if "ty" in primitive else "")
    fields = {name: value for name, value in {**fields, **(headers or {})}.items() if value}
    to = primitive["to"]
    url = cse.addresses()["http"] + (f"/~{to}" if to.startswith("/") else f"/{to}") + (f"?{query}" if query else "")
    skipped = ("Content-Type",) if "Content-Type" not in fields else ()
    async with (
        aiohttp.ClientSession(skip_auto_headers=skipped) as session,
        session.request(HTTP_METHODS[primitive["op"]], url, data=data, headers=fields) as answer,
    ):
        content = await answer.read()
        rsc = int(answer.headers.get("X-M2M-RSC", "0"))
        return Answer(rsc, json.loads(content) if content else None)


class _Peer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(data)


async def over_coap(
    cse: Cse,
    primitive: dict[str, Any],
    *,
    numbers: dict[str, int] | None = None,
    options: tuple[tuple[int, bytes], ...] = (),
    content_format: int | None = 50,
    body: bytes = b"",
) -> Answer:
    """Send a request over CoAP in one datagram."""
    known = numbers or COAP_TODAY
    to = primitive["to"]
    path = ["~", *to[1:].split("/")] if to.startswith("/") else to.split("/")
    sent = [(11, segment.encode()) for segment in path] + list(options)
    sent += [(known[name], primitive[name].encode()) for name in ("fr", "rqi", "rvi") if name in primitive]
    if "ty" in primitive:
        sent.append((known["ty"], uint(primitive["ty"])))
    message = Message(code(COAP_METHODS[primitive["op"]]), options=sent)
    message.payload = body or (json.dumps(primitive["pc"]).encode() if "pc" in primitive else b"")
    if message.payload and content_format is not None:
        message.options.append((12, uint(content_format)))
    message.message_id, message.token = 7, b"\x01"
    host, _, port = cse.addresses()["coap"].removeprefix("coap://").rpartition(":")
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(_Peer, remote_addr=(host, int(port)))
    try:
        transport.sendto(encode(message))
        answer = decode(await asyncio.wait_for(peer.answer, _PATIENCE_S))
    finally:
        transport.close()
    # who is answered in the other numbering is answered all the same
    status = next((found for number in (known["rsc"], 307) if (found := answer.option(number))), None)
    content = json.loads(answer.payload) if answer.payload else None
    return Answer(int.from_bytes(status or b"", "big"), content)


async def over_mqtt(cse: Cse, primitive: Any, *, originator: str = "", body: bytes = b"") -> Answer:
    """Publish a request, and wait for what comes on the topic of its answer."""
    level, own = (originator or primitive["fr"]).replace("/", ":"), cse.config.id.lstrip("/")
    loop = asyncio.get_running_loop()
    received: asyncio.Future[bytes] = loop.create_future()
    subscribed = asyncio.Event()

    def take(payload: bytes) -> None:
        if not received.done():
            received.set_result(payload)

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _u, message: loop.call_soon_threadsafe(take, message.payload)
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    host, _, port = cse.config.mqtt.removeprefix("mqtt://").rpartition(":")
    client.connect(host, int(port))
    client.loop_start()
    try:
        client.subscribe(f"/oneM2M/resp/{level}/{own}/json", 1)
        await asyncio.wait_for(subscribed.wait(), _PATIENCE_S)
        client.publish(f"/oneM2M/req/{level}/{own}/json", body or json.dumps(primitive), 1)
        return _answer(json.loads(await asyncio.wait_for(received, _PATIENCE_S)))
    finally:
        client.disconnect()
        client.loop_stop()


async def over_websocket(cse: Cse, primitive: Any, *, originator: str = "", body: bytes = b"") -> Answer:
    """Send a request over a WebSocket of its originator."""
    headers = {"X-M2M-Origin": originator or primitive["fr"]}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(cse.addresses()["ws"], protocols=("oneM2M.json",), headers=headers) as socket,
    ):
        await socket.send_frame(body or json.dumps(primitive).encode(), aiohttp.WSMsgType.TEXT)
        message = await socket.receive(timeout=_PATIENCE_S)
        if message.type is aiohttp.WSMsgType.CLOSE:
            return Answer(-int(message.data))
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return _answer(json.loads(message.data))


def _answer(raw: dict[str, Any]) -> Answer:
    inside = raw.get("m2m:rsp", raw)
    return Answer(inside["rsc"], inside.get("pc"), raw)


BINDINGS = {"http": over_http, "coap": over_coap, "mqtt": over_mqtt, "ws": over_websocket}
