"""A CSE whose durability is a choice: ``python -m tests.trust.cse_on_disk HTTP_PORT STORE FULL|OFF BALLAST_MIB``.

FULL is what is shipped; OFF (SQLite's synchronous=OFF) is the control that must lose acknowledged writes.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from cse.app import Cse
from cse.config import load_config
from cse.storage.sqlite import SqliteStore


async def _main(port: str, path: str, synchronous: str, ballast_mib: str) -> None:
    logging.basicConfig(level="WARNING")
    config = load_config({"http": f"127.0.0.1:{port}", "insecure_dev": True, "admin": "CAdmin"})
    store = SqliteStore(path, synchronous=synchronous, ballast_bytes=int(ballast_mib) << 20)
    await Cse(config, store=store).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
