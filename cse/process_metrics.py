"""CPU, memory and files of all processes that are one CSE, added up (``--workers``, docs/adr/0018)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

#: what is not added up: the CSE is as old as the oldest, and has room for files as long as the one with least has
_LEAST = frozenset({"process_start_time_seconds", "process_max_fds"})


class Processes:
    """A collector of prometheus_client: the standard ``process_`` metrics, over several processes.

    Args:
        pids: gives the process ids at every scrape; those that are gone count nothing.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """The metrics, as prometheus_client asks for them."""
        totals: dict[str, Metric] = {}
        count = 0
        for pid in self._pids():
            found = list(ProcessCollector(pid=partial(int, pid), registry=CollectorRegistry()).collect())
            count += bool(found)
            for family in found:
                total = totals.setdefault(family.name, family)
                if total is not family:
                    combine = min if family.name in _LEAST else _add
                    total.samples = [
                        one._replace(value=combine(one.value, other.value))
                        for one, other in zip(total.samples, family.samples, strict=True)
                    ]
        yield from totals.values()
        yield GaugeMetricFamily("onemec_processes", "Processes that are this CSE.", count)


def _add(one: float, other: float) -> float:
    return one + other
