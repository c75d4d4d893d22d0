"""Stores of earlier releases are brought up to date, whole or not at all (docs/adr/0018; trust-tests TP-19)."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from cse.storage import migrations, open_store, statements
from cse.storage.database import check
from cse.storage.errors import StoreOpenError
from cse.storage.schema import Table
from tests.storage.builders import add, instance, put, root

FIRST = "CREATE INDEX instance_rn ON instance (rn) WHERE rn IS NOT NULL"
NOW = "instance (rn, id)"


class Store:
    """A store at some URL, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url

    def connect(self) -> Any:
        """An engine of SQLAlchemy."""
        return create_engine(self.url.replace("postgresql://", "postgresql+psycopg://"))

    @contextmanager
    def opened(self) -> Any:
        """A connection in a transaction."""
        engine = self.connect()
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    def version(self) -> str:
        """What it says of its tables."""
        with self.opened() as connection:
            return str(connection.execute(text("SELECT value FROM meta WHERE name = 'schema_version'")).scalar())

    def index(self) -> str:
        """How the index of names is made."""
        query = (
            "SELECT sql FROM sqlite_master WHERE name = 'instance_rn'"
            if self.url.startswith("sqlite")
            else "SELECT indexdef FROM pg_indexes WHERE indexname = 'instance_rn'"
        )
        with self.opened() as connection:
            return str(connection.execute(text(query)).scalar()).replace("USING btree ", "")

    def make_first(self) -> None:
        """Give it the tables of the first release."""
        with self.opened() as connection:
            connection.execute(text("DROP INDEX instance_rn"))
            connection.execute(text(FIRST))
            connection.execute(text("DROP TABLE outbox"))
            connection.execute(text("UPDATE meta SET value = '1' WHERE name = 'schema_version'"))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "postgresql":
        return Store(request.getfixturevalue("postgres_url"))
    return Store(f"sqlite:///{tmp_path}/cse.db")


async def fill(store: Store) -> None:
    engine = open_store(store.url)
    root(engine)
    engine.begin()
    add(engine, "cb", "cnt", "c", lbl=["x"])
    instance(engine, "c", "named", {"by": "me"}, lbl=["x"], et="20290101T000000")
    await engine.durable(engine.commit())
    await engine.close()


async def assert_filled(store: Store) -> None:
    engine = open_store(store.url)
    found = engine.child("c", "named")
    assert found is not None
    assert found.internal == {"by": "me"}
    assert [one.rn for one in engine.referring("lbl", "x")] == ["cnt", "named"]
    await put(engine, "c", rn="later")
    await engine.close()
    engine = open_store(store.url)
    assert [one.rn for one in engine.instances("c")] == ["named", "later"]
    await engine.close()


def test_the_last_step_is_the_version_of_the_tables() -> None:
    steps = sorted(path.name[:4] for path in (Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))
    assert steps == [f"{number:04}" for number in range(1, statements.SCHEMA_VERSION + 1)]


async def test_a_store_of_the_first_release_is_brought_up_to_date(store: Store) -> None:
    await fill(store)
    store.make_first()
    assert NOW not in store.index()
    await assert_filled(store)
    assert store.version() == str(statements.SCHEMA_VERSION)
    assert NOW in store.index()


def differences(connection: Connection) -> list[Any]:
    """What Alembic finds different between a store and the declared tables."""
    context = MigrationContext.configure(connection, opts={"compare_type": False})
    return list(compare_metadata(context, Table.metadata))


async def test_new_and_upgraded_tables_are_as_declared(store: Store) -> None:
    await fill(store)
    with store.opened() as connection:
        assert differences(connection) == []
    store.make_first()
    await open_store(store.url).close()
    with store.opened() as connection:
        assert differences(connection) == []


def test_all_steps_from_nothing_make_the_declared_tables(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "new.db").close()
    migrations.upgrade_sqlite(str(tmp_path / "new.db"), 0)
    made = Store(f"sqlite:///{tmp_path}/new.db")
    with made.opened() as connection:
        assert differences(connection) == []
    assert made.version() == str(statements.SCHEMA_VERSION)


@pytest.mark.kill
async def test_a_kill_within_an_upgrade_leaves_the_store_whole(store: Store, tmp_path: Path) -> None:
    await fill(store)
    store.make_first()
    folder = tmp_path / "steps"
    shutil.copytree(Path(migrations.__file__).parent, folder)
    last = statements.SCHEMA_VERSION
    (folder / "versions" / f"{last + 1:04}_never.py").write_text(
        "import os, signal\n"
        "from alembic import op\n"
        f"revision, down_revision = '{last + 1:04}', '{last:04}'\n"
        "def upgrade():\n"
        "    op.execute('DELETE FROM instance')\n"
        "    op.drop_table('garbage')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    code = (
        "import sys\nfrom functools import partial\nfrom pathlib import Path\n"
        "from cse.storage import migrations, open_store\n"
        "migrations.upgrade = partial(migrations.upgrade, folder=Path(sys.argv[2]))\nopen_store(sys.argv[1])\n"
    )
    for _ in range(3):
        killed = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, store.url, str(folder)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert store.version() == "1"
        assert NOW not in store.index()
    await assert_filled(store)
    assert store.version() == str(statements.SCHEMA_VERSION)
    if store.url.startswith("sqlite"):
        assert check(tmp_path / "cse.db") == []


async def test_an_upgrade_that_fails_is_said_in_one_line_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(f"sqlite:///{tmp_path}/cse.db")
    await fill(store)
    store.make_first()
    upgrade: Callable[..., None] = migrations.upgrade

    def fail(connection: Connection, version: int, **options: Any) -> None:
        upgrade(connection, version, **options)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(migrations, "upgrade", fail)
    with pytest.raises(StoreOpenError, match=r"from schema 1 to \d+ \(database or disk is full\): nothing was changed"):
        open_store(store.url)
    monkeypatch.undo()
    assert store.version() == "1"
    await assert_filled(store)
