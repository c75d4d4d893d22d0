"""The HTTP binding's server: requests to primitives, primitives to answers (TS-0009).

The sending side is ``cse.bindings.http_client``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, cast

from cse.bindings.http_browser import CrossOrigin
from cse.bindings.http_codec import Encoded, RequestHead, decode_head, decode_message, encode_error, encode_response
from cse.bindings.http_connections import (
    CREDENTIAL,
    AcceptUpgrade,
    ConnectionGuard,
    HttpLimits,
    ReadCertificate,
)
from cse.bindings.http_heads import Heads
from cse.bindings.http_message import Header, HttpMessage, Reply
from cse.bindings.http_protocol import HttpConnection
from cse.bindings.http_watch import Watches, wanted
from cse.bindings.primitive_codec import Note, silent
from cse.onem2m.errors import CseError, InternalServerError, Overloaded, RequestTimeout
from cse.onem2m.primitives import Request, Response
from cse.ports import Begin, Cancellable, Serve

__all__ = ["BindError", "HttpLimits", "HttpServer", "listen"]

_log = logging.getLogger(__name__)
_BACKLOG = 2048
_FAULT = "an error inside the CSE, which is in its log"
#: pause between looks whether the connections of a server that stops are gone, in seconds
_LOOK_S = 0.01
#: for the errors that a server sends which waits no longer, in seconds
_LAST_WORDS_S = 0.5

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
        begin: the same as ``serve`` without a task; None makes one for each request.
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
        begin: Begin | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._listener = listener
        self._limits = limits or HttpLimits()
        self._tls = tls
        self._guard = ConnectionGuard(self._limits, accept_upgrade, read_certificate)
        self._application = OneM2MApp(
            serve,
            lenient=lenient,
            root_path=root_path,
            mounts=mounts,
            cross_origin=cross_origin,
            watches=watches,
            authenticate=authenticate,
            note=note,
            begin=begin,
        )
        self._server: asyncio.Server | None = None
        self._watching: asyncio.Task[None] | None = None
        self._connections: set[HttpConnection] = set()
        self._heads = Heads()

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
        loop = asyncio.get_running_loop()
        secured = {"ssl": self._tls, "ssl_handshake_timeout": self._limits.head_timeout_s} if self._tls else {}
        self._server = await loop.create_server(self._connection, sock=listener, backlog=_BACKLOG, **cast(Any, secured))
        self._watching = asyncio.create_task(self._guard.watch(), name=f"http guard {self._port}")

    def _connection(self) -> HttpConnection:
        return HttpConnection(self._application, self._guard, self._connections, self._heads)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more requests, let running ones finish for up to ``grace_s`` seconds, close."""
        if self._server is None or self._watching is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._connections):
            connection.shut_down()
        if not await self._all_gone(grace_s):
            for connection in list(self._connections):
                connection.cut_short()
            await self._all_gone(_LAST_WORDS_S)
        for connection in list(self._connections):
            connection.transport.abort()
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching

    async def _all_gone(self, limit_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while self._connections and loop.time() < deadline:  # noqa: ASYNC110 - a connection ends in many ways
            await asyncio.sleep(_LOOK_S)
        return not self._connections


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
        listener.listen(_BACKLOG)
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
    """The application of the HTTP port: oneM2M requests, and ASGI applications below reserved path prefixes.

    Args:
        serve: called with every decoded request.
        lenient: dialect tolerance is on.
        root_path: a path prefix that is no part of ``to``.
        mounts: ASGI applications by path prefix.
        cross_origin: pages of other origins that may use this.
        watches: answers ``GET <resource>?watch``.
        authenticate: tells who an Authorization header is of.
        note: told of each dialect.
        begin: the same as ``serve`` without a task; None makes one for each request.
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
        begin: Begin | None = None,
    ) -> None:
        self._serve = serve
        self._begin = begin
        self._authenticate = authenticate
        self._cross_origin = cross_origin
        self._watches = watches
        self._lenient = lenient
        self._note = note
        self._root_path = root_path.rstrip("/")
        self._mounts = [(prefix.rstrip("/").encode(), app) for prefix, app in (mounts or {}).items()]
        #: the first segments of those prefixes: most paths have another
        self._mounted = {prefix[: _first_end(prefix)] for prefix, _ in self._mounts}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- requests that are one question and one answer ------------------------------------------------------------

    def is_direct(self, message: HttpMessage) -> bool:
        """Whether ``answer`` is for this request: all but mounts, watches and long polls."""
        path = message.path
        if path[: _first_end(path)] in self._mounted and self._mount_of(path) is not None:
            return False
        if message.method == "GET":
            if path.endswith(b"/pcu"):
                return False
            if message.query and self._watches is not None and wanted(message.query):
                return False
        return True

    def answer(self, message: HttpMessage, reply: Reply) -> Cancellable | None:
        """Answer a oneM2M request; see ``cse.bindings.http_message.Application``."""
        headers = message.headers
        if self._cross_origin is not None:
            preflight = self._cross_origin.preflight(message.method, headers)
            if preflight is not None:
                reply(*preflight)
                return None
            reply = partial(_with_fields, reply, self._cross_origin.fields(headers))
        request_id = ""
        try:
            request, media_type = self._decoded(message)
            request_id = request.request_id
            self._identify(request, headers, message.credential, message.peer)
            if self._begin is not None:
                return self._begin(request, partial(self._answered, message, media_type, reply))
        except Exception as error:
            reply(*_encoded(error, request_id, message.method, message.path, headers))
            return None
        task = asyncio.create_task(self._serve_in_task(request, message, media_type, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _decoded(self, message: HttpMessage) -> tuple[Request, str]:
        """The primitive of a request, and the media type of its answer: what a head means is found out once."""
        head = message.head
        if head is None:
            return decode_message(
                *(message.method, message.path, message.query, message.headers, message.body),
                *(self._lenient, self._root_path, self._note),
            )
        try:
            known: RequestHead | None = head.decoded
            if known is None:
                known = head.decoded = decode_head(message.method, message.path, message.headers, self._root_path)
            request_id = head.request_id(message)
            request = known.request(request_id, message.query, message.body, lenient=self._lenient, note=self._note)
        except CseError as error:
            error.request_id = head.request_id(message)
            raise
        return request, known.answer_type

    def _answered(self, message: HttpMessage, media_type: str, reply: Reply, response: Response) -> None:
        try:
            encoded = encode_response(response, media_type)
        except Exception as error:
            encoded = _encoded(error, response.request_id, message.method, message.path, message.headers)
        reply(*encoded)

    async def _serve_in_task(self, request: Request, message: HttpMessage, media_type: str, reply: Reply) -> None:
        try:
            response = await self._serve(request)
        except Exception as error:
            reply(*_encoded(error, request.request_id, message.method, message.path, message.headers))
        else:
            self._answered(message, media_type, reply, response)

    def _identify(
        self, request: Request, headers: Sequence[Header], credential: str, peer: tuple[str, int] | None
    ) -> None:
        """Note who a request comes from.

        Raises:
            CseError: its Authorization is worth nothing.
        """
        request.binding = "http"
        request.credential = credential or self._authenticated(headers)
        if peer is not None:
            request.peer_address = peer[0]

    def _authenticated(self, headers: Sequence[Header]) -> str:
        if self._authenticate is not None:
            for name, value in headers:
                if name == b"authorization":
                    return self._authenticate(value.decode("latin-1"))
        return ""

    # --- conversations --------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        """Answer what is not direct (ASGI 3)."""
        app = self._mount_of(scope["raw_path"])
        if app is not None:
            await app(scope, receive, send)
            return
        extra = self._cross_origin.fields(scope["headers"]) if self._cross_origin is not None else []
        if self._watches is not None and wanted(scope["query_string"]):
            await self._watches.answer(scope, receive, send, extra, self._root_path, self._credential)
            return
        try:
            status, headers, body = await self._poll(scope, receive)
        except _Disconnected:
            return
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *extra]})
        await send({"type": "http.response.body", "body": body})

    def _mount_of(self, path: bytes) -> ASGIApp | None:
        for prefix, app in self._mounts:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/"):
                return app
        return None

    def _credential(self, scope: Scope) -> str:
        """The entity a request proves to come from, "" for none.

        Raises:
            CseError: its Authorization is worth nothing.
        """
        return cast(str, scope[CREDENTIAL]) if CREDENTIAL in scope else self._authenticated(scope["headers"])

    async def _poll(self, scope: Scope, receive: Receive) -> Encoded:
        """Serve a long poll, and drop it when its client goes away, so that what comes next is not given to nobody."""
        headers, method, path = scope["headers"], scope["method"], scope["raw_path"]
        request_id = ""
        try:
            body = (await receive()).get("body", b"")
            request, media_type = decode_message(
                method, path, scope["query_string"], headers, body, self._lenient, self._root_path, self._note
            )
            request_id = request.request_id
            self._identify(request, headers, scope.get(CREDENTIAL, ""), scope["client"])
            return encode_response(await _while_connected(self._serve(request), receive), media_type)
        except _Disconnected:
            raise
        except asyncio.CancelledError:
            # Only a server that stops cancels a request, after its grace.
            return encode_error(RequestTimeout("the CSE is stopping: send the request again", request_id), headers)
        except Exception as error:
            return _encoded(error, request_id, method, path, headers)


def _first_end(path: bytes) -> int:
    """Where the first segment of a path ends."""
    end = path.find(b"/", 1)
    return end if end > 0 else len(path)


async def _while_connected(serving: Awaitable[Response], receive: Receive) -> Response:
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


def _encoded(error: Exception, request_id: str, method: str, path: bytes, headers: Sequence[Header]) -> Encoded:
    """The answer to a request that ended with an error."""
    if isinstance(error, CseError):
        error.request_id = error.request_id or request_id
        encoded = encode_error(error, headers, method)
        return _come_again(encoded, error.retry_after_s) if isinstance(error, Overloaded) else encoded
    _log.error("request %r failed: %s %r", request_id, method, path, exc_info=error)
    return encode_error(InternalServerError(_FAULT, request_id), headers)


def _with_fields(reply: Reply, extra: list[Header], status: int, headers: Sequence[Header], body: bytes) -> None:
    reply(status, [*headers, *extra], body)


def _come_again(encoded: Encoded, retry_after_s: int) -> Encoded:
    """503 in place of the status of 4008: HTTP has a word for it, and for when to come again."""
    _, headers, body = encoded
    kept = [field for field in headers if field[0] != b"X-M2M-RSC"]
    return 503, [*kept, (b"Retry-After", b"%d" % retry_after_s)], body
