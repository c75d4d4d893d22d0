"""A sending side that is loaded when something is sent first: its library costs a start memory and time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cse.onem2m.primitives import Response
from cse.ports import Send, Sender


class LateSender:
    """A ``Sender`` that becomes another one at the first sending (port: ``cse.ports.Sender``).

    Args:
        load: imports and makes it; runs in a thread, because reading a library from disk would block the loop.
    """

    def __init__(self, load: Callable[[], Sender]) -> None:
        self._load = load
        self._loading: asyncio.Future[Sender] | None = None

    async def send(self, url: str, send: Send) -> Response:
        """Send a request to a URL and return the answer.

        Raises:
            Unreachable: as the real one does.
        """
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._load))
        # One who gives up must not take the library from the others.
        sender = await asyncio.shield(self._loading)
        return await sender.send(url, send)

    async def close(self) -> None:
        """Close what was opened."""
        if self._loading is not None:
            sender = await self._loading
            await sender.close()
