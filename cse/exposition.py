"""Metric families for Prometheus out of plain counters; what the CSE and the adapter share (ADR 0020, 0025)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from platform import python_version

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from cse.metering import Histogram


def build_info() -> InfoMetricFamily:
    """Which software this is."""
    labels = {"version": version("onemec"), "python": python_version()}
    return InfoMetricFamily("onemec_build", "Version of onemec and of Python.", labels)


def counter(name: str, help_text: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    """A counter with one label."""
    family = CounterMetricFamily(name, help_text, labels=[label])
    for value, number in list(counts.items()):
        family.add_metric([value], number)
    return family


def gauge(name: str, help_text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    """A gauge with one label."""
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for value, number in list(values.items()):
        family.add_metric([value], number)
    return family


def add_histogram(family: HistogramMetricFamily, labels: Iterable[str], histogram: Histogram) -> None:
    """Add what a histogram counted to its family."""
    family.add_metric(list(labels), buckets=list(histogram.buckets()), sum_value=histogram.total)
