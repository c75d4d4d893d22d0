"""What is sent twice happens once, also when the CSE was killed in between; equal values are not replays (TP-16).

The clients speak plain MQTT and CoAP and send the very same bytes again, over new connections and with new message
identifiers, as devices do that heard no answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from cse.app import Cse
from cse.bindings.coap_codec import decode_response, encode_request
from cse.bindings.coap_message import CON, decode, encode
from cse.config import load_config
from cse.onem2m.primitives import Operation, Request
from cse.storage.sqlite import SqliteStore
from tests.brokers import free_port

PAIRS = 500
#: gives the rsc and the name of what a request created: (rqi, value, originating timestamp)
Post = Callable[[str, int, str | None], Awaitable[tuple[int, str]]]


@asynccontextmanager
async def cse_on(folder: Path, broker: str, cse_id: str) -> AsyncIterator[Cse]:
    """A CSE that keeps what it has; ended without a last word."""
    options = {"http": "off", "coap": "127.0.0.1:0", "mqtt": broker, "id": cse_id, "insecure_dev": True}
    store = SqliteStore(str(folder / "cse.db"), ballast_bytes=0)
    cse = Cse(load_config({**options, "admin": "CAdmin"}), store=store)
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(grace_s=1.0)


def primitive(request_id: str, value: int, at: str | None) -> dict[str, Any]:
    """A request to store a value."""
    sent = {"op": 1, "to": "cse-in/data", "fr": "CAdmin", "rqi": request_id, "rvi": "3", "ty": 4}
    return {**sent, "pc": {"m2m:cin": {"con": value}}, **({"ot": at} if at else {})}


@asynccontextmanager
async def over_mqtt(cse: Cse) -> AsyncIterator[Post]:
    """A device on the broker."""
    loop = asyncio.get_running_loop()
    waiting: dict[str, list[asyncio.Future[Any]]] = {}
    level = cse.config.id.lstrip("/")
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(0)

    def answered(payload: bytes) -> None:
        answer = json.loads(payload)
        for future in waiting.pop(answer["rqi"], []):
            future.set_result(answer)
            break

    client.on_message = lambda _c, _u, message: loop.call_soon_threadsafe(answered, message.payload)
    subscribed = asyncio.Event()
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    host, _, port = cse.config.mqtt.removeprefix("mqtt://").rpartition(":")
    client.connect(host, int(port))
    client.loop_start()
    try:
        client.subscribe(f"/oneM2M/resp/CAdmin/{level}/json", 1)
        await asyncio.wait_for(subscribed.wait(), 15)

        async def post(request_id: str, value: int, at: str | None) -> tuple[int, str]:
            future = loop.create_future()
            waiting.setdefault(request_id, []).append(future)
            payload = json.dumps(primitive(request_id, value, at), separators=(",", ":"))
            client.publish(f"/oneM2M/req/CAdmin/{level}/json", payload, 1)
            answer = await asyncio.wait_for(future, 30)
            return answer["rsc"], answer["pc"].get("m2m:cin", {}).get("rn", "")

        yield post
    finally:
        client.disconnect()
        client.loop_stop()


@asynccontextmanager
async def over_coap(cse: Cse) -> AsyncIterator[Post]:
    """A device with a socket; each message has an identifier and a token of its own."""
    loop = asyncio.get_running_loop()
    waiting: dict[bytes, asyncio.Future[Any]] = {}
    numbers = itertools.count(1)

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            message = decode(data)
            future = waiting.pop(message.token, None)
            if future is not None and message.code:
                future.set_result(decode_response(message))

    host, _, port = cse.addresses()["coap"].removeprefix("coap://").rpartition(":")
    transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(host, int(port)))

    async def post(request_id: str, value: int, at: str | None) -> tuple[int, str]:
        content = {"m2m:cin": {"con": value}}
        request = Request(Operation.CREATE, "cse-in/data", "CAdmin", request_id, 4, content, "3", originating_time=at)
        message = encode_request(request, path=["cse-in", "data"])
        number = next(numbers)
        message.type, message.message_id, message.token = CON, number & 0xFFFF, number.to_bytes(4, "big")
        future = waiting[message.token] = loop.create_future()
        transport.sendto(encode(message))
        answer = await asyncio.wait_for(future, 30)
        return int(answer.status), answer.content.get("m2m:cin", {}).get("rn", "")

    try:
        yield post
    finally:
        transport.close()


DEVICES = {"mqtt": over_mqtt, "coap": over_coap}


async def container(cse: Cse) -> None:
    """Where the values go."""
    request = Request(Operation.CREATE, "cse-in", "CAdmin", "c", 3, {"m2m:cnt": {"rn": "data"}}, "3")
    assert int((await cse.serve(request)).status) == 2001


async def stored(cse: Cse) -> list[int]:
    """The values that are there, oldest first."""
    request = Request(Operation.RETRIEVE, "cse-in/data", "CAdmin", "c", release="3", result_content=1)
    count = (await cse.serve(request)).content["m2m:cnt"]["cni"]
    parent = cse.engine.child(cse.hosting.base_ri, "data")
    assert parent is not None
    values = [instance.attributes["con"] for instance in cse.engine.instances(parent.ri)]
    assert len(values) == count
    return values


async def in_turn(posts: list[Awaitable[tuple[int, str]]]) -> list[tuple[int, str]]:
    """All of them, some at a time."""
    gate = asyncio.Semaphore(25)

    async def one(post: Awaitable[tuple[int, str]]) -> tuple[int, str]:
        async with gate:
            return await post

    return await asyncio.gather(*(one(post) for post in posts))


@pytest.mark.parametrize("binding", DEVICES)
async def test_pairs_have_one_effect_each_also_across_a_restart(
    tmp_path: Path, mosquitto_url: str, binding: str
) -> None:
    cse_id = f"/id-replay{free_port()}"
    half = PAIRS // 2
    numbers = range(PAIRS)

    def rqi(number: int) -> str:
        return f"request-{number:012}"

    async with cse_on(tmp_path, mosquitto_url, cse_id) as cse, DEVICES[binding](cse) as post:
        await container(cse)
        first = await in_turn([post(rqi(number), number % 7, None) for number in numbers])
        repeated = await in_turn([post(rqi(number), number % 7, None) for number in numbers[:half]])
        assert repeated == first[:half]
        assert len(await stored(cse)) == PAIRS
    async with cse_on(tmp_path, mosquitto_url, cse_id) as cse, DEVICES[binding](cse) as post:
        later = await in_turn([post(rqi(number), number % 7, None) for number in numbers[half:]])
        assert later == first[half:]
        assert len(await stored(cse)) == PAIRS
    assert {status for status, _ in first} == {2001}
    assert len({name for _, name in first}) == PAIRS


@pytest.mark.parametrize("binding", DEVICES)
async def test_pairs_at_the_same_time_have_one_effect(tmp_path: Path, mosquitto_url: str, binding: str) -> None:
    async with cse_on(tmp_path, mosquitto_url, f"/id-replay{free_port()}") as cse:
        await container(cse)
        async with DEVICES[binding](cse) as one, DEVICES["coap"](cse) as other:
            pairs = [
                asyncio.gather(
                    one(f"concurrent-{number:010}", number, None), other(f"concurrent-{number:010}", number, None)
                )
                for number in range(100)
            ]
            for (status, name), (status_too, name_too) in await asyncio.gather(*pairs):
                assert (status, name) == (status_too, name_too)
                assert status == 2001
        assert sorted(await stored(cse)) == list(range(100))


@pytest.mark.parametrize("binding", DEVICES)
async def test_equal_values_under_a_constant_request_identifier_are_all_kept(
    tmp_path: Path, mosquitto_url: str, binding: str
) -> None:
    async with cse_on(tmp_path, mosquitto_url, f"/id-replay{free_port()}") as cse:
        await container(cse)
        async with DEVICES[binding](cse) as post:
            for _ in range(50):
                assert (await post("1234", 21, None))[0] == 2001
            assert await stored(cse) == [21] * 50
            # the time of each makes it another request, and the same time the same one
            for second in range(10):
                for _ in range(2):
                    assert (await post("1234", 21, f"20261123T0300{second:02}"))[0] == 2001
            assert len(await stored(cse)) == 60


async def test_other_content_is_another_request(tmp_path: Path, mosquitto_url: str) -> None:
    async with cse_on(tmp_path, mosquitto_url, f"/id-replay{free_port()}") as cse:
        await container(cse)
        async with over_coap(cse) as post:
            for value in range(5):
                assert (await post("a-long-constant-identifier", value, None))[0] == 2001
        assert await stored(cse) == list(range(5))
