"""A CSE that acknowledges before the commit: the control that the kill test must catch.

Run as ``python -m tests.trust.broken_cse HTTP_PORT STORE_URL``.
"""

from __future__ import annotations

import asyncio
import sys

from cse.app import Cse
from cse.config import load_config
from cse.ports import Engine
from cse.storage.postgresql import PostgresStore
from cse.storage.sqlite import SqliteStore


async def _main(port: str, url: str) -> None:
    config = load_config({"http": f"127.0.0.1:{port}", "insecure_dev": True, "admin": "CAdmin"})
    store: Engine = (
        SqliteStore(url.removeprefix("sqlite:///"), acknowledge_early=True)
        if url.startswith("sqlite:")
        else PostgresStore(url, acknowledge_early=True)
    )
    await Cse(config, store=store).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
