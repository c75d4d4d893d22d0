"""The ``world`` fixture: every test of this folder on every codec and every store."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cse.ports import Engine
from cse.storage.memory import MemoryStore
from cse.storage.postgresql import PostgresStore
from cse.storage.sqlite import SqliteStore
from tests.core.world import World
from tests.postgres import PostgresServer

CODECS = ["http", "mqtt", "coap"]
ENGINES = ["memory", "sqlite"]
#: a disk in memory, where there is one, for thousands of small databases; what a sync is worth is shown elsewhere
_IN_MEMORY = Path("/dev/shm")
#: modules that run on PostgreSQL too: above the store the engines differ in nothing, and a database takes its time
ON_POSTGRESQL = {"test_containers"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """WebSocket carries the primitives of MQTT: one module runs over it always, all of them with ONEMEC_ALL_CODECS."""
    if "codec" in metafunc.fixturenames:
        everywhere = bool(os.environ.get("ONEMEC_ALL_CODECS"))
        more = everywhere or metafunc.module.__name__.rpartition(".")[2] == "test_containers"
        metafunc.parametrize("codec", [*CODECS, "ws"] if more else CODECS)
    if "store" in metafunc.fixturenames:
        more = metafunc.module.__name__.rpartition(".")[2] in ON_POSTGRESQL
        metafunc.parametrize("store", [*ENGINES, "postgresql"] if more else ENGINES, indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty store of each engine."""
    if request.param == "memory":
        yield from _closed_at_the_end(MemoryStore())
    elif request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.store()
        yield from _closed_at_the_end(PostgresStore(url))
        server.take_back(url)
    else:
        writable = _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK)
        with tempfile.TemporaryDirectory(prefix="onemec-core-", dir=_IN_MEMORY if writable else None) as folder:
            # 32 MiB of ballast for every one would fill the disk it is to keep free
            yield from _closed_at_the_end(SqliteStore(Path(folder) / "cse.db", ballast_bytes=0))


def _closed_at_the_end(engine: Engine) -> Iterator[Engine]:
    yield engine
    asyncio.run(engine.close())


@pytest.fixture
def make_world(store: Engine, codec: str) -> Callable[..., World]:
    """Makes a world with other settings."""

    def make(**settings: Any) -> World:
        return World(store, codec, **settings)

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A CSE with strict settings, an empty tree and the admin ``CAdmin``."""
    return make_world()
