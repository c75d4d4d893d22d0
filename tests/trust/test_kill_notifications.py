"""kill -9 with notifications on their way: each that an acknowledged create causes arrives (docs/adr/0027; R1, R8).

The subscription keeps nothing itself (no pendingNotification). A notification may come twice, then with the same rqi.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.mec.adapter_fixtures import until
from tests.trust.test_kill import Load, Victim, create

KILLS = 2
#: how long the target thinks about each, in seconds: so some are always on their way
PAUSE_S = 0.004
LIMIT_S = 60.0
BODY = {"m2m:ae": {"rn": "load", "api": "Nload", "rr": False, "srv": ["3"]}}

pytestmark = pytest.mark.kill


class Target:
    """Takes notifications: names of instances, and the request identifiers under which each came."""

    def __init__(self) -> None:
        self.told: defaultdict[str, set[str]] = defaultdict(set)
        self.order: list[str] = []
        self.repeats = 0
        self.url = ""
        #: set when one comes
        self.came = asyncio.Event()

    def in_order(self) -> bool:
        """Whether the instances of each client came in the order in which it made them."""
        last: dict[str, int] = {}
        for name in self.order:
            client, _, number = name.rpartition("-")
            if int(number) <= last.get(client, 0):
                return False
            last[client] = int(number)
        return True

    async def take(self, request: web.Request) -> web.Response:
        """A notification."""
        body = (await request.json())["m2m:sgn"]
        identifier = request.headers["X-M2M-RI"]
        if "nev" in body:
            await asyncio.sleep(PAUSE_S)
            name = body["nev"]["rep"]["m2m:cin"]["rn"]
            self.repeats += identifier in self.told[name]
            if name not in self.told:
                self.order.append(name)
            self.told[name].add(identifier)
            self.came.set()
        return web.Response(headers={"X-M2M-RSC": "2000", "X-M2M-RI": identifier, "X-M2M-RVI": "3"})


@asynccontextmanager
async def listening() -> AsyncIterator[Target]:
    """A target on a port of its own."""
    target = Target()
    app = web.Application()
    app.router.add_post("/", target.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    target.url = f"http://{host}:{port}/"
    try:
        yield target
    finally:
        await runner.cleanup()


async def kills(victim: Victim, target: Target, seed: int, count: int) -> tuple[set[str], int]:
    """Kill as often as asked while notifications wait; gives what was acknowledged, and how many were on their way."""
    victim.start()
    await create(victim, "cse-in", 2, BODY)
    acknowledged: set[str] = set()
    under_way = 0
    for number in range(count):
        container = f"cse-in/load/round{number}"
        await create(victim, "cse-in/load", 3, {"m2m:cnt": {"rn": f"round{number}"}})
        subscription = {"rn": "s", "nu": [target.url], "enc": {"net": [3]}, "nct": 1}
        await create(victim, container, 23, {"m2m:sub": subscription})
        load = Load(victim, container, seed + number, prefix=f"k{number}-")
        driving = asyncio.create_task(load.run())
        await load.enough.wait()
        await asyncio.sleep(random.Random(seed + number).uniform(0.0, 0.2))
        victim.kill()
        await driving
        made = set(load.created) | load.deleted
        acknowledged |= made
        under_way += len(made - target.told.keys())
        await asyncio.to_thread(victim.start)
    return acknowledged, under_way


async def arrived(target: Target, acknowledged: set[str], limit_s: float) -> set[str]:
    """Wait for what was acknowledged; gives what did not come."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while acknowledged - target.told.keys():
                target.came.clear()
                await target.came.wait()
    return acknowledged - target.told.keys()


def kept(path: Path) -> int:
    """How many notifications the store keeps."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_every_acknowledged_create_is_told_though_the_cse_is_killed(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if store == "postgresql" else f"sqlite:///{tmp_path}/cse.db"
    seed = random.randrange(1 << 30)
    victim = Victim(str(url))
    async with listening() as target:
        try:
            acknowledged, under_way = await kills(victim, target, seed, KILLS)
            missing = await arrived(target, acknowledged, LIMIT_S)
            if store == "sqlite":
                await until(lambda: kept(tmp_path / "cse.db") == 0, LIMIT_S, "what was delivered is kept for ever")
        finally:
            victim.kill()
        print(
            f"{store}: {KILLS} kills, {len(acknowledged)} creates acknowledged, {under_way} notifications on their way "
            f"then, {len(missing)} lost, {target.repeats} came again, seed {seed}"
        )
        assert under_way > 10, "too few were on their way to mean anything"
        assert missing == set(), f"seed {seed}"
        assert target.in_order()
        assert {len(identifiers) for identifiers in target.told.values()} == {1}, "a repeat has the same rqi"


async def test_control_without_the_outbox_some_are_lost(tmp_path: Path) -> None:
    victim = Victim(tmp_path / "cse.db", broken="forgetful")
    async with listening() as target:
        try:
            acknowledged, _ = await kills(victim, target, 1, 1)
            # nothing is on its way after the start, so there is nothing to wait for but what was sent before
            missing = await arrived(target, acknowledged, 2.0)
        finally:
            victim.kill()
        print(f"control: {len(acknowledged)} creates acknowledged, {len(missing)} notifications lost")
        assert missing, "a CSE that forgets what is to be sent lost nothing: the test sees nothing"
