"""The shell minds the timers of the core: it wakes when one is due, also after a restart (``cse.core.timers``)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from cse.app import Cse
from cse.config import CseConfig
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp

PATH = "cse-in/series"


def _cse(folder: Path) -> Cse:
    return Cse(
        CseConfig(
            id="/id-in",
            name="cse-in",
            http="127.0.0.1:0",
            coap="",
            mqtt="",
            store=f"sqlite:///{folder}/cse.db",
            insecure_dev=True,
            admin=("CAdmin",),
        )
    )


async def _ask(cse: Cse, operation: Operation, to: str, **fields: Any) -> Response:
    return await cse.serve(Request(operation, to, "CAdmin", "r", release="3", **fields))


async def _missing(cse: Cse, least: int) -> int:
    """Wait until this many points are missing; gives how many are."""
    async with asyncio.timeout(10):
        while True:
            answer = await _ask(cse, Operation.RETRIEVE, PATH)
            assert isinstance(answer.content, dict)
            count: int = answer.content["m2m:ts"].get("mdc", 0)
            if count >= least:
                return count
            await asyncio.sleep(0.01)


async def test_missing_data_is_detected_in_a_running_cse_and_after_a_restart(tmp_path: Path) -> None:
    cse = _cse(tmp_path)
    await cse.start()
    try:
        series = {"m2m:ts": {"rn": "series", "mdd": True, "pei": 100, "peid": 10, "mdt": 20}}
        created = await _ask(cse, Operation.CREATE, "cse-in", resource_type=29, content=series)
        assert created.status is Status.CREATED, created.content
        instance = {"m2m:tsi": {"dgt": format_timestamp(time.time()), "con": "x"}}
        posted = await _ask(cse, Operation.CREATE, PATH, resource_type=30, content=instance)
        assert posted.status is Status.CREATED, posted.content
        before = await _missing(cse, 2)
    finally:
        await cse.stop()
    cse = _cse(tmp_path)
    await cse.start()
    try:
        assert await _missing(cse, before + 2) > before
    finally:
        await cse.stop()
