"""``onemec mep``: run the embedded MEC platform."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Annotated

import typer

from onemec.process import CannotStart, errors, fail, run_until_stopped, set_up_logging, tell

if TYPE_CHECKING:
    from mec_adapter.platform.config import PlatformConfig

app = typer.Typer(
    help="Run the embedded MEC platform (MEC 011, MEC 033, ...), or manage its applications.",
    invoke_without_command=True,
    no_args_is_help=False,
)


@app.callback()
def mep(
    ctx: typer.Context,
    http: Annotated[str, typer.Option(envvar="ONEMEC_MEP_HTTP", help="Address host:port.")] = "127.0.0.1:8090",
    store: Annotated[
        str, typer.Option(envvar="ONEMEC_MEP_STORE", help="memory, or sqlite:///file.db to survive restarts.")
    ] = "memory",
    prefix: Annotated[
        str, typer.Option(envvar="ONEMEC_MEP_PREFIX", help="Path before every API, e.g. /sbx1/mep1.")
    ] = "",
    host_id: Annotated[
        str, typer.Option(envvar="ONEMEC_MEP_HOST_ID", help="Identifier of this MEC host.")
    ] = "mec-host-1",
    insecure_dev: Annotated[
        bool, typer.Option("--insecure-dev/--secure", envvar="ONEMEC_MEP_INSECURE_DEV", help="Ask for no tokens.")
    ] = False,
    log_level: Annotated[
        str, typer.Option(envvar="ONEMEC_MEP_LOG_LEVEL", help="debug, info, warning, error.")
    ] = "info",
) -> None:
    """Run the embedded MEC platform until SIGTERM or Ctrl-C; prints its address and the word ready.

    Example:  onemec mep --http 127.0.0.1:8090 --insecure-dev

    Without --insecure-dev every call needs a token; the operator's is read from ONEMEC_MEP_ADMIN_TOKEN.
    """
    if ctx.invoked_subcommand is not None:
        return
    from cse.config import split_address  # pydantic takes a third of a second to import, --help should not
    from mec_adapter.platform.config import PlatformConfig

    try:
        host, port = split_address(http)
    except ValueError as error:
        fail(f"--http: {error}", 2)
    config = PlatformConfig(
        host=host,
        port=port,
        prefix=prefix,
        mec_host_id=host_id,
        store=store,
        insecure_dev=insecure_dev,
        allow_insecure_network=insecure_dev,
        admin_token=os.environ.get("ONEMEC_MEP_ADMIN_TOKEN") or None,
    )
    set_up_logging(log_level, "mep")
    run_until_stopped(lambda stop: _serve(config, stop))


async def _serve(config: PlatformConfig, stop: asyncio.Event) -> None:
    from mec_adapter.platform.run import PlatformStartError, serve

    def ready(url: str) -> None:
        if config.insecure_dev:
            errors.print("insecure-dev: no tokens are asked for. For development only.", style="bold yellow")
        tell(f"MEC platform {config.mec_host_id}, store {config.store}")
        tell(f"  http  {url}")
        tell("ready")

    serving = asyncio.create_task(serve(config, ready))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    serving.cancel()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    except PlatformStartError as error:
        raise CannotStart(str(error)) from error
