"""The side of a worker that does not lead: sends what it took to the one that does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any, cast

from cse.bindings.websocket_connection import Upgrade
from cse.onem2m.primitives import Request, Response
from cse.workers.frames import ANSWER, CANCEL, NOTE, UPGRADE, WATCH, Frames, Piped, pack, request_frame, response_of


class LinkLost(Exception):
    """The leader is gone, and with it what was asked of it."""


class NotSent(LinkLost):
    """The leader was gone before anything was sent."""


class Link(asyncio.Protocol):
    """A connection to the leader over which requests go, many at a time."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._transport: asyncio.Transport
        #: set when the leader is gone
        self.lost = asyncio.Event()

    @classmethod
    async def open(cls, path: Path) -> Link | None:
        """A link to the leader whose door is here; None when there is none."""
        try:
            _, link = await asyncio.get_running_loop().create_unix_connection(cls, str(path))
        except OSError:
            return None
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The leader took the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The leader is gone."""
        self.lost.set()
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(LinkLost("the worker that served this ended"))

    def data_received(self, data: bytes) -> None:
        """Answers."""
        for frame in self._frames.feed(data):
            waiter = self._waiting.get(frame[1]) if frame[0] == ANSWER else None
            if waiter is not None and not waiter.done():
                waiter.set_result(response_of(frame))

    async def ask(self, request: Request) -> Response:
        """Have a request served by the leader.

        Raises:
            NotSent: the leader was gone already.
            LinkLost: it went before it answered; whether the request took effect is not known.
        """
        if self._transport.is_closing():
            raise NotSent("the leader is gone")
        number = next(self._numbers)
        waiter: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiter
        self._transport.write(request_frame(number, request))
        try:
            return await waiter
        except asyncio.CancelledError:
            if not self._transport.is_closing():
                self._transport.write(pack((CANCEL, number)))
            raise
        finally:
            del self._waiting[number]

    def note(self, dialect: str) -> None:
        """Tell the leader of a dialect that was mended here."""
        if not self._transport.is_closing():
            self._transport.write(pack((NOTE, dialect)))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class ForwardedWebSocket(Piped):
    """A client's WebSocket connection whose other end is with the leader.

    Args:
        path: of the leader's door.
        upgrade: what the client asked for.
    """

    def __init__(self, path: Path, upgrade: Upgrade) -> None:
        super().__init__()
        self._path = path
        self._upgrade = upgrade
        self._joining: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client's connection, and look for the leader."""
        super().connection_made(transport)
        self._joining = asyncio.create_task(self._reach_leader())

    async def _reach_leader(self) -> None:
        assert self._transport is not None
        far = Piped()
        try:
            other, _ = await asyncio.get_running_loop().create_unix_connection(lambda: far, str(self._path))
        except OSError:
            self._transport.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()
            return
        asked = self._upgrade
        headers = [(bytes(name), bytes(value)) for name, value in asked.headers]
        other.write(pack((UPGRADE, asked.target, headers, asked.peer_address, asked.credential)))
        far.join(self._transport)
        self.join(other)
        if self._transport.is_closing():
            other.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._upgrade.released()


_Message = MutableMapping[str, Any]


async def forward_watch(
    path: Path,
    scope: _Message,
    receive: Callable[[], Awaitable[_Message]],
    send: Callable[[_Message], Awaitable[None]],
    extra: Iterable[tuple[bytes, bytes]],
    root_path: str,
    credential: str,
) -> None:
    """Let the leader answer a GET that wants to watch, see ``Watches.answer``."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        await send({"type": "http.response.start", "status": 503, "headers": [(b"Retry-After", b"1")]})
        await send({"type": "http.response.body", "body": b""})
        return
    kept = {name: scope[name] for name in ("method", "raw_path", "query_string", "client")}
    kept["headers"] = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    writer.write(pack((WATCH, kept, list(extra), root_path, credential)))

    async def relay() -> None:
        frames = Frames()
        while data := await reader.read(1 << 16):
            for frame in frames.feed(data):
                await send(frame[1])

    relaying, gone = asyncio.ensure_future(relay()), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((relaying, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (relaying, gone):
            task.cancel()
        writer.close()
        with contextlib.suppress(OSError):
            await asyncio.gather(relaying, gone, return_exceptions=True)


async def _disconnected(receive: Callable[[], Awaitable[_Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
