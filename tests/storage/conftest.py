"""Every engine, empty but for the CSEBase ``cb`` and the container ``c``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cse.ports import Engine
from cse.storage import open_store
from tests.storage import builders


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    if request.param == "postgresql":
        engine = open_store(request.getfixturevalue("postgres_url"))
    else:
        engine = open_store("memory" if request.param == "memory" else f"sqlite:///{tmp_path}/cse.db")
    builders.root(engine)
    engine.begin()
    builders.add(engine, "cb", "cnt", "c")
    engine.commit()
    yield engine
    await engine.close()
