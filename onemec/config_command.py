"""``onemec config``: what each part would run with, and where every setting came from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from onemec import origins
from onemec.process import fail
from onemec.settings import USAGE

app = typer.Typer(no_args_is_help=True, help="Settings: their values, and where they came from.")

_PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def _parts(incomplete: str) -> list[str]:
    return [part for part in origins.PARTS if part.startswith(incomplete)]


def _names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of settings, for the shell."""
    part = str(ctx.params.get("part") or "cse")
    try:
        known = origins.settings_of(ctx.find_root().command, part, [], None)
    except Exception:  # a completion says nothing rather than something else
        return []
    return [setting.name for setting in known if setting.name.startswith(incomplete)]


@app.command(context_settings=_PASS_ON)
def show(
    ctx: typer.Context,
    part: Annotated[
        str, typer.Argument(help=f"Which part: {', '.join(origins.PARTS)}.", autocompletion=_parts)
    ] = "cse",
    words: Annotated[
        list[str] | None, typer.Argument(help="Options it would be started with.", metavar="[OPTIONS...]")
    ] = None,
    origin: Annotated[bool, typer.Option("--origin/--no-origin", help="Say where each came from.")] = True,
    name: Annotated[
        list[str] | None, typer.Option("--name", "-n", help="Only this setting (repeat).", autocompletion=_names)
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is no default.")] = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting of a part, its value, and whether a default, a file, a variable or an option gave it.

    Secrets are masked. Options of this command go before the name of the part, those of the part after it.

    Examples: onemec config show --origin; onemec config show --changed --config lab.toml adapter --mep off
    """
    from cse.config import ConfigError

    if part not in origins.PARTS:
        fail(f"there is no part {part!r}: {', '.join(origins.PARTS)}", USAGE)
    try:
        found = origins.settings_of(ctx.find_root().command, part, words or [], config)
    except ConfigError as error:
        fail(str(error), USAGE)
    except origins.UsageProblem as error:
        fail(str(error), USAGE)
    unknown = set(name or ()) - {setting.name for setting in found}
    if unknown:
        fail(f"{part} has no setting {', '.join(sorted(unknown))}", USAGE)
    chosen = [
        setting
        for setting in found
        if (not name or setting.name in name) and (not changed or setting.origin != origins.DEFAULT)
    ]
    if as_json:
        print(json.dumps([asdict(setting) for setting in chosen], indent=2))
        return
    width = max((len(setting.name) for setting in chosen), default=0)
    for setting in chosen:
        came = f"  ({setting.origin}{' ' + setting.where if setting.where else ''})" if origin else ""
        print(f"{setting.name:<{width}}  {_text(setting.value)}{came}")


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
