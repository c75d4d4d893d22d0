"""What machines watch a CSE by, over HTTP, while its parts work and while they do not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cse.app import Cse
from cse.client import Client
from cse.config import CseConfig
from cse.storage.memory import MemoryStore
from tests.brokers import embedded_broker, free_port


@contextlib.asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[str]:
    """The URL of a CSE."""
    given: dict[str, Any] = {"http": "127.0.0.1:0", "coap": "off", "mqtt": "", "insecure_dev": True} | settings
    cse = Cse(CseConfig(id="/id-in", name="cse-in", admin=("CAdmin",), **given), store=MemoryStore())
    await cse.start()
    try:
        yield cse.addresses()["http"]
    finally:
        await cse.stop()


async def asked(url: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """Status and body."""
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as answer:
        is_json = answer.content_type == "application/json" and method != "HEAD"
        return answer.status, await answer.json() if is_json else await answer.text()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Values by name and labels, as Prometheus reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_requests_are_counted_by_binding_operation_type_and_code() -> None:
    async with running(profile="lenient") as url, Client(url, originator="Cme") as client:
        await client.register("Nme", "me")
        await client.create_container("-/me", "data", mni="5")
        for _ in range(3):
            await client.post("-/me/data", "1")
        status, text = await asked(f"{url}/metrics")
        assert status == 200
        found = samples(text)
        posted = (("binding", "http"), ("code", "2001"), ("operation", "CREATE"), ("type", "4"))
        assert found["onemec_requests_total", posted] == 3
        assert found["onemec_resources", ()] >= 3
        assert found["onemec_part_up", (("part", "storage"),)] == 1
        assert found["onemec_cse_info", (("cse_id", "/id-in"), ("version", _version()))] == 1
        assert found["process_resident_memory_bytes", ()] > 0
        assert sum(value for (name, _), value in found.items() if name == "onemec_dialect_uses_total") >= 1


def _version() -> str:
    from importlib.metadata import version

    return version("onemec")


async def test_health_and_readiness_of_a_cse_that_lacks_nothing() -> None:
    async with running() as url:
        assert await asked(f"{url}/health") == (200, {"status": "up"})
        assert await asked(f"{url}/ready") == (200, {"status": "ready", "parts": {"storage": "ok"}})
        assert await asked(f"{url}/ready", "HEAD") == (200, "")
        assert (await asked(f"{url}/health", "POST"))[0] == 405


async def test_a_cse_without_its_registrar_is_alive_but_not_ready_and_says_why() -> None:
    options = {"type": "MN", "registrar": f"http://127.0.0.1:{free_port()}", "registrar_id": "/id-away"}
    async with running(**options) as url:
        status, shown = await asked(f"{url}/ready")
        assert (status, shown["status"]) == (503, "not ready")
        assert "/id-away" in shown["parts"]["registrar"]
        assert (await asked(f"{url}/health"))[0] == 200
        found = samples((await asked(f"{url}/metrics"))[1])
        assert found["onemec_part_up", (("part", "registrar"),)] == 0


async def test_a_cse_whose_broker_went_away_is_not_ready_and_names_it() -> None:
    with contextlib.ExitStack() as broker:
        url_of_broker = broker.enter_context(embedded_broker())
        async with running(mqtt=url_of_broker) as url:
            assert (await asked(f"{url}/ready"))[1]["parts"]["mqtt"] == "ok"
            await asyncio.to_thread(broker.close)
            async with asyncio.timeout(30):
                while (await asked(f"{url}/ready"))[0] == 200:  # noqa: ASYNC110 - polled, as machines do
                    await asyncio.sleep(0.05)
            shown = (await asked(f"{url}/ready"))[1]
            assert url_of_broker.removeprefix("mqtt://") in shown["parts"]["mqtt"]
            assert (await asked(f"{url}/health"))[0] == 200


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "192.0.2.1"}, {"Origin": "http://evil.example"}])
async def test_metrics_are_for_administrators_and_this_machine_unless_opened(headers: dict[str, str]) -> None:
    async with running() as url:
        assert (await asked(f"{url}/metrics", **headers))[0] == 403
        assert (await asked(f"{url}/health", **headers))[0] == 200
    async with running(open_metrics=True) as url:
        assert (await asked(f"{url}/metrics", **headers))[0] == 200
