"""Runs the adapter until it is told to stop: what ``onemec adapter`` calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from mec_adapter.app import Adapter
from mec_adapter.config import AdapterConfig, AdapterStartError, SyncConfig
from mec_adapter.mp1.tokens import Credentials
from mec_adapter.profile import MappingOptions
from mec_adapter.status import AdapterStatus

__all__ = [
    "AdapterConfig",
    "AdapterStartError",
    "AdapterStatus",
    "Credentials",
    "MappingOptions",
    "SyncConfig",
    "run_adapter",
]

_STATUS_EVERY_S = 1.0


async def run_adapter(
    config: AdapterConfig,
    ready: Callable[[str], None] | None,
    status: Callable[[AdapterStatus], None] | None,
    stop: asyncio.Event,
) -> None:
    """Run an adapter until ``stop`` is set, then withdraw from the platform and close.

    Args:
        config: what to run.
        ready: called once with the URL of the adapter's listener (``/status`` is below it).
        status: called every second with what there is to say.
        stop: ends the run.

    Raises:
        AdapterStartError: it cannot start; the message is one line that says what to mend.
    """
    adapter = Adapter(config)
    await adapter.start()
    try:
        if ready is not None:
            ready(adapter.url)
        while not stop.is_set():
            if status is not None:
                status(adapter.status())
            with suppress(TimeoutError):
                async with asyncio.timeout(_STATUS_EVERY_S):
                    await stop.wait()
    finally:
        await adapter.stop()
