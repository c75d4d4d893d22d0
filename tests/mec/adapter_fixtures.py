"""What the adapter's tests share: real CSEs and platforms (in this process or to be killed), a chaos proxy, waiting.

``python -m tests.mec.adapter_fixtures cse|adapter <json>`` runs one of them as a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

from cse.app import Cse
from cse.client import Client
from cse.config import CseConfig
from mec_adapter.app import Adapter
from mec_adapter.config import AdapterConfig, SyncConfig

ADMIN = "CAdmin"


async def until(condition: Callable[[], Any], timeout_s: float = 15.0, what: str = "") -> None:
    """Return when a condition holds; it may be an async function.

    Raises:
        AssertionError: it did not come true in time.
    """
    async with asyncio.timeout(timeout_s + 5.0):
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            assert loop.time() < deadline, f"not within {timeout_s} s: {what or condition}"
            await asyncio.sleep(0.02)


def cse_settings(kind: str = "MN", **settings: Any) -> dict[str, Any]:
    """Settings of a CSE for tests: MN ``/id-edge`` or IN ``/id-in``, HTTP only, on a free port."""
    name = "edge" if kind == "MN" else "in"
    return {
        "type": kind,
        "id": f"/id-{name}",
        "name": f"cse-{name}",
        "http": "127.0.0.1:0",
        "ws": False,
        "insecure_dev": True,
        "admin": (ADMIN,),
        "log_level": "error",
        **settings,
    }


@contextlib.asynccontextmanager
async def running_cse(kind: str = "MN", **settings: Any) -> AsyncIterator[Cse]:
    """A CSE in this process for the time of a block."""
    cse = Cse(CseConfig(**cse_settings(kind, **settings)))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(grace_s=1.0)


@contextlib.asynccontextmanager
async def admin_of(url: str, cse_id: str) -> AsyncIterator[Client]:
    """A client with full access."""
    async with Client(url, cse_id=cse_id, originator=ADMIN) as client:
        yield client


async def contents(client: Client, container: str) -> list[Any]:
    """The contents of all instances of a container, oldest first."""
    found: list[Any] = []
    tag = 0
    while True:
        shown = await client.retrieve(container, rcn=4, filter={"ty": [4], "stb": tag, "lim": 500, "lvl": 1})
        page = shown.get("m2m:cin") or []
        found += [entry["con"] for entry in page]
        if len(page) < 500:
            return found
        tag = page[-1]["st"] + 1


class Process:
    """A process of this module, to be killed by its pid.

    Args:
        kind: ``cse`` or ``adapter``.
        settings: what it runs with.
    """

    def __init__(self, kind: str, settings: dict[str, Any]) -> None:
        self._arguments = [sys.executable, "-m", "tests.mec.adapter_fixtures", kind, json.dumps(settings)]
        self._process: asyncio.subprocess.Process | None = None
        self.said = ""

    async def start(self) -> str:
        """Start it; returns what it says when it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            *self._arguments, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            self.said = (await self._process.stdout.readline()).decode().strip()
        assert self.said, "the process ended before it was ready"
        return self.said

    async def kill(self, sign: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, sign)
        async with asyncio.timeout(15):
            return await self._process.wait()

    async def __aenter__(self) -> Process:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()


class ChaosProxy:
    """A TCP proxy in front of one server; ``mode`` says what becomes of connections.

    ``pass`` forwards; ``refuse`` resets at once; ``blackhole`` takes everything and never answers;
    ``lose-answer`` forwards the request, waits for the answer and resets the connection in its place;
    ``random`` loses every ``lose_every``-th answer.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._answers = 0
        self.lost_answers = 0
        self.lose_every = 3
        self._mode = "pass"
        self.port = 0

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def mode(self) -> str:
        """What becomes of connections."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._mode = mode
        if mode in ("refuse", "blackhole"):
            for writer in list(self._open):
                _reset(writer)

    async def __aenter__(self) -> ChaosProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "refuse":
            _reset(writer)
            return
        self._open.add(writer)
        try:
            if self._mode == "blackhole":
                while await reader.read(65536):
                    pass
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            try:
                await asyncio.gather(self._requests(reader, up_writer), self._answering(up_reader, writer))
            finally:
                _reset(up_writer)
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            _reset(writer)

    async def _requests(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            upstream.write(data)
            await upstream.drain()
        upstream.write_eof()

    async def _answering(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await upstream.read(65536):
            self._answers += 1
            if self._mode == "lose-answer" or (self._mode == "random" and self._answers % self.lose_every == 0):
                self.lost_answers += 1
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def status_of(url: str) -> dict[str, Any]:
    """What an adapter says about itself."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/status") as answer:
        assert answer.status == 200
        return dict(await answer.json())


def adapter_config(settings: dict[str, Any]) -> AdapterConfig:
    """An AdapterConfig from plain types."""
    settings = dict(settings)
    sync = dict(settings.pop("sync", {}))
    for name in ("labels", "paths"):
        if name in sync:
            sync[name] = tuple(sync[name])
    return AdapterConfig(**settings, sync=SyncConfig(**sync))


@contextlib.asynccontextmanager
async def running_adapter(**settings: Any) -> AsyncIterator[Adapter]:
    """An adapter in this process for the time of a block; quick timers unless told otherwise."""
    quick = {"originator": ADMIN, "ae_probe_s": 0, "discovery_s": 0.1, "poll_s": 0.3, "audit_s": 0.3, "heartbeat_s": 1}
    adapter = Adapter(adapter_config({**quick, **settings}))
    await adapter.start()
    try:
        yield adapter
    finally:
        await adapter.stop()


async def _run_cse(settings: dict[str, Any]) -> None:
    cse = Cse(CseConfig(**settings))
    await cse.start()
    print(cse.addresses()["http"], flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await cse.stop()


async def _run_adapter(settings: dict[str, Any]) -> None:
    from mec_adapter.run import run_adapter

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_adapter(adapter_config(settings), lambda url: print(url, flush=True), None, stop)


if __name__ == "__main__":
    runs = {"cse": _run_cse, "adapter": _run_adapter}
    asyncio.run(runs[sys.argv[1]](json.loads(sys.argv[2])))
