"""What the shell offers after a tab: addresses at a running CSE, names of types. Never an error, never slow."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

#: a CSE that takes longer has nothing to offer, because somebody waits at the keyboard
_LIMIT_S = 1.5
_MOST = 200
_URL, _CSE_ID, _ORIGINATOR = "http://127.0.0.1:8080", "/id-in", "CAdmin"
_CSE_BASE = 5


def complete_address(ctx: Any, incomplete: str) -> list[str]:
    """Addresses at the CSE of the command line that begin like this: children of the last resource it names.

    Args:
        ctx: click's context, with the options that were typed so far.
        incomplete: what was typed of the address.
    """
    given = ctx.params
    at = str(given.get("cse") or _URL), str(given.get("cse_id") or _CSE_ID), str(given.get("originator") or _ORIGINATOR)
    with suppress(Exception):  # whatever is wrong is said when the command runs
        return asyncio.run(_offers(*at, incomplete))
    return []


async def _offers(url: str, cse_id: str, originator: str, incomplete: str) -> list[str]:
    from cse.client import Client

    async with (
        asyncio.timeout(_LIMIT_S),
        Client(url, cse_id=cse_id, originator=originator, timeout_s=_LIMIT_S) as client,
    ):
        parent, slash, _ = incomplete.rpartition("/")
        if not slash:
            offered = ["-", f"{await client.cse_name()}"]
        else:
            offered = [f"{parent}/{name}" for name in await _children(client, parent)]
    return sorted(address for address in offered if address.startswith(incomplete))


async def _children(client: Any, parent: str) -> list[str]:
    """Names of the children of a resource, and of the virtual ones; instances are left out, there may be millions."""
    from cse.resources.registry import load_registry

    registry = load_registry()
    kinds = [kind.number for kind in registry if not kind.is_instance]
    found = await client.discover(parent, types=kinds, level=1, limit=_MOST)
    kind = registry.get((await client.retrieve(parent))["ty"])
    virtual = sorted(kind.virtual) if kind is not None and kind.number != _CSE_BASE else []
    return [address.rpartition("/")[2] for address in found] + virtual


def complete_type(incomplete: str) -> list[str]:
    """Names of resource types that begin like this."""
    from cse.resources.registry import load_registry

    names = {kind.long_name for kind in load_registry()}
    return sorted(name for name in names if name.lower().startswith(incomplete.lower()))
