"""``onemec mep``: run the embedded MEC platform; below it, what its operator does (``app``, ``federate``)."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onemec import mep_app_command, mep_federate_command
from onemec.process import CannotStart, errors, fail, run_until_stopped, set_up_logging, tell, tell_ready
from onemec.settings import USAGE, environment, from_file, listed, log_format, log_level, option, secret

if TYPE_CHECKING:
    from mec_adapter.platform.config import NtpServer, PlatformConfig

_EXAMPLES = """
Examples:

  onemec mep --insecure-dev               (on 127.0.0.1:8090, in memory)

  onemec mep --http 0.0.0.0:8443 --store sqlite:///mep.db
             --tls-certificate mep.pem --tls-key mep.key

Without --insecure-dev every call needs a token; the operator's is read from
ONEMEC_MEP_ADMIN_TOKEN. Every option can be given as ONEMEC_MEP_<OPTION> in the
environment or in the \\[mep] table of a TOML file (--config); an option wins
over the environment, the environment over the file.
"""


def mep(
    ctx: typer.Context,
    config: Annotated[
        Path | None, option("--config", "-c", is_eager=True, callback=from_file("mep"), help="TOML file.")
    ] = None,
    http: Annotated[str, option(help="Address host:port.")] = "127.0.0.1:8090",
    public_url: Annotated[str, option(help="How others reach it, for links; default: as they call it.")] = "",
    prefix: Annotated[str, option(help="Path before every API, e.g. /sbx1/mep1.")] = "",
    store: Annotated[str, option(help="memory, or sqlite:///file.db to survive restarts.")] = "memory",
    host_id: Annotated[str, option(help="Identifier of this MEC host.")] = "mec-host-1",
    name: Annotated[str, option(help="Name of this MEC system for people and for other systems.")] = "onemec-mep",
    provider: Annotated[str, option(help="Who operates it.")] = "onemec",
    strict: Annotated[bool, option("--strict/--forgiving", help="400 where it otherwise forgives.")] = False,
    require_ready: Annotated[
        bool, option("--require-ready/--ready-optional", help="403 before confirm_ready, as the ETSI sandbox.")
    ] = False,
    tls_certificate: Annotated[str | None, option(help="PEM file with the certificate chain.")] = None,
    tls_key: Annotated[str | None, option(help="PEM file with its key.")] = None,
    tls_elsewhere: Annotated[bool, option("--tls-elsewhere/--tls-here", help="A proxy in front ends TLS.")] = False,
    ntp_server: Annotated[list[str] | None, option(help="NTP server offered to applications; repeatable.")] = None,
    ptp_master: Annotated[list[str] | None, option(help="IP address of a PTP master offered; repeatable.")] = None,
    time_traceable: Annotated[
        bool, option("--time-traceable/--time-not-traceable", help="This machine's clock is locked to UTC.")
    ] = False,
    requests_per_s: Annotated[float, option(help="Most requests per second of one client address; 0: no limit.")] = 0.0,
    request_burst: Annotated[int, option(help="How many of them may come at once.")] = 200,
    insecure_dev: Annotated[bool, option("--insecure-dev/--secure", help="Ask for no tokens; loopback only.")] = False,
    insecure_network: Annotated[
        bool, option("--insecure-network/--loopback-only", help="With --insecure-dev: in a closed network too.")
    ] = False,
    log_level_: Annotated[
        str, option("--log-level", envvar="ONEMEC_MEP_LOG_LEVEL", help="debug, info, warning, error.")
    ] = "info",
    log_format_: Annotated[
        str, option("--log-format", envvar="ONEMEC_MEP_LOG_FORMAT", help="text, or json: one object a line.")
    ] = "text",
) -> None:
    """Run the embedded MEC platform until SIGTERM or Ctrl-C; prints its address and the word ready."""
    if ctx.invoked_subcommand is not None:
        return
    from cse.config import split_address  # pydantic takes a third of a second to import, --help should not
    from mec_adapter.platform.config import PlatformConfig, PlatformStartError, PtpMaster, check

    try:
        host, port = split_address(http)
    except ValueError as error:
        fail(f"--http: {error}", USAGE)
    token = secret("ONEMEC_MEP_ADMIN_TOKEN")
    if not token and not insecure_dev:
        fail("tokens need an operator: put a secret into ONEMEC_MEP_ADMIN_TOKEN, or say --insecure-dev", USAGE)
    platform = PlatformConfig(
        host=host,
        port=port,
        prefix=prefix,
        public_url=public_url or None,
        mec_host_id=host_id,
        platform_name=name,
        provider=provider,
        store=store,
        insecure_dev=insecure_dev,
        allow_insecure_network=insecure_network,
        ntp_servers=tuple(_ntp_server(address) for address in listed(ntp_server)),
        ptp_masters=tuple(PtpMaster(address) for address in listed(ptp_master)),
        time_traceable=time_traceable,
        requests_per_s=requests_per_s,
        request_burst=request_burst,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_elsewhere=tls_elsewhere,
        admin_token=token or None,
        require_ready=require_ready,
        strict=strict,
    )
    try:
        check(platform)
    except PlatformStartError as error:
        fail(str(error), USAGE)
    set_up_logging(log_level(log_level_), "mep", log_format(log_format_))
    run_until_stopped(lambda stop: _serve(platform, stop))


def _ntp_server(address: str) -> NtpServer:
    """Return an NTP server of a command line: an IP address or a name."""
    import ipaddress

    from mec_adapter.platform.config import NtpServer

    try:
        ipaddress.ip_address(address)
    except ValueError:
        return NtpServer(address, "DNS_NAME")
    return NtpServer(address, "IP_ADDRESS")


mep.__doc__ = f"{mep.__doc__}\n{_EXAMPLES}"
CONTEXT = environment("ONEMEC_MEP")
app = typer.Typer()
app.callback(invoke_without_command=True, context_settings=CONTEXT)(mep)
app.add_typer(mep_app_command.app, name="app")
app.command("federate")(mep_federate_command.federate)


async def _serve(config: PlatformConfig, stop: asyncio.Event) -> None:
    from mec_adapter.platform.run import PlatformStartError, serve

    def ready(url: str) -> None:
        if config.insecure_dev:
            errors.print("insecure-dev: no tokens are asked for. For development only.", style="bold yellow")
        tell(f"MEC platform {config.mec_host_id}, store {config.store}")
        tell(f"  http  {url}")
        tell_ready()

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
