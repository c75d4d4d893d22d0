"""Three running CSEs over HTTP (IN, MN, MN in a chain): announcements, transit, S-stems, requests served later."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cse.app import Cse
from cse.config import CseConfig
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import CseType


class Chain:
    """``/id-in``, below it ``/id-a``, below that ``/id-b``."""

    def __init__(self) -> None:
        self.cses: dict[str, Cse] = {}
        self._count = 0

    async def start(self, stack: contextlib.AsyncExitStack, name: str, registrar: str) -> None:
        above = self.cses.get(f"/id-{registrar}")
        cse = Cse(
            CseConfig(
                type=CseType.MN if above else CseType.IN,
                id=f"/id-{name}",
                name=f"cse-{name}",
                http="127.0.0.1:0",
                registrar=above.addresses()["http"] if above else "",
                registrar_id=f"/id-{registrar}" if above else "/id-in",
                insecure_dev=True,
                admin=("CAdmin",),
                request_timeout_s=3.0,
            )
        )
        await cse.start()
        stack.push_async_callback(cse.stop, 0.5)
        self.cses[f"/id-{name}"] = cse
        if cse.registration is not None:
            await asyncio.wait_for(cse.registration.registered.wait(), 10)

    async def ask(
        self, cse_id: str, operation: Operation, to: str, originator: str = "CAdmin", **more: Any
    ) -> Response:
        self._count += 1
        return await self.cses[cse_id].serve(Request(operation, to, originator, f"q{self._count}", release="3", **more))

    async def create(self, cse_id: str, to: str, ty: int, content: Any, originator: str = "CAdmin") -> Any:
        answer = await self.ask(cse_id, Operation.CREATE, to, originator, resource_type=ty, content=content)
        assert answer.status is Status.CREATED, answer.content
        return next(iter(answer.content.values()))


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    made = Chain()
    async with contextlib.AsyncExitStack() as stack:
        for name, registrar in (("in", ""), ("a", "in"), ("b", "a")):
            await made.start(stack, name, registrar)
        yield made


async def test_the_top_knows_the_way_down(chain: Chain) -> None:
    answer = await chain.ask("/id-in", Operation.RETRIEVE, "cse-in/id-a")
    assert answer.content["m2m:csr"]["dcse"] == ["/id-b"]
    await chain.create("/id-b", "cse-b", 3, {"m2m:cnt": {"rn": "c"}})
    answer = await chain.ask("/id-in", Operation.RETRIEVE, "/id-b/cse-b/c")
    assert answer.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE  # asked and answered two hops away


async def test_announced_over_two_hops_and_withdrawn(chain: Chain) -> None:
    original = await chain.create("/id-b", "cse-b", 3, {"m2m:cnt": {"rn": "c", "at": ["/id-in"], "lbl": ["x"]}})
    (address,) = original["at"]
    answer = await chain.ask("/id-in", Operation.RETRIEVE, address)
    assert answer.content["m2m:cntA"]["lnk"] == f"/id-b/{original['ri']}"
    await chain.ask("/id-b", Operation.UPDATE, "cse-b/c", content={"m2m:cnt": {"lbl": ["y"]}})
    answer = await chain.ask("/id-in", Operation.RETRIEVE, address)
    assert answer.content["m2m:cntA"]["lbl"] == ["y"]
    assert (await chain.ask("/id-b", Operation.DELETE, "cse-b/c")).status is Status.DELETED
    assert (await chain.ask("/id-in", Operation.RETRIEVE, address)).status is Status.NOT_FOUND


async def test_an_s_stem_comes_from_the_top(chain: Chain) -> None:
    body = {"m2m:ae": {"rn": "ae", "api": "Nx", "rr": True, "srv": ["3"]}}
    shown = await chain.create("/id-b", "cse-b", 2, body, "S")
    announced = await chain.ask("/id-in", Operation.RETRIEVE, shown["aei"])
    assert announced.content["m2m:aeA"]["lnk"] == "/id-b/cse-b/ae"


async def test_a_request_is_served_after_its_answer(chain: Chain) -> None:
    answer = await chain.ask("/id-in", Operation.RETRIEVE, "cse-in", response_type=1)
    assert answer.status is Status.ACCEPTED_NONBLOCKING_SYNC
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        result = (await chain.ask("/id-in", Operation.RETRIEVE, answer.content["m2m:uri"])).content["m2m:req"]
        if result["rs"] != 3:
            break
        await asyncio.sleep(0)
    assert (result["rs"], result["ors"]["rsc"]) == (1, 2000)


async def test_a_blocking_request_waits_for_its_execution_time(chain: Chain) -> None:
    began = time.monotonic()
    answer = await chain.ask("/id-in", Operation.RETRIEVE, "cse-in", execution_time=300)
    assert answer.status is Status.OK
    assert time.monotonic() - began >= 0.29
