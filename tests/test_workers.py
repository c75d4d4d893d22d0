"""Two workers on one PostgreSQL database are one CSE, also when one of them is killed (docs/adr/0018; R11, TP-01)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
import pytest
from aiohttp import web

from tests.brokers import free_port, stop_process
from tests.postgres import PostgresServer
from tests.trust.tally import Tally, batches

HEADERS = {"X-M2M-Origin": "Cload", "X-M2M-RVI": "3"}
#: who is killed how often; ONEMEC_WORKER_KILLS=100 is the long run, the last line has the audit
KILLS = list(zip(itertools.cycle(["leading", "following"]), batches("ONEMEC_WORKER_KILLS", 4, 2), strict=False))
#: patience with a loaded machine, in seconds
LIMIT_S = 40.0

pytestmark = pytest.mark.stack


class Workers:
    """``onemec cse --workers 2`` and what it says."""

    def __init__(self, store: str, *options: str, count: int = 2) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.doing: dict[int, str] = {}
        self.lines: list[str] = []
        self.ready = asyncio.Event()
        self._command = [
            *(sys.executable, "-m", "onemec", "cse", "--http", f"127.0.0.1:{self.port}", "--store", store),
            *("--workers", str(count), "--insecure-dev", "--admin", "CAdmin", "--log-level", "warning", *options),
        ]

    async def start(self) -> None:
        """Start them and wait for ``ready``."""
        self.process = self._begin()
        self._reading = asyncio.create_task(asyncio.to_thread(self._read, asyncio.get_running_loop()))
        try:
            await asyncio.wait_for(self.ready.wait(), 2 * LIMIT_S)
        except TimeoutError:
            pytest.fail(f"not ready: {self.lines}")

    def _begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.strip() == "ready":
                loop.call_soon_threadsafe(self.ready.set)
            if found := re.match(r"  worker (\d+) (leading|following)", line):
                self.doing[int(found[1])] = found[2]
            elif found := re.match(r"worker (\d+) ended", line):
                self.doing.pop(int(found[1]), None)

    async def stop(self) -> int:
        """End them; gives the exit code."""
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        code = await asyncio.to_thread(stop_process, self.process, 30.0)
        await self._reading
        assert not psutil.wait_procs(children, timeout=10)[1]
        return code

    def one(self, doing: str) -> int:
        """The process id of the worker that does this."""
        return next(pid for pid, now in self.doing.items() if now == doing)

    def kill(self, doing: str) -> int:
        """SIGKILL the worker that does this."""
        pid = self.one(doing)
        os.kill(pid, signal.SIGKILL)
        return pid


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    """What the kills came to."""
    counted = Tally("kills of one of two workers")
    yield counted
    print(counted.summary())


@asynccontextmanager
async def workers(store: str, *options: str, count: int = 2) -> AsyncIterator[Workers]:
    running = Workers(store, *options, count=count)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Every request on a connection of its own, so that it may come to any worker."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(headers=HEADERS, connector=connector) as made:
        yield made


async def send(
    http: aiohttp.ClientSession, method: str, url: str, ty: int = 0, body: Any = None, /, **query: str
) -> tuple[int, Any]:
    """Status and content of a request; status 0 when the connection broke."""
    headers = {"X-M2M-RI": f"r{os.urandom(6).hex()}", "Content-Type": f"application/json{f';ty={ty}' if ty else ''}"}
    try:
        async with http.request(
            method, url, headers=headers, data=orjson.dumps(body) if body else None, params=query
        ) as it:
            return int(it.headers.get("X-M2M-RSC", "0")), await it.json(content_type=None)
    except (aiohttp.ClientError, ConnectionError, TimeoutError):
        return 0, None


async def must(wanted: int, *arguments: Any, **query: str) -> Any:
    """The content of a request that must be answered with this status."""
    status, content = await send(*arguments, **query)
    assert status == wanted, content
    return content


async def set_up(http: aiohttp.ClientSession, url: str) -> str:
    """An AE and its container ``c``; gives the URL of the container."""
    await must(
        2001, http, "POST", f"{url}/cse-in", 2, {"m2m:ae": {"rn": "load", "api": "Nl", "rr": False, "srv": ["3"]}}
    )
    await must(2001, http, "POST", f"{url}/cse-in/load", 3, {"m2m:cnt": {"rn": "c"}})
    return f"{url}/cse-in/load/c"


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something other processes do."""
    deadline = asyncio.get_running_loop().time() + LIMIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[Any]]]:
    """A notification target: its URL, and what it was told.

    What comes again under the same rqi was told already: a leader may die between sending and the note of it.
    """
    told: list[Any] = []
    known: set[str] = set()

    async def answer(request: web.Request) -> web.Response:
        if request.headers["X-M2M-RI"] not in known:
            known.add(request.headers["X-M2M-RI"])
            told.append(await request.json())
        return web.Response(headers={"X-M2M-RSC": "2000", "X-M2M-RI": request.headers["X-M2M-RI"]})

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}/", told
    await runner.cleanup()


def contents(told: list[Any]) -> Counter[str]:
    """The instances in notifications, each with how often."""
    found: Counter[str] = Counter()
    for one in told:
        event = one["m2m:sgn"].get("nev")
        if event:
            found[event["rep"]["m2m:cin"]["con"]] += 1
    return found


async def test_two_workers_are_one_cse(postgres_url: str) -> None:
    """Both take connections; every write is seen at once everywhere; counters are right; each is notified once."""
    async with workers(postgres_url) as cse, session() as http, listening() as (target, told):
        container = await set_up(http, cse.url)
        sub = {"m2m:sub": {"rn": "s", "nu": [target], "enc": {"net": [3]}, "nct": 1}}
        await must(2001, http, "POST", container, 23, sub)
        before = (await must(2000, http, "GET", container))["m2m:cnt"]["st"]

        async def client(number: int) -> None:
            for sequence in range(20):
                body = {"m2m:cin": {"rn": f"n{number}-{sequence}", "con": f"{number}-{sequence}"}}
                await must(2001, http, "POST", container, 4, body)
                found = await must(2000, http, "GET", f"{container}/n{number}-{sequence}")
                assert found["m2m:cin"]["con"] == f"{number}-{sequence}"

        await asyncio.gather(*(client(number) for number in range(16)))
        shown = (await must(2000, http, "GET", container))["m2m:cnt"]
        assert (shown["cni"], shown["st"] - before) == (320, 320)
        assert shown["cbs"] == sum(len(f"{number}-{sequence}") for number in range(16) for sequence in range(20))
        await until(lambda: len(contents(told)) >= 320, "not all notifications came")
        assert set(contents(told).values()) == {1}

        kept = aiohttp.ClientSession(headers=HEADERS, connector=aiohttp.TCPConnector(limit=0))
        async with kept:
            await asyncio.gather(*(must(2000, kept, "GET", container) for _ in range(64)))
            serving = {
                pid: sum(
                    one.status == psutil.CONN_ESTABLISHED and one.laddr.port == cse.port
                    for one in psutil.Process(pid).net_connections()
                )
                for pid in cse.doing
            }
        assert all(serving.values()), serving
    assert cse.process.returncode == 0


async def test_errors_are_the_same_from_every_worker(postgres_url: str) -> None:
    async with workers(postgres_url) as cse, session() as http:
        container = await set_up(http, cse.url)
        for _ in range(12):
            assert (await send(http, "GET", f"{cse.url}/cse-in/nothing"))[0] == 4004
            assert (await send(http, "POST", container, 4, {"m2m:cin": {"x": 1}}))[0] == 4000
            assert (await send(http, "POST", f"{cse.url}/cse-in/load", 3, {"m2m:cnt": {"rn": "c"}}))[0] == 4105


async def test_websockets_and_watches_come_through_every_worker(postgres_url: str) -> None:
    async with workers(postgres_url) as cse, session() as http:
        container = await set_up(http, cse.url)
        sockets = [
            await http.ws_connect(cse.url, protocols=["oneM2M.json"], headers={"X-M2M-Origin": "Cload"})
            for _ in range(8)
        ]
        for number, socket in enumerate(sockets):
            request = {"op": 1, "to": "cse-in/load/c", "fr": "Cload", "rqi": f"w{number}", "rvi": "3", "ty": 4}
            await socket.send_json({**request, "pc": {"m2m:cin": {"con": f"w{number}"}}})
        for number, socket in enumerate(sockets):
            answer = await asyncio.wait_for(socket.receive_json(), LIMIT_S)
            assert (answer["rsc"], answer["rqi"]) == (2001, f"w{number}")
            await socket.close()
        watches = [await http.get(f"{container}?watch") for _ in range(8)]
        for watch in watches:
            assert watch.status == 200
            assert await asyncio.wait_for(watch.content.readline(), LIMIT_S) == b": watching\n"
        await must(2001, http, "POST", container, 4, {"m2m:cin": {"con": "seen"}})
        for watch in watches:
            event = b""
            while not event.startswith(b"data:"):
                event = await asyncio.wait_for(watch.content.readline(), LIMIT_S)
            assert b'"seen"' in event
            watch.close()
        pages = [await http.get(f"{cse.url}/console/api/live") for _ in range(8)]
        await must(2001, http, "POST", container, 4, {"m2m:cin": {"con": "shown"}})
        for page in pages:
            told = b""
            while b'"shown"' not in told:
                told += await asyncio.wait_for(page.content.readline(), LIMIT_S)
            assert b"event: hello" in told
            page.close()
        for _ in range(8):
            async with http.get(f"{cse.url}/cse-in/nothing?watch") as refused:
                assert refused.headers["X-M2M-RSC"] == "4004"


class Connection:
    """A connection that is kept, and the worker that has it."""

    def __init__(self, cse: Workers) -> None:
        self._http = HTTPConnection("127.0.0.1", cse.port, timeout=LIMIT_S)
        self.get("/health")
        port = self._http.sock.getsockname()[1]
        self.doing = next(
            doing
            for pid, doing in list(cse.doing.items())
            if any(one.raddr and one.raddr.port == port for one in psutil.Process(pid).net_connections())
        )

    def get(self, path: str, method: str = "GET", body: str = "") -> tuple[int, str]:
        """Status and text of an answer."""
        self._http.request(method, path, body)
        answer = self._http.getresponse()
        return answer.status, answer.read().decode()

    def metric(self, line: str) -> float:
        """The value after this name and labels in ``/metrics``."""
        status, text = self.get("/metrics")
        assert status == 200, text
        return float(next(found.rpartition(" ")[2] for found in text.splitlines() if found.startswith(line + " ")))


def both(cse: Workers) -> dict[str, Connection]:
    """A connection with each of two workers."""
    found: dict[str, Connection] = {}
    for _ in range(200):
        one = Connection(cse)
        found[one.doing] = one
        if len(found) == 2:
            return found
    pytest.fail("200 connections came to one worker")


async def test_every_worker_shows_the_numbers_of_the_whole(postgres_url: str) -> None:
    async with workers(postgres_url) as cse, session() as http:
        container = await set_up(http, cse.url)
        for number in range(30):
            await must(2001, http, "POST", container, 4, {"m2m:cin": {"con": str(number)}})

        def look() -> None:
            created = 'onemec_requests_total{binding="http",code="2001",operation="CREATE",type="4"}'
            for doing, one in both(cse).items():
                assert one.get("/health") == (200, '{"status":"up"}'), doing
                assert one.get("/ready")[0] == 200, doing
                assert one.metric(created) == 30, doing
                assert one.metric("onemec_processes") == 2, doing
                for text in map(one.get, ("/_onemec/deliveries", "/_onemec/dialects", "/console/")):
                    assert text[0] == 200, (doing, text)
                assert one.get("/_onemec/nothing")[0] == 404, doing
                assert one.get("/metrics", "POST", "x")[0] == 405, doing
                assert one.get("/console/api/nothing", "POST", "x" * (2 << 20))[0] == 413, doing
            leading, following = (psutil.Process(cse.one(doing)) for doing in ("leading", "following"))
            memory = both(cse)["following"].metric("process_resident_memory_bytes")
            assert memory > 1.2 * max(leading.memory_info().rss, following.memory_info().rss)

        await asyncio.to_thread(look)
        gone = cse.kill("leading")
        await until(
            lambda: gone not in cse.doing and sorted(cse.doing.values()) == ["following", "leading"], "nobody took over"
        )

        def look_again() -> None:
            for doing, one in both(cse).items():
                assert one.get("/ready")[0] == 200, doing
                assert one.metric("onemec_resources") > 3, doing

        await asyncio.to_thread(look_again)


class Load:
    """Clients that create named instances and note what was acknowledged."""

    def __init__(self, http: aiohttp.ClientSession, container: str) -> None:
        self.http, self.container = http, container
        self.acknowledged: set[str] = set()
        self.unsure: set[str] = set()
        self.ended = False

    async def run(self) -> None:
        """Create until told to end; a request without an answer is not repeated."""
        await asyncio.gather(*(self._client(number) for number in range(12)))

    async def _client(self, number: int) -> None:
        sequence = 0
        while not self.ended:
            sequence += 1
            name = f"n{number}-{sequence}"
            status, content = await send(self.http, "POST", self.container, 4, {"m2m:cin": {"rn": name, "con": name}})
            if status == 2001:
                self.acknowledged.add(name)
            else:
                assert status in (0, 5000), content
                self.unsure.add(name)
                await asyncio.sleep(0.05)

    async def audit(self) -> None:
        """What was acknowledged is there, once; nothing else is but what had no answer; the counters agree."""
        names: Counter[str] = Counter()
        offset = 1
        while True:
            page = await must(2000, self.http, "GET", self.container, rcn="8", ty="4", lim="1000", ofst=str(offset))
            found = page["m2m:cnt"].get("m2m:cin", [])
            names.update(one["rn"] for one in found)
            offset += len(found)
            if len(found) < 1000:
                break
        shown = (await must(2000, self.http, "GET", self.container))["m2m:cnt"]
        assert self.acknowledged - set(names) == set(), "lost"
        assert set(names) - self.acknowledged - self.unsure == set(), "never sent"
        assert set(names.values()) == {1}
        assert shown["cni"] == len(names)
        assert shown["cbs"] == sum(map(len, names))


@pytest.mark.kill
@pytest.mark.parametrize(("doing", "kills"), KILLS)
async def test_kill_9_of_one_worker_loses_and_doubles_nothing(
    postgres_url: str, doing: str, kills: int, tally: Tally
) -> None:
    async with workers(postgres_url) as cse, session() as http, listening() as (target, told):
        container = await set_up(http, cse.url)
        sub = {"m2m:sub": {"rn": "s", "nu": [target], "enc": {"net": [3]}, "nct": 1}}
        await must(2001, http, "POST", container, 23, sub)
        load = Load(http, container)
        driving = asyncio.create_task(load.run())
        slowest_s = 0.0
        for _ in range(kills):
            before = len(load.acknowledged)
            await until(lambda before=before: len(load.acknowledged) > before + 100, "no progress")  # type: ignore[misc]
            gone = cse.kill(doing)
            killed_s = asyncio.get_running_loop().time()
            before = len(load.acknowledged)
            await until(lambda before=before: len(load.acknowledged) > before + 50, "nobody took over")  # type: ignore[misc]
            took_s = asyncio.get_running_loop().time() - killed_s
            await until(lambda gone=gone: gone not in cse.doing and len(cse.doing) == 2, "not replaced")  # type: ignore[misc]
            assert sorted(cse.doing.values()) == ["following", "leading"]
            slowest_s = max(slowest_s, took_s)
        load.ended = True
        await driving
        await load.audit()
        await until(lambda: load.acknowledged <= set(contents(told)), "notifications are missing")
        assert set(contents(told).values()) == {1}, "notified twice"
        tally.add(kills, len(load.acknowledged), (), slowest_s, 0)


@pytest.mark.kill
async def test_a_timer_fires_once_though_its_worker_was_killed(postgres_url: str) -> None:
    """What expires is removed once, and told once, by the worker that leads by then."""
    async with workers(postgres_url) as cse, session() as http, listening() as (target, told):
        container = await set_up(http, cse.url)
        sub = {"m2m:sub": {"rn": "s", "nu": [target], "enc": {"net": [4]}, "nct": 1}}
        await must(2001, http, "POST", container, 23, sub)
        expires = (datetime.now(UTC) + timedelta(seconds=4)).strftime("%Y%m%dT%H%M%S")
        for number in range(5):
            body = {"m2m:cnt": {"rn": f"short{number}", "et": expires}}
            await must(2001, http, "POST", container, 3, body)
        cse.kill("leading")
        await until(lambda: sum("nev" in one["m2m:sgn"] for one in told) >= 5, "not told of what expired")
        gone = Counter(one["m2m:sgn"]["nev"]["rep"]["m2m:cnt"]["rn"] for one in told if "nev" in one["m2m:sgn"])
        assert gone == {f"short{number}": 1 for number in range(5)}
        assert (await send(http, "GET", f"{container}/short0"))[0] == 4004


@pytest.mark.kill
async def test_workers_end_with_their_parent(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # who is killed leaves its folder behind
    cse = Workers(postgres_url)
    await cse.start()
    children = [psutil.Process(pid) for pid in cse.doing]
    cse.process.kill()
    cse.process.wait()
    assert not psutil.wait_procs(children, timeout=LIMIT_S)[1]
    async with workers(postgres_url):
        pass


@pytest.mark.kill
async def test_a_crash_of_the_database_is_waited_for() -> None:
    server = PostgresServer(safe=True)
    try:
        async with workers(server.database()) as cse, session() as http:
            container = await set_up(http, cse.url)
            load = Load(http, container)
            driving = asyncio.create_task(load.run())
            for _ in range(2):
                before = len(load.acknowledged)
                await until(lambda before=before: len(load.acknowledged) > before + 50, "no progress")  # type: ignore[misc]
                server.crash()
                await asyncio.to_thread(server.start)
            before = len(load.acknowledged)
            await until(lambda: len(load.acknowledged) > before + 50, "no progress after the crash")
            load.ended = True
            await driving
            await load.audit()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--store", "sqlite:///x.db", "--workers", "2"], "--workers needs --store postgresql://"),
        (["--workers", "2"], "--workers needs --store postgresql://"),
        (["--store", "postgresql://nobody:secret@127.0.0.1:1/x", "--workers", "2"], "check the URL"),
        (["--store", "postgresql://nobody:secret@127.0.0.1:1/x"], "check the URL"),
    ],
)
def test_a_start_that_cannot_work_says_so_in_a_line(options: list[str], words: str) -> None:
    command = [sys.executable, "-m", "onemec", "cse", "--http", f"127.0.0.1:{free_port()}", *options, "--insecure-dev"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (1, 2)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("onemec: ")]
    assert words in lines[0]
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr + ended.stdout


@contextlib.contextmanager
def taken(port: int) -> Any:
    """Somebody else listens there."""
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def test_a_port_in_use_is_said_once(postgres_url: str) -> None:
    port = free_port()
    with taken(port):
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "onemec", "cse", "--http", f"127.0.0.1:{port}", "--store", postgres_url),
                *("--workers", "2", "--insecure-dev"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.count("is in use") == 1
