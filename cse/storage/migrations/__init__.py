"""Brings the tables of an earlier release up to date, with Alembic (docs/adr/0018).

One file in ``versions`` per step; the number of the last one is ``statements.SCHEMA_VERSION``. All steps that a store
needs run in one transaction, so a kill in between leaves it as it was. Imported only when there is something to do:
Alembic and SQLAlchemy take most of a second.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import StaticPool

_FOLDER = Path(__file__).parent


def upgrade(connection: Connection, version: int, *, to: int | None = None, folder: Path = _FOLDER) -> None:
    """Run the steps after ``version`` within the transaction that is open on ``connection``.

    Args:
        connection: to the store.
        version: of its tables; 0 when it has none.
        to: the last step to run; None for all.
        folder: where ``versions`` is.
    """
    script = ScriptDirectory(folder, version_locations=[str(folder / "versions")])
    steps = {int(found.revision): found.module for found in script.walk_revisions()}
    with Operations.context(MigrationContext.configure(connection)):
        for number in sorted(steps):
            if version < number and (to is None or number <= to):
                steps[number].upgrade()
                version = number
    connection.execute(text("DELETE FROM meta WHERE name = 'schema_version'"))
    connection.execute(text("INSERT INTO meta (name, value) VALUES ('schema_version', :it)"), {"it": str(version)})


def upgrade_sqlite(path: str, version: int) -> None:
    """Bring the SQLite store in this file, whose lock the caller has, up to date.

    Raises:
        sqlite3.Error: it could not be done, and nothing changed.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
        # the driver would begin late and leave what changes tables outside
        event.listen(engine, "begin", lambda opened: opened.exec_driver_sql("BEGIN IMMEDIATE"))
        with engine.begin() as opened:
            upgrade(opened, version)
    finally:
        connection.close()


def upgrade_postgresql(connection: Any, version: int) -> None:
    """Bring the PostgreSQL store that an open psycopg connection leads to up to date.

    The caller holds the lock of the store and has begun a transaction, which it commits.
    """
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as opened:
        upgrade(opened, version)
        opened.commit()
