"""What the adapter tells of the MEC platform's registry, and what it says when the platform is away."""

from __future__ import annotations

from typing import Any

import aiohttp

from cse.client import Client
from tests.brokers import free_port
from tests.mec.adapter_fixtures import running_adapter, running_cse, until
from tests.mec.conftest import Mep


async def page(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/platform") as answer:
        assert answer.status == 200
        return await answer.json()


async def test_services_instances_and_subscriptions_are_told(mep: Mep) -> None:
    other = await mep.app(appName="camera", appProvider="somebody")
    async with running_cse("MN") as edge, Client(edge.addresses()["http"], originator="Cgw") as client:
        await client.register("Norg.example.gw", "gw", labels=["mec:expose"])
        async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url) as adapter:
            async with aiohttp.ClientSession() as session:

                async def exposed() -> str:
                    async with session.get(f"{adapter.url}/status") as answer:
                        listed = (await answer.json())["exposed"]
                    return str(listed[0]["app_instance_id"]) if listed and listed[0]["state"] == "ACTIVE" else ""

                await until(exposed)
                ae_app = await exposed()

            async def complete() -> bool:
                told = await page(adapter.url)
                return len(told.get("subscriptions", ())) >= 2 and any(
                    one["appInstanceId"] == ae_app for one in told["services"]
                )

            await until(complete)
            told = await page(adapter.url)
    assert told["apiRoot"] == mep.url
    assert told["trouble"] == ""
    states = {one["category"]: one["state"] for one in told["services"] if one["appInstanceId"] != ae_app}
    assert states["IoT"] == "ACTIVE"
    assert edge.addresses()["http"] in " ".join(one["endpoint"] for one in told["services"])
    apps = {one["id"]: one for one in told["apps"]}
    assert apps[other]["name"] == "camera"
    assert ae_app in apps
    assert {one["api"] for one in told["subscriptions"]} == {"mec_service_mgmt", "mec_app_support"}


async def test_a_platform_that_is_away_is_named_and_nothing_else_breaks() -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    async with running_cse("MN") as edge:
        async with running_adapter(cse_url=edge.addresses()["http"], mep_url=gone) as adapter:
            told = await page(adapter.url)
            assert told["apiRoot"] == gone
            assert "no connection" in told["trouble"]
        async with running_adapter(cse_url=edge.addresses()["http"], mep_url="") as adapter:
            assert await page(adapter.url) == {}
