"""A real CSE on every binding at once, which can go away and come back, for the tests of devices."""

import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from cse.app import Cse
from cse.client import Client
from cse.storage.memory import MemoryStore
from tests.brokers import free_port
from tests.client.running import running_cse


class Site:
    """A CSE at fixed addresses with a store that outlives it."""

    def __init__(self, broker_url: str) -> None:
        self.store = MemoryStore()
        self.urls = {
            "http": f"http://127.0.0.1:{free_port()}",
            "coap": f"coap://127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
            "mqtt": broker_url,
        }

    def running(self) -> contextlib.AbstractAsyncContextManager[Cse]:
        """The CSE, from here to the end of the block."""
        places = {binding: url.partition("://")[2] for binding, url in self.urls.items() if binding != "mqtt"}
        return running_cse(self.store, mqtt=self.urls["mqtt"], **places)

    async def contents(self, container: str) -> dict[str, str]:
        """The instances of a container by resourceName, oldest first; the CSE must run."""
        async with Client(self.urls["http"], originator="CAdmin") as admin:
            tree = await admin.retrieve(container, rcn=8)
        found = tree.get("m2m:cin", [])
        contents = {instance["rn"]: instance["con"] for instance in found}
        assert len(contents) == len(found)
        return contents


@pytest.fixture
def site(mosquitto_url: str) -> Site:
    """A CSE that does not run yet; its broker does."""
    return Site(mosquitto_url)


@pytest.fixture
async def cse(site: Site) -> AsyncIterator[Cse]:
    """The CSE of ``site``, running."""
    async with site.running() as running:
        yield running
