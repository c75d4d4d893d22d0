"""Watching a resource over HTTP without an address of one's own: server-sent events (this product's ``?watch``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aiohttp

from cse.bindings.http_url import path_of
from cse.client.errors import RequestFailed, Unreachable
from cse.client.notifications import Notification, notification_of
from cse.onem2m.serialisation import load_json
from cse.onem2m.status import Status

#: a stream that is silent for longer than three of the CSE's keep-alives is dead
_SILENCE_S = 45.0
#: one event: the largest resource and its envelope
_EVENT_BYTES = 8 << 20
#: changes that wait for their reader; behind them the connection waits
_WAITING = 1000


@asynccontextmanager
async def watch(url: str, to: str, originator: str) -> AsyncIterator[AsyncIterator[Notification]]:
    """Watch a resource and its children, for as long as the context lasts.

    Whoever may RETRIEVE a resource may watch it; nothing is created at the CSE. What happens while nobody is connected
    is not sent later.

    Args:
        url: of the CSE, ``http(s)://host:port[/root]``.
        to: address of the resource.
        originator: who asks.

    Yields:
        the changes as they happen; they end when the resource is deleted or the CSE stops.

    Raises:
        RequestFailed: the CSE refused.
        Unreachable: nobody answered, or the connection broke.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=_SILENCE_S)
    headers = {"X-M2M-Origin": originator, "Accept": "text/event-stream"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=_EVENT_BYTES) as session,
            session.get(f"{url.rstrip('/')}{path_of(to)}?watch", headers=headers) as response,
        ):
            if response.content_type != "text/event-stream":
                raise await _refusal(response, to)
            yield _events(response)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unreachable(f"{url}: {str(error) or 'nobody answered'}") from error


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Notification]:
    async for line in response.content:
        if not line.startswith(b"data: "):
            continue
        signal = load_json(line[len(b"data: ") :])["m2m:sgn"]
        found = notification_of(signal, "")
        if found is not None:
            yield found


async def _refusal(response: aiohttp.ClientResponse, to: str) -> Exception:
    """The error a CSE gave instead of a stream."""
    code = response.headers.get("X-M2M-RSC", "")
    text = await response.text(errors="replace")
    if not code.isdigit() or int(code) not in set(Status):
        return Unreachable(f"HTTP {response.status} without X-M2M-RSC: no CSE answers at this address")
    if Status(int(code)).is_success:
        return Unreachable("the CSE answered with the resource instead of events: it does not know ?watch")
    try:
        debug = str(load_json(text.encode()).get("m2m:dbg", ""))
    except ValueError:
        debug = text[:200]
    return RequestFailed(Status(int(code)), debug, f"watch {to}")


class Watch(AsyncIterator[Notification]):
    """The changes of a resource, for code that cannot keep a context open: see ``watch``."""

    def __init__(self) -> None:
        self._changes: asyncio.Queue[Notification | None] = asyncio.Queue(_WAITING)
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    async def begin(self, url: str, to: str, originator: str) -> Self:
        """Begin to watch; arguments and errors are those of ``watch``."""
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._gather(url, to, originator, begun), name=f"watch {to}")
        try:
            await begun
        except BaseException:
            self._task.cancel()
            raise
        return self

    async def _gather(self, url: str, to: str, originator: str, begun: asyncio.Future[None]) -> None:
        try:
            async with watch(url, to, originator) as changes:
                begun.set_result(None)
                async for change in changes:
                    await self._changes.put(change)
        except Exception as error:
            if not begun.done():
                begun.set_exception(error)
                return
            self._error = error
        await self._changes.put(None)

    async def __anext__(self) -> Notification:
        change = await self._changes.get()
        if change is not None:
            return change
        self._changes.put_nowait(None)  # whoever asks again hears it again
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def close(self) -> None:
        """Stop watching. Does nothing the second time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while not self._changes.empty():
            self._changes.get_nowait()
        self._changes.put_nowait(None)
