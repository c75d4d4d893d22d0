"""A process that is killed under load loses nothing that it acknowledged (R1, R11)."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cse.storage.database import check
from cse.storage.sqlite import SqliteStore

WRITER = """
import asyncio, sys
from cse.storage.sqlite import SqliteStore
from tests.storage.builders import add, instance

async def client(store, parent):
    for number in range(10**9):
        store.begin()
        new = instance(store, parent, con=number)
        cni = store.get(parent).attributes["cni"] + 1
        if cni > 50:
            store.remove(store.oldest(parent).ri)
            cni -= 1
        store.replace(parent, {**store.get(parent).attributes, "cni": cni, "last": number})
        ticket = store.commit()
        await store.durable(ticket)
        print(parent, number, flush=True)

async def main(path, early):
    store = SqliteStore(path, acknowledge_early=early)
    store.begin()
    if store.get("cb") is None:
        add(store, "", "cse", "cb", ty=5)
        for number in range(16):
            add(store, "cb", f"n{number}", f"r{number}", cni=0, last=-1)
    await store.durable(store.commit())
    await asyncio.gather(*(client(store, f"r{number}") for number in range(16)))

asyncio.run(main(sys.argv[1], sys.argv[2] == "early"))
"""


def killed_after(path: Path, lines: int, mode: str) -> dict[str, int]:
    """Run the writer until it has acknowledged so much, kill it; returns the last number acknowledged per parent."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), mode], stdout=subprocess.PIPE, text=True)
    acknowledged: dict[str, int] = {}
    assert writer.stdout is not None
    try:
        for count, line in enumerate(writer.stdout):
            if line.endswith("\n"):
                parent, number = line.split()
                acknowledged[parent] = int(number)
            if count == lines:
                writer.send_signal(signal.SIGKILL)
    finally:
        writer.kill()
        writer.wait()
    return acknowledged


def lost(store: SqliteStore, acknowledged: dict[str, int]) -> list[str]:
    return [
        parent
        for parent, number in acknowledged.items()
        if (found := store.get(parent)) is None or found.attributes["last"] < number
    ]


@pytest.mark.kill
def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(tmp_path: Path) -> None:
    path = tmp_path / "cse.db"
    for lines in (700, 1500, 2501):
        path.unlink(missing_ok=True)
        for leftover in tmp_path.iterdir():
            leftover.unlink()
        acknowledged = killed_after(path, lines, "")
        assert len(acknowledged) == 16
        store = SqliteStore(path)
        assert lost(store, acknowledged) == []
        for parent in acknowledged:
            found = store.get(parent)
            assert found is not None
            last = found.attributes["last"]
            numbers = [one.attributes["con"] for one in store.instances(parent)]
            assert numbers == list(range(last - found.attributes["cni"] + 1, last + 1))
        asyncio.run(store.close())
        assert check(path) == []


@pytest.mark.kill
def test_control_acknowledging_early_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "cse.db"
    acknowledged = killed_after(path, 100, "early")
    store = SqliteStore(path)
    assert lost(store, acknowledged)
    asyncio.run(store.close())
