"""Counters that cost the hot path next to nothing: they are numbers in lists until somebody scrapes (ADR 0025)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

#: upper bounds in seconds, from a read out of memory to a request somebody else must answer
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: upper bounds of how many change sets are committed together
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Histogram:
    """How often a value fell between which bounds. One thread observes, any may read.

    Args:
        bounds: upper bounds, ascending; a value equal to one is below it.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        #: values by bucket, not cumulated; the last is for those beyond all bounds
        self.counts = [0] * (len(bounds) + 1)
        #: sum of all values
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Add what another of the same bounds has counted."""
        for index, number in enumerate(other.counts):
            self.counts[index] += number
        self.total += other.total

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)

    def buckets(self) -> Iterator[tuple[str, int]]:
        """The bounds as Prometheus writes them, each with how many values were at or below it."""
        reached = 0
        for bound, number in zip((*map(str, self.bounds), "+Inf"), list(self.counts), strict=True):
            reached += number
            yield bound, reached


#: binding, operation (TS-0004 clause 6.3.4.2.5), resource type (0 not said, ``OTHER``), response status code
RequestKey = tuple[str, int, int, int]
#: a resource type that nobody knows
OTHER = -1


class RequestMeter:
    """How many requests of which kind were served, and how long they took: one look-up and one bucket for each.

    Args:
        known_types: resource types that are told apart. A client may name any number, and each would be a series.
    """

    __slots__ = ("_known_types", "tallies")

    def __init__(self, known_types: frozenset[int]) -> None:
        self._known_types = known_types | {0}
        self.tallies: dict[RequestKey, Histogram] = {}

    def served(self, binding: str, operation: int, resource_type: int, status: int, duration_s: float) -> None:
        """Count a request. Plain numbers please: hashing a member of an Enum costs more than all of this.

        Args:
            binding: it came over, "" for none.
            operation: its number.
            resource_type: of a CREATE; 0 when none was said.
            status: of the response.
            duration_s: from decoded to durable.
        """
        key = binding, operation, resource_type, status
        try:
            tally = self.tallies[key]
        except KeyError:
            if resource_type not in self._known_types:
                key = binding, operation, OTHER, status
            tally = self.tallies.setdefault(key, Histogram())
        tally.observe(duration_s)

    def counts(self) -> dict[RequestKey, int]:
        """How many of each kind."""
        return {key: tally.count for key, tally in list(self.tallies.items())}

    def seconds(self) -> dict[tuple[str, int], Histogram]:
        """How long they took, by binding and operation."""
        sums: dict[tuple[str, int], Histogram] = {}
        for (binding, operation, _, _), tally in list(self.tallies.items()):
            whole = sums.setdefault((binding, operation), Histogram(tally.bounds))
            whole.add(tally)
        return sums


@dataclass(slots=True)
class CommitMeter:
    """What was made durable so far.

    Attributes:
        groups: groups that were committed.
        changes: change sets (requests) in them.
        rows: rows of plain resources and instances they wrote or deleted.
        failures: groups that could not be written.
        seconds: how long each COMMIT took in its thread: writing the log and waiting for the disk.
        sizes: change sets of each group.
    """

    groups: int = 0
    changes: int = 0
    rows: int = 0
    failures: int = 0
    seconds: Histogram = field(default_factory=Histogram)
    sizes: Histogram = field(default_factory=lambda: Histogram(SIZES))

    def committed(self, changes: int, rows: int, duration_s: float) -> None:
        """A group is on disk."""
        self.groups += 1
        self.changes += changes
        self.rows += rows
        self.seconds.observe(duration_s)
        self.sizes.observe(changes)


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """How large a store is and what it did.

    Attributes:
        resources: resources that are no instances; all of them are in memory.
        commits: what was made durable; None when nothing is.
        waiting: change sets that are not on disk yet.
        files_bytes: size of each of its files, by what it is for.
        free_bytes: room left on their file system; None when that is not this machine's business.
    """

    resources: int
    commits: CommitMeter | None = None
    waiting: int = 0
    files_bytes: Mapping[str, int] = field(default_factory=dict)
    free_bytes: int | None = None
