"""One run of the benchmark: starts what is needed, goes through the scenarios slice by slice, gives the results."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import subjects
from benchmarks.arena import Arena, Options, Unsupported
from benchmarks.driver import Address, Generator
from benchmarks.processes import BenchError, Stage, resident_mb
from benchmarks.results import Results, Row, machine, other_work, relation, summary
from benchmarks.scenarios import MEGABYTES, PER_SECOND, Reading, Scenario
from benchmarks.studies import Bench, Study
from benchmarks.subjects import Subject
from benchmarks.yardsticks import ECHO, Yardsticks, ceiling

YARDSTICK = "yardstick"
#: told with the number of what is done, of how much, and what comes now
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to measure.

    Attributes:
        scenarios: those that are repeated.
        options: how long and how often.
        directory: where the databases go, None for the system's place.
        subject: gives a running CSE to measure instead of one of ours.
        peers: start other CSEs, given the stage and the broker.
        command: how this run was called, for the report.
        studies: those that need CSEs of their own.
        demanded: rows that were asked for by name: what they need has to be there.
    """

    scenarios: Sequence[Scenario]
    options: Options
    directory: Path | None = None
    subject: Callable[[], Subject] | None = None
    peers: Sequence[Callable[[Stage, tuple[Address, str] | None], Subject]] = ()
    command: str = "onemec bench"
    studies: Sequence[Study] = ()
    demanded: frozenset[str] = frozenset()


def measure(wish: Wish, progress: Progress) -> Results:
    """Do it.

    Raises:
        BenchError: something needed is missing.
    """
    _check(wish)
    busy = other_work()
    with Generator() as generator:
        session = _Session(wish, generator, progress)
        if wish.scenarios:
            with Stage(wish.directory) as stage:  # what is repeated is over before the studies begin: two cores only
                session.repeated(stage)
        results = session.lasting()
    if busy:
        results.facts["other work"] = busy
    return results


def _check(wish: Wish) -> None:
    """What was asked for by name has to be possible, which is known before an hour of measuring."""
    for study in wish.studies:
        asked = sorted({row.name for row in study.rows} & wish.demanded)
        if asked and (why := _not_here(wish, study)):
            raise BenchError(f"{', '.join(asked)}: {why}")


def _not_here(wish: Wish, study: Study) -> str:
    return "not with --url: it starts CSEs of its own" if wish.subject is not None else study.missing()


class _Session:
    def __init__(self, wish: Wish, generator: Generator, progress: Progress) -> None:
        self._wish, self._generator, self._progress = wish, generator, progress
        self._results = Results()
        self._readings: dict[tuple[str, str], list[Reading]] = {}
        self._remarks: dict[tuple[str, str], str] = {}
        self._done = 0
        self._total = wish.options.repetitions * sum(len(study.rows) for study in wish.studies)

    def repeated(self, stage: Stage) -> None:
        """The scenarios that are measured slice by slice, on all subjects."""
        arenas = self._arenas(stage)
        yardsticks = Yardsticks(stage, self._generator, arenas[0].subject.broker)
        wanted = yardsticks.wanted(self._wish.scenarios)
        slices = len(wanted) + len(self._wish.scenarios) * len(arenas)
        self._total += self._wish.options.repetitions * slices
        try:
            for _ in range(self._wish.options.repetitions):
                for name, title in wanted:
                    self._tell(title)
                    self._note(name, YARDSTICK, yardsticks.measure(name, self._wish.options.effort))
                for scenario in self._wish.scenarios:
                    for arena in arenas:
                        self._tell(f"{scenario.title} ({arena.subject.name})")
                        self._slice(scenario, arena)
        finally:
            if self._wish.subject is not None:
                arenas[0].clean_up()
        self._rows(arenas, wanted)
        for arena in arenas:
            subject = arena.subject
            self._results.facts[f"durability of {subject.name}"] = subject.durability
            if subject.broker_name:
                self._results.facts["broker"] = subject.broker_name

    def lasting(self) -> Results:
        """The studies; returns everything."""
        for study in self._wish.studies:
            self._study(study)
        options, facts = self._wish.options, self._results.facts
        if self._wish.subject is None:
            facts[f"durability of {subjects.OURS}"] = subjects.SHIPPED
        facts["date"] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        facts["machine"] = machine()
        facts["command"] = self._wish.command
        facts["runs"] = (
            f"median of {options.repetitions}, {options.effort.seconds:g} s each after {options.effort.warm_up_s:g} s "
            f"of warm-up, interleaved; content of 256 bytes; load generator on the same machine"
        )
        if options.scale != 1:
            facts["scale"] = f"{options.scale:g} of the large numbers"
        return self._results

    def _arenas(self, stage: Stage) -> list[Arena]:
        self._progress(0, self._total, "starting what is measured; a peer is installed at its first use")
        mqtt = None
        if self._wish.subject is not None:
            first = self._wish.subject()
            mqtt = (first.broker, first.broker_name) if first.broker else None
        else:
            if any(scenario.binding == "mqtt" for scenario in self._wish.scenarios):
                mqtt = subjects.broker(stage)
            first, _ = subjects.ours(stage, mqtt=mqtt)
        found = [first, *(peer(stage, mqtt) for peer in self._wish.peers)]
        return [Arena(subject, self._generator, self._wish.options) for subject in found]

    def _slice(self, scenario: Scenario, arena: Arena) -> None:
        key = (scenario.name, arena.subject.name)
        if key in self._remarks:
            return
        foreign = arena.subject.name not in (subjects.OURS, subjects.FOREIGN)
        if foreign and scenario.peers:
            self._remarks[key] = scenario.peers
            return
        try:
            if scenario.measure is not None:
                self._note(*key, scenario.measure(arena))
        except Unsupported as error:
            self._remarks[key] = str(error)
        except BenchError as error:
            self._remarks[key] = f"could not be measured: {error}"
            if not foreign:
                self._results.failed[scenario.name] = str(error)

    def _study(self, study: Study) -> None:
        names = frozenset(row.name for row in study.rows)
        wanted = names & self._wish.demanded or names
        why = _not_here(self._wish, study)
        bench = Bench(self._generator, self._wish.options, self._wish.directory, wanted, self._tell)
        if not why:
            why = self._try(study, bench)
        for scenario in study.rows:
            if scenario.name in wanted:
                row = summary(
                    scenario, subjects.OURS, bench.readings.get(scenario.name, []), scale=bench.options.scale, ours=True
                )
                row.remark = row.remark if row.repetitions else why
                self._results.rows.append(row)
                values = [reading.value or 0.0 for reading in bench.readings.get(scenario.name, [])]
                self._results.values[scenario.name, subjects.OURS] = values

    def _try(self, study: Study, bench: Bench) -> str:
        """Run a study; a failure is told in its rows, because the rest of a long run is worth having."""
        try:
            study.run(bench)
        except BenchError as error:
            self._results.failed |= {name: str(error) for name in bench.wanted - set(bench.readings)}
            return f"could not be measured: {error}"
        return ""

    def _tell(self, what: str) -> None:
        self._progress(min(self._done, self._total), self._total, what)
        self._done += 1

    def _note(self, scenario: str, subject: str, reading: Reading) -> None:
        self._readings.setdefault((scenario, subject), []).append(reading)
        self._results.values.setdefault((scenario, subject), []).append(reading.value or 0.0)

    def _rows(self, arenas: Sequence[Arena], wanted: Sequence[tuple[str, str]]) -> None:
        values = self._results.values
        for name, title in wanted:
            scenario = Scenario(name, title, PER_SECOND)
            self._results.rows.append(
                summary(scenario, YARDSTICK, self._readings[name, YARDSTICK], scale=1.0, ours=False)
            )
        for scenario in self._wish.scenarios:
            for number, arena in enumerate(arenas):
                key = (scenario.name, arena.subject.name)
                row = summary(
                    scenario, key[1], self._readings.get(key, []), scale=self._wish.options.scale, ours=number == 0
                )
                row.remark = self._remarks.get(key, row.remark)
                if scenario.unit == PER_SECOND:
                    row.of_echo = relation(values.get(key, []), values.get((ECHO, YARDSTICK), []))
                    row.of_ceiling = relation(values.get(key, []), values.get((ceiling(scenario), YARDSTICK), []))
                self._results.rows.append(row)
        for arena in arenas:
            if arena.subject.pids:
                title = "resident memory after all of the above"
                resident = Row("memory-after", title, arena.subject.name, MEGABYTES)
                resident.value = resident.lowest = resident.highest = resident_mb(arena.subject.pids)
                resident.repetitions = 1
                self._results.rows.append(resident)
