"""The pace of the cloud sync: when a container is subscribed to, and when it is listed at intervals (docs/adr/0032).

A notification for each instance costs the edge CSE more than the instance itself. Where many come, one listing for
dozens of them costs a tenth; where few come, notifications are there sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

#: how long instances are counted for a rate
_WINDOW_S = 0.5
#: below this share of what counts as busy it is calm again
_CALM = 0.4
#: pauses between two listings of a container
_FIRST_PAUSE_S, _SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 0.1, 1.0
_GROWTH = 1.5
#: what a listing should bring
_FEW, _MANY = 10, 40
#: a container without anything new for so long is subscribed to again
_QUIET_S = 3.0
#: a container that may drop an instance sooner is not left alone between two listings
_KEEPS_INSTANCES, _KEEPS_S = 2000, 60


class Rate:
    """Instances a second, of the last half second or so.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._count = 0
        self._per_s = 0.0

    def add(self, count: int) -> None:
        """So many came."""
        self._turn()
        self._count += count

    @property
    def per_s(self) -> float:
        """How many come in a second."""
        self._turn()
        return self._per_s

    def _turn(self) -> None:
        elapsed = self._clock() - self._since
        if elapsed >= _WINDOW_S:
            self._per_s = self._count / elapsed
            self._since += elapsed
            self._count = 0


class Pace:
    """What is busy.

    Args:
        busy_per_s: so many instances a second are better listed.
        clock: monotonic seconds.
    """

    def __init__(self, busy_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._busy_per_s = busy_per_s
        self._rate = Rate(clock)

    def took(self, count: int) -> None:
        """So many instances came, of whichever container."""
        self._rate.add(count)

    @property
    def is_busy(self) -> bool:
        """Whether containers should be listed."""
        return self._rate.per_s >= self._busy_per_s

    @property
    def is_calm(self) -> bool:
        """Whether they should be subscribed to again."""
        return self._rate.per_s < self._busy_per_s * _CALM


class Pauses:
    """The pauses between the listings of one container."""

    def __init__(self) -> None:
        self.next_s = _FIRST_PAUSE_S
        self._quiet_s = 0.0

    def brought(self, count: int, *, is_behind: bool = False) -> None:
        """A listing brought so many instances.

        Args:
            count: so many.
            is_behind: those of earlier listings are still on their way to the cloud, so there is time.
        """
        self._quiet_s = 0.0 if count else self._quiet_s + self.next_s
        if count < _FEW or is_behind:
            self.next_s = min(self.next_s * _GROWTH, _LONGEST_PAUSE_S)
        elif count > _MANY:
            self.next_s = max(self.next_s / _GROWTH, _SHORTEST_PAUSE_S)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has come for long."""
        return self._quiet_s >= _QUIET_S


def keeps_enough(container: Mapping[str, Any]) -> bool:
    """Whether a container keeps its instances long enough to be listed now and then.

    Args:
        container: its attributes.
    """
    instances, size_bytes = container.get("cni") or 0, container.get("cbs") or 0
    mean_bytes = max(1.0, size_bytes / instances) if instances else 1.0
    return bool(
        container.get("mni", _KEEPS_INSTANCES) >= _KEEPS_INSTANCES
        and container.get("mbs", _KEEPS_INSTANCES * mean_bytes) >= _KEEPS_INSTANCES * mean_bytes
        and container.get("mia", _KEEPS_S) >= _KEEPS_S
    )
