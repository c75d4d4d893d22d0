"""What machines watch a running CSE by: ``/health``, ``/ready`` and, for Prometheus, ``/metrics``.

Everything is read when it is asked for: serving a request costs nothing more than the counters the CSE has anyway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from cse.onem2m.serialisation import dump_json

#: requests as the CSE counts them: binding, operation, resource type (0 when not said), response status code
RequestCounts = Mapping[tuple[str, str, int, int], int]


@dataclass(frozen=True, slots=True)
class Readings:
    """A moment of one CSE.

    Attributes:
        cse_id: its CSE-ID.
        requests: served since the start.
        refused: requests refused because too many came.
        in_flight: requests being served.
        dialects: uses of each dialect of older clients.
        notifications: notifications and forwarded requests by result: sent, failed, dropped.
        waiting: notifications that wait for their targets.
        watches: open ``?watch`` streams.
        resources: resources that are no instances.
        parts: what must work for the CSE to be ready, each with "ok" or why it does not.
    """

    cse_id: str
    requests: RequestCounts
    refused: int
    in_flight: int
    dialects: Mapping[str, int]
    notifications: Mapping[str, int]
    waiting: int
    watches: int
    resources: int
    parts: Mapping[str, str]

    @property
    def is_ready(self) -> bool:
        """Whether every part works."""
        return all(state == "ok" for state in self.parts.values())


class _Readings:
    """A collector of prometheus_client that reads the CSE at every scrape."""

    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The metrics, as prometheus_client asks for them."""
        now = self._read()
        yield InfoMetricFamily("onemec_cse", "This CSE.", {"cse_id": now.cse_id, "version": version("onemec")})
        yield _requests(now.requests)
        yield _counter("onemec_dialect_uses", "Forms of older clients that were mended.", "dialect", now.dialects)
        yield _counter("onemec_deliveries", "Notifications and forwarded requests.", "result", now.notifications)
        yield CounterMetricFamily("onemec_requests_refused", "Requests refused: too many came.", now.refused)
        yield GaugeMetricFamily("onemec_requests_in_flight", "Requests being served.", now.in_flight)
        yield GaugeMetricFamily("onemec_deliveries_waiting", "Notifications waiting for their targets.", now.waiting)
        yield GaugeMetricFamily("onemec_watches", "Open ?watch streams.", now.watches)
        yield GaugeMetricFamily("onemec_resources", "Resources that are no instances.", now.resources)
        parts = GaugeMetricFamily("onemec_part_up", "Whether a part of the CSE works.", labels=["part"])
        for part, state in now.parts.items():
            parts.add_metric([part], state == "ok")
        yield parts


def _requests(counts: RequestCounts) -> CounterMetricFamily:
    labels = ["binding", "operation", "type", "code"]
    family = CounterMetricFamily("onemec_requests", "Requests served, by response status code.", labels=labels)
    for (binding, operation, kind, code), number in list(counts.items()):
        family.add_metric([binding or "internal", operation, str(kind), str(code)], number)
    return family


def _counter(name: str, help_text: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help_text, labels=[label])
    for value, number in counts.items():
        family.add_metric([value], number)
    return family


class Observability:
    """An ASGI application for ``/health``, ``/ready`` and ``/metrics``.

    - ``/health``: 200 as long as the process answers: restart it when it does not.
    - ``/ready``: 200 when every part works, 503 with the reasons otherwise: send it no traffic.
    - ``/metrics``: Prometheus' text format.

    Args:
        read: gives the state of the CSE.
    """

    PATHS = ("/health", "/ready", "/metrics")

    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Readings(read))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one request (ASGI 3)."""
        status, kind, body = self._answer(scope["method"], scope["path"])
        headers = [
            (b"Content-Type", kind.encode()),
            (b"Content-Length", b"%d" % len(body)),
            (b"Cache-Control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        json = "application/json"
        if method not in ("GET", "HEAD"):
            return 405, json, dump_json({"error": "this can only be read: use GET"})
        if path == "/health":
            return 200, json, dump_json({"status": "up"})
        if path == "/ready":
            now = self._read()
            state = {"status": "ready" if now.is_ready else "not ready", "parts": dict(now.parts)}
            return 200 if now.is_ready else 503, json, dump_json(state)
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        return 404, json, dump_json({"error": f"there are {', '.join(self.PATHS)}"})
