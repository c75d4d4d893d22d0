"""The example MEC application as a process of its own: from the registry alone to the data of devices."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from cse.client import Client
from mec_adapter.platform.events import SERVICE_SUBSCRIPTION
from tests.mec.adapter_fixtures import running_adapter, running_cse, until
from tests.mec.conftest import Mep

EXAMPLE = Path(__file__).parents[2] / "examples" / "mec_app.py"


async def test_it_waits_for_a_cse_then_receives_everything_once(mep: Mep) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), "--mep", mep.url, stdout=asyncio.subprocess.PIPE, cwd=EXAMPLE.parents[1]
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            lines.append(line.decode().strip())

    reading = asyncio.create_task(read())
    try:
        await until(lambda: mep.platform.documents.every(SERVICE_SUBSCRIPTION))
        async with running_cse("MN") as edge:
            url = edge.addresses()["http"]
            async with Client(url, cse_id="/id-edge", originator="Cdev") as device:
                await device.register("Ndev", "dev")
                rules = [{"acor": ["all"], "acop": 63}]
                policy = await device.create("-/dev", 1, {"rn": "open", "pv": {"acr": rules}, "pvs": {"acr": rules}})
                await device.create_container("-/dev", "data", acpi=[policy["ri"]])
                await device.post("-/dev/data", "early")
                async with running_adapter(cse_url=url, mep_url=mep.url):
                    await until(lambda: any('"ADDED"' in line for line in lines), what=str(lines))
                    await until(lambda: any('"early"' in line for line in lines))
                    for count in range(20):
                        await device.post("-/dev/data", f"late {count}")
                    await until(lambda: sum('"rn"' in line for line in lines) == 21, what=str(lines))
        told = [json.loads(line) for line in lines if '"rn"' in line]
        assert [entry["con"] for entry in told] == ["early", *(f"late {count}" for count in range(20))]
        assert {entry["container"] for entry in told} == {"cse-edge/dev/data"}
        os.kill(process.pid, signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        await reading


def test_it_is_short_enough_to_read() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 100
