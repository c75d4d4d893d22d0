"""A worker that does not lead tells the leader of the dialects it mended (cse.workers)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from cse.workers.door import Door
from cse.workers.frames import PAGE, pack
from cse.workers.link import Link


class House:
    """Counts what it is told; nothing else is asked of it here."""

    def __init__(self) -> None:
        self.uses: Counter[str] = Counter()
        self.told = asyncio.Event()

    def note(self, dialect: str) -> None:
        self.uses[dialect] += 1
        if self.uses.total() == 3:
            self.told.set()


async def test_dialects_are_counted_with_the_leader(tmp_path: Path) -> None:
    house: Any = House()
    door = Door(tmp_path / "door", house)
    await door.open()
    _, link = await asyncio.get_running_loop().create_unix_connection(Link, str(tmp_path / "door"))
    try:
        for dialect in ("no rvi", "trailing slash", "no rvi"):
            link.note(dialect)
        await asyncio.wait_for(house.told.wait(), 15)
        assert house.uses == {"no rvi": 2, "trailing slash": 1}
    finally:
        link.close()
        await door.close()
    link.note("nobody hears this")


async def test_a_page_for_a_worker_that_does_not_read_waits(tmp_path: Path) -> None:
    sent: list[int] = []

    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(64):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
            sent.append(number)

    house: Any = House()
    house.pages = {"/page": page}
    door = Door(tmp_path / "door", house)
    await door.open()
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "door"), limit=1 << 16)
    try:
        writer.write(pack((PAGE, "/page", {}, b"")))
        await reader.readexactly(1 << 16)
        for _ in range(20):  # as long as anything is sent
            before = len(sent)
            await asyncio.sleep(0.1)
            if len(sent) == before:
                break
        assert len(sent) < 8
        async with asyncio.timeout(30):
            while len(sent) < 64:
                assert await reader.read(1 << 20)
    finally:
        writer.close()
        await door.close()
