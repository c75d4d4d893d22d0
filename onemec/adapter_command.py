"""``onemec adapter``: bring one CSE to a MEC platform, MEC services to the CSE, and its data to the cloud."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from onemec.process import CannotStart, fail, run_until_stopped, set_up_logging, tell, tell_ready
from onemec.settings import USAGE, environment, from_file, listed, log_format, log_level, option, seconds, secret

if TYPE_CHECKING:
    from mec_adapter.config import AdapterConfig
    from mec_adapter.mp1.tokens import Credentials

_OFF = ("", "off", "none", "no")
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_EXAMPLES = """
Examples:

  onemec adapter --cse http://127.0.0.1:8081 --mep http://127.0.0.1:8090

  onemec adapter --mep http://127.0.0.1:8090/sbx1/mep1
                 --cloud http://127.0.0.1:8080 --sync-path 'cse-edge/*/data'

  onemec adapter --mep off --cloud http://127.0.0.1:8080     (cloud sync alone)

GET /status at its own address tells how far everything is.

Every option can be given as ONEMEC_ADAPTER_<OPTION> in the environment or in
the \\[adapter] table of a TOML file (--config); an option wins over the
environment, the environment over the file. OAuth2 credentials: --token-url with
ONEMEC_ADAPTER_CLIENT_ID and ONEMEC_ADAPTER_CLIENT_SECRET.
"""


def adapter(
    config: Annotated[
        Path | None, option("--config", "-c", is_eager=True, callback=from_file("adapter"), help="TOML file.")
    ] = None,
    cse: Annotated[str, option(help="URL of the edge CSE (http://, coap://, mqtt:// of its broker).")] = (
        "http://127.0.0.1:8081"
    ),
    cse_id: Annotated[str, option(help="CSE-ID of the edge CSE.")] = "/id-edge",
    mep: Annotated[str, option(help="apiRoot of the MEC platform, or off.")] = "http://127.0.0.1:8090",
    cloud: Annotated[str, option(help="URL of the IN-CSE that gets the data, or off.")] = "off",
    cloud_id: Annotated[str, option(help="CSE-ID of the IN-CSE.")] = "/id-in",
    originator: Annotated[str, option(help="AE-ID the adapter registers with at the edge CSE.")] = "Cmec-adapter",
    ae_name: Annotated[str, option(help="Name of that AE.")] = "mec",
    listen: Annotated[str, option(help="host:port for notifications and /status; port 0: a free one.")] = (
        "127.0.0.1:8082"
    ),
    public_url: Annotated[str, option(help="How CSE and platform reach that address, when it differs.")] = "",
    callbacks: Annotated[
        bool, option("--callbacks/--no-callbacks", help="The platform can reach that address; else it is polled.")
    ] = True,
    profile: Annotated[str, option(help="Dialect of the platform: spec, sandbox, or auto to find out.")] = "auto",
    app_instance_id: Annotated[
        str,
        option(
            envvar=["ONEMEC_ADAPTER_APP_INSTANCE_ID", "MEC_APP_INSTANCE_ID"],
            help="appInstanceId given by MEC management; default: its own.",
        ),
    ] = "",
    ae_mode: Annotated[str, option(help="What exposed AEs become: app, service, device or none.")] = "app",
    expose: Annotated[str, option(help="AEs that are exposed: flagged (mec:expose), all or none.")] = "flagged",
    expose_api: Annotated[
        list[str] | None, option(help="So are AEs with this App-ID, e.g. 'Norg.example.*' (repeat).")
    ] = None,
    ae_silent_after: Annotated[
        str, option(help="An exposed AE without new data for so long is judged dead; 0 never judges.")
    ] = "0",
    ae_probe: Annotated[
        str, option(help="How often an exposed AE with a poa is asked whether it is there; 0 never asks.")
    ] = "30s",
    heartbeat: Annotated[str, option(help="Heartbeat interval offered to the platform in seconds, or off.")] = "30",
    audit: Annotated[str, option(help="How often the registry is compared with what it should hold.")] = "30s",
    poll: Annotated[str, option(help="How often services are read when no notification tells of them.")] = "30s",
    discovery: Annotated[str, option(help="How often the edge CSE is searched for AEs and containers.")] = "5s",
    mirror: Annotated[bool, option("--mirror/--no-mirror", help="Mirror MEC services into the oneM2M tree.")] = True,
    sync_label: Annotated[
        list[str] | None, option(help="Containers with this label are copied (repeat); default: sync:cloud.")
    ] = None,
    sync_path: Annotated[
        list[str] | None, option(help="So are those with this address, e.g. 'cse-edge/*/data' (repeat).")
    ] = None,
    outbox: Annotated[str, option(help="SQLite file that holds what waits for the cloud.")] = "onemec-outbox.db",
    max_outbox: Annotated[str, option(help="Most bytes that wait, e.g. 256M.")] = "256M",
    when_full: Annotated[str, option(help="pause: take no more; drop-oldest: make room, record the gap.")] = "pause",
    retry_longest: Annotated[str, option(help="Longest pause between attempts to reach the cloud.")] = "30s",
    timeout: Annotated[str, option(help="How long the platform or a CSE may take to answer.")] = "5s",
    keep_registration: Annotated[
        bool, option("--keep-registration/--deregister", help="Leave services registered at the end.")
    ] = False,
    token_url: Annotated[str, option(help="OAuth2 token endpoint of the platform.")] = "",
    otlp: Annotated[str, option(help="Send traces to this OpenTelemetry collector, http://host:4318.")] = "",
    log_level_: Annotated[
        str, option("--log-level", envvar="ONEMEC_ADAPTER_LOG_LEVEL", help="debug, info, warning, error.")
    ] = "info",
    log_format_: Annotated[
        str, option("--log-format", envvar="ONEMEC_ADAPTER_LOG_FORMAT", help="text, or json: one object a line.")
    ] = "text",
) -> None:
    """Register a CSE with a MEC platform and sync its data to the cloud, until SIGTERM or Ctrl-C; prints ready.

    A platform, CSE or cloud that is away is said once and tried again until it is there.
    """
    from mec_adapter.config import AdapterConfig, AdapterStartError, SyncConfig, check

    sync: dict[str, Any] = {
        "cloud_url": "" if cloud.lower() in _OFF else cloud,
        "cloud_cse_id": cloud_id,
        "paths": listed(sync_path),
        "outbox": outbox,
        "max_outbox_bytes": _size("--max-outbox", max_outbox),
        "when_full": _one_of("--when-full", when_full, "pause", "drop-oldest"),
        "retry_longest_s": seconds("--retry-longest", retry_longest),
        "audit_s": seconds("--audit", audit),
    }
    if sync_label is not None:
        sync["labels"] = listed(sync_label)
    whole: dict[str, Any] = {
        "cse_url": cse,
        "cse_id": cse_id,
        "originator": originator,
        "ae_name": ae_name,
        "mep_url": "" if mep.lower() in _OFF else mep.rstrip("/"),
        "listen": listen,
        "public_url": public_url,
        "callbacks": callbacks,
        "profile": _one_of("--profile", profile, "auto", "spec", "sandbox"),
        "app_instance_id": app_instance_id,
        "ae_mode": _one_of("--ae-mode", ae_mode, "app", "service", "device", "none"),
        "expose": _one_of("--expose", expose, "flagged", "all", "none"),
        "expose_api": tuple(listed(expose_api)),
        "ae_probe_s": seconds("--ae-probe", ae_probe),
        "ae_silent_after_s": seconds("--ae-silent-after", ae_silent_after),
        "heartbeat_s": None if heartbeat.lower() in _OFF else int(seconds("--heartbeat", heartbeat)),
        "audit_s": seconds("--audit", audit),
        "poll_s": seconds("--poll", poll),
        "discovery_s": seconds("--discovery", discovery),
        "mirror": mirror,
        "timeout_s": seconds("--timeout", timeout),
        "deregister_when_stopping": not keep_registration,
        "credentials": _credentials(token_url),
        "sync": SyncConfig(**sync),
        "otlp": "" if otlp.lower() in _OFF else otlp,
    }
    loaded = AdapterConfig(**whole)
    try:
        check(loaded)
    except AdapterStartError as error:
        fail(str(error), USAGE)
    set_up_logging(log_level(log_level_), "adapter", log_format(log_format_))
    run_until_stopped(lambda stop: _serve(loaded, stop))


adapter.__doc__ = f"{adapter.__doc__}\n{_EXAMPLES}"
CONTEXT = environment("ONEMEC_ADAPTER")


def _one_of(name: str, value: str, *known: str) -> str:
    if value.lower() not in known:
        fail(f"{name} {value!r}: use one of {', '.join(known)}", USAGE)
    return value.lower()


def _size(name: str, value: str) -> int:
    number, unit = (value[:-1], value[-1:].lower()) if value[-1:].lower() in ("k", "m", "g") else (value, "")
    if not number.isdecimal() or not int(number):
        fail(f"{name} {value!r}: write a size in bytes, e.g. 1000000, 512K, 256M, 2G", USAGE)
    return int(number) * _SIZES[unit]


def _credentials(token_url: str) -> Credentials | None:
    from mec_adapter.mp1.tokens import Credentials

    client_id, client_secret = secret("ONEMEC_ADAPTER_CLIENT_ID"), secret("ONEMEC_ADAPTER_CLIENT_SECRET")
    if bool(token_url) != bool(client_id and client_secret):
        fail("OAuth2 needs all of --token-url, ONEMEC_ADAPTER_CLIENT_ID and ONEMEC_ADAPTER_CLIENT_SECRET", USAGE)
    return Credentials(token_url, client_id, client_secret) if token_url else None


async def _serve(config: AdapterConfig, stop: asyncio.Event) -> None:
    from mec_adapter.config import AdapterStartError
    from mec_adapter.run import run_adapter

    def ready(url: str) -> None:
        tell(f"adapter of {config.cse_id} at {config.cse_url}")
        tell(f"  MEC platform {config.mep_url or 'off'}")
        tell(f"  cloud        {config.sync.cloud_url or 'off'}")
        tell(f"  status       {url}/status")
        tell_ready()

    try:
        await run_adapter(config, ready, None, stop)
    except AdapterStartError as error:
        raise CannotStart(str(error)) from error
