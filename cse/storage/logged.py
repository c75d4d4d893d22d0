"""Memory first, log behind: what the SQL engines share (architecture clause 4, docs/adr/0001, 0018).

Plain resources are in memory, instances in tables, groups of changes committed together. A change is visible at once
and durable with its group. What others read in between may therefore be ahead of the disk by one group; what is
acknowledged never is.
"""

from __future__ import annotations

import asyncio
import gc
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from cse.metering import StoreFigures
from cse.onem2m.errors import InternalServerError, NotFound
from cse.ports import Resource, Send, Ticket
from cse.storage import statements as sql
from cse.storage.commit import REFUSED, GroupCommit
from cse.storage.errors import StoreOpenError
from cse.storage.garbage import Garbage
from cse.storage.group import Group
from cse.storage.indexes import Node
from cse.storage.instance_ids import MAX_NUMBER, MAX_SEQUENCE, SEQUENCE_BITS, instance_key, instance_ri
from cse.storage.instances import Instances
from cse.storage.outbox import Outbox
from cse.storage.reader import Reader
from cse.storage.series import Cache, Series
from cse.storage.tree import Tree

#: from this many resources on, what was loaded is taken out of the sight of the garbage collector
_FREEZE_FROM = 10_000


class LoggedStore(Tree):
    """A ``cse.ports.Engine`` on tables. A subclass opens its database, then calls ``_load`` and ``_start``.

    Args:
        acknowledge_early: call everything durable before it is; for control tests only.
        keeps_sends: keep what is to be sent over a crash; False is for control tests only.
    """

    _instances: Instances
    _commits: GroupCommit

    def __init__(self, *, acknowledge_early: bool = False, keeps_sends: bool = True) -> None:
        super().__init__()
        self._acknowledge_early = acknowledge_early
        self._outbox = Outbox(keeps=keeps_sends)
        self._numbers = 1
        self._closed = False

    @abstractmethod
    def _let_go(self) -> None:
        """Let go of the database; runs in a thread of its own."""

    # --- start

    def _load(self, read: Reader, cache: Cache, where: str) -> Garbage:
        """Read all plain resources and build the indexes; returns what is left to be deleted.

        Raises:
            StoreOpenError: what is there makes no sense.
        """
        self._instances = Instances(read, Group(1), cache, time.time())
        try:
            return self._load_all(read)
        except (KeyError, ValueError, TypeError, orjson.JSONDecodeError) as error:
            raise StoreOpenError(f"storage {where} is damaged ({error!r}): use a backup") from error

    def _start(self, commits: GroupCommit) -> None:
        """Take changes from now on."""
        self._commits = commits
        self.next_group(commits.gathering)

    def _load_all(self, read: Reader) -> Garbage:
        collecting = gc.isenabled()
        gc.disable()  # everything made here stays: looking through it again and again would triple the time
        try:
            expiring = self._load_resources(read)
        finally:
            if collecting:
                gc.enable()
        if len(self._nodes) >= _FREEZE_FROM:
            gc.freeze()
        self._expiry.load(expiring)
        self._sequence = max(self._sequence, read.execute(sql.LAST_LABEL).fetchone()[0] or 0)
        numbers = dict(read.execute(sql.GET_META).fetchall()).get("next_number", "1")
        self._numbers = max([int(numbers), *(number + 1 for number in self._instances.parents)])
        self._outbox.load(read)
        ranges = read.execute(sql.LOAD_GARBAGE).fetchall()
        for low, high in ranges:
            node = self._instances.parents.get(low >> SEQUENCE_BITS)
            if node is not None:
                node.series.bottom = max(node.series.bottom, high + 1)
        return Garbage(ranges)

    def _load_resources(self, read: Reader) -> list[tuple[str, int, Node]]:
        nodes, loads, shared = self._nodes, orjson.loads, dict[Any, Any]()
        expiring: list[tuple[str, int, Node]] = []
        for row in read.execute(sql.LOAD_RESOURCES):
            sequence, ri, pi, rn, ty, root, body, internal, number, following = row
            path = rn
            if pi:
                parent = nodes[pi].resource
                pi, path = parent.ri, f"{parent.path}/{rn}"
            attributes = {"ri": ri, "pi": pi, "rn": rn, "ty": ty, **loads(body)}
            for name in ("et", "cr"):  # most have one of few values
                value = attributes.get(name)
                if isinstance(value, str):
                    attributes[name] = shared.setdefault(value, value)
            if attributes.get("lt") == attributes.get("ct") is not None:
                attributes["lt"] = attributes["ct"]
            et = attributes.get("et")
            root = shared.setdefault(root, root)
            resource = Resource(ri, pi, rn, ty, root, path, attributes, loads(internal) if internal else {})
            node = Node(resource, sequence)
            if number is not None:
                node.series = Series(number, following)
                self._instances.parents[number] = node
            self._attach(node, expiring=False)
            if et is not None:
                expiring.append((et, sequence, node))
            self._sequence = sequence
        return expiring

    # --- Engine

    def begin(self) -> None:
        """Open a transaction."""
        if self._refusal:
            self._commits.probe()
        super().begin()

    def commit(self, sends: Sequence[Send] = ()) -> Ticket:
        """Close the transaction and keep its changes; returns the ticket of the group that will make them durable.

        A read-only store keeps only what removes something; other changes are undone and their ticket fails. It keeps
        no sends: a deletion must not need room for them.
        """
        try:
            kept = bool(sends) and not self._refusal and self._outbox.add(self._commits.gathering, sends)
        except TypeError:
            self.rollback()
            raise
        began = self._close_transaction()
        if len(self._journal) == began:
            if kept:
                self._commits.add()
            return 0
        if self._refusal and not (self._commits.takes_removals and self._removes(began)):
            self._undo(began)
            return REFUSED
        ticket = self._commits.add()
        return 0 if self._acknowledge_early else ticket

    def unsettled(self) -> Ticket:
        """What was promised last and is not durable yet; 0 when everything is."""
        return 0 if self._acknowledge_early else self._commits.unsettled

    async def durable(self, ticket: Ticket) -> None:
        """Return when everything up to ``ticket`` is on disk; at once for ticket 0.

        Raises:
            InternalServerError: it could not be written; the changes are undone.
        """
        if ticket:
            await self._commits.durable(ticket)

    def when_durable(self, ticket: Ticket, call: Callable[[str], None]) -> None:
        """Have ``call`` called when everything up to ``ticket`` is on disk: with "", or with words when it is lost."""
        if ticket:
            self._commits.when_durable(ticket, call)
        else:
            call("")

    def unsent(self) -> Sequence[Send]:
        """What was to be sent when the store was opened, in its order; given once."""
        unsent, self._outbox.unsent = self._outbox.unsent, []
        return unsent

    def keeps(self, send: Send) -> bool:
        """Whether a send is kept until it is ``sent``."""
        return send in self._outbox

    def sent(self, send: Send) -> None:
        """Nobody needs this send any more."""
        if self._outbox.sent(self._commits.gathering, send):
            self._commits.tidy_later()

    async def close(self) -> None:
        """Write what is pending and let go of files and threads."""
        if not self._closed:
            self._closed = True
            self._commits.tidy()
            await self._commits.drain()
            self._commits.stop()
            await asyncio.to_thread(self._let_go)

    def flush(self) -> None:
        """Make everything durable and wait for it on this thread; for programs without an event loop."""
        self._commits.flush()

    def health(self) -> str:
        """Say "ok", or in words why the store takes no writes."""
        return self._commits.reason or "ok"

    def figures(self) -> StoreFigures:
        """How large it is and what it committed."""
        files_bytes, free_bytes = self._room()
        return StoreFigures(self.plain_count(), self._commits.meter, self._commits.waiting, files_bytes, free_bytes)

    def _room(self) -> tuple[dict[str, int], int | None]:
        """The size of the files and what is free beside them, in bytes; of a database server nothing is known."""
        return {}, None

    def _removes(self, began: int) -> bool:
        removals = (self._put_back, self._instances.undo_remove, self._instances.undo_remove_all)
        return any(function in removals for function, _ in self._journal[began:])

    # --- what the group commit tells (cse.storage.commit.Changes)

    def next_group(self, group: Group) -> None:
        """From now on changes go into this group."""
        self._instances.group = group
        self._journal = group.undo
        self._outbox.next_group(group)

    def next_number(self) -> int:
        """The number of the next parent of instances."""
        return self._numbers

    def written(self, group: Group) -> None:
        """The group is about to be committed."""
        self._instances.written(group)

    def settled(self, group: Group) -> None:
        """The group is durable."""
        self._instances.settled(group)

    def undo(self, groups: list[Group]) -> None:
        """The groups are lost: undo their changes, latest first."""
        for group in reversed(groups):
            self._journal = group.undo
            self._undo(0)
            self._outbox.lost(group)

    def refuse(self, reason: str) -> None:
        """Take nothing new for this reason; "" ends it."""
        self._refusal = reason

    # --- instances: reads

    def instances(self, pi: str, *, newest_first: bool = False) -> Iterator[Resource]:
        """The instances below ``pi`` in (or against) the order of their creation, read as they are consumed."""
        node = self._nodes.get(pi)
        if node is None or node.series is None:
            return iter(())
        return self._instances.iterate(node, newest_first=newest_first)

    def instances_from(self, pi: str, reached: Callable[[Resource], bool]) -> Iterator[Resource]:
        """The instances below ``pi`` in the order of their creation, from the first that was ``reached``."""
        node = self._nodes.get(pi)
        if node is None or node.series is None:
            return iter(())
        return self._instances.iterate(node, low=self._instances.first(node, reached))

    def newest(self, pi: str) -> Resource | None:
        """The instance created last below ``pi``."""
        node = self._nodes.get(pi)
        return self._instances.newest(node) if node is not None and node.series is not None else None

    def oldest(self, pi: str) -> Resource | None:
        """The instance created first below ``pi``."""
        node = self._nodes.get(pi)
        return self._instances.oldest(node) if node is not None and node.series is not None else None

    def _instance(self, ri: str) -> Resource | None:
        key = instance_key(ri)
        return self._instances.find(key) if key is not None else None

    def _named_instance(self, node: Node, rn: str) -> Resource | None:
        return self._instances.named(node, rn)

    def _labelled(self, label: str) -> list[tuple[int, Resource]]:
        return self._instances.labelled(label)

    def _due_instances(self, timestamp: str, limit: int) -> list[tuple[str, Resource]]:
        return self._instances.due(timestamp, limit)

    def _first_instance_expiry(self) -> str | None:
        return self._instances.first_expiry()

    # --- instances: writes

    def new_instance_id(self, pi: str) -> str:
        """The resource-ID the next instance below ``pi`` must have."""
        self._writing(adds=True)
        node = self._node(pi)
        series: Series | None = node.series
        if series is None:
            if self._numbers > MAX_NUMBER:
                raise InternalServerError("storage: no numbers are left for new parents of instances")
            series = node.series = Series(self._numbers)
            self._instances.parents[self._numbers] = node
            self._numbers += 1
        names = self._instances.names_like_ids(series)
        while True:
            ri = instance_ri(series.next)
            if ri not in self._nodes and ri not in names and not (node.children and ri in node.children):
                return ri
            series.next += 1

    def insert_instance(self, instance: Resource) -> None:
        """Add an instance whose ri came from ``new_instance_id`` in this transaction.

        Raises:
            Conflict: its parent has a child of this name.
            InternalServerError: the store is read-only.
            ValueError: the ri is not the one that ``new_instance_id`` gave.
        """
        self._writing(adds=True)
        node = self._node(instance.pi)
        series: Series | None = node.series
        key = series.next if series is not None else 0
        if series is None or instance.ri != instance_ri(key) or key & MAX_SEQUENCE == MAX_SEQUENCE:
            raise ValueError(f"{instance.ri!r} is not the next instance id below {instance.pi!r}")
        if instance.rn != instance.ri:
            self._claim_name(node, instance.rn)
        if "lbl" in instance.attributes or "indexed" in instance.internal:
            self._sequence += 1
        self._instances.insert(series, key, instance, self._sequence)
        self._changed(node)

    def replace_instance(self, ri: str, internal: dict[str, Any]) -> None:
        """Give an instance new internal attributes.

        Raises:
            NotFound: it does not exist.
        """
        self._writing(adds=False)
        key, old = self._existing(ri)
        new = Resource(old.ri, old.pi, old.rn, old.ty, old.root, old.path, old.attributes, internal)
        self._instances.replace(self._instances.parents[key >> SEQUENCE_BITS].series, key, new)

    def _existing(self, ri: str) -> tuple[int, Resource]:
        key = instance_key(ri)
        if key is not None:
            found = self._instances.find(key)
            if found is not None:
                return key, found
        raise NotFound(f"resource {ri!r} does not exist")

    def _remove_instance(self, ri: str) -> None:
        key = instance_key(ri)
        node = self._instances.parents.get(key >> SEQUENCE_BITS) if key is not None else None
        if key is None or node is None or not self._instances.is_first(node.series, key):
            key, _ = self._existing(ri)
            node = self._instances.parents[key >> SEQUENCE_BITS]
        self._instances.remove(node.series, key)

    def _drop_instances(self, node: Node) -> None:
        self._instances.remove_all(node.series)
        self._changed(node)

    def _changed(self, node: Node) -> None:
        self._instances.group.changed[node.sequence] = node
        if node.series is not None:
            if node.alive:
                self._instances.parents[node.series.number] = node
            else:
                self._instances.parents.pop(node.series.number, None)
