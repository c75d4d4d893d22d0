"""Floods of slow connections, unfinished transfers, endless bodies: who behaves is served (R5, R14, R16; TP-10).

The CSE is a process of its own, so that what it grows by is its own. Loopback is exempt from the bounds per address, so
what holds here is the bound of all connections and that a new one takes the place of one that only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from cse.bindings.coap_codec import encode_request
from cse.bindings.coap_message import BLOCK1, CON, Block, Message, code, decode, dotted, encode, encode_block
from cse.onem2m.primitives import Operation, Request
from tests.brokers import free_port
from tests.onemec.processes import Command, running

GROWTH_BYTES = 32 * 1024 * 1024
SERVED = 0.999
#: how often a customer asks at least: fewer requests say nothing about that share
ASKED = 500
SLOW_PER_KIND = 1000
ASSEMBLIES = 20_000
HEADERS = {"X-M2M-Origin": "CAdmin", "X-M2M-RVI": "3", "Content-Type": "application/json;ty=4"}


@dataclass
class Target:
    """A CSE in a process of its own."""

    command: Command
    http: int
    coap: int

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.command.process.pid)

    @property
    def rss(self) -> int:
        return int(self.process.memory_info().rss)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """A running CSE, warm."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 8000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(8000, hard), hard))
    http, coap = free_port(), free_port()
    words = ("cse", "--http", f"127.0.0.1:{http}", "--coap", f"127.0.0.1:{coap}", "--insecure-dev", "--admin", "CAdmin")
    with running(tmp_path, *words) as command:
        command.wait_ready(60)
        yield Target(command, http, coap)


@dataclass
class Customer:
    """A client that behaves: creates and reads, over new connections and kept ones, and counts."""

    target: Target
    taken: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def prepare(self) -> None:
        """Make the container that it posts to."""
        headers = {**HEADERS, "X-M2M-RI": "c", "Content-Type": "application/json;ty=3"}
        url = f"http://127.0.0.1:{self.target.http}/cse-in"
        async with aiohttp.ClientSession() as session:
            content = json.dumps({"m2m:cnt": {"rn": "data", "mni": 10}})
            async with session.post(url, data=content, headers=headers) as answer:
                assert answer.status == 201

    async def work(self) -> None:
        """Ask until told to stop."""
        url = f"http://127.0.0.1:{self.target.http}/cse-in/data"
        kept = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))
        async with kept:
            number = 0
            while not self._stop.is_set():
                number += 1
                await self._ask(kept, url, number)
                async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as fresh:
                    await self._ask(fresh, url, number)
                await asyncio.sleep(0.01)

    async def _ask(self, session: aiohttp.ClientSession, url: str, number: int) -> None:
        headers = {**HEADERS, "X-M2M-RI": f"r{number}"}
        began = time.monotonic()
        try:
            async with session.post(url, data=json.dumps({"m2m:cin": {"con": number}}), headers=headers) as answer:
                await answer.read()
                if answer.status != 201:
                    self.failures.append(f"HTTP {answer.status}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.failures.append(repr(error))
        self.taken.append(time.monotonic() - began)

    @contextlib.asynccontextmanager
    async def working(self, least: int = 0) -> AsyncIterator[None]:
        """Ask while something else goes on, and on a slow machine a while longer, to have asked often enough."""
        tasks = [asyncio.create_task(self.work()) for _ in range(4)]
        try:
            yield
            deadline = time.monotonic() + 30
            while len(self.taken) < least and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.05)
        finally:
            self._stop.set()
            await asyncio.gather(*tasks)

    def report(self) -> str:
        """What it saw."""
        worst = sorted(self.taken)
        p99 = worst[int(len(worst) * 0.99) - 1]
        times = f"p99 {p99 * 1000:.0f} ms, worst {worst[-1] * 1000:.0f} ms"
        return f"{len(worst)} requests, {len(self.failures)} failed, {times}"

    def check(self) -> None:
        """It was served."""
        assert len(self.taken) >= ASKED
        assert len(self.failures) <= (1 - SERVED) * len(self.taken), self.failures[:5]


async def slow(target: Target, kind: int, number: int) -> socket.socket | None:
    """A connection that is idle, or sent half a head, or half a body."""
    loop = asyncio.get_running_loop()
    caller = socket.socket()
    caller.setblocking(False)
    caller.bind((f"127.0.0.{2 + number % 19}", 0))
    try:
        async with asyncio.timeout(10):
            await loop.sock_connect(caller, ("127.0.0.1", target.http))
            if kind:
                head = b"POST /cse-in/data HTTP/1.1\r\nHost: h\r\nX-M2M-Origin: CAdmin\r\nX-M2M-RI: 1\r\n"
                rest = (
                    b"X-M2M-RVI: 3\r\nContent-Type: application/json;ty=4\r\nContent-Length: 1000\r\n\r\n{"
                    if kind == 2
                    else b""
                )
                await loop.sock_sendall(caller, head + rest)
    except (OSError, TimeoutError):
        caller.close()
        return None
    return caller


async def is_gone(caller: socket.socket) -> bool:
    """Whether the server has closed a connection."""
    with contextlib.suppress(BlockingIOError):
        try:
            while caller.recv(4096):
                pass
        except ConnectionError:
            pass
        return True
    return False


async def test_three_thousand_slow_connections(target: Target) -> None:
    customer = Customer(target)
    await customer.prepare()
    async with Customer(target).working():
        await asyncio.sleep(1)
    before, peak = target.rss, 0
    callers: list[socket.socket] = []
    async with customer.working(ASKED):
        for start in range(0, SLOW_PER_KIND, 50):
            opened = await asyncio.gather(
                *(slow(target, kind, number) for number in range(start, start + 50) for kind in range(3))
            )
            callers += [caller for caller in opened if caller is not None]
        peak = max(peak, target.rss)
        began = time.monotonic()
        left = list(callers)
        while left and time.monotonic() - began < 60:
            await asyncio.sleep(0.5)
            peak = max(peak, target.rss)
            left = [caller for caller in left if not await is_gone(caller)]
        gone_s = time.monotonic() - began
    for caller in callers:
        caller.close()
    print(f"{len(callers)} slow connections, gone after {gone_s:.1f} s; memory +{(peak - before) / 1e6:.1f} MB")
    print(customer.report())
    assert len(callers) == 3 * SLOW_PER_KIND
    assert not left
    customer.check()
    assert peak - before <= GROWTH_BYTES
    assert "Traceback" not in target.command.err


class Endpoint(asyncio.DatagramProtocol):
    """A CoAP client that keeps what comes."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Message] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.answers.put_nowait(decode(data))

    async def ask(self, message: Message) -> Message:
        """Send a message and wait for its answer."""
        self.transport.sendto(encode(message))
        async with asyncio.timeout(15):
            while True:
                answer = await self.answers.get()
                if answer.token == message.token and answer.code:
                    return answer


async def endpoint(target: Target, host: str = "127.0.0.1") -> Endpoint:
    """A client of the CSE's CoAP port."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(
        Endpoint, local_addr=(host, 0), remote_addr=("127.0.0.1", target.coap)
    )
    return made


def creation(number: int, block: Block | None = None, payload: bytes = b"{}") -> Message:
    """A CoAP message that creates an instance, or a block of one."""
    request = Request(Operation.CREATE, "cse-in/data", "CAdmin", f"r{number}", 4, {"m2m:cin": {"con": number}}, "3")
    message = encode_request(request, path=["cse-in", "data"])
    message.type, message.message_id, message.token = CON, number & 0xFFFF, number.to_bytes(4, "big")
    if block is not None:
        message.options.append((BLOCK1, encode_block(block)))
        message.payload = payload
    return message


async def test_twenty_thousand_unfinished_block_transfers(target: Target) -> None:
    customer = Customer(target)
    await customer.prepare()
    async with Customer(target).working():
        await asyncio.sleep(1)
    before, peak = target.rss, 0
    attackers = [await endpoint(target, f"127.0.0.{2 + number % 19}") for number in range(200)]
    honest = await endpoint(target)
    answered = 0
    try:
        async with customer.working(ASKED):
            for number in range(ASSEMBLIES):
                attacker = attackers[number % len(attackers)]
                attacker.transport.sendto(encode(creation(number, Block(0, True, 6), b"x" * 1024)))
                if number % 100 == 0:
                    assert dotted((await honest.ask(creation(1_000_000 + number))).code) == "2.01"
                    answered += 1
                    peak = max(peak, target.rss)
            await asyncio.sleep(1)
            peak = max(peak, target.rss)
    finally:
        for one in (*attackers, honest):
            one.transport.close()
    print(f"{ASSEMBLIES} unfinished transfers: memory +{(peak - before) / 1e6:.1f} MB, {answered} CoAP requests served")
    print(customer.report())
    customer.check()
    assert answered == ASSEMBLIES // 100
    assert peak - before <= GROWTH_BYTES
    assert "Traceback" not in target.command.err


async def test_twenty_thousand_message_ids_and_a_body_without_end(target: Target) -> None:
    customer = Customer(target)
    await customer.prepare()
    honest, attackers = await endpoint(target), [await endpoint(target) for _ in range(4)]
    try:
        for number in range(2000):  # what is remembered of requests has its size by now
            await honest.ask(creation(number))
        before = target.rss
        for number in range(20_000):
            get = encode_request(Request(Operation.RETRIEVE, "cse-in", "CAdmin", "r", release="3"), path=["cse-in"])
            get.type, get.message_id, get.token = CON, number & 0xFFFF, number.to_bytes(4, "big")
            attackers[number % 4].transport.sendto(encode(get))
            if number % 100 == 0:
                assert dotted((await honest.ask(creation(2_000_000 + number))).code) == "2.01"
        grown = target.rss - before
        refused = None
        for number in range(20_000):  # 20 MB in blocks of 1 KiB
            answer = await honest.ask(creation(7_000_000, Block(number, True, 6), b"x" * 1024))
            if answer.code != code("2.31"):
                refused = (number, dotted(answer.code))
                break
    finally:
        for one in (honest, *attackers):
            one.transport.close()
    print(f"20,000 message IDs: memory +{grown / 1e6:.1f} MB; 20 MB refused at block {refused}")
    assert refused == (64, "4.13")
    assert grown <= GROWTH_BYTES
    assert "Traceback" not in target.command.err
