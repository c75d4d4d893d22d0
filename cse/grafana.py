"""Values for Grafana at ``/grafana``: for its JSON data source (simpod), and for Infinity as JSON and CSV.

Each request is served as RETRIEVE requests of the caller, with the caller's credential: nobody sees here what it may
not see over oneM2M (docs/grafana.md).
"""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from cse.bindings.http_connections import CREDENTIAL
from cse.onem2m.errors import CseError
from cse.onem2m.instance_pages import InstancePages, instances_in
from cse.onem2m.primitives import FilterUsage, Operation, Request, Response
from cse.onem2m.serialisation import dump_json, load_json
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp, parse_timestamp

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendMessage = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Serve = Callable[[Request], Awaitable[Response]]

#: where it is mounted
PREFIX = "/grafana"
_CONTENT_INSTANCE = 4
#: types that hold values, and the type of the values
_HOLDERS = {3: _CONTENT_INSTANCE, 29: 30}
_PAGE, _MOST, _BODY_BYTES = 500, 20_000, 64 * 1024
_NAMES = ("search", "metrics", "query", "annotations", "values")
_CODES = {
    Status.NOT_FOUND: 404,
    Status.ORIGINATOR_HAS_NO_PRIVILEGE: 403,
    Status.ORIGINATOR_HAS_NOT_REGISTERED: 403,
    Status.REQUEST_TIMEOUT: 503,
}


class _Refused(Exception):
    """An HTTP status, and words that say what to send."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, slots=True)
class Point:
    """One value.

    Attributes:
        at_s: when it was measured, or stored, in seconds since the epoch.
        content: the value, or the part of it that was asked for.
        name: resourceName of the instance.
    """

    at_s: float
    content: Any
    name: str

    @property
    def number(self) -> float | None:
        """The number it is or spells."""
        if isinstance(self.content, bool):
            return float(self.content)
        try:
            return float(self.content)
        except (TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request: what was asked, and who asks."""

    method: str
    name: str
    query: dict[str, str]
    body: Mapping[str, Any]
    ask: Callable[[Request], Awaitable[Response]]
    span: dict[str, str] = field(default_factory=dict)


class Grafana:
    """An ASGI application that reads values for Grafana.

    Args:
        serve: serves a request primitive, within what its originator may take.
        authenticate: tells who an Authorization header is of; None when there are no credentials.
        believe_originators: whether X-M2M-Origin is believed without a credential (insecure-dev).
    """

    def __init__(
        self,
        serve: Serve,
        authenticate: Callable[[], Callable[[str], str] | None],
        *,
        believe_originators: bool,
    ) -> None:
        self._serve, self._authenticate = serve, authenticate
        self._believe_originators = believe_originators

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        """Answer one request (ASGI 3)."""
        kind = b"application/json"
        try:
            status, shown = 200, await self._answer(scope, receive)
        except _Refused as error:
            status, shown = error.status, {"error": str(error)}
        except CseError as error:
            status, shown = _CODES.get(error.status, 400), {"error": error.debug}
        body = shown.encode() if isinstance(shown, str) else dump_json(shown)
        if isinstance(shown, str):
            kind = b"text/csv; charset=utf-8"
        headers = [(b"Content-Type", kind), (b"Cache-Control", b"no-store"), (b"Content-Length", b"%d" % len(body))]
        if status == 401:
            headers.append((b"WWW-Authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope, receive: Receive) -> Any:
        name = scope["path"].removeprefix(PREFIX).strip("/")
        method = scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            raise _Refused(405, "use GET or POST")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        body = await _read_json(receive) if method == "POST" else {}
        asked = _Asked(method, name, query, body, partial(self._ask, self._caller(scope, query), scope.get("client")))
        if not name:  # what a data source asks to see whether it is there
            return {"status": "ok", "names": list(_NAMES)}
        if name in ("search", "metrics"):
            return await self._search(asked)
        if name == "query":
            return [await self._series(asked, target) for target in _targets(body)]
        if name == "annotations":
            return await self._annotations(asked)
        if name == "values":
            return await self._values(asked)
        raise _Refused(404, f"there are {', '.join(f'{PREFIX}/{known}' for known in _NAMES)}")

    # --- who asks -------------------------------------------------------------------------------------------------

    def _caller(self, scope: Scope, query: dict[str, str]) -> tuple[str, str]:
        """The originator and its credential."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        credential: str = scope.get(CREDENTIAL) or ""
        authenticate = self._authenticate()
        if authorization and authenticate is not None and not credential:
            try:
                credential = authenticate(authorization)
            except CseError as error:
                raise _Refused(401, error.debug) from error
        named = query.pop("originator", "") or headers.get(b"x-m2m-origin", b"").decode("latin-1")
        if credential:
            return named or credential, credential
        if self._believe_originators and named:
            return named, ""
        words = "X-M2M-Origin with an AE-ID" if self._believe_originators else "Authorization: Bearer with a token"
        raise _Refused(401, f"say who asks: send {words}")

    async def _ask(self, caller: tuple[str, str], client: tuple[str, int] | None, request: Request) -> Response:
        """Serve a request of the caller; what is refused is an error."""
        request.originator, request.credential = caller
        request.request_id, request.release, request.binding = f"grafana-{secrets.token_hex(8)}", "3", "http"
        request.peer_address = client[0] if client else ""
        response = await self._serve(request)
        if not response.status.is_success:
            content = response.content if isinstance(response.content, dict) else {}
            words = str(content.get("m2m:dbg", response.status.name))
            raise _Refused(_CODES.get(response.status, 400), words)
        return response

    # --- what is asked --------------------------------------------------------------------------------------------

    async def _search(self, asked: _Asked) -> Any:
        """Addresses of what holds values and the caller may discover; those with a text in them, where one is given."""
        wanted = str(asked.body.get("target") or asked.body.get("metric") or asked.query.get("target", ""))
        found = await asked.ask(
            Request(
                Operation.RETRIEVE, "-", filter={"fu": int(FilterUsage.DISCOVERY), "ty": list(_HOLDERS), "lim": _MOST}
            )
        )
        listed = found.content.get("m2m:uril", []) if isinstance(found.content, dict) else []
        chosen = [address for address in listed if wanted.removeprefix("-/").lower() in address.lower()]
        if asked.name == "metrics":
            return [{"label": address, "value": address} for address in chosen]
        return chosen

    async def _series(self, asked: _Asked, target: Mapping[str, Any]) -> dict[str, Any]:
        """One series for a graph; a table where it is asked for or where values are no numbers."""
        address = str(target.get("target") or "")
        points = await self._points(asked, address, _span(asked.body.get("range") or {}), _MOST)
        numbers = [(point.number, point.at_s) for point in points]
        if target.get("type") == "table" or any(number is None for number, _ in numbers):
            columns = [{"text": "time", "type": "time"}, {"text": "value"}]
            return {"type": "table", "columns": columns, "rows": [[_ms(point.at_s), point.content] for point in points]}
        thinned = _thinned([(number, at_s) for number, at_s in numbers if number is not None], _most_points(asked.body))
        return {
            "target": address,
            "refId": target.get("refId", ""),
            "datapoints": [[value, _ms(at_s)] for value, at_s in thinned],
        }

    async def _annotations(self, asked: _Asked) -> list[dict[str, Any]]:
        """Each value of a container as a mark in time, with its content as the text."""
        annotation = asked.body.get("annotation") or {}
        address = str(annotation.get("query") or annotation.get("target") or "")
        points = await self._points(asked, address, _span(asked.body.get("range") or {}), _PAGE)
        return [
            {"annotation": annotation, "time": _ms(point.at_s), "title": _text(point.content), "text": address}
            for point in points
        ]

    async def _values(self, asked: _Asked) -> Any:
        """``GET values?target=-/lamp/data&from=...&to=...``: rows as JSON, or CSV with ``format=csv``."""
        query = asked.query
        address, form = query.pop("target", ""), query.pop("format", "json")
        limit = query.pop("limit", str(_MOST))
        span = _span(query)
        unknown = set(query) - {"from", "to"}
        if unknown:
            raise _Refused(400, f"there is no parameter {min(unknown)!r}: there are target, from, to, limit, format")
        if form not in ("json", "csv"):
            raise _Refused(400, f"format={form!r} is none: send json or csv")
        if not limit.isdecimal() or not 0 < int(limit) <= _MOST:
            raise _Refused(400, f"limit={limit!r}: send a number from 1 to {_MOST}")
        points = await self._points(asked, address, span, int(limit))
        rows = [{"time": _iso(point.at_s), "value": point.number, "content": point.content} for point in points]
        if form == "json":
            return rows
        table = io.StringIO()
        writer = csv.DictWriter(table, ("time", "value", "content"))
        writer.writeheader()
        writer.writerows({**row, "content": _text(row["content"])} for row in rows)
        return table.getvalue()

    async def _points(self, asked: _Asked, target: str, span: dict[str, str], most: int) -> list[Point]:
        """The newest values of a target in a time span, oldest first.

        Args:
            asked: the request.
            target: address of a container or timeSeries; ``address:name.name`` picks a part of JSON content.
            span: filter conditions.
            most: how many.
        """
        address, _, picked = target.partition(":")
        if not address:
            raise _Refused(400, "name a container in target, e.g. -/lamp/data, or -/lamp/data:t for a part of JSON")
        holder = (await asked.ask(Request(Operation.RETRIEVE, address))).content
        resource = next(iter(holder.values())) if isinstance(holder, dict) and len(holder) == 1 else {}
        kind = resource.get("ty") if isinstance(resource, dict) else None
        if kind not in _HOLDERS:
            raise _Refused(400, f"{address} holds no values: name a container or a timeSeries")
        number = _HOLDERS[kind]
        if number != _CONTENT_INSTANCE:
            return [_point(value, picked) for value in (await self._read(asked, address, number, span))[-most:]]
        # A CSE lists the oldest first, and the newest are wanted: they have the stateTags before the end of the span.
        first = await self._tag(asked, address, span.get("cra", "00010101T000000"))
        end = await self._tag(asked, address, span["crb"]) if "crb" in span else None
        if end is None:
            newest = await asked.ask(Request(Operation.RETRIEVE, f"{address}/la")) if first is not None else None
            end = newest.content["m2m:cin"]["st"] + 1 if newest is not None else 0
        values: list[Mapping[str, Any]] = []
        wanted = most
        while first is not None and end > first and len(values) < most:
            begin = max(first, end - wanted)
            values = await self._read(asked, address, number, {**span, "stb": begin, "sts": end}) + values
            end, wanted = begin, wanted * 2
        return [_point(value, picked) for value in values[-most:]]

    async def _tag(self, asked: _Asked, address: str, when: str) -> int | None:
        """The stateTag of the first contentInstance that was created then or later; None when there is none."""
        conditions = {"ty": [_CONTENT_INSTANCE], "lvl": 1, "lim": 1, "cra": when}
        answer = await asked.ask(Request(Operation.RETRIEVE, address, result_content=8, filter=conditions))
        found = instances_in(answer.content, _CONTENT_INSTANCE)
        return int(found[0]["st"]) if found else None

    async def _read(self, asked: _Asked, address: str, number: int, conditions: dict[str, Any]) -> list[Any]:
        """All instances that meet the conditions, oldest first."""
        pages = InstancePages(number, conditions, _PAGE)
        found: list[Any] = []
        while not pages.done:
            answer = await asked.ask(Request(Operation.RETRIEVE, address, result_content=8, filter=pages.criteria))
            found += pages.take(instances_in(answer.content, number), partial=answer.content_status == 1)
        return found


def _point(value: Mapping[str, Any], picked: str) -> Point:
    content = value.get("con")
    if picked:
        if isinstance(content, str):
            try:
                content = load_json(content.encode())
            except ValueError:
                content = None
        for name in picked.split("."):
            content = content.get(name) if isinstance(content, dict) else None
    return Point(parse_timestamp(str(value.get("dgt") or value["ct"])), content, str(value["rn"]))


async def _read_json(receive: Receive) -> Mapping[str, Any]:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _BODY_BYTES:
            raise _Refused(413, f"more than {_BODY_BYTES} bytes: ask for less")
        if not message.get("more_body"):
            break
    if not body.strip():
        return {}
    try:
        found = load_json(body)
    except (ValueError, CseError) as error:
        raise _Refused(400, f"this is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise _Refused(400, 'send a JSON object, e.g. {"targets": [{"target": "-/lamp/data"}]}')
    return found


def _targets(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    targets = body.get("targets")
    found = [target for target in targets if isinstance(target, dict)] if isinstance(targets, list) else []
    if not found:
        raise _Refused(400, 'name what to read: {"targets": [{"target": "-/lamp/data"}]}')
    return [target for target in found if not target.get("hide")]


def _span(given: Mapping[str, Any]) -> dict[str, str]:
    """Filter conditions of a time range; ``from`` and ``to`` are ISO 8601, epoch milliseconds, or oneM2M timestamps."""
    span = {}
    for name, tag in (("from", "cra"), ("to", "crb")):
        text = str(given.get(name) or "")
        if text:
            span[tag] = format_timestamp(_seconds(name, text))
    return span


def _seconds(name: str, text: str) -> float:
    if text.isdecimal() and len(text) >= 10:
        return int(text) / 1000 if len(text) > 11 else float(text)
    try:
        return parse_timestamp(text)
    except CseError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        words = f"{name}={text[:40]!r} is no time: send 2026-11-23T08:00:00Z, epoch milliseconds or 20261123T080000"
        raise _Refused(400, words) from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _most_points(body: Mapping[str, Any]) -> int:
    most = body.get("maxDataPoints")
    return most if isinstance(most, int) and most > 0 else _MOST


def _thinned(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most so many points: means of neighbours, at the time of the last of them."""
    if len(points) <= most:
        return points
    size = -(-len(points) // most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(value for value, _ in group) / len(group), group[-1][1]) for group in groups]


def _ms(at_s: float) -> int:
    return round(at_s * 1000)


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else dump_json(content).decode()
