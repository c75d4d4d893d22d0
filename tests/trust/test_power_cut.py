"""The power goes under load: what was acknowledged is on the disk (trust.md R1; trust-tests TP-02), and EIO.

The disk is tests/trust/cutfs.py, which forgets what was not synced. The long run, about 2 s for each cut on two idle
cores: `ONEMEC_CUTS=200 pytest -s tests/trust/test_power_cut.py`. The last line has the audit.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes.util
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.trust.tally import Tally, batches
from tests.trust.test_kill import HEADERS, Load, Victim, audit, create

#: each batch has a disk of its own
CUTS = batches("ONEMEC_CUTS", 12)
#: cuts of the control, which must lose something
CONTROL_CUTS = 6
BODY = {"m2m:ae": {"rn": "load", "api": "Nload", "rr": False, "srv": ["3"]}}

pytestmark = pytest.mark.kill


@pytest.fixture(autouse=True)
def _fuse() -> None:
    missing = [
        what
        for what, there in {
            "/dev/fuse": os.access("/dev/fuse", os.R_OK | os.W_OK),
            "fusermount3": shutil.which("fusermount3"),
            "libfuse": ctypes.util.find_library("fuse3") or ctypes.util.find_library("fuse"),
        }.items()
        if not there
    ]
    if missing:
        pytest.skip(f"a power cut needs {', '.join(missing)}: on Debian, install fuse3 (as root, with /dev/fuse)")


class Disk:
    """A mounted cutfs.

    Args:
        folder: for the disk and its mount point.
    """

    def __init__(self, folder: Path) -> None:
        self.back, self.mount = folder / "back", folder / "mount"
        self.back.mkdir()
        self.mount.mkdir()
        self._server: subprocess.Popen[bytes] | None = None

    def plug_in(self) -> None:
        """Mount it."""
        command = [sys.executable, "-m", "tests.trust.cutfs", str(self.back), str(self.mount)]
        self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.mount.is_mount():
            assert time.monotonic() < deadline, "cutfs was not mounted"
            assert self._server.poll() is None, "cutfs ended"
            time.sleep(0.02)

    def order(self, words: str) -> None:
        """Do harm; see cutfs."""
        with (self.mount / ".control").open("w") as control:
            control.write(words)

    def unplug(self) -> None:
        """Unmount it, whatever state it is in."""
        if self._server is None:
            return
        subprocess.run(["fusermount3", "-u", "-z", str(self.mount)], check=False, stderr=subprocess.DEVNULL)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None


class OnDisk(Victim):
    """A CSE on that disk."""

    def __init__(self, disk: Disk, synchronous: str = "FULL") -> None:
        super().__init__(disk.mount / "cse.db")
        self.disk, self.synchronous = disk, synchronous

    def start(self) -> float:
        """Start it and wait for ``ready``; gives the seconds that took."""
        started = time.monotonic()
        command = [sys.executable, "-m", "tests.trust.cse_on_disk", str(self.port), str(self.path)]
        self.process = subprocess.Popen(
            [*command, self.synchronous, "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                return time.monotonic() - started
        raise AssertionError(f"the CSE did not become ready: exit code {self.process.wait()}")


@contextlib.contextmanager
def running(folder: Path, synchronous: str = "FULL") -> Iterator[OnDisk]:
    """A CSE on a disk of its own until the end of the block."""
    disk = Disk(folder)
    victim = OnDisk(disk, synchronous)
    try:
        disk.plug_in()
        victim.start()
        yield victim
    finally:
        victim.kill()
        disk.unplug()


async def cut(victim: OnDisk, number: int, seed: int) -> Load:
    """Load until the power goes at a random moment; afterwards the CSE runs again on what the disk has."""
    chance = random.Random(seed)
    await create(victim, "cse-in/load", 3, {"m2m:cnt": {"rn": f"round{number}"}})
    load = Load(victim, f"cse-in/load/round{number}", seed)
    driving = asyncio.create_task(load.run())
    await load.enough.wait()
    await asyncio.sleep(chance.uniform(0.05, 0.6))
    await asyncio.to_thread(victim.disk.order, f"cut {seed}")
    victim.kill()
    await driving
    victim.disk.unplug()
    victim.disk.plug_in()
    return load


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    """What the cuts came to."""
    counted = Tally("power cuts")
    yield counted
    print(counted.summary())


@pytest.mark.parametrize("batch", range(len(CUTS)))
async def test_no_acknowledged_write_is_lost_by_a_power_cut(tmp_path: Path, tally: Tally, batch: int) -> None:
    seed, acknowledged, slowest_s = random.randrange(1 << 30), 0, 0.0
    wrong: list[str] = []
    with running(tmp_path) as victim:
        await create(victim, "cse-in", 2, BODY)
        for number in range(CUTS[batch]):
            load = await cut(victim, number, seed + number)
            slowest_s = max(slowest_s, victim.start())
            acknowledged += load.acknowledged
            wrong += [f"cut {number}: {entry}" for entry in await audit(victim, load)]
    tally.add(CUTS[batch], acknowledged, wrong, slowest_s, seed)
    assert wrong == [], f"seed {seed}"


async def test_control_a_cse_that_does_not_sync_is_caught(tmp_path: Path, tally: Tally) -> None:
    with running(tmp_path, synchronous="OFF") as victim:
        await create(victim, "cse-in", 2, BODY)
        for number in range(CONTROL_CUTS):
            load = await cut(victim, number, number)
            lost = await lost_by(victim, load)
            tally.control(1, lost)
            if lost:
                return
    pytest.fail(f"{CONTROL_CUTS} power cuts of a CSE that does not sync lost nothing: the test sees nothing")


async def lost_by(victim: OnDisk, load: Load) -> int:
    """How many acknowledged writes are gone: all, when the database or the container is."""
    try:
        victim.start()
        wrong = await audit(victim, load)
    except (AssertionError, KeyError, ValueError):
        return load.acknowledged
    return sum(entry.startswith("lost") for entry in wrong)


async def attempt(victim: Victim, name: str) -> tuple[int, str]:
    """Response status code of a CREATE of a container, and what it says of an error."""
    headers = {**HEADERS, "Content-Type": "application/json;ty=3", "X-M2M-RI": name}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{victim.url}/cse-in/load", json={"m2m:cnt": {"rn": name}}) as answer,
    ):
        return int(answer.headers["X-M2M-RSC"]), (await answer.json()).get("m2m:dbg", "")


async def accepted_again(victim: Victim) -> float:
    """Seconds until a write is accepted."""
    started = time.monotonic()
    for number in range(1000):
        if (await attempt(victim, f"again{number}"))[0] == 2001:
            return time.monotonic() - started
        assert time.monotonic() - started < 30, "nothing is accepted although the disk is well"
        await asyncio.sleep(0.1)
    raise AssertionError("nothing is accepted although the disk is well")


@pytest.mark.parametrize("failing", ["write", "fsync", "write fsync"])
async def test_a_disk_that_fails_makes_writes_fail_and_keeps_what_was_acknowledged(
    failing: str, tmp_path: Path
) -> None:
    with running(tmp_path) as victim:
        await create(victim, "cse-in", 2, BODY)
        await create(victim, "cse-in/load", 3, {"m2m:cnt": {"rn": "round0"}})
        load = Load(victim, "cse-in/load/round0", 1)
        driving = asyncio.create_task(load.run())
        await load.enough.wait()
        await asyncio.to_thread(victim.disk.order, f"eio {failing}")
        await driving  # every client gets a refusal, none a success that is not on disk
        status, debug = await attempt(victim, "refused")
        assert status == 5000
        assert debug.startswith("storage: "), debug
        assert await audit(victim, load) == [], "reads go on while the disk refuses writes"
        await asyncio.to_thread(victim.disk.order, "well")
        healed_s = await accepted_again(victim)
        after = Load(victim, "cse-in/load/after", 2)
        await create(victim, "cse-in/load", 3, {"m2m:cnt": {"rn": "after"}})
        driving = asyncio.create_task(after.run())
        await after.enough.wait()
        await asyncio.to_thread(victim.disk.order, "cut 1")
        victim.kill()
        await driving
        victim.disk.unplug()
        victim.disk.plug_in()
        victim.start()
        assert await audit(victim, load) == []
        assert await audit(victim, after) == []
        print(
            f"{failing} failed after {load.acknowledged} writes, taken again after {healed_s:.1f} s, then "
            f"{after.acknowledged} writes and a power cut: 0 lost"
        )
