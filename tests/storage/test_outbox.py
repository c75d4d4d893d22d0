"""What is to be sent is kept with the change that caused it: both or neither, until it was sent (docs/adr/0027)."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.onem2m.errors import InternalServerError
from cse.onem2m.primitives import Operation, Request
from cse.ports import Engine, Send
from cse.storage import open_store
from cse.storage.outbox import decode, encode
from cse.storage.sqlite import SqliteStore
from tests.storage.builders import Disk, add, instance, root, until

FULL = sqlite3.OperationalError("database or disk is full")


def notification(number: int, **fields: Any) -> Send:
    """A notification with this request identifier."""
    request = Request(Operation.NOTIFY, "http://t/", "/id-in", f"rqi{number}", content={"m2m:sgn": {"n": number}})
    return Send(request, ("http://t/",), subject="sub", target="http://t/", **fields)


async def change(engine: Engine, *sends: Send) -> None:
    """A durable change that causes these sends."""
    engine.begin()
    instance(engine, "c")
    await engine.durable(engine.commit(sends))


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store with a container ``c`` is."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/cse.db"
    engine = open_store(url)
    root(engine)
    engine.begin()
    add(engine, "cb", "cnt", "c")
    await engine.durable(engine.commit())
    await engine.close()
    return str(url)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def on_disk(tmp_path: Path, disk: Disk) -> AsyncIterator[SqliteStore]:
    """A store on a disk that fails on demand."""
    store = SqliteStore(tmp_path / "cse.db", connect=disk.connect, ballast_bytes=0)
    root(store)
    store.begin()
    add(store, "cb", "cnt", "c")
    await store.durable(store.commit())
    yield store
    disk.error = None
    await store.close()


def rows(path: Path) -> list[int]:
    """The numbers in the table."""
    connection = sqlite3.connect(path)
    try:
        return [number for (number,) in connection.execute("SELECT number FROM outbox ORDER BY number")]
    finally:
        connection.close()


def identifiers(sends: Any) -> list[str]:
    return [send.request.request_id for send in sends]


async def test_what_was_not_sent_is_there_after_a_restart_in_its_order_and_given_once(url: str) -> None:
    engine = open_store(url)
    made = [notification(number) for number in range(5)]
    await change(engine, *made[:3])
    await change(engine, *made[3:])
    assert all(engine.keeps(send) for send in made)
    engine.sent(made[1])
    assert not engine.keeps(made[1])
    await engine.close()
    for _ in range(2):
        engine = open_store(url)
        again = engine.unsent()
        assert again == [made[0], *made[2:]]
        assert engine.unsent() == []
        await change(engine)
        await engine.close()
    engine = open_store(url)
    for send in engine.unsent():
        engine.sent(send)
    await change(engine, notification(9))
    await engine.close()
    engine = open_store(url)
    assert identifiers(engine.unsent()) == ["rqi9"], "numbers go on, removed ones stay removed"
    await engine.close()


async def test_what_the_subscription_keeps_itself_is_not_kept_twice(url: str) -> None:
    engine = open_store(url)
    await change(engine, notification(1, kept=False), notification(2))
    await engine.close()
    engine = open_store(url)
    assert identifiers(engine.unsent()) == ["rqi2"]
    await engine.close()


async def test_sends_without_a_change_are_kept_and_not_waited_for(url: str) -> None:
    engine = open_store(url)
    engine.begin()
    assert engine.commit([notification(1)]) == 0
    await engine.close()
    engine = open_store(url)
    assert identifiers(engine.unsent()) == ["rqi1"]
    await engine.close()


async def test_a_removal_that_nobody_waits_for_comes_by_itself(on_disk: SqliteStore, tmp_path: Path) -> None:
    send = notification(1)
    await change(on_disk, send)
    assert rows(tmp_path / "cse.db") == [1]
    on_disk.sent(send)
    await until(lambda: rows(tmp_path / "cse.db") == [])


async def test_a_failed_group_takes_its_sends_with_it_and_leaves_removals_to_the_next(
    on_disk: SqliteStore, disk: Disk, tmp_path: Path
) -> None:
    before, lost = notification(1), notification(2)
    await change(on_disk, before)
    disk.error = FULL
    on_disk.sent(before)
    with pytest.raises(InternalServerError):
        await change(on_disk, lost)
    assert not on_disk.keeps(lost)
    assert rows(tmp_path / "cse.db") == [1]
    disk.error = None
    await until(lambda: on_disk.health() == "ok")
    await until(lambda: rows(tmp_path / "cse.db") == [])
    await change(on_disk, notification(3))
    assert len(rows(tmp_path / "cse.db")) == 1


async def test_a_store_that_takes_only_deletions_keeps_no_sends(on_disk: SqliteStore, disk: Disk) -> None:
    on_disk.begin()
    made = instance(on_disk, "c")
    await on_disk.durable(on_disk.commit())
    disk.error = FULL
    with pytest.raises(InternalServerError):
        await change(on_disk)
    on_disk.begin()
    on_disk.remove(made.ri)
    send = notification(1)
    ticket = on_disk.commit([send])
    assert not on_disk.keeps(send), "a deletion must not need room"
    disk.error = None
    await on_disk.durable(ticket)


async def test_a_send_that_cannot_be_kept_undoes_its_change(on_disk: SqliteStore, tmp_path: Path) -> None:
    on_disk.begin()
    add(on_disk, "cb", "other", "o")
    request = Request(Operation.NOTIFY, "http://t/", "/id-in", "odd", content={"m2m:sgn": {"n": {1}}})
    with pytest.raises(TypeError):
        on_disk.commit([notification(1), Send(request)])
    assert on_disk.get("o") is None
    assert not on_disk.keeps(notification(1))
    await change(on_disk, notification(2))
    assert rows(tmp_path / "cse.db") == [1]


async def test_without_sends_nothing_is_written_about_them(on_disk: SqliteStore) -> None:
    statements: list[str] = []
    on_disk._database.write.set_trace_callback(statements.append)
    await change(on_disk)
    on_disk._database.write.set_trace_callback(None)
    assert any("INSERT INTO instance" in one for one in statements)
    assert not any("outbox" in one for one in statements)


async def test_a_control_store_forgets_them(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cse.db", keeps_sends=False, ballast_bytes=0)
    root(store)
    store.begin()
    add(store, "cb", "cnt", "c")
    await store.durable(store.commit([notification(1)]))
    await store.close()
    assert rows(tmp_path / "cse.db") == []


_words = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=6,
)


@given(
    to=_words,
    content=st.dictionaries(_words, _json, max_size=3),
    category=st.none() | st.integers(2, 100),
    release=st.none() | _words,
    urls=st.lists(_words, max_size=3),
    exact=st.booleans(),
    final=st.booleans(),
    timeout_s=st.floats(0.1, 100.0),
    channel=_words,
    rare=st.fixed_dictionaries(
        {},
        optional={
            "filter": st.dictionaries(_words, _json, max_size=2),
            "role_ids": st.lists(_words, max_size=2),
            "delivery_aggregation": st.booleans(),
            "vendor": _words,
            "result_content": st.integers(0, 12),
        },
    ),
)
def test_a_row_gives_the_send_it_was_made_of(
    to: str,
    content: Any,
    category: int | None,
    release: str | None,
    urls: list[str],
    exact: bool,
    final: bool,
    timeout_s: float,
    channel: str,
    rare: dict[str, Any],
) -> None:
    request = Request(
        Operation.NOTIFY, to, "/id-in", "r", content=content, event_category=category, release=release, **rare
    )
    send = Send(request, tuple(urls), exact_url=exact, final=final, timeout_s=timeout_s, channel=channel)
    assert decode(encode(send)) == send


def test_fields_of_a_later_release_are_left_out() -> None:
    request, send = orjson.loads(encode(notification(1)))
    body = orjson.dumps([{**request, "colour": "red"}, {**send, "weight": 3}])
    assert decode(body) == notification(1)
