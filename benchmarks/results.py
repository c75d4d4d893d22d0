"""What a run found: one row per scenario and subject, with medians, and the facts that belong to them."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.scenarios import Reading, Scenario, Target

#: a machine whose load average is below this part of its cores is quiet
_QUIET = 0.5


@dataclass(slots=True)
class Row:
    """Medians of one scenario on one subject.

    Attributes:
        scenario: its name.
        title: its title.
        subject: what was measured.
        unit: of the value.
        value: median; None when it could not be measured.
        lowest: of the repetitions.
        highest: of the repetitions.
        repetitions: how many there were.
        p50_ms: median of the median response times.
        p99_ms: median of the 99th percentiles.
        cpu_us: processor time of the server per request.
        wrong: wrong answers and lost notifications in all repetitions.
        first_wrong: what the first of them said.
        remark: what else is to be said; why there is no value.
        target: what has to be reached, None for nothing.
        met: whether it was reached; None when there is no target or no value.
        of_echo: value in relation to the raw uvicorn echo of the same repetition (median), for rates.
        of_ceiling: value in relation to the generator's ceiling (median), for rates.
        best_peer: the best open CSE's value as quoted, 0.0 for none.
    """

    scenario: str
    title: str
    subject: str
    unit: str
    value: float | None = None
    lowest: float = 0.0
    highest: float = 0.0
    repetitions: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_us: float = 0.0
    wrong: int = 0
    first_wrong: str = ""
    remark: str = ""
    target: Target | None = None
    met: bool | None = None
    of_echo: float = 0.0
    of_ceiling: float = 0.0
    best_peer: float = 0.0


@dataclass(slots=True)
class Results:
    """A whole run.

    Attributes:
        rows: all rows.
        facts: date, machine, durability and so on, by name.
        values: all single values of the repeated rows, by scenario and subject.
        failed: scenarios that could not be measured on the first subject, and why.
    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def row(self, scenario: str, subject: str) -> Row | None:
        """One row, None when there is none."""
        return next((row for row in self.rows if (row.scenario, row.subject) == (scenario, subject)), None)

    def ratio(self, scenario: str, subject: str, peer: str) -> float:
        """How many times better a subject is than a peer (median over the repetitions); 0.0 when not known."""
        row = self.row(scenario, subject)
        mine, theirs = self.values.get((scenario, subject), []), self.values.get((scenario, peer), [])
        pairs = [(one, other) for one, other in zip(mine, theirs, strict=False) if one and other]
        if row is None or not pairs:
            return 0.0
        return statistics.median(one / other if row.unit == "/s" else other / one for one, other in pairs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "facts": self.facts,
            "rows": [asdict(row) | {"values": self.values.get((row.scenario, row.subject), [])} for row in self.rows],
        }


def summary(scenario: Scenario, subject: str, readings: Sequence[Reading], *, scale: float, ours: bool) -> Row:
    """Medians of the readings of one scenario; targets apply to ours only, and to the whole numbers only."""
    row = Row(scenario.name, scenario.title, subject, scenario.unit, best_peer=scenario.best_peer)
    if not readings:
        return row
    row.wrong = sum(reading.wrong for reading in readings)
    row.first_wrong = next((reading.first_wrong for reading in readings if reading.first_wrong), "")
    values = [reading.value for reading in readings if reading.value is not None]
    if not values:
        row.remark = "no right answer"
        return row
    row.value, row.lowest, row.highest = statistics.median(values), min(values), max(values)
    row.repetitions = len(values)
    middle = row.value
    nearest = min(readings, key=lambda one: abs(one.value - middle) if one.value is not None else float("inf"))
    row.remark = nearest.remark
    row.p50_ms = statistics.median(reading.p50_ms for reading in readings)
    row.p99_ms = statistics.median(reading.p99_ms for reading in readings)
    row.cpu_us = statistics.median(reading.cpu_us for reading in readings)
    if ours and (target := scenario.target) is not None:
        reached = row.value >= target.value if scenario.more_is_better else row.value <= target.value
        row.target = target
        if scenario.scaled and scale != 1:
            row.remark = f"at scale {scale:g}; {row.remark}".rstrip("; ")
        else:
            row.met = reached and (not target.p50_ms or row.p50_ms <= target.p50_ms) and not row.wrong
    return row


def relation(values: Sequence[float], base: Sequence[float]) -> float:
    """Median of value by value, of the same repetition; 0.0 when there is nothing to compare with."""
    ratios = [one / other for one, other in zip(values, base, strict=False) if other]
    return statistics.median(ratios) if ratios else 0.0


def other_work() -> str:
    """What else the machine has to do before a run, in words; "" when it is next to nothing."""
    waiting, cores = os.getloadavg()[0], os.cpu_count() or 1
    if waiting < cores * _QUIET:
        return ""
    return f"load average {waiting:.1f} on {cores} cores before the run: the figures are too low, ratios hold better"


def machine() -> str:
    """Processor, cores, memory, system and Python, in words."""
    model = memory = ""
    for path, name in (("/proc/cpuinfo", "model name"), ("/proc/meminfo", "MemTotal")):
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        value = next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
        if name == "MemTotal" and value:
            memory = f"{int(value.split()[0]) / 1e6:.0f} GB"
        else:
            model = value
    parts = [f"{os.cpu_count()} cores", model, memory, platform.system(), f"Python {platform.python_version()}"]
    return ", ".join(part for part in parts if part)
