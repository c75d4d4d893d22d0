"""One worker: takes HTTP, forwards to the worker that leads, and leads itself when nobody else does (ADR 0018).

Leading is having the session that may write to the database. The leader is a whole CSE: it has the tree, the timers,
the other bindings and the outbox, so that each of them exists once. A worker looks for the right to lead only while it
sees no leader on this machine; the database decides between those that look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

from cse.app import Cse
from cse.bindings.http import HttpServer
from cse.bindings.http_browser import CrossOrigin
from cse.bindings.http_codec import encode_error
from cse.bindings.http_connections import HttpLimits
from cse.bindings.http_watch import Watches
from cse.bindings.websocket_connection import Upgrade
from cse.config import CseConfig, split_address
from cse.observability import HEALTH, health
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Operation, Request, Response, error_response
from cse.onem2m.status import Status
from cse.pages import prefixes
from cse.security import Security
from cse.storage.errors import StoreBusy, StoreOpenError
from cse.storage.postgresql import PostgresStore
from cse.workers.door import Door
from cse.workers.link import ForwardedWebSocket, Link, LinkLost, NotSent, forward_page, forward_watch

_log = logging.getLogger(__name__)

#: pause between looks for a leader, in seconds
_LOOK_S = 0.1
#: pause between attempts to reach a database that is away, in seconds
_AWAY_S = 1.0
#: pause between looks whether this worker still leads, in seconds: its answers from memory are that old at most
_CHECK_S = 1.0
#: how long a request waits for somebody to lead, in seconds: a take-over reads the whole tree
_PATIENCE_S = 15.0
#: what a process ends with that may not lead any more, so that it cannot go on with an old tree
DEPOSED = 75


class Worker:
    """One of the processes of a CSE.

    Args:
        config: of the CSE; ``http`` names the port as it is.
        listener: the HTTP socket that all workers share; None without HTTP.
        folder: where the leader's door is; only this user may enter it.
        tell: told ``leading`` or ``following`` when that is what this worker does now.
        patient: the CSE runs already: a database that is away is waited for.
    """

    def __init__(
        self,
        config: CseConfig,
        listener: socket.socket | None,
        folder: Path,
        tell: Callable[[str], None],
        *,
        patient: bool,
    ) -> None:
        self._config = config
        self._patient = patient
        self._listener = listener
        self._path = folder / "leader"
        self._tell = tell
        self._security = Security(config)
        self._cse: Cse | None = None
        self._door: Door | None = None
        self._link: Link | None = None
        self._changed = asyncio.Event()
        self._front = self._make_front() if listener is not None else None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set.

        Raises:
            StartError, StoreOpenError, SecurityError, BindError: it cannot; the message says what to mend.
        """
        living = asyncio.create_task(self._live(), name="leading")
        reloading = asyncio.create_task(self._security.watch(), name="credentials")
        ending = asyncio.create_task(stop.wait(), name="end")
        try:
            if self._front is not None:
                await self._front.start()
            await asyncio.wait((living, ending), return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()
        finally:
            for task in (living, reloading, ending):
                task.cancel()
            await asyncio.gather(living, reloading, ending, return_exceptions=True)
            await self._end()

    async def _end(self) -> None:
        if self._front is not None:
            await self._front.stop()
        if self._door is not None:
            await self._door.close()
        if self._cse is not None:
            await self._cse.stop()
        if self._link is not None:
            self._link.close()

    # --- who leads ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Follow whoever leads; lead when nobody does."""
        while self._cse is None:
            link = await Link.open(self._path)
            if link is not None:
                self._link = link
                self._patient = True
                self._wake()
                self._tell("following")
                await link.lost.wait()
                self._link = None
            engine = await self._right_to_lead()
            if engine is not None:
                await self._lead(engine)
                while True:
                    await asyncio.sleep(_CHECK_S)
                    engine.look()

    async def _right_to_lead(self) -> PostgresStore | None:
        pause_s = _LOOK_S
        try:
            return await asyncio.to_thread(PostgresStore, self._config.store, deposed=_leave)
        except StoreBusy:
            pass
        except StoreOpenError as error:
            if not self._patient:
                raise
            _log.error("%s", error)
            pause_s = _AWAY_S
        await asyncio.sleep(pause_s)
        return None

    async def _lead(self, engine: PostgresStore) -> None:
        cse = Cse(self._config, store=engine, front=self._front)
        await cse.start()
        self._cse = cse
        self._door = Door(self._path, cse)
        cse.processes = self._door.processes
        await self._door.open()
        self._wake()
        _log.warning("this worker leads now")
        self._tell("leading")

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # --- HTTP -----------------------------------------------------------------------------------------------------

    def _make_front(self) -> HttpServer:
        config, security = self._config, self._security
        host, port = split_address(config.http)
        return HttpServer(
            self._serve,
            host,
            port,
            listener=self._listener,
            limits=HttpLimits(body_bytes=config.max_body_bytes),
            lenient=config.profile == "lenient",
            tls=security.server_tls(),
            accept_upgrade=self._accept if config.ws else None,
            cross_origin=CrossOrigin(config.cors_origins) if config.cors_origins else None,
            watches=_FrontWatches(self),
            authenticate=security.authenticate,
            read_certificate=security.entity_of_certificate if config.tls_ca else None,
            note=self._note,
            mounts={prefix: self._mount(prefix) for prefix in prefixes(config)},
        )

    def _mount(self, prefix: str) -> Callable[[Any, Any, Any], Awaitable[None]]:
        """What this worker has at a path beside oneM2M: whether it lives it knows itself, all else the leader."""
        return health if prefix == HEALTH else partial(self._page, prefix)

    async def _serve(self, request: Request) -> Response:
        """Serve a request here when this worker leads, else there."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            changed = self._changed
            if self._cse is not None:
                return await self._cse.enter(request)
            if self._link is not None:
                try:
                    return await self._link.ask(request)
                except NotSent:
                    pass
                except LinkLost:
                    if request.operation is not Operation.RETRIEVE:
                        words = "the worker that served this ended, and it may have been done or not: look, then repeat"
                        return error_response(request, Status.INTERNAL_SERVER_ERROR, words)
            remaining_s = deadline - asyncio.get_running_loop().time()
            if remaining_s <= 0:
                words = "no worker of this CSE leads just now: send the request again"
                return error_response(request, Status.INTERNAL_SERVER_ERROR, words)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), remaining_s)

    def _note(self, dialect: str) -> None:
        """Count a dialect with whoever leads."""
        if self._cse is not None:
            self._cse.note(dialect)
        elif self._link is not None:
            self._link.note(dialect)

    def _accept(self, upgrade: Upgrade) -> asyncio.Protocol:
        return self._cse.accept(upgrade) if self._cse is not None else ForwardedWebSocket(self._path, upgrade)

    async def _page(self, prefix: str, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request for what is beside oneM2M here when this worker leads, else there (ASGI 3)."""
        if self._cse is not None:
            await self._cse.pages[prefix](scope, receive, send)
        else:
            await forward_page(self._path, prefix, scope, receive, send)

    async def watch(self, scope: Any, receive: Any, send: Any, extra: Any, root_path: str, credential: Any) -> None:
        """Answer a GET that wants to watch here when this worker leads, else there."""
        if self._cse is not None:
            await self._cse.watches.answer(scope, receive, send, extra, root_path, credential)
            return
        try:
            proven = credential(scope)
        except CseError as error:
            status, headers, body = encode_error(error, scope["headers"], "GET")
            await send({"type": "http.response.start", "status": status, "headers": [*headers, *extra]})
            await send({"type": "http.response.body", "body": body})
            return
        await forward_watch(self._path, scope, receive, send, extra, root_path, proven)


class _FrontWatches(Watches):
    """The watches of a worker's HTTP server: they are with whoever leads."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def answer(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
        extra: Iterable[tuple[bytes, bytes]],
        root_path: str,
        credential: Callable[[MutableMapping[str, Any]], str],
    ) -> None:
        await self._worker.watch(scope, receive, send, extra, root_path, credential)


def _leave(reason: str) -> None:
    """Another process leads: end at once, before anything is answered from a tree that is not the truth any more."""
    _log.error("%s; this worker ends", reason)
    logging.shutdown()  # the line above may wait to be written
    os._exit(DEPOSED)
