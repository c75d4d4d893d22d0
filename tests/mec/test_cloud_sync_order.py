"""The order at the cloud when several instances leave together and some are refused (docs/adr/0032)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cse.client import Client, Unreachable
from cse.onem2m.primitives import Request, Response
from cse.onem2m.status import Status
from mec_adapter.config import SyncConfig
from mec_adapter.link import Link
from mec_adapter.outbox import Item, Outbox
from mec_adapter.sync_container import Copied
from mec_adapter.sync_forwarding import Forwarder
from mec_adapter.sync_room import Room
from mec_adapter.sync_target import CloudTarget, item_of
from tests.mec.adapter_fixtures import ADMIN, contents, running_cse, until

PATH = "cse-edge/dev/data"
COUNT = 40


class Moody(Client):
    """Refuses some of what leaves together, as a CSE does whose limits are reached."""

    refuses: frozenset[int] = frozenset()
    together = 0

    async def request_several(
        self, requests: Sequence[Request], *, timeout_s: float | None = None
    ) -> list[Response | Unreachable]:
        self.together += len(requests)
        refused = {place for place, one in enumerate(requests) if int(one.content["m2m:cin"]["con"]) in self.refuses}
        self.refuses -= {int(one.content["m2m:cin"]["con"]) for one in requests}
        taken = [one for place, one in enumerate(requests) if place not in refused]
        answers = iter(await super().request_several(taken, timeout_s=timeout_s) if taken else [])
        return [
            Response(Status.TARGET_NOT_REACHABLE) if place in refused else next(answers)
            for place in range(len(requests))
        ]


class Cloud:
    """A cloud CSE, and who forwards to it."""

    def __init__(self, client: Moody, folder: Path) -> None:
        self.client, self._folder = client, folder
        self.target = CloudTarget(client, "sync", "/id-edge")
        self.items = [self._item(tag) for tag in range(COUNT)]

    def _item(self, tag: int) -> Item:
        instance = {"ri": f"i{tag}", "rn": f"i{tag}", "st": tag, "ct": "20260101T000000,0", "con": str(tag)}
        item = item_of("/id-edge", "c1", PATH, instance)
        assert item is not None
        return item

    async def has(self, *tags: int) -> None:
        """These instances were created before, in this order."""
        await self.target.build(PATH, ())
        await self.client.create_container("-/sync/id-edge", "dev", reuse=True)
        await self.client.create_container("-/sync/id-edge/dev", "data", reuse=True)
        for tag in tags:
            await self.target.create(PATH, self.items[tag])

    @asynccontextmanager
    async def forwarding(self, tags: range) -> AsyncIterator[None]:
        """Forward these until they are there."""
        outbox = Outbox(str(self._folder / "outbox.db"))
        await outbox.store((await outbox.adopt("c1", PATH)).id, [self.items[tag] for tag in tags], 0)
        (cursor,) = await outbox.cursors()
        copied, config = Copied(cursor), SyncConfig(retry_longest_s=0.01)
        forwarder = Forwarder(config, outbox, self.target, Link("cloud"), Room(config, outbox, {"c1": copied}))
        copied.loaded.set()
        task = asyncio.create_task(forwarder.run(copied))
        try:
            await until(lambda: copied.pending == 0)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await outbox.close()

    async def there(self) -> list[int]:
        """What the cloud has, in its order."""
        return [int(content) for content in await contents(self.client, self.target.address(PATH))]


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running_cse("IN") as cse:
        client = Moody(cse.addresses()["http"], cse_id="/id-in", originator=ADMIN)
        yield Cloud(client, tmp_path)
        await client.close()


@pytest.mark.parametrize(
    "refused", [set(), {5}, {1, 2, 3}, {3, 6, 9}, {8}, {COUNT - 1}, set(range(0, COUNT, 2))], ids=str
)
async def test_what_is_refused_in_the_middle_is_still_in_its_place(cloud: Cloud, refused: set[int]) -> None:
    cloud.client.refuses = frozenset(refused)
    await cloud.has()
    async with cloud.forwarding(range(COUNT)):
        assert await cloud.there() == list(range(COUNT))
    assert cloud.client.together > (0 if refused else COUNT // 2)


@pytest.mark.parametrize(
    ("before", "first"),
    [
        ([0, 1, 2], 0),
        ([0, 1, 2, 3], 3),
        ([0, 1, 3, 4, 5], 0),
        ([0, 1, 3, 4, 5], 2),
        ([0, 1, 3, 4, 5, 2], 0),
        ([0, 1, 3, 4, 5, 2], 2),
        ([0, 1, 3, 4, 5, 2], 3),
        ([0, 1, 4, 5, 2, 3], 3),
        ([0, 1, 3, 4, 6, 7], 2),
        ([0, 2, 4, 6, 8, 1], 0),
        ([0, 2, 4, 6, 8, 1], 2),
        ([0, 4, 6, 8, 1, 2, 3], 2),
        ([0, 4, 6, 8, 1, 2, 3], 4),
    ],
    ids=str,
)
async def test_a_kill_between_a_refusal_and_its_mending_leaves_nothing_out_of_place(
    cloud: Cloud, before: list[int], first: int
) -> None:
    await cloud.has(*before)
    async with cloud.forwarding(range(first, COUNT)):
        assert await cloud.there() == list(range(COUNT))
