"""oneM2M primitives in HTTP messages and back, without sockets (TS-0009)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from cse.bindings.http_fields import CONTROL, REQUEST_FIELDS, RESPONSE_FIELDS, as_integer, field_text
from cse.bindings.http_status import HTTP_STATUS
from cse.bindings.http_url import path_of, request_url
from cse.bindings.media import (
    MEDIA_TYPES,
    SERIALISATIONS,
    choose_media_type,
    dump_body,
    load_body,
    parse_content_type,
    unsupported,
)
from cse.bindings.primitive_codec import Note, silent
from cse.bindings.query_codec import apply_query, split_query
from cse.onem2m.errors import BadRequest, CseError, OperationNotAllowed
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status

Headers = Sequence[tuple[bytes, bytes]]

_METHODS = {
    "GET": Operation.RETRIEVE,
    "POST": Operation.NOTIFY,
    "PUT": Operation.UPDATE,
    "DELETE": Operation.DELETE,
}
_METHOD_OF = {
    Operation.CREATE: "POST",
    Operation.RETRIEVE: "GET",
    Operation.UPDATE: "PUT",
    Operation.DELETE: "DELETE",
    Operation.NOTIFY: "POST",
}
_DEFAULT_TYPE = MEDIA_TYPES["json"]
ALLOW = b"GET, POST, PUT, DELETE"

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# What may be escaped in a path but must not come out of it: a slash, a fragment or query sign, control characters.
_REFUSED_ESCAPE = re.compile(rb"%(?:2[fF]|23|3[fF]|[01][0-9A-Fa-f]|7[fF])")
#: header fields read besides the X-M2M ones; Accept is read apart
_OTHER_FIELDS = frozenset((b"content-type", b"authorization", b"traceparent"))


# --- requests, taken in ------------------------------------------------------------------------------------------


def decode_request(
    method: str,
    path: bytes,
    query_string: bytes,
    headers: Headers,
    body: bytes,
    *,
    lenient: bool,
    root_path: str = "",
    note: Note = silent,
) -> Request:
    """The request primitive of an HTTP request (TS-0009 clause 6.2, 6.4, 6.5).

    Args:
        method: the method in capital letters.
        path: the path of the request target, still percent-encoded.
        query_string: what follows '?', still percent-encoded.
        headers: names in lower case, as ASGI has them, and values.
        body: the whole body.
        lenient: dialect tolerance is on.
        root_path: a path prefix that is no part of ``to``, e.g. "/onem2m".
        note: told of each dialect.

    Raises:
        CseError: the request is not well formed. ``request_id`` is set when X-M2M-RI could be read.
    """
    return decode_message(method, path, query_string, headers, body, lenient, root_path, note)[0]


def decode_message(
    method: str,
    path: bytes,
    query_string: bytes,
    headers: Headers,
    body: bytes,
    lenient: bool,
    root_path: str,
    note: Note = silent,
) -> tuple[Request, str]:
    """The request primitive of an HTTP request, and the media type its answer must have.

    That type is the originator's Accept, else what it sent, else JSON. The rest is as in ``decode_request``.

    Raises:
        CseError: the request is not well formed, or nothing of its Accept can be written.
    """
    try:
        head = decode_head(method, path, headers, root_path)
        request = head.request(head.request_id, query_string, body, lenient=lenient, note=note)
        return request, head.answer_type
    except CseError as error:
        error.request_id = readable_request_id(headers)
        raise


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What the head of a request says but for its query; the same for all requests with the same head.

    Attributes:
        operation: of the method; the content type may make a NOTIFY a CREATE.
        to: the address.
        originator: "" for none.
        request_id: never "".
        release: None when it is missing.
        content_type: as sent, "" for none.
        answer_type: the media type the answer must have.
        rare: names and values of the other header fields that are parameters.
    """

    operation: Operation
    to: str
    originator: str
    request_id: str
    release: str | None
    content_type: str
    answer_type: str
    rare: tuple[tuple[bytes, str], ...]

    def request(self, request_id: str, query_string: bytes, body: bytes, *, lenient: bool, note: Note) -> Request:
        """The request primitive with this head.

        Args:
            request_id: of this very request.
            query_string: see ``decode_request``.
            body: the whole body.
            lenient: dialect tolerance is on.
            note: told of each dialect.

        Raises:
            CseError: it is not well formed.
        """
        request = Request(self.operation, self.to, self.originator, request_id, release=self.release)
        if self.content_type or body:
            _set_content(request, self.content_type, body, lenient, note)
        if query_string:
            apply_query(split_query(field_text(query_string, "the query")), request, lenient=lenient, note=note)
        for name, value in self.rare:
            field, read = REQUEST_FIELDS[name]
            setattr(request, field, read(name, value))
        if self.release is None and lenient:
            note("no rvi")
        return request


def decode_head(method: str, path: bytes, headers: Headers, root_path: str) -> RequestHead:
    """What the head of an HTTP request says; the arguments are as in ``decode_request``.

    Raises:
        CseError: the head is not well formed, or nothing of its Accept can be written.
    """
    operation = _METHODS.get(method)
    if operation is None:
        raise OperationNotAllowed(f"the method {method} means nothing in oneM2M: send GET, POST, PUT or DELETE")
    fields = _read_fields(headers)
    request_id = fields.pop(b"x-m2m-ri", "")
    if not request_id:
        raise BadRequest("the header X-M2M-RI is missing: send a request identifier of your choice")
    originator = fields.pop(b"x-m2m-origin", "")
    release = fields.pop(b"x-m2m-rvi", None) or None
    content_type = fields.pop(b"content-type", "")
    answer_type = _answer_type(fields.pop(b"accept", ""), content_type)
    rare = tuple(field for field in fields.items() if field[0] in REQUEST_FIELDS)
    to = _decode_path(path, root_path)
    return RequestHead(operation, to, originator, request_id, release, content_type, answer_type, rare)


def _read_fields(headers: Headers) -> dict[bytes, str]:
    fields: dict[bytes, str] = {}
    for name, value in headers:
        if name[:6] == b"x-m2m-" or name in _OTHER_FIELDS:
            if name in fields:
                if name == b"traceparent":  # of two, neither counts [W3C Trace Context 3.2]
                    fields[name] = ""
                    continue
                raise BadRequest(f"the header {name.decode('ascii', 'replace')} stands twice: send it once")
            fields[name] = field_text(value, "a header").strip()
        elif name == b"accept":
            text = value.decode("ascii", "replace")
            fields[name] = f"{fields[name]},{text}" if name in fields else text
    return fields


def _answer_type(accept: str, content_type: str) -> str:
    default = MEDIA_TYPES[parse_content_type(content_type).serialisation or "json"] if content_type else _DEFAULT_TYPE
    return choose_media_type(accept, default) if accept else default


def readable_request_id(headers: Headers) -> str:
    """The request identifier in headers that may otherwise be malformed; "" when there is none, or more than one."""
    found = [value for name, value in headers if name == b"x-m2m-ri"]
    if len(found) == 1:
        with contextlib.suppress(CseError):
            return field_text(found[0], "X-M2M-RI").strip()
    return ""


@lru_cache(maxsize=4096)  # clients ask for the same few again and again
def _decode_path(path: bytes, root_path: str) -> str:
    """The ``to`` of a path (TS-0009 clause 6.2.3, table 6.2.3-1)."""
    if b"%" in path:
        if _BAD_ESCAPE.search(path) or _REFUSED_ESCAPE.search(path):
            raise BadRequest(f"the path {path!r} has an escape that no address may hold: send letters, digits, -._~")
        path = unquote_to_bytes(path)
    text = field_text(path, "the path")
    if root_path and (text == root_path or text.startswith(root_path + "/")):
        text = text[len(root_path) :]
    if "//" in text:
        raise BadRequest(f"the path {text!r} has an empty segment: take one of the slashes away")
    if text.startswith("/~/"):
        to = text[2:]
    elif text.startswith("/_/"):
        to = "/" + text[2:]
    else:
        to = text[1:]
    if not text.startswith("/") or to in ("", "/", "//", "~", "_"):
        raise BadRequest("the path names no resource: send e.g. /<CSE name>/<AE name>")
    return to


def _set_content(request: Request, content_type: str, body: bytes, lenient: bool, note: Note) -> None:
    kind = parse_content_type(content_type)
    if kind.resource_type is not None:
        request.resource_type = kind.resource_type
        if request.operation is Operation.NOTIFY:
            request.operation = Operation.CREATE
    serialisation = kind.serialisation
    if not serialisation:
        if not body and request.operation in (Operation.RETRIEVE, Operation.DELETE):
            return
        if content_type or not lenient:
            raise unsupported(kind.media_type)
        serialisation = "json"
        note("body without Content-Type")
    if not body:
        return
    content = load_body(serialisation, body)
    if not isinstance(content, dict):
        raise BadRequest('the body is not an object: send one object with one member, e.g. {"m2m:cnt": {}}')
    if request.operation is Operation.RETRIEVE:
        wanted = content.get("m2m:atrl")
        if len(content) == 1 and isinstance(wanted, list) and all(isinstance(name, str) for name in wanted):
            request.attribute_list = wanted
            return
    request.content = content


# --- responses, given out ----------------------------------------------------------------------------------------

_RSC_HEADER = {status: (b"X-M2M-RSC", b"%d" % status) for status in Status}
_CONTENT_TYPE_HEADER = {name: (b"Content-Type", name.encode()) for name in SERIALISATIONS}
_NO_BODY = (b"Content-Length", b"0")
_CARRIES_URI = frozenset((Status.CREATED, Status.ACCEPTED_NONBLOCKING_SYNC, Status.ACCEPTED_NONBLOCKING_ASYNC))
_HTTP_NO_CONTENT = 204

Encoded = tuple[int, list[tuple[bytes, bytes]], bytes]


def encode_response(response: Response, media_type: str = _DEFAULT_TYPE) -> Encoded:
    """Status, headers and body of the HTTP response that carries a response primitive (TS-0009 clause 6.3, 6.4).

    Args:
        response: what is to be told.
        media_type: a key of ``media.SERIALISATIONS``.
    """
    if response.silent:
        return _HTTP_NO_CONTENT, [], b""
    status = response.status
    headers = [_RSC_HEADER[status]]
    if response.request_id:
        headers.append((b"X-M2M-RI", _header_value(response.request_id)))
    if response.release is not None:
        headers.append((b"X-M2M-RVI", _header_value(response.release)))
    if response.originating_time is not None:
        headers.append((b"X-M2M-OT", _header_value(response.originating_time)))
    if response.vendor is not None:
        headers.append((b"X-M2M-VSI", _header_value(response.vendor)))
    _append_rare(headers, response)
    content = response.content
    if content is None:
        headers.append(_NO_BODY)
        return HTTP_STATUS[status], headers, b""
    if status in _CARRIES_URI:
        _append_location(headers, content)
    body = dump_body(SERIALISATIONS[media_type], content)
    headers.append(_CONTENT_TYPE_HEADER[media_type])
    headers.append((b"Content-Length", b"%d" % len(body)))
    return HTTP_STATUS[status], headers, body


def _append_rare(headers: list[tuple[bytes, bytes]], response: Response) -> None:
    if response.result_expiration is not None:
        headers.append((b"X-M2M-RST", _header_value(response.result_expiration)))
    if response.event_category is not None:
        headers.append((b"X-M2M-EC", _header_value(response.event_category)))
    if response.content_status is not None:
        headers.append((b"X-M2M-CTS", _header_value(response.content_status)))
    if response.content_offset is not None:
        headers.append((b"X-M2M-CTO", _header_value(response.content_offset)))
    if response.assigned_tokens:
        pairs = [f"{token.get('lti', '')}:{token.get('tkid', '')}" for token in response.assigned_tokens]
        headers.append((b"X-M2M-ATI", _header_value("+".join(pairs))))


def _append_location(headers: list[tuple[bytes, bytes]], content: Any) -> None:
    if not isinstance(content, dict):
        return
    uri = content.get("m2m:uri")
    if uri is None and isinstance(content.get("m2m:rce"), dict):
        uri = content["m2m:rce"].get("uri")
    if isinstance(uri, str) and uri:
        headers.append((b"Content-Location", path_of(uri).encode()))


def _header_value(value: object) -> bytes:
    # Values may have come over another binding: what cannot stand in a header must not end it either.
    text = str(value)
    return (text if text.isprintable() else CONTROL.sub(" ", text)).encode("utf-8", "replace")


def encode_error(error: CseError, headers: Headers, method: str = "") -> Encoded:
    """The HTTP response to a request that could not be decoded or served.

    Args:
        error: says what was wrong; its ``request_id`` is told when it is known.
        headers: of the request: where X-M2M-RVI and Accept are looked up once more.
        method: of the request, to tell the allowed ones when this one is not.
    """
    release = accept = content_type = ""
    for name, value in headers:
        text = value.decode("utf-8", "replace").strip()
        if name == b"x-m2m-rvi":
            release = text
        elif name == b"accept":
            accept = f"{accept},{text}" if accept else text
        elif name == b"content-type":
            content_type = text
    media_type = _DEFAULT_TYPE
    with contextlib.suppress(CseError):
        media_type = _answer_type(accept, content_type)
    response = Response(
        error.status,
        request_id=error.request_id,
        content={"m2m:dbg": error.debug},
        release=release or None,
    )
    status, answer, body = encode_response(response, media_type)
    if method not in _METHODS and method:
        answer.append((b"Allow", ALLOW))
    return status, answer, body


# --- the client's side -------------------------------------------------------------------------------------------


def encode_request(
    request: Request, url: str, *, exact_url: bool, serialisation: str = "json"
) -> tuple[str, str, list[tuple[str, str]], bytes]:
    """Method, URL, headers and body of the HTTP request that carries a request primitive.

    Args:
        request: the primitive.
        url: a point of access or a notification URL, without ``ct``.
        exact_url: send to ``url`` as it is; otherwise ``to`` and the request parameters are appended.
        serialisation: ``json`` or ``cbor``.

    Raises:
        BadRequest: a value that no header can hold.
    """
    headers = [("X-M2M-RI", _sendable("rqi", request.request_id))]
    if request.originator:
        headers.insert(0, ("X-M2M-Origin", _sendable("fr", request.originator)))
    if request.release is not None:
        headers.append(("X-M2M-RVI", _sendable("rvi", request.release)))
    for name, (field, _) in REQUEST_FIELDS.items():
        value = getattr(request, field)
        if value is not None:
            headers.append((name.decode().upper(), _sendable(field, _joined(field, value))))
    body = b""
    media_type = MEDIA_TYPES[serialisation]
    if request.content is not None:
        body = dump_body(serialisation, request.content)
    if request.operation is Operation.CREATE:
        headers.append(("Content-Type", f"{media_type};ty={request.resource_type}"))
    elif body:
        headers.append(("Content-Type", media_type))
    if not exact_url:
        headers.append(("Accept", media_type))
        url = request_url(request, url)
    return _METHOD_OF[request.operation], url, headers, body


def _joined(field: str, value: Any) -> str:
    if isinstance(value, list):
        return ("&" if field == "response_targets" else "+").join(map(str, value))
    return str(value)


def _sendable(name: str, value: str) -> str:
    if CONTROL.search(value):
        raise BadRequest(f"{name} {value!r} holds a control character, which an HTTP header cannot carry")
    return value


def decode_response(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Response:
    """The response primitive of an HTTP response.

    Args:
        status: the HTTP status, for the error message only: the response status code is a header.
        headers: names in any case, and values.
        body: the whole body.

    Raises:
        BadRequest: no X-M2M-RSC, a field or a body that is malformed.
    """
    rsc: int | None = None
    content_type = ""
    found: dict[str, Any] = {}
    for name, value in headers:
        name = name.lower()
        if name == b"x-m2m-rsc":
            rsc = as_integer(name, field_text(value, "a header").strip())
        elif name == b"content-type":
            content_type = field_text(value, "a header")
        elif name in RESPONSE_FIELDS:
            field, read = RESPONSE_FIELDS[name]
            found[field] = read(name, field_text(value, "a header").strip())
    if rsc is None:
        raise BadRequest(f"the answer is HTTP {status} without X-M2M-RSC, which is no oneM2M response")
    response = Response(known_status(rsc), **found)
    if body:
        kind = parse_content_type(content_type or MEDIA_TYPES["json"])
        if kind.serialisation:
            response.content = load_body(kind.serialisation, body)
        elif response.status.is_success:
            raise unsupported(kind.media_type)
    return response


def known_status(rsc: int) -> Status:
    """The status of a number somebody else sent; a number not in the list stands for the general one of its class."""
    if rsc in _NUMBERS:
        return Status(rsc)
    general = {1: Status.ACCEPTED, 2: Status.OK, 4: Status.BAD_REQUEST}
    return general.get(rsc // 1000, Status.INTERNAL_SERVER_ERROR)


_NUMBERS = frozenset(int(status) for status in Status)
