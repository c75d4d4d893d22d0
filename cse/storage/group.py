"""A group of change sets that become durable together, and how it is written (architecture clause 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import orjson

from cse.ports import Resource
from cse.storage import statements as sql
from cse.storage.indexes import Node
from cse.storage.instance_ids import instance_ri
from cse.storage.tree import Undo

#: id, rn, et, ty, root, body, internal
InstanceRow = tuple[int, str | None, str | None, int, str, bytes, bytes | None]

#: a removed range of at most this many keys is deleted with its group, a longer one bit by bit
SMALL_RANGE = 1024


class Group:
    """The changes of the requests that gathered while the group before was committed.

    Attributes:
        ticket: its number.
        undo: how to undo all its change sets.
        requests: how many change sets it holds.
        changed: plain resources whose row must be written or deleted, by sequence.
        rows: new instances by key.
        internals: instances that were there before and have new internal attributes.
        cancelled: instances that this group added and removed again: nothing to write, but to forget.
        deletes: instances that were there before and are removed.
        ranges: keys from and to which all instances that were there before are removed.
        labels: label, place in the order of creation and key of new instances.
        sends: number and row of what is to be sent because of the changes.
        sent: numbers of what was sent and need not be kept any more; nobody waits for that.
        waiters: called when it is durable, or lost.
        probe: it holds nothing and only tries whether the disk takes writes again.
    """

    __slots__ = (
        "cancelled",
        "changed",
        "deletes",
        "gone",
        "internals",
        "labels",
        "next_number",
        "probe",
        "ranges",
        "requests",
        "rows",
        "saved",
        "sends",
        "sent",
        "ticket",
        "undo",
        "waiters",
    )

    def __init__(self, ticket: int, *, probe: bool = False) -> None:
        self.ticket = ticket
        self.probe = probe
        self.undo: list[Undo] = []
        self.requests = 0
        self.changed: dict[int, Node] = {}
        self.rows: dict[int, InstanceRow] = {}
        self.internals: dict[int, bytes | None] = {}
        self.cancelled: dict[int, InstanceRow] = {}
        self.deletes: dict[int, None] = {}
        self.ranges: list[tuple[int, int]] = []
        self.labels: list[tuple[str, int, int]] = []
        self.sends: list[tuple[int, bytes]] = []
        self.sent: list[int] = []
        self.waiters: list[Callable[[str], None]] = []
        self.saved: list[tuple[Any, ...]] = []
        self.gone: list[tuple[int]] = []
        self.next_number = 0

    def seal(self, next_number: int) -> None:
        """Fix what will be written: nothing that changes from now on is in this group.

        Args:
            next_number: what the next parent of instances will be numbered.
        """
        self.next_number = next_number
        self.saved = [plain_row(node) for node in self.changed.values() if node.alive]
        self.gone = [(sequence,) for sequence, node in self.changed.items() if not node.alive]

    def write(self, many: Callable[[str, Sequence[tuple[Any, ...]]], object]) -> None:
        """Write everything into an open transaction.

        Args:
            many: runs one of ``cse.storage.statements`` for many rows.
        """
        ranges = [(low, high) for low, high in self.ranges if high - low < SMALL_RANGE] + runs(self.deletes)
        if ranges:
            many(sql.DELETE_INSTANCES, ranges)
            many(sql.DELETE_LABELS, ranges)
        garbage = self.garbage()
        if garbage:
            many(sql.ADD_GARBAGE, garbage)
        if self.gone:
            many(sql.DELETE_RESOURCE, self.gone)
        if self.saved:
            many(sql.SAVE_RESOURCE, self.saved)
        if self.rows:
            # in the order of keys: what is written together lies together
            many(sql.INSERT_INSTANCE, sorted(self.rows.values(), key=itemgetter(0)))
        if self.internals:
            many(sql.SET_INTERNAL, [(internal, key) for key, internal in self.internals.items()])
        labels = [label for label in self.labels if label[2] in self.rows]
        if labels:
            many(sql.INSERT_LABEL, labels)
        if self.sends:
            many(sql.INSERT_SEND, self.sends)
        if self.sent:
            many(sql.DELETE_SENDS, runs(self.sent))

    @property
    def row_count(self) -> int:
        """How many rows of resources a sealed group writes or deletes; ranges count as one."""
        written = len(self.saved) + len(self.gone) + len(self.rows) + len(self.internals)
        return written + len(self.deletes) + len(self.ranges)

    def garbage(self) -> list[tuple[int, int]]:
        """The removed ranges that are too long to be deleted at once."""
        return [(low, high) for low, high in self.ranges if high - low >= SMALL_RANGE]


def plain_row(node: Node) -> tuple[Any, ...]:
    """The row of a plain resource."""
    resource = node.resource
    series = node.series
    number, following = (series.number, series.next) if series is not None else (None, None)
    internal = orjson.dumps(resource.internal) if resource.internal else None
    body = body_of(resource)
    return (
        *(node.sequence, resource.ri, resource.pi, resource.rn, resource.ty, resource.root),
        *(body, internal, number, following),
    )


def body_of(resource: Resource) -> bytes:
    """The attributes as JSON, without those that have columns of their own."""
    body = resource.attributes.copy()
    for name in ("ri", "pi", "rn", "ty"):
        body.pop(name, None)
    return orjson.dumps(body)


def instance_row(key: int, instance: Resource) -> InstanceRow:
    """The row of an instance."""
    rn = instance.rn if instance.rn != instance.ri else None
    internal = orjson.dumps(instance.internal) if instance.internal else None
    et = instance.attributes.get("et")
    return key, rn, et, instance.ty, instance.root, body_of(instance), internal


def instance_of(row: InstanceRow, parent: Resource) -> Resource:
    """The instance below ``parent`` that a row stands for."""
    key, rn, _, ty, root, body, internal = row
    ri = instance_ri(key)
    if rn is None:
        rn = ri
    attributes = {"ri": ri, "pi": parent.ri, "rn": rn, "ty": ty, **orjson.loads(body)}
    path = f"{parent.path}/{rn}"
    return Resource(ri, parent.ri, rn, ty, root, path, attributes, orjson.loads(internal) if internal else {})


def runs(keys: Iterable[int]) -> list[tuple[int, int]]:
    """Keys as ranges of neighbours, ascending."""
    found: list[tuple[int, int]] = []
    low = high = -1
    for key in sorted(keys):
        if key == high + 1:
            high = key
            continue
        if low >= 0:
            found.append((low, high))
        low = high = key
    if low >= 0:
        found.append((low, high))
    return found
