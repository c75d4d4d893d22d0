"""Instances of one parent as the SQLite engine sees them, and what is cached of them (docs/adr/0006)."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import NamedTuple

from cse.ports import Resource
from cse.storage.group import InstanceRow
from cse.storage.instance_ids import first_key


class Pending(NamedTuple):
    """A change of an instance that is not durable yet.

    Attributes:
        ticket: the group that holds it.
        resource: the new state, None for removed.
    """

    ticket: int
    resource: Resource | None


class Series:
    """The instances of one parent.

    All that live have a key from ``bottom`` to ``top``; both may lie outside the true ones.

    Attributes:
        number: of the parent; the high bits of the keys.
        next: the key of the next instance.
        bottom: no instance below this key lives.
        top: no instance above this key lives.
        stored: no instance above this key can be in the database.
        pending: changes that are not durable yet; they count, whatever the database says.
        newest: key and state of the last instance, None when not known.
        queue: the first instances that live, without a gap; None when not known.
        named: names in the form of our resource-IDs that clients chose, None when not known.
        held_bytes: what newest and queue take up, roughly.
    """

    __slots__ = ("bottom", "held_bytes", "named", "newest", "next", "number", "pending", "queue", "stored", "top")

    def __init__(self, number: int, following: int = 0) -> None:
        self.number = number
        self.bottom = first_key(number) + 1
        self.next = following or self.bottom
        self.top = self.stored = self.next - 1
        self.pending: dict[int, Pending] = {}
        self.newest: tuple[int, Resource] | None = None
        self.queue: deque[tuple[int, Resource | InstanceRow]] | None = None
        self.named: set[str] | None = None if following else set()
        self.held_bytes = 0

    def lives(self, key: int) -> bool:
        """Whether the instance with this key lives if the database has it."""
        if not self.bottom <= key <= self.top:
            return False
        pending = self.pending.get(key)
        return pending is None or pending.resource is not None

    def restore(self, key: int, before: Pending | None, durable: int) -> None:
        """Bring back what was pending for ``key``, unless it became durable since."""
        if before is None or before.ticket <= durable:
            self.pending.pop(key, None)
        else:
            self.pending[key] = before

    def forget_queue(self, key: int) -> None:
        """Drop the queue if ``key`` is in it and not its head; drop the head if it is the head."""
        queue = self.queue
        if queue and queue[0][0] <= key <= queue[-1][0]:
            if queue[0][0] == key:
                queue.popleft()
            else:
                self.queue = None


class Cache:
    """Bounds what newest instances and queues take up: the parents that were not asked for longest lose theirs.

    Args:
        parents: how many parents may have something cached.
        size_bytes: how much they may hold together.
    """

    __slots__ = ("_held_bytes", "_parents", "_series", "_size_bytes")

    def __init__(self, parents: int, size_bytes: int) -> None:
        self._parents = parents
        self._size_bytes = size_bytes
        self._held_bytes = 0
        self._series: OrderedDict[int, Series] = OrderedDict()

    def __len__(self) -> int:
        return len(self._series)

    def touch(self, series: Series, held_bytes: int) -> None:
        """Note that ``series`` was used and now holds this much."""
        number = series.number
        if number in self._series:
            self._series.move_to_end(number)
        else:
            self._series[number] = series
        self._held_bytes += held_bytes - series.held_bytes
        series.held_bytes = held_bytes
        while len(self._series) > self._parents or (self._held_bytes > self._size_bytes and len(self._series) > 1):
            _, oldest = self._series.popitem(last=False)
            self._release(oldest)

    def drop(self, series: Series) -> None:
        """Forget a parent that is gone."""
        if self._series.pop(series.number, None) is not None:
            self._release(series)

    def _release(self, series: Series) -> None:
        self._held_bytes -= series.held_bytes
        series.held_bytes = 0
        series.newest = series.queue = None

    def chunk(self) -> int:
        """How many instances a queue may hold, so that all together stay few."""
        return max(8, min(256, 16384 // (len(self._series) + 1)))

    def chunk_bytes(self) -> int:
        """How many bytes a queue may hold, roughly."""
        return max(4096, min(1 << 18, self._size_bytes // 2 // (len(self._series) + 1)))
