"""A real CSE over each binding for the tests of the client."""

from collections.abc import AsyncIterator

import pytest

from cse.storage.memory import MemoryStore
from tests.client.running import running_cse

BINDINGS = ["http", "coap", "mqtt", "ws"]


@pytest.fixture
async def http_cse() -> AsyncIterator[str]:
    """The URL of a CSE over HTTP."""
    async with running_cse(MemoryStore(), coap="off") as cse:
        yield cse.addresses()["http"]


@pytest.fixture(params=[*BINDINGS, "mqtt-embedded"])
async def cse_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a CSE, over each binding in turn; over MQTT with both brokers."""
    if request.param.startswith("mqtt"):
        fixture = "embedded_broker_url" if request.param.endswith("embedded") else "mosquitto_url"
        broker: str = request.getfixturevalue(fixture)
        async with running_cse(MemoryStore(), http="off", coap="off", mqtt=broker):
            yield broker
        return
    server = "http" if request.param == "ws" else request.param
    others = {binding: "off" for binding in ("http", "coap") if binding != server}
    async with running_cse(MemoryStore(), **others) as cse:
        yield cse.addresses()[request.param]
