"""A real CSE in this process for tests of what speaks to one: its shell, its core, real sockets."""

import contextlib
from collections.abc import AsyncIterator

from cse.app import Cse
from cse.config import CseConfig
from cse.storage.memory import MemoryStore

CSE_ID = "/id-in"


@contextlib.asynccontextmanager
async def running_cse(
    store: MemoryStore, *, http: str = "127.0.0.1:0", coap: str = "127.0.0.1:0", mqtt: str = ""
) -> AsyncIterator[Cse]:
    """A CSE /id-in, open to any AE, until the block ends."""
    config = CseConfig(
        id=CSE_ID,
        name="cse-in",
        http=http,
        coap=coap,
        mqtt=mqtt,
        insecure_dev=True,
        admin=("CAdmin",),
        profile="strict",
    )
    cse = Cse(config, store=store)
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop()
