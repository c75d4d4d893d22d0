"""When something must be done again: a queue of instants by resource and kind (architecture law 1).

Nothing here reads a clock: the shell asks ``next_due`` and comes back with ``timers.run_due``.
"""

from __future__ import annotations

from heapq import heappop, heappush


class TimerQueue:
    """The timers of one CSE: at most one for each resource and kind, earliest first."""

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[tuple[str, str], float] = {}
        self._heap: list[tuple[float, str, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def set(self, ri: str, kind: str, due_s: float | None) -> None:
        """Set a timer in place of the one of the same resource and kind, or cancel that.

        Args:
            ri: resource-ID of the resource it belongs to.
            kind: what it is for; a resource may have one of each kind.
            due_s: seconds since the epoch; None cancels.
        """
        if due_s is None:
            self._due.pop((ri, kind), None)
            if not self._due:
                self._heap.clear()
            return
        if self._due.get((ri, kind)) != due_s:
            self._due[ri, kind] = due_s
            heappush(self._heap, (due_s, ri, kind))
            if len(self._heap) > 64 + 4 * len(self._due):
                # Mostly outdated entries: what is set again and again must not fill memory.
                self._heap = sorted((due, ri, kind) for (ri, kind), due in self._due.items())

    def next_due(self) -> float | None:
        """When to look again, seconds since the epoch: never later than the earliest timer; None without timers."""
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> tuple[str, str] | None:
        """Remove the earliest timer that is due at ``now``, give its resource-ID and kind; None: none is due."""
        while self._heap and self._heap[0][0] <= now:
            due_s, ri, kind = heappop(self._heap)
            if self._due.get((ri, kind)) == due_s:
                del self._due[ri, kind]
                return ri, kind
        return None

    def clear(self) -> None:
        """Forget all timers."""
        self._due.clear()
        self._heap.clear()
