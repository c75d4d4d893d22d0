"""Index structures of the tree: children in creation order, attribute values, expiry (architecture clause 4)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from cse.ports import Resource

K = TypeVar("K", bound=Hashable)
H = TypeVar("H", bound=Hashable)


class Node:
    """A plain resource and what hangs on it.

    Attributes:
        resource: its present state.
        sequence: its place in the order of creation of all plain resources.
        alive: it is in the tree.
        children: plain children by name, None when it never had one.
        typed: plain children by type and name.
        series: what the engine keeps of its instances, None when it never had one.
    """

    __slots__ = ("alive", "children", "resource", "sequence", "series", "typed")

    def __init__(self, resource: Resource, sequence: int) -> None:
        self.resource = resource
        self.sequence = sequence
        self.alive = False
        self.children: Ordered[str] | None = None
        self.typed: dict[int, Ordered[str]] | None = None
        self.series: Any = None


class Ordered(dict[K, Node], Generic[K]):
    """Nodes by a key, in the order of their creation, also after a removal was undone."""

    __slots__ = ("_sorted",)

    def __init__(self) -> None:
        super().__init__()
        self._sorted = True

    def put_back(self, key: K, node: Node) -> None:
        """Add a node that is not the youngest."""
        self[key] = node
        self._sorted = False

    def resources(self) -> list[Resource]:
        """All of them, in the order of their creation."""
        if not self._sorted:
            # only after a rollback: dictionaries keep insertion order, the returned node belongs further ahead
            items = sorted(self.items(), key=lambda item: item[1].sequence)
            self.clear()
            self.update(items)
            self._sorted = True
        return [node.resource for node in self.values()]


class ValueIndex:
    """Which nodes hold a value: a lone node as it is, several as a set, because most values have one holder."""

    __slots__ = ("_holders",)

    def __init__(self) -> None:
        self._holders: dict[str, Node | set[Node]] = {}

    def add(self, value: str, node: Node) -> None:
        """Note that ``node`` holds ``value``; twice is once."""
        held = self._holders.get(value)
        if held is None:
            self._holders[value] = node
        elif isinstance(held, set):
            held.add(node)
        elif held is not node:
            self._holders[value] = {held, node}

    def discard(self, value: str, node: Node) -> None:
        """Note that ``node`` no longer holds ``value``."""
        held = self._holders.get(value)
        if held is node:
            del self._holders[value]
        elif isinstance(held, set):
            held.discard(node)
            if len(held) == 1:
                self._holders[value] = held.pop()

    def find(self, value: str) -> list[Node]:
        """The holders of ``value`` in the order of their creation."""
        held = self._holders.get(value)
        if held is None:
            return []
        if isinstance(held, set):
            return sorted(held, key=lambda node: node.sequence)
        return [held]


def values_of(value: Any) -> tuple[str, ...]:
    """The strings that an attribute is or holds, each once."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple({item: None for item in value if isinstance(item, str)})
    return ()


def texts_of(instance: Resource) -> tuple[str, ...]:
    """The texts by which an instance is found: its labels, and what its type has indexed (see ``Store.referring``)."""
    labels = values_of(instance.attributes.get("lbl"))
    indexed = instance.internal.get("indexed")
    return labels if indexed is None else (*labels, indexed)


class Expiry(Generic[H]):
    """Who expires when: a heap whose outdated entries are dropped when they come up.

    Args:
        expires: the present et of a holder in wire form, None when it is gone or never expires.
    """

    __slots__ = ("_expires", "_heap", "_outdated")

    def __init__(self, expires: Callable[[H], str | None]) -> None:
        self._expires = expires
        self._heap: list[tuple[str, int, H]] = []
        self._outdated = 0

    def add(self, et: str, order: int, holder: H) -> None:
        """Note that ``holder`` expires at ``et``; ``order`` is unique among holders and decides between equals."""
        heapq.heappush(self._heap, (et, order, holder))

    def load(self, entries: list[tuple[str, int, H]]) -> None:
        """Start with many entries at once."""
        self._heap = entries
        heapq.heapify(self._heap)

    def outdate(self) -> None:
        """Note that an entry became outdated; when most are, the heap is rebuilt."""
        self._outdated += 1
        if self._outdated > 1024 and self._outdated * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if self._expires(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
            self._outdated = 0

    def due(self, timestamp: str, limit: int) -> list[tuple[str, H]]:
        """Et and holder of up to ``limit`` that expire at or before ``timestamp``, earliest first, each once."""
        heap, found = self._heap, list[tuple[str, int, H]]()
        while heap and heap[0][0] <= timestamp and len(found) < limit:
            entry = heapq.heappop(heap)
            if self._expires(entry[2]) == entry[0] and not (found and found[-1][1] == entry[1]):
                found.append(entry)
            else:
                self._outdated = max(0, self._outdated - 1)
        for entry in found:
            heapq.heappush(heap, entry)
        return [(et, holder) for et, _, holder in found]

    def first(self) -> str | None:
        """The earliest et, None when nothing expires."""
        while self._heap:
            et, _, holder = self._heap[0]
            if self._expires(holder) == et:
                return et
            heapq.heappop(self._heap)
            self._outdated = max(0, self._outdated - 1)
        return None
