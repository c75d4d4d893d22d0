"""The adapter against the real platform and the real CSE: registration, liveness, restart, termination, exposure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from cse.app import Cse
from cse.client import Client
from mec_adapter.app import Adapter
from mec_adapter.lifecycle import Phase
from mec_adapter.mapping import transport_id_of
from mec_adapter.platform.config import HeartbeatPolicy
from mec_adapter.platform.events import APP_SUBSCRIPTION, SERVICE_SUBSCRIPTION
from mec_adapter.profile import cse_app_id
from tests.brokers import free_port
from tests.mec.adapter_fixtures import (
    ADMIN,
    ChaosProxy,
    Process,
    adapter_config,
    cse_settings,
    running_adapter,
    running_cse,
    status_of,
    until,
)
from tests.mec.conftest import Mep, running
from tests.mec.test_mp1_client import peer

SERVICES = "/mec_service_mgmt/v1/services"


@pytest.fixture
async def edge() -> AsyncIterator[Cse]:
    """An edge CSE."""
    async with running_cse("MN") as cse:
        yield cse


def url_of(cse: Cse) -> str:
    return cse.addresses()["http"]


async def services(mep: Mep, **query: str) -> list[dict[str, Any]]:
    answer = await mep.get(SERVICES, params=query)
    assert answer.status == 200
    return list(answer.body)


def serving(adapter: Adapter) -> bool:
    return adapter.status().mp1 == "SERVING"


async def exposed_ae(stack: AsyncExitStack, edge: Cse, name: str = "gw", **attributes: Any) -> Client:
    client = await stack.enter_async_context(Client(url_of(edge), cse_id="/id-edge", originator=f"S{name}"))
    await client.register(f"Norg.example.{name}", name, labels=["mec:expose"], rr=True, **attributes)
    return client


# --- registration ---------------------------------------------------------------------------------------------


@pytest.mark.behaviour("MAP-1.01", "MAP-2.09")
async def test_registers_the_cse_with_a_service_that_leads_to_it(mep: Mep, edge: Cse) -> None:
    async with running_adapter(cse_url=url_of(edge), mep_url=mep.url) as adapter:
        await until(lambda: serving(adapter))
        (service,) = await services(mep, ser_category_id="oneM2M-CSE")
        assert service["serName"] == "onem2m-cse"
        assert service["state"] == "ACTIVE"
        (uri,) = service["transportInfo"]["endpoint"]["uris"]
        base, _, name = uri.rpartition("/")
        async with Client(base, cse_id="/id-edge", originator=ADMIN) as client:
            assert (await client.retrieve(name))["csi"] == "/id-edge"
        status = adapter.status()
        registration = await mep.get(f"/mec_app_support/v2/registrations/{status.app_instance_id}")
        assert registration.body["appName"] == "onem2m-edge-cse"


@pytest.mark.behaviour("MAP-1.02")
async def test_every_binding_is_a_service_of_its_own(mep: Mep) -> None:
    async with running_cse("MN", ws=True) as edge, running_adapter(cse_url=url_of(edge), mep_url=mep.url):
        await until(lambda: services_of(mep, 2))
        found = {service["serName"]: service["transportInfo"]["type"] for service in await services(mep)}
        assert found == {"onem2m-cse": "REST_HTTP", "onem2m-cse-ws": "WEBSOCKET"}


@pytest.mark.behaviour("MAP-6.17")
async def test_stopping_leaves_nothing_behind(mep: Mep, edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        await exposed_ae(stack, edge)
        async with running_adapter(cse_url=url_of(edge), mep_url=mep.url) as adapter:
            await until(lambda: serving(adapter) and [e for e in adapter.status().exposed if e.phase == "SERVING"])
            assert len(await services(mep)) == 2
            assert len(mep.platform.documents.every(APP_SUBSCRIPTION)) == 2
            assert len(mep.platform.documents.every(SERVICE_SUBSCRIPTION)) == 1
        assert await services(mep) == []
        assert mep.platform.documents.count("app") == 0
        for kind in (APP_SUBSCRIPTION, SERVICE_SUBSCRIPTION):
            assert mep.platform.documents.every(kind) == []


@pytest.mark.behaviour("MAP-6.03")
async def test_a_second_run_after_a_crash_makes_no_duplicates(mep: Mep, edge: Cse) -> None:
    settings = {"cse_url": url_of(edge), "mep_url": mep.url, "originator": ADMIN, "cse_id": "/id-edge"}
    async with Process("adapter", settings) as process:
        await until(lambda: services_of(mep, 1))
        before = await services(mep)
        await process.kill()
    async with running_adapter(cse_url=url_of(edge), mep_url=mep.url) as adapter:
        await until(lambda: serving(adapter))
        after = await services(mep)
        assert [s["serInstanceId"] for s in after] == [s["serInstanceId"] for s in before]
        links = await mep.get(f"/mec_service_mgmt/v1/applications/{adapter.status().app_instance_id}/subscriptions")
        hrefs = [entry["href"] for entry in links.body["_links"]["subscriptions"]]
        references = [(await mep.get(href)).body["callbackReference"] for href in hrefs]
        assert references == [f"{adapter.url}/mec/cse/availability"]


async def services_of(mep: Mep, count: int) -> bool:
    return len(await services(mep)) == count


async def test_an_unreachable_platform_is_said_once_and_the_iot_side_works(
    edge: Cse, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    caplog.set_level(logging.WARNING, "mec_adapter")
    async with running_adapter(cse_url=url_of(edge), mep_url=f"http://127.0.0.1:{port}") as adapter:
        await until(lambda: adapter.status().trouble)
        await until(lambda: adapter.status().cse == "up")
        async with Client(url_of(edge), cse_id="/id-edge", originator=ADMIN) as client:
            assert (await client.retrieve("-/mec"))["api"] == "Norg.edgeiot.mec-ipe"
        await asyncio.sleep(1.2)
        said = [record.message for record in caplog.records if str(port) in record.message]
        assert len(said) == 1
        async with running(port=port) as mep:
            await until(lambda: serving(adapter), 20)
            assert len(await services(mep)) == 1


async def test_an_edge_cse_that_comes_late_is_waited_for(mep: Mep) -> None:
    port = free_port()
    async with running_adapter(cse_url=f"http://127.0.0.1:{port}", mep_url=mep.url) as adapter:
        await until(lambda: adapter.status().cse == "down")
        async with running_cse("MN", http=f"127.0.0.1:{port}"):
            await until(lambda: serving(adapter))
            assert len(await services(mep)) == 1
            assert adapter.status().cse == "up"


@pytest.mark.behaviour("MAP-2.05")
async def test_services_are_inactive_while_the_cse_is_away(mep: Mep) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with running_adapter(cse_url=url, mep_url=mep.url, timeout_s=1.0) as adapter:
        async with running_cse("MN", http=f"127.0.0.1:{port}"):
            await until(lambda: serving(adapter))
        await until(lambda: state_is(mep, "INACTIVE"))
        async with running_cse("MN", http=f"127.0.0.1:{port}"):
            await until(lambda: state_is(mep, "ACTIVE"))


async def state_is(mep: Mep, state: str) -> bool:
    return [service["state"] for service in await services(mep)] == [state]


# --- liveness and restart ----------------------------------------------------------------------------------------


@pytest.mark.behaviour("MAP-6.05")
async def test_heartbeats_keep_the_service_active_and_silence_suspends_it(edge: Cse) -> None:
    async with running(heartbeat=HeartbeatPolicy(missed_intervals=2.5)) as mep:
        settings = {
            "cse_url": url_of(edge),
            "mep_url": mep.url,
            "originator": ADMIN,
            "cse_id": "/id-edge",
            "heartbeat_s": 1,
        }
        async with Process("adapter", settings) as process:
            await until(lambda: services_of(mep, 1))
            await asyncio.sleep(3.5)
            assert await state_is(mep, "ACTIVE")
            await process.kill()
            await until(lambda: state_is(mep, "SUSPENDED"), 10)
        async with running_adapter(cse_url=url_of(edge), mep_url=mep.url):
            await until(lambda: state_is(mep, "ACTIVE"))
            assert len(await services(mep)) == 1


@pytest.mark.behaviour("MAP-6.12")
async def test_a_platform_that_lost_everything_is_registered_with_again(edge: Cse) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        await exposed_ae(stack, edge)
        async with running_adapter(cse_url=url_of(edge), mep_url=f"http://127.0.0.1:{port}") as adapter:
            for _ in range(2):
                async with running(port=port) as mep:
                    await until(lambda: two_services_and_no_more(mep), 20)
                    await until(lambda: serving(adapter))


async def two_services_and_no_more(mep: Mep) -> bool:
    found = await services(mep)
    assert len(found) <= 2
    return len(found) == 2 and {service["state"] for service in found} == {"ACTIVE"}


@pytest.mark.behaviour("MAP-6.12")
async def test_a_platform_that_kept_everything_sees_the_same_services(edge: Cse, tmp_path: Any) -> None:
    port = free_port()
    store = f"sqlite:///{tmp_path}/mep.db"
    seen = []
    async with running_adapter(cse_url=url_of(edge), mep_url=f"http://127.0.0.1:{port}") as adapter:
        for _ in range(2):
            async with running(port=port, store=store) as mep:
                await until(lambda: services_of(mep, 1))
                await until(lambda: serving(adapter) and not adapter.status().trouble)
                seen.append((await services(mep))[0]["serInstanceId"])
    assert seen[0] == seen[1]


@pytest.mark.behaviour("MAP-6.03")
async def test_a_lost_answer_to_a_registration_makes_no_duplicate(mep: Mep, edge: Cse) -> None:
    async with ChaosProxy(int(mep.url.rpartition(":")[2])) as proxy:
        # Comparing the registry takes more than three answers in a row, so some must get through.
        proxy.mode, proxy.lose_every = "random", 7
        async with running_adapter(cse_url=url_of(edge), mep_url=proxy.url) as adapter:
            await until(lambda: proxy.lost_answers >= 5, 30)
            proxy.mode = "pass"
            # The pause before the next attempt may have grown to half a minute.
            await until(lambda: serving(adapter) and not adapter.status().trouble, 60)
            await until(lambda: services_of(mep, 1))
            assert mep.platform.documents.count("app") == 1


@pytest.mark.behaviour("MAP-6.07")
async def test_a_slow_platform_does_not_delay_the_cse(mep: Mep, edge: Cse) -> None:
    async with ChaosProxy(int(mep.url.rpartition(":")[2])) as proxy:
        proxy.mode = "blackhole"
        async with running_adapter(cse_url=url_of(edge), mep_url=proxy.url, timeout_s=1.0) as adapter:
            await until(lambda: adapter.status().trouble)
            loop = asyncio.get_running_loop()
            async with Client(url_of(edge), cse_id="/id-edge", originator=ADMIN) as client:
                await client.create_container("-/mec", "probe")
                slowest = 0.0
                for count in range(50):
                    before = loop.time()
                    await client.post("-/mec/probe", str(count))
                    slowest = max(slowest, loop.time() - before)
            assert slowest < 0.5


# --- termination -------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("MAP-6.15")
async def test_termination_is_answered_flushed_and_confirmed(mep: Mep, edge: Cse) -> None:
    async with running_adapter(cse_url=url_of(edge), mep_url=mep.url) as adapter:
        await until(lambda: serving(adapter))
        app_id = adapter.status().app_instance_id
        assert mep.platform.documents.every(APP_SUBSCRIPTION)
        answer = await mep.post(
            f"/mep/v1/app_instances/{app_id}/terminate", {"operationAction": "TERMINATING", "maxGracefulTimeout": 10}
        )
        assert answer.status in (200, 202, 204), answer.body
        await until(lambda: adapter.status().mp1 == "TERMINATED", 8)
        assert await services(mep) == []
        assert adapter.status().cse == "up"
        await asyncio.sleep(1.0)
        assert adapter.status().mp1 == "TERMINATED"
        assert await services(mep) == []


# --- exposure ------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("MAP-1.04", "MAP-3.10", "MAP-6.08", "MAP-6.11")
async def test_flagged_aes_become_application_instances_and_go_with_them(mep: Mep, edge: Cse) -> None:
    async with AsyncExitStack() as stack, running_adapter(cse_url=url_of(edge), mep_url=mep.url) as adapter:
        await until(lambda: serving(adapter))
        quiet = await stack.enter_async_context(Client(url_of(edge), cse_id="/id-edge", originator="Cquiet"))
        await quiet.register("Nquiet", "quiet")
        gateway = await exposed_ae(stack, edge)
        await until(lambda: named(mep, "onem2m-ae-org.example.gw", "ACTIVE"))
        assert len(await services(mep)) == 2
        await until(lambda: adapter.status().exposed[0].phase == Phase.SERVING)
        (shown,) = adapter.status().exposed
        assert (shown.ae, shown.state) == ("cse-edge/gw", "ACTIVE")
        assert shown.app_instance_id != adapter.status().app_instance_id
        await gateway.update("-/gw", 2, {"poa": ["http://192.0.2.1/"], "rr": False})
        await until(lambda: named(mep, "onem2m-ae-org.example.gw", "INACTIVE"))
        await gateway.update("-/gw", 2, {"rr": True})
        await until(lambda: named(mep, "onem2m-ae-org.example.gw", "ACTIVE"))
        await gateway.deregister()
        await until(lambda: services_of(mep, 1))
        await until(lambda: mep.platform.documents.count("app") == 1)


async def named(mep: Mep, name: str, state: str) -> bool:
    return [service["state"] for service in await services(mep, ser_name=name)] == [state]


@pytest.mark.behaviour("MAP-6.09", "MAP-6.10")
async def test_silent_aes_are_inactive_without_heartbeats_until_they_speak_again(mep: Mep, edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        gateway = await exposed_ae(stack, edge)
        await gateway.create_container("-/gw", "data")
        async with running_adapter(cse_url=url_of(edge), mep_url=mep.url, ae_silent_after_s=1.0):
            await gateway.post("-/gw/data", "1")
            await until(lambda: named(mep, "onem2m-ae-org.example.gw", "ACTIVE"))
            await until(lambda: named(mep, "onem2m-ae-org.example.gw", "INACTIVE"))
            await asyncio.sleep(1.5)
            assert await named(mep, "onem2m-ae-org.example.gw", "INACTIVE")
            await gateway.post("-/gw/data", "2")
            await until(lambda: named(mep, "onem2m-ae-org.example.gw", "ACTIVE"))


@pytest.mark.behaviour("MAP-3.11")
async def test_aes_as_services_of_the_cse(mep: Mep, edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        await exposed_ae(stack, edge)
        async with running_adapter(cse_url=url_of(edge), mep_url=mep.url, ae_mode="service"):
            await until(lambda: named(mep, "onem2m-ae-org.example.gw", "ACTIVE"))
            assert mep.platform.documents.count("app") == 1


@pytest.mark.behaviour("MAP-6.16")
async def test_termination_of_an_exposed_ae_leaves_the_ae(mep: Mep, edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        gateway = await exposed_ae(stack, edge)
        async with running_adapter(cse_url=url_of(edge), mep_url=mep.url) as adapter:
            await until(lambda: [e for e in adapter.status().exposed if e.phase == "SERVING"])
            app_id = adapter.status().exposed[0].app_instance_id
            answer = await mep.post(
                f"/mep/v1/app_instances/{app_id}/terminate",
                {"operationAction": "STOPPING", "maxGracefulTimeout": 5},
            )
            assert answer.status in (200, 202, 204), answer.body
            await until(lambda: adapter.status().exposed[0].phase == Phase.TERMINATED)
            assert [transport_id_of(s) for s in await services(mep)] != []
            assert len(await services(mep)) == 1
            assert (await gateway.retrieve("-/gw"))["rn"] == "gw"


@pytest.mark.behaviour("MAP-1.03", "MAP-1.05", "MAP-6.01")
async def test_the_iot_platform_and_devices_are_registered_where_there_is_an_iot_api(mep: Mep) -> None:
    poa = ("http://192.0.2.5:8080", "mqtt://192.0.2.6:1883")
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(running_cse("MN", poa=poa))
        gateway = await exposed_ae(stack, edge)
        async with running_adapter(cse_url=url_of(edge), mep_url=mep.url, ae_mode="device") as adapter:
            await until(lambda: serving(adapter))
            assert sorted(service["serName"] for service in await services(mep)) == ["onem2m-cse", "onem2m-cse-mqtt"]
            (platform,) = (await mep.get("/iots/v1/registered_iot_platforms")).body
            assert platform["userTransportInfo"][0]["endpoint"] == {"addresses": [{"host": "192.0.2.6", "port": 1883}]}
            await until(lambda: devices(mep))
            (device,) = await devices(mep)
            assert (device["deviceId"], device["enabled"]) == ("Sgw", True)
            assert device["requestedIotPlatformId"] == platform["iotPlatformId"]
            await gateway.deregister()
            await until(lambda: no_devices(mep))
        assert (await mep.get("/iots/v1/registered_iot_platforms")).body == []


async def devices(mep: Mep) -> list[dict[str, Any]]:
    return list((await mep.get("/iots/v1/registered_devices")).body)


async def no_devices(mep: Mep) -> bool:
    return not await devices(mep)


# --- platforms of another kind -----------------------------------------------------------------------------------


class Sandbox:
    """The deviations of the hosted sandbox (mec011.md clause 9): ids are given, nothing before confirm_ready, a PUT
    must echo what GET gave but for the state, no heartbeats, no ETags, v1 only.
    """

    def __init__(self) -> None:
        self.ready = False
        self.services: dict[str, dict[str, Any]] = {}
        self.refused = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """All of it."""
        path, method = request.path, request.method
        if not path.startswith(("/mec_app_support/v1/applications/given", "/mec_service_mgmt/v1/")):
            return web.Response(status=404)
        if path.endswith("/confirm_ready"):
            self.ready = True
            return web.Response(status=204)
        if not self.ready and "/applications/" in path:
            self.refused += 1
            return web.json_response(
                {"detail": "App Instance not ready. Waiting for AppReadyConfirmation."}, status=403
            )
        if path.endswith("/subscriptions"):
            return web.json_response({"_links": {"self": {"href": path}, "subscriptions": []}}, status=200)
        if path.endswith("/services"):
            return await self._collection(request) if method == "POST" else web.json_response([*self.services.values()])
        return await self._member(request, path.rpartition("/")[2])

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if "livenessInterval" in body:
            return web.json_response({"detail": "unknown attribute livenessInterval"}, status=400)
        service_id = f"s{len(self.services)}"
        links = {"self": {"href": f"{request.url}/{service_id}"}}
        self.services[service_id] = {**body, "serInstanceId": service_id, "_links": links}
        return web.json_response(self.services[service_id], status=201)

    async def _member(self, request: web.Request, service_id: str) -> web.StreamResponse:
        known = self.services.get(service_id)
        if known is None:
            return web.Response(status=404)
        if request.method == "DELETE":
            del self.services[service_id]
            return web.Response(status=204)
        if request.method == "PUT":
            body = await request.json()
            if {**body, "state": known["state"]} != known:
                return web.json_response({"detail": "Only the ServiceInfo state property may be changed"}, status=400)
            known["state"] = body["state"]
        return web.json_response(known)


@pytest.mark.behaviour("MAP-3.11", "MAP-6.02", "MAP-6.08", "MAP-6.18")
async def test_the_hosted_sandbox_is_recognised_and_served(edge: Cse) -> None:
    sandbox = Sandbox()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(peer(sandbox.handle))
        gateway = await exposed_ae(stack, edge)
        settings = {"mep_url": url, "app_instance_id": "given", "ae_mode": "service", "callbacks": False}
        adapter = await stack.enter_async_context(running_adapter(cse_url=url_of(edge), **settings))
        await until(lambda: serving(adapter) and len(sandbox.services) == 2)
        assert adapter.status().app_instance_id == "given"
        await gateway.update("-/gw", 2, {"rr": False, "poa": ["http://192.0.2.1/"]})
        await until(lambda: "INACTIVE" in [service["state"] for service in sandbox.services.values()])
        assert adapter.status().profile == "sandbox"
        sandbox.ready = False
        await until(lambda: sandbox.ready)
        await until(lambda: not adapter.status().trouble)
        sandbox.services.clear()
        await until(lambda: len(sandbox.services) == 2)
    assert sandbox.services == {}


# --- security and status -------------------------------------------------------------------------------------------


async def test_tokens_are_asked_for_once_and_renewed_when_refused(edge: Cse) -> None:
    async with running(insecure_dev=False, admin_token="a-long-enough-admin-token") as mep:
        mep.headers = {"Authorization": "Bearer a-long-enough-admin-token"}
        made = await mep.post("/mep/v1/clients", {"name": "adapter"})
        assert made.status == 201, made.body
        config = {
            "cse_url": url_of(edge),
            "mep_url": mep.url,
            "credentials": credentials(mep, made.body),
        }
        async with running_adapter(**config) as adapter:
            await until(lambda: serving(adapter))
            assert not adapter.status().trouble


def credentials(mep: Mep, made: dict[str, Any]) -> Any:
    from mec_adapter.mp1.tokens import Credentials

    secret = made.get("clientSecret") or made["client_secret"]
    return Credentials(f"{mep.url}/mep/v1/oauth2/token", made.get("clientId") or made["client_id"], secret)


async def test_status_over_http(mep: Mep, edge: Cse) -> None:
    async with running_adapter(cse_url=url_of(edge), mep_url=mep.url) as adapter:
        await until(lambda: serving(adapter))
        status = await status_of(adapter.url)
        assert status["mp1"] == "SERVING"
        assert status["services"] == [{"name": "onem2m-cse", "id": status["services"][0]["id"], "state": "ACTIVE"}]
        assert status["sync"]["cloud"] == "off"


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"listen": "nowhere"}, "host:port"),
        ({"cse_url": "tcp://x"}, "cse_url"),
        ({"cse_id": "edge"}, "/id-edge"),
        ({"mep_url": "mep:8081"}, "mep_url"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_in_one_line(settings: dict[str, Any], hint: str) -> None:
    from mec_adapter.run import AdapterStartError

    with pytest.raises(AdapterStartError) as refused:
        Adapter(adapter_config(settings))
    assert hint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_identity_of_the_cse_is_stable() -> None:
    from mec_adapter.profile import CseProfile

    assert cse_app_id(CseProfile("/id-edge", "a")) == cse_app_id(CseProfile("/id-edge", "b"))
    assert cse_settings()["id"] == "/id-edge"
