"""The tree of plain resources in memory with its indexes, transactions and undo log (architecture clause 4).

An engine adds the instances: it is a subclass that says how they are found, kept and dropped. A transaction applies
at once and notes in the journal how to undo each step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from cse.onem2m.errors import Conflict, InternalServerError, NotFound
from cse.ports import INDEXED_ATTRIBUTES, INDEXED_INTERNAL, Resource
from cse.storage.indexes import Expiry, Node, Ordered, ValueIndex, values_of

#: how to undo one step: a function and its arguments
Undo = tuple[Callable[..., object], tuple[Any, ...]]
_INDEXED = frozenset(INDEXED_ATTRIBUTES)


def _node_expiry(node: Node) -> str | None:
    return node.resource.attributes.get("et") if node.alive else None


class Tree(ABC):
    """The half of a ``Store`` that is the same for all engines: plain resources and transactions."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._types: dict[int, Ordered[Node]] = {}
        self._indexes = {name: ValueIndex() for name in (*INDEXED_ATTRIBUTES, *INDEXED_INTERNAL)}
        self._of_attributes = tuple((name, self._indexes[name]) for name in INDEXED_ATTRIBUTES)
        self._of_internal = tuple((name, self._indexes[name]) for name in INDEXED_INTERNAL)
        self._expiry: Expiry[Node] = Expiry(_node_expiry)
        self._sequence = 0
        self._journal: list[Undo] = []
        #: length of the journal when the open transaction began, -1 when there is none
        self._began = -1
        #: why nothing may be added, in words; "" while it may
        self._refusal = ""

    # --- what an engine says of its instances

    @abstractmethod
    def _instance(self, ri: str) -> Resource | None:
        """The instance with this resource-ID."""

    @abstractmethod
    def _named_instance(self, node: Node, rn: str) -> Resource | None:
        """The instance below ``node`` with this name."""

    @abstractmethod
    def _remove_instance(self, ri: str) -> None:
        """Remove an instance.

        Raises:
            NotFound: there is none.
        """

    @abstractmethod
    def _drop_instances(self, node: Node) -> None:
        """Remove all instances below ``node``."""

    @abstractmethod
    def _labelled(self, label: str) -> list[tuple[int, Resource]]:
        """Order of creation and state of the instances with this label."""

    @abstractmethod
    def _due_instances(self, timestamp: str, limit: int) -> list[tuple[str, Resource]]:
        """Et and state of up to ``limit`` instances that expire at or before ``timestamp``, earliest first."""

    @abstractmethod
    def _first_instance_expiry(self) -> str | None:
        """The earliest et of an instance."""

    @abstractmethod
    def _changed(self, node: Node) -> None:
        """``node`` was added, replaced or removed (also called when that is undone)."""

    # --- reads

    def get(self, ri: str) -> Resource | None:
        """The resource with this resource-ID, plain or instance."""
        node = self._nodes.get(ri)
        return node.resource if node is not None else self._instance(ri)

    def child(self, pi: str, rn: str) -> Resource | None:
        """The child of ``pi`` with this name, plain or instance."""
        parent = self._nodes.get(pi)
        if parent is None:
            return None
        if parent.children is not None:
            node = parent.children.get(rn)
            if node is not None:
                return node.resource
        return self._named_instance(parent, rn) if parent.series is not None else None

    def children(self, pi: str, ty: int | None = None) -> Sequence[Resource]:
        """The plain children of ``pi`` in the order of their creation, of one type or of all."""
        parent = self._nodes.get(pi)
        if parent is None or not parent.children:
            return ()
        if ty is None:
            return parent.children.resources()
        of_type = parent.typed.get(ty) if parent.typed is not None else None
        return of_type.resources() if of_type else ()

    def of_type(self, ty: int) -> Sequence[Resource]:
        """All plain resources of a type in the order of their creation."""
        nodes = self._types.get(ty)
        return nodes.resources() if nodes else ()

    def has_type(self, ty: int) -> bool:
        """Whether there is a plain resource of a type."""
        return bool(self._types.get(ty))

    def referring(self, attribute: str, value: str) -> Sequence[Resource]:
        """Resources whose ``attribute`` is or holds ``value``, in the order of their creation.

        Raises:
            KeyError: the attribute is in neither ``INDEXED_ATTRIBUTES`` nor ``INDEXED_INTERNAL``.
        """
        nodes = self._indexes[attribute].find(value)
        labelled = self._labelled(value) if attribute == "lbl" else None
        if not labelled:
            return [node.resource for node in nodes]
        plain = [(node.sequence, node.resource) for node in nodes]
        return [resource for _, resource in merge(plain, sorted(labelled, key=_order), key=_order)]

    def plain_count(self) -> int:
        """How many plain resources there are."""
        return len(self._nodes)

    def expired(self, timestamp: str, limit: int) -> Sequence[Resource]:
        """Up to ``limit`` resources whose et is at or before ``timestamp``, earliest first."""
        plain = [(et, node.resource) for et, node in self._expiry.due(timestamp, limit)]
        instances = self._due_instances(timestamp, limit)
        if not instances:
            return [resource for _, resource in plain]
        return [resource for _, resource in islice(merge(plain, instances, key=_order), limit)]

    def next_expiry(self) -> str | None:
        """The earliest et of all resources in wire form; None when nothing expires."""
        plain, instance = self._expiry.first(), self._first_instance_expiry()
        if plain is None or instance is None:
            return plain if instance is None else instance
        return min(plain, instance)

    # --- transactions

    def begin(self) -> None:
        """Open a transaction.

        Raises:
            RuntimeError: one is open already.
        """
        if self._began >= 0:
            raise RuntimeError("a transaction is open already")
        self._began = len(self._journal)

    def rollback(self) -> None:
        """Close the transaction and undo its changes."""
        self._undo(self._close_transaction())

    def _close_transaction(self) -> int:
        """Close the transaction; returns where in the journal it began."""
        began = self._began
        if began < 0:
            raise RuntimeError("no transaction is open")
        self._began = -1
        return began

    def _undo(self, down_to: int) -> None:
        """Undo the steps of the journal after ``down_to``, latest first."""
        journal = self._journal
        while len(journal) > down_to:
            function, arguments = journal.pop()
            function(*arguments)

    def _writing(self, *, adds: bool) -> None:
        if self._began < 0:
            raise RuntimeError("write outside a transaction")
        if adds and self._refusal:
            raise InternalServerError(self._refusal)

    # --- writes

    def insert(self, resource: Resource) -> None:
        """Add a plain resource.

        Raises:
            Conflict: its parent has a child of this name, or the ri is taken.
            NotFound: its parent does not exist.
            InternalServerError: the store is read-only.
        """
        self._writing(adds=True)
        if self.get(resource.ri) is not None:
            raise Conflict(f"resource-ID {resource.ri!r} is taken")
        if resource.pi:
            self._claim_name(self._node(resource.pi), resource.rn)
        self._sequence += 1
        node = Node(resource, self._sequence)
        self._attach(node)
        self._journal.append((self._detach, (node,)))
        self._changed(node)

    def replace(self, ri: str, attributes: dict[str, Any], internal: dict[str, Any] | None = None) -> Resource:
        """Give a plain resource new attributes (and new internal ones unless None); returns its new state.

        Resources handed out before keep the old state.

        Raises:
            NotFound: there is no plain resource with this ri.
        """
        self._writing(adds=False)
        node = self._node(ri)
        old = node.resource
        kept = old.internal if internal is None else internal
        new = Resource(old.ri, old.pi, old.rn, old.ty, old.root, old.path, attributes, kept)
        self._journal.append((self._set_state, (node, old)))
        self._set_state(node, new)
        return new

    def remove(self, ri: str) -> None:
        """Remove one resource, plain or instance, and with a plain one all its instances.

        Raises:
            NotFound: it does not exist.
            ValueError: it still has plain children.
        """
        self._writing(adds=False)
        node = self._nodes.get(ri)
        if node is None:
            self._remove_instance(ri)
            return
        if node.children:
            raise ValueError(f"{node.resource.path} still has children")
        if node.series is not None:
            self._drop_instances(node)
        self._journal.append((self._put_back, (node,)))
        self._detach(node)

    def remove_instances(self, pi: str) -> None:
        """Remove all instances below ``pi``.

        Raises:
            NotFound: there is no plain resource with this ri.
        """
        self._writing(adds=False)
        node = self._node(pi)
        if node.series is not None:
            self._drop_instances(node)

    # --- inside

    def _node(self, ri: str) -> Node:
        node = self._nodes.get(ri)
        if node is None:
            raise NotFound(f"resource {ri!r} does not exist")
        return node

    def _claim_name(self, parent: Node, rn: str) -> None:
        if (parent.children is not None and rn in parent.children) or (
            parent.series is not None and self._named_instance(parent, rn) is not None
        ):
            raise Conflict(f"{parent.resource.path} already has a child named {rn!r}: choose another resourceName")

    def _attach(self, node: Node, *, youngest: bool = True, expiring: bool = True) -> None:
        resource = node.resource
        node.alive = True
        self._nodes[resource.ri] = node
        lists: list[tuple[Ordered[Any], Any]] = []
        if resource.pi:
            parent = self._nodes[resource.pi]
            if parent.children is None or parent.typed is None:
                parent.children, parent.typed = Ordered(), {}
            lists.append((parent.children, resource.rn))
            lists.append((_list_of(parent.typed, resource.ty), resource.rn))
        lists.append((_list_of(self._types, resource.ty), node))
        for nodes, key in lists:
            if youngest:
                nodes[key] = node
            else:
                nodes.put_back(key, node)
        for name, index in self._of_attributes:
            if name in resource.attributes:
                for value in values_of(resource.attributes[name]):
                    index.add(value, node)
        if resource.internal:
            _reindex(self._of_internal, {}, resource.internal, node)
        et = resource.attributes.get("et")
        if et is not None and expiring:
            self._expiry.add(et, node.sequence, node)

    def _detach(self, node: Node) -> None:
        resource = node.resource
        node.alive = False
        del self._nodes[resource.ri]
        if resource.pi:
            parent = self._nodes[resource.pi]
            if parent.children is not None and parent.typed is not None:
                del parent.children[resource.rn]
                del parent.typed[resource.ty][resource.rn]
        del self._types[resource.ty][node]
        for name, index in self._of_attributes:
            if name in resource.attributes:
                for value in values_of(resource.attributes[name]):
                    index.discard(value, node)
        if resource.internal:
            _reindex(self._of_internal, resource.internal, {}, node)
        if "et" in resource.attributes:
            self._expiry.outdate()
        self._changed(node)

    def _put_back(self, node: Node) -> None:
        self._attach(node, youngest=False)
        self._changed(node)

    def _set_state(self, node: Node, new: Resource) -> None:
        was, node.resource = node.resource, new
        old, attributes = was.attributes, new.attributes
        # Most changes are counters of a resource that no index knows.
        if not (_INDEXED.isdisjoint(old) and _INDEXED.isdisjoint(attributes)):
            _reindex(self._of_attributes, old, attributes, node)
        if was.internal is not new.internal:
            _reindex(self._of_internal, was.internal, new.internal, node)
        before, after = old.get("et"), attributes.get("et")
        if before != after:
            if before is not None:
                self._expiry.outdate()
            if after is not None:
                self._expiry.add(after, node.sequence, node)
        self._changed(node)


def _reindex(
    indexes: Sequence[tuple[str, ValueIndex]], old: Mapping[str, Any], new: Mapping[str, Any], node: Node
) -> None:
    """Note in the indexes what changed of a node."""
    for name, index in indexes:
        before, after = old.get(name), new.get(name)
        if before is not after and before != after:
            for value in values_of(before):
                index.discard(value, node)
            for value in values_of(after):
                index.add(value, node)


def _list_of(lists: dict[int, Ordered[Any]], ty: int) -> Ordered[Any]:
    found = lists.get(ty)
    if found is None:
        found = lists[ty] = Ordered()
    return found


def _order(item: tuple[Any, Resource]) -> Any:
    return item[0]
