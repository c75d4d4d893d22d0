"""The journal of moves: every step is kept by both CSEs, and a CSE that keeps none stops no move."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cse.client import Client
from mec_adapter.handover import Edge, Handover, edge_of, journal_of
from mec_adapter.handover_journal import JOURNAL, Journal, Phase
from mec_adapter.handover_plan import Outcome
from tests.mec.adapter_fixtures import ADMIN, contents, running_cse


@pytest.fixture
async def edges() -> AsyncIterator[tuple[Edge, Edge]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for side in ("a", "b"):
            cse = await stack.enter_async_context(running_cse("MN", id=f"/id-{side}", name=f"cse-{side}"))
            url = cse.addresses()["http"]
            found.append(await edge_of(await stack.enter_async_context(Client(url, originator=ADMIN)), url))
        yield found[0], found[1]


async def steps(edge: Edge) -> list[dict[str, Any]]:
    return [json.loads(one) for one in await contents(edge.client, f"-/{JOURNAL}")]


async def test_both_cses_keep_the_phases_and_the_measured_gap(edges: tuple[Edge, Edge]) -> None:
    async with Client(edges[0].url, originator="Cdev") as device:
        await device.register("Ndev", "dev")
        await device.create_container("-/dev", "data")
        await device.post("-/dev/data", "1")
    journal = journal_of(*edges)
    outcomes = await Handover(*edges, journal=journal).run(["Cdev", "Cnobody"])
    await journal.close()
    assert [bool(one.trouble) for one in outcomes] == [False, True]

    source, target = await steps(edges[0]), await steps(edges[1])
    assert source == target
    moved = [one for one in source if one["aeId"] == "Cdev"]
    assert [one["phase"] for one in moved] == [
        Phase.PREPARING,
        Phase.PREPARED,
        Phase.SWITCHING,
        Phase.CLEANING,
        Phase.MOVED,
    ]
    assert len({one["move"] for one in moved}) == 1
    assert {(one["from"], one["to"]) for one in moved} == {("/id-a", "/id-b")}
    assert moved[-1]["attach_s"] == pytest.approx(outcomes[0].attach_s, abs=1e-6)
    assert moved[-1]["copied"] == 1
    failed = [one for one in source if one["aeId"] == "Cnobody"]
    assert [one["phase"] for one in failed] == [Phase.PREPARING, Phase.FAILED]
    assert failed[-1]["trouble"] == outcomes[1].trouble


async def test_a_cse_that_refuses_the_journal_stops_nothing(edges: tuple[Edge, Edge]) -> None:
    async with Client(edges[0].url, originator="Cstranger") as stranger:
        await stranger.register("Nother", "other")
        journal = Journal({"/id-a": stranger, "/id-b": edges[1].client}, "/id-a", "/id-b")
        journal.note("Cdev", Phase.PREPARING)
        journal.note("Cdev", Phase.FAILED, Outcome("Cdev", trouble="it does not"))
        async with asyncio.timeout(15):
            await journal.close()
    assert [one["phase"] for one in await steps(edges[1])] == ["PREPARING", "FAILED"]
    assert JOURNAL not in [one.rpartition("/")[2] for one in await edges[0].client.discover("-", types=[3])]
