"""The sending side of the HTTP binding over aiohttp: all URLs, TLS, any server (TS-0009; ADR 0002)."""

from __future__ import annotations

import socket
import ssl

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

from cse.bindings.http_codec import encode_request
from cse.bindings.http_replies import reply_limit_bytes, response_of, shown_url
from cse.bindings.http_url import split_url
from cse.bindings.outbound import Guard, Refused
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Response
from cse.ports import Send, Unreachable

_CONNECT_TIMEOUT_S = 2.0


class HttpSender:
    """Sends requests to HTTP URLs over connections that are kept open (port: ``cse.ports.Sender``).

    Args:
        tls: verifies ``https`` targets; None for the system's certificates.
        connections_per_host: most connections to one host.
        connections: most connections in all.
        guard: decides where connections may go; None lets all pass.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        connections_per_host: int = 8,
        connections: int = 100,
        guard: Guard | None = None,
    ) -> None:
        self._tls = tls
        self._guard = guard
        self._connections_per_host = connections_per_host
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, send: Send) -> Response:
        """Send a request to a URL and return the answer.

        A 2xxx HTTP status without X-M2M-RSC counts as OK for exact URLs, whose receivers need not speak oneM2M.

        Raises:
            Unreachable: no connection, no answer in ``send.timeout_s``, or an answer that is no oneM2M response.
        """
        target, asked_for = split_url(url)
        try:
            method, full_url, headers, body = encode_request(
                send.request, target, exact_url=send.exact_url, serialisation=asked_for or send.serialisation
            )
            parsed = URL(full_url, encoded=True)
            async with self._open_session().request(
                method,
                parsed,
                headers=CIMultiDict(headers),
                data=body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=send.timeout_s, sock_connect=_CONNECT_TIMEOUT_S),
            ) as answer:
                limit_bytes = reply_limit_bytes(send)
                reply = await _read(answer, limit_bytes)
                return response_of(answer.status, answer.raw_headers, reply, send)
        except CseError as error:
            raise Unreachable(f"{shown_url(target)}: {error.debug}") from error
        except TimeoutError as error:
            raise Unreachable(f"{shown_url(target)}: no answer in {send.timeout_s:g} s") from error
        except Refused as error:
            raise Unreachable(f"{shown_url(target)}: {error}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"{shown_url(target)}: {_reason(error)}") from error

    async def close(self) -> None:
        """Close idle connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Made at the first sending, because aiohttp wants the running loop.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections,
                    limit_per_host=self._connections_per_host,
                    ssl=self._tls if self._tls is not None else True,
                    resolver=None if self._guard is None else _GuardedResolver(self._guard),
                    socket_factory=None if self._guard is None else self._guard.socket,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                skip_auto_headers=("Content-Type", "Accept-Encoding"),
            )
        return self._session


class _GuardedResolver(AbstractResolver):
    """aiohttp's view of a guard: names become addresses that may be connected to."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The allowed addresses of a name."""
        return [
            ResolveResult(
                hostname=host,
                host=text,
                port=port,
                family=socket.AF_INET6 if ":" in text else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for text in await self._guard.addresses(host, port)
        ]

    async def close(self) -> None:
        """Nothing is kept open."""


async def _read(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The body of an answer.

    Raises:
        Unreachable: it is larger than ``limit_bytes``.
    """
    pieces = []
    size_bytes = 0
    async for piece in answer.content.iter_any():
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            answer.close()
            raise Unreachable(f"{shown_url(str(answer.url))}: the answer is larger than {limit_bytes} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    """What went wrong, in words for the delivery log."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return f"the TLS certificate or handshake is refused ({error})"
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, Refused):
            return str(error.os_error)
        return f"no connection ({error.os_error.strerror or error.os_error})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before an answer came"
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | ValueError):
        return "this is no URL a request can be sent to: give http://host[:port][/path]"
    return f"{type(error).__name__}: {error}"
