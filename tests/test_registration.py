"""An MN-CSE keeps its registration: remoteCSE on both sides, again when it is lost (TS-0001 clause 10.2.2.7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cse.app import Cse
from cse.client import Client
from cse.config import load_config
from tests.brokers import free_port


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Cse]:
    """A CSE in this process until the block ends."""
    cse = Cse(load_config({"insecure_dev": True, "admin": "CAdmin", "registration_check_s": 0.1, **options}))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop()


async def remote_cses(url: str, cse_id: str) -> list[dict[str, Any]]:
    """The remoteCSEs of a CSE."""
    async with Client(url, cse_id=cse_id, originator="CAdmin") as admin:
        return [await admin.retrieve(entry) for entry in await admin.discover("-", types=[16])]


async def eventually(url: str, cse_id: str) -> dict[str, Any]:
    """The one remoteCSE of a CSE, as soon as it is there."""
    for _ in range(200):
        found = await remote_cses(url, cse_id)
        if found:
            (remote,) = found
            return remote
        await asyncio.sleep(0.05)
    raise AssertionError(f"{cse_id} has no remoteCSE")


@pytest.mark.behaviour("PR-03.2.07")
async def test_both_sides_know_each_other_and_the_in_cse() -> None:
    port = free_port()
    registrar = f"http://127.0.0.1:{port}"
    async with (
        running(http=f"127.0.0.1:{port}") as infra,
        running(type="MN", id="/id-mn", name="cse-mn", http="127.0.0.1:0", registrar=registrar) as middle,
    ):
        there = await eventually(registrar, "/id-in")
        assert (there["csi"], there["cb"], there["spi"]) == ("/id-mn", "/id-mn/cse-mn", infra.config.sp_id)
        assert middle.addresses()["http"] in there["poa"]
        own = middle.addresses()["http"]
        here = await eventually(own, "/id-mn")
        assert (here["csi"], here["cb"], here["cst"]) == ("/id-in", "/id-in/cse-in", 1)
        assert here["poa"][0] == registrar
        async with Client(own, cse_id="/id-mn", originator="CAdmin") as admin:
            assert (await admin.cse_base())["ici"] == "/id-in"


@pytest.mark.behaviour("PR-03.2.07")
async def test_a_lost_registration_is_made_again() -> None:
    port = free_port()
    registrar = f"http://127.0.0.1:{port}"
    async with (
        running(http=f"127.0.0.1:{port}"),
        running(type="MN", id="/id-mn", name="cse-mn", http="127.0.0.1:0", registrar=registrar),
    ):
        first = await eventually(registrar, "/id-in")
        async with Client(registrar, cse_id="/id-in", originator="CAdmin") as admin:
            await admin.delete("cse-in/id-mn")
        second = await eventually(registrar, "/id-in")
        assert second["csi"] == "/id-mn"
        assert second["ri"] != first["ri"]


@pytest.mark.behaviour("PR-03.2.07")
async def test_a_registrar_that_comes_late_or_comes_back_empty_gets_the_registration() -> None:
    port = free_port()
    registrar = f"http://127.0.0.1:{port}"
    async with running(type="MN", id="/id-mn", name="cse-mn", http="127.0.0.1:0", registrar=registrar):
        for _ in range(2):
            async with running(http=f"127.0.0.1:{port}"):
                assert (await eventually(registrar, "/id-in"))["csi"] == "/id-mn"
