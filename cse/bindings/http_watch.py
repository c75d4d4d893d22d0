"""``GET <resource>?watch``: changes of a resource and its children as server-sent events. Not in any oneM2M release.

For browsers and scripts that can neither listen nor speak WebSocket: ``curl -N`` is enough. Who may RETRIEVE a resource
may watch it. Nothing is stored: a watch ends with its connection, and what happens while it is away is not sent later.
Each event is the notification (m2m:sgn) that a subscription to all changes would give.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote_plus

from cse.bindings.http_codec import decode_message, encode_error, encode_response
from cse.bindings.primitive_codec import Note, silent
from cse.onem2m.errors import BadRequest, CseError
from cse.onem2m.primitives import Request, Response
from cse.onem2m.serialisation import dump_json
from cse.onem2m.status import Status
from cse.ports import Send, Serve, Unreachable

Header = tuple[bytes, bytes]
AsgiReceive = Callable[[], Awaitable[MutableMapping[str, Any]]]
AsgiSend = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: scheme of the target under which the core queues what is watched
SCHEME, TARGET = "watch", "?watch"
#: events waiting for one watcher; one that falls further behind is let go
_QUEUED = 256
#: watches at a time
_WATCHES = 500
#: pause between comments that keep proxies from closing an idle stream, and between checks of the right to watch
_KEEP_ALIVE_S = 15.0
_DELETED = 2


def wanted(query: bytes) -> bool:
    """Whether a query asks for a watch."""
    return b"watch" in query and any(part.partition(b"=")[0] == b"watch" for part in query.split(b"&"))


class Watches:
    """The watches of one CSE: told of changes like a target of notifications (port ``Sender``).

    Args:
        serve: executes requests.
        watched: resource-IDs that are watched, for the core to look at.
        is_here: whether a resource-ID is of this CSE.
        release: the release to speak when a request names none.
        lenient: dialect tolerance is on.
        keep_alive_s: pause between comments.
        note: told of each dialect.
    """

    def __init__(
        self,
        serve: Serve,
        watched: set[str],
        is_here: Callable[[str], bool],
        *,
        release: str,
        lenient: bool,
        keep_alive_s: float = _KEEP_ALIVE_S,
        note: Note = silent,
    ) -> None:
        self._serve = serve
        self._watched = watched
        self._is_here = is_here
        self._release = release.encode()
        self._lenient = lenient
        self._note = note
        self._keep_alive_s = keep_alive_s
        self._streams: dict[str, set[asyncio.Queue[bytes | None]]] = {}
        self._followers: dict[str, list[Callable[[dict[str, Any]], None]]] = {}
        self._count = 0
        self._stopping = False

    @property
    def count(self) -> int:
        """How many watches there are."""
        return self._count

    # --- port Sender --------------------------------------------------------------------------------------------

    async def send(self, url: str, send: Send) -> Response:
        """Give an event to all who watch its resource; a watcher that fell behind is let go.

        Raises:
            Unreachable: it is no event of the core, but somebody's point of access with this scheme.
        """
        if send.target != TARGET:
            raise Unreachable("there is no binding of this name")
        ri = url.partition("://")[2]
        event = send.request.content["m2m:sgn"]
        for tell in list(self._followers.get(ri, ())):
            tell(event)
        data = b"data: " + dump_json({"m2m:sgn": event}) + b"\n\n"
        for queue in list(self._streams.get(ri, ())):
            if queue.qsize() >= _QUEUED:
                self._end(ri, queue, b": too far behind\n\n")
            else:
                queue.put_nowait(data)
                if event["nev"]["net"] == _DELETED:
                    self._end(ri, queue, b"")
        return Response(Status.OK, send.request.request_id)

    def follow(self, ri: str, tell: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Have somebody in this process told of the events (m2m:sgn) of a resource; gives what ends that."""
        self._followers.setdefault(ri, []).append(tell)
        self._watched.add(ri)

        def unfollow() -> None:
            followers = self._followers[ri]
            followers.remove(tell)
            if not followers:
                del self._followers[ri]
                if ri not in self._streams:
                    self._watched.discard(ri)

        return unfollow

    async def close(self) -> None:
        """End all watches."""
        self._stopping = True
        for ri, queues in list(self._streams.items()):
            for queue in list(queues):
                self._end(ri, queue, b": this CSE stops\n\n")

    # --- HTTP ---------------------------------------------------------------------------------------------------

    async def answer(
        self,
        scope: MutableMapping[str, Any],
        receive: AsgiReceive,
        send: AsgiSend,
        extra: Iterable[Header],
        root_path: str,
        credential: Callable[[MutableMapping[str, Any]], str],
    ) -> None:
        """Answer a GET that wants to watch: with an error, or with events until one side goes away.

        Args:
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.
            extra: further header fields of the answer.
            root_path: a path prefix that is no part of ``to``.
            credential: gives the entity that a request proves to come from, "" for none.
        """
        try:
            request = self._request(scope, root_path)
            request.credential = credential(scope)
            ri = await self._may_watch(request)
        except CseError as error:
            status, headers, body = encode_error(error, scope["headers"], "GET")
            await _whole(send, status, [*headers, *extra], body)
            return
        except _Refused as refused:
            status, headers, body = encode_response(refused.response, "application/json")
            await _whole(send, status, [*headers, *extra], body)
            return
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._streams.setdefault(ri, set()).add(queue)
        self._watched.add(ri)
        self._count += 1
        headers = [
            (b"Content-Type", b"text/event-stream"),
            (b"Cache-Control", b"no-store"),
            (b"X-Accel-Buffering", b"no"),
            (b"X-M2M-RSC", b"2000"),
            (b"X-M2M-RI", request.request_id.encode()),
            *extra,
        ]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b": watching\nretry: 2000\n\n", "more_body": True})
            await self._stream(request, queue, receive, send)
        finally:
            self._end(ri, queue, b"")
            self._count -= 1

    def _request(self, scope: MutableMapping[str, Any], root_path: str) -> Request:
        """The RETRIEVE behind a watch. What EventSource cannot send as header fields is filled in.

        Raises:
            CseError: it is no well-formed request.
        """
        headers: list[Header] = list(scope["headers"])
        names = {name for name, _ in headers}
        query = []
        for part in scope["query_string"].split(b"&"):
            name, _, value = part.partition(b"=")
            if name == b"originator" and b"x-m2m-origin" not in names:
                headers.append((b"x-m2m-origin", unquote_plus(value.decode("ascii", "replace")).encode()))
            elif name != b"watch":
                query.append(part)
        if b"x-m2m-ri" not in names:
            headers.append((b"x-m2m-ri", secrets.token_hex(8).encode()))
        if b"x-m2m-rvi" not in names:
            headers.append((b"x-m2m-rvi", self._release))
        headers = [field for field in headers if field[0] != b"accept"]
        request, _ = decode_message(
            "GET", scope["raw_path"], b"&".join(query), headers, b"", self._lenient, root_path, self._note
        )
        if any(
            given is not None
            for given in (request.filter, request.attribute_list, request.result_content, request.response_type)
        ):
            raise BadRequest("a watch shows all changes: send nothing but 'watch' in the query", request.request_id)
        request.binding = "http"
        if scope["client"] is not None:
            request.peer_address = scope["client"][0]
        return request

    async def _may_watch(self, request: Request) -> str:
        """The resource-ID of what a request may watch.

        Raises:
            CseError, _Refused: it may not be watched.
        """
        if self._stopping or self._count >= _WATCHES:
            words = f"there are {self._count} watches already: try again later, or subscribe"
            raise _Refused(Response(Status.TARGET_NOT_REACHABLE, request.request_id, {"m2m:dbg": words}))
        response = await self._serve(request)
        if not response.status.is_success:
            raise _Refused(response)
        content = response.content if isinstance(response.content, dict) else {}
        resource = next(iter(content.values()), None)
        ri = resource.get("ri") if isinstance(resource, dict) else None
        if not isinstance(ri, str) or not self._is_here(ri):
            raise BadRequest("only resources of this CSE can be watched: ask the CSE that hosts it", request.request_id)
        return ri

    async def _stream(
        self, request: Request, queue: asyncio.Queue[bytes | None], receive: AsgiReceive, send: AsgiSend
    ) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            while not gone.done():
                nearest = asyncio.ensure_future(queue.get())
                await asyncio.wait((nearest, gone), timeout=self._keep_alive_s, return_when=asyncio.FIRST_COMPLETED)
                if nearest.done():
                    event = nearest.result()
                    if event is None:
                        break
                else:
                    nearest.cancel()
                    if gone.done() or not (await self._serve(request)).status.is_success:
                        break  # the right to watch may have been withdrawn
                    event = b":\n\n"
                await send({"type": "http.response.body", "body": event, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    def _end(self, ri: str, queue: asyncio.Queue[bytes | None], last: bytes) -> None:
        queues = self._streams.get(ri, set())
        if queue not in queues:
            return
        queues.discard(queue)
        if not queues:
            del self._streams[ri]
            if ri not in self._followers:
                self._watched.discard(ri)
        if last:
            queue.put_nowait(last)
        queue.put_nowait(None)


class _Refused(Exception):
    """A response that is no error of this module."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def _disconnected(receive: AsgiReceive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _whole(send: AsgiSend, status: int, headers: list[Header], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
