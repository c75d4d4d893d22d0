"""The leader's side: takes requests, WebSockets and watches of the other workers over a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Protocol, cast

from cse.bindings.http_watch import Watches
from cse.bindings.websocket_connection import Upgrade
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Request, Response, error_response
from cse.onem2m.status import Status
from cse.workers.frames import (
    CANCEL,
    MESSAGE,
    NOTE,
    PAGE,
    REQUEST,
    UPGRADE,
    WATCH,
    Frame,
    Frames,
    answer_frame,
    pack,
    request_of,
)

_log = logging.getLogger(__name__)

_Message = MutableMapping[str, Any]
#: what Linux says of who connected: process, user, group
_PEER = struct.Struct("3i")


class House(Protocol):
    """What a door leads to."""

    #: what is served beside oneM2M, by path prefix
    pages: dict[str, Any]

    @property
    def watches(self) -> Watches:
        """Who answers a GET that wants to watch."""

    async def enter(self, request: Request) -> Response:
        """Serve a request that came in over a binding."""

    def note(self, dialect: str) -> None:
        """Count a dialect that a codec mended."""

    def accept(self, upgrade: Upgrade) -> asyncio.Protocol:
        """Take over a connection that asks for a WebSocket."""


class Door:
    """Listens for the other workers.

    Args:
        path: of the socket.
        house: who serves what comes.
    """

    def __init__(self, path: Path, house: House) -> None:
        self._path = path
        self.house = house
        self._server: asyncio.Server | None = None
        self._open: set[Visitor] = set()

    async def open(self) -> None:
        """Listen; the door of a leader that is gone is replaced."""
        loop = asyncio.get_running_loop()
        new = self._path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        self._server = await loop.create_unix_server(lambda: Visitor(self), str(new))
        new.replace(self._path)

    async def close(self) -> None:
        """Take nothing more."""
        if self._server is not None:
            self._server.close()
        for visitor in list(self._open):
            visitor.leave()

    def processes(self) -> set[int]:
        """The process ids of this worker and of those that are connected."""
        return {os.getpid(), *(visitor.pid for visitor in self._open)}

    def entered(self, visitor: Visitor) -> None:
        """A worker connected."""
        self._open.add(visitor)

    def left(self, visitor: Visitor) -> None:
        """Its connection is gone, or became something else."""
        self._open.discard(visitor)


class Visitor(asyncio.Protocol):
    """One connection of another worker."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._frames = Frames()
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._answering: asyncio.Task[None] | None = None
        #: process id of the worker
        self.pid = 0
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A worker connected."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        self.pid = _PEER.unpack(peer)[0]
        self._door.entered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone: nobody waits for its answers."""
        self._door.left(self)
        self._gone.set()
        self._writable.set()
        # what was begun goes on to its end: half of it may be acknowledged to others already

    def pause_writing(self) -> None:
        """The worker takes no more for now: streams of events wait in queues that are bounded."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    def leave(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Frames."""
        for frame in self._frames.feed(data):
            kind = frame[0]
            if kind == REQUEST:
                task = asyncio.create_task(self._serve(frame[1], request_of(frame)))
                self._serving[frame[1]] = task
            elif kind == CANCEL:
                waiting = self._serving.get(frame[1])
                if waiting is not None:
                    waiting.cancel()
            elif kind == NOTE:
                self._door.house.note(frame[1])
            elif kind == UPGRADE:
                self._upgrade(frame)
                return
            elif kind == WATCH:
                self._answering = asyncio.create_task(self._watch(frame))
            elif kind == PAGE:
                self._answering = asyncio.create_task(self._page(frame))

    async def _serve(self, number: int, request: Request) -> None:
        try:
            try:
                response = await self._door.house.enter(request)
            except CseError as error:
                response = error_response(request, error.status, error.debug)
            if not self._transport.is_closing():
                self._transport.write(answer_frame(number, response))
        except Exception:
            _log.exception("request %s of another worker failed", request.request_id)
            failed = error_response(request, Status.INTERNAL_SERVER_ERROR, "an error inside the CSE, see its log")
            self._transport.write(answer_frame(number, failed))
        finally:
            del self._serving[number]

    def _upgrade(self, frame: Frame) -> None:
        _, target, headers, peer, credential = frame
        protocol = self._door.house.accept(Upgrade(target, headers, peer, lambda: None, credential))
        self._door.left(self)
        rest = self._frames.rest()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if rest:
            protocol.data_received(rest)

    async def _watch(self, frame: Frame) -> None:
        _, scope, extra, root_path, credential = frame

        try:
            await self._door.house.watches.answer(
                scope, self._hang_up, self._send, extra, root_path, lambda _: credential
            )
        finally:
            self._transport.close()

    async def _page(self, frame: Frame) -> None:
        _, prefix, scope, body = frame
        parts: list[_Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> _Message:
            return parts.pop() if parts else await self._hang_up()

        try:
            await self._door.house.pages[prefix](scope, receive, self._send)
        except Exception:
            _log.exception("%s could not be shown to another worker", prefix)
        finally:
            self._transport.close()

    async def _hang_up(self) -> _Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: _Message) -> None:
        await self._writable.wait()
        self._transport.write(pack((MESSAGE, dict(message))))
