"""What every route of the platform does around its handler: body, query, versions, errors as ProblemDetails."""

import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, cast
from urllib.parse import urlencode

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match

from mec_adapter.platform.problems import BadRequest, PreconditionFailed, Problem, problem_details
from mec_adapter.platform.validation import explain

_LOG = logging.getLogger(__name__)
_MAX_DEPTH = 32
_MAX_URI = 8192
_INT64 = 2**63
_JSON_RANGES = frozenset({"*/*", "application/*", "application/json"})

PROBLEM_TYPE = "application/problem+json"


class Gate(Protocol):
    """What a route asks of the platform before and after its handler."""

    max_body_bytes: int

    def admit(self, request: Request, scope: str) -> None:
        """Let the request in, or raise the Problem that says why not."""
        ...

    async def settle(self) -> None:
        """Return when everything the request changed is stored; notifications go out after that."""
        ...


class PlatformRequest(Request):
    """A request whose body is bounded and parsed strictly: no duplicate names, no NaN, no endless nesting."""

    def __init__(self, request: Request, max_body_bytes: int) -> None:
        super().__init__(request.scope, request.receive)
        self._max_body_bytes = max_body_bytes
        self._received: bytes | None = None

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            Problem: 413 when it is longer than allowed.
        """
        if self._received is None:
            parts: list[bytes] = []
            size = 0
            async for part in self.stream():
                size += len(part)
                if size > self._max_body_bytes:
                    raise Problem(413, f"the body is longer than {self._max_body_bytes} bytes; send less")
                parts.append(part)
            self._received = b"".join(parts)
        return self._received

    async def json(self) -> Any:
        """Return the parsed body.

        Raises:
            BadRequest: it is not the JSON this platform takes; says where.
        """
        return parse_json(await self.body())


def parse_json(body: bytes) -> Any:
    """Parse one JSON text.

    Raises:
        BadRequest: invalid JSON, duplicate names, numbers out of range, nesting deeper than 32.
    """
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer
        )
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8; send JSON encoded as UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"the body is not valid JSON ({error.msg} at line {error.lineno}, column {error.colno}); send a JSON object"
        ) from None
    except RecursionError:
        raise BadRequest(f"the body is nested too deeply; at most {_MAX_DEPTH} levels are taken") from None
    _check_value(value, 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"the body gives {twice[:64]!r} twice in one object; send every name once")
    return found


def _integer(text: str) -> int | float:
    """Take integers beyond 64 bits as the nearest double, as most JSON readers do [RFC 8259 6]."""
    if len(text) > 18:
        number = float(text)
        return number if abs(number) >= _INT64 else int(text)
    return int(text)


def _no_constant(name: str) -> Any:
    raise BadRequest(f"the body holds {name}, which is not JSON; send a number or leave the attribute out")


def _check_value(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise BadRequest(f"the body is nested too deeply; at most {_MAX_DEPTH} levels are taken")
    if isinstance(value, str):
        if not _is_unicode(value):
            raise BadRequest("the body holds a string with half a surrogate pair; send Unicode text")
    elif isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise BadRequest("the body holds a number beyond the range of a double; send a smaller one")
    elif isinstance(value, list):
        for item in value:
            _check_value(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_value(name, depth)
            _check_value(item, depth + 1)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _query_names(dependant: Dependant) -> frozenset[str]:
    names = {field.alias for field in dependant.query_params}
    for inner in dependant.dependencies:
        names |= _query_names(inner)
    return frozenset(names)


def _spell_query(request: Request, known: Iterable[str]) -> None:
    """Take query names in the spelling of the published descriptions too, which lost their capitals."""
    capitals = {name.lower(): name for name in known if name != name.lower()}
    pairs = request.query_params.multi_items()
    if any(name in capitals for name, _ in pairs):
        spelt = [(capitals.get(name, name), value) for name, value in pairs]
        request.scope["query_string"] = urlencode(spelt).encode("ascii")


def check_query(request: Request, known: Iterable[str]) -> None:
    """Refuse query parameters that the resource does not define [MEC 011 8.2].

    Raises:
        BadRequest: names the parameter and those that exist.
    """
    known = sorted(known)
    for name in request.query_params:
        if name not in known:
            hint = f"it takes {', '.join(known)}" if known else "it takes none"
            raise BadRequest(f"query parameter {name[:64]!r} is unknown here; {hint}")


def _check_length(request: Request) -> None:
    length = len(request.scope.get("raw_path", b"")) + len(request.scope["query_string"])
    if length > _MAX_URI:
        raise Problem(414, f"the URI has {length} characters; send at most {_MAX_URI}, e.g. fewer query parameters")


def _check_content_type(request: Request) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given and given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        raise Problem(415, f"Content-Type {given[:64]!r} is not understood; send application/json")


def _check_accept(request: Request) -> None:
    """Refuse who takes no JSON: there is nothing else to give [RFC 9110 15.5.7]."""
    given = request.headers.get("accept", "")
    ranges = {part.partition(";")[0].strip().lower() for part in given.split(",") if part.strip()}
    if ranges and not any(name in _JSON_RANGES or name.endswith("+json") for name in ranges):
        raise Problem(406, f"Accept {given[:64]!r} takes nothing this platform has; send application/json or */*")


class PlatformRoute(APIRoute):
    """A route with the rules of all MEC APIs: admission, known query names, JSON bodies, durable before answered."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler with the rules around it."""
        handle = super().get_route_handler()
        known = _query_names(self.dependant)
        has_body = self.body_field is not None
        scope = next((str(tag) for tag in self.tags or ()), "")

        async def run(request: Request) -> Response:
            gate = cast(Gate, request.app.state.platform)
            gate.admit(request, scope)
            _check_length(request)
            _check_accept(request)
            _spell_query(request, known)
            check_query(Request(request.scope), known)
            if has_body and "content-type" not in request.headers:
                # A body without a media type is taken for JSON: many small clients send none.
                request.scope["headers"] = [*request.scope["headers"], (b"content-type", b"application/json")]
            own = PlatformRequest(request, gate.max_body_bytes)
            if has_body:
                _check_content_type(own)
                if await own.body():
                    await own.json()
            response = await handle(own)
            if request.method != "GET":
                await gate.settle()
            return response

        return run


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(body), status, headers, "application/json")


def created(body: dict[str, Any], location: str, headers: dict[str, str] | None = None) -> Response:
    """Return a 201 with its Location."""
    return answer(body, 201, {"Location": location, **(headers or {})})


def no_content() -> Response:
    """Return a 204."""
    return Response(status_code=204)


def entity_tag(representation: Any) -> str:
    """Return the strong entity tag of a representation."""
    digest = hashlib.sha256(orjson.dumps(representation, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f'"{digest[:24]}"'


def check_if_match(request: Request, representation: Any) -> None:
    """Refuse a conditional write to another version than the present one [MEC 009, conditional requests].

    Raises:
        PreconditionFailed: If-Match is there and names neither `*` nor the present entity tag.
    """
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return
    present = entity_tag(representation)
    if present not in re.findall(r'(?:W/)?"[^"]*"', given):
        raise PreconditionFailed(
            "If-Match names another version of this resource; GET it again and repeat with its ETag"
        )


def problem_response(request: HTTPConnection, problem: Problem) -> Response:
    """Return a Problem as `application/problem+json`."""
    details = {**problem_details(problem.status, problem.detail, request.url.path), **problem.members}
    return Response(orjson.dumps(details), problem.status, problem.headers, PROBLEM_TYPE)


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of the application a ProblemDetails."""

    async def on_problem(request: Request, error: Exception) -> Response:
        return problem_response(request, cast(Problem, error))

    async def on_validation(request: Request, error: Exception) -> Response:
        faults = cast(RequestValidationError, error).errors()
        return problem_response(request, BadRequest(explain(faults)))

    async def on_http(request: Request, error: Exception) -> Response:
        return problem_response(request, _from_http(request, cast(HTTPException, error)))

    async def on_anything(request: Request, error: Exception) -> Response:
        _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem_response(request, Problem(500, "the platform failed to serve this request; its log says why"))

    handlers: tuple[tuple[type[Exception], Callable[[Request, Exception], Awaitable[Response]]], ...] = (
        (Problem, on_problem),
        (RequestValidationError, on_validation),
        (HTTPException, on_http),
        (Exception, on_anything),
    )
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


def _from_http(request: Request, error: HTTPException) -> Problem:
    if error.status_code == 405:
        allowed = allowed_methods(request)
        return Problem(
            405, f"{request.method} is not supported here; use {', '.join(allowed)}", {"Allow": ", ".join(allowed)}
        )
    if error.status_code == 404:
        return Problem(404, f"no resource has the path {request.url.path[:200]}; see /openapi.json")
    return Problem(error.status_code, str(error.detail), error.headers)


def allowed_methods(request: Request) -> list[str]:
    """Return the methods of the resource the request names."""

    def serves(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in ("DELETE", "GET", "PATCH", "POST", "PUT") if serves(method)]
