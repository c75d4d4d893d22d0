"""What is measured, with the target of each, and what the best open peer was measured to do.

The targets are for the whole CSE on two cores, generator on the same machine. The figures of peers are quoted from one
interleaved run of November 2026 (ACME 2026.5, tinyIoT, Mobius 2.5, Mobius4; each at its best); `--peer` measures anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.arena import Arena
from benchmarks.driver import Measured

PER_SECOND, MILLISECONDS, MEGABYTES, SECONDS, TIMES = "/s", "ms", "MB", "s", "x"
#: resources, AEs and so on at --scale 1
ENTITIES = 1_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a scenario with what belongs to it.

    Attributes:
        value: in the unit of the scenario; None when there was no right answer.
        p50_ms: median response time, 0.0 where there is none.
        p99_ms: 99th percentile.
        cpu_us: processor time of the server per request in microseconds, 0.0 when not known.
        wrong: answers that were not right, and notifications that were lost.
        first_wrong: what the first of them was.
        remark: what else is to be said.
    """

    value: float | None
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_us: float = 0.0
    wrong: int = 0
    first_wrong: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What has to be reached.

    Attributes:
        value: in the unit of the scenario.
        p50_ms: highest median response time, 0.0 for any.
    """

    value: float
    p50_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: for ``--only``.
        title: for the table.
        unit: of its value; "/s": more is better, all others: less is better.
        measure: one run; None when it is part of a study (``benchmarks.studies``).
        target: what has to be reached, None where only the figure is wanted.
        best_peer: the best open CSE's value, as quoted.
        binding: whose ceiling belongs to it: http, mqtt or coap.
        clients: requests under way, for the ceiling.
        peers: why a peer is not measured; "" when it is.
        scaled: a smaller --scale measures something else, which cannot meet the target.
    """

    name: str
    title: str
    unit: str
    measure: Callable[[Arena], Reading] | None = None
    target: Target | None = None
    best_peer: float = 0.0
    binding: str = "http"
    clients: int = 1
    peers: str = ""
    scaled: bool = False

    @property
    def more_is_better(self) -> bool:
        """Whether a higher value is better."""
        return self.unit == PER_SECOND


def rate(measured: Measured) -> Reading:
    """Right answers per second."""
    sample = measured.sample
    lost = f"; {sample.lost} notifications lost" if sample.lost else ""
    return Reading(
        sample.rate,
        sample.p50_ms,
        sample.p99_ms,
        measured.cpu_us,
        sample.wrong + sample.lost,
        (sample.first_wrong + lost).strip("; "),
        f"{sample.notified} of {sample.notified + sample.lost} notified" if sample.notified else "",
    )


def _per_second(run: Callable[[Arena], Measured]) -> Callable[[Arena], Reading]:
    return lambda arena: rate(run(arena))


def _duration(measured: Measured, value_ms: float) -> Reading:
    """The reading of a run whose value is a time; without a right answer there is none."""
    return replace(rate(measured), value=value_ms if measured.sample.right else None)


def _notified_p50(arena: Arena) -> Reading:
    measured = arena.create_notified(1, wait=True)
    return _duration(measured, measured.sample.notified_p50_ms)


def _fan_out_p95(arena: Arena) -> Reading:
    measured = arena.fan_out()
    return _duration(measured, measured.sample.p95_ms)


def _entities(arena: Arena) -> Reading:
    return rate(arena.many_entities(arena.options.scaled(ENTITIES) if arena.options.scale < 1 else ENTITIES, 20))


def _discover(resources: int, arena: Arena) -> Reading:
    return rate(arena.discover(arena.options.scaled(resources) if resources > 10_000 else resources))


def short() -> tuple[Scenario, ...]:
    """The scenarios that are repeated slice by slice, in the order of the table."""

    def create(clients: int) -> Callable[[Arena], Reading]:
        return _per_second(lambda arena: arena.create(clients))

    def latest(clients: int) -> Callable[[Arena], Reading]:
        return _per_second(lambda arena: arena.retrieve(f"{arena.data()}/la", clients, '"m2m:cin"'))

    container = _per_second(lambda arena: arena.retrieve(arena.data(), 32, '"m2m:cnt"'))
    subscribed = _per_second(lambda arena: arena.create_notified(32, wait=False))
    return (
        Scenario("http-create-c1", "HTTP create, c=1", PER_SECOND, create(1), Target(1_500, 0.6), 396),
        Scenario("http-create-c32", "HTTP create, c=32", PER_SECOND, create(32), Target(10_000), 630, clients=32),
        Scenario("http-la-c1", "HTTP retrieve la, c=1", PER_SECOND, latest(1), None, 3_496),
        Scenario("http-la-c32", "HTTP retrieve la, c=32", PER_SECOND, latest(32), Target(20_000), 6_707, clients=32),
        Scenario("http-container-c32", "HTTP retrieve container, c=32", PER_SECOND, container, None, 6_192, clients=32),
        *(
            Scenario(
                f"mqtt-create-c{clients}",
                f"MQTT create, c={clients}",
                PER_SECOND,
                _per_second(lambda arena, clients=clients: arena.mqtt(clients)),  # type: ignore[misc]
                Target(target),
                best,
                "mqtt",
                clients,
            )
            for clients, target, best in ((1, 1_000, 426), (50, 6_000, 930))
        ),
        *(
            Scenario(
                f"coap-create-c{clients}",
                f"CoAP create, c={clients}",
                PER_SECOND,
                _per_second(lambda arena, clients=clients: arena.coap(clients)),  # type: ignore[misc]
                target,
                best,
                "coap",
                clients,
            )
            for clients, target, best in ((1, None, 268), (32, Target(8_000), 268))
        ),
        *(
            Scenario(
                f"discovery-{resources}",
                f"discovery, 10 hits in {resources:,} resources, c=32",
                PER_SECOND,
                partial(_discover, resources),
                Target(target),
                best,
                clients=32,
                peers="filling it would take many minutes" if resources > 10_000 else "",
                scaled=resources > 10_000,
            )
            for resources, target, best in ((1_000, 8_000, 1_349), (10_000, 6_000, 400), (100_000, 4_000, 0))
        ),
        Scenario("notification-c1", "create -> notification, p50, c=1", MILLISECONDS, _notified_p50, Target(1.5), 4.0),
        Scenario(
            "subscribed-c32", "create with subscription, c=32", PER_SECOND, subscribed, Target(5_000), 223, clients=32
        ),
        Scenario("fan-out-100", "group fan-out to 100 local members, p95, c=1", MILLISECONDS, _fan_out_p95, Target(20)),
        Scenario(
            "entities-1000",
            "1,000 AEs with container and subscription, 20 clients, none lost",
            PER_SECOND,
            _entities,
            Target(5_000),
            577,
            clients=20,
            scaled=True,
        ),
    )
