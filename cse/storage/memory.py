"""The engine that keeps everything in memory and nothing on disk: for tests and for CSEs that may forget."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cse.metering import StoreFigures
from cse.onem2m.errors import NotFound
from cse.ports import Resource, Send, Ticket
from cse.storage.indexes import Expiry, Node, texts_of
from cse.storage.instance_ids import MAX_SEQUENCE, SEQUENCE_BITS, first_key, instance_key, instance_ri
from cse.storage.tree import Tree


class _Series:
    """The instances of one parent, by key in the order of their creation; the names that clients chose."""

    __slots__ = ("_begin", "_keys", "items", "names", "next", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.next = first_key(number) + 1
        self.items: OrderedDict[int, Resource] = OrderedDict()
        self.names: dict[str, int] = {}
        #: the keys of the items in order, from ``_begin`` on: what was before went from the front
        self._keys: list[int] = []
        self._begin = 0

    def put(self, key: int) -> None:
        """Note a key; mostly it is the highest."""
        keys = self._keys
        if len(keys) == self._begin or key > keys[-1]:
            keys.append(key)
        else:
            insort(keys, key, self._begin)

    def take(self, key: int) -> None:
        """Forget a key; mostly it is the lowest."""
        keys = self._keys
        if keys[self._begin] == key:
            self._begin += 1
            if self._begin > 1024 and self._begin * 2 > len(keys):
                del keys[: self._begin]
                self._begin = 0
        else:
            del keys[bisect_left(keys, key, self._begin)]

    def after(self, key: int) -> int | None:
        """The lowest key above ``key``."""
        place = bisect_right(self._keys, key, self._begin)
        return self._keys[place] if place < len(self._keys) else None

    def first(self, reached: Callable[[Resource], bool]) -> int | None:
        """The key of the first item that was ``reached``, by bisection."""
        keys, items = self._keys, self.items
        place = bisect_left(keys, True, self._begin, key=lambda key: reached(items[key]))
        return keys[place] if place < len(keys) else None


class MemoryStore(Tree):
    """A ``cse.ports.Engine`` without durability: every ticket is 0."""

    def __init__(self) -> None:
        super().__init__()
        self._parents: dict[int, Node] = {}
        self._numbers = 0
        #: label -> key of the instance -> its place in the order of creation
        self._labels: dict[str, dict[int, int]] = {}
        self._instance_expiry: Expiry[int] = Expiry(self._expiry_of)

    # --- Engine

    def commit(self, sends: Sequence[Send] = ()) -> Ticket:
        """Close the transaction and keep its changes; always 0: there is no disk to wait for."""
        self._close_transaction()
        self._journal.clear()
        return 0

    def unsettled(self) -> Ticket:
        """Always 0."""
        return 0

    async def durable(self, ticket: Ticket) -> None:
        """Return at once."""

    def when_durable(self, ticket: Ticket, call: Callable[[str], None]) -> None:
        """Call at once."""
        call("")

    def unsent(self) -> Sequence[Send]:
        """Nothing."""
        return ()

    def keeps(self, send: Send) -> bool:
        """Nothing is kept."""
        return False

    def sent(self, send: Send) -> None:
        """Nothing was kept."""

    async def close(self) -> None:
        """Nothing to let go of."""

    def health(self) -> str:
        """Always "ok"."""
        return "ok"

    def figures(self) -> StoreFigures:
        """How large it is."""
        return StoreFigures(self.plain_count())

    # --- instances: reads

    def instances(self, pi: str, *, newest_first: bool = False) -> Iterator[Resource]:
        """The instances below ``pi`` in (or against) the order of their creation."""
        series = self._series(pi)
        if series is not None:
            for key in list(reversed(series.items) if newest_first else series.items):
                resource = series.items.get(key)
                if resource is not None:
                    yield resource

    def instances_from(self, pi: str, reached: Callable[[Resource], bool]) -> Iterator[Resource]:
        """The instances below ``pi`` in the order of their creation, from the first that was ``reached``."""
        series = self._series(pi)
        key = series.first(reached) if series is not None else None
        while series is not None and key is not None:
            resource = series.items.get(key)
            if resource is not None:
                yield resource
            key = series.after(key)

    def newest(self, pi: str) -> Resource | None:
        """The instance created last below ``pi``."""
        series = self._series(pi)
        return next(reversed(series.items.values()), None) if series is not None else None

    def oldest(self, pi: str) -> Resource | None:
        """The instance created first below ``pi``."""
        series = self._series(pi)
        return next(iter(series.items.values()), None) if series is not None else None

    def _series(self, pi: str) -> _Series | None:
        node = self._nodes.get(pi)
        return node.series if node is not None else None

    def _find(self, key: int) -> Resource | None:
        parent = self._parents.get(key >> SEQUENCE_BITS)
        return parent.series.items.get(key) if parent is not None and parent.alive else None

    def _instance(self, ri: str) -> Resource | None:
        key = instance_key(ri)
        return self._find(key) if key is not None else None

    def _named_instance(self, node: Node, rn: str) -> Resource | None:
        series: _Series = node.series
        key = series.names.get(rn) or instance_key(rn)
        resource = series.items.get(key) if key is not None else None
        return resource if resource is not None and resource.rn == rn else None

    def _labelled(self, label: str) -> list[tuple[int, Resource]]:
        found = ((order, self._find(key)) for key, order in self._labels.get(label, {}).items())
        return [(order, resource) for order, resource in found if resource is not None]

    def _expiry_of(self, key: int) -> str | None:
        resource = self._find(key)
        return resource.attributes.get("et") if resource is not None else None

    def _due_instances(self, timestamp: str, limit: int) -> list[tuple[str, Resource]]:
        due = ((et, self._find(key)) for et, key in self._instance_expiry.due(timestamp, limit))
        return [(et, resource) for et, resource in due if resource is not None]

    def _first_instance_expiry(self) -> str | None:
        return self._instance_expiry.first()

    # --- instances: writes

    def new_instance_id(self, pi: str) -> str:
        """The resource-ID the next instance below ``pi`` must have."""
        self._writing(adds=True)
        node = self._node(pi)
        if node.series is None:
            self._numbers += 1
            node.series = _Series(self._numbers)
            self._parents[self._numbers] = node
        series: _Series = node.series
        while True:
            ri = instance_ri(series.next)
            if ri not in self._nodes and ri not in series.names and not (node.children and ri in node.children):
                return ri
            series.next += 1

    def insert_instance(self, instance: Resource) -> None:
        """Add an instance whose ri came from ``new_instance_id`` in this transaction.

        Raises:
            Conflict: its parent has a child of this name.
            ValueError: the ri is not the one that ``new_instance_id`` gave.
        """
        self._writing(adds=True)
        node = self._node(instance.pi)
        key = instance_key(instance.ri)
        series: _Series | None = node.series
        if key is None or series is None or key != series.next or key & MAX_SEQUENCE == MAX_SEQUENCE:
            raise ValueError(f"{instance.ri!r} is not the next instance id below {instance.pi!r}")
        self._claim_name(node, instance.rn)
        series.next += 1
        if "lbl" in instance.attributes or "indexed" in instance.internal:
            self._sequence += 1
        self._put_in(series, key, instance, self._sequence)
        self._journal.append((self._take_out, (series, key)))

    def replace_instance(self, ri: str, internal: dict[str, Any]) -> None:
        """Give an instance new internal attributes.

        Raises:
            NotFound: it does not exist.
        """
        self._writing(adds=False)
        key, old = self._existing(ri)
        items: OrderedDict[int, Resource] = self._parents[key >> SEQUENCE_BITS].series.items
        self._journal.append((items.__setitem__, (key, old)))
        items[key] = Resource(old.ri, old.pi, old.rn, old.ty, old.root, old.path, old.attributes, internal)

    def _existing(self, ri: str) -> tuple[int, Resource]:
        key = instance_key(ri)
        if key is not None:
            found = self._find(key)
            if found is not None:
                return key, found
        raise NotFound(f"resource {ri!r} does not exist")

    def _remove_instance(self, ri: str) -> None:
        key, _ = self._existing(ri)
        series: _Series = self._parents[key >> SEQUENCE_BITS].series
        self._remove(series, key)

    def _drop_instances(self, node: Node) -> None:
        series: _Series = node.series
        for key in reversed(list(series.items)):  # undone in the order of creation, which is the cheap one
            self._remove(series, key)

    def _remove(self, series: _Series, key: int) -> None:
        resource = series.items[key]
        self._journal.append((self._bring_back, (series, key, resource, self._take_out(series, key))))

    def _changed(self, node: Node) -> None:
        if node.series is not None:
            if node.alive:
                self._parents[node.series.number] = node
            else:
                self._parents.pop(node.series.number, None)

    def _put_in(self, series: _Series, key: int, instance: Resource, order: int) -> None:
        series.items[key] = instance
        series.put(key)
        if instance.rn != instance.ri:
            series.names[instance.rn] = key
        for label in texts_of(instance):
            self._labels.setdefault(label, {})[key] = order
        et = instance.attributes.get("et")
        if et is not None:
            self._instance_expiry.add(et, key, key)

    def _take_out(self, series: _Series, key: int) -> int:
        """Take an instance out; returns its place in the order of creation when it has labels, else 0."""
        instance = series.items.pop(key)
        series.take(key)
        if instance.rn != instance.ri:
            del series.names[instance.rn]
        order = 0
        for label in texts_of(instance):
            keys = self._labels[label]
            order = keys.pop(key)
            if not keys:
                del self._labels[label]
        if "et" in instance.attributes:
            self._instance_expiry.outdate()
        return order

    def _bring_back(self, series: _Series, key: int, resource: Resource, order: int) -> None:
        later = [other for other in series.items if other > key]
        self._put_in(series, key, resource, order)
        if len(later) == len(series.items) - 1:
            series.items.move_to_end(key, last=False)
        else:
            for other in later:
                series.items.move_to_end(other)
