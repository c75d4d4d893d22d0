"""Traces over real sockets: what a collector gets of one create with a subscriber, and of a service found over Mp1."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cse.app import Cse
from cse.bindings.http_codec import decode_request, encode_request
from cse.client import Client
from cse.config import CseConfig
from cse.tracing import current_trace_id, open_tracing, read_trace_parent
from tests.brokers import free_port
from tests.mec.adapter_fixtures import cse_settings, running_adapter, running_cse, until
from tests.mec.conftest import running

OUTSIDE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass(frozen=True)
class Span:
    """A span as the collector got it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]


@dataclass
class Collector:
    """Takes OTLP over HTTP and remembers the spans."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """POST /v1/traces."""
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            service = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {one.key: one.value.int_value or one.value.string_value for one in span.attributes}
                    self.spans.append(
                        Span(
                            service,
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            attributes,
                        )
                    )
        return web.Response(content_type="application/x-protobuf", body=b"")

    def one(self, name: str, **attributes: Any) -> Span:
        """The span with this name and these attributes."""
        (found,) = self.all(name, **attributes)
        return found

    def all(self, name: str, **attributes: Any) -> list[Span]:
        """The spans with this name and these attributes."""
        wanted = {f"onem2m.{key}": value for key, value in attributes.items()}
        return [span for span in self.spans if span.name == name and wanted.items() <= span.attributes.items()]

    def roots_of(self, span: Span) -> list[str]:
        """The names of a span's ancestors, nearest first, up to one that nobody reported."""
        by_id = {one.span_id: one for one in self.spans}
        names = []
        while span.parent_id in by_id:
            span = by_id[span.parent_id]
            names.append(span.name)
        return names


@contextlib.asynccontextmanager
async def serving(path: str, take: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """An HTTP server that takes POSTs on a path; gives its address."""
    app = web.Application()
    app.router.add_post(path, take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def collecting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """A collector; spans come every 50 ms."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    collector = Collector()
    async with serving("/v1/traces", collector.take) as url:
        collector.url = url
        yield collector


@contextlib.asynccontextmanager
async def traced_cse(kind: str, **settings: Any) -> AsyncIterator[Cse]:
    cse = Cse(CseConfig(**cse_settings(kind, **settings)))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(grace_s=1.0)


async def test_one_create_with_a_subscriber_is_one_connected_trace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    notified: list[str] = []

    async def take(request: web.Request) -> web.Response:
        if "vrq" not in await request.text():
            notified.append(request.headers["traceparent"])
        return web.Response(headers={"X-M2M-RSC": "2000", "X-M2M-RI": request.headers["X-M2M-RI"]})

    store = f"sqlite:///{tmp_path}/e.db"
    async with (
        collecting(monkeypatch) as collector,
        serving("/", take) as target,
        traced_cse("IN", otlp=collector.url, store=store) as cse,
        Client(cse.addresses()["http"], cse_id="/id-in", originator="Cme") as client,
    ):
        await client.register("Nme", "me")
        await client.create_container("-/me", "data")
        await client.create("-/me/data", 23, {"rn": "sub", "nu": [f"{target}/"], "enc": {"net": [3]}})
        client.trace_parent = lambda: OUTSIDE
        await client.post("-/me/data", "1")
        await until(lambda: notified and collector.all("send NOTIFY", response_status_code=2000), 30)

        def whole() -> bool:
            return len(collector.all("send NOTIFY")) == 2 and len(collector.all("oneM2M CREATE")) == 4

        await until(whole, 30)
        created = collector.one("oneM2M CREATE", resource_type=4)
        assert (created.trace_id, created.parent_id) == (OUTSIDE[3:35], OUTSIDE[36:52])
        assert created.service == "onemec-cse"
        assert created.attributes["onem2m.response_status_code"] == 2001
        assert created.attributes["network.protocol.name"] == "http"
        assert created.attributes["onem2m.originator"] == "Cme"
        mine = [span for span in collector.spans if span.trace_id == created.trace_id]
        assert sorted((span.name, span.parent_id) for span in mine if span is not created) == [
            ("commit", created.span_id),
            ("core", created.span_id),
            ("send NOTIFY", created.span_id),
        ]
        sent = next(span for span in mine if span.name == "send NOTIFY")
        assert notified == [f"00-{sent.trace_id}-{sent.span_id}-01"], "who is notified can go on with it"
        # the verification of the subscription belongs to the request that made it, inside the core
        verified = next(span for span in collector.all("send NOTIFY") if span is not sent)
        assert collector.roots_of(verified) == ["core", "oneM2M CREATE"]


async def test_a_forwarded_request_goes_on_in_the_trace_of_the_other_cse(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector, traced_cse("IN", otlp=collector.url) as cloud:
        registrar = {"registrar": cloud.addresses()["http"], "registrar_id": "/id-in"}
        async with traced_cse("MN", otlp=collector.url, **registrar) as edge:
            assert edge.registration is not None
            await asyncio.wait_for(edge.registration.registered.wait(), 30)
            async with Client(edge.addresses()["http"], cse_id="/id-edge", originator="CAdmin") as client:
                await client.retrieve("/id-in/cse-in")

            def both() -> list[Span]:
                return [
                    span
                    for span in collector.all("oneM2M RETRIEVE", to="/id-in/cse-in")
                    if collector.roots_of(span) == ["send RETRIEVE", "core", "oneM2M RETRIEVE"]
                    or collector.roots_of(span) == ["send RETRIEVE", "oneM2M RETRIEVE"]
                ]

            await until(both, 30)
            (there,) = both()
            assert len({span.trace_id for span in collector.spans if span.trace_id == there.trace_id}) == 1


async def test_a_cse_without_tracing_passes_a_trace_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector, traced_cse("IN", otlp=collector.url) as cloud:
        registrar = {"registrar": cloud.addresses()["http"], "registrar_id": "/id-in"}
        async with traced_cse("MN", **registrar) as edge:
            assert edge.registration is not None
            await asyncio.wait_for(edge.registration.registered.wait(), 30)
            async with Client(edge.addresses()["http"], cse_id="/id-edge", originator="CAdmin") as client:
                client.trace_parent = lambda: OUTSIDE
                await client.retrieve("/id-in/cse-in")
            await until(lambda: any(span.parent_id == OUTSIDE[36:52] for span in collector.spans), 30)
            assert {span.service for span in collector.spans} == {"onemec-cse"}


def test_nothing_of_opentelemetry_is_imported_without_tracing() -> None:
    program = (
        "import sys, cse.app, mec_adapter.app, onemec.cse_command\n"
        "from cse.tracing import current_trace_id\n"
        "assert current_trace_id() == ''\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


async def test_what_is_found_over_mp1_is_one_trace_with_what_becomes_of_it_in_the_cse(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    store = f"sqlite:///{tmp_path}/e.db"
    async with (
        collecting(monkeypatch) as collector,
        running() as mep,
        traced_cse("MN", otlp=collector.url, store=store) as edge,
    ):
        await mep.service(await mep.app(appName="radio"), serName="radio")
        url = edge.addresses()["http"]
        async with running_adapter(cse_url=url, mep_url=mep.url, otlp=collector.url, poll_s=60.0):

            def mirrored() -> list[Span]:
                """Commits in the CSE that a look of the adapter at the platform led to."""
                wanted = ["oneM2M CREATE", "mirror the platform"]
                return [span for span in collector.all("commit") if collector.roots_of(span) == wanted]

            await until(mirrored, 30, "a commit below a look at the platform")
            commit = mirrored()[0]
            assert commit.service == "onemec-cse"
            mine = [span for span in collector.spans if span.trace_id == commit.trace_id]
            look = next(span for span in mine if span.name == "mirror the platform")
            assert (look.service, look.parent_id) == ("onemec-adapter", "")
            found = [span for span in mine if span.name == "Mp1 GET" and span.parent_id == look.span_id]
            assert "/mec_service_mgmt/v1/services" in {span.attributes["url.path"] for span in found}
            assert all(span.attributes["http.response.status_code"] for span in found)
            await until(lambda: collector.all("register at the CSE"), 30)
            registered = collector.one("register at the CSE")
            names = [span.name for span in collector.spans if span.parent_id == registered.span_id]
            assert "oneM2M CREATE" in names


async def test_a_notification_to_the_adapter_goes_on_in_the_trace_of_what_caused_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    async with (
        collecting(monkeypatch) as collector,
        running_cse("IN") as cloud,
        traced_cse("MN", otlp=collector.url) as edge,
    ):
        url = edge.addresses()["http"]
        sync = {"cloud_url": cloud.addresses()["http"], "outbox": str(tmp_path / "o.db"), "audit_s": 60.0}
        async with (
            running_adapter(cse_url=url, mep_url="", otlp=collector.url, sync=sync) as adapter,
            Client(url, cse_id="/id-edge", originator="Cdev") as device,
        ):
            await device.register("Ndev", "dev")
            await device.create_container("-/dev", "data", lbl=["sync:cloud"])
            await until(lambda: adapter.status().sync.containers, 30)

            def taken() -> list[Span]:
                wanted = ["send NOTIFY", "oneM2M CREATE"]
                return [one for one in collector.all("oneM2M notification") if collector.roots_of(one) == wanted]

            async with asyncio.timeout(60):
                while not taken():  # what comes before the subscription of the adapter stands is listed, not notified
                    await device.post("-/dev/data", "1")
                    await asyncio.sleep(0.5)
            assert taken()[0].service == "onemec-adapter"


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (OUTSIDE, OUTSIDE),
        (OUTSIDE.replace("00-4", "cc-4"), OUTSIDE.replace("00-4", "cc-4")),
        (OUTSIDE.replace("00-4", "ff-4"), None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", None),
        ("", None),
        ("x" * 4000, None),
        (OUTSIDE.upper(), None),
    ],
)
def test_a_trace_parent_that_makes_no_sense_is_ignored(header: str, read: str | None) -> None:
    assert read_trace_parent(header) == read
    headers = [(b"x-m2m-ri", b"1"), (b"x-m2m-rvi", b"3"), (b"traceparent", header.encode())]
    request = decode_request("GET", b"/cse-in", b"", headers, b"", lenient=False)
    assert request.trace_parent == read
    sent = dict(encode_request(request, "http://h/", exact_url=False)[2])
    assert sent.get("TRACEPARENT") == read


def test_of_two_trace_parents_neither_counts_and_the_request_is_served() -> None:
    headers = [(b"x-m2m-ri", b"1"), (b"x-m2m-rvi", b"3"), *[(b"traceparent", OUTSIDE.encode())] * 2]
    assert decode_request("GET", b"/cse-in", b"", headers, b"", lenient=False).trace_parent is None


async def test_a_log_line_names_the_trace_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector:
        tracing = open_tracing(collector.url, "onemec-test")
        assert tracing is not None
        assert tracing.header() == ""
        with tracing.work("something", OUTSIDE):
            assert current_trace_id() == OUTSIDE[3:35]
            assert tracing.header().startswith(OUTSIDE[:36])
            assert tracing.header() != OUTSIDE, "another span of the same trace"
        assert current_trace_id() == ""
        await asyncio.to_thread(tracing.close)
        assert collector.one("something").parent_id == OUTSIDE[36:52]


async def test_a_collector_that_is_away_costs_spans_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    away = f"http://127.0.0.1:{free_port()}"
    async with (
        traced_cse("IN", otlp=away) as cse,
        Client(cse.addresses()["http"], cse_id="/id-in", originator="CAdmin") as client,
    ):
        for _ in range(20):
            assert (await client.cse_base())["csi"] == "/id-in"


def test_there_is_no_tracing_without_a_collector() -> None:
    assert open_tracing("", "x") is None
    assert current_trace_id() == ""
