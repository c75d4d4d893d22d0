"""The tree at random against a simple model that shares no code with it (architecture; trust-tests TP-12)."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Engine
from cse.storage.memory import MemoryStore
from cse.storage.postgresql import PostgresStore
from cse.storage.sqlite import SqliteStore
from tests.core.world import World
from tests.postgres import PostgresServer

NAMES = st.sampled_from(["a", "b", "c", "d"])
LABELS = st.sampled_from([None, ["red"], ["blue"], ["red", "blue"]])
LIMITS = st.sampled_from([None, 1, 2, 3])
CONTENTS = st.text(alphabet="xyz", max_size=6)
LIVES_S = st.sampled_from([None, 5.0, 20.0])


@dataclass
class Known:
    """What the model knows of a container."""

    path: str
    labels: list[str]
    mni: int | None
    mbs: int | None
    expires: float | None
    contents: list[str] = field(default_factory=list)
    subscribed: bool = False


class Tree(RuleBasedStateMachine):
    """Random originators' work on one CSE."""

    engine = "memory"
    server: PostgresServer | None = None
    database = ""
    containers = Bundle("containers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="onemec-model-"))
        self.known: dict[str, Known] = {}
        self._open()

    def _open(self) -> None:
        before = getattr(self, "world", None)
        self.world = World(self._store(), "mqtt")
        if before is not None:
            # A restarted CSE has the same clock and never the same identifiers.
            self.world.now, self.world.ids = before.now, before.ids

    def _store(self) -> Engine:
        if self.engine == "postgresql":
            assert self.server is not None
            self.database = self.database or self.server.database()
            return PostgresStore(self.database)
        return MemoryStore() if self.engine == "memory" else SqliteStore(self.folder / "model.db", ballast_bytes=0)

    def teardown(self) -> None:
        asyncio.run(self.world.store.close())
        shutil.rmtree(self.folder)
        if self.server is not None and self.database:
            self.server.drop(self.database)

    @initialize()
    def register(self) -> None:
        self.world.ae()

    # --- rules ------------------------------------------------------------------------------------------------------

    @rule(target=containers, name=NAMES, labels=LABELS, mni=LIMITS, mbs=LIMITS, life_s=LIVES_S)
    def create_at_top(self, name: str, labels: Any, mni: Any, mbs: Any, life_s: Any) -> str:
        return self._create("cse-in/ae", name, labels, mni, mbs, life_s)

    @rule(target=containers, parent=containers, name=NAMES, labels=LABELS, mni=LIMITS, mbs=LIMITS, life_s=LIVES_S)
    def create_below(self, parent: str, name: str, labels: Any, mni: Any, mbs: Any, life_s: Any) -> str:
        return self._create(parent, name, labels, mni, mbs, life_s)

    def _create(self, parent: str, name: str, labels: Any, mni: Any, mbs: Any, life_s: Any) -> str:
        path = f"{parent}/{name}"
        expires = None if life_s is None else self.world.now + life_s
        given = {"rn": name, "lbl": labels, "mni": mni, "mbs": mbs}
        body = {key: value for key, value in given.items() if value is not None}
        if expires is not None:
            body["et"] = format_timestamp(expires)
        response = self.world.create(parent, 3, {"m2m:cnt": body}, "Cae")
        if parent != "cse-in/ae" and parent not in self.known:
            assert response.status is Status.NOT_FOUND
        elif path in self.known:
            assert response.status is Status.CONFLICT
        else:
            assert response.status is Status.CREATED, response.content
            limits = [entry for entry in (expires, self._expiry_of(parent)) if entry is not None]
            self.known[path] = Known(path, labels or [], mni, mbs, min(limits) if limits else None)
        return path

    def _expiry_of(self, path: str) -> float | None:
        return self.known[path].expires if path in self.known else None

    @rule(path=containers, content=CONTENTS)
    def post(self, path: str, content: str) -> None:
        response = self.world.post(path, content)
        container = self.known.get(path)
        if container is None:
            assert response.status is Status.NOT_FOUND
        elif container.mbs is not None and len(content) > container.mbs:
            assert response.status is Status.NOT_ACCEPTABLE
        else:
            assert response.status is Status.CREATED, response.content
            container.contents.append(content)
            self._trim(container)
            told = [body for body in self.world.notifications() if "nev" in body]
            assert len(told) == (1 if container.subscribed else 0)

    def _trim(self, container: Known) -> None:
        while container.contents and (
            (container.mni is not None and len(container.contents) > container.mni)
            or (container.mbs is not None and sum(map(len, container.contents)) > container.mbs)
        ):
            container.contents.pop(0)

    @rule(path=containers, mni=LIMITS, labels=LABELS)
    def update(self, path: str, mni: Any, labels: Any) -> None:
        response = self.world.update(path, {"m2m:cnt": {"mni": mni, "lbl": labels}}, "Cae")
        container = self.known.get(path)
        if container is None:
            assert response.status is Status.NOT_FOUND
            return
        assert response.status is Status.UPDATED, response.content
        container.mni, container.labels = mni, labels or []
        self._trim(container)
        self.world.outbox.clear()

    @rule(path=containers)
    def subscribe(self, path: str) -> None:
        body = {"m2m:sub": {"rn": "sub", "nu": ["Cae"], "enc": {"net": [3], "chty": [4]}}}
        response = self.world.create(path, 23, body, "Cae")
        container = self.known.get(path)
        if container is None:
            assert response.status is Status.NOT_FOUND
        elif container.subscribed:
            assert response.status is Status.CONFLICT
        else:
            assert response.status is Status.CREATED
            container.subscribed = True

    @rule(path=containers, name=st.sampled_from(["la", "ol"]))
    def delete_instance(self, path: str, name: str) -> None:
        response = self.world.delete(f"{path}/{name}", "Cae")
        container = self.known.get(path)
        if container is None or not container.contents:
            assert response.status is Status.NOT_FOUND
        else:
            assert response.status is Status.DELETED
            container.contents.pop(-1 if name == "la" else 0)

    @rule(path=consumes(containers))
    def delete(self, path: str) -> None:
        response = self.world.delete(path, "Cae")
        if path not in self.known:
            assert response.status is Status.NOT_FOUND
            return
        assert response.status is Status.DELETED
        self._forget(path)

    def _forget(self, path: str) -> None:
        for known in [entry for entry in self.known if entry == path or entry.startswith(path + "/")]:
            del self.known[known]

    @rule(seconds=st.sampled_from([1.0, 6.0, 30.0]), sweep=st.booleans())
    def time_passes(self, seconds: float, sweep: bool) -> None:
        self.world.now += seconds
        if sweep:
            self.world.advance(0)
        for path, container in list(self.known.items()):
            if container.expires is not None and container.expires <= self.world.now:
                self._forget(path)
        self.world.outbox.clear()

    @rule()
    def restart(self) -> None:
        if self.engine == "sqlite":
            asyncio.run(self.world.store.close())
            self._open()

    # --- invariants -------------------------------------------------------------------------------------------------

    @invariant()
    def containers_are_as_known(self) -> None:
        for path, container in self.known.items():
            shown = self.world.retrieve(path, "Cae").content["m2m:cnt"]
            assert shown["cni"] == len(container.contents)
            assert shown["cbs"] == sum(map(len, container.contents))
            for name, index in (("la", -1), ("ol", 0)):
                response = self.world.retrieve(f"{path}/{name}", "Cae")
                if container.contents:
                    assert response.content["m2m:cin"]["con"] == container.contents[index]
                else:
                    assert response.status is Status.NOT_FOUND

    @invariant()
    def discovery_equals_a_scan(self) -> None:
        assert set(self.world.discover("cse-in", ty=[3])) == set(self.known)
        for label in ("red", "blue"):
            expected = {path for path, container in self.known.items() if label in container.labels}
            assert set(self.world.discover("cse-in", lbl=[label])) == expected
        count = sum(len(container.contents) for container in self.known.values())
        assert len(self.world.discover("cse-in", ty=[4])) == count

    @invariant()
    def every_parent_exists(self) -> None:
        store = self.world.store
        stack = [self.world.cse.base()]
        seen = 0
        while stack:
            resource = stack.pop()
            seen += 1
            for child in store.children(resource.ri):
                assert child.pi == resource.ri
                assert store.child(resource.ri, child.rn) is child
                stack.append(child)
        assert seen == store.plain_count()


class SqliteTree(Tree):
    """The same on SQLite, with restarts."""

    engine = "sqlite"


class PostgresTree(Tree):
    """The same on PostgreSQL, with restarts."""

    engine = "postgresql"


_EFFORT = settings(max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("machine", [Tree, SqliteTree])
def test_the_tree_behaves_like_the_model(machine: type[Tree]) -> None:
    machine.TestCase.settings = _EFFORT
    machine.TestCase("runTest").runTest()


def test_the_tree_on_postgresql_behaves_like_the_model(postgres_server: PostgresServer) -> None:
    PostgresTree.server = postgres_server
    PostgresTree.TestCase.settings = settings(_EFFORT, max_examples=8)
    PostgresTree.TestCase("runTest").runTest()
