"""The HTTP binding's server: a raw ASGI callable under uvicorn (TS-0009).

The sending side is ``cse.bindings.http_client``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from typing import Any, cast

from uvicorn import Config, Server

from cse.bindings.http_browser import CrossOrigin
from cse.bindings.http_client import HttpSender
from cse.bindings.http_codec import Encoded, decode_message, encode_error, encode_response
from cse.bindings.http_connections import (
    CREDENTIAL,
    AcceptUpgrade,
    ConnectionGuard,
    HttpLimits,
    ReadCertificate,
)
from cse.bindings.http_watch import Watches, wanted
from cse.bindings.primitive_codec import Note, silent
from cse.onem2m.errors import CseError, InternalServerError, Overloaded, RequestTimeout
from cse.onem2m.primitives import Response
from cse.ports import Serve

__all__ = ["BindError", "HttpLimits", "HttpSender", "HttpServer", "listen"]

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
AsgiSend = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, AsgiSend], Awaitable[None]]
#: gives the entity that the value of an Authorization header proves, "" for none
Authenticate = Callable[[str], str]


class BindError(Exception):
    """A listening socket could not be opened. The message says in one line what to mend."""


class _Disconnected(Exception):
    """The client went away while its request was read or served."""


class HttpServer:
    """Takes oneM2M requests over HTTP and serves them.

    Args:
        serve: called with every decoded request.
        host: address or name to listen on.
        port: TCP port; 0 takes a free one, see ``url``.
        limits: what a peer may cost.
        lenient: dialect tolerance is on.
        root_path: a path prefix that is no part of ``to``, e.g. "/onem2m".
        mounts: other ASGI applications by path prefix ("/health"); they see the whole path.
        tls: serve HTTPS with this context.
        accept_upgrade: takes over connections that ask for a WebSocket, see ``cse.bindings.websocket``.
        cross_origin: pages of other origins that may use this server.
        watches: answers ``GET <resource>?watch``.
        authenticate: tells who an Authorization header is of; None when nobody has one.
        read_certificate: tells who a TLS client certificate is of; None when none is asked for.
        note: told of each dialect.
        listener: a socket that listens on host and port already, as several processes share one.
    """

    def __init__(
        self,
        serve: Serve,
        host: str,
        port: int,
        *,
        listener: socket.socket | None = None,
        limits: HttpLimits | None = None,
        lenient: bool,
        root_path: str = "",
        mounts: Mapping[str, ASGIApp] | None = None,
        tls: ssl.SSLContext | None = None,
        accept_upgrade: AcceptUpgrade | None = None,
        cross_origin: CrossOrigin | None = None,
        watches: Watches | None = None,
        authenticate: Authenticate | None = None,
        read_certificate: ReadCertificate | None = None,
        note: Note = silent,
    ) -> None:
        self._host = host
        self._port = port
        self._listener = listener
        self._limits = limits or HttpLimits()
        self._tls = tls
        self._guard = ConnectionGuard(self._limits, accept_upgrade, read_certificate)
        self._asgi = OneM2MApp(
            serve,
            lenient=lenient,
            root_path=root_path,
            mounts=mounts,
            cross_origin=cross_origin,
            watches=watches,
            authenticate=authenticate,
            note=note,
        )
        self._server: _QuietServer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def listening(self) -> tuple[str, int]:
        """Host and port listened on."""
        return self._host, self._port

    @property
    def url(self) -> str:
        """Where the server listens, e.g. ``http://127.0.0.1:8080``; the actual port once it is started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"

    async def start(self) -> None:
        """Listen, and return when requests are taken.

        Raises:
            BindError: the address is in use, not ours, or may not be listened on.
        """
        listener = self._listener.dup() if self._listener is not None else await listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        config = Config(
            cast(Any, self._asgi),
            http=cast(Any, self._guard.protocol),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(self._limits.idle_timeout_s) or 1,
        )
        config.load()
        config.ssl = self._tls
        self._server = _QuietServer(config)
        self._tasks = [
            asyncio.create_task(self._server.serve(sockets=[listener]), name=f"http {self._port}"),
            asyncio.create_task(self._guard.watch(), name=f"http guard {self._port}"),
        ]
        ready = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait((ready, self._tasks[0]), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            self._tasks[1].cancel()
            self._tasks[0].result()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more requests, let running ones finish for up to ``grace_s`` seconds, close."""
        if self._server is None:
            return
        serving, watching = self._tasks
        self._server.config.timeout_graceful_shutdown = cast(Any, grace_s)
        self._server.should_exit = True
        await serving
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        self._server = None


class _QuietServer(Server):
    """uvicorn's server as a guest in somebody else's process: leaves signals alone, says when it listens."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


async def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        BindError: the address is in use, not ours, or may not be listened on.
    """
    where = f"http: port {port} on {host}"
    if not 0 <= port <= 65535:
        raise BindError(f"{where} is no TCP port: choose another with --http")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
    except (OSError, UnicodeError) as error:
        raise BindError(f"{where}: {host!r} is no address of this machine: choose another with --http") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            reason = "is in use: stop the other program or choose another with --http"
        elif error.errno == errno.EACCES:
            reason = "needs privileges: choose a port above 1023 with --http"
        elif error.errno == errno.EADDRNOTAVAIL:
            reason = "is no address of this machine: choose another with --http"
        else:
            reason = f"cannot be listened on ({error}): choose another with --http"
        raise BindError(f"{where} {reason}") from error
    return listener


class OneM2MApp:
    """The ASGI application: oneM2M requests, and other applications below reserved path prefixes.

    Args:
        serve: called with every decoded request.
        lenient: dialect tolerance is on.
        root_path: a path prefix that is no part of ``to``.
        mounts: other ASGI applications by path prefix.
        cross_origin: pages of other origins that may use this.
        watches: answers ``GET <resource>?watch``.
        authenticate: tells who an Authorization header is of.
        note: told of each dialect.
    """

    def __init__(
        self,
        serve: Serve,
        *,
        lenient: bool,
        root_path: str = "",
        mounts: Mapping[str, ASGIApp] | None = None,
        cross_origin: CrossOrigin | None = None,
        watches: Watches | None = None,
        authenticate: Authenticate | None = None,
        note: Note = silent,
    ) -> None:
        self._serve = serve
        self._authenticate = authenticate
        self._cross_origin = cross_origin
        self._watches = watches
        self._lenient = lenient
        self._note = note
        self._root_path = root_path.rstrip("/")
        self._mounts = [(prefix.rstrip("/").encode(), app) for prefix, app in (mounts or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        """Answer one request (ASGI 3)."""
        path: bytes = scope["raw_path"]
        for prefix, app in self._mounts:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/"):
                await app(scope, receive, send)
                return
        extra: list[tuple[bytes, bytes]] = []
        if self._cross_origin is not None:
            preflight = self._cross_origin.preflight(scope["method"], scope["headers"])
            if preflight is not None:
                await send({"type": "http.response.start", "status": preflight[0], "headers": preflight[1]})
                await send({"type": "http.response.body", "body": preflight[2]})
                return
            extra = self._cross_origin.fields(scope["headers"])
        if self._watches is not None and scope["method"] == "GET" and wanted(scope["query_string"]):
            await self._watches.answer(scope, receive, send, extra, self._root_path, self._credential)
            return
        try:
            status, headers, body = await self._answer(scope, path, receive)
        except _Disconnected:
            return
        if extra:
            headers = [*headers, *extra]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, path: bytes, receive: Receive) -> Encoded:
        headers = scope["headers"]
        method = scope["method"]
        request_id = ""
        try:
            message = await receive()
            body = message.get("body", b"")
            if message.get("more_body", True):
                body = await self._rest_of_body(message, receive)
            request, media_type = decode_message(
                method, path, scope["query_string"], headers, body, self._lenient, self._root_path, self._note
            )
            request_id = request.request_id
            request.binding = "http"
            request.credential = self._credential(scope)
            client = scope["client"]
            if client is not None:
                request.peer_address = client[0]
            if method == "GET" and path.endswith(b"/pcu"):
                response = await self._serve_poll(self._serve(request), receive)
            else:
                response = await self._serve(request)
            return encode_response(response, media_type)
        except Overloaded as error:
            error.request_id = request_id
            return _come_again(encode_error(error, headers, method), error.retry_after_s)
        except CseError as error:
            error.request_id = error.request_id or request_id
            return encode_error(error, headers, method)
        except _Disconnected:
            raise
        except asyncio.CancelledError:
            # Only a server that stops cancels a request, after its grace.
            return encode_error(RequestTimeout("the CSE is stopping: send the request again", request_id), headers)
        except Exception:
            _log.exception("request %r failed: %s %r", request_id, method, path)
            return encode_error(
                InternalServerError("an error inside the CSE, which is in its log", request_id), headers
            )

    def _credential(self, scope: Scope) -> str:
        """The entity a request proves to come from, "" for none.

        Raises:
            CseError: its Authorization is worth nothing.
        """
        if CREDENTIAL in scope:
            return cast(str, scope[CREDENTIAL])
        if self._authenticate is not None:
            for name, value in scope["headers"]:
                if name == b"authorization":
                    return self._authenticate(value.decode("latin-1"))
        return ""

    async def _rest_of_body(self, message: Message, receive: Receive) -> bytes:
        """The whole body when it comes in pieces; its size is bounded by the connection."""
        pieces = []
        while message["type"] == "http.request":
            pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(pieces)
            message = await receive()
        raise _Disconnected

    async def _serve_poll(self, serving: Awaitable[Response], receive: Receive) -> Response:
        """Serve a long poll, and drop it when its client goes away, so that what comes next is not given to nobody."""
        answer = asyncio.ensure_future(serving)
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise _Disconnected
        finally:
            for task in (answer, gone):
                task.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)


def _come_again(encoded: Encoded, retry_after_s: int) -> Encoded:
    """503 in place of the status of 4008: HTTP has a word for it, and for when to come again."""
    _, headers, body = encoded
    kept = [field for field in headers if field[0] != b"X-M2M-RSC"]
    return 503, [*kept, (b"Retry-After", b"%d" % retry_after_s)], body
