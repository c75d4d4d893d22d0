"""What the MEC platform can do to an adapter, with load on the edge CSE meanwhile (trust-tests.md TP-05).

``python -m tests.trust.mec_faults --outage 300`` prints the figures; ``--help`` says what else there is. The edge CSE,
the adapter and the platform are processes of their own; the faults are made by a proxy in front of the platform, or by
killing it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from cse.client import Client, RequestFailed, Unreachable
from mec_adapter.handover_plan import percentile
from mec_adapter.handover_tree import create_as
from tests.brokers import free_port
from tests.mec.adapter_fixtures import ADMIN, Process, cse_settings

ROOT = Path(__file__).resolve().parents[2]
#: answers of the platform while a status fault lasts
STATUSES = (401, 403, 404, 409, 412, 429, 500)
FAULTS = (
    *("refuse", "hang", "slow", "truncated", "lose-answer", "401-once"),
    *(f"status-{status}" for status in STATUSES),
    *("restart", "restart-without-state"),
)
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP message: its first line, its headers in lower case, its body."""

    first: str
    headers: dict[str, str]
    body: bytes

    def encoded(self) -> bytes:
        """It as bytes, with its true length."""
        headers = {name: value for name, value in self.headers.items() if name not in ("connection", "content-length")}
        if self.body or not self.first.startswith("HTTP/1.1 204"):
            headers["content-length"] = str(len(self.body))
        lines = [self.first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + self.body


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """The next HTTP message with a Content-Length or none, None at the end of the connection."""
    try:
        head = await reader.readuntil(_HEAD_END)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Message(first, headers, body)


class FaultProxy:
    """Stands in front of the platform; ``fault`` says what becomes of requests (see FAULTS; "" forwards them).

    Args:
        target_port: of the platform on 127.0.0.1.
        slow_s: how long ``slow`` keeps each answer.
    """

    def __init__(self, target_port: int, slow_s: float = 10.0) -> None:
        self._target_port, self._slow_s = target_port, slow_s
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._fault = ""
        self.port = free_port()
        #: requests that met the fault, by fault
        self.met: Counter[str] = Counter()

    async def __aenter__(self) -> FaultProxy:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def begin(self, fault: str) -> None:
        """From now on, this."""
        self._fault = fault
        if fault == "refuse":
            await self._close()
            self.met[fault] += 1

    async def end(self) -> None:
        """Forward again; what still hangs is given up."""
        refused, self._fault = self._fault == "refuse", ""
        if refused:
            await self._listen()
        for task in self._open:
            task.cancel()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while (request := await read_message(reader)) is not None:
                answer = await self._answer(request)
                if answer is None:
                    return
                writer.write(answer.encoded())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the client sees a broken connection, as it should
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, request: Message) -> Message | None:
        """The answer the client gets, None to break the connection."""
        fault = self._fault
        if fault:
            self.met[fault] += 1
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "401-once":
            self._fault = ""
        if fault == "401-once" or fault.startswith("status-"):
            return _refusal(401 if fault == "401-once" else int(fault.removeprefix("status-")))
        answer = await self._forward(request)
        if fault == "slow":
            await asyncio.sleep(self._slow_s)
        if fault == "lose-answer" and request.first.startswith("POST "):
            return None
        if fault == "truncated" and answer is not None and answer.body:
            return Message(answer.first, answer.headers, answer.body[: len(answer.body) // 2])
        return answer

    async def _forward(self, request: Message) -> Message | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            writer.write(request.encoded())
            return await read_message(reader)
        finally:
            writer.close()


def _refusal(status: int) -> Message:
    headers = {"content-type": "application/problem+json"}
    if status == 429:
        headers["retry-after"] = "1"
    body = json.dumps({"status": status, "detail": "a fault was asked for"}).encode()
    return Message(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", headers, body)


class PlatformProcess:
    """The real platform as a process.

    Args:
        folder: where its state is.
    """

    def __init__(self, folder: Path) -> None:
        self._store = folder / "mep.db"
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it; returns when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "onemec", "mep", "--http", f"127.0.0.1:{self.port}", "--insecure-dev"),
            *("--store", f"sqlite:///{self._store}", "--log-level", "error"),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while line := await self._process.stdout.readline():
                if line.strip() == b"ready":
                    return
        raise RuntimeError("the platform ended before it was ready")

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    def forget(self) -> None:
        """Lose its state."""
        for path in self._store.parent.glob("mep.db*"):
            path.unlink()


@dataclass
class Load:
    """Posts instances at a steady rate, and keeps how long each took.

    Attributes:
        client: of the AE that posts.
        container: where to.
        rate: posts per second.
    """

    client: Client
    container: str
    rate: float
    took: list[float] = field(default_factory=list)
    failed: int = 0

    async def run(self) -> None:
        """Post until cancelled; posts do not wait for each other."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                task = asyncio.create_task(self._post())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                await asyncio.sleep(1.0 / self.rate)
        finally:
            await asyncio.gather(*under_way)

    async def _post(self) -> None:
        began = time.perf_counter()
        try:
            await self.client.post(self.container, "21.5", rcn=0)
        except (RequestFailed, Unreachable):
            self.failed += 1
        self.took.append(time.perf_counter() - began)

    @contextlib.asynccontextmanager
    async def measured(self) -> AsyncIterator[list[float]]:
        """The times of the posts that begin in a block; complete after it."""
        self.took = took = []
        task = asyncio.create_task(self.run())
        try:
            yield took
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one fault did; times in seconds.

    Attributes:
        fault: which.
        outage_s: how long it lasted.
        heartbeat_s: heartbeat interval.
        before: times of oneM2M requests without it.
        during: times of oneM2M requests with it.
        failed: oneM2M requests that failed, before and during.
        met: requests of the adapter that met the fault.
        right_s: from its end until the registry was right; None when it was not in time.
    """

    fault: str
    outage_s: float
    heartbeat_s: int
    before: tuple[float, ...]
    during: tuple[float, ...]
    failed: int
    met: int
    right_s: float | None

    @property
    def p99_before_s(self) -> float:
        return percentile(self.before, 0.99)

    @property
    def p99_during_s(self) -> float:
        return percentile(self.during, 0.99)

    def line(self) -> str:
        """It in one line."""
        right = "never" if self.right_s is None else f"{self.right_s:.1f}"
        before_ms, during_ms = self.p99_before_s * 1e3, self.p99_during_s * 1e3
        return (
            f"{self.fault:22} {self.outage_s:8.1f} {len(self.during):8} {self.failed:6} {before_ms:10.1f} "
            f"{during_ms:10.1f} {self.met:6} {right:>9} {2 * self.heartbeat_s:7}"
        )


HEADING = (
    f"{'fault':22} {'outage s':>8} {'requests':>8} {'failed':>6} {'p99 ms bef':>10} {'p99 ms dur':>10} {'met':>6} "
    f"{'right s':>9} {'limit s':>7}"
)


@dataclass
class World:
    """Edge CSE, adapter, platform and the proxy between the last two, with AEs that are shown to MEC."""

    platform: PlatformProcess
    proxy: FaultProxy
    operator: Client
    load: Load
    session: aiohttp.ClientSession
    heartbeat_s: int
    #: serNames the registry should have
    wanted: set[str]
    _made: int = 0

    async def is_right(self) -> bool:
        """Whether the registry has what it should, each once, ACTIVE, with heartbeats, and somebody to call back."""
        services = await self._get("/mec_service_mgmt/v1/services")
        if sorted(service["serName"] for service in services) != sorted(self.wanted):
            return False
        if any(service["state"] != "ACTIVE" or "livenessInterval" not in service for service in services):
            return False
        owners = {service["_links"]["self"]["href"].split("/applications/")[1].split("/")[0] for service in services}
        if len(owners) != len(self.wanted):
            return False
        for app_id in owners:
            links = await self._get(f"/mec_app_support/v1/applications/{app_id}/subscriptions")
            if len(links["_links"].get("subscriptions") or links["_links"].get("subscription") or []) != 1:
                return False
        return True

    async def _get(self, path: str) -> Any:
        async with self.session.get(self.platform.url + path) as answer:
            assert answer.status == 200, f"{path}: {answer.status}"
            return await answer.json()

    async def until_right(self, timeout_s: float) -> float | None:
        """Seconds until the registry is right, None when that takes longer than it may."""
        began = time.monotonic()
        while time.monotonic() - began <= timeout_s:
            if await self.is_right():
                return time.monotonic() - began
            await asyncio.sleep(0.05)
        return None

    async def change_aes(self) -> None:
        """An exposed AE comes, and the one that came before goes."""
        self._made += 1
        if self._made > 1:
            before = f"extra{self._made - 1}"
            await self.operator.delete(f"-/{before}")
            self.wanted.discard(f"onem2m-ae-org.example.{before}")
        name = f"extra{self._made}"
        ae = {"rn": name, "api": f"Norg.example.{name}", "rr": False, "srv": ["3"], "lbl": ["mec:expose"]}
        await create_as(self.operator, f"C{name}", "-", 2, ae)
        self.wanted.add(f"onem2m-ae-org.example.{name}")

    async def suffer(self, fault: str, outage_s: float, baseline_s: float, patience: float = 2.0) -> Figures:
        """Measure a fault.

        Args:
            fault: one of FAULTS.
            outage_s: how long it lasts.
            baseline_s: how long is measured without it.
            patience: heartbeat intervals after which the registry is no longer waited for.
        """
        failed_before = self.load.failed
        async with self.load.measured() as before:
            await asyncio.sleep(baseline_s)
        if await self.until_right(max(30.0, 5 * self.heartbeat_s)) is None:
            raise RuntimeError(f"the registry was wrong before {fault}")
        async with self.load.measured() as during:
            await self._begin(fault)
            await self.change_aes()
            await asyncio.sleep(outage_s)
            await self._end(fault)
            right_s = await self.until_right(patience * self.heartbeat_s)
        failed = self.load.failed - failed_before
        met = self.proxy.met[fault]
        return Figures(fault, outage_s, self.heartbeat_s, tuple(before), tuple(during), failed, met, right_s)

    async def _begin(self, fault: str) -> None:
        if fault.startswith("restart"):
            await self.platform.kill()
        else:
            await self.proxy.begin(fault)

    async def _end(self, fault: str) -> None:
        if fault.startswith("restart"):
            if fault == "restart-without-state":
                self.platform.forget()
            await self.platform.start()
        else:
            await self.proxy.end()


@contextlib.asynccontextmanager
async def running_world(
    *, heartbeat_s: int, aes: int, rate: float, slow_s: float = 10.0, **adapter: Any
) -> AsyncIterator[World]:
    """Everything, for the time of a block.

    Args:
        heartbeat_s: heartbeat interval the adapter offers.
        aes: AEs that are shown to MEC from the beginning.
        rate: oneM2M requests per second.
        slow_s: see FaultProxy.
        **adapter: more settings of the adapter.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        platform = PlatformProcess(folder)
        await platform.start()
        stack.push_async_callback(platform.kill)
        proxy = await stack.enter_async_context(FaultProxy(platform.port, slow_s))
        cse = await stack.enter_async_context(Process("cse", cse_settings()))
        operator = await stack.enter_async_context(Client(cse.said, cse_id="/id-edge", originator=ADMIN))
        wanted = {"onem2m-cse"}
        devices = []
        for number in range(aes):
            device = await stack.enter_async_context(Client(cse.said, cse_id="/id-edge", originator=f"Cdev{number}"))
            await device.register(f"Norg.example.dev{number}", f"dev{number}", labels=["mec:expose"])
            await device.create_container(f"-/dev{number}", "data", mni=1000)
            wanted.add(f"onem2m-ae-org.example.dev{number}")
            devices.append(device)
        settings = {
            "cse_url": cse.said,
            "cse_id": "/id-edge",
            "originator": ADMIN,
            "mep_url": f"http://127.0.0.1:{proxy.port}",
        }
        settings |= {"heartbeat_s": heartbeat_s, **adapter}
        await stack.enter_async_context(Process("adapter", settings))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        world = World(platform, proxy, operator, Load(devices[0], "-/dev0/data", rate), session, heartbeat_s, wanted)
        if await world.until_right(60.0) is None:
            raise RuntimeError("the registry did not become right at all")
        yield world


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.trust.mec_faults", description=__doc__)
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only these (repeat); default: all")
    parser.add_argument("--outage", type=float, default=6.0, metavar="S", help="how long each fault lasts")
    parser.add_argument("--heartbeat", type=int, default=2, metavar="S", help="heartbeat interval")
    parser.add_argument("--baseline", type=float, default=3.0, metavar="S", help="how long is measured before")
    parser.add_argument("--aes", type=int, default=3, help="AEs that are shown to MEC")
    parser.add_argument("--rate", type=float, default=50.0, help="oneM2M requests per second")
    return parser.parse_args()


def quick(heartbeat_s: int) -> dict[str, Any]:
    """Settings of an adapter whose timers stand to the heartbeat interval as they do by default."""
    share = heartbeat_s / 30.0
    return {"audit_s": 30 * share, "poll_s": 30 * share, "discovery_s": 5 * share, "timeout_s": max(0.5, 5 * share)}


async def _main(chosen: argparse.Namespace, tell: Callable[[str], None]) -> bool:
    """Measure what was chosen; returns whether the registry was always right in time."""
    good = True
    heartbeat_s = chosen.heartbeat
    async with running_world(heartbeat_s=heartbeat_s, aes=chosen.aes, rate=chosen.rate, **quick(heartbeat_s)) as world:
        tell(HEADING)
        for fault in chosen.fault or FAULTS:
            figures = await world.suffer(fault, chosen.outage, chosen.baseline)
            tell(figures.line())
            good = good and figures.right_s is not None and not figures.failed
            if figures.right_s is None:
                late = await world.until_right(10 * heartbeat_s)
                tell(
                    f"{'':22} right after {2 * heartbeat_s + late:.1f} s"
                    if late is not None
                    else f"{'':22} never right"
                )
    return good


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(_main(arguments(), lambda line: print(line, flush=True))) else 1)
