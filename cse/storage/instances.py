"""Instances in tables: reads that merge what is pending, writes that go into the gathering group (docs/adr/0006)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from cse.dated_names import BEYOND, first_name
from cse.ports import Resource
from cse.storage import statements as sql
from cse.storage.dated import DatedNames
from cse.storage.group import Group, InstanceRow, instance_of, instance_row
from cse.storage.indexes import Node, texts_of
from cse.storage.instance_ids import SEQUENCE_BITS, first_key, instance_key, last_key
from cse.storage.reader import Reader
from cse.storage.series import Cache, Pending, Series

_Item = tuple[int, "Resource | InstanceRow"]

#: of an instance whose internal attributes the group does not change (None is: it has none any more)
_UNCHANGED: Any = object()

#: how many names of the last minutes are read when a store is opened
_DATED = 100_000

#: what a cached resource takes up besides its content, in bytes
_OVERHEAD_BYTES = 1500


class Instances:
    """The instances of all parents.

    Args:
        connection: for reading.
        group: where writes go; the owner sets a new one when it is sealed.
        cache: bounds newest instances and queues.
        now: seconds since the epoch, UTC.
    """

    def __init__(self, connection: Reader, group: Group, cache: Cache, now: float) -> None:
        self._connection = connection
        self._cache = cache
        self.group = group
        #: the last durable group
        self.durable = 0
        self.parents: dict[int, Node] = {}
        #: of pending instances: key by parent number and chosen name; label -> key -> order; et by key
        self._names: dict[tuple[int, str], int] = {}
        self._labels: dict[str, dict[int, int]] = {}
        self._expiring: dict[int, str] = {}
        self._dated = self._dated_names(now)

    # --- reads

    def find(self, key: int) -> Resource | None:
        """The instance with this key."""
        node = self.parents.get(key >> SEQUENCE_BITS)
        if node is None:
            return None
        series: Series = node.series
        if not series.bottom <= key <= series.top:
            return None
        pending = series.pending.get(key)
        if pending is not None:
            return pending.resource
        if series.newest is not None and series.newest[0] == key:
            return series.newest[1]
        if key > series.stored:
            return None
        row = self._connection.execute(sql.GET_INSTANCE, (key,)).fetchone()
        return instance_of(row, node.resource) if row is not None else None

    def named(self, node: Node, rn: str) -> Resource | None:
        """The instance below ``node`` with this name."""
        series: Series = node.series
        key = instance_key(rn)
        if key is not None and key >> SEQUENCE_BITS == series.number:
            found = self.find(key)
            if found is not None and found.rn == rn:
                return found
        key = self._names.get((series.number, rn))
        if key is not None:
            found = self.find(key)
            if found is not None:
                return found
        if series.bottom > series.stored or not self._dated.may_exist(rn):
            return None
        limits = (series.bottom, min(series.top, series.stored))
        for row in self._connection.execute(sql.BY_NAME, (rn, *limits)).fetchall():
            if series.lives(row[0]):
                pending = series.pending.get(row[0])
                return pending.resource if pending is not None else instance_of(row, node.resource)
        return None

    def newest(self, node: Node) -> Resource | None:
        """The instance created last below ``node``."""
        series: Series = node.series
        if series.newest is not None:
            self._cache.touch(series, series.held_bytes)
            return series.newest[1]
        high, limit = series.top, 1
        while high >= series.bottom:
            items, bound = self._scan(series, series.bottom, high, limit, newest_first=True)
            if items:
                key, item = items[0]
                resource = _resource(item, node)
                series.newest, series.top = (key, resource), key
                self._cache.touch(series, series.held_bytes + _item_bytes(item))
                return resource
            high, limit = bound - 1, min(limit * 16, 256)
        series.top = series.bottom - 1
        return None

    def oldest(self, node: Node) -> Resource | None:
        """The instance created first below ``node``."""
        series: Series = node.series
        queue = series.queue
        low = series.bottom
        while not queue:
            if low > series.top:
                series.bottom = series.top + 1
                return None
            items, bound = self._scan(
                series, low, series.top, self._cache.chunk(), limit_bytes=self._cache.chunk_bytes()
            )
            low = bound + 1
            queue = series.queue = deque(items)
            held = sum(_item_bytes(item) for _, item in items)
            self._cache.touch(series, held + (_OVERHEAD_BYTES if series.newest else 0))
        key, item = queue[0]
        series.bottom = key
        if not isinstance(item, Resource):
            item = instance_of(item, node.resource)
            queue[0] = (key, item)
        return item

    def is_first(self, series: Series, key: int) -> bool:
        """Whether it is known without a look into the database that this is the oldest instance and lives."""
        return bool(series.queue) and series.queue is not None and series.queue[0][0] == key

    def first(self, node: Node, reached: Callable[[Resource], bool]) -> int:
        """The key of the first instance below ``node`` that was ``reached``, by bisection; beyond all when none was."""
        series: Series = node.series
        low, high = series.bottom, series.top
        found = high + 1
        while low <= high:
            middle = begin = (low + high) // 2
            items: list[_Item] = []
            while not items and begin <= high:
                items, bound = self._scan(series, begin, high, 1)
                begin = bound + 1
            if items and not reached(_resource(items[0][1], node)):
                low = items[0][0] + 1
                continue
            if items:
                found = items[0][0]
            high = middle - 1
        return found

    def iterate(self, node: Node, *, newest_first: bool = False, low: int = 0) -> Iterator[Resource]:
        """The instances below ``node`` in (or against) the order of their creation, read as they are consumed.

        Args:
            node: the parent.
            newest_first: against the order.
            low: the key of the first; 0 for that of the oldest.
        """
        series: Series = node.series
        low, high, limit = low or series.bottom, series.top, 16
        while low <= high:
            items, bound = self._scan(series, low, high, limit, newest_first=newest_first, limit_bytes=1 << 20)
            for key, item in items:
                if series.lives(key):  # the consumer may have removed it
                    yield _resource(item, node)
            if newest_first:
                high = bound - 1
            else:
                low = bound + 1
            low, limit = max(low, series.bottom), 256

    def _scan(
        self,
        series: Series,
        low: int,
        high: int,
        limit: int,
        *,
        newest_first: bool = False,
        limit_bytes: int = 1 << 18,
    ) -> tuple[list[_Item], int]:
        """Instances from ``low`` to ``high`` in order, and the key up to which that is all of them."""
        bound = low if newest_first else high
        rows: list[InstanceRow] = []
        stored = min(high, series.stored)
        if low <= stored:
            statement = sql.DESCENDING if newest_first else sql.ASCENDING
            cursor = self._connection.execute(statement, (low, stored, limit))
            for row in cursor:
                rows.append(row)
                limit_bytes -= len(row[5])
                if len(rows) >= limit or limit_bytes <= 0:
                    bound = row[0]
                    break
            cursor.close()
        if not series.pending:
            return [(row[0], row) for row in rows], bound
        found: dict[int, Resource | InstanceRow] = {row[0]: row for row in rows if row[0] not in series.pending}
        first, last = (bound, high) if newest_first else (low, bound)
        for key, pending in series.pending.items():
            if first <= key <= last and pending.resource is not None:
                found[key] = pending.resource
        return sorted(found.items(), reverse=newest_first), bound

    def labelled(self, label: str) -> list[tuple[int, Resource]]:
        """Order of creation and state of the instances with this label."""
        pending = self._labels.get(label, {})
        found = list(pending.items())
        for order, key in self._connection.execute(sql.LABELLED, (label,)).fetchall():
            if key not in pending:
                found.append((key, order))
        alive = ((order, self.find(key)) for key, order in found)
        return [(order, resource) for order, resource in alive if resource is not None]

    def due(self, timestamp: str, limit: int) -> list[tuple[str, Resource]]:
        """Et and state of up to ``limit`` instances that expire at or before ``timestamp``, earliest first."""
        keys = sorted((et, key) for key, et in self._expiring.items() if et <= timestamp)
        found = [(et, resource) for et, key in keys if (resource := self.find(key)) is not None][:limit]
        stored = 0
        cursor = self._connection.execute(sql.DUE, (timestamp,))
        for row in cursor:
            if row[0] in self._expiring or not self._lives(row[0]):
                continue
            node = self.parents[row[0] >> SEQUENCE_BITS]
            pending = node.series.pending.get(row[0])
            found.append((row[2], instance_of(row, node.resource) if pending is None else pending.resource))
            stored += 1
            if stored >= limit:
                break
        cursor.close()
        found.sort(key=lambda item: item[0])
        return found[:limit]

    def first_expiry(self) -> str | None:
        """The earliest et of an instance."""
        first = min((et for key, et in self._expiring.items() if self.find(key) is not None), default=None)
        cursor = self._connection.execute(sql.EARLIEST)
        for key, et in cursor:
            if first is not None and et >= first:
                break
            if self._lives(key):
                first = et
                break
        cursor.close()
        return first

    def _lives(self, key: int) -> bool:
        node = self.parents.get(key >> SEQUENCE_BITS)
        return node is not None and node.series.lives(key)

    def _dated_names(self, now: float) -> DatedNames:
        after = first_name(now, periods_ago=1)
        rows = self._connection.execute(sql.NAMES_AFTER, (after, BEYOND, _DATED)).fetchall()
        names = [row[0] for row in rows]
        return DatedNames(names[-1] if len(names) == _DATED else after, names)

    def names_like_ids(self, series: Series) -> set[str]:
        """The names below a parent that look like our resource-IDs but were chosen by clients."""
        if series.named is None:
            prefix = f"i{series.number:x}"
            # all that the table has, also what is removed by now: that may be undone
            limits = (f"{prefix}-", f"{prefix}.", first_key(series.number), last_key(series.number))
            series.named = {row[0] for row in self._connection.execute(sql.NAMES_LIKE_IDS, limits).fetchall()}
        return series.named

    # --- writes: each notes in the group what undoes it

    def insert(self, series: Series, key: int, instance: Resource, order: int) -> None:
        """Add the next instance of a parent; ``order`` is its place in the order of creation if it has labels."""
        group = self.group
        row = instance_row(key, instance)
        before = None
        if row[1] is not None:
            before = self._names.get((series.number, instance.rn))
            self._names[series.number, instance.rn] = key
            self._dated.add(instance.rn)
            if series.named is not None and instance_key(instance.rn) is not None:
                series.named.add(instance.rn)
        for label in texts_of(instance):
            self._labels.setdefault(label, {})[key] = order
            group.labels.append((label, order, key))
        if row[2] is not None:
            self._expiring[key] = row[2]
        group.rows[key] = row
        series.pending[key] = Pending(group.ticket, instance)
        series.top, series.next = key, key + 1
        series.newest = (key, instance)
        self._cache.touch(series, max(series.held_bytes, len(row[5]) + _OVERHEAD_BYTES))
        group.undo.append((self._undo_insert, (group, series, key, instance, before)))

    def _undo_insert(self, group: Group, series: Series, key: int, instance: Resource, before: int | None) -> None:
        series.pending.pop(key, None)
        series.newest = None
        series.forget_queue(key)
        group.rows.pop(key, None)
        self._forget(key, instance)
        if before is not None:
            self._names[series.number, instance.rn] = before

    def _forget(self, key: int, instance: Resource) -> None:
        """Drop what was noted of a pending instance."""
        name = (key >> SEQUENCE_BITS, instance.rn)
        if self._names.get(name) == key:
            del self._names[name]
        for label in texts_of(instance):
            keys = self._labels.get(label, {})
            keys.pop(key, None)
            if not keys:
                self._labels.pop(label, None)
        self._expiring.pop(key, None)

    def replace(self, series: Series, key: int, new: Resource) -> None:
        """Give an instance another state that differs in its internal attributes only."""
        group, before = self.group, series.pending.get(key)
        row, internal = group.rows.get(key), group.internals.get(key, _UNCHANGED)
        data = orjson.dumps(new.internal) if new.internal else None
        if row is not None:
            group.rows[key] = (*row[:6], data)
        else:
            group.internals[key] = data
        series.pending[key] = Pending(group.ticket, new)
        self._renew(series, key)
        group.undo.append((self._undo_replace, (group, series, key, before, row, internal)))

    def _undo_replace(self, group: Group, series: Series, key: int, before: Pending | None, *saved: Any) -> None:
        row, internal = saved
        if row is not None:
            group.rows[key] = row
        elif internal is not _UNCHANGED:
            group.internals[key] = internal
        else:
            group.internals.pop(key, None)
        series.restore(key, before, self.durable)
        self._renew(series, key)

    def _renew(self, series: Series, key: int) -> None:
        if series.newest is not None and series.newest[0] == key:
            series.newest = None
        series.queue = None

    def remove(self, series: Series, key: int) -> None:
        """Remove an instance that lives."""
        group, before = self.group, series.pending.pop(key, None)
        row = group.rows.pop(key, None)
        internal = group.internals.pop(key, _UNCHANGED)
        if row is None:
            group.deletes[key] = None
        else:
            group.cancelled[key] = row
        group.undo.append((self.undo_remove, (group, series, key, before, row, internal)))
        is_first = key == series.bottom
        series.forget_queue(key)
        if is_first:
            series.bottom = key + 1
        else:
            series.pending[key] = Pending(group.ticket, None)
        if series.newest is not None and series.newest[0] == key:
            series.newest = None
            series.top = key - 1

    def undo_remove(self, group: Group, series: Series, key: int, before: Pending | None, *saved: Any) -> None:
        """Undo ``remove``."""
        row, internal = saved
        if row is not None:
            group.rows[key] = group.cancelled.pop(key)
        else:
            group.deletes.pop(key, None)
        if internal is not _UNCHANGED:
            group.internals[key] = internal
        series.restore(key, before, self.durable)
        series.bottom, series.top = min(series.bottom, key), max(series.top, key)
        series.newest = series.queue = None

    def remove_all(self, series: Series) -> None:
        """Remove all instances of a parent."""
        group, limits = self.group, (series.bottom, series.next - 1)
        if series.bottom > series.top:
            return
        pending, series.pending = series.pending, {}
        rows = {key: group.rows.pop(key) for key in pending if key in group.rows}
        internals = {key: group.internals.pop(key) for key in pending if key in group.internals}
        group.cancelled.update(rows)
        group.ranges.append(limits)
        group.undo.append((self.undo_remove_all, (group, series, limits, pending, rows, internals)))
        series.bottom, series.top = series.next, series.next - 1
        series.newest = series.queue = None
        self._cache.drop(series)

    def undo_remove_all(self, group: Group, series: Series, limits: tuple[int, int], *saved: Any) -> None:
        """Undo ``remove_all``."""
        pending, rows, internals = saved
        for key in rows:
            group.rows[key] = group.cancelled.pop(key)
        group.internals.update(internals)
        group.ranges.remove(limits)
        series.bottom, series.top = limits
        series.stored = series.next - 1
        series.pending = {key: change for key, change in pending.items() if change.ticket > self.durable}
        series.newest = series.queue = None

    # --- groups

    def pending(self) -> int:
        """How many changes and notes of changes are held because they are not durable yet."""
        held = sum(len(node.series.pending) for node in self.parents.values())
        return held + len(self._names) + len(self._labels) + len(self._expiring)

    def written(self, group: Group) -> None:
        """A group is about to be committed: from now on the database may have its instances."""
        for key in group.rows:
            node = self.parents.get(key >> SEQUENCE_BITS)
            if node is not None and node.series.stored < key:
                node.series.stored = key

    def settled(self, group: Group) -> None:
        """A group is durable: what it left pending is in the database now."""
        self.durable = ticket = group.ticket
        for keys in (group.rows, group.internals, group.deletes, group.cancelled):
            for key in keys:
                node = self.parents.get(key >> SEQUENCE_BITS)
                if node is not None:
                    pending = node.series.pending.get(key)
                    if pending is not None and pending.ticket == ticket:
                        del node.series.pending[key]
        if self._names or self._labels or self._expiring:
            self._forget_rows(group)

    def _forget_rows(self, group: Group) -> None:
        for label, _, key in group.labels:
            keys = self._labels.get(label)
            if keys is not None:
                keys.pop(key, None)
                if not keys:
                    del self._labels[label]
        for key, row in (*group.rows.items(), *group.cancelled.items()):
            if row[2] is not None:
                self._expiring.pop(key, None)
            if row[1] is not None and self._names.get((key >> SEQUENCE_BITS, row[1])) == key:
                del self._names[key >> SEQUENCE_BITS, row[1]]


def _resource(item: Resource | InstanceRow, node: Node) -> Resource:
    return item if isinstance(item, Resource) else instance_of(item, node.resource)


def _item_bytes(item: Resource | InstanceRow) -> int:
    return _OVERHEAD_BYTES if isinstance(item, Resource) else len(item[5]) + 300
