"""Who hangs up before the answer takes nothing from others: the change counts, and its subscribers hear of it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from cse.app import Cse
from cse.config import load_config
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.storage.sqlite import SqliteStore
from tests.storage.builders import Disk
from tests.test_delivery import Network


async def asked(cse: Cse, to: str, ty: int, content: Any) -> Response:
    """A CREATE that succeeds."""
    response = await cse.serve(Request(Operation.CREATE, to, "CAdmin", "r", ty, content, release="3"))
    assert response.status is Status.CREATED, response.content
    return response


async def test_a_change_is_told_though_its_originator_hung_up_while_it_was_written(tmp_path: Path) -> None:
    disk, network = Disk(), Network()
    store = SqliteStore(tmp_path / "cse.db", connect=disk.connect, ballast_bytes=0)
    cse = Cse(load_config({"http": "127.0.0.1:0", "insecure_dev": True, "admin": "CAdmin"}), store=store)
    await cse.start()
    try:
        cse._senders["http"] = network
        await asked(cse, "cse-in", 3, {"m2m:cnt": {"rn": "c"}})
        subscription = {"rn": "s", "nu": ["http://t/"], "enc": {"net": [3]}}
        await asked(cse, "cse-in/c", 23, {"m2m:sub": subscription})
        before = len(network.delivered)
        disk.gate.clear()
        writing = asyncio.create_task(asked(cse, "cse-in/c", 4, {"m2m:cin": {"con": "1"}}))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        assert len(network.delivered) == before, "nobody hears of what is not on disk"
        disk.gate.set()
        async with asyncio.timeout(15):
            while len(network.delivered) == before:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)
    finally:
        disk.gate.set()
        await cse.stop()
