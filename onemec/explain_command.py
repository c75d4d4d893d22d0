"""``onemec explain``: which policy and rule decide whether somebody may do something, or what else decides."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from onemec.process import tell
from onemec.resources_command import URL, Cse, Json, To, type_of
from onemec.status_pages import read_page


def explain(
    originator: Annotated[str, typer.Argument(help="Who: an AE-ID or CSE-ID.")],
    operation: Annotated[str, typer.Argument(help="CREATE, RETRIEVE, UPDATE, DELETE, NOTIFY or DISCOVERY.")],
    to: To,
    child: Annotated[str | None, typer.Option(help="For CREATE: the type of the new child, e.g. container.")] = None,
    address: Annotated[str, typer.Option(help="IP address it would come from, for rules that ask.")] = "",
    role: Annotated[str, typer.Option(help="Role-IDs it would claim (rids), with commas between them.")] = "",
    cse: Cse = URL,
    token: Annotated[
        str, typer.Option(help="Token of an administrator, where there are credentials.", envvar="ONEMEC_TOKEN")
    ] = "",
    as_json: Json = False,
) -> None:
    """Say why somebody may or may not do something. Exit code 0: granted, 4: denied.

    Examples: onemec explain CViewer UPDATE cse-edge/lamp;
    onemec acp explain CViewer CREATE -/lamp --child container
    """
    query: dict[str, Any] = {"originator": originator, "operation": operation, "to": to}
    query |= {"address": address, "role": role}
    if child is not None:
        query["child"] = type_of(child)[0]
    page = asyncio.run(read_page(cse, "explain", query, token))
    if as_json:
        print(json.dumps(page, indent=2))
    else:
        verdict = "may" if page["granted"] else "may not"
        tell(f"{originator} {verdict} {operation.upper()} {to}: {page['because']}")
        if page["ruledBy"] != to:
            tell(f"  decided at {page['ruledBy']}")
        for rule in page["rules"]:
            tell(f"  {'grants' if rule['grants'] else '-':<7} {rule['policy']} rule {rule['number']}: {rule['reason']}")
    if not page["granted"]:
        raise typer.Exit(4)
