"""The disk fills up: writes are refused in words, reads and deletions go on, and deleting makes room again.

trust.md R1, R10; trust-tests TP-03. The disk is a small tmpfs of the test's own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.trust.test_kill import HEADERS, Victim, create

DISK_MIB = 64
CYCLES = 2
CONTENT = "x" * 64_000
#: more than fits in any case
MOST = DISK_MIB * (1 << 20) // len(CONTENT) + 100

pytestmark = pytest.mark.kill


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("a small disk needs mount: run as root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


class Session:
    """What a device does, over HTTP."""

    def __init__(self, victim: Victim, session: aiohttp.ClientSession) -> None:
        self._url, self._session, self._number = victim.url, session, 0

    async def ask(self, method: str, path: str, **options: object) -> tuple[int, dict[str, object]]:
        """Response status code and body of a request."""
        self._number += 1
        headers = {"X-M2M-RI": str(self._number), **options.pop("headers", {})}  # type: ignore[dict-item]
        async with self._session.request(method, f"{self._url}/{path}", headers=headers, **options) as answer:  # type: ignore[arg-type]
            body = await answer.json() if answer.content_length else {}
            return int(answer.headers["X-M2M-RSC"]), body

    async def post(self, path: str, name: str) -> tuple[int, dict[str, object]]:
        """Create an instance of 64 kB."""
        body = {"m2m:cin": {"rn": name, "con": CONTENT}}
        return await self.ask("POST", path, json=body, headers={"Content-Type": "application/json;ty=4"})


async def fill(session: Session, container: str) -> tuple[list[str], dict[str, object]]:
    """Create until it is refused; gives the names that were acknowledged and the refusal."""
    kept: list[str] = []
    for number in range(MOST):
        status, body = await session.post(container, f"n{number}")
        if status != 2001:
            assert status // 1000 == 5, (status, body)
            return kept, body
        kept.append(f"n{number}")
    pytest.fail(f"{MOST} instances fitted on a disk of {DISK_MIB} MiB")


async def read_all(session: Session, container: str, names: list[str]) -> None:
    """Every acknowledged instance can be read, whole."""
    for name in names:
        status, body = await session.ask("GET", f"{container}/{name}")
        assert (status, body["m2m:cin"]["con"]) == (2000, CONTENT), name  # type: ignore[index]


async def accepted_again(session: Session, container: str) -> float:
    """Seconds until a write is accepted."""
    started = time.monotonic()
    while (await session.post(container, f"again{time.monotonic_ns()}"))[0] != 2001:
        assert time.monotonic() - started < 15, "nothing is accepted although there is room"
    return time.monotonic() - started


async def test_a_full_disk_refuses_writes_and_deleting_makes_room(small_disk: Path) -> None:
    victim = Victim(small_disk / "cse.db")
    with contextlib.ExitStack() as ending:
        victim.start()
        ending.callback(victim.kill)
        body = {"m2m:ae": {"rn": "load", "api": "Nload", "rr": False, "srv": ["3"]}}
        await create(victim, "cse-in", 2, body)
        async with aiohttp.ClientSession(headers=HEADERS) as client:
            session = Session(victim, client)
            for cycle in range(CYCLES):
                container = f"cse-in/load/cycle{cycle}"
                await create(victim, "cse-in/load", 3, {"m2m:cnt": {"rn": f"cycle{cycle}"}})
                kept, refusal = await fill(session, container)
                print(f"cycle {cycle}: {len(kept)} instances fitted, then: {refusal['m2m:dbg']}")
                assert "disk" in str(refusal["m2m:dbg"])
                assert len(kept) > 100
                await read_all(session, container, kept)
                assert (await session.ask("DELETE", f"{container}/{kept.pop(0)}"))[0] == 2002
                victim.kill()
                victim.start()  # a full disk is no reason not to start
                await read_all(session, container, kept)
                assert (await session.ask("DELETE", container))[0] == 2002
                assert (await session.ask("GET", container))[0] == 4004
                await create(victim, "cse-in/load", 3, {"m2m:cnt": {"rn": f"room{cycle}"}})
                seconds = await accepted_again(session, f"cse-in/load/room{cycle}")
                assert seconds <= 5, f"writes were accepted {seconds:.1f} s after there was room"
