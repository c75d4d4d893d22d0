"""Every dialect on every binding where it can be spoken: mended and counted when lenient, by the book when strict."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import pytest

from cse.app import Cse
from cse.config import load_config
from tests.bindings.plain_clients import BINDINGS, COAP_OLD, Answer, over_coap, over_http, over_mqtt, over_websocket
from tests.brokers import free_port

CREATE, RETRIEVE, UPDATE = 1, 2, 3
BAD, MISSING, OK, CREATED, UPDATED = 4000, 4004, 2000, 2001, 2004
AE, CONTAINER, INSTANCE, SUBSCRIPTION = 2, 3, 4, 23


@dataclass(frozen=True, slots=True)
class Row:
    """One dialect on one binding.

    Attributes:
        what: names the dialect and the binding.
        send: sends it; is given the CSE and a name that is new.
        lenient: status code of the lenient answer.
        use: the dialect that is counted once, "" for none; several are joined by " & ".
        strict: status code of the strict answer.
    """

    what: str
    send: Callable[[Cse, str], Awaitable[Answer]]
    lenient: int
    use: str
    strict: int


def request(op: int, to: str, name: str, **more: Any) -> dict[str, Any]:
    """A primitive by the book."""
    return {"op": op, "to": to, "fr": "CAdmin", "rqi": f"r-{name}", "rvi": "3", **more}


def creation(ty: int, root: str, attributes: dict[str, Any], to: str = "cse-in") -> Callable[[str], dict[str, Any]]:
    """A primitive that creates something."""

    def made(name: str) -> dict[str, Any]:
        content = {"rn": name, **{key: (f"C{name}" if value == "<me>" else value) for key, value in attributes.items()}}
        return request(CREATE, to, name, fr=f"C{name}" if ty == AE else "CAdmin", ty=ty, pc={root: content})

    return made


def everywhere(
    what: str, make: Callable[[str], dict[str, Any]], lenient: int, use: str, strict: int, bindings: str
) -> list[Row]:
    """The rows of a dialect that is in the primitive."""

    def row(binding: str) -> Row:
        async def send(cse: Cse, name: str) -> Answer:
            return await BINDINGS[binding](cse, make(name))  # type: ignore[operator]

        return Row(f"{what} over {binding}", send, lenient, use, strict)

    return [row(binding) for binding in bindings.split()]


def without_rvi(name: str) -> dict[str, Any]:
    """A RETRIEVE of Release 1."""
    primitive = request(RETRIEVE, "cse-in", name)
    del primitive["rvi"]
    return primitive


ALL, PRIMITIVES = "http coap mqtt ws", "mqtt ws"
REGISTRATION = {"api": "Nlamp", "rr": False, "srv": ["3"]}
LATE = {"nu": ["http://127.0.0.1:9/"], "enc": {"net": [3]}, "nct": 2}
ROWS = [
    *everywhere("1 no rvi", without_rvi, OK, "no rvi", 4001, ALL),
    *everywhere(
        "2 rr as text", creation(AE, "m2m:ae", {**REGISTRATION, "rr": "false"}), CREATED, "boolean as text", BAD, ALL
    ),
    *everywhere("2 mni as text", creation(CONTAINER, "m2m:cnt", {"mni": "10"}), CREATED, "number as text", BAD, ALL),
    *everywhere(
        "2 op as text",
        lambda name: {**request(RETRIEVE, "cse-in", name), "op": "2"},
        OK,
        "number as string",
        BAD,
        PRIMITIVES,
    ),
    *everywhere(
        "2 ty as text",
        lambda name: request(CREATE, "cse-in", name, ty="3", pc={"m2m:cnt": {}}),
        CREATED,
        "number as string",
        BAD,
        PRIMITIVES,
    ),
    *everywhere(
        "2 net as text",
        creation(SUBSCRIPTION, "m2m:sub", {"nu": ["CAdmin"], "enc": {"net": ["4"]}}),
        CREATED,
        "number as text",
        BAD,
        ALL,
    ),
    *everywhere(
        "3 AE without srv", creation(AE, "m2m:ae", {"api": "Nlamp", "rr": False}), CREATED, "AE without srv", BAD, ALL
    ),
    *everywhere(
        "5 aei", creation(AE, "m2m:ae", {**REGISTRATION, "aei": "<me>"}), CREATED, "aei in a registration", BAD, ALL
    ),
    *everywhere(
        "6 cnf",
        creation(INSTANCE, "m2m:cin", {"con": "{}", "cnf": "application/json"}, "cse-in/data"),
        CREATED,
        "cnf without encoding",
        BAD,
        ALL,
    ),
    *everywhere("7 nct 2 with net 3", creation(SUBSCRIPTION, "m2m:sub", LATE), BAD, "", BAD, ALL),
    *everywhere(
        "4 slash before the CSEBase",
        lambda name: request(RETRIEVE, "/cse-in/data", name),
        OK,
        "slash before the CSEBase name",
        MISSING,
        "mqtt",
    ),
    *everywhere(
        "4 slash before the CSEBase",
        lambda name: request(RETRIEVE, "/cse-in/data", name),
        OK,
        "CSEBase name with a leading slash",
        MISSING,
        "http coap ws",
    ),
    *everywhere(
        "10 trailing slash",
        lambda name: request(RETRIEVE, "cse-in/data/", name),
        OK,
        "trailing slash",
        BAD,
        ALL,
    ),
    *everywhere(
        "rt as number", lambda name: request(RETRIEVE, "cse-in", name, rt=3), OK, "rt as number", BAD, PRIMITIVES
    ),
    Row(
        "8 CoAP options of Release 1",
        lambda cse, name: over_coap(cse, request(RETRIEVE, "cse-in", name), numbers=COAP_OLD),
        OK,
        "CoAP options of an older release",
        BAD,
    ),
    Row(
        "8 resourceName in a CoAP option",
        lambda cse, name: over_coap(
            cse,
            request(CREATE, "cse-in", name, ty=CONTAINER, pc={"m2m:cnt": {}}),
            numbers=COAP_OLD,
            options=((258, name.encode()),),
        ),
        CREATED,
        "CoAP options of an older release & resourceName in a CoAP option",
        BAD,
    ),
    Row(
        "9 wrapper over mqtt",
        lambda cse, name: over_mqtt(cse, {"m2m:rqp": request(RETRIEVE, "cse-in", name)}, originator="CAdmin"),
        OK,
        "m2m:rqp wrapper",
        BAD,
    ),
    Row(
        "9 wrapper over ws",
        lambda cse, name: over_websocket(cse, {"m2m:rqp": request(RETRIEVE, "cse-in", name)}, originator="CAdmin"),
        OK,
        "m2m:rqp wrapper",
        BAD,
    ),
    Row(
        "10 /~/<CSE-ID> over http, which is by the book",
        lambda cse, name: over_http(cse, request(RETRIEVE, f"{cse.config.id}/cse-in", name)),
        OK,
        "",
        OK,
    ),
    Row(
        "10 headers in lower case, which is by the book",
        lambda cse, name: over_http(
            cse,
            request(RETRIEVE, "cse-in", name),
            headers={"X-M2M-Origin": "", "x-m2m-origin": "CAdmin", "X-M2M-RI": "", "x-m2m-ri": name},
        ),
        OK,
        "",
        OK,
    ),
    Row(
        "body without Content-Type",
        lambda cse, name: over_http(
            cse, request(UPDATE, "cse-in/data", name, pc={"m2m:cnt": {"lbl": [name]}}), headers={"Content-Type": ""}
        ),
        UPDATED,
        "body without Content-Type",
        4015,
    ),
    Row(
        "body without Content-Format",
        lambda cse, name: over_coap(
            cse, request(UPDATE, "cse-in/data", name, pc={"m2m:cnt": {"lbl": [name]}}), content_format=None
        ),
        UPDATED,
        "body without Content-Format",
        UPDATED,
    ),
    Row(
        "boolean of the query over http",
        lambda cse, name: over_http(cse, request(RETRIEVE, "cse-in", name), query="da=0"),
        OK,
        "boolean of the query in another form",
        BAD,
    ),
    Row(
        "boolean of the query over coap",
        lambda cse, name: over_coap(cse, request(RETRIEVE, "cse-in", name), options=((15, b"da=0"),)),
        OK,
        "boolean of the query in another form",
        BAD,
    ),
]


async def run(profile: str, mosquitto_url: str) -> list[str]:
    """Send all rows to a CSE of a profile; what was not as expected, in words."""
    port = free_port()
    options = {"http": "127.0.0.1:0", "coap": "127.0.0.1:0", "mqtt": mosquitto_url, "id": f"/id-{profile}{port}"}
    cse = Cse(load_config({**options, "insecure_dev": True, "admin": "CAdmin", "profile": profile, "store": "memory"}))
    await cse.start()
    wrong = []
    try:
        data = request(CREATE, "cse-in", "data", ty=CONTAINER, pc={"m2m:cnt": {"rn": "data"}})
        assert (await over_http(cse, data)).rsc == CREATED
        for number, row in enumerate(ROWS):
            before = cse.dialect_uses
            answer = await row.send(cse, f"{profile}{number}")
            counted = dict(cse.dialect_uses - before)
            expected = dict.fromkeys(filter(None, row.use.split(" & ")), 1) if profile == "lenient" else {}
            status = row.lenient if profile == "lenient" else row.strict
            if answer.rsc != status or counted != expected:
                wrong.append(f"{row.what}: {answer}, counted {counted}")
            if answer.rsc >= BAD and len(answer.debug) < 20:
                wrong.append(f"{row.what}: refused without words: {answer}")
    finally:
        await cse.stop()
    return wrong


@pytest.mark.parametrize("profile", ["lenient", "strict"])
async def test_dialects(profile: str, mosquitto_url: str) -> None:
    assert await run(profile, mosquitto_url) == []


async def test_a_wrapped_request_is_answered_wrapped(mosquitto_url: str) -> None:
    options = {"http": "127.0.0.1:0", "coap": "off", "mqtt": mosquitto_url, "id": f"/id-wrap{free_port()}"}
    cse = Cse(
        load_config({**options, "insecure_dev": True, "admin": "CAdmin", "profile": "lenient", "store": "memory"})
    )
    await cse.start()
    try:
        for send in (over_mqtt, over_websocket):
            wrapped = await send(cse, {"m2m:rqp": request(RETRIEVE, "cse-in", "w")}, originator="CAdmin")
            assert set(wrapped.raw) == {"m2m:rsp"}
            assert set((await send(cse, request(RETRIEVE, "cse-in", "p"))).raw) > {"rsc", "rqi"}
    finally:
        await cse.stop()


@pytest.mark.parametrize("profile", ["lenient", "strict"])
async def test_an_mqtt_url_with_only_the_name_of_an_ae(profile: str, mosquitto_url: str) -> None:
    """Dialect 11: ``mqtt://host:port/<AE-ID>?ct=json`` stands for the topic of that AE; by the book it is a topic."""
    options = {"http": "127.0.0.1:0", "coap": "off", "mqtt": mosquitto_url, "id": f"/id-nu{free_port()}"}
    cse = Cse(load_config({**options, "insecure_dev": True, "admin": "CAdmin", "profile": profile, "store": "memory"}))
    await cse.start()
    name, address = f"Clistener{free_port()}", urlsplit(mosquitto_url)
    topics = {"lenient": f"/oneM2M/req/{cse.config.id.lstrip('/')}/{name}/json", "strict": name}
    loop = asyncio.get_running_loop()
    subscribed, heard = asyncio.Event(), loop.create_future()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    client.on_message = lambda _c, _d, message: loop.call_soon_threadsafe(heard.set_result, message)
    assert address.hostname
    assert address.port
    client.connect(address.hostname, address.port)
    client.loop_start()
    try:
        client.subscribe([(topic, 1) for topic in topics.values()])
        await asyncio.wait_for(subscribed.wait(), 20)
        url = f"mqtt://{address.hostname}:{address.port}/{name}?ct=json"
        made = await over_http(cse, creation(SUBSCRIPTION, "m2m:sub", {"nu": [url], "enc": {"net": [4]}})("nu"))
        assert made.rsc == CREATED, made
        message = await asyncio.wait_for(heard, 20)
        assert message.topic == topics[profile]
        assert json.loads(message.payload)["pc"]["m2m:sgn"]["vrq"] is True
        assert cse.dialect_uses["AE-ID as path of an mqtt URL"] == (profile == "lenient")
    finally:
        client.disconnect()
        client.loop_stop()
        await cse.stop()
