"""What the embedded MEC platform is told at start: one frozen tree, checked before anything listens."""

import ipaddress
from dataclasses import dataclass, field

from cse.onem2m.addressing import is_loopback


class PlatformStartError(Exception):
    """The platform cannot start as configured; the message is one line and says what to mend."""


@dataclass(frozen=True, slots=True)
class HeartbeatPolicy:
    """How often producers of services are asked for a sign of life [MEC 011 5.2.12].

    Attributes:
        demand: whether a producer that offers heartbeats is asked to send them.
        default_interval_s: used when the producer leaves the choice to the platform (0).
        min_interval_s: shorter proposals are raised to this.
        max_interval_s: longer proposals are lowered to this.
        missed_intervals: silence of this many intervals makes a service SUSPENDED.
        hide_suspended: leave SUSPENDED services out of lists (they stay readable by id).
    """

    demand: bool = True
    default_interval_s: int = 30
    min_interval_s: int = 1
    max_interval_s: int = 3600
    missed_intervals: float = 2.5
    hide_suspended: bool = False


@dataclass(frozen=True, slots=True)
class NotificationPolicy:
    """How callbacks are delivered: attempts, pauses between them, and what is remembered of failures."""

    attempts: int = 4
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    timeout_s: float = 5.0
    queue_length: int = 100
    failures_kept: int = 1000


@dataclass(frozen=True, slots=True)
class NtpServer:
    """One NTP server offered in TimingCaps [MEC 011 7.1.2.4]; polling intervals are powers of two of seconds."""

    address: str
    address_type: str = "DNS_NAME"
    min_poll_exponent: int = 6
    max_poll_exponent: int = 10
    local_priority: int = 0


@dataclass(frozen=True, slots=True)
class PtpMaster:
    """One PTP master offered in TimingCaps [MEC 011 7.1.2.4]; its rate is the most delay requests per second."""

    address: str
    local_priority: int = 0
    delay_request_max_rate: int = 1


@dataclass(frozen=True, slots=True)
class ZoneConfig:
    """One zone of the simulated map of the Location API [MEC 013]; access points are (id, latitude, longitude)."""

    zone_id: str
    access_points: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class MqttTransport:
    """A message broker the platform offers as a transport that services may name by `transportId`."""

    host: str
    port: int = 1883
    transport_id: str = "platform-mqtt"


_DEFAULT_ZONES = (
    ZoneConfig("zone-a", (("ap-a1", 43.7380, 7.4240), ("ap-a2", 43.7395, 7.4265))),
    ZoneConfig("zone-b", (("ap-b1", 43.7420, 7.4290),)),
)


@dataclass(frozen=True, slots=True)
class PlatformConfig:
    """The configuration of one embedded MEC platform.

    Attributes:
        host: address to listen on.
        port: TCP port; 0 takes a free one, which `ready` then reports.
        prefix: path before every API, e.g. `/sbx1abc/mep1`; empty or beginning with `/`.
        public_url: scheme, host and port that links begin with; None takes what the client used (Host header).
        mec_host_id: identifier of this MEC host in answers that name one.
        platform_name: human-readable name (status page, transports, MEC 040 system name).
        provider: who operates the platform (MEC 040 systemProvider).
        store: `memory`, or `sqlite:///path` to keep the state over restarts.
        insecure_dev: no tokens are asked for; only for loopback addresses.
        allow_insecure_network: really run without tokens on a network address (closed lab or container network).
        tls_certificate: PEM file with the server certificate chain.
        tls_key: PEM file with its key.
        tls_elsewhere: a reverse proxy in front ends TLS, so a network address without TLS here is meant.
        admin_token: bearer token of the operator for the management API (`/mep/v1`); needed without insecure_dev.
        token_lifetime_s: how long an access token lives.
        require_ready: answer 403 to app-scoped calls before confirm_ready, as the ETSI MEC Sandbox does.
        strict: answer 400 where the platform otherwise forgives (serInstanceId in POST, values
            beyond the enumerations).
        heartbeat: see HeartbeatPolicy.
        notifications: see NotificationPolicy.
        callback_networks: networks that callbacks may go to; empty means every unicast address but link-local ones,
            and loopback only when the platform itself listens on loopback.
        requests_per_s: sustained requests per second for one client address; 0 switches the limit off.
        request_burst: how many requests may come at once before the limit bites.
        max_body_bytes: longest request body.
        mqtt: broker offered as a transport.
        ntp_servers: offered in TimingCaps.
        ptp_masters: offered in TimingCaps.
        time_traceable: whether this machine's clock is locked to UTC (CurrentTime.timeSourceStatus).
        zones: the simulated map of the Location API.
    """

    host: str = "127.0.0.1"
    port: int = 8081
    prefix: str = ""
    public_url: str | None = None
    mec_host_id: str = "mec-host-1"
    platform_name: str = "onemec-mep"
    provider: str = "onemec"
    store: str = "memory"
    insecure_dev: bool = False
    allow_insecure_network: bool = False
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_elsewhere: bool = False
    admin_token: str | None = field(default=None, repr=False)
    token_lifetime_s: int = 3600
    require_ready: bool = False
    strict: bool = False
    heartbeat: HeartbeatPolicy = HeartbeatPolicy()
    notifications: NotificationPolicy = NotificationPolicy()
    callback_networks: tuple[str, ...] = ()
    requests_per_s: float = 0.0
    request_burst: int = 200
    max_body_bytes: int = 262_144
    mqtt: MqttTransport | None = None
    ntp_servers: tuple[NtpServer, ...] = ()
    ptp_masters: tuple[PtpMaster, ...] = ()
    time_traceable: bool = False
    zones: tuple[ZoneConfig, ...] = _DEFAULT_ZONES


def check(config: PlatformConfig) -> None:
    """Refuse a configuration that would be unsafe or could not work.

    Raises:
        PlatformStartError: one line that says what to change.
    """
    if config.prefix and (not config.prefix.startswith("/") or config.prefix.endswith("/")):
        raise PlatformStartError(
            f"prefix {config.prefix!r}: begin it with '/' and end it without, e.g. '/site1/mep1', or leave it empty"
        )
    if config.store != "memory" and not config.store.startswith("sqlite:///"):
        raise PlatformStartError(f"store {config.store!r}: use 'memory' or 'sqlite:///path/to/file.db'")
    if (config.tls_certificate is None) != (config.tls_key is None):
        raise PlatformStartError("give both tls_certificate and tls_key, or neither")
    for network in config.callback_networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise PlatformStartError(
                f"callback_networks: {network!r} is not a network; write e.g. '192.168.1.0/24'"
            ) from None
    _check_security(config)


def _check_security(config: PlatformConfig) -> None:
    open_to_network = not is_loopback(config.host)
    if config.insecure_dev:
        if open_to_network and not config.allow_insecure_network:
            raise PlatformStartError(
                f"insecure_dev is for loopback only, but host is {config.host}: listen on 127.0.0.1, "
                "or switch insecure_dev off and give an admin token and TLS "
                "(insecure_network lets everybody in a closed network in)"
            )
        return
    if not config.admin_token:
        raise PlatformStartError(
            "an admin token is needed to hand out credentials: set admin_token, "
            "or start with insecure_dev on a loopback address"
        )
    if len(config.admin_token) < 16:
        raise PlatformStartError("admin_token is too short: use at least 16 random characters")
    if open_to_network and config.tls_certificate is None and not config.tls_elsewhere:
        raise PlatformStartError(
            f"listening on {config.host} without TLS would show every token on the network: "
            "give tls_certificate and tls_key, or set tls_elsewhere when a proxy in front ends TLS"
        )
