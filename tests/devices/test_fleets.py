"""Fleets against the real CSE over every binding: exact counts, repeatable values, nothing lost and nothing doubled."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cse.app import Cse
from cse.bindings.coap import CoapServer
from cse.bindings.http import HttpServer
from cse.bindings.mqtt import MqttBinding
from cse.client import Client
from cse.onem2m.primitives import Request, Response
from cse.onem2m.status import Status
from devices.fleet import FleetReport
from devices.registry import kinds
from devices.run import FleetConfig, run_fleet
from tests.client.running import CSE_ID
from tests.devices.conftest import Site

BINDINGS = ["http", "coap", "mqtt"]


def _prefix() -> str:
    # Brokers keep the session of an AE-ID beyond the test, so that every test has its own.
    return f"t{secrets.token_hex(4)}"


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


class _Run:
    """A fleet at work, with its newest report."""

    def __init__(self, config: FleetConfig) -> None:
        self.config = config
        self.stop = asyncio.Event()
        self.newest = FleetReport()
        self.task = asyncio.create_task(run_fleet(config, self._report, self.stop))

    def _report(self, report: FleetReport) -> None:
        self.newest = report

    async def until(self, acknowledged: int) -> None:
        await _until(lambda: self.task.done() or self.newest.totals().acknowledged >= acknowledged)

    async def end(self) -> FleetReport:
        self.stop.set()
        async with asyncio.timeout(15):
            return await self.task


@contextlib.asynccontextmanager
async def _fleet(site: Site, kind: str, binding: str, **options: Any) -> AsyncIterator[_Run]:
    given: dict[str, Any] = {"name_prefix": _prefix(), "run_id": "run", "report_interval_s": 0.02} | options
    config = FleetConfig(kind, url=site.urls[binding], **given)
    run = _Run(config)
    try:
        yield run
    finally:
        await run.end()


async def _check(site: Site, config: FleetConfig, report: FleetReport) -> None:
    """The CSE has what the devices say, each reading once, in order, with the value of its seed and time."""
    kind = kinds()[config.kind]
    assert kind.sample is not None
    for device, counted in zip(config.devices(), report.devices, strict=True):
        assert (counted.failed, counted.dropped, counted.waiting) == (0, 0, 0), counted
        expected = {
            f"run-{number:06d}": kind.sample(device.seed, number / config.rate_per_s) for number in range(counted.sent)
        }
        contents = await site.contents(f"-/{device.name}/{kind.container}")
        assert list(contents.items()) == list(expected.items())
        assert counted.acknowledged == counted.sent


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("kind", [name for name, kind in kinds().items() if kind.sample])
async def test_each_kind_on_each_binding(cse: Cse, site: Site, kind: str, binding: str) -> None:
    async with _fleet(site, kind, binding, count=3, rate_per_s=20.0, seed=11) as run:
        await run.until(15)
        report = await run.end()
        assert report.totals().sent >= 15
        assert report.per_binding().keys() == {binding}
        await _check(site, run.config, report)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_actuator_reacts_to_a_command(cse: Cse, site: Site, binding: str) -> None:
    async with _fleet(site, "actuator", binding, count=2) as run:
        await run.until(2)
        names = [device.name for device in run.config.devices()]
        # anybody who may command it: another AE
        async with Client(site.urls["http"], originator=f"C{_prefix()}") as other:
            await other.register("Ntest")
            for command in ("on", {"level_percent": 40}, "dance"):
                await other.post(f"-/{names[0]}/command", command)
            await other.post(f"-/{names[1]}/command", "toggle")
        await run.until(6)
        report = await run.end()
        assert [device.sent for device in report.devices] == [4, 2]
        states = [json.loads(content) for content in (await site.contents(f"-/{names[0]}/state")).values()]
        assert states[:3] == [
            {"on": False, "level_percent": 100},
            {"on": True, "level_percent": 100},
            {"on": True, "level_percent": 40},
        ]
        assert states[3]["on"] is True
        assert "send on, off, toggle" in states[3]["error"]
        last = list((await site.contents(f"-/{names[1]}/state")).values())[-1]
        assert json.loads(last)["on"] is True


async def test_an_actuator_whose_subscription_was_deleted_subscribes_again(cse: Cse, site: Site) -> None:
    async with _fleet(site, "actuator", "http") as run:
        await run.until(1)
        (device,) = run.config.devices()
        async with Client(site.urls["http"], originator="CAdmin") as admin:
            address = f"cse-in/{device.name}/command"
            (old,) = await admin.discover(address, types=[23], unstructured=True)
            await admin.delete(old)
            async with asyncio.timeout(10):
                while await admin.discover(address, types=[23], unstructured=True) in ([], [old]):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await admin.post(address, "on")
        await run.until(2)


async def test_the_ae_says_what_it_is_and_readers_may_subscribe(cse: Cse, site: Site) -> None:
    async with (
        _fleet(site, "meter", "http", rate_per_s=20.0, expose=True, labels=("floor:2",)) as run,
        Client(site.urls["http"], originator=f"C{_prefix()}") as reader,
    ):
        await run.until(1)
        (device,) = run.config.devices()
        await reader.register("Ntest")
        entity = await reader.retrieve(f"-/{device.name}")
        assert {"kind:meter", "mec:expose", "floor:2"} <= set(entity["lbl"])
        async with await reader.subscribe(f"-/{device.name}/data") as subscription, asyncio.timeout(10):
            assert (await anext(subscription)).root == "m2m:cin"


async def test_nobody_may_read_when_there_are_no_readers(cse: Cse, site: Site) -> None:
    async with _fleet(site, "meter", "http", readers=(), commanders=(), rate_per_s=20.0) as run:
        await run.until(1)
        (device,) = run.config.devices()
        async with Client(site.urls["http"], originator=f"C{_prefix()}") as reader:
            await reader.register("Ntest")
            assert await reader.discover("-", labels=["kind:meter"]) == []
        assert "mec:expose" not in cse.engine.get(device.originator).attributes["lbl"]  # type: ignore[union-attr]


async def test_two_runs_with_one_seed_give_the_same_values(cse: Cse, site: Site) -> None:
    prefix, seen = _prefix(), []
    options = {"name_prefix": prefix, "seed": 5, "rate_per_s": 50.0}
    for run_id in ("first", "second"):
        async with _fleet(site, "temperature", "http", run_id=run_id, **options) as run:
            await run.until(5)
            await run.end()
        contents = await site.contents(f"-/{prefix}-1/data")
        seen.append([content for name, content in contents.items() if name.startswith(run_id)])
    shorter = min(len(values) for values in seen)
    assert seen[0][:shorter] == seen[1][:shorter]


async def test_a_fleet_runs_as_long_as_it_is_told(cse: Cse, site: Site) -> None:
    config = FleetConfig(
        "meter", count=50, rate_per_s=4.0, url=site.urls["coap"], name_prefix=_prefix(), duration_s=2.0
    )
    report = await run_fleet(config)
    totals = report.totals()
    assert (totals.devices, totals.failed, totals.dropped) == (50, 0, 0)
    assert totals.sent == totals.acknowledged
    assert {device.state for device in report.devices} == {"stopped"}


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_cse_away_for_three_seconds_loses_and_doubles_nothing(site: Site, binding: str) -> None:
    options = {"count": 3, "rate_per_s": 10.0, "timeout_s": 1.0, "seed": 3}
    async with contextlib.AsyncExitStack() as stack:
        async with site.running():
            run = await stack.enter_async_context(_fleet(site, "temperature", binding, **options))
            await run.until(20)
        before = run.newest.totals().acknowledged
        await asyncio.sleep(3.0)  # the outage itself
        assert {device.state for device in run.newest.devices} == {"away"}
        assert run.newest.totals().waiting > 0
        async with site.running():
            await run.until(before + 100)
            report = await run.end()
            await _check(site, run.config, report)
            assert report.totals().sent >= before + 100


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_actuator_still_obeys_after_an_outage(site: Site, binding: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with site.running():
            run = await stack.enter_async_context(_fleet(site, "actuator", binding, timeout_s=1.0))
            await run.until(1)
        async with site.running():
            (device,) = run.config.devices()
            async with Client(site.urls["http"], originator="CAdmin") as admin:
                await admin.post(f"-/{device.name}/command", "on")
            await run.until(2)
            report = await run.end()
            states = list((await site.contents(f"-/{device.name}/state")).values())
        assert report.totals().acknowledged == len(states) == 2
        assert json.loads(states[-1])["on"] is True


async def test_a_cse_that_is_not_there_yet_is_waited_for(site: Site) -> None:
    async with _fleet(site, "air_quality", "http", count=2, rate_per_s=20.0) as run:
        await _until(lambda: {device.state for device in run.newest.devices} == {"away"})
        assert "127.0.0.1" in run.newest.devices[0].last_error
        async with site.running():
            await run.until(4)
            await _check(site, run.config, await run.end())


async def test_a_cse_that_forgot_everything_gets_everything_again(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with site.running():
            run = await stack.enter_async_context(_fleet(site, "meter", "http", rate_per_s=20.0))
            await run.until(5)
        site.store = type(site.store)()
        async with site.running():
            before = run.newest.totals().acknowledged
            await run.until(before + 10)
            report = await run.end()
            (device,) = run.config.devices()
            stored = await site.contents(f"-/{device.name}/data")
        totals = report.totals()
        assert totals.failed == 0
        # what the first CSE had is gone with it; nothing after that is missing
        assert list(stored) == [f"run-{number:06d}" for number in range(totals.sent - len(stored), totals.sent)]


async def test_what_a_stopped_device_could_not_deliver_is_told(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with site.running():
            run = await stack.enter_async_context(
                _fleet(site, "meter", "http", rate_per_s=20.0, timeout_s=0.5, grace_s=0.3, buffer_size=5)
            )
            await run.until(3)
        await _until(lambda: run.newest.totals().dropped > 0)
        report = await run.end()
        totals = report.totals()
        async with site.running():
            (device,) = run.config.devices()
            stored = await site.contents(f"-/{device.name}/data")
        assert len(stored) == totals.acknowledged == totals.sent - 1
        assert (totals.failed, totals.waiting) == (1, 0)
        assert totals.dropped > 5


class _Lossy:
    """Serves every request, and lets every third answer to a new instance come too late."""

    def __init__(self, cse: Cse) -> None:
        self._cse, self._count, self.lost = cse, 0, 0

    async def serve(self, request: Request) -> Response:
        response = await self._cse.serve(request)
        if request.resource_type == 4 and response.status is Status.CREATED:
            self._count += 1
            if self._count % 3 == 0:
                self.lost += 1
                await asyncio.sleep(0.5)
        return response


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_retry_after_a_lost_answer_stores_nothing_twice(site: Site, binding: str, free_port: int) -> None:
    broker = site.urls["mqtt"]
    site.urls["mqtt"] = ""  # the lossy way is the only one to the broker
    async with site.running() as cse:
        lossy = _Lossy(cse)
        server: Any
        if binding == "http":
            server = HttpServer(lossy.serve, "127.0.0.1", free_port, lenient=True)
        elif binding == "coap":
            server = CoapServer(lossy.serve, "127.0.0.1", 0)
        else:
            server = MqttBinding(broker, CSE_ID, serve=lossy.serve)
        await server.start()
        site.urls[binding] = broker if binding == "mqtt" else server.url
        async with _fleet(site, "meter", binding, count=2, rate_per_s=3.0, timeout_s=0.2) as run:
            await run.until(9)
            report = await run.end()
        if binding == "http":
            site.urls["http"] = cse.addresses()["http"]
        assert lossy.lost >= 3
        await _check(site, run.config, report)
        await server.stop()
