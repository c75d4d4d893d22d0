"""The cloud sync is killed at every step between edge, outbox and cloud: each instance arrives once (docs/adr/0008)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.mec.adapter_fixtures import contents, running_adapter, until
from tests.mec.crashing_adapter import COMMIT, STEPS
from tests.mec.test_cloud_sync import COPY, Site, site

__all__ = ["site"]

#: steps of which the first call in a life is the one that counts: they come once
ONCE = frozenset({"Outbox.adopt", "EdgeSource.subscribe", "CloudTarget.build"})
LIVES = [f"{when} {step} {1 if step in ONCE else 2}" for step in (*STEPS, COMMIT) for when in ("before", "after")]

pytestmark = pytest.mark.kill


class Crashing:
    """Adapters that die where they are told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def live(self, words: str) -> None:
        """One life, until it has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{words}\n".encode())
        try:
            async with asyncio.timeout(30):
                said = (await self._process.stdout.readline()).decode().strip()
        except TimeoutError:
            pytest.fail(f"{words}: it never came to that step")
        assert said == "died", words


@asynccontextmanager
async def crashing(site: Site, **sync: float) -> AsyncIterator[Crashing]:
    """Adapters on one outbox for the time of a block."""
    settings = {"ae_probe_s": 0, **site.settings(**sync), "discovery_s": 0.05}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.mec.crashing_adapter", json.dumps(settings)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"ready\n"
        yield Crashing(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
        if process.returncode is None:
            process.kill()
            await process.wait()


class Device:
    """Posts all the time, to a container that is there from the start and to the newest."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._task: asyncio.Task[None] | None = None
        self.names = ["always"]
        self.sent = 0

    async def __aenter__(self) -> Device:
        await self._site.containers("always")
        self._task = asyncio.create_task(self._post())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def add(self) -> None:
        """Another container."""
        name = f"c{len(self.names)}"
        await self._site.device.create_container("-/dev", name, lbl=["sync:cloud"])
        self.names.append(name)

    async def _post(self) -> None:
        while True:
            for name in {"always", self.names[-1]}:
                self.sent += 1
                await self._site.device.post(f"-/dev/{name}", f"{name} {self.sent}", rcn=0)
            await asyncio.sleep(0.01)


async def test_a_kill_at_each_step_loses_and_doubles_nothing(site: Site) -> None:
    async with crashing(site) as adapters, Device(site) as device:
        for words in LIVES:
            await device.add()
            await adapters.live(words)
        await device.add()
        await until(lambda before=device.sent: device.sent > before + 5)  # type: ignore[misc]
    async with running_adapter(**site.settings()) as adapter:
        await site.settled(*device.names, timeout_s=60)
        assert adapter.status().sync.refused == adapter.status().sync.dropped == 0
    print(f"killed at {len(LIVES)} steps, {device.sent} instances in {len(device.names)} containers: each there once")


async def test_control_without_names_that_tell_a_repeat_one_is_doubled(site: Site) -> None:
    async with crashing(site) as adapters, Device(site) as device:
        await adapters.live("random after CloudTarget.create 2")
        await adapters.live("random after CloudTarget.create 2")
    there = await contents(site.cloud, f"{COPY}/dev/always")
    assert len(there) > len(set(map(str, there))), f"nothing was doubled in {device.sent}: the test sees nothing"
