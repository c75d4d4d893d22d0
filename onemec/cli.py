"""The command line ``onemec``: one file per command, found by their names (docs: README)."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from onemec import (
    acp_command,
    adapter_command,
    bench_command,
    config_command,
    cse_command,
    deliveries_command,
    device_command,
    devices_command,
    doctor_command,
    explain_command,
    export_command,
    handover_command,
    homeassistant_command,
    import_command,
    mep_command,
    reference_command,
    resources_command,
    types_command,
    up_command,
)

app = typer.Typer(
    name="onemec",
    help="oneM2M meets MEC: an edge IoT platform (CSE), a MEC platform in a box, and what connects them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command("up", context_settings=up_command.CONTEXT, rich_help_panel="Everything at once")(up_command.up)
app.command("cse", rich_help_panel="Parts")(cse_command.cse)
app.add_typer(mep_command.app, name="mep", rich_help_panel="Parts")
app.command("adapter", context_settings=adapter_command.CONTEXT, rich_help_panel="Parts")(adapter_command.adapter)
app.command("handover", context_settings=handover_command.CONTEXT, rich_help_panel="Parts")(handover_command.handover)
app.add_typer(device_command.app, name="device", rich_help_panel="Parts")
app.add_typer(devices_command.app, name="devices", rich_help_panel="Parts")
for _command in resources_command.COMMANDS:
    app.command(_command.__name__, cls=resources_command.ResourceCommand, rich_help_panel=resources_command.PANEL)(
        _command
    )
app.command("deliveries", rich_help_panel="Look inside")(deliveries_command.deliveries)
app.command("explain", cls=resources_command.ResourceCommand, rich_help_panel=resources_command.PANEL)(
    explain_command.explain
)
app.add_typer(acp_command.app, name="acp", rich_help_panel=resources_command.PANEL)
app.command("export", cls=resources_command.ResourceCommand, rich_help_panel=resources_command.PANEL)(
    export_command.export
)
app.command("import", cls=resources_command.ResourceCommand, rich_help_panel=resources_command.PANEL)(
    import_command.import_
)
app.command("bench", rich_help_panel="Look inside")(bench_command.bench)
app.command("doctor", rich_help_panel="Look inside")(doctor_command.doctor)
app.add_typer(config_command.app, name="config", rich_help_panel="Look inside")
app.command("homeassistant", cls=resources_command.ResourceCommand, rich_help_panel="Parts")(
    homeassistant_command.homeassistant
)
app.command("types", rich_help_panel="Look inside")(types_command.types)
app.command("reference", hidden=True)(reference_command.reference)


@app.callback(invoke_without_command=True)
def _options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        print(version("onemec"))
        raise typer.Exit


def main() -> None:
    """Entry point of the ``onemec`` command."""
    try:
        app(prog_name="onemec")
    except KeyboardInterrupt:
        sys.exit(130)
