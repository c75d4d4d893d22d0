"""kill -9 under load: nothing that was acknowledged is lost, nothing half-done is left (trust.md R1, R11; TP-01).

The long run: `ONEMEC_KILLS=200 pytest -s tests/trust/test_kill.py -k sqlite`, and the same with ONEMEC_POSTGRES_KILLS
and `-k postgresql`; about 1.6 s for each kill on two idle cores. The last line has the audit.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.brokers import free_port
from tests.trust.tally import Tally, batches

#: each batch has a database of its own
KILLS = batches("ONEMEC_KILLS", 20)
POSTGRES_KILLS = batches("ONEMEC_POSTGRES_KILLS", 6)
CLIENTS = 16
#: a round with fewer acknowledged writes says nothing
LEAST_ACKNOWLEDGED = 50
HEADERS = {"X-M2M-Origin": "Cload", "X-M2M-RVI": "3"}

pytestmark = pytest.mark.kill


class Victim:
    """A CSE process over one database.

    Args:
        path: of the SQLite file, or the URL of a store.
        broken: the promise it breaks (see ``broken_cse``), "" when it is as shipped.
    """

    def __init__(self, path: Path | str, *, broken: str = "") -> None:
        self.path = path
        self.store = path if isinstance(path, str) else f"sqlite:///{path}"
        self.broken = broken
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Start it and wait for ``ready``; gives the seconds that took."""
        command = (
            [sys.executable, "-m", "tests.trust.broken_cse", str(self.port), self.store, self.broken]
            if self.broken
            else [
                *(sys.executable, "-m", "onemec", "cse", "--http", f"127.0.0.1:{self.port}"),
                *("--store", self.store, "--insecure-dev", "--admin", "CAdmin", "--log-level", "warning"),
            ]
        )
        started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                return time.monotonic() - started
        raise AssertionError(f"the CSE did not become ready: exit code {self.process.wait()}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def digest(content: str) -> str:
    """What the audit compares."""
    return hashlib.sha256(content.encode()).hexdigest()


class Load:
    """Clients that create (and sometimes delete) instances and keep the log of what was acknowledged."""

    def __init__(self, victim: Victim, container: str, seed: int, prefix: str = "") -> None:
        self.prefix = prefix
        self.victim = victim
        self.container = container
        self.random = random.Random(seed)
        self.created: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.unsure: set[str] = set()
        #: set when the round counts
        self.enough = asyncio.Event()

    @property
    def acknowledged(self) -> int:
        """Writes that were answered with success."""
        return len(self.created) + len(self.deleted)

    async def run(self) -> None:
        """Drive until the connections break."""
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            await asyncio.gather(*(self._client(session, number) for number in range(CLIENTS)))

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        sequence = 0
        while True:
            sequence += 1
            name = f"{self.prefix}n{number}-{sequence}"
            content = f"{name} {self.random.random()}"
            self.unsure.add(name)
            if await self._post(session, name, content) != 2001:
                return
            self.unsure.discard(name)
            self.created[name] = digest(content)
            if self.acknowledged >= LEAST_ACKNOWLEDGED:
                self.enough.set()
            if sequence % 10 == 0:
                self.unsure.add(name)
                if await self._delete(session, name) != 2002:
                    return
                self.unsure.discard(name)
                del self.created[name]
                self.deleted.add(name)

    async def _post(self, session: aiohttp.ClientSession, name: str, content: str) -> int:
        body = {"m2m:cin": {"rn": name, "con": content}}
        headers = {"Content-Type": "application/json;ty=4", "X-M2M-RI": name}
        return await self._send(session.post(f"{self.victim.url}/{self.container}", json=body, headers=headers))

    async def _delete(self, session: aiohttp.ClientSession, name: str) -> int:
        headers = {"X-M2M-RI": f"d{name}"}
        return await self._send(session.delete(f"{self.victim.url}/{self.container}/{name}", headers=headers))

    async def _send(self, request: Any) -> int:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError, asyncio.TimeoutError):
            async with request as answer:
                await answer.read()
                return int(answer.headers["X-M2M-RSC"])
        return 0


async def create(victim: Victim, parent: str, ty: int, body: dict[str, Any]) -> None:
    """CREATE that must succeed."""
    headers = {**HEADERS, "Content-Type": f"application/json;ty={ty}", "X-M2M-RI": "set-up"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{victim.url}/{parent}", json=body) as answer,
    ):
        assert answer.headers["X-M2M-RSC"] in ("2001", "4117"), await answer.text()


async def audit(victim: Victim, load: Load) -> list[str]:
    """Everything that is not as the log says it must be."""
    async with aiohttp.ClientSession(headers={**HEADERS, "X-M2M-RI": "audit"}) as session:
        found: dict[str, dict[str, Any]] = {}
        offset: int | None = 1
        while offset is not None:
            query = {"rcn": "8", "ty": "4", "lim": "1000", "ofst": str(offset)}
            async with session.get(f"{victim.url}/{load.container}", params=query) as answer:
                page = (await answer.json())["m2m:cnt"].get("m2m:cin", [])
                offset = int(answer.headers["X-M2M-CTO"]) if "X-M2M-CTO" in answer.headers else None
            found.update({instance["rn"]: instance for instance in page})
        async with session.get(f"{victim.url}/{load.container}") as answer:
            container = (await answer.json())["m2m:cnt"]
    wrong = [f"lost {name}" for name in load.created if name not in found and name not in load.unsure]
    wrong += [
        f"changed {name}"
        for name, content in load.created.items()
        if name in found and digest(found[name]["con"]) != content
    ]
    wrong += [f"resurrected {name}" for name in load.deleted if name in found]
    wrong += [f"never sent {name}" for name in found if name not in load.created and name not in load.unsure]
    if container["cni"] != len(found):
        wrong.append(f"cni is {container['cni']}, there are {len(found)}")
    size = sum(instance["cs"] for instance in found.values())
    if container["cbs"] != size:
        wrong.append(f"cbs is {container['cbs']}, the contents have {size}")
    return wrong


async def one_round(victim: Victim, number: int, seed: int) -> tuple[Load, float]:
    """Load until the kill at a random moment."""
    container = f"cse-in/load/round{number}"
    await create(victim, "cse-in/load", 3, {"m2m:cnt": {"rn": f"round{number}"}})
    load = Load(victim, container, seed)
    driving = asyncio.create_task(load.run())
    await load.enough.wait()
    await asyncio.sleep(random.Random(seed).uniform(0.05, 0.6))
    victim.kill()
    await driving
    return load, victim.start()


async def kill_and_audit(victim: Victim, kills: int, seed: int) -> tuple[list[str], int, float]:
    """Kill as often as asked; gives what was wrong, the writes acknowledged and the slowest restart in seconds."""
    wrong: list[str] = []
    acknowledged, slowest_s = 0, 0.0
    victim.start()
    try:
        body = {"m2m:ae": {"rn": "load", "api": "Nload", "rr": False, "srv": ["3"]}}
        await create(victim, "cse-in", 2, body)
        for number in range(kills):
            load, seconds = await one_round(victim, number, seed + number)
            slowest_s = max(slowest_s, seconds)
            acknowledged += load.acknowledged
            wrong += await audit(victim, load)
    finally:
        victim.kill()
    return wrong, acknowledged, slowest_s


@pytest.fixture(scope="module")
def on_sqlite() -> Iterator[Tally]:
    """What the kills came to on SQLite."""
    tally = Tally("kills on SQLite")
    yield tally
    print(tally.summary())


@pytest.fixture(scope="module")
def on_postgresql() -> Iterator[Tally]:
    """What the kills came to on PostgreSQL."""
    tally = Tally("kills on PostgreSQL")
    yield tally
    print(tally.summary())


@pytest.mark.parametrize("batch", range(len(KILLS)))
async def test_no_acknowledged_write_is_lost_by_kill_9_on_sqlite(tmp_path: Path, on_sqlite: Tally, batch: int) -> None:
    seed = random.randrange(1 << 30)
    victim = Victim(f"sqlite:///{tmp_path}/cse{batch}.db")
    wrong, acknowledged, slowest_s = await kill_and_audit(victim, KILLS[batch], seed)
    on_sqlite.add(KILLS[batch], acknowledged, wrong, slowest_s, seed)
    assert wrong == [], f"seed {seed}"


async def test_control_a_cse_that_acknowledges_early_is_caught_on_sqlite(tmp_path: Path, on_sqlite: Tally) -> None:
    for attempt in range(6):
        victim = Victim(tmp_path / f"broken{attempt}.db", broken="early")
        wrong, _, _ = await kill_and_audit(victim, 2, attempt)
        lost = sum(entry.startswith("lost") for entry in wrong)
        on_sqlite.control(2, lost)
        if lost:
            return
    pytest.fail("12 kills of a CSE that acknowledges before the commit lost nothing: the test sees nothing")


@pytest.mark.parametrize("batch", range(len(POSTGRES_KILLS)))
async def test_no_acknowledged_write_is_lost_by_kill_9_on_postgresql(
    postgres_url: str, on_postgresql: Tally, batch: int
) -> None:
    seed = random.randrange(1 << 30)
    wrong, acknowledged, slowest_s = await kill_and_audit(Victim(postgres_url), POSTGRES_KILLS[batch], seed)
    on_postgresql.add(POSTGRES_KILLS[batch], acknowledged, wrong, slowest_s, seed)
    assert wrong == [], f"seed {seed}"


async def test_control_a_cse_that_acknowledges_early_is_caught_on_postgresql(
    postgres_url: str, on_postgresql: Tally
) -> None:
    for attempt in range(6):
        wrong, _, _ = await kill_and_audit(Victim(postgres_url, broken="early"), 1, attempt)
        lost = sum(entry.startswith("lost") for entry in wrong)
        on_postgresql.control(1, lost)
        if lost:
            return
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            victim = Victim(postgres_url)
            victim.start()
            try:
                headers = {"X-M2M-RI": "clear"}
                async with session.delete(f"{victim.url}/cse-in/load", headers=headers) as answer:
                    assert answer.headers["X-M2M-RSC"] == "2002"
            finally:
                victim.kill()
    pytest.fail("6 kills of a CSE that acknowledges before the commit lost nothing: the test sees nothing")
