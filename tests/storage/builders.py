"""Resources as a CSE would give them to a store, and connections that fail on demand."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from cse.ports import Engine, Resource, Store
from cse.storage.database import connect


def resource(store: Store, pi: str, rn: str, ri: str, ty: int = 3, internal: Any = None, **attributes: Any) -> Resource:
    """A plain resource below ``pi``, not in the store yet."""
    parent = store.get(pi)
    path = f"{parent.path}/{rn}" if parent is not None else rn
    wire = {"ri": ri, "pi": pi, "rn": rn, "ty": ty, **attributes}
    return Resource(ri, pi, rn, ty, "m2m:cnt" if ty == 3 else "m2m:ae", path, wire, internal or {})


def root(store: Store) -> None:
    """Put the CSEBase in, in a transaction of its own."""
    store.begin()
    store.insert(resource(store, "", "cse", "cb", ty=5))
    store.commit()


def add(store: Store, pi: str, rn: str, ri: str, ty: int = 3, **attributes: Any) -> Resource:
    """Insert a plain resource within the open transaction."""
    new = resource(store, pi, rn, ri, ty, **attributes)
    store.insert(new)
    return new


def instance(store: Store, pi: str, rn: str = "", internal: Any = None, **attributes: Any) -> Resource:
    """Insert an instance within the open transaction; named like its resource-ID unless ``rn`` is given."""
    parent = store.get(pi)
    assert parent is not None
    ri = store.new_instance_id(pi)
    rn = rn or ri
    wire = {"ri": ri, "pi": pi, "rn": rn, "ty": 4, **attributes}
    new = Resource(ri, pi, rn, 4, "m2m:cin", f"{parent.path}/{rn}", wire, internal or {})
    store.insert_instance(new)
    return new


def state(found: Resource | None) -> tuple[Any, ...] | None:
    """All fields of a resource, to compare."""
    if found is None:
        return None
    return (found.ri, found.pi, found.rn, found.ty, found.root, found.path, found.attributes, found.internal)


def names(found: Any) -> list[str]:
    return [one.rn for one in found]


class Disk:
    """Makes connections whose COMMIT waits at a gate and fails when told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.commits = 0

    def connect(self, path: str) -> sqlite3.Connection:
        """As ``cse.storage.database.connect``."""
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
                if statement == "COMMIT":
                    assert disk.gate.wait(300)
                    disk.commits += 1
                    if disk.error is not None:
                        raise disk.error
                return super().execute(statement, *arguments)

        plain = connect(path)
        plain.close()
        return sqlite3.connect(path, timeout=0.02, isolation_level=None, check_same_thread=False, factory=Connection)


async def put(store: Engine, pi: str, **attributes: Any) -> Resource:
    """Create an instance and wait until it is durable."""
    store.begin()
    new = instance(store, pi, **attributes)
    await store.durable(store.commit())
    return new


async def until(condition: Callable[[], bool], limit_s: float = 10.0) -> float:
    """Wait for what a store does by itself; returns how long that took in seconds."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not condition():
        assert loop.time() - start < limit_s
        await asyncio.sleep(0.005)
    return loop.time() - start
