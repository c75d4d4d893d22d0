"""The scale-out engine: plain resources in memory, all of it in PostgreSQL, one process leads (docs/adr/0018)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cse.storage.logged import LoggedStore
from cse.storage.postgresql_commit import PostgresCommit
from cse.storage.postgresql_reader import PostgresReader
from cse.storage.postgresql_session import Session, connect
from cse.storage.series import Cache

_LOG = logging.getLogger(__name__)


class PostgresStore(LoggedStore):
    """A ``cse.ports.Engine`` on one PostgreSQL database.

    Args:
        url: the database, in the form of libpq: ``postgresql://user:password@host:port/name``.
        synchronous: ``on``; ``off`` breaks the promise of durability and is for control tests only.
        acknowledge_early: call everything durable before it is; for control tests only.
        keeps_sends: keep what is to be sent over a crash; False is for control tests only.
        group_limit: most requests that are committed together.
        cached_parents: how many parents have their newest and oldest instances at hand.
        cached_bytes: how much these may take up together.
        patience_s: how long requests wait for a database that is away, in seconds.
        deposed: called, in another thread, when another process leads the store.

    Raises:
        StoreBusy: another process leads the store.
        StoreOpenError: with one line that says what to mend.
    """

    def __init__(
        self,
        url: str,
        *,
        synchronous: str = "on",
        acknowledge_early: bool = False,
        keeps_sends: bool = True,
        group_limit: int = 1024,
        cached_parents: int = 10_000,
        cached_bytes: int = 32 << 20,
        patience_s: float = 10.0,
        deposed: Callable[[str], None] = _LOG.error,
    ) -> None:
        super().__init__(acknowledge_early=acknowledge_early, keeps_sends=keeps_sends)
        self._session = Session(url, synchronous=synchronous)
        try:
            self._reader = PostgresReader(lambda: connect(url, application="onemec reader"))
            garbage = self._load(self._reader, Cache(cached_parents, cached_bytes), self._session.where)
        except BaseException:
            self._session.close()
            raise
        commits = PostgresCommit(self._session, self, garbage, group_limit, patience_s, deposed)
        self._look = commits.look
        self._start(commits)

    def look(self) -> None:
        """See whether this process still leads; ``deposed`` is called when it does not."""
        self._look()

    def _let_go(self) -> None:
        self._reader.close()
        self._session.close()
