"""What machines watch a running CSE by: ``/health``, ``/ready`` and, for Prometheus, ``/metrics`` (ADR 0020, 0025).

Everything is read when it is asked for: serving a request costs nothing more than the counters the CSE has anyway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from cse.bindings.mqtt_limits import MqttCounters, MqttFigures
from cse.delivery_breaker import Targets
from cse.exposition import add_histogram, build_info, counter, gauge
from cse.metering import OTHER, CommitMeter, Histogram, RequestMeter, StoreFigures
from cse.onem2m.primitives import Operation
from cse.onem2m.serialisation import dump_json
from cse.process_metrics import Processes

#: where a process says that it answers
HEALTH = "/health"

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]


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
        targets: how those targets are.
        attempts_s: how long attempts to send took, by URL scheme.
        watches: open ``?watch`` streams.
        store: how large it is and what it committed.
        mqtt: what is under way with the broker, and what was; None without one.
        parts: what must work for the CSE to be ready, each with "ok" or why it does not.
    """

    cse_id: str
    requests: RequestMeter
    refused: int
    in_flight: int
    dialects: Mapping[str, int]
    notifications: Mapping[str, int]
    waiting: int
    targets: Targets
    attempts_s: Mapping[str, Histogram]
    watches: int
    store: StoreFigures
    mqtt: tuple[MqttFigures, MqttCounters] | None
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
        yield build_info()
        yield from _requests(now)
        yield from _deliveries(now)
        yield from _store(now.store)
        if now.mqtt is not None:
            yield from _mqtt(*now.mqtt)
        parts = GaugeMetricFamily("onemec_part_up", "Whether a part of the CSE works.", labels=["part"])
        for part, state in now.parts.items():
            parts.add_metric([part], state == "ok")
        yield parts


def _requests(now: Readings) -> Iterator[Metric]:
    labels = ["binding", "operation", "type", "code"]
    counts = CounterMetricFamily("onemec_requests", "Requests served, by response status code.", labels=labels)
    for (binding, operation, kind, code), number in now.requests.counts().items():
        shown = "other" if kind == OTHER else str(kind)
        counts.add_metric([binding or "internal", Operation(operation).name, shown, str(code)], number)
    yield counts
    seconds = HistogramMetricFamily(
        "onemec_request_seconds",
        "From a decoded request to its durable response.",
        labels=["binding", "operation"],
    )
    for (binding, operation), histogram in now.requests.seconds().items():
        add_histogram(seconds, [binding or "internal", Operation(operation).name], histogram)
    yield seconds
    yield CounterMetricFamily("onemec_requests_refused", "Requests refused: too many came.", now.refused)
    yield GaugeMetricFamily("onemec_requests_in_flight", "Requests being served.", now.in_flight)
    yield counter("onemec_dialect_uses", "Forms of older clients that were mended.", "dialect", now.dialects)
    yield GaugeMetricFamily("onemec_watches", "Open ?watch streams.", now.watches)


def _deliveries(now: Readings) -> Iterator[Metric]:
    yield counter("onemec_deliveries", "Notifications and forwarded requests.", "result", now.notifications)
    yield GaugeMetricFamily("onemec_deliveries_waiting", "Notifications waiting for their targets.", now.waiting)
    targets = now.targets
    yield gauge(
        "onemec_delivery_targets",
        "Targets: busy has something waiting, suspect did not answer last time, broken not for several times.",
        "state",
        {"busy": targets.busy, "suspect": targets.suspect, "broken": targets.broken},
    )
    seconds = HistogramMetricFamily(
        "onemec_delivery_seconds", "Attempts to send, until the answer or the failure.", labels=["scheme"]
    )
    for scheme, histogram in list(now.attempts_s.items()):
        add_histogram(seconds, [scheme], histogram)
    yield seconds


def _store(store: StoreFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily("onemec_resources", "Resources that are no instances.", store.resources)
    if store.files_bytes:
        yield gauge("onemec_store_file_bytes", "Size of the files of the store.", "file", store.files_bytes)
    if store.free_bytes is not None:
        yield GaugeMetricFamily("onemec_store_free_bytes", "Room left on the disk of the store.", store.free_bytes)
    if store.commits is not None:
        yield GaugeMetricFamily("onemec_commit_waiting", "Change sets that are not on disk yet.", store.waiting)
        yield from _commits(store.commits)


def _commits(commits: CommitMeter) -> Iterator[Metric]:
    yield CounterMetricFamily("onemec_commits", "Groups of requests that were made durable.", commits.groups)
    yield CounterMetricFamily("onemec_commit_changes", "Change sets in those groups.", commits.changes)
    yield CounterMetricFamily("onemec_commit_rows", "Rows they wrote or deleted.", commits.rows)
    yield CounterMetricFamily("onemec_commit_failures", "Groups that could not be written.", commits.failures)
    seconds = HistogramMetricFamily("onemec_commit_seconds", "Writing the log and waiting for the disk (fsync).")
    add_histogram(seconds, [], commits.seconds)
    yield seconds
    sizes = HistogramMetricFamily("onemec_commit_size", "Change sets committed together.")
    add_histogram(sizes, [], commits.sizes)
    yield sizes


def _mqtt(figures: MqttFigures, counters: MqttCounters) -> Iterator[Metric]:
    yield gauge(
        "onemec_mqtt_in_flight",
        "Requests over MQTT: running, waiting to be started, expected answers of others.",
        "state",
        {"running": figures.running, "waiting": figures.waiting, "expected": figures.expected},
    )
    yield CounterMetricFamily("onemec_mqtt_taken", "Requests taken over MQTT.", counters.taken)
    yield CounterMetricFamily(
        "onemec_mqtt_repeated", "Requests that came again and were answered from memory.", counters.repeated
    )
    yield CounterMetricFamily(
        "onemec_mqtt_acknowledged_early", "Requests acknowledged before they were done.", counters.acknowledged_early
    )
    yield counter("onemec_mqtt_ignored", "Messages thrown away.", "reason", counters.ignored)


class Observability:
    """An ASGI application for ``/health``, ``/ready`` and ``/metrics``.

    - ``/health``: 200 as long as the process answers: restart it when it does not.
    - ``/ready``: 200 when every part works, 503 with the reasons otherwise: send it no traffic.
    - ``/metrics``: Prometheus' text format.

    Args:
        read: gives the state of the CSE.
        processes: gives the process ids of the CSE.
    """

    PATHS = (HEALTH, "/ready", "/metrics")

    def __init__(self, read: Callable[[], Readings], processes: Callable[[], Iterable[int]]) -> None:
        self._read = read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Readings(read))
        self._registry.register(Processes(processes))
        GCCollector(registry=self._registry)

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: _Send,
    ) -> None:
        """Answer one request (ASGI 3)."""
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            await _reply(scope, send, 405, {"error": "this can only be read: use GET"})
        elif path == HEALTH:
            await health(scope, receive, send)
        elif path == "/ready":
            now = self._read()
            state = {"status": "ready" if now.is_ready else "not ready", "parts": dict(now.parts)}
            await _reply(scope, send, 200 if now.is_ready else 503, state)
        elif path == "/metrics":
            await _reply(scope, send, 200, generate_latest(self._registry), CONTENT_TYPE_LATEST)
        else:
            await _reply(scope, send, 404, {"error": f"there are {', '.join(self.PATHS)}"})


async def health(scope: _Message, receive: Callable[[], Awaitable[_Message]], send: _Send) -> None:
    """An ASGI application that says that this process answers."""
    await _reply(scope, send, 200, {"status": "up"})


async def _reply(scope: _Message, send: _Send, status: int, shown: object, kind: str = "application/json") -> None:
    body = shown if isinstance(shown, bytes) else dump_json(shown)
    headers = [
        (b"Content-Type", kind.encode()),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
