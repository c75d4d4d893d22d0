"""Starts that cannot work say in one line what to mend; starts that can find everything again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from cse.onem2m.errors import InternalServerError
from cse.storage import StoreOpenError, open_store, statements
from cse.storage.database import check
from cse.storage.schema import Table
from cse.storage.sqlite import SqliteStore
from tests.storage.builders import Disk, add, instance, put, root


def refusal(url: str) -> str:
    with pytest.raises(StoreOpenError) as caught:
        open_store(url)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("url", ["", "sqlite", "sqlite://", "sqlite:///", "mysql://x/y", "cse.db", "/tmp/cse.db"])
def test_an_unknown_url_names_the_accepted_forms(url: str) -> None:
    message = refusal(url)
    assert "memory" in message
    assert "sqlite:////absolute/path.db" in message


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none does not exist" in refusal(f"sqlite:///{tmp_path}/none/cse.db")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert "is a directory" in refusal(f"sqlite:///{tmp_path}")


def test_an_unwritable_directory_is_named(tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(0o755)
    tmp_path.chmod(0o555)
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:  # root may write everywhere
            os.setgid(65534)
            os.setuid(65534)
        try:
            open_store(f"sqlite:///{tmp_path}/cse.db")
        except StoreOpenError as error:
            os._exit(0 if "cannot be written by this user" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cse.db"
    path.write_text("This is a letter, not a database. " * 40)
    assert "is not a database" in refusal(f"sqlite:///{path}")
    assert path.read_text().startswith("This is a letter")


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cse.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE letters (text)")
    connection.close()
    assert "another program" in refusal(f"sqlite:///{path}")


async def test_a_later_schema_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "cse.db"
    await open_store(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    connection.commit()
    connection.close()
    assert "later release (schema 99" in refusal(f"sqlite:///{path}")


async def test_a_damaged_row_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cse.db"
    store = SqliteStore(path)
    root(store)
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE resource SET body = x'00'")
    connection.commit()
    connection.close()
    assert "is damaged" in refusal(f"sqlite:///{path}")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cse.db"
    store = open_store(url)
    assert f"in use by process {os.getpid()}" in refusal(url)
    code = f"from cse.storage import open_store\nopen_store({url!r})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert f"in use by process {os.getpid()}" in other.stderr.splitlines()[-1]
    asyncio.run(store.close())
    asyncio.run(open_store(url).close())


def test_relative_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asyncio.run(open_store("sqlite:///relative.db").close())
    asyncio.run(open_store(f"sqlite:///{tmp_path}/absolute.db").close())
    assert {"relative.db", "absolute.db"} <= {path.name for path in tmp_path.iterdir()}
    assert check(tmp_path / "relative.db") == []


def test_the_statements_are_what_the_tables_compile_to() -> None:
    compiled = []
    for table in Table.metadata.sorted_tables:
        compiled.append(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        compiled += [str(CreateIndex(index).compile(dialect=sqlite.dialect())) for index in table.indexes]
    one_line = {" ".join(text.split()).replace("( ", "(").replace(" )", ")") for text in compiled}
    assert one_line == set(statements.CREATE)


async def test_everything_is_found_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cse.db"
    store = open_store(url)
    root(store)
    store.begin()
    add(store, "cb", "cnt", "c", lbl=["x"], et="20300101T000000")
    first = instance(store, "c", "named", {"by": "me"}, lbl=["x"], et="20290101T000000")
    second = instance(store, "c")
    store.commit()
    await store.close()
    store = open_store(url)
    assert [one.ri for one in store.referring("lbl", "x")] == ["c", first.ri]
    assert store.child("c", "named").internal == {"by": "me"}  # type: ignore[union-attr]
    assert store.newest("c").attributes == second.attributes  # type: ignore[union-attr]
    assert [one.rn for one in store.expired("20400101T000000", 9)] == ["named", "cnt"]
    assert (await put(store, "c")).ri not in (first.ri, second.ri)
    await store.close()


async def test_a_name_like_an_id_is_known_though_its_removal_was_undone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cse.db", ballast_bytes=0)
    root(store)
    store.begin()
    add(store, "cb", "cnt", "c")
    store.commit()
    number, _, following = (await put(store, "c", rn="chosen")).ri.partition("-")
    taken = f"{number}-{int(following) + 3:x}"
    await put(store, "c", rn=taken)
    await store.close()
    store = SqliteStore(tmp_path / "cse.db", ballast_bytes=0)
    found = store.child("c", taken)
    oldest = store.oldest("c")
    assert found is not None
    assert oldest is not None
    store.begin()
    store.remove(oldest.ri)
    store.remove(found.ri)
    instance(store, "c")  # here the names are read
    store.rollback()
    ids = [(await put(store, "c")).ri for _ in range(4)]
    assert taken not in ids
    assert store.child("c", taken) is not None
    await store.close()


async def test_a_start_with_many_resources_is_quick(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cse.db")
    root(store)
    for number in range(20_000):
        store.begin()
        add(store, "cb", f"n{number}", f"r{number}", et="20300101T000000", lbl=[f"l{number % 9}"], ct="2026")
        store.commit()
    await store.close()
    start = time.process_time()
    store = SqliteStore(tmp_path / "cse.db")
    assert time.process_time() - start < 2.0  # 0.2 s here; a start that is quadratic takes minutes
    assert store.plain_count() == 20_001
    await store.close()


async def test_the_statements_of_a_disk_full_at_start_are_understood(tmp_path: Path) -> None:
    disk = Disk()
    disk.error = sqlite3.OperationalError("database or disk is full")
    with pytest.raises(StoreOpenError, match="disk is full"):
        SqliteStore(tmp_path / "cse.db", connect=disk.connect)
    await open_store(f"sqlite:///{tmp_path}/cse.db").close()


def test_errors_of_storage_are_answers() -> None:
    assert InternalServerError("storage: x").status.name == "INTERNAL_SERVER_ERROR"
