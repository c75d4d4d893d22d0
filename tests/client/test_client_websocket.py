"""What only a client over WebSocket does: come back on a new connection, hear of events without a listener."""

import asyncio

import pytest

from cse.client import Client
from cse.client.transports import WebSocketTransport
from cse.storage.memory import MemoryStore
from tests.client.running import running_cse


async def test_a_lost_connection_is_opened_again_and_notifications_go_on() -> None:
    async with running_cse(MemoryStore(), coap="off") as cse:
        transport = WebSocketTransport(cse.addresses()["ws"])
        async with Client(transport, originator="Cws") as client:
            await client.register("Ntest", "me")
            await client.create_container("-/me", "data")
            subscription = await client.subscribe("-/me/data")
            await client.post("-/me/data", "before")
            assert (await asyncio.wait_for(anext(subscription), 5)).resource["con"] == "before"
            assert transport._binding is not None
            link = await transport._binding.open(cse.addresses()["ws"], "/id-in")
            assert link.connection is not None
            assert link.connection._transport is not None
            link.connection._transport.abort()
            await asyncio.wait_for(link.ended.wait(), 5)
            async with Client(cse.addresses()["http"], originator="CAdmin") as admin:
                await admin.post("-/me/data", "after")
            assert (await asyncio.wait_for(anext(subscription), 8)).resource["con"] == "after"
        await transport.close()


async def test_one_connection_has_one_originator() -> None:
    async with running_cse(MemoryStore(), coap="off") as cse:
        transport = WebSocketTransport(cse.addresses()["ws"])
        async with Client(transport, originator="Cone"):
            with pytest.raises(ValueError, match="transport of its own"):
                await Client(transport, originator="Ctwo").open()
        await transport.close()


async def test_an_ae_that_was_on_mqtt_before_is_notified_over_its_websocket(mosquitto_url: str) -> None:
    async with running_cse(MemoryStore(), coap="off", mqtt=mosquitto_url) as cse:
        async with Client(mosquitto_url, originator="Cmoved") as client:
            await client.register("Ntest", "me")
            await client.create_container("-/me", "data")
        async with Client(cse.addresses()["ws"], originator="Cmoved") as client:
            subscription = await client.subscribe("-/me/data")
            await client.post("-/me/data", "here")
            async with asyncio.timeout(8):  # a request over MQTT is given up after 10 s
                assert (await anext(subscription)).resource["con"] == "here"
