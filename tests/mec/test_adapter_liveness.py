"""Exposed AEs that fall silent, speak again, are ended by the platform, or went while nobody looked."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest
from aiohttp import web

from cse.app import Cse
from cse.client import Client
from mec_adapter.lifecycle import Phase
from tests.brokers import free_port
from tests.mec.adapter_fixtures import ADMIN, Process, admin_of, running_adapter, running_cse, until
from tests.mec.conftest import Mep

NAME = "onem2m-ae-org.example.gw"


class Ae:
    """What serves an AE at its point of access: it remembers notifications, and answers them."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        #: set when it may answer the news of its end
        self.finished = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = (await request.json())["m2m:sgn"]
        self.received.append(body)
        if "nev" in body:
            await self.finished.wait()
        return web.Response(headers={"X-M2M-RSC": "2000", "X-M2M-RI": request.headers["X-M2M-RI"]})


@pytest.fixture
async def edge() -> AsyncIterator[Cse]:
    async with running_cse("MN") as cse:
        yield cse


async def gateway(stack: AsyncExitStack, edge: Cse, *poa: str) -> Client:
    url = edge.addresses()["http"]
    client = await stack.enter_async_context(Client(url, cse_id="/id-edge", originator="Sgw"))
    await client.register("Norg.example.gw", "gw", labels=["mec:expose"], poa=poa)
    await client.create_container("-/gw", "data")
    return client


async def shown(mep: Mep, name: str = NAME) -> list[dict[str, Any]]:
    return list((await mep.get("/mec_service_mgmt/v1/services", params={"ser_name": name})).body)


async def state_is(mep: Mep, state: str) -> bool:
    return [service["state"] for service in await shown(mep)] == [state]


async def last_beat(mep: Mep) -> Any:
    (service,) = await shown(mep)
    return (await mep.get(service["_links"]["liveness"]["href"])).body["timeStamp"]


# --- alive or not ---------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("MAP-6.09", "MAP-6.10")
async def test_an_ae_that_does_not_answer_at_its_poa_is_inactive_until_it_does(mep: Mep, edge: Cse) -> None:
    ae = Ae()
    async with AsyncExitStack() as stack:
        await gateway(stack, edge, ae.url)
        async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url, ae_probe_s=0.2):
            async with ae.listening():
                await until(lambda: state_is(mep, "ACTIVE"))
                await until(lambda: ae.received)
                assert ae.received[0]["vrq"] is True
            await until(lambda: state_is(mep, "INACTIVE"))
            beat = await last_beat(mep)
            await asyncio.sleep(1.5)  # more than a heartbeat interval: nobody says it is alive
            assert await last_beat(mep) == beat
            assert await state_is(mep, "INACTIVE")
            async with ae.listening():
                await until(lambda: state_is(mep, "ACTIVE"))


@pytest.mark.behaviour("MAP-6.10")
async def test_an_ae_that_posts_is_alive_whatever_its_poa_does(mep: Mep, edge: Cse) -> None:
    async with AsyncExitStack() as stack:
        client = await gateway(stack, edge, f"http://127.0.0.1:{free_port()}")
        async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url, ae_probe_s=60.0):
            await until(lambda: state_is(mep, "INACTIVE"))
            await client.post("-/gw/data", "1")
            await until(lambda: state_is(mep, "ACTIVE"))


@pytest.mark.behaviour("MAP-6.09")
async def test_the_last_will_of_an_mqtt_session_makes_its_ae_inactive(mep: Mep, broker_url: str) -> None:
    """The will is a oneM2M request like any other: UPDATE of the AE's requestReachability."""
    host, _, port = broker_url.removeprefix("mqtt://").partition(":")
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(running_cse("MN", mqtt=broker_url))
        await gateway(stack, edge, broker_url)
        await stack.enter_async_context(running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url))
        session = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="gw")

        def request(reachable: bool) -> str:
            update = {"m2m:ae": {"rr": reachable}}
            return json.dumps(
                {"op": 3, "to": "cse-edge/gw", "fr": "Sgw", "rqi": f"rr{reachable}", "rvi": "3", "pc": update}
            )

        session.will_set("/oneM2M/req/Sgw/id-edge/json", request(False), qos=1)
        await asyncio.to_thread(session.connect, host, int(port or 1883))
        session.loop_start()
        try:
            session.publish("/oneM2M/req/Sgw/id-edge/json", request(True), qos=1)
            await until(lambda: state_is(mep, "ACTIVE"))
            taken = session.socket()
            assert taken is not None
            taken.shutdown(socket.SHUT_RDWR)  # no DISCONNECT: the broker sends the will
            session.loop_stop()
            await until(lambda: state_is(mep, "INACTIVE"))
        finally:
            session.loop_stop()


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("MAP-6.16", "MAP-7.04")
async def test_an_ae_is_told_of_its_termination_and_may_finish(mep: Mep, edge: Cse) -> None:
    ae = Ae()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ae.listening())
        client = await gateway(stack, edge, ae.url)
        adapter = await stack.enter_async_context(running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url))
        await until(lambda: [one for one in adapter.status().exposed if one.phase == Phase.SERVING])
        app_id = adapter.status().exposed[0].app_instance_id
        wish = {"operationAction": "TERMINATING", "maxGracefulTimeout": 30}
        assert (await mep.post(f"/mep/v1/app_instances/{app_id}/terminate", wish)).status in (200, 202, 204)
        await until(lambda: ae.received)
        instance = ae.received[-1]["nev"]["rep"]["m2m:cin"]
        word = json.loads(instance["con"])
        assert (word["notificationType"], word["operationAction"]) == ("AppTerminationNotification", "TERMINATING")
        assert (word["appInstanceId"], word["maxGracefulTimeout"]) == (app_id, 30)
        assert await state_is(mep, "INACTIVE")  # while it finishes its services are there, and not to be used
        assert adapter.status().exposed[0].phase == Phase.TERMINATING
        ae.finished.set()
        await until(lambda: adapter.status().exposed[0].phase == Phase.TERMINATED)
        assert await shown(mep) == []
        assert (await client.retrieve("-/gw"))["rn"] == "gw"
        async with admin_of(edge.addresses()["http"], "/id-edge") as admin:
            await until(lambda: admin.discover(labels=[f"mec:app={app_id}"]))


@pytest.mark.behaviour("MAP-6.11")
async def test_an_ae_that_went_while_the_platform_was_away_is_removed_when_it_is_back(mep: Mep, edge: Cse) -> None:
    settings = {"cse_url": edge.addresses()["http"], "mep_url": mep.url, "originator": ADMIN, "cse_id": "/id-edge"}
    async with AsyncExitStack() as stack:
        client = await gateway(stack, edge)
        async with Process("adapter", settings) as process:
            await until(lambda: state_is(mep, "ACTIVE"))
            await process.kill()
        await client.deregister()
        assert await shown(mep) != []
        adapter = await stack.enter_async_context(running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url))
        await until(lambda: gone(mep))
        await until(lambda: adapter.status().mp1 == "SERVING")
        await until(lambda: mep.platform.documents.count("app") == 1)


async def gone(mep: Mep) -> bool:
    return await shown(mep) == []


# --- a CSE that changes ---------------------------------------------------------------------------------------------


@pytest.mark.behaviour("MAP-6.08")
async def test_services_of_aes_follow_a_cse_that_moves(mep: Mep, tmp_path: Any) -> None:
    port = free_port()
    settings = {"http": f"127.0.0.1:{port}", "store": f"sqlite:///{tmp_path}/edge.db"}
    async with AsyncExitStack() as stack:
        async with running_cse("MN", **settings, poa=("http://192.0.2.1:80",)) as edge:
            await gateway(stack, edge)
            await stack.enter_async_context(running_adapter(cse_url=f"http://127.0.0.1:{port}", mep_url=mep.url))
            await until(lambda: endpoint_is(mep, "http://192.0.2.1:80/cse-edge/gw"))
        async with running_cse("MN", **settings, poa=("http://192.0.2.2:80",)):
            await until(lambda: endpoint_is(mep, "http://192.0.2.2:80/cse-edge/gw"))
            assert len(await shown(mep)) == 1


async def endpoint_is(mep: Mep, uri: str) -> bool:
    return [service["transportInfo"]["endpoint"] for service in await shown(mep)] == [{"uris": [uri]}]


@pytest.mark.behaviour("MAP-1.05", "MAP-5.01", "MAP-5.04")
async def test_a_device_follows_its_ae_and_goes_when_it_went_unseen(mep: Mep) -> None:
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(running_cse("MN", poa=("http://192.0.2.5:80", "mqtt://192.0.2.6:1883")))
        client = await gateway(stack, edge)
        settings = {"cse_url": edge.addresses()["http"], "mep_url": mep.url, "ae_mode": "device"}
        async with admin_of(edge.addresses()["http"], "/id-edge") as admin:
            node = await admin.create("-", 14, {"rn": "node", "ni": "urn:dev:mac:0a0b"})
            described = {"rn": "info", "mgd": 1007, "dlb": "0a:0b", "man": "Acme", "mod": "X1", "dty": "gw"}
            described |= {"fwv": "1", "swv": "1", "hwv": "1"}
            await admin.create("-/node", 13, {"m2m:dvi": described})
            await client.update("-/gw", 2, {"nl": node["ri"]})
        async with running_adapter(**settings, deregister_when_stopping=False):
            await until(lambda: device_has(mep, "onem2m.deviceLabel", "0a:0b"))
            (device,) = (await mep.get("/iots/v1/registered_devices")).body
            assert device["deviceId"] == "urn:dev:mac:0a0b"
        await client.deregister()
        async with running_adapter(**settings):
            await until(lambda: no_device(mep))


async def device_has(mep: Mep, key: str, value: str) -> bool:
    devices = (await mep.get("/iots/v1/registered_devices")).body
    return {"key": key, "value": value} in [entry for device in devices for entry in device["deviceMetadata"]]


async def no_device(mep: Mep) -> bool:
    return (await mep.get("/iots/v1/registered_devices")).body == []
