"""The side of a worker that does not lead: sends what it took to the one that does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any, cast

from cse.bindings.http_connections import CREDENTIAL
from cse.bindings.websocket_connection import Upgrade
from cse.onem2m.primitives import Request, Response
from cse.onem2m.serialisation import dump_json
from cse.workers.frames import (
    ANSWER,
    CANCEL,
    NOTE,
    PAGE,
    UPGRADE,
    WATCH,
    Frames,
    Piped,
    pack,
    request_frame,
    response_of,
)


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
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
#: what pages look at besides the headers
_PAGE_SCOPE = (
    "type",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "root_path",
    "client",
    CREDENTIAL,
)
#: longest body of a request for a page
_PAGE_BODY_BYTES = 1 << 20


async def forward_watch(
    path: Path,
    scope: _Message,
    receive: _Receive,
    send: _Send,
    extra: Iterable[tuple[bytes, bytes]],
    root_path: str,
    credential: str,
) -> None:
    """Let the leader answer a GET that wants to watch, see ``Watches.answer``."""
    kept = {name: scope[name] for name in ("method", "raw_path", "query_string", "client")}
    kept["headers"] = _plain(scope["headers"])
    if not await _forward(path, pack((WATCH, kept, list(extra), root_path, credential)), receive, send):
        await _unavailable(send)


async def forward_page(path: Path, prefix: str, scope: _Message, receive: _Receive, send: _Send) -> None:
    """Let the leader answer a request for what is served beside oneM2M; a body is read first.

    Args:
        path: of the leader's door.
        prefix: by which the page is found there.
        scope: of the request (ASGI 3).
        receive: gives its body.
        send: takes the answer.
    """
    kept = {name: scope[name] for name in _PAGE_SCOPE if name in scope}
    kept["headers"] = _plain(scope["headers"])
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if len(body) > _PAGE_BODY_BYTES:
            await _refuse(send, 413, f"send at most {_PAGE_BODY_BYTES} bytes")
            return
        if not message.get("more_body"):
            break
    if not await _forward(path, pack((PAGE, prefix, kept, bytes(body))), receive, send):
        await _unavailable(send)


async def _forward(path: Path, frame: bytes, receive: _Receive, send: _Send) -> bool:
    """Send a frame over a connection of its own and pass on what comes; gives whether anything came."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.write(frame)
    begun = False

    async def relay() -> None:
        nonlocal begun
        frames = Frames()
        while data := await reader.read(1 << 16):
            for frame in frames.feed(data):
                begun = True
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
    return begun or (gone.done() and not gone.cancelled())


async def _unavailable(send: _Send) -> None:
    await _refuse(send, 503, "no worker of this CSE leads just now: try again", (b"Retry-After", b"1"))


async def _refuse(send: _Send, status: int, words: str, *extra: tuple[bytes, bytes]) -> None:
    body = dump_json({"error": words})
    headers = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _plain(headers: Iterable[tuple[Any, Any]]) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in headers]


async def _disconnected(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
