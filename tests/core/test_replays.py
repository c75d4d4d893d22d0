"""A CREATE that came before is recognised, and one that is new costs no look into the table (docs/adr/0031)."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from cse.dated_names import PERIOD_S
from cse.onem2m.primitives import Operation, Request
from cse.ports import Engine
from cse.storage import instances
from cse.storage.sqlite import SqliteStore
from tests.core.world import World


class Looks(list[str]):
    """The statements that look for an instance by its name."""

    def of(self, store: SqliteStore) -> Looks:
        """Begin to gather."""
        reading = store._instances._connection
        assert isinstance(reading, sqlite3.Connection)
        reading.set_trace_callback(lambda text: self.append(text) if "rn = " in text else None)
        return self


def post(world: World, rqi: str, value: str) -> str:
    """The name of what a request over MQTT creates."""
    request = Request(Operation.CREATE, "cse-in/ae/cnt", "Cae", rqi, 4, {"m2m:cin": {"con": value}}, "3")
    answer = world.serve(request)
    assert int(answer.status) == 2001, answer.content
    name: str = answer.content["m2m:cin"]["rn"]
    return name


def opened(path: Path, now: float) -> tuple[SqliteStore, World]:
    """A store on a file, and a CSE on it."""
    store = SqliteStore(str(path), ballast_bytes=0)
    world = World(store, "mqtt")
    world.now = now
    return store, world


def test_a_create_looks_for_no_name_in_the_table_but_for_one_of_before_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "cse.db"
    now = time.time()
    store, world = opened(path, now)
    world.ae()
    world.container()
    looks = Looks().of(store)
    first = [post(world, f"request-number-{number:04}", "1") for number in range(50)]
    store.flush()
    later = [post(world, f"request-number-{number:04}", "1") for number in range(50, 100)]
    assert not looks
    assert post(world, "request-number-0007", "1") == first[7]
    asyncio.run(store.close())

    store, world = opened(path, now + 1)
    looks = Looks().of(store)
    more = [post(world, f"request-number-{number:04}", "1") for number in range(100, 150)]
    assert not looks
    assert [post(world, f"request-number-{number:04}", "1") for number in range(100)] == first + later
    assert len(looks) >= 100
    assert len({*first, *later, *more}) == 150
    asyncio.run(store.close())


def test_when_too_many_were_named_lately_the_table_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "_DATED", 20)
    path, now = tmp_path / "cse.db", time.time()
    store, world = opened(path, now)
    world.ae()
    world.container()
    names = [post(world, f"request-number-{number:04}", "1") for number in range(50)]
    asyncio.run(store.close())
    store, world = opened(path, now)
    assert [post(world, f"request-number-{number:04}", "1") for number in range(50)] == names
    asyncio.run(store.close())


def test_a_repetition_is_acknowledged_no_earlier_than_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, world = opened(tmp_path / "cse.db", time.time())
    world.ae()
    world.container()
    promised: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(world, "settle", promised.append)
        name = post(world, "request-number-0001", "1")
        assert post(world, "request-number-0001", "1") == name
    assert promised == [promised[0]] * 2
    world.settle(promised[0])
    monkeypatch.setattr(world, "settle", promised.append)
    assert post(world, "request-number-0001", "1") == name
    assert len(promised) == 2, "what is on disk is not waited for again"
    asyncio.run(store.close())


def test_a_repetition_is_one_for_five_minutes_and_then_a_request(store: Engine) -> None:
    world = World(store, "mqtt")
    world.ae()
    world.container()
    name = post(world, "request-number-0001", "1")
    world.now += PERIOD_S - 1
    assert post(world, "request-number-0001", "1") == name
    world.now += 2
    assert post(world, "request-number-0001", "1") != name
