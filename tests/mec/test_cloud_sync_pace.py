"""Busy containers are listed instead of subscribed to (docs/adr/0032): when, when no longer, without a loss."""

from __future__ import annotations

import asyncio

import pytest

from mec_adapter.app import Adapter
from mec_adapter.sync_pace import Pace, Pauses, keeps_enough
from mec_adapter.sync_source import SUBSCRIPTION_NAME
from tests.mec.adapter_fixtures import running_adapter, until
from tests.mec.test_cloud_sync import Site, exists, site
from tests.mec.test_cloud_sync_steps import Device, crashing

__all__ = ["site"]

#: what a device on this machine does at any load
BUSY_PER_S = 5.0


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Posting:
    """Posts to containers for the time of a block."""

    def __init__(self, site: Site, *names: str) -> None:
        self._site, self._names = site, names

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._post())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _post(self) -> None:
        count = 0
        while True:
            count += 1
            for name in self._names:
                await self._site.device.post(f"-/dev/{name}", f"{name} {count}", rcn=0)


async def is_subscribed(site: Site, name: str) -> bool:
    return await exists(site.edge, f"-/dev/{name}/{SUBSCRIPTION_NAME}")


async def no_more(adapter: Adapter) -> bool:
    """Whether notifications have ceased."""
    before = adapter.status().notifications["onem2m"]
    await asyncio.sleep(0.5)
    return adapter.status().notifications["onem2m"] == before


async def test_a_busy_container_is_listed_and_a_calm_one_is_subscribed_to_again(site: Site) -> None:
    await site.containers("data")
    async with running_adapter(**site.settings(busy_per_s=BUSY_PER_S, audit_s=600)) as adapter:
        await until(lambda: is_subscribed(site, "data"))
        async with Posting(site, "data"):

            async def listed() -> bool:
                return not await is_subscribed(site, "data")

            await until(listed)
            # What the edge CSE had queued still comes.
            await until(lambda: no_more(adapter))
            assert not await is_subscribed(site, "data")
            before = adapter.status().notifications["onem2m"], adapter.status().sync.forwarded
            await until(lambda: adapter.status().sync.forwarded > before[1] + 100)
            assert adapter.status().notifications["onem2m"] == before[0], "it is notified all the same"
        await site.settled("data")
        await until(lambda: is_subscribed(site, "data"))
        await site.device.post("-/dev/data", "calm")
        await site.settled("data")
        assert (adapter.status().sync.pending, adapter.status().sync.dropped) == (0, 0)


async def test_a_container_that_soon_drops_instances_keeps_its_subscription(site: Site) -> None:
    await site.device.register("Ndev", "dev")
    await site.device.create_container("-/dev", "short", lbl=["sync:cloud"], mni=100)
    await site.device.create_container("-/dev", "long", lbl=["sync:cloud"])
    async with running_adapter(**site.settings(busy_per_s=BUSY_PER_S)) as adapter:
        await until(lambda: is_subscribed(site, "short"))
        await until(lambda: is_subscribed(site, "long"))
        async with Posting(site, "short", "long"):

            async def listed() -> bool:
                return not await is_subscribed(site, "long")

            await until(listed)
            await until(lambda: adapter.status().sync.forwarded > 200)
            assert await is_subscribed(site, "short")


async def test_an_adapter_killed_while_it_lists_loses_and_doubles_nothing(site: Site) -> None:
    lives = [
        f"{when} {step}"
        for step in ("EdgeSource.unsubscribe 1", "EdgeSource.newer 4", "Outbox.store 12", "Outbox.forget 12")
        for when in ("before", "after")
    ]
    async with crashing(site, busy_per_s=BUSY_PER_S) as adapters, Device(site) as device:
        for words in lives:
            await adapters.live(words)
    async with running_adapter(**site.settings(busy_per_s=BUSY_PER_S)) as adapter:
        await site.settled(*device.names, timeout_s=60)
        assert adapter.status().sync.refused == adapter.status().sync.dropped == 0


# --- parts ------------------------------------------------------------------------------------------------------


def test_the_pace_has_two_marks_and_forgets() -> None:
    clock = Clock()
    pace = Pace(100.0, clock)
    assert (pace.is_busy, pace.is_calm) == (False, True)
    pace.took(60)
    clock.now += 0.5
    assert (pace.is_busy, pace.is_calm) == (True, False)
    pace.took(30)
    clock.now += 0.5
    assert (pace.is_busy, pace.is_calm) == (False, False), "between the marks things stay as they are"
    clock.now += 0.5
    assert (pace.is_busy, pace.is_calm) == (False, True)


def test_pauses_follow_what_listings_bring() -> None:
    pauses = Pauses()
    first = pauses.next_s
    pauses.brought(100)
    shorter = pauses.next_s
    assert shorter < first
    pauses.brought(100, is_behind=True)
    assert pauses.next_s > shorter
    for _ in range(20):
        pauses.brought(0)
    assert pauses.next_s > first
    assert pauses.is_quiet
    pauses.brought(1)
    assert not pauses.is_quiet


@pytest.mark.parametrize(
    ("container", "enough"),
    [
        ({}, True),
        ({"mni": 2000, "mia": 3600}, True),
        ({"mni": 1999}, False),
        ({"mia": 10}, False),
        ({"mbs": 10_000, "cni": 10, "cbs": 1000}, False),
        ({"mbs": 1_000_000, "cni": 10, "cbs": 1000}, True),
    ],
)
def test_which_containers_may_be_listed(container: dict[str, int], enough: bool) -> None:
    assert keeps_enough(container) is enough


async def test_a_subscription_that_is_gone_already_is_no_trouble(site: Site) -> None:
    await site.containers("data")
    async with running_adapter(**site.settings()) as adapter:
        await until(lambda: is_subscribed(site, "data"))
        source = adapter._sync._source  # type: ignore[union-attr]
        for _ in range(2):
            await source.unsubscribe("cse-edge/dev/data")
        await site.device.post("-/dev/data", "1")
        await site.settled("data")
