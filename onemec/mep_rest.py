"""One request to the management or standard APIs of a running MEC platform, for the commands below ``onemec mep``."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from onemec.process import fail
from onemec.settings import USAGE, option

DEFAULT_URL = "http://127.0.0.1:8090"
_TIMEOUT_S = 10.0
_MAX_DETAIL = 500

Mep = Annotated[str, typer.Option("--mep", envvar="ONEMEC_MEP_URL", show_envvar=True, help="URL of the MEC platform.")]
Token = Annotated[
    str, typer.Option("--token", envvar="ONEMEC_MEP_ADMIN_TOKEN", show_envvar=True, help="The operator's token.")
]
AsJson = Annotated[bool, option("--json", help="Print JSON.")]


async def call(
    mep: str, token: str, method: str, path: str, body: Any = None, form: dict[str, str] | None = None
) -> Any:
    """Return the decoded answer to one request, None for an empty one; anything but success ends the process.

    Args:
        mep: URL of the platform.
        token: bearer token; empty sends none.
        method: HTTP method.
        path: below the URL, or a whole URL.
        body: sent as JSON.
        form: sent as a form instead.

    Raises:
        SystemExit: after one line that says why.
    """
    import aiohttp  # takes a while to import, --help should not

    root = mep.rstrip("/")
    if urlsplit(root).scheme not in ("http", "https"):
        fail(f"--mep {mep!r}: give its URL, e.g. {DEFAULT_URL}", USAGE)
    url = path if "://" in path else root + path
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=body, data=form, headers=headers) as answer,
        ):
            raw, status, reason = await answer.read(), answer.status, answer.reason
    except TimeoutError:
        fail(f"the MEC platform at {root} gave no answer in {_TIMEOUT_S:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        fail(f"no MEC platform at {root}: {error}; start it with onemec mep, or give --mep")
    try:
        decoded = json.loads(raw) if raw else None
    except ValueError:
        decoded = None
    if status >= 400:
        detail = str(decoded.get("detail") or "") if isinstance(decoded, dict) else ""
        if status == 401:
            detail += "; give the operator's token with --token or ONEMEC_MEP_ADMIN_TOKEN"
        fail(f"the MEC platform says {status} {reason}: {detail.lstrip('; ')[:_MAX_DETAIL]}")
    if raw and not isinstance(decoded, dict | list):
        fail(f"{url} did not answer as a MEC platform of onemec does: see --mep")
    return decoded
