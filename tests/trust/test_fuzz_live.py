"""Bent wire samples at a running CSE, over every binding at once: it stays, answers, and never says 5000 (TP-09 b).

``ONEMEC_FUZZ_MESSAGES`` makes it longer: messages for each binding, 600 without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import struct
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import aiohttp
import cbor2
import paho.mqtt.client as paho
import psutil
import pytest

from cse.bindings import coap_message
from cse.bindings.coap_codes import NEW_NUMBERS, OLD_NUMBERS
from cse.bindings.coap_message import Message, uint
from fuzz.seeds import seeds
from tests.brokers import free_port
from tests.onemec.processes import Command, running

MESSAGES = int(os.environ.get("ONEMEC_FUZZ_MESSAGES", "600"))
_AWKWARD = [b"\0", b"\xff\xfe", b"9" * 30, b"-1", b"[" * 50, b"null", b"\r\n", b"%00", b"\\ud800", b"1e999", b"//"]
_HTTP_ONLY = [
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"X-M2M-RI: 2\r\n",
    b"X-Long: " + b"x" * 20_000,
]
#: where the answers of HTTP say what became of a request
_RSC_FIELD = re.compile(rb"^X-M2M-RSC: *([0-9]+)\r$", re.IGNORECASE | re.MULTILINE)
#: what says that something inside broke
_BROKEN = 5000


def bent(chance: random.Random, found: list[bytes]) -> bytes:
    """A sample with a few bytes changed, cut, doubled or put in."""
    data = bytearray(chance.choice(found))
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(data))
        match chance.randint(0, 4):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randint(0, 7)
            case 1:
                del data[at : at + chance.randint(1, 30)]
            case 2:
                data[at:at] = chance.choice(_AWKWARD)
            case 3:
                data[at:at] = data[max(0, at - 30) : at]
            case _:
                del data[at:]
    return bytes(data)


def codes(binding: str, answer: bytes) -> list[int]:
    """The response status codes in what came back; an answer that cannot be read is a failure of its own."""
    if binding == "http":
        return [int(found) for found in _RSC_FIELD.findall(answer)]
    if binding == "coap":
        message = coap_message.decode(answer)
        values = [message.option(NEW_NUMBERS.rsc), message.option(OLD_NUMBERS.rsc)]
        return [int.from_bytes(value, "big") for value in values if value is not None]
    primitive = cbor2.loads(answer) if binding.endswith("cbor") else json.loads(answer)
    inside = primitive.get("m2m:rsp", primitive)
    return [] if "op" in inside else [inside["rsc"]]  # what the CSE itself asks over a WebSocket is no answer


@pytest.mark.parametrize(
    ("binding", "answer"),
    [
        ("http", b"HTTP/1.1 500 x\r\nx-m2m-rsc: 5000\r\nContent-Length: 0\r\n\r\n"),
        ("coap", coap_message.encode(Message(coap_message.code("5.00"), options=[(307, uint(5000))]))),
        ("coap", coap_message.encode(Message(coap_message.code("5.00"), options=[(265, uint(5000))]))),
        ("mqtt", b'{"rsc": 5000, "rqi": "1"}'),
        ("mqtt cbor", cbor2.dumps({"rsc": 5000, "rqi": "1"})),
        ("websocket", b'{"m2m:rsp": {"rsc": 5000}}'),
        ("websocket cbor", cbor2.dumps({"m2m:rsp": {"rsc": 5000}})),
    ],
)
def test_an_answer_that_says_5000_is_seen(binding: str, answer: bytes) -> None:
    assert codes(binding, answer) == [_BROKEN]


@pytest.fixture
def cse(tmp_path: Path, mosquitto_url: str) -> Iterator[tuple[Command, int, int, str, str]]:
    """A CSE on every binding: its process, its ports, its broker and its CSE-ID."""
    http, coap, cse_id = free_port(), free_port(), f"/id-fuzz{free_port()}"
    words = [
        "cse",
        "--http",
        f"127.0.0.1:{http}",
        "--coap",
        f"127.0.0.1:{coap}",
        "--mqtt",
        mosquitto_url,
        "--id",
        cse_id,
    ]
    with running(tmp_path, *words, "--insecure-dev", "--admin", "CAdmin", "--profile", "lenient") as command:
        command.wait_ready(60)
        yield command, http, coap, mosquitto_url, cse_id


async def over_http(port: int, chance: random.Random) -> list[bytes]:
    """Send to HTTP; what came back."""
    answers = []
    for number in range(MESSAGES):
        data = bent(chance, seeds_of("http_request"))
        if number % 10 == 0:
            head, mark, rest = data.partition(b"\r\n")
            data = head + mark + chance.choice(_HTTP_ONLY) + rest
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(data)
                writer.write_eof()
                async with asyncio.timeout(5):
                    answers.append(await reader.read(65536))
            finally:
                writer.close()
    return answers


async def over_coap(port: int, chance: random.Random) -> list[bytes]:
    """Send to CoAP; what came back."""
    answers: list[bytes] = []

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            answers.append(data)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", port))
    for number in range(MESSAGES):
        transport.sendto(bent(chance, seeds_of("coap_datagram")))
        if number % 20 == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    transport.close()
    return answers


async def over_mqtt(url: str, cse_id: str, chance: random.Random) -> tuple[list[bytes], list[bytes]]:
    """Send to MQTT; what came back on any topic of responses, in JSON and in CBOR."""
    answers: dict[str, list[bytes]] = {"json": [], "cbor": []}
    loop = asyncio.get_running_loop()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _u, message: answers[message.topic.rpartition("/")[2]].append(message.payload)
    subscribed = asyncio.Event()
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    host, _, port = url.removeprefix("mqtt://").rpartition(":")
    client.connect(host, int(port))
    client.loop_start()
    try:
        for form in answers:
            client.subscribe([(f"/oneM2M/{kind}/+/{cse_id[1:]}/{form}", 1) for kind in ("resp", "reg_resp")])
        await asyncio.wait_for(subscribed.wait(), 15)
        for number in range(MESSAGES):
            _, _, payload = bent(chance, seeds_of("mqtt_message")).partition(b"\n")
            kind, form = (
                chance.choice(("req", "req", "reg_req")),
                chance.choice(("json", "json", "cbor", "xml")),
            )
            client.publish(f"/oneM2M/{kind}/Cae/{cse_id[1:]}/{form}", payload, 1)
            if number % 10 == 0:  # what this CSE takes for answers to its own requests
                client.publish(f"/oneM2M/resp/{cse_id[1:]}/Cae/{form}", payload, 1)
            if number % 20 == 0:
                await asyncio.sleep(0.02)
        await asyncio.sleep(1)
    finally:
        client.disconnect()
        client.loop_stop()
    return answers["json"], answers["cbor"]


_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: oneM2M.json\r\n\r\n"
)


async def over_websocket(port: int, chance: random.Random) -> tuple[list[bytes], list[bytes]]:
    """Send over WebSocket, messages and now and then a broken frame; what came back, in JSON and in CBOR."""
    answers: tuple[list[bytes], list[bytes]] = ([], [])
    found = seeds_of("websocket_message")
    # the first byte of a sample says whether its frame is one of text
    texts, binaries = ([data[1:] for data in found if bool(data[0] & 128) is text] for text in (True, False))
    sent = connections = 0
    async with aiohttp.ClientSession(headers={"X-M2M-Origin": "CAdmin"}) as session:
        while sent < MESSAGES:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                connections += 1
                form = "cbor" if connections % 3 == 0 else "json"
                socket = await session.ws_connect(f"ws://127.0.0.1:{port}/", protocols=[f"oneM2M.{form}"])
                for _ in range(40):
                    if sent >= MESSAGES or socket.closed:
                        break
                    sent += 1
                    if form == "cbor":
                        await socket.send_bytes(bent(chance, binaries))
                    else:
                        await socket.send_str(bent(chance, texts).decode("utf-8", "replace"))
                    with contextlib.suppress(TimeoutError):
                        message = await socket.receive(timeout=0.02)
                        if isinstance(message.data, str):
                            answers[0].append(message.data.encode())
                        elif isinstance(message.data, bytes):
                            answers[1].append(message.data)
                await socket.close()
    for _ in range(MESSAGES // 50):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(_HANDSHAKE)
            async with asyncio.timeout(5):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(struct.pack("!BBH", chance.randint(0, 255), 0xFE, chance.randint(0, 65535)))
                writer.write(bent(chance, seeds_of("websocket_message")))
                writer.write_eof()
                await reader.read()
        writer.close()
    return answers


async def probe(port: int, stop: asyncio.Event) -> list[float]:
    """Ask for the CSEBase again and again; how long each took, and how all of them were answered."""
    took = []
    headers = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "p", "X-M2M-RVI": "3"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as session:
        while not stop.is_set():
            began = time.monotonic()
            async with session.get(f"http://127.0.0.1:{port}/cse-in?rcn=1") as answer:
                assert answer.status == 200
                await answer.read()
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.1)
    return took


@cache
def seeds_of(target: str) -> list[bytes]:
    """The samples of a target of ``fuzz``."""
    return seeds(target)


async def test_a_running_cse_withstands_bent_messages_on_all_bindings(
    cse: tuple[Command, int, int, str, str],
) -> None:
    command, http, coap, broker, cse_id = cse
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    process = psutil.Process(command.process.pid)
    stop = asyncio.Event()
    probing = asyncio.create_task(probe(http, stop))
    http_answers, coap_answers, mqtt_answers, websocket_answers = await asyncio.gather(
        over_http(http, random.Random(seed)),
        over_coap(coap, random.Random(seed + 1)),
        over_mqtt(broker, cse_id, random.Random(seed + 2)),
        over_websocket(http, random.Random(seed + 3)),
    )
    stop.set()
    took = await probing
    answers = {
        "http": http_answers,
        "coap": coap_answers,
        "mqtt": mqtt_answers[0],
        "mqtt cbor": mqtt_answers[1],
        "websocket": websocket_answers[0],
        "websocket cbor": websocket_answers[1],
    }
    read = {binding: [codes(binding, answer) for answer in came] for binding, came in answers.items()}
    counts = {binding: (len(found), sum(map(bool, found))) for binding, found in read.items()}
    print(f"answers, and those with a code: {counts}; {len(took)} probes, worst {max(took) * 1000:.0f} ms")
    assert command.process.poll() is None
    assert process.is_running()
    assert "Traceback" not in command.err, (seed, command.err[-4000:])
    for binding, (_, with_code) in counts.items():
        assert with_code > (MESSAGES // 200 if binding.endswith("cbor") else MESSAGES // 20), counts
    for binding, found in read.items():
        for answer, given in zip(answers[binding], found, strict=True):
            assert _BROKEN not in given, (seed, binding, answer)
