"""What machines watch a CSE by, over HTTP, while its parts work and while they do not."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from cse.app import Cse
from cse.client import Client, RequestFailed
from cse.config import CseConfig
from cse.metering import OTHER, Histogram, RequestMeter
from cse.ports import Engine
from cse.storage.memory import MemoryStore
from cse.storage.sqlite import SqliteStore
from tests.brokers import embedded_broker, free_port
from tests.storage.builders import Disk, until


@contextlib.asynccontextmanager
async def running(store: Engine | None = None, **settings: Any) -> AsyncIterator[str]:
    """The URL of a CSE."""
    given: dict[str, Any] = {"http": "127.0.0.1:0", "coap": "off", "mqtt": "", "insecure_dev": True} | settings
    cse = Cse(CseConfig(id="/id-in", name="cse-in", admin=("CAdmin",), **given), store=store or MemoryStore())
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


async def scraped(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    status, text = await asked(f"{url}/metrics")
    assert status == 200
    return samples(text)


async def test_durations_are_buckets_that_add_up_to_the_requests() -> None:
    async with running() as url, Client(url, originator="Cme") as client:
        await client.register("Nme", "me")
        for _ in range(5):
            await client.retrieve("-/me")
        found = await scraped(url)
        retrieves = (("binding", "http"), ("operation", "RETRIEVE"))
        assert found["onemec_request_seconds_count", retrieves] == 5
        assert 0 < found["onemec_request_seconds_sum", retrieves] < 60
        buckets = [
            (float(dict(labels)["le"]), value)
            for (name, labels), value in found.items()
            if name == "onemec_request_seconds_bucket" and dict(labels)["operation"] == "RETRIEVE"
        ]
        assert [value for _, value in sorted(buckets)] == sorted(value for _, value in buckets), "cumulated"
        assert max(buckets) == (math.inf, 5)


async def test_commits_rows_and_files_of_a_store_on_disk_are_counted(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cse.db", ballast_bytes=0)
    async with running(store) as url, Client(url, originator="Cme") as client:
        await client.register("Nme", "me")
        await client.create_container("-/me", "data")
        before = await scraped(url)
        for number in range(4):
            await client.post("-/me/data", str(number))
        after = await scraped(url)

        def grown(name: str) -> float:
            return after[name, ()] - before[name, ()]

        assert grown("onemec_commits_total") == 4, "one client that waits for each answer"
        assert grown("onemec_commit_changes_total") == 4
        assert grown("onemec_commit_rows_total") >= 4
        assert grown("onemec_commit_seconds_count") == grown("onemec_commit_size_count") == 4
        assert grown("onemec_commit_size_sum") == 4
        assert after["onemec_commit_seconds_sum", ()] > 0
        assert after["onemec_commit_waiting", ()] == 0
        for file in ("database", "wal"):
            size_bytes = (tmp_path / ("cse.db" if file == "database" else "cse.db-wal")).stat().st_size
            assert after["onemec_store_file_bytes", (("file", file),)] == size_bytes
        assert after["onemec_store_free_bytes", ()] > 0


async def test_a_cse_whose_disk_fails_is_alive_not_ready_and_ready_again_when_it_works(tmp_path: Path) -> None:
    disk = Disk()
    store = SqliteStore(tmp_path / "cse.db", connect=disk.connect, ballast_bytes=0)
    async with running(store) as url, Client(url, originator="Cme") as client:
        await client.register("Nme", "me")
        disk.error = OSError(28, "No space left on device")
        with pytest.raises(RequestFailed):
            await client.create_container("-/me", "data")
        status, shown = await asked(f"{url}/ready")
        assert status == 503
        assert "No space left" in shown["parts"]["storage"]
        assert (await asked(f"{url}/health"))[0] == 200, "to restart it would help nobody"
        found = await scraped(url)
        assert found["onemec_part_up", (("part", "storage"),)] == 0
        assert found["onemec_commit_failures_total", ()] >= 1
        created = (("binding", "http"), ("code", "5000"), ("operation", "CREATE"), ("type", "3"))
        assert found["onemec_requests_total", created] == 1
        disk.error = None
        await until(lambda: store.health() == "ok", 30)
        assert (await asked(f"{url}/ready"))[0] == 200


async def test_notifications_and_their_targets_are_counted() -> None:
    """A target that answers, and then is gone."""

    async def take(request: web.Request) -> web.Response:
        return web.Response(headers={"X-M2M-RSC": "2000", "X-M2M-RI": request.headers["X-M2M-RI"]})

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()

    async def shows(url: str, name: str, label: tuple[str, str], least: int) -> None:
        async with asyncio.timeout(30):
            while (await scraped(url)).get((name, (label,)), 0) < least:  # noqa: ASYNC110 - polled, as machines do
                await asyncio.sleep(0.05)

    async with running() as url, Client(url, originator="Cme") as client:
        try:
            await client.register("Nme", "me")
            await client.create_container("-/me", "data")
            subscription = {"rn": "sub", "nu": [f"http://127.0.0.1:{port}/"], "enc": {"net": [3]}}
            await client.create("-/me/data", 23, subscription)
            await client.post("-/me/data", "1")
            await shows(url, "onemec_deliveries_total", ("result", "sent"), 1)
            assert (await scraped(url))["onemec_delivery_targets", (("state", "suspect"),)] == 0
        finally:
            await runner.cleanup()
        await client.post("-/me/data", "2")
        await shows(url, "onemec_delivery_targets", ("state", "suspect"), 1)
        found = await scraped(url)
        # the verification, the first notification, and the attempts that failed
        assert found["onemec_delivery_seconds_count", (("scheme", "http"),)] >= 3


async def test_a_client_cannot_make_series() -> None:
    async with running() as url:
        headers = {"X-M2M-Origin": "Cme", "X-M2M-RVI": "3", "X-M2M-RI": "1"}
        async with aiohttp.ClientSession() as session:
            for number in range(70_000, 70_020):
                kind = f"application/json;ty={number}"
                await session.post(f"{url}/cse-in", data=b"{}", headers={**headers, "Content-Type": kind})
        found = await scraped(url)
        types = {dict(labels)["type"]: value for (name, labels), value in found.items() if name == _REQUESTS}
        assert types == {"other": 20.0}


_REQUESTS = "onemec_requests_total"


async def test_what_is_shown_follows_the_conventions_of_prometheus() -> None:
    with embedded_broker() as broker:
        async with running(mqtt=broker) as url:
            text = (await asked(f"{url}/metrics"))[1]
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    for family in families:
        assert family.name.startswith(("onemec_", "process_", "python_")), family.name
        assert family.documentation
        if family.name.startswith("onemec_"):
            assert family.documentation.endswith(".")
            for sample in family.samples:
                assert family.type != "counter" or sample.name.endswith("_total")
                assert family.type == "counter" or not sample.name.endswith("_total")
            assert not family.name.endswith(("_ms", "_kb", "_millis", "_count")), "base units"


def test_a_histogram_puts_a_value_below_the_bound_it_equals() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert list(histogram.buckets()) == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert (histogram.count, histogram.total) == (5, 7.5)


def test_requests_are_told_apart_by_known_types_only() -> None:
    meter = RequestMeter(frozenset({2, 3}))
    for kind in (0, 2, 3, 99, 12345):
        meter.served("http", 1, kind, 2001, 0.001)
    assert meter.counts() == {
        ("http", 1, 0, 2001): 1,
        ("http", 1, 2, 2001): 1,
        ("http", 1, 3, 2001): 1,
        ("http", 1, OTHER, 2001): 2,
    }
    (whole,) = meter.seconds().values()
    assert whole.count == 5
    assert whole.total == pytest.approx(0.005)
