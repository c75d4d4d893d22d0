"""``onemec mep federate``: two MEC platforms learn of each other, and find each other's services (MEC 040)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import typer

from onemec.mep_rest import DEFAULT_URL, AsJson, Mep, Token, call
from onemec.process import fail, tell
from onemec.settings import USAGE

_SCOPES = ["fed_enablement", "mec_service_mgmt"]
_SYSTEMS = "/fed_enablement/v1/fed_resources"

_EXAMPLES = """
Examples, with two platforms on one machine:

  onemec mep --insecure-dev --http 127.0.0.1:8090 --host-id site-1 --name site-1

  onemec mep --insecure-dev --http 127.0.0.1:8190 --host-id site-2 --name site-2

  onemec mep federate --mep http://127.0.0.1:8090 --with http://127.0.0.1:8190

It can be repeated: it then shows what each finds at the other now. Both URLs
have to be ones the platforms themselves reach each other at.
"""


@dataclass(frozen=True, slots=True)
class _Site:
    """A platform, the operator's token for it, and what it says of itself."""

    url: str
    operator: str
    system: dict[str, str]
    insecure: bool


def federate(
    with_: Annotated[str, typer.Option("--with", help="URL of the other MEC platform.")] = "",
    mep: Mep = DEFAULT_URL,
    token: Token = "",
    with_token: Annotated[
        str,
        typer.Option("--with-token", envvar="ONEMEC_MEP_WITH_TOKEN", show_envvar=True, help="The other's operator's."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make two platforms known to each other; prints the systems and services each finds at the other."""
    if not with_:
        fail("which other platform? give its URL, e.g. --with http://127.0.0.1:8190", USAGE)
    found = asyncio.run(_federate(mep, token, with_, with_token))
    if as_json:
        tell(json.dumps(found))
        return
    for entry in found:
        other = entry["finds"]
        services = other["services"]
        tell(
            f"{entry['system']['systemName']} finds {other['systemName']} by {other['systemProvider']} "
            f"({other['systemId']}), {len(services)} service{'' if len(services) == 1 else 's'}"
        )
        for info in services:
            endpoint = info["transportInfo"]["endpoint"]
            tell(f"  {info['serName']} {info['version']} {info['state']}  {json.dumps(next(iter(endpoint.values())))}")


federate.__doc__ = f"{federate.__doc__}\n{_EXAMPLES}"


async def _federate(mep: str, token: str, other: str, other_token: str) -> list[dict[str, Any]]:
    sites = (await _site(mep, token), await _site(other, other_token))
    if sites[0].system["systemId"] == sites[1].system["systemId"]:
        fail(f"{mep} and {other} say they are the same MEC system: start them with different --host-id")
    first, second = sites
    credentials = [await _client(here, there) for here, there in ((first, second), (second, first))]
    found = []
    # Each gets the credentials that the other one made for it.
    for here, there, granted, own in (
        (first, second, credentials[1], credentials[0]),
        (second, first, credentials[0], credentials[1]),
    ):
        body: dict[str, Any] = {
            "systemName": there.system["systemName"],
            "systemProvider": there.system["systemProvider"],
            "apiRoot": there.url,
        }
        if granted is not None:
            body["credentials"] = granted
        system_id = quote(there.system["systemId"], safe="")
        await call(here.url, here.operator, "PUT", f"/mep/v1/federation/{system_id}", body)
        access = await _token(here, own)
        systems = await call(here.url, access, "GET", f"{_SYSTEMS}/system_info?systemId={system_id}")
        services = await call(here.url, access, "GET", f"{_SYSTEMS}/systems/{system_id}/services")
        found.append({"mep": here.url, "system": here.system, "finds": {**systems[0], "services": services}})
    return found


async def _site(url: str, operator: str) -> _Site:
    status = await call(url, operator, "GET", "/mep/v1/status")
    try:
        return _Site(url.rstrip("/"), operator, status["system"], status["insecureDev"])
    except (KeyError, TypeError):
        fail(f"{url} did not answer as a MEC platform of onemec does: see onemec mep federate --help")


async def _client(here: _Site, there: _Site) -> dict[str, str] | None:
    """Make the credentials of another system at a platform, in place of those it had; None where none are needed."""
    if here.insecure:
        return None
    name = f"federation with {there.system['systemId']}"
    for client in await call(here.url, here.operator, "GET", "/mep/v1/clients"):
        if client["name"] == name:
            await call(here.url, here.operator, "DELETE", f"/mep/v1/clients/{client['clientId']}")
    made = await call(here.url, here.operator, "POST", "/mep/v1/clients", {"name": name, "scopes": _SCOPES})
    return {key: made[key] for key in ("clientId", "clientSecret", "tokenEndpoint")}


async def _token(here: _Site, credentials: dict[str, str] | None) -> str:
    if credentials is None:
        return ""
    form = {
        "grant_type": "client_credentials",
        "client_id": credentials["clientId"],
        "client_secret": credentials["clientSecret"],
    }
    granted = await call(here.url, "", "POST", credentials["tokenEndpoint"], form=form)
    return str(granted["access_token"])
