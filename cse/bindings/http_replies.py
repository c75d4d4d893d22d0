"""What the answers of other HTTP servers are worth to the sending side (TS-0009 clause 6.3)."""

from __future__ import annotations

from collections.abc import Iterable

from cse.bindings.http_codec import decode_response
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.ports import Send

_NOTIFICATION_REPLY_BYTES = 64 * 1024
_MCC_REPLY_BYTES = 8 * 1024 * 1024


def reply_limit_bytes(send: Send) -> int:
    """The largest body of an answer to this."""
    return _NOTIFICATION_REPLY_BYTES if send.exact_url else _MCC_REPLY_BYTES


def response_of(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, send: Send) -> Response:
    """The response primitive of an HTTP answer.

    A 2xx status without X-M2M-RSC counts as OK for exact URLs, whose receivers need not speak oneM2M.

    Raises:
        BadRequest: it is no oneM2M response, or one to another request.
    """
    headers = tuple(headers)
    speaks_onem2m = any(name.lower() == b"x-m2m-rsc" for name, _ in headers)
    request_id = send.request.request_id
    if not speaks_onem2m and 200 <= status < 300 and (send.exact_url or status == 204):
        return Response(Status.OK, request_id=request_id, silent=status == 204)
    response = decode_response(status, headers, body)
    if not send.exact_url and response.request_id not in ("", request_id):
        raise BadRequest(f"the answer is for the request {response.request_id!r}, not for {request_id!r}")
    response.request_id = request_id
    return response


def shown_url(url: str) -> str:
    """A URL for a log: without user, password and query, which may hold secrets."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}".partition("?")[0]
