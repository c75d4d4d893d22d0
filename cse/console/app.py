"""The console as an ASGI application at ``/console``: its files, its API, its live events (docs/console.md).

Whatever it asks of the CSE for a person goes through the CSE's access control in the name of that person.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qsl

from cse.bindings.http_connections import CREDENTIAL
from cse.config import neighbours
from cse.console.api import Api
from cse.console.assets import HEADERS, read_assets
from cse.console.house import House, may_see
from cse.console.inspector import Inspected
from cse.console.live import Live
from cse.console.people import Door, Person, Refused, Role, check_change, check_site
from cse.console.routes import Call, Handler, Route
from cse.console.sight import sees, sees_contents, without_contents
from cse.console.stack import Stack
from cse.onem2m.errors import CseError
from cse.onem2m.serialisation import dump_json, load_json
from cse.resources.declare import Privilege

_log = logging.getLogger("cse.console")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

#: where it is mounted
PREFIX = "/console"
_API = "api/"
_BODY_BYTES = 256 * 1024
#: requests are kept for so long after the last page was closed, in seconds
_LINGER_S = 120.0


class Console:
    """The console of one CSE.

    Args:
        house: the CSE.
        linger_s: how long requests are kept on after the last page was closed, in seconds.
    """

    def __init__(self, house: House, *, linger_s: float = _LINGER_S) -> None:
        self._house, self._linger_s = house, linger_s
        self._assets = read_assets()
        self._door = Door(house.config, house.security, time.monotonic)
        self._inspector = house.inspector
        self._inspector.tell = self._inspected
        #: who listens; publish here what a view wants to be told
        self.live = Live(self._someone, still=self._door.still)
        self._lingering: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None
        self._stack = Stack(house, self.live, neighbours(house.config))
        self._routes: dict[str, Route] = {}
        self.add("session", self._session)
        self.add("stack", self._stack.show)
        api = Api(house, self._inspector, self.live)
        for name, (method, role, handler) in api.routes().items():
            self.add(name, handler, method=method, role=role)

    def add(self, name: str, handler: Handler, *, method: str = "GET", role: Role = Role.VIEWER) -> None:
        """Serve one more name below ``/console/api/``.

        Args:
            name: of the route.
            handler: gives the JSON of its answer.
            method: GET, or POST for what changes something.
            role: the least one that may.
        """
        self._routes[name] = Route(method, role, handler)

    def close(self) -> None:
        """End the streams of live events."""
        self.live.close()
        self._stop_telling()
        self._stack.close()
        if self._lingering is not None:
            self._lingering.cancel()

    # --- ASGI -----------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        name = scope["path"].removeprefix(PREFIX)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            if not name.startswith(f"/{_API}"):
                await self._file(scope, name, headers, send)
            elif name == f"/{_API}live":
                check_site(headers)
                self._only(scope, "GET")
                person = self._door.person(scope, headers)
                await self.live.answer(person, receive, send, [*HEADERS, (b"Cache-Control", b"no-store")])
            else:
                shown = await self._api(scope, name.removeprefix(f"/{_API}"), headers, receive)
                await _reply(scope, send, 200, dump_json(shown), [])
        except Refused as error:
            extra: list[Header] = [(b"WWW-Authenticate", b"Bearer")] if error.status == 401 else []
            if error.retry_after_s:
                extra.append((b"Retry-After", b"%d" % error.retry_after_s))
            await _reply(scope, send, error.status, dump_json({"error": str(error)}), extra)
        except CseError as error:
            words = {"error": error.debug, "rsc": int(error.status)}
            await _reply(scope, send, 400, dump_json(words), [])

    def _only(self, scope: Scope, method: str) -> None:
        if scope["method"] != method:
            raise Refused(405, f"use {method} for this")

    async def _file(self, scope: Scope, name: str, headers: Mapping[bytes, bytes], send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "this can only be read: use GET")
        if not name:
            await _reply(scope, send, 308, b"", [(b"Location", PREFIX.encode() + b"/")])
            return
        asset = self._assets.get(name.removeprefix("/"))
        if asset is None:
            raise Refused(404, f"the console has no file {name[:80]!r}")
        fields = [(b"ETag", asset.tag), (b"Cache-Control", b"no-cache")]
        if headers.get(b"if-none-match") == asset.tag:
            await _reply(scope, send, 304, b"", fields, asset.media_type)
        else:
            await _reply(scope, send, 200, asset.body, fields, asset.media_type)

    async def _api(self, scope: Scope, name: str, headers: Mapping[bytes, bytes], receive: Receive) -> Any:
        check_site(headers)
        route = self._routes.get(name)
        if route is None:
            raise Refused(404, f"the console has no {name[:80]!r}: there are {', '.join(sorted(self._routes))}")
        self._only(scope, route.method)
        if route.method == "POST":
            check_change(scope, headers)
        nobody = self._has_to_log_in(scope, name, headers)
        if nobody is not None:
            return nobody
        person = self._door.person(scope, headers)
        if person.role < route.role:
            raise Refused(403, f"this needs the role {route.role.word}, and {person.originator} is {person.role.word}")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        body = load_json(await _body(receive)) if route.method == "POST" else None
        return await route.handler(Call(person, query, body))

    def _has_to_log_in(self, scope: Scope, name: str, headers: Mapping[bytes, bytes]) -> dict[str, Any] | None:
        """What the page is told that asks who it is for, and shows nothing: no error, so nothing is in its log."""
        if name != "session" or b"authorization" in headers or scope.get(CREDENTIAL):
            return None
        try:
            self._door.person(scope, headers)
        except Refused as error:
            return {"login": True, "why": str(error)} if error.status == 401 else None
        return None

    async def _session(self, call: Call) -> dict[str, Any]:
        """Who one is, and at which CSE."""
        config, person = self._house.config, call.person
        return {
            "role": person.role.word,
            "originator": person.originator,
            "proved": bool(person.credential),
            "insecure": config.insecure_dev,
            "cse": {"id": config.id, "name": config.name, "type": str(config.type), "releases": config.releases},
            "version": version("onemec"),
        }

    # --- live -----------------------------------------------------------------------------------------------------

    def _someone(self, here: bool) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._stack.someone(here)
        if here:
            self._inspector.on = True
            if self._telling is None:
                self._telling = asyncio.get_running_loop().create_task(self._tell_deliveries(), name="console")
        else:
            self._stop_telling()
            self._lingering = asyncio.get_running_loop().call_later(self._linger_s, self._forget)

    def _forget(self) -> None:
        self._inspector.on = False

    def _stop_telling(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _inspected(self, record: Inspected) -> None:
        if not self.live.count:
            return
        found = record.as_json()
        self.live.publish("request", found, lambda person: self._tells(person, record, whole=True))
        if self.live.has_others:
            bare = without_contents(found)
            self.live.publish("request", bare, lambda person: self._tells(person, record, whole=False))

    def _tells(self, person: Person, record: Inspected, *, whole: bool) -> bool:
        return sees(self._house, person, record) and sees_contents(self._house, person, record) is whole

    async def _tell_deliveries(self) -> None:
        log = self._house.delivery.log
        known = log.last
        while True:
            await log.wait(known, 60.0)
            for record in log.since(known):
                self.live.publish("delivery", record.as_json(), partial(self._sees, record.subject))
            known = log.last

    def _sees(self, to: str, person: Person) -> bool:
        return may_see(self._house, person, Privilege.RETRIEVE, to)


async def _body(receive: Receive) -> bytes:
    pieces, size_bytes = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "the request ended early")
        pieces.append(message.get("body", b""))
        size_bytes += len(pieces[-1])
        if size_bytes > _BODY_BYTES:
            raise Refused(413, f"the body is larger than {_BODY_BYTES} bytes")
        if not message.get("more_body"):
            return b"".join(pieces)


async def _reply(
    scope: Scope,
    send: Send,
    status: int,
    body: bytes,
    extra: list[Header],
    media_type: bytes = b"application/json",
) -> None:
    headers = [*HEADERS, *extra, (b"Content-Type", media_type), (b"Content-Length", b"%d" % len(body))]
    if not any(name == b"Cache-Control" for name, _ in extra):
        headers.append((b"Cache-Control", b"no-store"))
    if status == 304:
        headers = [field for field in headers if field[0] not in (b"Content-Length", b"Content-Type")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


__all__ = ["PREFIX", "Console"]
