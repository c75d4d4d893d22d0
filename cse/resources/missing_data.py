"""Missing data points of a timeSeries: which were expected, which came, which did not (TS-0001 clause 10.2.4.27).

Pure arithmetic on a small state, not a resource type: ``time_series`` keeps the state and its timer. Point ``n`` is
expected with dataGenerationTime ``first + n * pei``; an instance is that point when its own is within ``peid`` of it;
the point is missing when it has not come ``mdt`` after it was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any

#: most points looked at in one go, and most points kept without a limit (mdn) of the timeSeries
MOST_POINTS = 1000
#: instants closer than this are the same: times travel in microseconds
_SAME_S = 1e-6


@dataclass(slots=True)
class Monitor:
    """What is known of a monitored series.

    Attributes:
        first_s: dataGenerationTime of the first instance, seconds since the epoch.
        following: number of the first point that is not settled yet.
        early: numbers of later points that came already.
    """

    first_s: float
    following: int = 1
    early: list[int] = field(default_factory=list)

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Monitor:
        """The monitor that ``dump`` gave."""
        return cls(stored["first_s"], stored["following"], list(stored["early"]))

    def dump(self) -> dict[str, Any]:
        """The state as it is stored."""
        return {"first_s": self.first_s, "following": self.following, "early": self.early}

    def deadline(self, interval_s: float, patience_s: float) -> float:
        """When the next point is missing unless it comes, seconds since the epoch.

        Args:
            interval_s: periodicInterval (pei).
            patience_s: missingDataDetectTimer (mdt).
        """
        return self.first_s + self.following * interval_s + patience_s

    def arrived(self, generated_s: float, interval_s: float, tolerance_s: float) -> None:
        """Take note of an instance.

        Args:
            generated_s: its dataGenerationTime.
            interval_s: periodicInterval (pei).
            tolerance_s: periodicIntervalDelta (peid).
        """
        point = round((generated_s - self.first_s) / interval_s)
        if not self.following <= point < self.following + MOST_POINTS or point in self.early:
            return
        if abs(generated_s - (self.first_s + point * interval_s)) <= tolerance_s + _SAME_S:
            self.early.append(point)

    def overdue(self, now: float, interval_s: float, patience_s: float, most: int = MOST_POINTS) -> list[float]:
        """Settle the points whose time is up; gives the expected times of those that are missing, earliest first.

        Args:
            now: seconds since the epoch.
            interval_s: periodicInterval (pei).
            patience_s: missingDataDetectTimer (mdt).
            most: how many of the latest are worth telling.
        """
        last = floor((now - patience_s - self.first_s + _SAME_S) / interval_s)
        begin = max(self.following, last - max(most, len(self.early)) + 1)
        missing = [self.first_s + point * interval_s for point in range(begin, last + 1) if point not in self.early]
        if last >= self.following:
            self.following = last + 1
            self.early = [point for point in self.early if point > last]
        return missing[-most:]
