"""``onemec deliveries``: what a CSE sent, to whom, what came of it and why, as its delivery log has it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any

import typer

from onemec.process import tell
from onemec.status_pages import bearer, read

_WAIT_S = 20
_COLUMNS = 44


def deliveries(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on each line.")] = False,
    target: Annotated[
        str, typer.Option(help="Only targets with this text in their URL or identifier, or of this subscription.")
    ] = "",
    dead: Annotated[
        bool, typer.Option("--dead", help="Notifications that were given up or refused, with what they said.")
    ] = False,
    last: Annotated[int, typer.Option(min=0, help="The newest so many.")] = 50,
    cse: Annotated[str, typer.Option("--cse", help="HTTP URL of the CSE.", envvar="ONEMEC_CSE")] = (
        "http://127.0.0.1:8080"
    ),
    token: Annotated[
        str, typer.Option(help="Token of an administrator, where there are credentials.", envvar="ONEMEC_TOKEN")
    ] = "",
) -> None:
    """Show what a CSE sent: each attempt with its target, result and reason.

    Results: delivered, failed (tried again), refused, given up, kept (pendingNotification), dropped, superseded.

    Examples: onemec deliveries --target 127.0.0.1:9000; onemec deliveries --dead; onemec deliveries --follow --json
    """
    if follow and dead:
        raise typer.BadParameter("--dead shows what is there: use it without --follow")
    try:
        asyncio.run(_show(cse.rstrip("/"), token, target, last, follow=follow, as_json=as_json, dead=dead))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _show(cse: str, token: str, target: str, last: int, *, follow: bool, as_json: bool, dead: bool) -> None:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_WAIT_S + 15, sock_connect=5)
    since, told = 0, False
    async with aiohttp.ClientSession(headers=bearer(token), timeout=timeout) as session:
        while True:
            query: dict[str, Any] = {"target": target, "dead": int(dead)}
            query |= {"since": since, "wait": _WAIT_S} if told else {"most": last}
            page = await read(session, f"{cse}/_onemec/deliveries", query)
            for record in page["records"]:
                tell(json.dumps(record) if as_json else _line(record))
                if dead and not as_json:
                    tell(f"    {json.dumps(record['content'])}")
            # A CSE that started again counts from the beginning.
            since, told = page["last"], True
            if not follow:
                break
    if not as_json:
        counts = page["counts"]
        tell(", ".join(f"{number} {name}" for name, number in counts.items()))


def _line(record: dict[str, Any]) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(record["at"])) + f".{int(record['at'] * 1000) % 1000:03}"
    attempt = f" try {record['attempt']}" if record["attempt"] > 1 else ""
    rsc = f" {record['rsc']}" if record["rsc"] else ""
    reason = f"  {record['reason']}" if record["reason"] else ""
    took = f"{record['milliseconds']:>8.1f} ms{rsc}{attempt}"
    return f"{at} {record['result']:<10} {_whom(record):<{_COLUMNS}} {took}{reason}"


def _whom(record: dict[str, Any]) -> str:
    receiver = record["receiver"]
    return f"{receiver} {record['target']}" if receiver and receiver != record["target"] else record["target"]
