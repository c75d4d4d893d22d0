"""The sending side of the HTTP binding of a CSE: plain HTTP on lean connections, the rest over aiohttp (TS-0009).

Most notifications go to plain ``http`` URLs. aiohttp costs more for each than the CSE for the CREATE that causes it,
and waits for every answer before the next request leaves (ADR 0029).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from cse.bindings.http_codec import encode_request
from cse.bindings.http_lines import Answer, HttpOrigin
from cse.bindings.http_replies import reply_limit_bytes, response_of, shown_url
from cse.bindings.http_url import split_url
from cse.bindings.outbound import Guard
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Response
from cse.ports import Send, Sender, Unreachable

#: what a lean connection is good for; users, fragments and other letters are for aiohttp and its URL parser
_PLAIN = re.compile(r"http://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?(?:[/?][!-\"$-~]*)?", re.ASCII)
_SWEEP_S = 2.0


class LeanHttpSender:
    """Sends requests to HTTP URLs (port: ``cse.ports.Sender``).

    Args:
        other: sends to all URLs that are not plain ones.
        connections_per_host: most connections to one host.
        guard: decides where connections may go; None lets all pass.
    """

    def __init__(self, other: Sender, *, connections_per_host: int = 16, guard: Guard | None = None) -> None:
        self._other = other
        self._limit = connections_per_host
        self._guard = guard
        self._origins: dict[tuple[str, int], HttpOrigin] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def send(self, url: str, send: Send) -> Response:
        """Send a request to a URL and return the answer.

        Raises:
            Unreachable: no connection, no answer in ``send.timeout_s``, or an answer that is no oneM2M response.
        """
        target, _ = split_url(url)
        place = _place(target)
        if place is None:
            return await self._other.send(url, send)
        try:
            data = _message(url, send)
            answers = await self._origin(place).ask((data,), reply_limit_bytes(send), send.timeout_s)
            return _response(answers[0], send)
        except Unreachable as error:
            raise Unreachable(f"{shown_url(target)}: {error}") from error
        except CseError as error:
            raise Unreachable(f"{shown_url(target)}: {error.debug}") from error

    def takes_several(self, url: str) -> bool:
        """Whether the server at a URL has shown that several requests may be sent to it at once."""
        place = _place(split_url(url)[0])
        origin = self._origins.get(place) if place is not None else None
        return origin is not None and origin.takes_several

    async def send_several(self, url: str, sends: Sequence[Send]) -> list[Response | Unreachable]:
        """Send requests in order on one connection without waiting for each answer; gives what came of each.

        Args:
            url: for all of them; ``takes_several``.
            sends: at least one.

        Raises:
            Unreachable: nothing was sent.
        """
        target, _ = split_url(url)
        place = _place(target)
        if place is None:
            raise Unreachable(f"{shown_url(target)}: this is no plain URL")
        try:
            messages = [_message(url, send) for send in sends]
            answers = await self._origin(place).ask(messages, reply_limit_bytes(sends[0]), sends[0].timeout_s)
        except CseError as error:
            raise Unreachable(f"{shown_url(target)}: {error.debug}") from error
        outcomes: list[Response | Unreachable] = []
        for answer, send in zip(answers, sends, strict=True):
            try:
                outcomes.append(_response(answer, send))
            except Unreachable as error:
                outcomes.append(Unreachable(f"{shown_url(target)}: {error}"))
            except CseError as error:
                outcomes.append(Unreachable(f"{shown_url(target)}: {error.debug}"))
        return outcomes

    async def close(self) -> None:
        """Close idle connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for origin in self._origins.values():
            origin.close()
        self._origins.clear()
        await self._other.close()

    def _origin(self, place: tuple[str, int]) -> HttpOrigin:
        origin = self._origins.get(place)
        if origin is None:
            origin = self._origins[place] = HttpOrigin(*place, self._limit, self._guard)
            if self._sweeper is None:
                self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        return origin

    def _sweep(self) -> None:
        """Close what idles, forget hosts nobody sends to."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for place in [place for place, origin in self._origins.items() if origin.sweep(now_s)]:
            del self._origins[place]
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep) if self._origins else None


@lru_cache(maxsize=4096)
def _place(url: str) -> tuple[str, int] | None:
    """Host and port of a plain URL; None when it is another."""
    if not _PLAIN.fullmatch(url):
        return None
    parts = urlsplit(url)
    try:
        return (parts.hostname or "", parts.port or 80) if parts.port != 0 else None
    except ValueError:
        return None


def _message(url: str, send: Send) -> bytes:
    """The HTTP message of a request.

    Raises:
        BadRequest: a value that no header can hold.
    """
    target, asked_for = split_url(url)
    method, full_url, headers, body = encode_request(
        send.request, target, exact_url=send.exact_url, serialisation=asked_for or send.serialisation
    )
    _, _, rest = full_url.partition("://")
    authority, slash, path = rest.partition("/")
    if not slash and "?" in authority:
        authority, _, query = authority.partition("?")
        path = f"?{query}"
    lines = [f"{method} /{path} HTTP/1.1", f"Host: {authority}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _response(answer: Answer | Unreachable, send: Send) -> Response:
    """The response primitive of an answer.

    Raises:
        Unreachable: there was none.
        CseError: it is no oneM2M response.
    """
    if isinstance(answer, Unreachable):
        raise answer
    return response_of(answer.status, answer.headers, answer.body, send)
