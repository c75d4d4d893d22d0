"""Bad input on every binding of a running CSE: the right code, words that help, never silence (trust.md R5, R6)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import paho.mqtt.client as paho
import pytest

from cse.app import Cse
from cse.bindings import coap_codec, coap_message
from cse.config import load_config
from cse.onem2m.primitives import Operation, Request
from tests.brokers import free_port

#: what a binding must be able to send: (body of a CREATE of a container, type); answers (rsc, content)
Post = Callable[[bytes, int], Awaitable[tuple[int, Any]]]


@pytest.fixture
async def cse(mosquitto_url: str) -> AsyncIterator[Cse]:
    """A CSE on all bindings, with small limits."""
    config = load_config(
        {
            "http": "127.0.0.1:0",
            "coap": "127.0.0.1:0",
            "mqtt": mosquitto_url,
            "id": f"/id-bad{free_port()}",
            "insecure_dev": True,
            "admin": "CAdmin",
        }
    )
    running = Cse(config)
    await running.start()
    yield running
    await running.stop()


async def _over_http(cse: Cse, body: bytes, ty: int) -> tuple[int, Any]:
    headers = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "1", "X-M2M-RVI": "3", "Content-Type": f"application/json;ty={ty}"}
    url = f"{cse.addresses()['http']}/cse-in"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        text = await answer.read()
        assert answer.headers["X-M2M-RI"] == "1"
        return int(answer.headers["X-M2M-RSC"]), json.loads(text)


async def _over_coap(cse: Cse, body: bytes, ty: int) -> tuple[int, Any]:
    request = Request(Operation.CREATE, "cse-in", "CAdmin", "1", ty, {}, "3")
    message = coap_codec.encode_request(request, path=["cse-in"])
    message.payload, message.message_id, message.token = body, 7, b"\x01"
    host, _, port = cse.addresses()["coap"].removeprefix("coap://").rpartition(":")
    loop = asyncio.get_running_loop()
    received: asyncio.Future[bytes] = loop.create_future()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            received.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(host, int(port)))
    try:
        transport.sendto(coap_message.encode(message))
        response = coap_codec.decode_response(coap_message.decode(await asyncio.wait_for(received, 5)))
    finally:
        transport.close()
    assert response.request_id == "1"
    return int(response.status), response.content


async def _over_mqtt(cse: Cse, body: bytes, ty: int) -> tuple[int, Any]:
    level = cse.config.id.lstrip("/")
    loop = asyncio.get_running_loop()
    received: asyncio.Future[bytes] = loop.create_future()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _u, message: loop.call_soon_threadsafe(received.set_result, message.payload)
    subscribed = asyncio.Event()
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    host, _, port = cse.config.mqtt.removeprefix("mqtt://").rpartition(":")
    client.connect(host, int(port))
    client.loop_start()
    try:
        client.subscribe(f"/oneM2M/resp/CAdmin/{level}/json", 1)
        await asyncio.wait_for(subscribed.wait(), 5)
        head = f'{{"op":1,"to":"cse-in","fr":"CAdmin","rqi":"1","rvi":"3","ty":{ty},"pc":'.encode()
        client.publish(f"/oneM2M/req/CAdmin/{level}/json", head + body + b"}", 1)
        answer = json.loads(await asyncio.wait_for(received, 5))
    finally:
        client.disconnect()
        client.loop_stop()
    assert answer["rqi"] == "1"
    return answer["rsc"], answer["pc"]


BINDINGS = {"http": _over_http, "coap": _over_coap, "mqtt": _over_mqtt}
CONTAINER = 3
BAD = {
    "empty object": (b"{}", CONTAINER, 4000, "root element"),
    "truncated": (b'{"m2m:cnt": {"rn": "x"', CONTAINER, 4000, ""),
    "not JSON": (b"rn=x", CONTAINER, 4000, ""),
    "a list": (b"[1, 2]", CONTAINER, 4000, "object"),
    "wrong root": (b'{"m2m:ae": {}}', CONTAINER, 4000, "m2m:cnt"),
    "wrong type": (b'{"m2m:cnt": {"mni": "ten"}}', CONTAINER, 4000, "mni"),
    "list for a scalar": (b'{"m2m:cnt": {"mni": [1]}}', CONTAINER, 4000, "mni"),
    "unknown attribute": (b'{"m2m:cnt": {"maxNrOfInstances": 1}}', CONTAINER, 4000, "mni"),
    "assigned attribute": (b'{"m2m:cnt": {"ri": "x"}}', CONTAINER, 4000, "ri"),
    "duplicate member": (b'{"m2m:cnt": {"rn": "x", "rn": "y"}}', CONTAINER, 4000, "twice"),
    "too deep": (b'{"m2m:cnt": {"lbl": ' + b"[" * 40 + b"]" * 40 + b"}}", CONTAINER, 4000, "deep"),
    "not a number": (b'{"m2m:cnt": {"mni": NaN}}', CONTAINER, 4000, ""),
    "beyond 64 bits": (b'{"m2m:cnt": {"mni": 99999999999999999999999}}', CONTAINER, 4000, ""),
    "NUL in a text": (b'{"m2m:cnt": {"lbl": ["a\\u0000b"]}}', CONTAINER, 4000, "NUL"),
    "lone surrogate": (b'{"m2m:cnt": {"lbl": ["\\ud800"]}}', CONTAINER, 4000, ""),
    "invalid UTF-8": (b'{"m2m:cnt": {"lbl": ["\xff\xfe"]}}', CONTAINER, 4000, ""),
    "unknown type": (b'{"m2m:cnt": {}}', 9999, 4000, "9999"),
    "not creatable": (b'{"m2m:cb": {}}', 5, 4005, ""),
}


@pytest.mark.parametrize("binding", BINDINGS)
async def test_bad_bodies_are_answered_with_the_code_and_words_that_help(
    cse: Cse, binding: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for name, (body, ty, status, words) in BAD.items():
        rsc, content = await BINDINGS[binding](cse, body, ty)
        assert rsc == status, (name, content)
        assert words in content["m2m:dbg"], (name, content)
        assert len(content["m2m:dbg"]) > 20, name
    assert "Traceback" not in caplog.text
    # and it still serves
    rsc, content = await BINDINGS[binding](cse, b'{"m2m:cnt": {"rn": "fine"}}', CONTAINER)
    assert rsc == 2001, content


@pytest.mark.parametrize("binding", ["http", "mqtt"])
async def test_oversize_bodies_are_refused_and_the_cse_goes_on(cse: Cse, binding: str) -> None:
    body = b'{"m2m:cnt": {"lbl": ["' + b"x" * 100_000 + b'"]}}'
    rsc, content = await BINDINGS[binding](cse, body, CONTAINER)
    assert rsc == 4000
    assert "bytes" in content["m2m:dbg"]
    rsc, _ = await BINDINGS[binding](cse, b'{"m2m:cnt": {"rn": "fine"}}', CONTAINER)
    assert rsc == 2001


async def test_oversize_over_coap_is_413_at_the_first_block(cse: Cse) -> None:
    request = Request(Operation.CREATE, "cse-in", "CAdmin", "1", 3, {}, "3")
    message = coap_codec.encode_request(request, path=["cse-in"])
    message.options += [
        (27, coap_message.encode_block(coap_message.Block(0, True, 6))),
        (60, (10 << 20).to_bytes(4, "big")),
    ]
    message.payload, message.message_id, message.token = b"{" + b" " * 1023, 9, b"\x02"
    host, _, port = cse.addresses()["coap"].removeprefix("coap://").rpartition(":")
    loop = asyncio.get_running_loop()
    received: asyncio.Future[bytes] = loop.create_future()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            received.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(host, int(port)))
    transport.sendto(coap_message.encode(message))
    answer = coap_message.decode(await asyncio.wait_for(received, 5))
    transport.close()
    assert coap_message.dotted(answer.code) == "4.13"
