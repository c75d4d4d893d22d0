"""What the runs with kills and power cuts came to, in one line at the end of each kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

#: faults in one test: no single one runs for minutes
_BATCH = 10


@dataclass
class Tally:
    """Counts of one kind of fault.

    Args:
        what: the fault in words.
    """

    what: str
    faults: int = 0
    acknowledged: int = 0
    lost: int = 0
    control_faults: int = 0
    control_lost: int = 0
    slowest_s: float = 0.0
    seeds: list[int] = field(default_factory=list)

    def add(self, faults: int, acknowledged: int, wrong: Sequence[str], slowest_s: float, seed: int) -> None:
        """Note a batch, and print it."""
        self.faults += faults
        self.acknowledged += acknowledged
        self.lost += len(wrong)
        self.slowest_s = max(self.slowest_s, slowest_s)
        self.seeds.append(seed)
        print(
            f"{faults} {self.what}, {acknowledged} writes acknowledged, {len(wrong)} lost or wrong, "
            f"slowest restart {slowest_s:.1f} s, seed {seed}"
        )

    def control(self, faults: int, lost: int) -> None:
        """Note what a CSE lost that breaks its promise."""
        self.control_faults += faults
        self.control_lost += lost

    def summary(self) -> str:
        """All of it."""
        control = f"; control: {self.control_faults} {self.what}, {self.control_lost} lost"
        return (
            f"\nin all: {self.faults} {self.what}, {self.acknowledged} writes acknowledged, {self.lost} lost or wrong, "
            f"slowest restart {self.slowest_s:.1f} s{control if self.control_faults else ''}"
        )


def batches(variable: str, default: int, parts: int = 4) -> list[int]:
    """How many faults each test of a run has.

    Args:
        variable: of the environment, says how many there are in all.
        default: how many there are without it.
        parts: least number of tests.
    """
    count = int(os.environ.get(variable, str(default)))
    size = min(_BATCH, -(-count // parts))
    return [min(size, count - begun) for begun in range(0, count, size)]
