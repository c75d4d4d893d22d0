"""What an operator may read of a running CSE over HTTP: ``/_onemec/deliveries``, ``dialects``, ``explain``.

Not oneM2M, and not for everybody: an administrator's credential is needed. With insecure-dev, or as long as there is no
administrator, programs on this machine are answered, but no page in a browser, whatever name it was loaded under.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl

from cse.bindings.http_connections import CREDENTIAL
from cse.core.explanation import Explanation
from cse.delivery import Delivery
from cse.onem2m.addressing import is_loopback
from cse.onem2m.errors import CseError
from cse.onem2m.serialisation import dump_json
from cse.onem2m.status import Status
from cse.resources.declare import Privilege

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

#: where the page is mounted
PREFIX = "/_onemec"
_LONGEST_WAIT_S = 30.0
_MOST = 2000
#: a request that came by a proxy or from a web page
_FOREIGN = (b"origin", b"x-forwarded-for", b"forwarded", b"via")


class _NotAllowed(Exception):
    """An HTTP status, and words that say what is needed."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class StatusPage:
    """An ASGI application for the operator.

    Args:
        delivery: whose log is shown.
        dialects: gives the uses of dialects on all bindings.
        authenticate: tells who an Authorization header is of; None when there are no credentials.
        is_admin: whether an entity may read this.
        open_here: whether programs on this machine may without credentials.
        explain: says why an originator may do something or not.
    """

    def __init__(
        self,
        delivery: Delivery,
        dialects: Callable[[], Mapping[str, int]],
        authenticate: Callable[[str], str] | None,
        is_admin: Callable[[str], bool],
        open_here: Callable[[], bool],
        explain: Callable[[str, Privilege, str, int | None, str, Sequence[str]], Explanation],
    ) -> None:
        self._explain = explain
        self._delivery, self._dialects, self._authenticate = delivery, dialects, authenticate
        self._is_admin, self._open_here = is_admin, open_here

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request (ASGI 3)."""
        extra: list[Header] = []
        try:
            self._admit(scope)
            status, shown = await self._answer(scope)
        except _NotAllowed as error:
            status, shown, extra = error.status, {"error": str(error)}, _challenge(error)
        except ValueError as error:
            status, shown = 400, {"error": str(error)}
        await _reply(scope, send, status, shown, extra)

    def _explained(self, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """The answer to ``explain?originator=Cme&operation=UPDATE&to=cse-in/lamp``; child, address, role at need.

        Raises:
            ValueError: a parameter is missing or makes no sense.
        """
        originator, operation, to = (query.pop(name, "") for name in ("originator", "operation", "to"))
        if not operation or not to:
            raise ValueError("send operation= and to=, and originator= of whom it is about")
        child, address = _number(query, "child", 0), query.pop("address", "")
        roles = tuple(filter(None, query.pop("role", "").split(",")))
        if query:
            raise ValueError(f"there is no parameter {next(iter(query))!r}")
        try:
            found = self._explain(originator, _privilege(operation), to, child or None, address, roles)
        except CseError as error:
            return 404 if error.status is Status.NOT_FOUND else 400, {"error": error.debug}
        return 200, {
            "granted": found.granted,
            "because": found.because,
            "ruledBy": found.ruled_by,
            "rules": [asdict(rule) for rule in found.rules],
        }

    def guarding(self, page: AsgiApp) -> AsgiApp:
        """Another page, for those only who may read this one."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                self._admit(scope)
            except _NotAllowed as error:
                await _reply(scope, send, error.status, {"error": str(error)}, _challenge(error))
            else:
                await page(scope, receive, send)

        return guarded

    def _admit(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        entity: str = scope.get(CREDENTIAL) or ""
        if authorization and self._authenticate is not None:
            try:
                entity = entity or self._authenticate(authorization)
            except CseError as error:
                raise _NotAllowed(401, error.debug) from error
        if entity and self._is_admin(entity):
            return
        if entity or not self._open_here():
            raise _NotAllowed(401, "this is for administrators: send Authorization: Bearer with the token of one")
        client = scope["client"]
        host = headers.get(b"host", b"").decode("latin-1").rpartition(":")[0].strip("[]") or "127.0.0.1"
        foreign = any(name in headers for name in _FOREIGN)
        if client is None or not is_loopback(client[0]) or not is_loopback(host) or foreign:
            raise _NotAllowed(403, "without credentials this is for programs on the machine of the CSE only")

    async def _answer(self, scope: Scope) -> tuple[int, dict[str, Any]]:
        if scope["method"] not in ("GET", "HEAD"):
            return 405, {"error": "this can only be read: use GET"}
        name = scope["path"].removeprefix(PREFIX).strip("/")
        if name == "dialects":
            return 200, {"dialects": dict(sorted(self._dialects().items()))}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if name == "explain":
            return self._explained(query)
        if name != "deliveries":
            return 404, {"error": f"there are {PREFIX}/deliveries, {PREFIX}/dialects and {PREFIX}/explain"}
        target = query.pop("target", "")
        since, most = _number(query, "since", 0), _number(query, "most", _MOST)
        wait_s, dead = _number(query, "wait", 0), _number(query, "dead", 0)
        if query:
            raise ValueError(f"there is no parameter {next(iter(query))!r}: there are since, most, wait, target, dead")
        log, counts = self._delivery.log, self._delivery.counts
        if dead:
            records = [letter.as_json() for letter in log.dead_letters(target)][-most:]
        else:
            if wait_s:
                await log.wait(since, min(wait_s, _LONGEST_WAIT_S))
            records = [record.as_json() for record in log.since(since, target, most)]
        return 200, {
            "records": records,
            "last": log.last,
            "counts": {
                "sent": counts.sent,
                "failed": counts.failed,
                "dropped": counts.dropped,
                "waiting": counts.waiting,
            },
            "results": {str(result): number for result, number in log.totals.items()},
        }


def _privilege(operation: str) -> Privilege:
    try:
        return Privilege[operation.upper()]
    except KeyError:
        names = ", ".join(str(bit.name) for bit in Privilege)
        raise ValueError(f"operation={operation[:40]!r} is none: send one of {names}") from None


def _challenge(error: _NotAllowed) -> list[Header]:
    return [(b"WWW-Authenticate", b"Bearer")] if error.status == 401 else []


async def _reply(scope: Scope, send: Send, status: int, shown: dict[str, Any], extra: list[Header]) -> None:
    body = dump_json(shown)
    headers = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"), *extra]
    headers.append((b"Content-Length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _number(query: dict[str, str], name: str, default: int) -> int:
    value = query.pop(name, "")
    if value and not (value.isascii() and value.isdigit() and len(value) < 16):
        raise ValueError(f"{name}={value[:40]!r} is no number: send e.g. {name}={default or 1}")
    return int(value) if value else default
