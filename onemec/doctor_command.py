"""``onemec doctor``: what is wrong here, in words, with what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onemec.process import tell
from onemec.resources_command import Json, Originator

if TYPE_CHECKING:
    from cse.config import CseConfig
    from mec_adapter.mp1.tokens import Credentials
    from onemec.doctor.findings import Finding

_MARKS = {"ok": "ok     ", "skipped": "-      ", "warning": "warning", "problem": "PROBLEM"}
_DEFAULT_MEP = "http://127.0.0.1:8090"


def doctor(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file of the CSE.")] = None,
    cse: Annotated[
        str, typer.Option("--cse", help="A CSE that should run; default: what the configuration says, if it runs.")
    ] = "",
    mep: Annotated[str, typer.Option("--mep", help="apiRoot of a MEC platform that should run.")] = "",
    mep_token: Annotated[
        str,
        typer.Option(
            envvar="ONEMEC_MEP_TOKEN", help="Token of an application; default: with the adapter's credentials."
        ),
    ] = "",
    originator: Originator = "CAdmin",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what is wrong.")] = False,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with this machine, the configuration, broker, store, CSE and MEC platform.

    The CSE is taken as ONEMEC_CSE_... and --config have it; nothing is changed. Exit code 0: no problems, 1: problems.

    Examples: onemec doctor; onemec doctor --config lab.toml --cse http://127.0.0.1:8080 --json
    """
    from onemec.origins import known_variables

    variables = known_variables(ctx.find_root().command)
    findings = _findings(variables, config, cse.rstrip("/"), mep.rstrip("/"), mep_token, originator)
    found = asyncio.run(_look(findings, quiet, as_json))
    counts = Counter(finding.level for finding in found)
    problems, warnings = counts["problem"], counts["warning"]  # type: ignore[index]
    if as_json:
        shown = {"problems": problems, "warnings": warnings, "findings": [asdict(finding) for finding in found]}
        tell(json.dumps(shown, indent=2))
    else:
        tell(f"{problems} problems, {warnings} warnings, {counts['ok']} ok")  # type: ignore[index]
    if problems:
        raise typer.Exit(1)


async def _look(findings: AsyncIterator[Finding], quiet: bool, as_json: bool) -> list[Finding]:
    found = []
    async for finding in findings:
        found.append(finding)
        if not as_json and not (quiet and finding.level in ("ok", "skipped")):
            tell(f"{_MARKS[finding.level]}  {finding.check}: {finding.words}")
            if finding.advice:
                tell(f"           -> {finding.advice}")
    return found


async def _findings(
    variables: set[str], file: Path | None, cse: str, mep: str, mep_token: str, originator: str
) -> AsyncIterator[Finding]:
    from cse.config import ConfigError, CseConfig
    from onemec.doctor.broker import look_at_broker
    from onemec.doctor.configuration import look_at_configuration, look_at_variables
    from onemec.doctor.findings import ok, problem
    from onemec.doctor.machine import look_at_machine
    from onemec.doctor.ports import look_at_ports
    from onemec.doctor.running import fetch_token, look_at_cse, look_at_mep
    from onemec.doctor.store import look_at_store
    from onemec.origins import cse_config

    yield look_at_variables(os.environ, variables)
    try:
        settings = cse_config(file)
        yield ok("configuration", f"{settings.type}-CSE {settings.id} from {file or 'variables and defaults'}")
    except ConfigError as error:
        yield problem("configuration", str(error), "mend it; the rest is looked at with the defaults")
        settings = CseConfig.model_construct()
    for finding in (*look_at_machine(settings.store), *look_at_configuration(settings)):
        yield finding
    running: set[int] = set()
    taken = set()
    for finding in look_at_ports(settings, running):
        if finding.level == "problem":
            taken.add(finding.check.removeprefix("port "))
        yield finding
    for finding in await asyncio.to_thread(lambda: list(look_at_store(settings.store))):
        yield finding
    cse_runs = bool(running) or bool(cse)
    for finding in await asyncio.to_thread(lambda: list(look_at_broker(settings, cse_runs=cse_runs))):
        yield finding
    urls = _addresses(settings, cse)
    if not cse:  # whoever has the port of the CSE is not asked whether it is the CSE
        urls = {binding: url for binding, url in urls.items() if binding.replace("ws", "http") not in taken}
    async for finding in look_at_cse(urls, "" if cse else settings.id, originator, expected=cse_runs):
        yield finding
    root = mep or os.environ.get("ONEMEC_ADAPTER_MEP", "") or _DEFAULT_MEP
    if root != "off":
        credentials = _credentials()
        if credentials is not None and not mep_token:
            mep_token, finding = await fetch_token(credentials)
            yield finding
        async for finding in look_at_mep(root, mep_token, expected=bool(mep)):
            yield finding


def _credentials() -> Credentials | None:
    """What the adapter would prove itself with, as its variables have it."""
    from mec_adapter.mp1.tokens import Credentials

    names = ("ONEMEC_ADAPTER_TOKEN_URL", "ONEMEC_ADAPTER_CLIENT_ID", "ONEMEC_ADAPTER_CLIENT_SECRET")
    url, client_id, client_secret = (os.environ.get(name, "") for name in names)
    return Credentials(url, client_id, client_secret) if url and client_id and client_secret else None


def _addresses(config: CseConfig, cse: str) -> dict[str, str]:
    """Where the CSE can be asked, by binding."""
    if cse:
        return {cse.partition("://")[0].replace("https", "http"): cse}
    secure = "s" if config.tls_cert else ""
    found: dict[str, Any] = {}
    if config.http:
        found["http"] = f"http{secure}://{_reachable(config.http)}"
        if config.ws:
            found["ws"] = f"ws{secure}://{_reachable(config.http)}"
    if config.coap:
        found["coap"] = f"coap://{_reachable(config.coap)}"
    if config.mqtt:
        found["mqtt"] = config.mqtt
    return found


def _reachable(address: str) -> str:
    """An address that can be asked where a CSE listens on all."""
    host, _, port = address.rpartition(":")
    return f"{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"
