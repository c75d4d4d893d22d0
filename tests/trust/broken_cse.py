"""A CSE that breaks a promise: the control that a kill test must catch.

Run as ``python -m tests.trust.broken_cse HTTP_PORT STORE_URL PROMISE``. The promise is ``early`` (it acknowledges
before the commit) or ``forgetful`` (what is to be sent is in memory only).
"""

from __future__ import annotations

import asyncio
import sys

from cse.app import Cse
from cse.config import load_config
from cse.ports import Engine
from cse.storage.postgresql import PostgresStore
from cse.storage.sqlite import SqliteStore


async def _main(port: str, url: str, promise: str) -> None:
    config = load_config({"http": f"127.0.0.1:{port}", "insecure_dev": True, "admin": "CAdmin"})
    early, keeps = promise == "early", promise != "forgetful"
    store: Engine = (
        SqliteStore(url.removeprefix("sqlite:///"), acknowledge_early=early, keeps_sends=keeps, ballast_bytes=0)
        if url.startswith("sqlite:")
        else PostgresStore(url, acknowledge_early=early, keeps_sends=keeps)
    )
    await Cse(config, store=store).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
