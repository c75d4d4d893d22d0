"""The adapter with platforms that do things their own way, and as the commands an operator types."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from cse.app import Cse
from cse.client import Client
from mec_adapter.mapping import onem2m_of
from mec_adapter.mp1.tokens import Credentials
from mec_adapter.platform.config import HeartbeatPolicy
from tests.brokers import free_port
from tests.mec.adapter_fixtures import running_adapter, running_cse, until
from tests.mec.conftest import Mep, running
from tests.onemec import processes
from tests.trust.mec_faults import FaultProxy, Message

ADMIN_TOKEN = "a-long-enough-admin-token"


@pytest.fixture
async def edge() -> AsyncIterator[Cse]:
    async with running_cse("MN") as cse:
        yield cse


async def ae(stack: AsyncExitStack, edge: Cse, name: str, *labels: str, **attributes: Any) -> Client:
    url = edge.addresses()["http"]
    client = await stack.enter_async_context(Client(url, cse_id="/id-edge", originator=f"S{name}"))
    await client.register(f"Norg.example.{name}", name, labels=labels, **attributes)
    return client


async def services(mep: Mep, **query: str) -> list[dict[str, Any]]:
    return list((await mep.get("/mec_service_mgmt/v1/services", params=query)).body)


async def names(mep: Mep) -> list[str]:
    return sorted(service["serName"] for service in await services(mep))


async def names_are(mep: Mep, *wanted: str) -> bool:
    return await names(mep) == sorted(wanted)


# --- ids, callbacks, heartbeats, tokens -----------------------------------------------------------------------------


class ChoosesIds(FaultProxy):
    """A platform that takes no proposal for an appInstanceId."""

    async def _answer(self, request: Message) -> Message | None:
        registers = request.first.startswith("POST ") and "/registrations " in request.first
        if registers and "appInstanceId" in json.loads(request.body):
            body = json.dumps({"status": 400, "detail": "the platform gives the appInstanceId"}).encode()
            return Message("HTTP/1.1 400 Bad Request", {"content-type": "application/problem+json"}, body)
        return await super()._answer(request)


@pytest.mark.behaviour("MAP-3.04")
async def test_a_platform_that_chooses_ids_is_told_the_identity_and_recognised_after_a_restart(
    mep: Mep, edge: Cse
) -> None:
    async with AsyncExitStack() as stack:
        await ae(stack, edge, "gw", "mec:expose")
        proxy = await stack.enter_async_context(ChoosesIds(int(mep.url.rpartition(":")[2])))
        settings = {"cse_url": edge.addresses()["http"], "mep_url": f"http://127.0.0.1:{proxy.port}"}
        seen = []
        for _ in range(2):
            async with running_adapter(**settings, deregister_when_stopping=False) as adapter:
                await until(lambda: names_are(mep, "onem2m-cse", "onem2m-ae-org.example.gw"))
                await until(lambda: [one for one in adapter.status().exposed if one.phase == "SERVING"])
                app_id = adapter.status().exposed[0].app_instance_id
                (service,) = await services(mep, ser_name="onem2m-ae-org.example.gw")
                assert onem2m_of(service)["identity"] != app_id
                seen.append((adapter.status().app_instance_id, app_id, service["serInstanceId"]))
        assert seen[0] == seen[1]
        assert mep.platform.documents.count("app") == 2


@pytest.mark.behaviour("MAP-6.04")
async def test_a_platform_that_refuses_our_callbacks_is_polled(edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        mep = await stack.enter_async_context(running(callback_networks=("203.0.113.0/24",)))
        adapter = await stack.enter_async_context(running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url))
        await until(lambda: adapter.status().mp1 == "SERVING")
        await mep.service(await mep.app(), serName="polled")
        await until(lambda: adapter.status().mirrored == 1)
        assert adapter.status().trouble == ""


@pytest.mark.behaviour("MAP-6.05")
async def test_a_service_somebody_made_inactive_is_active_again_after_the_next_heartbeat(mep: Mep, edge: Cse) -> None:
    async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url, audit_s=60.0) as adapter:
        await until(lambda: adapter.status().mp1 == "SERVING")
        (service,) = await services(mep)
        path = f"/mec_service_mgmt/v1/applications/{adapter.status().app_instance_id}/services"
        body = {key: value for key, value in service.items() if key not in ("_links", "isLocal")}
        assert (await mep.put(f"{path}/{service['serInstanceId']}", {**body, "state": "INACTIVE"})).status == 200

        async def active() -> bool:
            return [one["state"] for one in await services(mep)] == ["ACTIVE"]

        await until(active)


@pytest.mark.behaviour("MAP-6.05")
async def test_the_interval_the_platform_demands_is_kept(edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        mep = await stack.enter_async_context(running(heartbeat=HeartbeatPolicy(min_interval_s=2)))
        settings = {"cse_url": edge.addresses()["http"], "mep_url": mep.url, "heartbeat_s": 1}
        adapter = await stack.enter_async_context(running_adapter(**settings))
        await until(lambda: adapter.status().mp1 == "SERVING")
        (service,) = await services(mep)
        assert service["livenessInterval"] == 2
        beats = set()
        end = time.monotonic() + 4.0
        while time.monotonic() < end:
            shown = (await mep.get(service["_links"]["liveness"]["href"])).body["timeStamp"]
            beats.add((shown["seconds"], shown["nanoSeconds"]))
            await asyncio.sleep(0.1)
        assert 2 <= len(beats) <= 6  # one in 1.2 s; with an interval of 1 s there would be one in 0.6 s
        assert (await services(mep))[0]["state"] == "ACTIVE"


@pytest.mark.behaviour("MAP-6.06")
async def test_tokens_that_expire_are_renewed_and_heartbeats_go_on(edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        mep = await stack.enter_async_context(running(insecure_dev=False, admin_token=ADMIN_TOKEN, token_lifetime_s=1))
        mep.headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        made = (await mep.post("/mep/v1/clients", {"name": "adapter"})).body
        secret = made.get("clientSecret") or made["client_secret"]
        login = Credentials(f"{mep.url}/mep/v1/oauth2/token", made.get("clientId") or made["client_id"], secret)
        settings = {"cse_url": edge.addresses()["http"], "mep_url": mep.url, "credentials": login}
        adapter = await stack.enter_async_context(running_adapter(**settings))
        await until(lambda: adapter.status().mp1 == "SERVING")
        service_id = adapter.status().services[0].id
        await asyncio.sleep(4.0)  # four lives of a token, and more than the silence that suspends
        assert adapter.status().trouble == ""
        assert adapter.status().services[0].id == service_id
        records = mep.platform.registry.services.of_app(adapter.status().app_instance_id)
        assert [record["info"]["state"] for record in records] == ["ACTIVE"]


# --- what is exposed ------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("MAP-1.04")
@pytest.mark.parametrize(
    ("settings", "exposed"),
    [
        ({}, ["flagged"]),
        ({"expose_api": ("Norg.example.cam*",)}, ["flagged", "cam1"]),
        ({"expose": "all"}, ["flagged", "cam1", "quiet"]),
        ({"expose": "none"}, []),
    ],
)
async def test_which_aes_are_exposed(mep: Mep, edge: Cse, settings: dict[str, Any], exposed: list[str]) -> None:
    async with AsyncExitStack() as stack:
        await ae(stack, edge, "flagged", "mec:expose")
        await ae(stack, edge, "cam1")
        await ae(stack, edge, "quiet")
        adapter = await stack.enter_async_context(
            running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url, **settings)
        )
        wanted = ["onem2m-cse", *(f"onem2m-ae-org.example.{name}" for name in exposed)]
        await until(lambda: names_are(mep, *wanted))
        await until(lambda: adapter.status().mp1 == "SERVING")
        await asyncio.sleep(0.3)
        assert await names_are(mep, *wanted)


@pytest.mark.behaviour("MAP-6.14")
async def test_services_stay_active_when_the_cloud_is_away(mep: Mep, edge: Cse, tmp_path: Path) -> None:
    sync = {"cloud_url": f"http://127.0.0.1:{free_port()}", "outbox": str(tmp_path / "outbox.db")}
    settings = {"cse_url": edge.addresses()["http"], "mep_url": mep.url, "sync": sync}
    async with AsyncExitStack() as stack:
        client = await ae(stack, edge, "gw")
        await client.create_container("-/gw", "data", lbl=["sync:cloud"])
        await client.post("-/gw/data", "1")
        adapter = await stack.enter_async_context(running_adapter(**settings))
        await until(lambda: adapter.status().mp1 == "SERVING" and adapter.status().sync.cloud == "down")
        await asyncio.sleep(0.5)
        assert [service["state"] for service in await services(mep)] == ["ACTIVE"]


@pytest.mark.behaviour("MAP-6.07")
async def test_why_the_platform_does_not_take_an_ae_is_said_and_the_ae_does_not_notice(mep: Mep, edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy(int(mep.url.rpartition(":")[2])))
        settings = {"cse_url": edge.addresses()["http"], "mep_url": f"http://127.0.0.1:{proxy.port}"}
        adapter = await stack.enter_async_context(running_adapter(**settings))
        await until(lambda: adapter.status().mp1 == "SERVING")
        await proxy.begin("status-500")
        client = await ae(stack, edge, "gw", "mec:expose")  # 2001, whatever the platform says
        await client.create_container("-/gw", "data")
        await until(lambda: [one for one in adapter.status().exposed if "a fault was asked for" in one.trouble])
        await proxy.end()
        await until(lambda: [one for one in adapter.status().exposed if one.state == "ACTIVE" and not one.trouble])


# --- at the command line --------------------------------------------------------------------------------------------


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.stack
@pytest.mark.behaviour("MAP-6.01", "MAP-2.17")
def test_mec_011_and_mec_033_registration_from_the_command_line(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    mep, cse, adapter = (f"http://127.0.0.1:{port}" for port in ports)
    poa = ["--poa", cse, "--poa", "mqtt://192.0.2.6:1883"]
    own = ["--listen", adapter.removeprefix("http://"), "--heartbeat", "1", "--discovery", "200ms"]
    with (
        processes.running(tmp_path, "mep", "--http", mep.removeprefix("http://"), "--insecure-dev") as platform,
        processes.running(
            tmp_path, "cse", "--type", "MN", "--id", "/id-edge", "--name", "cse-edge", "--insecure-dev",
            "--http", cse.removeprefix("http://"), "--no-ws", "--admin", "CAdmin", *poa,
        ) as edge,
    ):  # fmt: skip
        platform.wait_ready()
        edge.wait_ready()
        words = ["adapter", "--cse", cse, "--mep", mep, "--originator", "CAdmin", *own]
        with processes.running(tmp_path, *words, MEC_APP_INSTANCE_ID="") as command:
            command.wait_ready()
            command.wait_until(lambda: get(f"{adapter}/status")["mp1"] == "SERVING")
            shown = get(f"{mep}/mec_service_mgmt/v1/services?ser_category_id=oneM2M-CSE")
            assert sorted(one["serName"] for one in shown) == ["onem2m-cse", "onem2m-cse-mqtt"]
            (known,) = get(f"{mep}/iots/v1/registered_iot_platforms")
            assert known["iotPlatformId"] == onem2m_of(shown[0])["iotPlatformId"]
            command.process.terminate()
            assert command.process.wait(timeout=30) == 0
        assert get(f"{mep}/mec_service_mgmt/v1/services") == []
        assert get(f"{mep}/iots/v1/registered_iot_platforms") == []
        with processes.running(tmp_path, *words, "--no-callbacks", MEC_APP_INSTANCE_ID="given-id") as command:
            command.wait_ready()
            command.wait_until(lambda: get(f"{adapter}/status")["app_instance_id"] == "given-id")
