"""The one session that may write to a PostgreSQL store: the right to lead and the connection are the same thing.

The advisory lock belongs to the session, and every group is committed in that session. So whoever lost the right to
lead cannot commit any more, and whoever gets it knows that nobody else is committing (docs/adr/0018).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import Any

import psycopg

from cse.storage import statements as sql
from cse.storage.errors import StoreBusy, StoreOpenError, without_password
from cse.storage.postgresql_reader import translated

_LOG = logging.getLogger(__name__)

#: a dead peer is noticed within about 8 s, on both sides, also when its machine is gone
_ALIVE = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 2, "tcp_user_timeout": 8000}
_OPTIONS = "-c tcp_keepalives_idle=4 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=2 -c synchronous_commit=on"
#: no statement of a CSE takes this long; one that does must not hold up everybody
_STATEMENT_MS = 30_000
_CONNECT_S = 5


class Deposed(Exception):
    """Another process leads this store now."""


def connect(url: str, *, application: str = "onemec", synchronous: str = "on") -> psycopg.Connection[Any]:
    """A connection in autocommit mode that prepares what it runs.

    Raises:
        psycopg.OperationalError: nobody answers, or it lets us not in.
    """
    options = f"{_OPTIONS} -c statement_timeout={_STATEMENT_MS}"
    if synchronous != "on":
        options = options.replace("synchronous_commit=on", f"synchronous_commit={synchronous}")
    parameters: dict[str, Any] = {**_ALIVE, "connect_timeout": _CONNECT_S, "options": options}
    found = psycopg.connect(url, autocommit=True, application_name=application, **parameters)
    found.prepare_threshold = 0
    return found


class Session:
    """A session that holds the right to lead a store.

    Args:
        url: the database.
        synchronous: ``on``; ``off`` breaks the promise of durability and is for control tests only.

    Raises:
        StoreBusy: another process leads.
        StoreOpenError: with one line that says what to mend.
    """

    def __init__(self, url: str, *, synchronous: str = "on") -> None:
        self._url = url
        #: the URL as it may be shown
        self.where = without_password(url)
        self._synchronous = synchronous
        self.connection = _opened(url, synchronous)
        try:
            if not self._lock():
                raise StoreBusy(
                    f"storage {self.where} is in use by {self._leader()}: stop that one, give this CSE a "
                    "database of its own, or start it with --workers to take over when that one ends"
                )
            self._prepare()
            #: how often the right to lead changed hands, ours included
            self.epoch = int(self._facts().get("epoch", "0")) + 1
            with self.connection.transaction():
                self.set_fact("epoch", str(self.epoch))
                self.set_fact("leader", f"process {os.getpid()} on {socket.gethostname()}")
                self.set_fact("group", "0")
        except psycopg.Error as error:
            self.connection.close()
            raise StoreOpenError(_unopened(url, error)) from error
        except BaseException:
            self.connection.close()
            raise

    def _lock(self) -> bool:
        row = self.connection.execute("SELECT pg_try_advisory_lock(%s)", (sql.APPLICATION_ID,)).fetchone()
        return bool(row and row[0])

    def _facts(self) -> dict[str, str]:
        return dict(self.connection.execute(translated(sql.GET_META)).fetchall())

    def _leader(self) -> str:
        try:
            return self._facts().get("leader", "another process")
        except psycopg.Error:
            return "another process"

    def set_fact(self, name: str, value: str) -> None:
        """Note something in the table ``meta``."""
        self.connection.execute(translated(sql.SET_META), (name, value))

    def _prepare(self) -> None:
        where = self.where
        tables = {
            row[0]
            for row in self.connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            ).fetchall()
        }
        version = int(self._facts().get("schema_version", "-1")) if "meta" in tables else 0
        if version < 0 or (tables and not version):
            raise StoreOpenError(f"storage {where} has tables of another program: give a database of its own")
        if version > sql.SCHEMA_VERSION:
            raise StoreOpenError(
                f"storage {where} was written by a later release (schema {version}, this release knows "
                f"{sql.SCHEMA_VERSION}): run that release, or give another database"
            )
        if version < sql.SCHEMA_VERSION:
            from cse.storage.migrations import upgrade_postgresql  # takes most of a second to import

            level = logging.WARNING if version else logging.INFO
            _LOG.log(level, "storage %s: from schema %d to %d", where, version, sql.SCHEMA_VERSION)
            self.connection.autocommit = False
            try:
                self.connection.execute("SET LOCAL statement_timeout = 0")  # large tables take their time
                upgrade_postgresql(self.connection, version)
            finally:
                self.connection.rollback()
                self.connection.autocommit = True

    def resume(self) -> int:
        """Connect anew after the connection was lost.

        Returns:
            The last group of ours that was committed.

        Raises:
            Deposed: another process leads.
            psycopg.OperationalError: not yet.
        """
        self.connection.close()
        self.connection = connect(self._url, synchronous=self._synchronous)
        locked = self._lock()
        facts = self._facts()
        if int(facts["epoch"]) != self.epoch:
            self.connection.close()
            raise Deposed(f"storage: {facts['leader']} leads now")
        if not locked:
            # The server has not noticed yet that our last session is gone; it may be committing still.
            self.connection.close()
            raise psycopg.OperationalError("the session before is still open")
        return int(facts["group"])

    def close(self) -> None:
        """Give the right to lead away, at once: the server ends a closed session a moment later only."""
        with contextlib.suppress(psycopg.Error):
            self.connection.execute("SELECT pg_advisory_unlock(%s)", (sql.APPLICATION_ID,))
        self.connection.close()


def _opened(url: str, synchronous: str) -> psycopg.Connection[Any]:
    try:
        return connect(url, synchronous=synchronous)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise StoreOpenError(_unopened(url, error)) from error


def _unopened(url: str, error: psycopg.Error) -> str:
    words = " ".join(str(error).split())
    return f"storage {without_password(url)} cannot be opened ({words}): check the URL, and that the server runs"
