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
from benchmarks.results import Results, Row, machine, relation, summary
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
    with Stage(wish.directory) as stage, Generator() as generator:
        return _Session(wish, stage, generator, progress).run()


class _Session:
    def __init__(self, wish: Wish, stage: Stage, generator: Generator, progress: Progress) -> None:
        self._wish, self._stage, self._generator, self._progress = wish, stage, generator, progress
        self._results = Results()
        self._readings: dict[tuple[str, str], list[Reading]] = {}
        self._remarks: dict[tuple[str, str], str] = {}
        self._done = self._total = 0

    def run(self) -> Results:
        """All scenarios on all subjects."""
        arenas = self._arenas() if self._wish.scenarios else []
        broker = arenas[0].subject.broker if arenas else None
        yardsticks = Yardsticks(self._stage, self._generator, broker)
        wanted = yardsticks.wanted(self._wish.scenarios) if arenas else []
        self._total = self._wish.options.repetitions * (len(wanted) + len(self._wish.scenarios) * len(arenas))
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
            if self._wish.subject is not None and arenas:
                arenas[0].clean_up()
        self._facts(arenas)
        self._rows(arenas, wanted)
        for study in self._wish.studies:
            self._study(study)
        return self._results

    def _arenas(self) -> list[Arena]:
        mqtt = None
        if self._wish.subject is not None:
            first = self._wish.subject()
            mqtt = (first.broker, first.broker_name) if first.broker else None
        else:
            if any(scenario.binding == "mqtt" for scenario in self._wish.scenarios):
                mqtt = subjects.broker(self._stage)
            first, _ = subjects.ours(self._stage, mqtt=mqtt)
        found = [first, *(peer(self._stage, mqtt) for peer in self._wish.peers)]
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
            if not foreign:
                raise
            self._remarks[key] = str(error)

    def _study(self, study: Study) -> None:
        names = frozenset(row.name for row in study.rows)
        wanted = names & self._wish.demanded or names
        why = study.missing()
        if self._wish.subject is not None:
            why = "not with --url: it starts CSEs of its own"
        if why and names & self._wish.demanded:
            raise BenchError(f"{', '.join(sorted(wanted))}: {why}")
        bench = Bench(self._generator, self._wish.options, self._wish.directory, wanted, self._tell)
        if not why:
            study.run(bench)
        for scenario in study.rows:
            if scenario.name in wanted:
                row = summary(
                    scenario, subjects.OURS, bench.readings.get(scenario.name, []), scale=bench.options.scale, ours=True
                )
                row.remark = why or row.remark
                self._results.rows.append(row)
                values = [reading.value or 0.0 for reading in bench.readings.get(scenario.name, [])]
                self._results.values[scenario.name, subjects.OURS] = values

    def _tell(self, what: str) -> None:
        self._progress(self._done, self._total, what)
        self._done += 1

    def _note(self, scenario: str, subject: str, reading: Reading) -> None:
        self._readings.setdefault((scenario, subject), []).append(reading)
        self._results.values.setdefault((scenario, subject), []).append(reading.value or 0.0)

    def _facts(self, arenas: Sequence[Arena]) -> None:
        options, facts = self._wish.options, self._results.facts
        facts["date"] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        facts["machine"] = machine()
        facts["command"] = self._wish.command
        facts["runs"] = (
            f"median of {options.repetitions}, {options.effort.seconds:g} s each after {options.effort.warm_up_s:g} s "
            f"of warm-up, interleaved; content of 256 bytes; load generator on the same machine"
        )
        if options.scale != 1:
            facts["scale"] = f"{options.scale:g} of the large numbers"
        if self._wish.subject is None:
            facts[f"durability of {subjects.OURS}"] = subjects.SHIPPED
        for arena in arenas:
            subject = arena.subject
            facts[f"durability of {subject.name}"] = subject.durability
            if subject.broker_name:
                facts["broker"] = subject.broker_name

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
