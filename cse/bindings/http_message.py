"""An HTTP request that has come whole, what answers it, and the bytes of an answer (RFC 9110, 9112)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from cse.ports import Cancellable

if TYPE_CHECKING:
    from cse.bindings.http_heads import Head

Header = tuple[bytes, bytes]
#: takes status, header fields and body of the answer; called once
Reply = Callable[[int, Iterable[Header], bytes], None]

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_CLOSE = b"Connection: close\r\n"


@dataclass(slots=True)
class HttpMessage:
    """A request.

    Attributes:
        method: in capital letters.
        path: of the request target, percent-encoded.
        query: what follows its '?', percent-encoded.
        headers: names in small letters, and values.
        body: all of it.
        peer: address and port of the peer; None when its socket has none.
        credential: the entity that a TLS client certificate proves, "" without one.
        keep_alive: another request may follow on the connection.
        version: of HTTP, e.g. "1.1".
        head: the same one that came before; None when it did not.
    """

    method: str
    path: bytes
    query: bytes
    headers: list[Header]
    body: bytes
    peer: tuple[str, int] | None = None
    credential: str = ""
    keep_alive: bool = True
    version: str = "1.1"
    head: Head | None = None


class Application(Protocol):
    """What answers the requests of a connection."""

    def is_direct(self, message: HttpMessage) -> bool:
        """Whether ``answer`` answers this; otherwise it is called as an ASGI application."""
        ...

    def answer(self, message: HttpMessage, reply: Reply) -> Cancellable | None:
        """Answer a request by calling ``reply`` once, maybe at once.

        Returns:
            Work that has to end before the request takes effect, and may be cancelled instead of answering. None when
            it has taken effect: what begins later comes after it.
        """
        ...

    def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
        /,
    ) -> Awaitable[None]:
        """Answer a request (ASGI 3)."""
        ...


@lru_cache(maxsize=2)
def _date(now_s: int) -> bytes:
    """The header field Date (RFC 9110 clause 6.6.1): the answers of one second share it."""
    return b"Date: %b\r\n" % formatdate(now_s, usegmt=True).encode()


def response_bytes(status: int, headers: Iterable[Header], body: bytes, *, close: bool, has_body: bool) -> bytes:
    """A whole answer.

    Args:
        status: of HTTP.
        headers: header fields, Content-Length among them when there is a body.
        body: may be empty.
        close: say that the connection ends with it.
        has_body: false for the answer to HEAD, which has the header fields only.

    Raises:
        ValueError: a header field would end its line.
    """
    lines = [b": ".join(field) for field in headers]
    head = b"\r\n".join(lines)
    if lines and (head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1):
        raise ValueError("a header field holds a line break")
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    end = b"\r\n\r\n" if lines else b"\r\n"
    return b"".join((line, _date(int(time.time())), _CLOSE if close else b"", head, end, body if has_body else b""))
