"""Both engines against a naive model: transactions, rollbacks, groups in flight, failed commits, reopening."""

from __future__ import annotations

import asyncio
import copy
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cse.onem2m.errors import Conflict, InternalServerError
from cse.ports import Engine, Resource
from cse.storage import commit
from cse.storage.database import check
from cse.storage.memory import MemoryStore
from cse.storage.sqlite import SqliteStore
from tests.storage.builders import Disk, resource, state, until

#: also some like resource-IDs, and one like a name that is dated in the far future
NAMES = ["a", "b", "c", "i1-1", "i1-2", "i1-3", "i2-2", "once-f00000"]
LABELS = st.lists(st.sampled_from(["x", "y"]), max_size=3)
ETS = st.sampled_from([None, None, "20300101T000000", "20300102T000000", "20300103T000000"])
ANY = st.integers(0, 1 << 30)
LAST = "99991231T235959"
AFTER = ["", "", "", "let_go", "let_go", "let_go", "fail", "reopen"]
KINDS = ["insert_plain", "replace", "remove_plain", "remove_instances", "replace_instance", "replace_instance"]
KINDS += ["insert_instance"] * 6 + ["remove_instance"] * 2 + ["remove_end"] * 3 + ["ends", "expiry"]
OPERATION = st.tuples(st.sampled_from(KINDS), ANY, st.sampled_from(["", "", "", *NAMES]), LABELS, ETS)


def wire(labels: list[str], et: str | None, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {"con": number}
    if labels:
        made["lbl"] = labels
    if et is not None:
        made["et"] = et
    return made


class Model:
    """All resources in the order of their creation; written to be obviously right."""

    def __init__(self) -> None:
        self.all: dict[str, tuple[Any, ...]] = {}
        self.instances: set[str] = set()

    def below(self, pi: str, kind: bool | None = None) -> list[tuple[Any, ...]]:
        return [
            one for ri, one in self.all.items() if one[1] == pi and (kind is None or (ri in self.instances) == kind)
        ]

    def put(self, new: Resource, is_instance: bool) -> None:
        self.all[new.ri] = copy.deepcopy(state(new) or ())
        if is_instance:
            self.instances.add(new.ri)

    def named(self, pi: str, rn: str) -> tuple[Any, ...] | None:
        return next((one for one in self.below(pi) if one[2] == rn), None)

    def drop(self, ri: str) -> None:
        for one in self.below(ri):
            self.drop(one[0])
        del self.all[ri]
        self.instances.discard(ri)


class Engines(RuleBasedStateMachine):
    """Rules that every engine must follow."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = self.open()
        self.model = Model()
        self.saved = Model()
        self.in_transaction = False
        self.count = self.ticket = 0
        #: ids that were given to instances: ever, in the open transaction, in commits not known to be durable, durable
        self.given: set[str] = set()
        self.fresh: set[str] = set()
        self.hoped: set[str] = set()
        self.kept: set[str] = set()
        self.begin()
        self.insert_plain(0, "cse", [], None, root=True)
        self.commit()
        self.made_durable()

    def open(self) -> Engine:
        return MemoryStore()

    def made_durable(self) -> None:
        """What the model holds now is on disk."""

    def teardown(self) -> None:
        if self.in_transaction:
            self.rollback()
        self.everything()
        self.loop.run_until_complete(self.store.close())
        self.loop.close()

    def pick(self, number: int, instances: bool) -> str | None:
        candidates = [ri for ri in self.model.all if (ri in self.model.instances) == instances]
        return candidates[number % len(candidates)] if candidates else None

    # --- transactions

    @rule(
        operations=st.lists(OPERATION, min_size=1, max_size=12),
        keep=st.sampled_from([True, True, True, False]),
        then=st.sampled_from(AFTER),
    )
    def transaction(self, operations: list[tuple[Any, ...]], keep: bool, then: str) -> None:
        """A few operations, then commit or rollback, then perhaps something happens to the disk."""
        self.begin()
        for kind, which, rn, labels, et in operations:
            if kind == "insert_plain":
                self.insert_plain(which, rn or "a", labels, et)
            elif kind == "insert_instance":
                self.insert_instance(which, rn, labels, et)
            elif kind == "replace":
                self.replace(which, labels, et, None if which % 2 else {"n": which})
            elif kind == "remove_end":
                self.remove_end(which, et is None)
            else:
                getattr(self, kind)(which)
            if which % 5 == 0:
                self.everything()
        if keep:
            self.commit()
        else:
            self.rollback()
            self.everything()
        self.afterwards(then)

    def afterwards(self, then: str) -> None:
        """Nothing: only a disk has events."""

    def begin(self) -> None:
        self.store.begin()
        self.in_transaction = True
        self.before = copy.deepcopy(self.model)

    def commit(self) -> None:
        self.in_transaction = False
        self.hoped |= self.fresh
        self.fresh = set()

        async def close() -> int:
            ticket = self.store.commit()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return ticket

        self.ticket = self.loop.run_until_complete(close()) or self.ticket

    def rollback(self) -> None:
        self.in_transaction = False
        self.store.rollback()
        self.model = self.before
        self.fresh = set()

    # --- writes

    def insert_plain(self, parent: int, rn: str, labels: list[str], et: str | None, root: bool = False) -> None:
        self.count += 1
        pi = "" if root else self.pick(parent, False)
        assert pi is not None
        ty = 3 if self.count % 3 else 2
        new = resource(self.store, pi, rn, f"r{self.count}", ty, {"n": 1}, **wire(labels, et, self.count))
        if self.model.named(pi, rn) and not root:
            with pytest.raises(Conflict):
                self.store.insert(new)
        else:
            self.store.insert(new)
            self.model.put(new, False)

    def insert_instance(self, parent: int, rn: str, labels: list[str], et: str | None) -> None:
        self.count += 1
        pi = self.pick(parent, False)
        assert pi is not None
        ri = self.store.new_instance_id(pi)
        above = self.model.all[pi]
        attributes = {"ri": ri, "pi": pi, "rn": rn or ri, "ty": 4, **wire(labels, et, self.count)}
        new = Resource(ri, pi, rn or ri, 4, "m2m:cin", f"{above[5]}/{rn or ri}", attributes, {})
        if rn and self.model.named(pi, rn):
            with pytest.raises(Conflict):
                self.store.insert_instance(new)
        else:
            assert ri not in self.given
            assert not self.model.named(pi, ri)
            self.store.insert_instance(new)
            self.model.put(new, True)
            self.given.add(ri)
            self.fresh.add(ri)

    def replace(self, which: int, labels: list[str], et: str | None, internal: dict[str, Any] | None) -> None:
        ri = self.pick(which, False)
        assert ri is not None
        self.count += 1
        old = self.model.all[ri]
        attributes = {"ri": ri, "pi": old[1], "rn": old[2], "ty": old[3], **wire(labels, et, self.count)}
        self.store.replace(ri, attributes, internal)
        self.model.all[ri] = (*old[:6], attributes, old[7] if internal is None else internal)

    def replace_instance(self, which: int) -> None:
        ri = self.pick(which, True)
        if ri is not None:
            self.count += 1
            self.store.replace_instance(ri, {"n": self.count})
            self.model.all[ri] = (*self.model.all[ri][:7], {"n": self.count})

    def remove_plain(self, which: int) -> None:
        ri = self.pick(which, False)
        assert ri is not None
        if not self.model.below(ri, False) and ri != "r1":
            self.store.remove(ri)
            self.model.drop(ri)

    def remove_instance(self, which: int) -> None:
        ri = self.pick(which, True)
        if ri is not None:
            self.store.remove(ri)
            self.model.drop(ri)

    def remove_end(self, which: int, first: bool) -> None:
        ri = self.pick(which, True)
        if ri is not None:
            pi = self.model.all[ri][1]
            end = self.store.oldest(pi) if first else self.store.newest(pi)
            assert state(end) == self.model.below(pi, True)[0 if first else -1]
            assert end is not None
            self.store.remove(end.ri)
            self.model.drop(end.ri)

    def remove_instances(self, which: int) -> None:
        pi = self.pick(which, False)
        assert pi is not None
        self.store.remove_instances(pi)
        for one in self.model.below(pi, True):
            self.model.drop(one[0])

    # --- reads

    def ends(self, which: int) -> None:
        pi = self.pick(which, False)
        assert pi is not None
        below = self.model.below(pi, True)
        assert state(self.store.newest(pi)) == (below[-1] if below else None)
        assert state(self.store.oldest(pi)) == (below[0] if below else None)

    def everything(self) -> None:
        model, store = self.model, self.store
        for ri in self.given | set(model.all):
            assert (ri, state(store.get(ri))) == (ri, model.all.get(ri))
        plain = [one for ri, one in model.all.items() if ri not in model.instances]
        assert store.plain_count() == len(plain)
        for ty in (2, 3):
            assert [state(one) for one in store.of_type(ty)] == [one for one in plain if one[3] == ty]
        for parent in plain:
            pi = parent[0]
            below = model.below(pi, True)
            assert [state(one) for one in store.instances(pi)] == below
            assert [state(one) for one in store.instances(pi, newest_first=True)] == below[::-1]
            for begin in (0, len(below) // 2, len(below)):
                beyond = {one[0] for one in below[begin:]}
                found = store.instances_from(pi, lambda one, beyond=beyond: one.ri in beyond)  # type: ignore[misc]
                assert [state(one) for one in found] == below[begin:]
            assert [state(one) for one in store.children(pi)] == model.below(pi, False)
            for rn in NAMES:
                assert state(store.child(pi, rn)) == model.named(pi, rn)
            for one in below:
                assert state(store.child(pi, one[2])) == one
        for label in ("x", "y"):
            holders = [one for one in model.all.values() if label in one[6].get("lbl", [])]
            assert [state(one) for one in store.referring("lbl", label)] == holders

    def expiry(self, which: int) -> None:
        limit = which % 5 + 1
        expiring = sorted(one[6]["et"] for one in self.model.all.values() if "et" in one[6])
        assert self.store.next_expiry() == (expiring[0] if expiring else None)
        found = self.store.expired(LAST, limit)
        assert [one.attributes["et"] for one in found] == expiring[:limit]
        assert len({one.ri for one in found}) == len(found)
        for one in found:
            assert state(one) == self.model.all[one.ri]


class Sqlite(Engines):
    """What a disk adds: commits that are under way, that fail, and a store that is opened again."""

    def open(self) -> Engine:
        if not hasattr(self, "disk"):
            self.disk = Disk()
            self.directory = tempfile.TemporaryDirectory()
            self.path = Path(self.directory.name) / "cse.db"
        return SqliteStore(
            self.path, group_limit=3, connect=self.disk.connect, ballast_bytes=0, cached_parents=2, cached_bytes=3000
        )

    def made_durable(self) -> None:
        self.settle()

    def afterwards(self, then: str) -> None:
        if then:
            getattr(self, then)()

    def settle(self) -> None:
        """Open the gate and wait for everything; later commits stay under way until the next time."""
        self.disk.gate.set()
        self.loop.run_until_complete(self.store.durable(self.ticket))
        self.disk.gate.clear()
        self.saved = copy.deepcopy(self.model)
        self.kept |= self.hoped

    def let_go(self) -> None:
        self.settle()
        self.everything()

    def fail(self) -> None:
        """What is under way and what gathered on top is lost, then the disk heals."""
        self.disk.error = sqlite3.OperationalError("disk I/O error")
        self.disk.gate.set()
        store = self.store
        assert isinstance(store, SqliteStore)

        async def lose() -> None:
            store.begin()
            store.replace("r1", {**store.get("r1").attributes, "con": -1})  # type: ignore[union-attr]
            with pytest.raises(InternalServerError, match="disk I/O error"):
                await store.durable(store.commit())
            assert "disk I/O error" in store.health()
            store.begin()
            with pytest.raises(InternalServerError, match="only deletions"):
                store.new_instance_id("r1")
            store.rollback()
            self.disk.error = None
            await until(lambda: store.health() == "ok")

        self.loop.run_until_complete(lose())
        self.disk.gate.clear()
        self.model = copy.deepcopy(self.saved)
        self.hoped = set()
        self.ticket = 0
        self.everything()

    def reopen(self) -> None:
        self.settle()
        self.disk.gate.set()
        self.loop.run_until_complete(self.store.close())
        self.given = set(self.kept)  # what was never durable may be given again by the next process
        assert check(self.path) == []
        self.store, self.ticket = self.open(), 0
        self.disk.gate.clear()
        self.everything()

    def teardown(self) -> None:
        if self.in_transaction:
            self.rollback()
        self.disk.gate.set()
        super().teardown()
        assert check(self.path) == []
        self.directory.cleanup()


OFTEN = settings(max_examples=60, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))


def test_memory_agrees_with_the_model() -> None:
    run_state_machine_as_test(Engines, settings=OFTEN)


def test_sqlite_agrees_with_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_FIRST_PAUSE_S", 0.002)  # the disk fails often here
    run_state_machine_as_test(Sqlite, settings=OFTEN)
