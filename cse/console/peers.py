"""What the neighbours of the CSE say of themselves, asked by the CSE: a page asks its own origin only (ADR 0028).

Only addresses that the operator configured are asked, only with GET, only for the paths named here, without redirects,
and answers are bounded in size and in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import aiohttp

#: what each neighbour is asked for, by path; None: any answer says that it is there
PATHS: Mapping[str, tuple[str, ...]] = {"adapter": ("/status", "/platform"), "cloud": ("/health",)}
#: neighbours of whom only the status of the answer counts
_ONLY_THERE = frozenset({"cloud"})
_ANSWER_BYTES = 2 * 1024 * 1024
_TIMEOUT_S = 4.0
_CONNECT_S = 2.0


@dataclass(frozen=True, slots=True)
class Word:
    """The last word of a neighbour.

    Attributes:
        state: ``up``, ``down``, or ``off`` when there is none.
        trouble: why it is down, "" when it is not.
        said: its answers by path.
    """

    state: str = "off"
    trouble: str = ""
    said: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Peers:
    """Asks the neighbours.

    Args:
        addresses: base URLs by the names in ``PATHS``.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = {name: url.rstrip("/") for name, url in addresses.items() if name in PATHS and url}
        self._session: aiohttp.ClientSession | None = None

    def address(self, name: str) -> str:
        """Where a neighbour is, "" when there is none."""
        return self._addresses.get(name, "")

    async def ask(self) -> dict[str, Word]:
        """The word of every neighbour; those that there are none of are ``off``."""
        words = await asyncio.gather(*(self._ask(name) for name in PATHS))
        return dict(zip(PATHS, words, strict=True))

    async def close(self) -> None:
        """Close idle connections; asking again opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, name: str) -> Word:
        base = self.address(name)
        if not base:
            return Word()
        said: dict[str, Mapping[str, Any]] = {}
        await asyncio.to_thread(_load)  # most CSEs have nobody who looks, and need no HTTP client for it
        import aiohttp

        try:
            for path in PATHS[name]:
                said[path] = await self._get(f"{base}{path}", read=name not in _ONLY_THERE)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Word("down", _reason(error), said)
        return Word("up", "", said)

    async def _get(self, url: str, *, read: bool) -> Mapping[str, Any]:
        """The object at an address, {} when it has no such page.

        Raises:
            ClientError: no answer.
            OSError: no connection.
            TimeoutError: no answer in time.
            ValueError: the answer is too large, or no object.
        """
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=_CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        async with self._session.get(url, allow_redirects=False) as answer:
            if not read or answer.status == 404:
                return {}
            if answer.status != 200:
                raise ValueError(f"it answers {answer.status}")
            raw = bytearray()
            async for piece in answer.content.iter_chunked(1 << 16):
                raw += piece
                if len(raw) > _ANSWER_BYTES:
                    raise ValueError(f"its answer is larger than {_ANSWER_BYTES} bytes")
        value = orjson.loads(bytes(raw))
        if not isinstance(value, dict):
            raise ValueError("its answer is no object")
        return value


def _load() -> None:
    import aiohttp  # noqa: F401 - what is asked for is its loading


def _reason(error: Exception) -> str:
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({error.os_error.strerror or error.os_error})"
    if isinstance(error, TimeoutError):
        return f"no answer in {_TIMEOUT_S:g} s"
    if isinstance(error, orjson.JSONDecodeError):
        return "its answer is no JSON"
    return str(error) or type(error).__name__


__all__ = ["PATHS", "Peers", "Word"]
