"""Heads of HTTP requests that come again: a client sends the same one each time, but for the request identifier.

Parsing a head and making a primitive of it is a third of what a short request costs. So heads are remembered as they
came, without the value of X-M2M-RI. Whatever is byte for byte the same around another plain value there means the
same; everything else goes through the parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from cse.bindings.http_message import HttpMessage

_NAME = b"\r\nX-M2M-RI: "
_END = b"\r\n\r\n"
#: a request identifier that can mean nothing else to a parser, and makes no head too long
_PLAIN = re.compile(rb"[!-~]{1,64}")
#: a thousand devices with a container each have as many heads; fewer places than that would be learned in vain
REMEMBERED = 2048
_LONGEST_BYTES = 2048
#: a head with one of these does more than ask
_NEVER = frozenset((b"expect", b"upgrade", b"connection", b"transfer-encoding"))


@dataclass(slots=True)
class Head:
    """A head that came before.

    Attributes:
        like: a request that had it, without its body.
        at: where X-M2M-RI is among its header fields.
        body_bytes: how long a body it announces.
        decoded: what the application made of it; for what is ``is_direct`` only.
    """

    like: HttpMessage
    at: int
    body_bytes: int
    decoded: Any = None

    def request_id(self, message: HttpMessage) -> str:
        """That of a request with this head."""
        return message.headers[self.at][1].decode("ascii")


class Heads:
    """The heads a server remembers; those that came first are forgotten first."""

    def __init__(self) -> None:
        self._heads: dict[tuple[bytes, bytes], Head] = {}

    def message(self, data: bytes, peer: tuple[str, int] | None, credential: str) -> HttpMessage | None:
        """The request that some bytes are, when they are exactly one and its head came before; else None.

        Args:
            data: the bytes, from where a request begins.
            peer: see ``HttpMessage``.
            credential: see ``HttpMessage``.
        """
        begin = data.find(_NAME)
        if begin < 0:
            return None
        value = begin + len(_NAME)
        end = data.find(b"\r\n", value)
        over = data.find(_END, end)
        head = self._heads.get((data[:begin], data[end:over]))
        if head is None or over < 0:
            return None
        like = head.like
        body = data[over + 4 :]
        request_id = data[value:end]
        if len(body) != head.body_bytes or not _PLAIN.fullmatch(request_id):
            return None
        headers = like.headers.copy()
        headers[head.at] = (b"x-m2m-ri", request_id)
        return HttpMessage(
            like.method, like.path, like.query, headers, body, peer, credential, True, like.version, head
        )

    def learn(self, data: bytes, message: HttpMessage) -> None:
        """Remember the head of a request that the parser took from just these bytes.

        Args:
            data: what came, in one piece.
            message: what the parser made of it.
        """
        begin = data.find(_NAME)
        over = data.find(_END)
        if not 0 < begin < over <= _LONGEST_BYTES or not message.keep_alive or data[over + 4 :] != message.body:
            return
        value = begin + len(_NAME)
        end = data.find(b"\r\n", value)
        names = [name for name, _ in message.headers]
        if names.count(b"x-m2m-ri") != 1 or not _NEVER.isdisjoint(names) or not _PLAIN.fullmatch(data[value:end]):
            return
        at = names.index(b"x-m2m-ri")
        if message.headers[at][1] != data[value:end]:
            return
        while len(self._heads) >= REMEMBERED:
            del self._heads[next(iter(self._heads))]
        like = replace(message, headers=message.headers.copy(), body=b"", peer=None, credential="")
        self._heads[data[:begin], data[end:over]] = Head(like, at, len(message.body))
