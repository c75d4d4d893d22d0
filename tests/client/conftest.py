"""A real CSE with all bindings for the tests of the client: its shell, its core, real sockets."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from cse.app import Cse
from cse.client import Client
from cse.config import CseConfig
from cse.storage.memory import MemoryStore

CSE_ID = "/id-in"
#: gives a client of the test's CSE for an originator
Connect = Callable[..., Client]
BINDINGS = ["http", "coap", "mqtt"]


@contextlib.asynccontextmanager
async def running_cse(
    store: MemoryStore, *, http: str = "127.0.0.1:0", coap: str = "127.0.0.1:0", mqtt: str = ""
) -> AsyncIterator[Cse]:
    """A CSE /id-in, open to any AE, until the block ends."""
    config = CseConfig(
        id=CSE_ID,
        name="cse-in",
        http=http,
        coap=coap,
        mqtt=mqtt,
        insecure_dev=True,
        admin=("CAdmin",),
        profile="strict",
    )
    cse = Cse(config, store=store)
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop()


@pytest.fixture
async def http_cse() -> AsyncIterator[str]:
    """The URL of a CSE over HTTP."""
    async with running_cse(MemoryStore(), coap="off") as cse:
        yield cse.addresses()["http"]


@pytest.fixture
async def coap_cse() -> AsyncIterator[str]:
    """The URL of a CSE over CoAP."""
    async with running_cse(MemoryStore(), http="off") as cse:
        yield cse.addresses()["coap"]


@pytest.fixture
async def mqtt_cse(broker_url: str) -> AsyncIterator[str]:
    """The URL of the broker of a CSE over MQTT, both brokers in turn."""
    async with running_cse(MemoryStore(), http="off", coap="off", mqtt=broker_url):
        yield broker_url


@pytest.fixture(params=[*BINDINGS, "mqtt-embedded"])
async def cse_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a CSE, over each binding in turn; over MQTT with both brokers."""
    if request.param.startswith("mqtt"):
        fixture = "embedded_broker_url" if request.param.endswith("embedded") else "mosquitto_url"
        broker: str = request.getfixturevalue(fixture)
        async with running_cse(MemoryStore(), http="off", coap="off", mqtt=broker):
            yield broker
        return
    others = {binding: "off" for binding in ("http", "coap") if binding != request.param}
    async with running_cse(MemoryStore(), **others) as cse:
        yield cse.addresses()[request.param]


Running = Callable[..., AbstractAsyncContextManager[Cse]]
