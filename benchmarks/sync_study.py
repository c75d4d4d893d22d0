"""The cloud sync: what an edge CSE takes in, and when it is at the cloud IN-CSE; with the link, and after a cut.

Counted is what the cloud says it has (currentNrOfInstances), not what the adapter says it sent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import subjects
from benchmarks.arena import RIGHT_CREATE, Arena
from benchmarks.driver import Effort
from benchmarks.processes import LOOPBACK, BenchError, Child, Stage, free_port
from benchmarks.scenarios import Reading

if TYPE_CHECKING:
    from benchmarks.studies import Bench

EDGE = ("cse-edge", "/id-edge")
SOURCES = 20
OFFERED_PER_S, CUT_PER_S = 5_000.0, 2_500.0
#: instances that come in during the cut, at --scale 1
CUT_INSTANCES = 50_000
#: the adapter, and who counts
_ADMINS = ("--admin", "Cmec-adapter", "--admin", "CAdmin")
_CLIENTS = 32
#: without one more instance at the cloud for so long, the rest is lost
_STANDSTILL_S = 60.0
#: the run is short at small scales, but never too short for a rate
_SHORTEST_S, _SUSTAINED_S = 2.0, 20.0


class _Setting:
    """Cloud, edge and adapter."""

    def __init__(self, bench: Bench, stage: Stage) -> None:
        self._stage, self._port = stage, free_port()
        self.cloud, self._cloud_child = self._start_cloud()
        edge, _ = subjects.ours(stage, name=EDGE, options=("--type", "MN", *_ADMINS))
        self.edge: Arena = bench.arena(edge)
        for number in range(SOURCES):
            edge.container(self.edge.ae, f"data{number}")
        paths = [f"{self.edge.ae}/data{number}" for number in range(SOURCES)]
        self.templates = [edge.speaker.create_instance(path) for path in paths]
        self.adapter = self._start_adapter(edge, f"{self.edge.ae}/data*")
        # every container has to be known to the sync, so that the measurement does not begin with finding them
        self.posted = 0
        self.post(Effort(count=SOURCES))
        self.wait_for_all()

    def _start_cloud(self) -> tuple[subjects.Subject, Child]:
        store = f"sqlite:///{self._stage.folder}/cloud.db"
        return subjects.ours(self._stage, store=store, port=self._port, options=_ADMINS)

    def _start_adapter(self, edge: subjects.Subject, pattern: str) -> Child:
        return self._stage.python(
            *("-m", "onemec", "adapter", "--mep", "off", "--listen", f"{LOOPBACK}:{free_port()}"),
            *("--cse", f"http://{LOOPBACK}:{edge.http[1]}", "--cse-id", edge.cse_id),
            *("--cloud", f"http://{LOOPBACK}:{self._port}", "--cloud-id", self.cloud.cse_id),
            *("--sync-path", pattern, "--outbox", str(self._stage.folder / "outbox.db"), "--max-outbox", "2G"),
            *("--discovery", "1s", "--retry-longest", "1s", "--log-level", "error"),
        )

    def cut(self) -> None:
        """The cloud is gone."""
        self._cloud_child.stop()

    def mend(self) -> None:
        """The cloud is there again, with all it had."""
        self.cloud, self._cloud_child = self._start_cloud()

    def post(self, effort: Effort) -> float:
        """Give instances to the edge, to all containers in turn; returns how many a second it took."""
        measured = self.edge.generator.http(
            self.edge.subject.http, self.templates, clients=_CLIENTS, expected=RIGHT_CREATE, effort=effort
        )
        if measured.sample.wrong:
            raise BenchError(f"the edge CSE refused instances: {measured.sample.first_wrong[:200]}")
        self.posted += measured.sample.answers
        return measured.sample.rate

    def arrived(self) -> int:
        """How many instances the cloud says it has."""
        status, answer = self.cloud.ask("GET", f"{self.cloud.base}?fu=1&ty=3", originator="CAdmin")
        if status != 200:
            return 0
        total = 0
        for path in answer.get("m2m:uril", []):
            status, container = self.cloud.ask("GET", path.lstrip("/"), originator="CAdmin")
            if status == 200 and "/data" in f"/{path}":
                total += int(container["m2m:cnt"]["cni"])
        return total

    def wait_for_all(self) -> float:
        """Wait until the cloud has all that was posted; returns how long that took in seconds.

        Raises:
            BenchError: it does not get it, or the adapter ended.
        """
        began = since = time.perf_counter()
        last = -1
        while (there := self.arrived()) < self.posted:
            if there != last:
                last, since = there, time.perf_counter()
            if self.adapter.process.poll() is not None:
                raise BenchError(f"the adapter ended: {self.adapter.last_words()}")
            if time.perf_counter() - since > _STANDSTILL_S:
                raise BenchError(f"the sync stands still: the cloud has {there} of {self.posted} instances")
            time.sleep(0.2)
        return time.perf_counter() - began

    def too_many(self) -> int:
        """How many instances the cloud has more than were posted."""
        return self.arrived() - self.posted


def run(bench: Bench) -> None:
    """Sustained, then cut and drained.

    Raises:
        BenchError: something was lost or did not start.
    """
    with Stage(bench.directory) as stage:
        bench.tell("edge, cloud and adapter")
        setting = _Setting(bench, stage)
        bench.tell("sync, sustained")
        seconds = max(_SHORTEST_S, _SUSTAINED_S * bench.options.scale)
        before, began = setting.arrived(), time.perf_counter()
        taken = setting.post(Effort(seconds, 0.0, rate_per_s=OFFERED_PER_S))
        there, span_s = setting.arrived(), time.perf_counter() - began
        later_s = setting.wait_for_all()
        remark = f"the edge took {taken:,.0f}/s; all of {setting.posted:,} there {later_s:.1f} s after the last"
        bench.note("sync-sustained", Reading((there - before) / span_s, wrong=setting.too_many(), remark=remark))
        if "sync-drain" in bench.wanted:
            _drain(bench, setting)


def _drain(bench: Bench, setting: _Setting) -> None:
    bench.tell("sync, cut")
    setting.cut()
    count = bench.options.scaled(CUT_INSTANCES)
    setting.post(Effort(count=count, rate_per_s=CUT_PER_S))
    bench.tell("sync, drain")
    setting.mend()
    took_s = setting.wait_for_all()
    remark = f"{count:,} instances in {took_s:.1f} s"
    bench.note("sync-drain", Reading(count / took_s, wrong=setting.too_many(), remark=remark))
