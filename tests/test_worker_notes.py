"""A worker that does not lead tells the leader of the dialects it mended (cse.workers)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from cse.workers.door import Door
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
