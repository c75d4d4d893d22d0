"""The default engine: plain resources in memory, instances in SQLite, groups committed with a full sync (ADR 0006)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cse.storage.ballast import Ballast
from cse.storage.database import Connect, Database, connect
from cse.storage.logged import LoggedStore
from cse.storage.series import Cache
from cse.storage.sqlite_commit import SqliteCommit


class SqliteStore(LoggedStore):
    """A ``cse.ports.Engine`` on one SQLite file.

    Args:
        path: the database file; created when it does not exist. Next to it lie its log (``-wal``, ``-shm``), its lock
            (``-lock``) and its ballast (``-ballast``).
        synchronous: ``FULL``; ``OFF`` breaks the promise of durability and is for control tests only.
        acknowledge_early: call everything durable before it is; for control tests only.
        keeps_sends: keep what is to be sent over a crash; False is for control tests only.
        ballast_bytes: room kept for deletions on a full disk; None for 32 MiB or a quarter of the disk, 0 for none.
        group_limit: most requests that are committed together.
        cached_parents: how many parents have their newest and oldest instances at hand.
        cached_bytes: how much these may take up together.
        connect: makes connections to the file; for tests of failing disks.

    Raises:
        StoreOpenError: with one line that says what to mend.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        synchronous: str = "FULL",
        acknowledge_early: bool = False,
        keeps_sends: bool = True,
        ballast_bytes: int | None = None,
        group_limit: int = 1024,
        cached_parents: int = 10_000,
        cached_bytes: int = 32 << 20,
        connect: Connect = connect,
    ) -> None:
        super().__init__(acknowledge_early=acknowledge_early, keeps_sends=keeps_sends)
        self._database = Database(Path(path), synchronous, connect)
        try:
            cache = Cache(cached_parents, cached_bytes)
            garbage = self._load(self._database.read, cache, str(self._database.path))
        except BaseException:
            self._database.close()
            raise
        ballast = Ballast(self._database.path.with_name(self._database.path.name + "-ballast"), ballast_bytes)
        ballast.make()
        self._start(SqliteCommit(self._database.write, self, ballast, garbage, group_limit))

    def _room(self) -> tuple[dict[str, int], int | None]:
        path = self._database.path
        files = {
            "database": path,
            "wal": path.with_name(path.name + "-wal"),
            "ballast": path.with_name(path.name + "-ballast"),
        }
        sizes_bytes: dict[str, int] = {}
        for name, file in files.items():
            with contextlib.suppress(OSError):
                sizes_bytes[name] = file.stat().st_size
        try:
            disk = os.statvfs(path.parent)
        except OSError:
            return sizes_bytes, None
        return sizes_bytes, disk.f_bavail * disk.f_frsize

    def _let_go(self) -> None:
        self._database.close()  # copies the log into the database: that may take a while
