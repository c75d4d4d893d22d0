"""Group commit into PostgreSQL: a group is one pipeline, sent and waited for in the committing thread.

A connection lost during a COMMIT leaves it open whether the group is in the database. Then nothing is undone: the
session is opened anew, and what it finds says whether the group is to be written again (docs/adr/0018). Until the
database is back the group waits; those who wait for it are told after a while that its fate is not known.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg

from cse.storage import statements as sql
from cse.storage.commit import REFUSED, Changes, GroupCommit, running_loop, wake
from cse.storage.garbage import Garbage
from cse.storage.group import Group
from cse.storage.postgresql_reader import bulk, is_lost, translated
from cse.storage.postgresql_session import Deposed, Session

_LOG = logging.getLogger(__name__)

#: pause between attempts to reach a database that is away, in seconds
_PAUSE_S = 0.2


class PostgresCommit(GroupCommit):
    """Makes groups durable in a PostgreSQL database.

    Args:
        session: for writing; used by the committing thread only.
        changes: told what became of each group.
        garbage: ranges of instances to delete bit by bit.
        limit: most change sets in a group.
        patience_s: how long requests wait for a database that is away, in seconds.
        deposed: called, in the committing thread, when another process leads the store.
    """

    def __init__(
        self,
        session: Session,
        changes: Changes,
        garbage: Garbage,
        limit: int,
        patience_s: float,
        deposed: Callable[[str], None],
    ) -> None:
        self._session = session
        self._patience_s = patience_s
        self._deposed = deposed
        self._away = False
        super().__init__(changes, garbage, limit)

    @property
    def takes_removals(self) -> bool:
        """Whether a store that takes nothing new lets something be removed: yes, unless the database is away."""
        return not self._away

    # --- on the thread of the store

    def _write(self, group: Group) -> bool:
        return True  # all of it is done in the committing thread

    def _abandon(self) -> None:
        return  # the committing thread has ended the transaction

    def _cannot_write(self, error: Exception) -> None:
        return  # room on its disk is the server's business

    def _is_storage_error(self, error: Exception) -> bool:
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.ProgrammingError):
            return False
        return isinstance(error, psycopg.Error | Deposed)

    def _overdue(self, group: Group, error: Exception) -> None:
        """The database is away for long: say so to all who wait; the group itself stays, nobody knows its fate."""
        if self._in_flight is not group or self._away:
            return
        self._away = True
        self.reason = f"storage: the database cannot be reached ({_words(error)}): nothing can be changed now"
        _LOG.error("%s", self.reason)
        lost = self._undo_all(self.reason)
        self._failed[group.ticket] = (
            f"storage: the database was lost ({_words(error)}) and this change may be in it or not: look before "
            "sending it again"
        )
        self._failed.pop(REFUSED, None)
        self._failed[REFUSED] = self.reason
        self._changes.refuse(self.reason)
        for one in (*lost, group):
            wake(one, self._failed[one.ticket])

    def _settle(self, group: Group) -> None:
        super()._settle(group)
        self._back()

    def _fail(self, error: Exception) -> None:
        away, self._away = self._away, False
        super()._fail(error)
        if away and not self._is_storage_error(error):
            self._back()

    def _back(self) -> None:
        if self._away:
            self._away = False
            self.reason = ""
            self._changes.refuse("")
            _LOG.warning("storage: the database is back")

    def look(self) -> None:
        """See whether this process still leads, unless a commit under way will tell."""
        if self._in_flight is None and not self.reason and not self._stopped:
            self._in_flight = Group(0, probe=True)
            self._loop = running_loop()
            self._jobs.put(self._in_flight)

    def _probed(self, error: Exception | None) -> None:
        if self.reason:  # else it was only a look
            super()._probed(error)

    async def drain(self) -> None:
        """Write all there is; a database that is away is not waited for."""
        if self._away:
            self._stopped = True
            return
        try:
            await asyncio.wait_for(super().drain(), self._patience_s)
        except TimeoutError:
            self._stopped = True
            _LOG.error("storage: the database is away; the last changes are lost")

    # --- on the committing thread

    def _commit(self, group: Group) -> None:
        since_s = 0.0
        while True:
            try:
                self._run(group)
                return
            except psycopg.Error as error:
                if not is_lost(error):
                    raise  # the server refused, e.g. for want of room: nothing of the group is in the database
                since_s = since_s or time.monotonic()
                if self._resume(group, error, since_s):
                    return

    def _run(self, group: Group) -> None:
        connection = self._session.connection
        try:
            with connection.pipeline(), connection.cursor() as cursor:
                cursor.execute("BEGIN")
                group.write(partial(bulk, cursor))
                if group.next_number != self._saved_number:
                    cursor.execute(translated(sql.SET_META), ("next_number", str(group.next_number)))
                cursor.execute(translated(sql.SET_META), ("group", str(group.ticket)))
                if not self._garbage:
                    cursor.execute("COMMIT")
            if self._garbage:
                self._garbage.delete_slice(_Slices(connection))
                connection.execute("COMMIT")
                self._garbage.sliced()
        except psycopg.Error as error:
            if not is_lost(error):
                connection.execute("ROLLBACK")
            raise

    def _resume(self, group: Group, error: Exception, since_s: float) -> bool:
        """Wait for the database to be back; gives whether the group is in it."""
        told = False
        while not self._stopped:
            try:
                return self._session.resume() >= group.ticket
            except Deposed as other:
                self._deposed(str(other))
                raise
            except psycopg.Error as failure:
                error = failure
            if not told and time.monotonic() - since_s > self._patience_s and self._loop is not None:
                told = True
                self._loop.call_soon_threadsafe(self._overdue, group, error)
            time.sleep(_PAUSE_S)
        raise error

    def _try_disk(self) -> None:
        session = self._session
        try:
            if session.connection.closed:
                session.resume()
            if self.reason:
                session.set_fact("probe", str(time.time_ns()))
            else:
                session.connection.execute("SELECT 1")
        except Deposed as other:
            self._deposed(str(other))
            raise
        except psycopg.Error as error:
            if is_lost(error):
                session.connection.close()
            raise


class _Slices:
    """What garbage is deleted over: the connection, with the statements in its form."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Any = (), /) -> Any:
        return self._connection.execute(translated(statement), parameters)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
