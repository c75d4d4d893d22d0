"""The device in examples/ does what it says, as a process of its own, over every binding."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from cse.app import Cse
from cse.client import Client
from tests.devices.conftest import Site

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("binding", ["http", "coap", "mqtt"])
async def test_the_example_posts_and_obeys(cse: Cse, site: Site, binding: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "ignore",
        str(ROOT / "examples/my_device.py"),
        site.urls[binding],
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        async with Client(site.urls["http"], originator="CAdmin") as admin, asyncio.timeout(20):
            while not await admin.discover("-", types=[23]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await admin.post("-/my-device/command", "faster")
            assert await process.stdout.readline() == b"told: faster\n"
            before = len(await site.contents("-/my-device/data"))
            while len(await site.contents("-/my-device/data")) < before + 5:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
