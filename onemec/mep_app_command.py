"""``onemec mep app``: create, list and end application instances at a running MEC platform (its ``/mep/v1``)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from onemec.mep_rest import DEFAULT_URL, AsJson, Mep, Token, call
from onemec.process import fail, tell
from onemec.settings import USAGE, option, seconds

_ABOUT = """
What the operator does with applications: create them, list them, end them.

The platform is --mep (or ONEMEC_MEP_URL); without --insecure-dev there it asks
for the operator's token: --token, or better ONEMEC_MEP_ADMIN_TOKEN.
"""

_CREATE_EXAMPLES = """
Examples:

  onemec mep app create --name my-app

  onemec mep app create --descriptor app.json --json

A descriptor, where only appName is needed:

  {"appName": "my-app", "appProvider": "me", "appInstanceId": "my-app-1",
   "appDNSRule": [{"dnsRuleId": "d1", "domainName": "my-app.example",
   "ipAddressType": "IP_V4", "ipAddress": "192.0.2.7"}]}
"""

_LIST_EXAMPLES = """
Examples:

  onemec mep app list

  onemec mep app list --json --mep http://127.0.0.1:8090
"""

_TERMINATE_EXAMPLES = """
Examples:

  onemec mep app terminate my-app-1                  (gracefully, in 30 s)

  onemec mep app terminate my-app-1 --graceful 10s

  onemec mep app terminate my-app-1 --now
"""

app = typer.Typer(help=_ABOUT, no_args_is_help=True)


def create(
    descriptor: Annotated[Path | None, option(help="JSON file that describes the application.")] = None,
    name: Annotated[str, option(help="appName; wins over the descriptor's.")] = "",
    mep: Mep = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Create an application instance; prints its id, its client credentials (shown once) and a first access token."""
    wanted = _descriptor(descriptor) if descriptor is not None else {}
    if name:
        wanted["appName"] = name
    if "appName" not in wanted:
        fail("the application needs a name: give --name, or --descriptor with an appName", USAGE)
    made = asyncio.run(_create(mep, token, wanted))
    if as_json:
        tell(json.dumps(made))
        return
    for title, key in (
        ("application instance", "appInstanceId"),
        ("client id", "clientId"),
        ("client secret", "clientSecret"),
        ("token endpoint", "tokenEndpoint"),
        ("token", "token"),
    ):
        tell(f"{title:21} {made[key]}")


def list_(mep: Mep = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List the application instances, those that registered themselves too."""
    found = asyncio.run(call(mep, token, "GET", "/mep/v1/app_instances"))
    if as_json:
        tell(json.dumps(found))
        return
    rows = [("ID", "NAME", "STATE", "READY", "SERVICES"), *(_row(entry) for entry in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        tell("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def terminate(
    app_instance_id: Annotated[str, typer.Argument(help="Which application instance.")],
    graceful: Annotated[str, option(help="How long it may take to end, e.g. 10s; default: 30s.")] = "",
    now: Annotated[bool, option("--now", help="End it at once.")] = False,
    stop: Annotated[bool, option("--stop", help="Stop it only: it can be started again.")] = False,
    mep: Mep = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """End an application instance: it is told and given time, unless it does not listen for that."""
    if now and graceful:
        fail("--now and --graceful exclude each other: give one", USAGE)
    timeout_s = 0.0 if now else seconds("--graceful", graceful or "30s")
    if timeout_s != int(timeout_s):
        fail(f"--graceful {graceful}: give whole seconds", USAGE)
    body = {"operationAction": "STOPPING" if stop else "TERMINATING", "gracefulTimeoutS": int(timeout_s)}
    path = f"/mep/v1/app_instances/{quote(app_instance_id, safe='')}/terminate"
    asked = asyncio.run(call(mep, token, "POST", path, body))
    if as_json:
        tell(json.dumps(asked))
    else:
        tell(f"{asked['operationAction'].lower()} {asked['appInstanceId']} within {asked['gracefulTimeoutS']} s")


for command, called, examples in (
    (create, "create", _CREATE_EXAMPLES),
    (list_, "list", _LIST_EXAMPLES),
    (terminate, "terminate", _TERMINATE_EXAMPLES),
):
    command.__doc__ = f"{command.__doc__}\n{examples}"
    app.command(called)(command)


def _descriptor(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        fail(f"--descriptor {file}: {reason}", USAGE)
    if not isinstance(content, dict):
        fail(f'--descriptor {file}: write a JSON object, e.g. {{"appName": "my-app"}}', USAGE)
    return content


def _row(entry: dict[str, Any]) -> tuple[str, str, str, str, str]:
    state = str(entry["operationalState"])
    if (ending := entry.get("termination")) is not None:
        state = f"{ending['operationAction']} {ending['remainingS']:.0f} s"
    ready = "yes" if entry["ready"] else "no"
    return str(entry["appInstanceId"]), str(entry["appName"]), state, ready, str(entry["services"])


async def _create(mep: str, token: str, descriptor: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = await call(mep, token, "POST", "/mep/v1/app_instances", descriptor)
    form = {
        "grant_type": "client_credentials",
        "client_id": made["clientId"],
        "client_secret": made["clientSecret"],
    }
    granted = await call(mep, "", "POST", made["tokenEndpoint"], form=form)
    return {**made, "token": granted["access_token"]}
