"""Two edge CSEs with an adapter each and one platform: whose is the MEC identity of an AE that both know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from cse.app import Cse
from cse.client import Client
from mec_adapter.app import Adapter
from mec_adapter.handover import Handover, edge_of
from mec_adapter.lifecycle import Phase
from mec_adapter.mapping import onem2m_of
from mec_adapter.registration import newer_elsewhere
from tests.mec.adapter_fixtures import ADMIN, running_adapter, running_cse, until
from tests.mec.conftest import Mep

SERVICE = "onem2m-ae-org.example.dev"
POA = ("mqtt://192.0.2.6:1883",)


@dataclass
class Site:
    """An edge CSE with its adapter."""

    name: str
    cse: Cse
    adapter: Adapter

    @property
    def cse_id(self) -> str:
        return f"/id-{self.name}"


@dataclass
class World:
    """Two sites and the platform of both."""

    a: Site
    b: Site
    mep: Mep
    stack: AsyncExitStack

    async def register(self, site: Site) -> Client:
        """An AE ``Sdev`` that keeps its identity wherever it is."""
        url = site.cse.addresses()["http"]
        client = await self.stack.enter_async_context(Client(url, cse_id=site.cse_id, originator="Sdev"))
        await client.register("Norg.example.dev", "dev", labels=["mec:expose"])
        return client

    async def shown(self) -> list[dict[str, Any]]:
        return list((await self.mep.get("/mec_service_mgmt/v1/services", params={"ser_name": SERVICE})).body)

    async def is_at(self, site: Site) -> bool:
        """Whether the registry has exactly one service of the AE, ACTIVE and at this site."""
        found = await self.shown()
        return [(service["state"], onem2m_of(service)["cseId"]) for service in found] == [("ACTIVE", site.cse_id)]

    async def is_nowhere(self) -> bool:
        return await self.shown() == []


async def _world(mep: Mep, stack: AsyncExitStack, mode: str) -> World:
    sites = []
    for name in ("a", "b"):
        cse = await stack.enter_async_context(running_cse("MN", id=f"/id-{name}", name=f"cse-{name}", poa=POA))
        settings = {"cse_url": cse.addresses()["http"], "cse_id": f"/id-{name}", "mep_url": mep.url, "ae_mode": mode}
        sites.append(Site(name, cse, await stack.enter_async_context(running_adapter(**settings))))
    await until(lambda: all(site.adapter.status().mp1 == "SERVING" for site in sites))
    return World(sites[0], sites[1], mep, stack)


@pytest.fixture
async def world(mep: Mep) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield await _world(mep, stack, "app")


def phase(site: Site) -> str:
    exposed = site.adapter.status().exposed
    return exposed[0].phase if exposed else ""


@pytest.mark.behaviour("MAP-8.04", "MAP-8.05")
async def test_the_identity_of_an_ae_that_moved_survives_its_end_at_the_old_cse(world: World) -> None:
    old = await world.register(world.a)
    await until(lambda: world.is_at(world.a))
    (before,) = await world.shown()
    await world.register(world.b)
    await until(lambda: world.is_at(world.b))
    await until(lambda: phase(world.a) == Phase.YIELDED)
    await old.deregister()
    await until(lambda: not world.a.adapter.status().exposed)
    # The old adapter has nothing left to do; what it would have removed is looked at until its next audit is over.
    for _ in range(10):
        assert await world.is_at(world.b)
        await asyncio.sleep(0.1)
    (after,) = await world.shown()
    assert after["serInstanceId"] == before["serInstanceId"]
    await until(lambda: phase(world.b) == Phase.SERVING)


@pytest.mark.behaviour("MAP-8.04")
async def test_it_survives_also_when_the_old_adapter_has_not_looked_since(world: World) -> None:
    old = await world.register(world.a)
    await until(lambda: world.is_at(world.a))
    await world.register(world.b)
    await until(lambda: world.is_at(world.b))
    await old.deregister()  # at once: the old adapter may not know of the move yet
    await until(lambda: not world.a.adapter.status().exposed)
    await until(lambda: world.is_at(world.b))
    await asyncio.sleep(0.5)
    assert await world.is_at(world.b)
    assert world.mep.platform.documents.count("app") == 3


@pytest.mark.behaviour("MAP-8.04", "MAP-8.05")
async def test_a_handover_takes_the_identity_along(world: World) -> None:
    device = await world.register(world.a)
    await device.create_container("-/dev", "data")
    await until(lambda: world.is_at(world.a))
    await until(lambda: phase(world.a) == Phase.SERVING)
    before = world.a.adapter.status().exposed[0].app_instance_id
    edges = []
    for site in (world.a, world.b):
        url = site.cse.addresses()["http"]
        operator = await world.stack.enter_async_context(Client(url, cse_id=site.cse_id, originator=ADMIN))
        edges.append(await edge_of(operator, url))
    (outcome,) = await Handover(*edges).run(["Sdev"])
    assert outcome.trouble == ""
    await until(lambda: world.is_at(world.b))
    await until(lambda: not world.a.adapter.status().exposed and phase(world.b) == Phase.SERVING)
    assert world.b.adapter.status().exposed[0].app_instance_id == before
    for _ in range(10):  # longer than an audit of the old adapter
        assert await world.is_at(world.b)
        await asyncio.sleep(0.1)


@pytest.mark.behaviour("MAP-8.04")
async def test_an_older_registration_takes_over_when_the_newer_ends(world: World) -> None:
    await world.register(world.a)
    await until(lambda: world.is_at(world.a))
    newer = await world.register(world.b)
    await until(lambda: world.is_at(world.b))
    await until(lambda: phase(world.a) == Phase.YIELDED)
    await newer.deregister()
    await until(lambda: world.is_at(world.a))
    await until(lambda: phase(world.a) == Phase.SERVING)


@pytest.mark.behaviour("MAP-8.04")
async def test_the_newest_wins_whichever_adapter_speaks_last(world: World) -> None:
    await world.register(world.a)
    await until(lambda: world.is_at(world.a))
    await world.register(world.b)
    await until(lambda: world.is_at(world.b))
    async with running_adapter(
        cse_url=world.a.cse.addresses()["http"],
        cse_id="/id-a",
        mep_url=world.mep.url,
        ae_name="mec2",
        deregister_when_stopping=False,
    ) as late:
        await until(lambda: [one for one in late.status().exposed if one.phase == Phase.YIELDED])
        assert await world.is_at(world.b)


@pytest.mark.behaviour("MAP-8.04")
async def test_stopping_the_old_adapter_leaves_what_is_another_cses(mep: Mep) -> None:
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as first:
            cse = await stack.enter_async_context(running_cse("MN", id="/id-a", name="cse-a"))
            settings = {"cse_url": cse.addresses()["http"], "cse_id": "/id-a", "mep_url": mep.url}
            old = await first.enter_async_context(running_adapter(**settings, audit_s=60.0))
            site_a = Site("a", cse, old)
            cse_b = await stack.enter_async_context(running_cse("MN", id="/id-b", name="cse-b"))
            settings = {"cse_url": cse_b.addresses()["http"], "cse_id": "/id-b", "mep_url": mep.url}
            site_b = Site("b", cse_b, await stack.enter_async_context(running_adapter(**settings)))
            world = World(site_a, site_b, mep, stack)
            await world.register(site_a)
            await until(lambda: world.is_at(site_a))
            await world.register(site_b)
            await until(lambda: world.is_at(site_b))
        assert await world.is_at(site_b)


@pytest.mark.behaviour("MAP-8.04")
async def test_services_of_the_cse_follow_the_newest_registration(mep: Mep) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(mep, stack, "service")
        old = await world.register(world.a)
        await until(lambda: world.is_at(world.a))
        newer = await world.register(world.b)
        await until(lambda: world.is_at(world.b))
        await old.deregister()
        await asyncio.sleep(0.5)
        assert await world.is_at(world.b)
        await newer.deregister()
        await until(world.is_nowhere)


@pytest.mark.behaviour("MAP-8.04")
async def test_a_device_that_moved_stays_registered(mep: Mep) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(mep, stack, "device")
        old = await world.register(world.a)
        await until(lambda: platform_of_device(mep))
        first = await platform_of_device(mep)
        await world.register(world.b)

        async def moved() -> bool:
            return await platform_of_device(mep) not in ("", first)

        await until(moved)
        await old.deregister()
        await until(lambda: not world.a.adapter.status().exposed)
        await asyncio.sleep(0.3)
        assert await moved()


async def platform_of_device(mep: Mep) -> str:
    devices = (await mep.get("/iots/v1/registered_devices")).body
    return str(devices[0]["requestedIotPlatformId"]) if devices else ""


def told(cse_id: str, at: str, identity: str = "i") -> dict[str, Any]:
    part = {"identity": identity, "cseId": cse_id, "registeredAt": at}
    return {"transportInfo": {"implSpecificInfo": {"onem2m": part}}}


@pytest.mark.parametrize(
    ("theirs", "ours", "winner"),
    [
        (told("/id-b", "20260102T000000"), told("/id-a", "20260101T000000"), "/id-b"),
        (told("/id-b", "20260101T000000"), told("/id-a", "20260102T000000"), ""),
        (told("/id-a", "20260102T000000"), told("/id-a", "20260101T000000"), ""),
        (told("/id-b", "20260102T000000", "other"), told("/id-a", "20260101T000000"), ""),
        (told("/id-b", "20260101T000000"), told("/id-a", "20260101T000000"), "/id-b"),
        (told("/id-a", "20260101T000000"), told("/id-b", "20260101T000000"), ""),
        ({}, told("/id-a", ""), ""),
        (told("/id-b", "20260101T000000"), {}, ""),
    ],
)
def test_which_registration_is_the_newest(theirs: dict[str, Any], ours: dict[str, Any], winner: str) -> None:
    assert newer_elsewhere([theirs], [ours]) == winner
