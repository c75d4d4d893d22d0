"""What machines watch the adapter by: ``/health``, ``/ready`` and, for Prometheus, ``/metrics`` (ADR 0020, 0025)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from cse.exposition import add_histogram, build_info, counter, gauge
from cse.metering import Histogram
from mec_adapter.lifecycle import Phase
from mec_adapter.mp1 import amsi, app_lcm, app_support, iots, service_mgmt
from mec_adapter.status import AdapterStatus, SyncStatus

_APIS = frozenset(api.name for api in (amsi.API, app_lcm.API, app_support.API, iots.API, service_mgmt.API))
_STANDING = frozenset((Phase.READY.value, Phase.SERVING.value, Phase.YIELDED.value))
_OFF = "OFF"


class Mp1Meter:
    """The requests of the adapter to its MEC platform: how many, and how long they took."""

    def __init__(self) -> None:
        #: by apiName, method, and status (or "none" when no answer came)
        self.requests: Counter[tuple[str, str, str]] = Counter()
        #: by apiName
        self.seconds: dict[str, Histogram] = {}

    def asked(self, method: str, path: str, status: int, duration_s: float) -> None:
        """Count a request.

        Args:
            method: of HTTP.
            path: of the URL; the API is the first segment that names one.
            status: of the answer; 0 when none came.
            duration_s: until then.
        """
        api = next((segment for segment in path.split("/") if segment in _APIS), "other")
        self.requests[api, method, str(status) if status else "none"] += 1
        self.seconds.setdefault(api, Histogram()).observe(duration_s)


def parts_of(status: AdapterStatus) -> dict[str, str]:
    """What the adapter needs, each with "ok" or what is wrong with it.

    The cloud is not among them: that it may be away is what the outbox is for.
    """
    parts = {"cse": "ok" if status.cse == "up" else "the edge CSE does not answer"}
    if status.mp1 != _OFF:
        standing = status.mp1 in _STANDING
        parts["mp1"] = "ok" if standing else f"{status.mp1}: {status.trouble or 'not registered at the platform yet'}"
    return parts


class AdapterMetrics:
    """The pages of the adapter for machines.

    Args:
        status: gives how it is.
        mp1: counts its requests to the platform.
    """

    def __init__(self, status: Callable[[], AdapterStatus], mp1: Mp1Meter) -> None:
        self._status, self._mp1 = status, mp1
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """``/metrics`` in Prometheus' text format."""
        return generate_latest(self._registry)

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether every part works, and how each is."""
        parts = parts_of(self._status())
        return all(state == "ok" for state in parts.values()), parts

    def collect(self) -> Iterator[Metric]:
        """The metrics, as prometheus_client asks for them."""
        now = self._status()
        yield build_info()
        yield InfoMetricFamily("onemec_adapter", "This adapter.", {"app_instance_id": now.app_instance_id})
        parts = parts_of(now)
        yield gauge(
            "onemec_adapter_part_up",
            "Whether what the adapter needs works.",
            "part",
            {name: float(state == "ok") for name, state in parts.items()},
        )
        yield from self._platform(now)
        yield counter("onemec_adapter_notifications", "Notifications taken.", "source", now.notifications)
        if now.sync.cloud != "off":
            yield from _sync(now.sync)

    def _platform(self, now: AdapterStatus) -> Iterator[Metric]:
        phases = [phase.value for phase in Phase] + [_OFF]
        yield gauge(
            "onemec_mp1_phase",
            "1 for the phase in which the CSE's application instance is.",
            "phase",
            {phase: float(phase == now.mp1) for phase in phases},
        )
        states = {"ACTIVE": 0, "INACTIVE": 0, **Counter(service.state for service in now.services)}
        yield gauge("onemec_mp1_services", "Services of the CSE at the platform.", "state", states)
        exposed = {"ACTIVE": 0, "INACTIVE": 0, **Counter(ae.state or "INACTIVE" for ae in now.exposed)}
        yield gauge("onemec_mp1_exposed_aes", "AEs exposed at the platform.", "state", exposed)
        yield GaugeMetricFamily("onemec_mp1_mirrored", "MEC services mirrored into the oneM2M tree.", now.mirrored)
        requests = CounterMetricFamily(
            "onemec_mp1_requests", "Requests to the platform, by HTTP status.", labels=["api", "method", "code"]
        )
        for (api, method, code), number in list(self._mp1.requests.items()):
            requests.add_metric([api, method, code], number)
        yield requests
        seconds = HistogramMetricFamily("onemec_mp1_request_seconds", "Until the platform answered.", labels=["api"])
        for api, histogram in list(self._mp1.seconds.items()):
            add_histogram(seconds, [api], histogram)
        yield seconds


def _sync(sync: SyncStatus) -> Iterator[Metric]:
    containers = sync.containers
    yield GaugeMetricFamily("onemec_sync_up", "Whether the cloud answers.", sync.cloud == "up")
    pending = {container.path: container.pending for container in containers}
    yield gauge("onemec_sync_pending", "Instances that wait for the cloud.", "container", pending)
    lag_s = {container.path: container.oldest_pending_s for container in containers}
    yield gauge("onemec_sync_lag_seconds", "How long the first of them has waited.", "container", lag_s)
    forwarded = {container.path: container.forwarded for container in containers}
    yield counter("onemec_sync_forwarded", "Instances the cloud has taken.", "container", forwarded)
    yield GaugeMetricFamily("onemec_sync_outbox_bytes", "Size of what waits on disk.", sync.outbox_bytes)
    yield GaugeMetricFamily("onemec_sync_paused", "Whether the outbox is full.", sync.paused)
    yield CounterMetricFamily("onemec_sync_dropped", "Instances dropped for want of room.", sync.dropped)
    yield CounterMetricFamily("onemec_sync_refused", "Instances the cloud refused for good.", sync.refused)
