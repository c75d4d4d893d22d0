"""The cloud sync between real CSEs: exactly once, in order, whatever dies or is cut; and what it cannot copy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.primitives import Request, Response
from cse.onem2m.status import Status
from mec_adapter.outbox import Item, Outbox, OutboxError
from mec_adapter.sync_source import SUBSCRIPTION_NAME, EdgeSource
from mec_adapter.sync_target import item_of
from tests.brokers import free_port
from tests.mec.adapter_fixtures import (
    ADMIN,
    ChaosProxy,
    Process,
    contents,
    cse_settings,
    running_adapter,
    running_cse,
    until,
)

COPY = "-/sync-id-edge/id-edge"


class Site:
    """An edge CSE and a cloud CSE, a device that posts, and eyes at both."""

    def __init__(self, edge_url: str, cloud_url: str, outbox: Path) -> None:
        self.edge_url, self.cloud_url, self.outbox = edge_url, cloud_url, outbox
        self.edge = Client(edge_url, cse_id="/id-edge", originator=ADMIN, timeout_s=3.0)
        self.cloud = Client(cloud_url, cse_id="/id-in", originator=ADMIN, timeout_s=3.0)
        self.device = Client(edge_url, cse_id="/id-edge", originator="Cdev", timeout_s=3.0)

    def settings(self, **sync: Any) -> dict[str, Any]:
        """Settings of an adapter that syncs and has no MEC platform."""
        cloud = {"cloud_url": self.cloud_url, "outbox": str(self.outbox), "audit_s": 1.0, **sync}
        return {
            "cse_url": self.edge_url,
            "cse_id": "/id-edge",
            "originator": ADMIN,
            "mep_url": "",
            "discovery_s": 0.2,
            "timeout_s": 1.0,
            "sync": cloud,
        }

    async def containers(self, *names: str) -> None:
        """Register the device with containers that are to be copied."""
        await self.device.register("Ndev", "dev")
        for name in names:
            await self.device.create_container("-/dev", name, lbl=["sync:cloud"])

    async def copied(self, name: str, count: int) -> bool:
        """Whether the cloud has this many instances of a container."""
        try:
            return int((await self.cloud.retrieve(f"{COPY}/dev/{name}"))["cni"]) >= count
        except (RequestFailed, Unreachable):
            return False

    async def same(self, *names: str) -> None:
        """Edge and cloud hold the same instances in the same order.

        Raises:
            AssertionError: they do not.
        """
        for name in names:
            there, here = await contents(self.cloud, f"{COPY}/dev/{name}"), await contents(self.edge, f"-/dev/{name}")
            assert len(there) == len(set(map(str, there))), f"{name}: duplicates at the cloud"
            assert there == here

    async def settled(self, *names: str, timeout_s: float = 30.0) -> None:
        """Wait until the cloud has as many instances as the edge; then they must be the same."""
        for name in names:
            count = int((await self.edge.retrieve(f"-/dev/{name}"))["cni"])
            await until(partial(self.copied, name, count), timeout_s, f"{name}: {count} copied")
        await self.same(*names)

    async def close(self) -> None:
        """Close the clients."""
        for client in (self.edge, self.cloud, self.device):
            await client.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Both CSEs in this process."""
    async with running_cse("MN") as edge, running_cse("IN") as cloud:
        found = Site(edge.addresses()["http"], cloud.addresses()["http"], tmp_path / "outbox.db")
        yield found
        await found.close()


# --- what is copied ---------------------------------------------------------------------------------------------


async def test_history_and_news_arrive_once_in_order_with_their_structure(site: Site) -> None:
    await site.containers("data")
    await site.device.post("-/dev/data", "before")
    async with running_adapter(**site.settings()) as adapter:
        await until(lambda: site.copied("data", 1))
        for count in range(30):
            await site.device.post("-/dev/data", str(count))
        await site.settled("data")
        status = adapter.status().sync
        assert (status.pending, status.forwarded, status.cloud) == (0, 31, "up")
        assert [container.path for container in status.containers] == ["cse-edge/dev/data"]


async def test_content_format_labels_and_time_are_kept(site: Site) -> None:
    await site.containers("data")
    original = await site.device.post(
        "-/dev/data", {"t": 21.5, "ok": True}, cnf="application/json:0", lbl=["room:1"], name="first"
    )
    async with running_adapter(**site.settings()):
        await until(lambda: site.copied("data", 1))
    copy = await site.cloud.latest(f"{COPY}/dev/data")
    assert copy["con"] == {"t": 21.5, "ok": True}
    assert copy["cnf"] == "application/json:0"
    assert copy["lbl"] == ["room:1", "origin:/id-edge/cse-edge/dev/data/first", f"origin-ct:{original['ct']}"]
    assert "origin:/id-edge/cse-edge/dev" in (await site.cloud.retrieve(f"{COPY}/dev"))["lbl"]


async def test_only_chosen_containers_are_copied_and_new_ones_are_found(site: Site) -> None:
    await site.containers("data")
    await site.device.create_container("-/dev", "private")
    await site.device.post("-/dev/private", "secret")
    async with running_adapter(**site.settings(paths=["cse-edge/dev/room-*"])):
        await site.device.post("-/dev/data", "1")
        await until(lambda: site.copied("data", 1))
        await site.device.create_container("-/dev", "room-7")
        await site.device.create_container("-/dev/room-7", "sub", lbl=["sync:cloud"])
        await site.device.post("-/dev/room-7", "2")
        await site.device.post("-/dev/room-7/sub", "3")
        await until(lambda: site.copied("room-7", 1))
        await until(lambda: site.copied("room-7/sub", 1))
        with pytest.raises(RequestFailed):
            await site.cloud.retrieve(f"{COPY}/dev/private")


async def test_no_administrator_is_needed_where_devices_let_others_read(site: Site) -> None:
    """Reading and subscribing (as the devices' policies grant it) is all the sync asks for."""
    await site.device.register("Ndev", "dev")
    own = [{"acor": ["Cdev"], "acop": 63}]
    rules = [*own, {"acor": ["all"], "acop": 34}, {"acor": ["all"], "acop": 1, "acod": [{"chty": [23]}]}]
    policy = await site.device.create("-/dev", 1, {"rn": "open", "pv": {"acr": rules}, "pvs": {"acr": own}})
    await site.device.update("-/dev", 2, {"acpi": [policy["ri"]]})
    await site.device.create_container("-/dev", "data", lbl=["sync:cloud"], acpi=[policy["ri"]])
    await site.device.create_container("-/dev", "shut", lbl=["sync:cloud"])
    settings = {**site.settings(), "originator": "Cmec-adapter"}
    for first in (True, False):
        async with running_adapter(**settings):
            for count in range(5):
                await site.device.post("-/dev/data", f"{first} {count}")
            await site.settled("data")
            await until(lambda: subscriptions(site.edge, "-/dev/data"))
            assert await subscriptions(site.edge, "-/dev/data") == 1


async def subscriptions(client: Client, container: str) -> int:
    return len(await client.discover(container, types=[23]))


async def test_many_containers_at_once(site: Site) -> None:
    names = [f"c{number}" for number in range(12)]
    await site.containers(*names)

    async def post(name: str) -> None:
        for count in range(25):
            await site.device.post(f"-/dev/{name}", f"{name}.{count}", rcn=0)

    async with running_adapter(**site.settings()):
        await asyncio.gather(*map(post, names))
        await site.settled(*names)


async def test_a_container_that_is_made_again_is_copied_again(site: Site) -> None:
    await site.containers("data")
    async with running_adapter(**site.settings()):
        await site.device.post("-/dev/data", "old")
        await until(lambda: site.copied("data", 1))
        await site.device.delete("-/dev/data")
        await site.device.create_container("-/dev", "data", lbl=["sync:cloud"])
        await site.device.post("-/dev/data", "old")
        await site.device.post("-/dev/data", "new")
        await until(lambda: site.copied("data", 3))
        assert await contents(site.cloud, f"{COPY}/dev/data") == ["old", "old", "new"]


# --- what can be lost on the way --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["refuse", "blackhole", "lose-answer", "random"])
async def test_a_bad_link_to_the_cloud_loses_and_doubles_nothing(site: Site, mode: str) -> None:
    await site.containers("a", "b")
    async with ChaosProxy(int(site.cloud_url.rpartition(":")[2])) as proxy:
        settings = site.settings(cloud_url=proxy.url)
        async with running_adapter(**settings) as adapter:
            await site.device.post("-/dev/a", "first")
            await until(lambda: site.copied("a", 1))
            proxy.mode = mode
            for count in range(40):
                await site.device.post("-/dev/a", f"a{count}", rcn=0)
                await site.device.post("-/dev/b", f"b{count}", rcn=0)
            if mode != "random":
                await until(lambda: adapter.status().sync.cloud == "down")
                assert adapter.status().sync.pending > 0
                assert adapter.status().sync.oldest_pending_s > 0
                assert adapter.status().sync.trouble
            else:
                await until(lambda: proxy.lost_answers >= 3)
            proxy.mode = "pass"
            await site.settled("a", "b")
            assert mode not in ("lose-answer", "random") or proxy.lost_answers > 0


async def test_what_comes_while_the_adapter_is_away_is_caught_up_with(site: Site) -> None:
    await site.containers("data")
    async with running_adapter(**site.settings()):
        await site.device.post("-/dev/data", "1")
        await until(lambda: site.copied("data", 1))
    for count in range(450):
        await site.device.post("-/dev/data", f"away {count}", rcn=0)
    async with running_adapter(**site.settings(page=100)) as adapter:
        await site.settled("data")
        assert adapter.status().sync.forwarded == 451


async def test_a_lost_subscription_is_made_again_and_its_gap_closed(site: Site) -> None:
    await site.containers("data")
    async with running_adapter(**site.settings()):
        await site.device.post("-/dev/data", "1")
        await until(lambda: site.copied("data", 1))
        await site.edge.delete(f"-/dev/data/{SUBSCRIPTION_NAME}")
        await site.device.post("-/dev/data", "2")
        await until(lambda: site.copied("data", 2))
        await until(lambda: exists(site.edge, f"-/dev/data/{SUBSCRIPTION_NAME}"))
        await site.device.post("-/dev/data", "3")
        await site.settled("data")


async def exists(client: Client, address: str) -> bool:
    try:
        await client.retrieve(address)
    except RequestFailed:
        return False
    return True


async def test_a_cloud_that_lost_our_tree_gets_it_again(site: Site) -> None:
    await site.containers("data")
    async with running_adapter(**site.settings()):
        await site.device.post("-/dev/data", "1")
        await until(lambda: site.copied("data", 1))
        await site.cloud.delete("-/sync-id-edge")
        await site.device.post("-/dev/data", "2")
        await until(lambda: site.copied("data", 1))
        assert await contents(site.cloud, f"{COPY}/dev/data") == ["2"]


async def test_a_lost_outbox_doubles_nothing(site: Site, tmp_path: Path) -> None:
    await site.containers("data")
    for count in range(20):
        await site.device.post("-/dev/data", str(count))
    async with running_adapter(**site.settings()):
        await site.settled("data")
    async with running_adapter(**site.settings(outbox=str(tmp_path / "another.db"))) as adapter:
        await until(lambda: adapter.status().sync.forwarded == 20)
        await site.same("data")


@pytest.mark.kill
@pytest.mark.parametrize("victim", ["adapter", "edge", "cloud"])
async def test_kill_9_under_load_loses_and_doubles_nothing(victim: str, tmp_path: Path) -> None:
    """The audit is the device's: every answer 2001 it got must be at the cloud, once, in its order."""
    ports = {"edge": free_port(), "cloud": free_port()}
    kinds = {"edge": "MN", "cloud": "IN"}
    stack = AsyncExitStack()
    async with stack:
        running: dict[str, Process] = {}
        for name, port in ports.items():
            store = f"sqlite:///{tmp_path}/{name}.db"
            settings = cse_settings(kinds[name], http=f"127.0.0.1:{port}", store=store)
            running[name] = await stack.enter_async_context(Process("cse", settings))
        edge_url, cloud_url = (f"http://127.0.0.1:{port}" for port in ports.values())
        site = Site(edge_url, cloud_url, tmp_path / "outbox.db")
        stack.push_async_callback(site.close)
        await site.containers("a", "b")
        running["adapter"] = await stack.enter_async_context(Process("adapter", site.settings()))
        acknowledged: dict[str, list[str]] = {"a": [], "b": []}
        done = asyncio.Event()

        async def post(name: str) -> None:
            count = 0
            while not done.is_set():
                count += 1
                content = f"{name}{count}"
                try:
                    await site.device.post(f"-/dev/{name}", content, rcn=0)
                except (Unreachable, RequestFailed):
                    await asyncio.sleep(0.02)
                else:
                    acknowledged[name].append(content)

        posting = [asyncio.create_task(post(name)) for name in acknowledged]
        for _ in range(4):
            before = sum(map(len, acknowledged.values()))
            await asyncio.sleep(0.7)
            assert sum(map(len, acknowledged.values())) - before > 20, "too little load to mean anything"
            await running[victim].kill()
            await running[victim].start()
        await asyncio.sleep(0.3)
        done.set()
        await asyncio.gather(*posting)
        for name, sent in acknowledged.items():
            await site.settled(name, timeout_s=60)
            there = await contents(site.cloud, f"{COPY}/dev/{name}")
            known = set(sent)
            assert [content for content in there if content in known] == sent


# --- what cannot be copied ----------------------------------------------------------------------------------------


async def test_an_instance_the_cloud_never_takes_is_put_aside_and_the_rest_goes_on(site: Site) -> None:
    await site.containers("data")
    async with running_adapter(**site.settings()) as adapter:
        await site.device.post("-/dev/data", "1")
        await until(lambda: site.copied("data", 1))
        await site.cloud.update(f"{COPY}/dev/data", 3, {"mbs": 50})
        await site.device.post("-/dev/data", "x" * 100)
        await site.device.post("-/dev/data", "3")
        await until(lambda: adapter.status().sync.refused == 1)
        await until(lambda: site.copied("data", 2))
        assert await contents(site.cloud, f"{COPY}/dev/data") == ["1", "3"]


async def test_a_full_outbox_pauses_and_loses_nothing(site: Site) -> None:
    await site.containers("data")
    async with ChaosProxy(int(site.cloud_url.rpartition(":")[2])) as proxy:
        settings = site.settings(cloud_url=proxy.url, max_outbox_bytes=5000, page=10)
        async with running_adapter(**settings) as adapter:
            await site.device.post("-/dev/data", "first")
            await until(lambda: site.copied("data", 1))
            proxy.mode = "refuse"
            for count in range(100):
                await site.device.post("-/dev/data", f"{count}" + "." * 200, rcn=0)
            await until(lambda: adapter.status().sync.paused)
            assert adapter.status().sync.outbox_bytes < 2 * 5000
            proxy.mode = "pass"
            await site.settled("data")
            assert not adapter.status().sync.paused
            assert adapter.status().sync.dropped == 0


async def test_a_full_outbox_drops_the_oldest_when_told_to_and_counts_them(site: Site) -> None:
    await site.containers("data")
    async with ChaosProxy(int(site.cloud_url.rpartition(":")[2])) as proxy:
        settings = site.settings(cloud_url=proxy.url, max_outbox_bytes=5000, when_full="drop-oldest", page=10)
        async with running_adapter(**settings) as adapter:
            proxy.mode = "refuse"
            for count in range(100):
                await site.device.post("-/dev/data", f"{count}" + "." * 200, rcn=0)
            await until(lambda: adapter.status().sync.dropped > 50)
            proxy.mode = "pass"
            await until(lambda: adapter.status().sync.pending == 0 and adapter.status().sync.forwarded > 0)
            there = await contents(site.cloud, f"{COPY}/dev/data")
            assert there == (await contents(site.edge, "-/dev/data"))[-len(there) :]
            assert len(there) + adapter.status().sync.dropped == 100


# --- parts ------------------------------------------------------------------------------------------------------


def item(tag: int) -> Item:
    return Item(tag, f"{tag}-name", b"{}", float(tag))


async def test_the_outbox_keeps_order_and_knows_its_cursor_after_a_restart(tmp_path: Path) -> None:
    outbox = Outbox(str(tmp_path / "o.db"))
    cursor = await outbox.adopt("ri", "cse/dev/data")
    assert await outbox.store(cursor.id, [item(0), item(1)], 0) == (2, 1)
    assert await outbox.store(cursor.id, [item(5)], 5) == (1, 1), "a gap does not move the cursor"
    assert await outbox.store(cursor.id, [item(2), item(4), item(5)], 2) == (2, 5)
    assert [entry.tag for entry in await outbox.waiting(cursor.id, 4, 10)] == [0, 1, 2, 4]
    outbox.forget(cursor.id, [item(0)])
    await outbox.close()
    outbox = Outbox(str(tmp_path / "o.db"))
    (known,) = await outbox.cursors()
    assert (known.complete, known.pending, known.forwarded, known.oldest) == (5, 4, 1, 1.0)
    await outbox.close()


async def test_an_outbox_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="name a writable file"):
        Outbox(str(tmp_path / "missing" / "o.db"))


async def test_an_outbox_that_cannot_be_written_keeps_nothing_of_it(tmp_path: Path) -> None:
    outbox = Outbox(str(tmp_path / "o.db"))
    cursor = await outbox.adopt("ri", "cse/dev/data")
    outbox._db.execute("PRAGMA query_only = ON")
    with pytest.raises(OutboxError):
        await outbox.store(cursor.id, [item(0)], 0)
    outbox._db.execute("PRAGMA query_only = OFF")
    (known,) = await outbox.cursors()
    assert (known.complete, known.pending) == (-1, 0)
    await outbox.close()


INSTANCE = {"ri": "i1-1", "rn": "i1-1", "st": 3, "ct": "20260101T000000,0", "con": "21", "cnf": "text/plain:0"}


@given(st.sampled_from(["ri", "ct", "con", "cnf"]), st.text(min_size=1))
def test_the_name_at_the_cloud_tells_instances_apart(key: str, value: str) -> None:
    first, again = item_of("/e", "c1", "cse/a", INSTANCE), item_of("/e", "c1", "cse/a", dict(INSTANCE))
    other = item_of("/e", "c1", "cse/a", {**INSTANCE, key: value})
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.name == again.name
    assert (first.name == other.name) == (INSTANCE[key] == value)
    assert item_of("/e2", "c1", "cse/a", INSTANCE).name != first.name  # type: ignore[union-attr]
    assert item_of("/e", "c2", "cse/a", INSTANCE).name != first.name  # type: ignore[union-attr]


def test_an_instance_without_state_tag_cannot_be_ordered() -> None:
    assert item_of("/e", "c1", "cse/a", {key: INSTANCE[key] for key in INSTANCE if key != "st"}) is None


class NewestFirst(Client):
    """A CSE of another make that lists newest first and in parts."""

    async def request(self, request: Request, *, timeout_s: float | None = None) -> Response:
        criteria = request.filter or {}
        matching = [{"st": tag, "con": tag} for tag in range(25, 0, -1) if tag >= criteria["stb"]]
        first = criteria.get("ofst", 1) - 1
        page = matching[first : first + criteria["lim"]]
        return Response(Status.OK, content={"m2m:cnt": {"ri": "c1", "m2m:cin": page}})


async def test_a_cse_that_lists_newest_first_is_listed_to_the_end() -> None:
    source = EdgeSource(NewestFirst("http://127.0.0.1:1"), "http://127.0.0.1:2", [], [])
    page = await source.newer("cse/a", 4, 10)
    assert [entry["st"] for entry in page.instances] == list(range(4, 26))
    assert not page.more


async def test_the_cloud_drains_faster_than_devices_fill(site: Site) -> None:
    """What gathered while the link was cut goes at least twice as fast as 50 devices at one per second add."""
    await site.containers("a", "b", "c", "d")
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(ChaosProxy(int(site.cloud_url.rpartition(":")[2])))
        adapter = await stack.enter_async_context(running_adapter(**site.settings(cloud_url=proxy.url)))
        await site.device.post("-/dev/a", "first")
        await until(lambda: site.copied("a", 1))
        proxy.mode = "refuse"
        for count in range(100):
            for name in "abcd":
                await site.device.post(f"-/dev/{name}", f"{name}{count}", rcn=0)
        await until(lambda: adapter.status().sync.pending == 400)
        proxy.mode = "pass"
        await until(lambda: adapter.status().sync.cloud == "up")
        began, waiting = time.monotonic(), adapter.status().sync.pending
        await until(lambda: adapter.status().sync.pending == 0)
        rate = waiting / (time.monotonic() - began)
        assert rate > 100
        await site.same("a", "b", "c", "d")
