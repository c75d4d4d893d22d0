"""How commands read the pages a CSE has for its operator (``/_onemec/...``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from onemec.process import fail

if TYPE_CHECKING:
    import aiohttp


def bearer(token: str) -> dict[str, str]:
    """The header that proves an administrator; none without a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


async def read_page(cse: str, name: str, query: dict[str, Any], token: str) -> dict[str, Any]:
    """Ask once, and return what the page shows.

    Args:
        cse: HTTP URL of the CSE.
        name: of the page, e.g. ``explain``.
        query: its parameters.
        token: of an administrator, "" for none.

    Exits the process, with one line, when nobody answers or the answer is no.
    """
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=15, sock_connect=5)
    async with aiohttp.ClientSession(headers=bearer(token), timeout=timeout) as session:
        return await read(session, f"{cse.rstrip('/')}/_onemec/{name}", query)


async def read(session: aiohttp.ClientSession, url: str, query: dict[str, Any]) -> dict[str, Any]:
    """Ask with a session that is open, and return what the page shows.

    Exits the process, with one line, when nobody answers or the answer is no.
    """
    import aiohttp

    try:
        async with session.get(url, params=query, allow_redirects=False) as answer:
            text = await answer.text()
            if answer.status == 200:
                page: dict[str, Any] = json.loads(text)
                return page
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        fail(f"no CSE answers at {url}: start it or give another URL with --cse ({str(error) or type(error).__name__})")
    except ValueError:
        fail(f"{url} answers, but not as a CSE of onemec does")
    try:
        reason = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        reason = f"it answers {answer.status}: is this the HTTP port of a CSE of onemec?"
    return fail(f"{url}: {reason}")
