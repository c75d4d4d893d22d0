"""The PostgreSQL engine: who may write, what a lost connection costs (nothing), what is refused and said."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from cse.onem2m.errors import InternalServerError
from cse.ports import Engine
from cse.storage import open_store
from cse.storage.errors import StoreBusy, StoreOpenError
from cse.storage.group import Group
from cse.storage.postgresql import PostgresStore
from cse.storage.postgresql_commit import PostgresCommit
from tests.brokers import free_port
from tests.postgres import PostgresServer
from tests.storage.builders import add, instance, put, root, until
from tests.storage.test_model import OFTEN, Engines


def ask(url: str, statement: str, *parameters: Any) -> list[Any]:
    """What the database itself says."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def instances(url: str) -> int:
    return int(ask(url, "SELECT count(*) FROM instance")[0][0])


def cut(url: str) -> int:
    """End all sessions of a database as a lost network would; returns how many there were."""
    return len(
        ask(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()",
        )
    )


def start(url: str, **options: Any) -> PostgresStore:
    """A store with a root and the container ``c``."""
    store = PostgresStore(url, **options)
    if store.get("cb") is None:
        root(store)
        store.begin()
        add(store, "cb", "cnt", "c", cni=0)
        store.commit()
        store.flush()
    return store


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = start(postgres_url)
    yield store
    await store.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may crash."""
    server = PostgresServer(safe=True)
    yield server
    server.stop()


# --- opening


async def test_everything_is_found_again(postgres_url: str) -> None:
    store = start(postgres_url)
    store.begin()
    add(store, "c", "inner", "r1", lbl=["x"], et="20300101T000000")
    first = instance(store, "r1", "named", {"by": "me"}, lbl=["x", "nul\0", "l" * 5000], et="20290101T000000")
    second = instance(store, "r1")
    await store.durable(store.commit())
    await store.close()
    store = start(postgres_url)
    assert [one.ri for one in store.referring("lbl", "x")] == ["r1", first.ri]
    assert [one.ri for one in store.referring("lbl", "nul\0")] == [first.ri]
    assert [one.ri for one in store.referring("lbl", "l" * 5000)] == [first.ri]
    assert store.referring("lbl", "l" * 4999) == []
    assert store.child("r1", "named").internal == {"by": "me"}  # type: ignore[union-attr]
    assert store.newest("r1").attributes == second.attributes  # type: ignore[union-attr]
    assert [one.rn for one in store.expired("20400101T000000", 9)] == ["named", "inner"]
    assert (await put(store, "r1")).ri not in (first.ri, second.ri)
    await store.close()


async def test_one_process_at_a_time(store: PostgresStore, postgres_url: str) -> None:
    with pytest.raises(StoreBusy, match=r"is in use by process \d+ on .*--workers"):
        open_store(postgres_url)
    await store.close()
    await open_store(postgres_url).close()


async def test_the_right_to_lead_is_given_back_before_the_session_ends(
    store: PostgresStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    end = psycopg.Connection.close

    def ended(connection: psycopg.Connection[Any]) -> None:
        if connection is store._session.connection:  # a server under load ends it only after the next one asks
            held.append(ask(postgres_url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")[0][0])
        end(connection)

    monkeypatch.setattr(psycopg.Connection, "close", ended)
    await store.close()
    assert held == [0]


async def test_a_later_schema_is_not_opened(store: PostgresStore, postgres_url: str) -> None:
    await store.close()
    ask(postgres_url, "UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(StoreOpenError, match=r"later release \(schema 99"):
        open_store(postgres_url)


def test_a_database_of_somebody_else_is_left_alone(postgres_url: str) -> None:
    ask(postgres_url, "CREATE TABLE letters (content text)")
    with pytest.raises(StoreOpenError, match="tables of another program"):
        open_store(postgres_url)
    assert ask(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("letters",)]


@pytest.mark.parametrize("url", ["postgresql://me:secret@127.0.0.1:{free}/x", "postgresql://a:secret@h:port/x"])
def test_a_server_that_is_not_there_is_said_in_one_line_without_the_password(url: str) -> None:
    with pytest.raises(StoreOpenError, match="cannot be opened") as refused:
        open_store(url.format(free=free_port()))
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_a_damaged_row_is_said_in_one_line(store: PostgresStore, postgres_url: str) -> None:
    await store.close()
    ask(postgres_url, "UPDATE resource SET body = 'no json'::bytea")
    with pytest.raises(StoreOpenError, match="is damaged"):
        open_store(postgres_url)


# --- writing


async def test_what_is_acknowledged_is_in_the_database(store: PostgresStore, postgres_url: str) -> None:
    await asyncio.gather(*(put(store, "c", con=number) for number in range(100)))
    assert instances(postgres_url) == 100


async def test_many_that_expire_are_read_page_by_page(store: PostgresStore) -> None:
    store.begin()
    for number in range(300):
        instance(store, "c", et=f"20300101T00{number // 60:02}{number % 60:02}")
    await store.durable(store.commit())
    assert len(store.expired("20400101T000000", 200)) == 200
    store.begin()
    store.remove_instances("c")
    kept = instance(store, "c", et="20310101T000000")
    await store.durable(store.commit())
    assert store.next_expiry() == "20310101T000000"
    assert [one.ri for one in store.expired("20400101T000000", 200)] == [kept.ri]


async def test_a_large_container_is_dropped_at_once_and_deleted_bit_by_bit(
    store: PostgresStore, postgres_url: str
) -> None:
    store.begin()
    for number in range(3000):
        instance(store, "c", lbl=["x"] if number % 10 == 0 else [])
    await store.durable(store.commit())
    store.begin()
    store.remove_instances("c")
    await store.durable(store.commit())
    assert store.newest("c") is store.oldest("c") is None
    assert store.referring("lbl", "x") == []
    await put(store, "c")
    await until(lambda: instances(postgres_url) == 1, 30)
    assert ask(postgres_url, "SELECT count(*) FROM garbage") == [(0,)]


async def test_a_change_that_the_database_refuses_costs_only_its_group(store: PostgresStore, postgres_url: str) -> None:
    ask(postgres_url, "ALTER TABLE instance ADD CHECK (rn <> 'bad')")
    store.begin()
    bad = instance(store, "c", "bad")
    with pytest.raises(InternalServerError, match="could not be written"):
        await store.durable(store.commit())
    assert store.get(bad.ri) is None
    assert store.health() == "ok"
    await put(store, "c")
    assert instances(postgres_url) == 1


async def test_a_full_disk_takes_deletions_only_and_heals(store: PostgresStore, postgres_url: str) -> None:
    first = await put(store, "c")
    ask(
        postgres_url,
        "CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN RAISE 'no space left on device' "
        "USING ERRCODE = '53100'; END $$ LANGUAGE plpgsql",
    )
    ask(postgres_url, "CREATE TRIGGER full_disk BEFORE INSERT ON instance EXECUTE FUNCTION full_disk()")
    ask(postgres_url, "CREATE TRIGGER full_disk BEFORE UPDATE ON meta EXECUTE FUNCTION full_disk()")
    with pytest.raises(InternalServerError, match="no space left"):
        await put(store, "c")
    assert "only deletions" in store.health()
    store.begin()
    with pytest.raises(InternalServerError, match="only deletions"):
        store.new_instance_id("c")
    store.rollback()
    ask(postgres_url, "DROP TRIGGER full_disk ON meta")
    store.begin()
    store.remove(first.ri)
    await store.durable(store.commit())
    ask(postgres_url, "DROP FUNCTION full_disk CASCADE")
    await until(lambda: store.health() == "ok", 15)
    await put(store, "c")
    assert instances(postgres_url) == 1


# --- a connection that is lost


async def test_lost_connections_cost_nothing(store: PostgresStore, postgres_url: str) -> None:
    """The writing session is cut again and again: all is acknowledged, and each is there once."""
    made: list[str] = []
    ended = asyncio.Event()

    async def client(number: int) -> None:
        sequence = 0
        while not ended.is_set():
            sequence += 1
            made.append((await put(store, "c", rn=f"n{number}-{sequence}")).ri)

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    for _ in range(15):
        before = len(made)
        await until(lambda before=before: len(made) >= before + 30, 60)  # type: ignore[misc]
        await asyncio.to_thread(cut, postgres_url)
    ended.set()
    await asyncio.gather(*clients)
    assert len(made) == len(set(made)) == instances(postgres_url)
    assert len(list(store.instances("c"))) == len(made)
    assert store.health() == "ok"


@pytest.mark.parametrize("before", [True, False])
async def test_a_commit_without_an_answer_is_found_out(
    store: PostgresStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """The connection is lost right before or right after the database committed: written once, acknowledged once."""
    run, lost = PostgresCommit._run, []

    def lose_once(commits: PostgresCommit, group: Group) -> None:
        if not lost:
            lost.append(group)
            if not before:
                run(commits, group)
            commits._session.connection.close()
            raise psycopg.OperationalError("the connection is lost")
        run(commits, group)

    monkeypatch.setattr(PostgresCommit, "_run", lose_once)
    await put(store, "c", con=1)
    assert instances(postgres_url) == 1
    await put(store, "c", con=2)
    assert ask(postgres_url, "SELECT count(*), count(DISTINCT id) FROM instance") == [(2, 2)]


async def test_a_crash_of_the_server_is_waited_for(own_server: PostgresServer) -> None:
    url = own_server.database()
    store = start(url, patience_s=60)
    await put(store, "c")
    own_server.crash()
    waiting = [asyncio.create_task(put(store, "c")) for _ in range(5)]
    await asyncio.sleep(0.3)
    assert not any(one.done() for one in waiting)
    await asyncio.to_thread(own_server.start)
    await asyncio.gather(*waiting)
    assert instances(url) == 6
    assert len(list(store.instances("c"))) == 6
    await store.close()


async def test_a_database_that_is_away_for_long_is_said_and_comes_back(own_server: PostgresServer) -> None:
    url = own_server.database()
    store = start(url, patience_s=0.3)
    await put(store, "c")
    store.begin()
    add(store, "c", "inner", "r1")
    await store.durable(store.commit())
    await asyncio.to_thread(own_server.crash)
    one = asyncio.create_task(put(store, "c", con="in doubt"))
    await until(lambda: store.health() != "ok", 15)
    with pytest.raises(InternalServerError, match="may be in it or not"):
        await one
    assert "cannot be reached" in store.health()
    assert store.get("c") is not None  # the tree is read as ever
    store.begin()
    with pytest.raises(InternalServerError, match="nothing can be changed now"):
        store.new_instance_id("c")
    store.rollback()
    store.begin()
    store.remove("r1")
    with pytest.raises(InternalServerError, match="cannot be reached"):
        await store.durable(store.commit())
    assert store.get("r1") is not None
    await asyncio.to_thread(own_server.start)
    await until(lambda: store.health() == "ok", 30)
    assert [found.attributes.get("con") for found in store.instances("c")] == [None, "in doubt"]
    await put(store, "c")
    assert instances(url) == 3
    await store.close()


async def test_closing_does_not_wait_for_a_database_that_is_away(own_server: PostgresServer) -> None:
    store = start(own_server.database(), patience_s=0.2)
    await asyncio.to_thread(own_server.crash)
    with pytest.raises(InternalServerError):
        await put(store, "c")
    await asyncio.wait_for(store.close(), 30)


async def test_who_lost_the_right_to_lead_writes_nothing_more(store: PostgresStore, postgres_url: str) -> None:
    await store.close()
    reasons: list[str] = []
    old = PostgresStore(postgres_url, deposed=reasons.append)
    cut(postgres_url)
    new = await asyncio.to_thread(open_when_free, postgres_url)
    with pytest.raises(InternalServerError, match="leads now"):
        await put(old, "c", con="of the old one")
    assert len(reasons) == 1
    await put(new, "c")
    assert instances(postgres_url) == 1
    await old.close()
    await put(new, "c")
    await new.close()


def open_when_free(url: str) -> PostgresStore:
    for _ in range(2000):
        try:
            return PostgresStore(url)
        except StoreBusy:
            continue
    raise AssertionError("the lock of a session that was ended is still held")


# --- the model


def test_postgresql_agrees_with_the_model(postgres_server: PostgresServer) -> None:
    url = postgres_server.database()
    asyncio.run(PostgresStore(url).close())

    class Postgres(Engines):
        """What a database adds: connections that are lost, and a store that is opened again."""

        def open(self) -> Engine:
            if not hasattr(self, "opened"):
                self.opened = True
                ask(url, "TRUNCATE resource, instance, instance_label, garbage")
                ask(url, "DELETE FROM meta WHERE name = 'next_number'")
            return PostgresStore(url, group_limit=3, cached_parents=2, cached_bytes=3000)

        def made_durable(self) -> None:
            self.settle()

        def settle(self) -> None:
            self.loop.run_until_complete(self.store.durable(self.ticket))
            self.saved = copy.deepcopy(self.model)
            self.kept |= self.hoped

        def afterwards(self, then: str) -> None:
            if then == "fail":
                cut(url)
                self.settle()
            elif then == "reopen":
                self.settle()
                self.loop.run_until_complete(self.store.close())
                self.given = set(self.kept)
                self.store, self.ticket = self.open(), 0
            elif then:
                self.settle()
            self.everything()

    run_state_machine_as_test(Postgres, settings=settings(OFTEN, max_examples=20))
