"""What needs CSEs of its own and minutes: start, memory, growth, PostgreSQL with workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import postgres, subjects
from benchmarks.arena import Arena, Options
from benchmarks.driver import Generator, Measured
from benchmarks.processes import Stage, resident_mb
from benchmarks.scenarios import (
    MEGABYTES,
    PER_SECOND,
    SECONDS,
    TIMES,
    Reading,
    Scenario,
    Target,
    rate,
)

CONTAINERS, INSTANCES = 100_000, 1_000_000
_STARTS = 3
_SETTLED_S = 1.0


@dataclass(slots=True)
class Bench:
    """What a study works with.

    Attributes:
        generator: the load generator.
        options: of the run.
        directory: where databases go.
        wanted: names of the rows that are asked for.
        tell: called with what comes next.
        readings: what was found, by row.
    """

    generator: Generator
    options: Options
    directory: Path | None
    wanted: frozenset[str]
    tell: Callable[[str], None]
    readings: dict[str, list[Reading]] = field(default_factory=dict)

    def note(self, name: str, reading: Reading) -> None:
        """Keep a reading of a row that was asked for."""
        if name in self.wanted:
            self.readings.setdefault(name, []).append(reading)

    def arena(self, subject: subjects.Subject) -> Arena:
        """An arena for a CSE of the study."""
        return Arena(subject, self.generator, self.options)


@dataclass(frozen=True, slots=True)
class Study:
    """Some rows that are found together.

    Attributes:
        rows: them.
        run: finds them.
        missing: says what is not installed, "" when all is there.
    """

    rows: tuple[Scenario, ...]
    run: Callable[[Bench], None]
    missing: Callable[[], str] = lambda: ""


# --- start and memory of an empty CSE -------------------------------------------------------------------------


def _empty(bench: Bench) -> None:
    for _ in range(min(_STARTS, bench.options.repetitions)):
        bench.tell("start of an empty CSE")
        with Stage(bench.directory) as stage:
            began = time.perf_counter()
            subject, _ = subjects.ours(stage)
            bench.note("start-empty", Reading(time.perf_counter() - began))
            time.sleep(_SETTLED_S)
            bench.note("memory-idle", Reading(resident_mb(subject.pids)))


# --- a large tree ---------------------------------------------------------------------------------------------


def _large(bench: Bench) -> None:
    containers, instances = bench.options.scaled(CONTAINERS), bench.options.scaled(INSTANCES)
    with Stage(bench.directory) as stage, Stage(bench.directory) as second:
        store = f"sqlite:///{stage.folder}/large.db"
        subject, child = subjects.ours(stage, store=store)
        arena = bench.arena(subject)
        many = subject.container(arena.ae, "many")
        time.sleep(_SETTLED_S)
        idle = resident_mb(subject.pids)
        bench.tell(f"{containers:,} containers")
        arena.containers(many, containers)
        time.sleep(_SETTLED_S)
        full = resident_mb(subject.pids)
        bench.note("memory-containers", Reading(full - idle, remark=f"{containers:,} containers: {full:.0f} MB"))
        if "start-100000" in bench.wanted:
            for _ in range(min(_STARTS, bench.options.repetitions)):
                bench.tell(f"start with {containers:,} resources")
                child.stop()
                began = time.perf_counter()
                subject, child = subjects.ours(stage, store=store)
                took_s = time.perf_counter() - began
                bench.note("start-100000", Reading(took_s, remark=f"{containers:,} resources"))
            subject = replace(subject, speaker=arena.subject.speaker)
        if bench.wanted & {"memory-instances", "growth-create-p99", "growth-la-p99"}:
            _grown(bench, subject, bench.arena(subjects.ours(second)[0]), instances, arena.ae)


def _grown(bench: Bench, subject: subjects.Subject, empty: Arena, instances: int, ae: str) -> None:
    arena = bench.arena(subject)
    arena.once("ae", lambda: ae)
    container, little = subject.container(ae, "deep"), empty.subject.container(empty.ae, "deep")
    template = subject.speaker.create_instance(container)
    arena.fill([template], min(1000, instances))
    empty.fill([empty.subject.speaker.create_instance(little)], 1)
    time.sleep(_SETTLED_S)
    before = resident_mb(subject.pids)
    bench.tell(f"{instances:,} instances in one container")
    speed = arena.fill([template], instances)
    time.sleep(_SETTLED_S)
    after = resident_mb(subject.pids)
    remark = f"{instances:,} instances, written at {speed:,.0f}/s: {before:.0f} -> {after:.0f} MB"
    bench.note("memory-instances", Reading(after - before, remark=remark))
    for kind in ("create", "la"):
        if f"growth-{kind}-p99" in bench.wanted:
            for _ in range(bench.options.repetitions):
                bench.tell(f"{kind} with {instances:,} instances against empty")
                _against(bench, f"growth-{kind}-p99", _p99(kind, empty, little), _p99(kind, arena, container))


def _p99(kind: str, arena: Arena, container: str) -> Callable[[], Measured]:
    if kind == "la":
        return lambda: arena.retrieve(f"{container}/la", 32, '"m2m:cin"')
    return lambda: arena.create_in(container, 32)


def _against(bench: Bench, name: str, empty: Callable[[], Measured], full: Callable[[], Measured]) -> None:
    small, large = empty().sample, full().sample
    wrong, said = small.wrong + large.wrong, small.first_wrong or large.first_wrong
    value = large.p99_ms / small.p99_ms if small.right and large.right else None
    remark = f"p99 {large.p99_ms:.1f} ms against {small.p99_ms:.1f} ms, {large.rate:,.0f}/s against {small.rate:,.0f}/s"
    bench.note(name, Reading(value, large.p50_ms, large.p99_ms, 0.0, wrong, said, remark))


# --- PostgreSQL -----------------------------------------------------------------------------------------------


def _postgresql(bench: Bench) -> None:
    bench.tell("PostgreSQL with two workers")
    with Stage(bench.directory) as database, Stage(bench.directory) as stage:
        url = postgres.start(database)
        subject, _ = subjects.ours(stage, store=url, durability=postgres.DURABILITY, options=("--workers", "2"))
        arena = bench.arena(subject)
        for _ in range(bench.options.repetitions):
            bench.tell("PostgreSQL with two workers, HTTP create, c=32")
            reading = rate(arena.create(32))
            memory = f"{postgres.DURABILITY}; both workers {resident_mb(subject.pids):.0f} MB"
            bench.note("postgresql-create-c32", replace(reading, remark=memory))


def studies() -> tuple[Study, ...]:
    """All of them, in the order of the table."""
    from benchmarks import sync_study

    return (
        Study(
            (
                Scenario(
                    "growth-create-p99",
                    "HTTP create c=32, p99: 1,000,000 instances and 100,000 containers against empty",
                    TIMES,
                    target=Target(2.0),
                    scaled=True,
                ),
                Scenario(
                    "growth-la-p99",
                    "HTTP la c=32, p99: 1,000,000 instances and 100,000 containers against empty",
                    TIMES,
                    target=Target(2.0),
                    scaled=True,
                ),
                Scenario(
                    "memory-containers", "memory for 100,000 containers", MEGABYTES, target=Target(300), scaled=True
                ),
                Scenario(
                    "memory-instances",
                    "memory for 1,000,000 instances (no growth: allocators and caches only)",
                    MEGABYTES,
                    target=Target(30),
                    scaled=True,
                ),
                Scenario(
                    "start-100000", "start to first answer, 100,000 resources", SECONDS, target=Target(3.0), scaled=True
                ),
            ),
            _large,
        ),
        Study(
            (
                Scenario("memory-idle", "memory, idle", MEGABYTES, target=Target(70), best_peer=0),
                Scenario("start-empty", "start to first answer, empty", SECONDS, target=Target(0.7)),
            ),
            _empty,
        ),
        Study(
            (
                Scenario(
                    "postgresql-create-c32",
                    "PostgreSQL, 2 workers: HTTP create, c=32",
                    PER_SECOND,
                    target=Target(3_000),
                    best_peer=630,
                    clients=32,
                ),
            ),
            _postgresql,
            postgres.missing,
        ),
        Study(
            (
                Scenario(
                    "sync-sustained",
                    "edge -> cloud sync, sustained (5,000/s offered to 20 containers)",
                    PER_SECOND,
                    target=Target(5_000),
                ),
                Scenario(
                    "sync-drain",
                    "edge -> cloud sync, drain after a cut (2,500/s came in meanwhile)",
                    PER_SECOND,
                    target=Target(5_000),
                ),
            ),
            sync_study.run,
        ),
    )
