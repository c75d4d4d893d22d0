"""What the adapter is told at start: one frozen tree, checked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from mec_adapter.mp1.tokens import Credentials
from mec_adapter.profile import MappingOptions


class AdapterStartError(Exception):
    """The adapter cannot start as configured; the message is one line and says what to mend."""


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """The cloud sync.

    Attributes:
        cloud_url: URL of the IN-CSE; "" switches the sync off.
        cloud_cse_id: its CSE-ID.
        cloud_originator: AE-ID the sync registers with there; "" makes one from the edge CSE-ID.
        cloud_ae_name: resourceName of that AE; "" makes one from the edge CSE-ID.
        labels: containers with one of these labels are copied.
        paths: containers whose structured address matches one of these patterns (``cse-edge/*/data``) are copied.
        outbox: path of the SQLite file.
        max_outbox_bytes: most bytes of instances that wait.
        when_full: ``pause`` takes nothing more from the edge until there is room (what the edge CSE keeps meanwhile
            is fetched then); ``drop-oldest`` makes room, and records the gap.
        page: instances fetched with one request when catching up.
        parallel: containers that are forwarded at the same time.
        pipeline: instances of one container that are sent to a cloud over HTTP before the first is answered. 1 for a
            server that executes the requests of one connection side by side, which would mix up their order.
        busy_per_s: from so many instances a second on, busy containers are listed a few times a second instead of being
            subscribed to.
        retry_longest_s: longest pause between two attempts to reach the cloud.
        audit_s: how often each container is compared with what was taken from it.
    """

    cloud_url: str = ""
    cloud_cse_id: str = "/id-in"
    cloud_originator: str = ""
    cloud_ae_name: str = ""
    labels: tuple[str, ...] = ("sync:cloud",)
    paths: tuple[str, ...] = ()
    outbox: str = "onemec-outbox.db"
    max_outbox_bytes: int = 1 << 28
    when_full: Literal["pause", "drop-oldest"] = "pause"
    page: int = 200
    parallel: int = 24
    pipeline: int = 8
    busy_per_s: float = 250.0
    retry_longest_s: float = 30.0
    audit_s: float = 30.0


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The configuration of one adapter.

    Attributes:
        cse_url: URL of the edge CSE, e.g. ``http://127.0.0.1:8080``.
        cse_id: its CSE-ID.
        originator: AE-ID the adapter registers with; it needs RETRIEVE and CREATE of subscriptions where it reads.
        ae_name: resourceName of its AE.
        mep_url: apiRoot of the MEC platform; "" switches Mp1 off.
        sp_id: M2M-SP-ID when the CSEBase does not tell.
        in_cse_id: CSE-ID of the IN-CSE when the CSEBase does not tell.
        listen: host and port for notifications and /status; port 0 takes a free one.
        public_url: how others reach that listener when it is not at the address it has here.
        callbacks: whether the MEC platform can reach the listener; without it only polling is used.
        profile: ``spec``, ``sandbox``, or ``auto``, which finds out.
        app_instance_id: given by MEC management; "" registers one.
        ae_mode: what exposed AEs become: application instances, services of the CSE's, devices, or nothing.
        expose: ``flagged`` (label mec:expose), ``all`` or ``none``.
        expose_api: with ``flagged``, AEs whose App-ID matches one of these patterns (``Norg.example.*``) are exposed
            too.
        ae_silent_after_s: an exposed AE without new data for this long is judged dead; 0 never judges.
        ae_probe_s: how often an exposed AE with points of access is sent a notification, to see whether it answers; one
            that does not is judged dead. 0 never sends one.
        heartbeat_s: proposed heartbeat interval; None offers no heartbeats.
        audit_s: how often the registry is compared with what it should hold.
        poll_s: how often services are read when no notification says that they changed.
        discovery_s: how often the edge CSE is searched for containers and AEs.
        mirror: whether MEC services are mirrored into the oneM2M tree.
        versions: apiVersions by apiName, the preferred one first.
        credentials: for OAuth2; None sends no token.
        timeout_s: for one request to the platform or a CSE.
        deregister_when_stopping: remove services and registration at the end.
        mapping: see MappingOptions.
        sync: see SyncConfig.
        otlp: URL of an OpenTelemetry collector (OTLP over HTTP) for traces, "" for none.
    """

    cse_url: str = "http://127.0.0.1:8080"
    cse_id: str = "/id-edge"
    originator: str = "Cmec-adapter"
    ae_name: str = "mec"
    mep_url: str = "http://127.0.0.1:8081"
    sp_id: str = ""
    in_cse_id: str = ""
    listen: str = "127.0.0.1:0"
    public_url: str = ""
    callbacks: bool = True
    profile: Literal["auto", "spec", "sandbox"] = "auto"
    app_instance_id: str = ""
    ae_mode: Literal["app", "service", "device", "none"] = "app"
    expose: Literal["flagged", "all", "none"] = "flagged"
    expose_api: tuple[str, ...] = ()
    ae_silent_after_s: float = 0.0
    ae_probe_s: float = 30.0
    heartbeat_s: int | None = 30
    audit_s: float = 30.0
    poll_s: float = 30.0
    discovery_s: float = 5.0
    mirror: bool = True
    versions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    credentials: Credentials | None = None
    timeout_s: float = 5.0
    deregister_when_stopping: bool = True
    mapping: MappingOptions = field(default_factory=MappingOptions)
    sync: SyncConfig = field(default_factory=SyncConfig)
    otlp: str = ""


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of a ``host:port`` text.

    Raises:
        AdapterStartError: not of that form.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise AdapterStartError(f"listen {text!r}: write host:port, e.g. 127.0.0.1:8082")
    return host.strip("[]"), int(port)


def check(config: AdapterConfig) -> None:
    """Refuse a configuration that could not work.

    Raises:
        AdapterStartError: one line that says what to change.
    """
    listen_address(config.listen)
    _check_url("cse_url", config.cse_url, ("http", "https", "coap", "mqtt", "mqtts"))
    if config.mep_url:
        _check_url("mep_url", config.mep_url, ("http", "https"))
    if config.otlp:
        _check_url("otlp", config.otlp, ("http", "https"))
    if config.sync.cloud_url:
        _check_url("cloud_url", config.sync.cloud_url, ("http", "https", "coap", "mqtt", "mqtts"))
        if min(config.sync.page, config.sync.parallel, config.sync.pipeline) < 1:
            raise AdapterStartError("sync: page, parallel and pipeline must be at least 1")
    for name, value in (("cse_id", config.cse_id), ("cloud_cse_id", config.sync.cloud_cse_id)):
        if not value.startswith("/") or value.startswith("//") or len(value) < 2:
            raise AdapterStartError(f"{name} {value!r}: write a CSE-ID with its slash, e.g. /id-edge")
    if config.mep_url and not config.mep_url.startswith("https://") and config.credentials is not None:
        host = urlsplit(config.mep_url).hostname or ""
        if host not in ("localhost", "::1") and not host.startswith("127."):
            raise AdapterStartError(
                f"mep_url {config.mep_url}: tokens travel over https:// only, except on this machine"
            )


def _check_url(name: str, url: str, schemes: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise AdapterStartError(f"{name} {url!r}: write e.g. {schemes[0]}://127.0.0.1:8080")
