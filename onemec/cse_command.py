"""``onemec cse``: run one CSE."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onemec.process import CannotStart, errors, fail, run_until_stopped, set_up_logging, tell, tell_ready
from onemec.workers import run_workers

if TYPE_CHECKING:
    from cse.config import CseConfig

_EXAMPLES = """
Examples:

  onemec cse --insecure-dev                      an IN-CSE on 127.0.0.1:8080, in memory

  onemec cse --type IN --id /id-in --name cse-in --http 127.0.0.1:8080 --mqtt mqtt://127.0.0.1:1883
             --coap 127.0.0.1:5683 --store sqlite:///in.db --insecure-dev --admin CAdmin

  onemec cse --type MN --id /id-edge --name cse-edge --http 127.0.0.1:8081
             --registrar http://127.0.0.1:8080 --registrar-id /id-in --insecure-dev

Every option can be given as ONEMEC_CSE_<OPTION> in the environment or in a TOML file (--config);
an option wins over the environment, the environment over the file.
"""


def cse(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file with a \\[cse] table.")] = None,
    cse_type: Annotated[str | None, typer.Option("--type", help="IN, MN or ASN.")] = None,
    cse_id: Annotated[str | None, typer.Option("--id", help="CSE-ID, e.g. /id-in.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the CSEBase, e.g. cse-in.")] = None,
    sp_id: Annotated[str | None, typer.Option(help="M2M-SP-ID, e.g. //sp.example.org.")] = None,
    http: Annotated[str | None, typer.Option(help="HTTP address host:port, or off.")] = None,
    mqtt: Annotated[str | None, typer.Option(help="Broker, e.g. mqtt://127.0.0.1:1883, or off.")] = None,
    mqtt_acl: Annotated[
        bool | None, typer.Option("--mqtt-acl", help="The broker binds topics to users (onemec device mosquitto).")
    ] = None,
    mqtt_ca: Annotated[str | None, typer.Option(help="PEM authority of an mqtts broker.")] = None,
    mqtt_cert: Annotated[str | None, typer.Option(help="PEM certificate to show to an mqtts broker.")] = None,
    mqtt_key: Annotated[str | None, typer.Option(help="PEM private key of that certificate.")] = None,
    coap: Annotated[str | None, typer.Option(help="CoAP address host:port, or off.")] = None,
    coaps: Annotated[str | None, typer.Option(help="CoAP over DTLS address host:port, or off.")] = None,
    ws: Annotated[
        bool | None, typer.Option("--ws/--no-ws", help="WebSocket on the HTTP address (default: on).")
    ] = None,
    tls_cert: Annotated[str | None, typer.Option(help="PEM certificate: HTTPS and WSS instead of HTTP and WS.")] = None,
    tls_key: Annotated[str | None, typer.Option(help="PEM private key of the certificate.")] = None,
    tls_ca: Annotated[
        str | None, typer.Option(help="PEM authority: clients prove who they are by its certificates.")
    ] = None,
    credentials: Annotated[
        str | None, typer.Option(help="File of `onemec device` (default: onemec-credentials.json), or off.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="Pages of this origin may use the CSE, e.g. https://app.example (repeat), or *."),
    ] = None,
    poa: Annotated[
        list[str] | None, typer.Option(help="Advertised point of access (repeat); default: the addresses above.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="memory, sqlite:///file.db, sqlite:////path/file.db, postgresql://user@host/db.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share one PostgreSQL store; one that dies is replaced.")
    ] = None,
    registrar: Annotated[str | None, typer.Option(help="URL of the registrar CSE (MN, ASN).")] = None,
    registrar_id: Annotated[str | None, typer.Option(help="CSE-ID of the registrar.")] = None,
    releases: Annotated[str | None, typer.Option(help="Supported releases, e.g. 2a,3,4,5.")] = None,
    max_expiration: Annotated[str | None, typer.Option(help="Longest life time of a resource, e.g. 30d.")] = None,
    default_expiration: Annotated[str | None, typer.Option(help="Life time when none is asked for.")] = None,
    expiration_check: Annotated[str | None, typer.Option(help="How often expired resources are removed.")] = None,
    request_expiration: Annotated[str | None, typer.Option(help="Life time of <request> resources.")] = None,
    request_timeout: Annotated[str | None, typer.Option(help="How long another entity may take to answer.")] = None,
    max_subscriptions: Annotated[
        int | None, typer.Option(help="Subscriptions of one originator (administrators: any number).")
    ] = None,
    max_subscriptions_per_resource: Annotated[int | None, typer.Option(help="Subscriptions to one resource.")] = None,
    max_body: Annotated[int | None, typer.Option(help="Largest request body in bytes.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="strict: by the book; lenient: clients of older releases too.")
    ] = None,
    admin: Annotated[list[str] | None, typer.Option(help="Originator with full access (repeat).")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="AE-ID pattern that may register (repeat).")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second of one entity or address (0: any number).")
    ] = None,
    console: Annotated[
        bool | None, typer.Option("--console/--no-console", help="The page for people at /console (default: on).")
    ] = None,
    open_metrics: Annotated[
        bool | None, typer.Option("--open-metrics", help="Everybody may read /metrics, not administrators only.")
    ] = None,
    console_peer: Annotated[
        list[str] | None,
        typer.Option(
            help="Neighbour that the console shows (repeat): adapter=http://host:8082, cloud=URL (default: registrar)."
        ),
    ] = None,
    outbound: Annotated[
        list[str] | None,
        typer.Option(
            help="Where to send besides public addresses (repeat): loopback, private, 192.168.1.0/24, host, host:port. "
            "Default: loopback when only that is listened on; with --insecure-dev private networks too."
        ),
    ] = None,
    insecure_dev: Annotated[
        bool | None, typer.Option("--insecure-dev/--secure", help="Believe originators without credentials.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    otlp: Annotated[
        str | None, typer.Option(help="Send traces to this OpenTelemetry collector, e.g. http://127.0.0.1:4318.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="text, or json: one object a line.")] = None,
) -> None:
    """Run one oneM2M CSE until SIGTERM or Ctrl-C; prints its addresses and the word ready."""
    from cse.config import ConfigError, load_config  # pydantic takes a third of a second to import, --help should not

    options: dict[str, Any] = {
        "type": cse_type,
        "id": cse_id,
        "name": name,
        "sp_id": sp_id,
        "http": http,
        "mqtt": mqtt,
        "mqtt_acl": mqtt_acl,
        "mqtt_ca": mqtt_ca,
        "mqtt_cert": mqtt_cert,
        "mqtt_key": mqtt_key,
        "coap": coap,
        "coaps": coaps,
        "ws": ws,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_ca": tls_ca,
        "credentials": credentials,
        "cors_origins": tuple(cors_origin) if cors_origin else None,
        "poa": tuple(poa) if poa else None,
        "store": store,
        "workers": workers,
        "registrar": registrar,
        "registrar_id": registrar_id,
        "releases": releases,
        "max_expiration_s": max_expiration,
        "default_expiration_s": default_expiration,
        "expiration_check_s": expiration_check,
        "request_expiration_s": request_expiration,
        "request_timeout_s": request_timeout,
        "max_subscriptions": max_subscriptions,
        "max_subscriptions_per_resource": max_subscriptions_per_resource,
        "max_body_bytes": max_body,
        "profile": profile,
        "admin": tuple(admin) if admin else None,
        "allowed_originators": tuple(allow) if allow else None,
        "rate_per_s": rate,
        "console": console,
        "open_metrics": open_metrics,
        "console_peers": tuple(console_peer) if console_peer else None,
        "outbound": tuple(outbound) if outbound else None,
        "insecure_dev": insecure_dev,
        "log_level": log_level,
        "log_format": log_format,
        "otlp": otlp,
    }
    try:
        loaded = load_config(options, file=config)
    except ConfigError as error:
        fail(str(error), 2)
    set_up_logging(loaded.log_level, loaded.id, loaded.log_format)
    if loaded.workers:
        _announce(loaded)
        run_workers(loaded, loaded.workers)
    run_until_stopped(lambda stop: _serve(loaded, stop))


cse.__doc__ = f"{cse.__doc__}\n{_EXAMPLES}"


async def _serve(config: CseConfig, stop: asyncio.Event) -> None:
    from cse.app import Cse, StartError  # the bindings take half a second to import, --help should not

    running = Cse(config)
    try:
        await running.start()
    except StartError as error:
        raise CannotStart(str(error)) from error
    _announce(config)
    addresses = running.addresses()
    for binding, url in addresses.items():
        tell(f"  {binding:5} {url}")
    if running.console is not None:
        tell(f"  console {addresses['http']}/console/")
    tell_ready()
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()
    await running.stop()


def _announce(config: CseConfig) -> None:
    from cse.storage import without_password

    if config.insecure_dev:
        errors.print(
            "insecure-dev: originators are believed without credentials. For development on this machine only.",
            style="bold yellow",
        )
    store = without_password(config.store)
    tell(f"{config.type}-CSE {config.id} ({config.name}), store {store}, profile {config.profile}")
