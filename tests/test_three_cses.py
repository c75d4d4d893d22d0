"""An IN-CSE and two MN-CSEs as processes: chain of registrations, transit, announcement, group, notification.

TS-0001 clause 6.1, 9.3.1, 10.2.2.7; the same scenarios in one process are in tests/core/test_federation.py.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cse.client import Client
from tests.brokers import free_port

pytestmark = pytest.mark.stack


@dataclass
class Chain:
    """URLs of IN <- MN1 <- MN2, and their processes."""

    infra: str
    first: str
    second: str
    processes: list[subprocess.Popen[str]]


def start(*options: str) -> subprocess.Popen[str]:
    """Start ``onemec cse`` and wait until it is ready."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "onemec",
            "cse",
            "--insecure-dev",
            "--admin",
            "CAdmin",
            "--log-level",
            "error",
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "ready":
            return process
    raise AssertionError(f"the CSE did not become ready: {options}")


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    """Three CSEs, each registered with the one before."""
    ports = [free_port() for _ in range(3)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    made = Chain(*urls, [])
    names = [("IN", "/id-in", "cse-in"), ("MN", "/id-mn1", "cse-mn1"), ("MN", "/id-mn2", "cse-mn2")]
    try:
        for index, (kind, cse_id, name) in enumerate(names):
            options = ["--type", kind, "--id", cse_id, "--name", name, "--http", f"127.0.0.1:{ports[index]}"]
            options += ["--store", f"sqlite:///{tmp_path}/{name}.db"]
            if index:
                options += ["--registrar", urls[index - 1], "--registrar-id", names[index - 1][1]]
            made.processes.append(start(*options))
        await registered(made)
        yield made
    finally:
        for process in reversed(made.processes):
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(15) for process in made.processes]
    assert codes == [0] * len(codes)


async def registered(chain: Chain) -> None:
    """Wait until the registrations have gone all the way up."""
    async with Client(chain.infra, cse_id="/id-in", originator="CAdmin") as admin:
        for _ in range(100):
            found = await admin.discover("cse-in", types=[16])
            known: list[Any] = [await admin.retrieve(entry) for entry in found]
            if any("/id-mn2" in remote.get("dcse", []) for remote in known):
                return
            await asyncio.sleep(0.1)
    raise AssertionError("the IN-CSE never heard of /id-mn2 behind /id-mn1")


ALL = {"acr": [{"acor": ["all"], "acop": 63}]}


async def open_container(url: str, cse_id: str, name: str, originator: str) -> str:
    """Register an AE with a container that everybody may use; gives its SP-relative address."""
    async with Client(url, cse_id=cse_id, originator=originator) as device:
        await device.register("Ntest", originator.lower())
        await device.create(name, "m2m:acp", {"rn": f"acp-{originator}", "pv": ALL, "pvs": ALL})
        parent = f"{name}/{originator.lower()}"
        await device.create(parent, "m2m:cnt", {"rn": "data", "acpi": [f"{name}/acp-{originator}"]})
    return f"{cse_id}/{parent}/data"


async def test_requests_pass_through_the_middle_in_both_directions(chain: Chain) -> None:
    low = await open_container(chain.second, "/id-mn2", "cse-mn2", "Cdevice")
    high = await open_container(chain.infra, "/id-in", "cse-in", "Ccloud")
    async with Client(chain.infra, cse_id="/id-in", originator="Ccloud") as cloud:
        await cloud.post(low, "down")
        assert (await cloud.latest(low))["con"] == "down"
    async with Client(chain.second, cse_id="/id-mn2", originator="Cdevice") as device:
        await device.post(high, "up")
        assert (await device.latest(high))["con"] == "up"


async def test_a_subscription_at_the_far_end_notifies_across_two_hops(chain: Chain) -> None:
    low = await open_container(chain.second, "/id-mn2", "cse-mn2", "Cdevice")
    async with Client(chain.infra, cse_id="/id-in", originator="Ccloud") as cloud:
        await cloud.register("Ntest", "cloud")
        async with await cloud.subscribe(low, name="far") as subscription:
            async with Client(chain.second, cse_id="/id-mn2", originator="Cdevice") as device:
                await device.post(low, "news")
            async with asyncio.timeout(10):
                notification = await anext(subscription)
        assert notification.resource["con"] == "news"


async def test_a_group_reaches_members_on_all_three(chain: Chain) -> None:
    members = [
        await open_container(chain.infra, "/id-in", "cse-in", "Cone"),
        await open_container(chain.first, "/id-mn1", "cse-mn1", "Ctwo"),
        await open_container(chain.second, "/id-mn2", "cse-mn2", "Cthree"),
    ]
    async with Client(chain.infra, cse_id="/id-in", originator="CAdmin") as admin:
        await admin.create("cse-in", "m2m:grp", {"rn": "all", "mnm": 5, "mid": members})
        await admin.post("cse-in/all/fopt", "fanned out")
        for member in members:
            assert (await admin.latest(member))["con"] == "fanned out"


@pytest.mark.behaviour("PR-07.2.10")
async def test_a_group_gathers_what_members_on_all_three_notify(chain: Chain) -> None:
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await told.put(await request.json())
        return web.Response(headers={"X-M2M-RSC": "2000", "X-M2M-RI": request.headers.get("X-M2M-RI", "")})

    app = web.Application()
    app.router.add_post("/aggregated", take)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    members = [
        await open_container(chain.infra, "/id-in", "cse-in", "Cone"),
        await open_container(chain.first, "/id-mn1", "cse-mn1", "Ctwo"),
        await open_container(chain.second, "/id-mn2", "cse-mn2", "Cthree"),
    ]
    try:
        async with Client(chain.infra, cse_id="/id-in", originator="CAdmin") as admin:
            group = {"rn": "all", "mnm": 5, "mid": members, "nar": {"num": 3, "dur": "PT1H"}}
            await admin.create("cse-in", "m2m:grp", group)
            url = f"http://127.0.0.1:{port}/aggregated"
            subscription = {"nu": [url], "nfu": url, "enc": {"net": [3]}}
            await admin.create("cse-in/all/fopt", "m2m:sub", subscription)
            for number, member in enumerate(members):
                await admin.post(member, str(number))
            async with asyncio.timeout(30):
                message = await told.get()
        bodies = message["m2m:agn"]["m2m:sgn"]
        assert sorted(body["nev"]["rep"]["m2m:cin"]["con"] for body in bodies) == ["0", "1", "2"]
        assert sorted(body["sur"].split("/")[1] for body in bodies) == ["id-in", "id-mn1", "id-mn2"]
        assert told.empty()
    finally:
        await runner.cleanup()


async def test_announced_resources_appear_at_the_registrar_and_go_with_their_originals(chain: Chain) -> None:
    async with Client(chain.first, cse_id="/id-mn1", originator="Cdevice") as device:
        await device.register("Ntest", "device")
        await device.create("cse-mn1/device", "m2m:cnt", {"rn": "c", "lbl": ["shown"], "at": ["/id-in"]})
        async with Client(chain.infra, cse_id="/id-in", originator="CAdmin") as admin:
            (address,) = await admin.discover("cse-in", types=[10003])
            announced = await admin.retrieve(address)
            assert announced["lbl"] == ["shown"]
            assert announced["lnk"].startswith("/id-mn1/")
            await device.delete("cse-mn1/device/c")
            assert await admin.discover("cse-in", types=[10003]) == []
