"""Acknowledged means on disk; what cannot be written is undone, said, and healed (architecture law 5, R1, R10)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from cse.onem2m.errors import InternalServerError
from cse.storage import commit
from cse.storage.database import check
from cse.storage.sqlite import SqliteStore
from tests.storage.builders import Disk, add, instance, put, root, until

FULL = sqlite3.OperationalError("database or disk is full")


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.error = None
    disk.gate.set()


@pytest.fixture
async def store(tmp_path: Path, disk: Disk) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "cse.db", connect=disk.connect, ballast_bytes=1 << 20)
    root(store)
    store.begin()
    add(store, "cb", "cnt", "c", cni=0)
    await store.durable(store.commit())
    disk.commits = 0
    yield store
    disk.error = None
    disk.gate.set()
    await store.close()
    assert check(tmp_path / "cse.db") == []


async def healed(store: SqliteStore) -> float:
    """Wait until the store takes writes; returns how long that took in seconds."""
    return await until(lambda: store.health() == "ok")


def on_disk(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM instance").fetchone()[0])
    finally:
        connection.close()


async def test_nothing_is_durable_before_the_commit_returns(store: SqliteStore, disk: Disk, tmp_path: Path) -> None:
    disk.gate.clear()
    waiting = asyncio.create_task(put(store, "c"))
    await asyncio.sleep(0.05)
    assert store.newest("c") is not None  # visible at once
    assert not waiting.done()
    assert on_disk(tmp_path / "cse.db") == 0
    disk.gate.set()
    await waiting
    assert on_disk(tmp_path / "cse.db") == 1


async def test_flush_waits_within_a_loop_too(store: SqliteStore, tmp_path: Path) -> None:
    store.begin()
    instance(store, "c")
    store.commit()
    store.flush()
    assert on_disk(tmp_path / "cse.db") == 1


async def test_nothing_is_remembered_of_what_is_durable(store: SqliteStore) -> None:
    store.begin()
    made = [instance(store, "c", f"n{number}", lbl=["x"], et="20300101T000000") for number in range(6)]
    store.remove(made[2].ri)
    store.remove(made[5].ri)
    store.replace_instance(made[1].ri, {"n": 1})
    store.commit()
    store.begin()
    store.remove(made[0].ri)
    add(store, "c", "inner", "r1")
    instance(store, "r1", "gone", lbl=["x"], et="20290101T000000")
    store.remove_instances("r1")
    await store.durable(store.commit())
    store.begin()
    store.remove(made[3].ri)
    await store.durable(store.commit())
    assert store._instances.pending() == 0  # else memory would grow with every request
    assert store.next_expiry() == "20300101T000000"
    assert [one.ri for one in store.instances("c")] == [made[1].ri, made[4].ri]


async def test_what_gathers_during_a_commit_is_one_commit(store: SqliteStore, disk: Disk) -> None:
    disk.gate.clear()
    tasks = [asyncio.create_task(put(store, "c"))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(put(store, "c", con=number)) for number in range(50)]
    await asyncio.sleep(0.05)
    disk.gate.set()
    made = await asyncio.gather(*tasks)
    assert disk.commits == 2
    assert [one.ri for one in store.instances("c")] == [one.ri for one in made]


async def test_one_who_gives_up_waiting_does_not_disturb_the_others(store: SqliteStore, disk: Disk) -> None:
    disk.gate.clear()
    tasks = [asyncio.create_task(put(store, "c")) for _ in range(3)]
    await asyncio.sleep(0.02)
    tasks[1].cancel()
    disk.gate.set()
    await tasks[0]
    await tasks[2]
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]


async def test_a_failed_commit_undoes_all_that_gathered_on_top(store: SqliteStore, disk: Disk, tmp_path: Path) -> None:
    kept = await put(store, "c")
    disk.gate.clear()
    tasks = [asyncio.create_task(put(store, "c"))]
    await asyncio.sleep(0.05)
    store.begin()
    store.remove(kept.ri)
    store.replace("c", {**store.get("c").attributes, "cni": 7})  # type: ignore[union-attr]
    add(store, "c", "inner", "r1")
    ticket = store.commit()
    tasks += [asyncio.create_task(put(store, "c")), asyncio.create_task(put(store, "r1"))]
    await asyncio.sleep(0.02)
    disk.error = FULL
    disk.gate.set()
    results = await asyncio.gather(*tasks, store.durable(ticket), return_exceptions=True)
    assert [type(result) for result in results] == [InternalServerError] * 4
    assert str(results[0]).startswith("storage: database or disk is full")
    assert [one.ri for one in store.instances("c")] == [kept.ri]
    assert store.get("c").attributes["cni"] == 0  # type: ignore[union-attr]
    assert store.get("r1") is None
    assert on_disk(tmp_path / "cse.db") == 1
    with pytest.raises(InternalServerError):  # also to those who ask later
        await store.durable(ticket)
    disk.error = None
    assert await healed(store) < 5
    await put(store, "c")
    assert on_disk(tmp_path / "cse.db") == 2


async def test_a_store_that_cannot_write_takes_deletions_only_and_heals(store: SqliteStore, disk: Disk) -> None:
    first = await put(store, "c")
    disk.error = FULL
    with pytest.raises(InternalServerError, match="storage: database or disk is full"):
        await put(store, "c")
    assert "only deletions" in store.health()
    store.begin()
    with pytest.raises(InternalServerError, match="only deletions"):
        add(store, "c", "x", "r1")
    with pytest.raises(InternalServerError, match="only deletions"):
        store.new_instance_id("c")
    store.rollback()
    store.begin()
    store.replace("c", {**store.get("c").attributes, "cni": 1})  # type: ignore[union-attr]
    with pytest.raises(InternalServerError, match="only deletions"):
        await store.durable(store.commit())
    assert store.get("c").attributes["cni"] == 0  # type: ignore[union-attr]
    disk.error = None
    store.begin()
    store.remove(first.ri)
    store.replace("c", {**store.get("c").attributes, "cni": -1})  # type: ignore[union-attr]
    await store.durable(store.commit())
    assert store.get(first.ri) is None
    assert await healed(store) < 5
    await put(store, "c")


def test_it_heals_by_itself_whatever_the_clock_of_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_FIRST_PAUSE_S", 0.0005)
    disk = Disk()

    async def fail_and_heal(path: Path) -> None:
        store = SqliteStore(path, connect=disk.connect)
        root(store)
        store.flush()
        for _ in range(20):
            disk.error = FULL
            with pytest.raises(InternalServerError):
                await put(store, "cb")
            disk.error = None
            await healed(store)
        await store.close()

    asyncio.run(fail_and_heal(tmp_path / "asyncio.db"))
    uvloop.run(fail_and_heal(tmp_path / "uvloop.db"))


async def test_a_lock_of_another_program_is_waited_for(store: SqliteStore, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "cse.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(put(store, "c"))
    await asyncio.sleep(0.2)
    assert not task.done()
    assert store.health() == "ok"
    other.execute("ROLLBACK")
    other.close()
    await task


async def test_a_change_that_cannot_be_written_is_no_fault_of_the_disk(store: SqliteStore) -> None:
    store.begin()
    add(store, "c", "bad", "r1", con={1, 2})
    with pytest.raises(InternalServerError, match="storage"):
        await store.durable(store.commit())
    assert store.get("r1") is None
    assert store.health() == "ok"
    await put(store, "c")


async def test_a_large_container_is_dropped_at_once_and_deleted_bit_by_bit(store: SqliteStore, tmp_path: Path) -> None:
    store.begin()
    add(store, "cb", "big", "r1")
    store.commit()
    for number in range(5000):
        store.begin()
        instance(store, "r1", lbl=["x"] if number % 10 == 0 else [])
        ticket = store.commit()
    await store.durable(ticket)
    store.begin()
    store.remove_instances("c")
    store.remove_instances("r1")
    await store.durable(store.commit())
    assert store.newest("r1") is store.oldest("r1") is None
    assert store.referring("lbl", "x") == []
    await put(store, "r1")
    await until(lambda: on_disk(tmp_path / "cse.db") == 1)
    assert len(list(store.instances("r1"))) == 1


async def test_garbage_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "cse.db"
    store = SqliteStore(path)
    root(store)
    for _ in range(3000):
        store.begin()
        instance(store, "cb")
        store.commit()
    store.flush()
    store.begin()
    store.remove_instances("cb")
    store.commit()
    await store.close()
    assert on_disk(path) > 0
    store = SqliteStore(path)
    assert store.newest("cb") is store.oldest("cb") is store.get("i1-5") is None
    assert list(store.instances("cb")) == []
    await put(store, "cb")
    await until(lambda: on_disk(path) == 1)
    await store.close()
    assert check(path) == []


def test_without_an_event_loop(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cse.db", group_limit=10)
    root(store)
    for _ in range(95):
        store.begin()
        instance(store, "cb")
        ticket = store.commit()
    assert on_disk(tmp_path / "cse.db") > 80  # bounded groups are written as they fill
    asyncio.run(store.durable(ticket))
    assert on_disk(tmp_path / "cse.db") == 95
    store.begin()
    instance(store, "cb")
    store.commit()
    store.flush()
    assert on_disk(tmp_path / "cse.db") == 96
    asyncio.run(store.close())


def test_the_loop_may_change_while_a_commit_is_under_way(tmp_path: Path) -> None:
    disk = Disk()
    store = SqliteStore(tmp_path / "cse.db", connect=disk.connect)
    root(store)
    store.flush()
    disk.gate.clear()

    async def begin() -> int:
        store.begin()
        instance(store, "cb")
        ticket = store.commit()
        await asyncio.sleep(0.01)
        return ticket

    ticket = asyncio.run(begin())
    disk.gate.set()
    asyncio.run(store.durable(ticket))
    assert on_disk(tmp_path / "cse.db") == 1
    asyncio.run(put_two(store))
    asyncio.run(store.close())


async def put_two(store: SqliteStore) -> None:
    await asyncio.gather(put(store, "cb"), put(store, "cb"))


async def test_control_a_store_that_acknowledges_early_is_found_out(tmp_path: Path, disk: Disk) -> None:
    store = SqliteStore(tmp_path / "cse.db", connect=disk.connect, acknowledge_early=True)
    root(store)
    disk.gate.clear()
    await asyncio.wait_for(put(store, "cb"), 5)
    assert on_disk(tmp_path / "cse.db") == 0
    disk.gate.set()
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(mount)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


async def test_a_full_disk_takes_deletions_and_heals(small_disk: Path) -> None:
    path = small_disk / "cse.db"
    store = SqliteStore(path, ballast_bytes=1 << 20)
    root(store)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(6 << 20))
    made = []

    async def fill() -> None:
        while True:
            made.append((await put(store, "cb", con="x" * 20_000)).ri)

    with pytest.raises(InternalServerError, match="storage: "):
        await fill()
    assert "only deletions" in store.health()
    assert [one.ri for one in store.instances("cb")] == made  # all that was acknowledged, nothing else
    for ri in made[:20]:
        store.begin()
        store.remove(ri)
        await store.durable(store.commit())
    assert "only deletions" in store.health()
    filler.unlink()
    assert await healed(store) < 5
    made.append((await put(store, "cb", con="y" * 20_000)).ri)
    assert (small_disk / "cse.db-ballast").stat().st_size == 1 << 20
    await store.close()
    store = SqliteStore(path, ballast_bytes=1 << 20)
    assert [one.ri for one in store.instances("cb")] == made[20:]
    await store.close()
    assert check(path) == []


@pytest.mark.parametrize("delay", range(12))
async def test_closing_while_a_slice_of_a_large_deletion_is_on_its_way(tmp_path: Path, delay: int) -> None:
    store = SqliteStore(tmp_path / "slices.db")
    root(store)
    for _ in range(4000):
        store.begin()
        instance(store, "cb")
        ticket = store.commit()
    await store.durable(ticket)
    store.begin()
    store.remove_instances("cb")
    await store.durable(store.commit())
    # The deletion goes on in slices of its own; wherever it is, closing must end.
    for _ in range(delay):
        await asyncio.sleep(0.002)
    async with asyncio.timeout(20):
        await store.close()
