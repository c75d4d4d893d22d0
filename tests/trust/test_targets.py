"""Half of the notification targets are dead, slow or hostile: the other half must not notice (trust.md R8, TP-08).

60 good targets and 60 bad ones of ten kinds subscribe to one container, each for itself. The control runs the same with
one shared queue, as a CSE without a queue for each target would, and must fail.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from cse import delivery
from cse.app import Cse
from cse.config import load_config
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status

GOOD, BAD = 60, 60
EVENTS, EVENTS_PER_S = 40, 8.0
LIMIT_S = 0.5
GROWTH_BYTES = 64 * 1024 * 1024

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Seen:
    """What the good targets received: per target and event, when (seconds after it was posted)."""

    posted: dict[int, float] = field(default_factory=dict)
    delays: dict[tuple[int, int], float] = field(default_factory=dict)
    order: dict[int, list[int]] = field(default_factory=dict)
    copies: Counter[tuple[int, int]] = field(default_factory=Counter)
    canary: int = 0

    def take(self, target: int, body: bytes) -> None:
        """A notification arrived."""
        event = int(json.loads(body)["m2m:sgn"]["nev"]["rep"]["m2m:cin"]["con"])
        self.copies[target, event] += 1
        self.order.setdefault(target, []).append(event)
        self.delays.setdefault((target, event), time.monotonic() - self.posted[event])


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    return await reader.readexactly(length)


def good(seen: Seen, target: int) -> Handler:
    """A target that answers at once and keeps its connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.take(target, await _body(reader))
            writer.write(OK)

    return handle


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the request and never answers."""
    await asyncio.sleep(3600)


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers a byte each half second."""
    await _body(reader)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.5)


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers 200 MB."""
    await _body(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
    for _ in range(200):
        writer.write(b"x" * 1_000_000)
        await writer.drain()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Resets the connection."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def fails(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers that it is broken."""
    await _body(reader)
    writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


async def lies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers what is no HTTP."""
    await _body(reader)
    writer.write(b"\x16\x03\x01 220 smtp ready\r\n" * 20)


async def is_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers right, five seconds later."""
    while True:
        await _body(reader)
        await asyncio.sleep(5)
        writer.write(OK)


def redirects(port: int) -> Handler:
    """Sends the CSE to a canary."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _body(reader)
        location = f"http://127.0.0.1:{port}/"
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    return handle


async def serve(stack: AsyncExitStack, handler: Handler) -> int:
    """Listen for a target; its port."""
    open_ones: set[asyncio.Task[Any]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            open_ones.discard(task)
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)

    async def close() -> None:
        server.close()
        for task in list(open_ones):
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    stack.push_async_callback(close)
    port: int = server.sockets[0].getsockname()[1]
    return port


def deaf(stack: AsyncExitStack) -> int:
    """A port where connections are never accepted and the queue for them is full."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):
        caller = stack.enter_context(socket.socket())
        caller.setblocking(False)
        caller.connect_ex(listener.getsockname())
    port: int = listener.getsockname()[1]
    return port


def closed(stack: AsyncExitStack) -> int:
    """A port nobody listens on."""
    holder = stack.enter_context(socket.socket())
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    return port


@asynccontextmanager
async def targets(seen: Seen) -> AsyncIterator[list[str]]:
    """The points of access: good and bad ones in turn, so that neither kind comes first."""
    async with AsyncExitStack() as stack:

        async def sing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.canary += 1

        canary = await serve(stack, sing)
        kinds = [hangs, drips, floods, resets, fails, lies, is_late, redirects(canary), deaf, closed]
        found = []
        for number in range(BAD):
            found.append(await serve(stack, good(seen, number)))
            kind: Any = kinds[number % len(kinds)]
            found.append(kind(stack) if kind in (deaf, closed) else await serve(stack, kind))
        yield [f"http://127.0.0.1:{port}/" for port in found]


async def ask(cse: Cse, to: str, ty: int, content: dict[str, Any], originator: str) -> Response:
    request = Request(Operation.CREATE, to, originator, f"r{time.monotonic_ns()}", ty, content, "3")
    response = await cse.serve(request)
    assert response.status is Status.CREATED, response.content
    return response


async def storm(cse: Cse, seen: Seen, urls: list[str]) -> list[float]:
    """Register a target for each URL, post the events; how long each creation took."""
    everybody = {"acr": [{"acor": ["all"], "acop": 63}]}
    policy = await ask(cse, "cse-in", 1, {"m2m:acp": {"rn": "acp", "pv": everybody, "pvs": everybody}}, "CAdmin")
    container = {"rn": "data", "acpi": [policy.content["m2m:acp"]["ri"]], "mni": 10}
    await ask(cse, "cse-in", 3, {"m2m:cnt": container}, "CAdmin")
    for number, url in enumerate(urls):
        name = f"Ctarget{number}"
        application = {"rn": name, "api": "Nx", "rr": True, "srv": ["3"], "poa": [url]}
        await ask(cse, "cse-in", 2, {"m2m:ae": application}, name)
        subscription = {"rn": f"s{number}", "nu": [name], "enc": {"net": [3], "chty": [4]}}
        await ask(cse, "cse-in/data", 23, {"m2m:sub": subscription}, name)
    took = []
    for event in range(EVENTS):
        began = seen.posted[event] = time.monotonic()
        await ask(cse, "cse-in/data", 4, {"m2m:cin": {"con": str(event)}}, "CAdmin")
        took.append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, 1 / EVENTS_PER_S - took[-1]))
    return took


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99) - 1]


async def run(seen: Seen, patience_s: float) -> tuple[list[float], int]:
    """One storm; how long creations took, and how many bytes the process grew by."""
    process = psutil.Process()
    async with targets(seen) as urls:
        settings = {"http": "off", "coap": "127.0.0.1:0", "insecure_dev": True, "admin": "CAdmin"}
        cse = Cse(load_config({**settings, "max_subscriptions_per_resource": GOOD + BAD}))
        await cse.start()
        try:
            gc.collect()
            before = process.memory_info().rss
            took = await storm(cse, seen, urls)
            deadline = time.monotonic() + patience_s
            while len(seen.delays) < GOOD * EVENTS and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.05)
            grown = process.memory_info().rss - before
        finally:
            await cse.stop(grace_s=1.0)
    return took, grown


async def test_good_targets_do_not_notice_bad_ones(caplog: pytest.LogCaptureFixture) -> None:
    quickest_s = float("inf")
    for _ in range(3):  # the machine may be busy with something else, which only makes them slower
        seen = Seen()
        took, grown = await run(seen, 30)
        delays = list(seen.delays.values())
        print(f"good p99 {p99(delays) * 1000:.0f} ms, worst {max(delays) * 1000:.0f} ms, memory {grown / 1e6:.1f} MB")
        print(f"CREATE p99 {p99(took) * 1000:.1f} ms, lost {GOOD * EVENTS - len(delays)}, canary {seen.canary}")
        assert len(delays) == GOOD * EVENTS, "lost"
        assert set(seen.copies.values()) == {1}, "duplicated"
        assert all(order == sorted(order) for order in seen.order.values())
        assert seen.canary == 0
        assert grown <= GROWTH_BYTES
        quickest_s = min(quickest_s, p99(delays))
        if quickest_s <= LIMIT_S:
            break
    assert quickest_s <= LIMIT_S
    assert "Traceback" not in caplog.text


async def test_the_control_with_one_shared_queue_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "target_of", lambda send: "everybody")
    seen = Seen()
    await run(seen, 3)
    delays = list(seen.delays.values())
    assert len(delays) < GOOD * EVENTS or p99(delays) > LIMIT_S
