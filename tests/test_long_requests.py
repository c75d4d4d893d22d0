"""While one request looks at many resources, others are answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cse.app import Cse
from cse.client import Client
from cse.config import CseConfig
from cse.onem2m.primitives import Operation, Request

MANY = 3000


def request(operation: Operation, to: str, **fields: Any) -> Request:
    return Request(operation, to, "CAdmin", "r", release="3", **fields)


async def test_a_search_over_thousands_keeps_nobody_waiting(tmp_path: Path) -> None:
    cse = Cse(CseConfig(http="127.0.0.1:0", insecure_dev=True, admin=("CAdmin",), store=f"sqlite:///{tmp_path}/c.db"))
    await cse.start()
    try:
        await cse.serve(request(Operation.CREATE, "cse-in", resource_type=3, content={"m2m:cnt": {"rn": "c"}}))
        instance = request(Operation.CREATE, "cse-in/c", resource_type=4, content={"m2m:cin": {"con": "1"}})
        await asyncio.gather(*(cse.serve(instance) for _ in range(MANY)))
        order: list[str] = []

        async def ask(name: str, asked: Request) -> Any:
            answer = await cse.serve(asked)
            order.append(name)
            return answer.content

        nothing = {"fu": 1, "ty": [4], "sza": 2}
        small = request(Operation.RETRIEVE, "cse-in/c/la")
        found, *_ = await asyncio.gather(
            ask("search", request(Operation.RETRIEVE, "cse-in", filter=nothing)),
            *(ask("small", small) for _ in range(5)),
        )
        assert found == {"m2m:uril": []}
        assert order == ["small"] * 5 + ["search"]
        async with Client(cse.addresses()["http"], originator="CAdmin") as client:
            assert len(await client.discover("-/c", types=[4])) == MANY
            assert len([one async for one in client.instances("-/c", page=300)]) == MANY
    finally:
        await cse.stop(1.0)
