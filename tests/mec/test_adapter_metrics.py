"""What machines watch the adapter by: real platform, real CSEs, a cloud that goes away; values against traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cse.client import Client
from mec_adapter.app import Adapter
from mec_adapter.metrics import Mp1Meter
from tests.brokers import free_port
from tests.mec.adapter_fixtures import ChaosProxy, running_adapter, running_cse, until
from tests.mec.conftest import Mep

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def asked(url: str) -> tuple[int, Any]:
    """Status and body."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text()


async def scraped(adapter: Adapter) -> Samples:
    """Values by name and labels, as Prometheus reads them."""
    status, text = await asked(f"{adapter.url}/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_state_of_mp1_and_the_requests_to_it_are_seen(mep: Mep) -> None:
    async with running_cse("MN") as edge:
        url = edge.addresses()["http"]
        async with running_adapter(cse_url=url, mep_url=mep.url) as adapter:
            await until(lambda: adapter.status().mp1 == "SERVING")
            found = await scraped(adapter)
            assert found["onemec_mp1_phase", (("phase", "SERVING"),)] == 1
            assert sum(value for (name, _), value in found.items() if name == "onemec_mp1_phase") == 1
            assert found["onemec_mp1_services", (("state", "ACTIVE"),)] == 1
            registered = (("api", "mec_app_support"), ("code", "201"), ("method", "POST"))
            assert found["onemec_mp1_requests_total", registered] >= 1
            total = sum(
                value
                for (name, labels), value in found.items()
                if name == "onemec_mp1_requests_total" and dict(labels)["api"] == "mec_service_mgmt"
            )
            assert found["onemec_mp1_request_seconds_count", (("api", "mec_service_mgmt"),)] == total
            assert await asked(f"{adapter.url}/ready") == (
                200,
                {"status": "ready", "parts": {"cse": "ok", "mp1": "ok"}},
            )
            assert (await asked(f"{adapter.url}/health"))[0] == 200


async def test_an_adapter_without_its_platform_is_alive_but_not_ready_and_says_why() -> None:
    async with running_cse("MN") as edge:
        url, away = edge.addresses()["http"], f"http://127.0.0.1:{free_port()}"
        async with running_adapter(cse_url=url, mep_url=away) as adapter:

            async def refused() -> bool:
                found = await scraped(adapter)
                return any(name == "onemec_mp1_requests_total" and ("code", "none") in labels for name, labels in found)

            await until(refused)
            status, shown = await asked(f"{adapter.url}/ready")
            assert status == 503
            assert shown["parts"]["cse"] == "ok"
            assert away in shown["parts"]["mp1"]
            assert (await scraped(adapter))["onemec_adapter_part_up", (("part", "mp1"),)] == 0
            assert (await asked(f"{adapter.url}/health"))[0] == 200


async def test_the_lag_of_the_sync_grows_while_the_cloud_is_away_and_goes_when_it_is_back(tmp_path: Path) -> None:
    async with running_cse("MN") as edge, running_cse("IN") as cloud:
        port = int(cloud.addresses()["http"].rpartition(":")[2])
        async with ChaosProxy(port) as proxy:
            sync = {"cloud_url": proxy.url, "outbox": str(tmp_path / "o.db"), "audit_s": 1.0, "retry_longest_s": 0.5}
            url = edge.addresses()["http"]
            async with (
                running_adapter(cse_url=url, cse_id="/id-edge", mep_url="", timeout_s=1.0, sync=sync) as adapter,
                Client(url, cse_id="/id-edge", originator="Cdev") as device,
            ):
                await device.register("Ndev", "dev")
                await device.create_container("-/dev", "data", lbl=["sync:cloud"])
                container = (("container", "cse-edge/dev/data"),)

                async def forwarded(count: int) -> bool:
                    return (await scraped(adapter)).get(("onemec_sync_forwarded_total", container), 0) == count

                await device.post("-/dev/data", "1")
                await until(lambda: forwarded(1))
                proxy.mode = "refuse"
                await device.post("-/dev/data", "2")
                await device.post("-/dev/data", "3")

                async def lags() -> bool:
                    now = await scraped(adapter)
                    return (
                        now["onemec_sync_pending", container] == 2
                        and now["onemec_sync_lag_seconds", container] > 0
                        and now["onemec_sync_up", ()] == 0
                    )

                await until(lags)
                assert (await asked(f"{adapter.url}/ready"))[0] == 200, "a cloud that is away is nothing to restart for"
                proxy.mode = "pass"
                await until(lambda: forwarded(3))
                now = await scraped(adapter)
                assert now["onemec_sync_pending", container] == 0
                assert now["onemec_sync_lag_seconds", container] == 0


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/mec_service_mgmt/v1/services", "mec_service_mgmt"),
        ("/sandbox1/mep1/mec_app_support/v2/registrations", "mec_app_support"),
        ("/", "other"),
        ("/whatever/the/platform/links/to", "other"),
    ],
)
def test_an_api_is_told_by_its_name_and_nothing_else_makes_a_series(path: str, api: str) -> None:
    meter = Mp1Meter()
    meter.asked("GET", path, 200, 0.001)
    assert dict(meter.requests) == {(api, "GET", "200"): 1}
    assert list(meter.seconds) == [api]
