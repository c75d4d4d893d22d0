"""OAuth2 client credentials: one token for everybody, renewed once for everybody [MEC 009 6.16; RFC 6749 4.4]."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp

from mec_adapter.mp1.errors import Mp1Problem, Mp1Unreachable, problem

_EARLY_S = 30.0
_DEFAULT_LIFETIME_S = 300.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves who we are to a token endpoint; the secret never shows in a repr.

    Attributes:
        token_url: the token endpoint.
        client_id: OAuth2 client id.
        client_secret: its secret.
        scope: scopes asked for, separated by spaces; "" asks for all that are granted.
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""


class TokenSource:
    """Gives the current access token; concurrent callers share one request to the token endpoint."""

    def __init__(
        self,
        credentials: Credentials,
        session: aiohttp.ClientSession,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._session = session
        self._timeout_s = timeout_s
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def token(self, refused: str = "") -> str:
        """An access token.

        Args:
            refused: the token that was just answered with 401; another one is fetched if it is still the current one.

        Raises:
            Mp1Unreachable: the token endpoint does not answer.
            Mp1Problem: it refuses the credentials.
        """
        async with self._lock:
            if self._token and self._token != refused and self._clock() < self._renew_at:
                return self._token
            self._token = await self._fetch()
            return self._token

    async def _fetch(self) -> str:
        form = {"grant_type": "client_credentials"}
        if self._credentials.scope:
            form["scope"] = self._credentials.scope
        pair = f"{quote(self._credentials.client_id, safe='')}:{quote(self._credentials.client_secret, safe='')}"
        headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        url = self._credentials.token_url
        try:
            async with self._session.post(
                url, data=form, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                raw = await answer.read()
                try:
                    body = await answer.json(content_type=None) if raw else None
                except ValueError:
                    body = None
                if answer.status != 200 or not isinstance(body, dict) or not body.get("access_token"):
                    error = problem(answer.status, answer.reason or "", body, answer.headers.get("Retry-After"))
                    raise Mp1Problem(error.status, f"no token from {url}: {error.detail}", error.retry_after_s)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Mp1Unreachable(f"token endpoint {url} does not answer ({type(error).__name__})") from error
        lifetime = body.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, int | float) else _DEFAULT_LIFETIME_S
        self._renew_at = self._clock() + max(1.0, seconds - _EARLY_S)
        return str(body["access_token"])
