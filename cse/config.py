"""The configuration of one CSE: defaults, a TOML file, environment variables and options, later ones winning.

This is the only place that reads a file or the environment for the CSE; everybody else gets a frozen ``CseConfig``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from cse.bindings.outbound_rules import LOOPBACK, PRIVATE, Rules, parse_rules
from cse.credentials import DEFAULT_FILE
from cse.onem2m.addressing import is_loopback, is_resource_name
from cse.ports import CseType, Settings

ENVIRONMENT_PREFIX = "ONEMEC_CSE_"
_OFF = frozenset({"", "off", "none", "no"})
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "coap": 5683, "coaps": 5684, "mqtt": 1883, "mqtts": 8883}
_RELEASES = ("1", "2", "2a", "3", "4", "5")


class ConfigError(Exception):
    """The configuration cannot work. The message is one line that says what to mend."""


def parse_seconds(value: Any) -> float:
    """Seconds of a number, or of a text like ``10``, ``500ms``, ``30s``, ``5min``, ``2h``, ``7d``.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is no time span: write e.g. 30s, 5min, 2h, 7d")
    return float(match.group(1)) * _UNIT_S[match.group(2)]


_Texts = Annotated[tuple[str, ...], NoDecode]


class CseConfig(BaseSettings):
    """Everything that can be set about a CSE. Times are seconds; addresses are ``host:port`` or empty for "off"."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX)

    type: CseType = Field(CseType.IN, description="kind of CSE: IN, MN or ASN")
    id: str = Field("/id-in", description="CSE-ID with leading slash")
    name: str = Field("cse-in", description="resourceName of the CSEBase")
    sp_id: str = Field("//onemec.local", description="M2M-SP-ID with leading //")
    http: str = Field("127.0.0.1:8080", description="HTTP address host:port, or off")
    tls_cert: str = Field("", description="PEM file of the certificate (chain): HTTPS and WSS instead of HTTP and WS")
    tls_key: str = Field("", description="PEM file of its private key; default: in the file of the certificate")
    tls_ca: str = Field(
        "", description="PEM file of the authority whose certificates clients and other CSEs prove themselves with"
    )
    credentials: str = Field(DEFAULT_FILE, description="file of onemec device: who may prove to be whom; or off")
    ws: bool = Field(True, description="WebSocket on the HTTP address: on or off")
    cors_origins: _Texts = Field(
        (), description="origins of web pages that may use this CSE over HTTP and WebSocket, e.g. https://app.example"
    )
    mqtt: str = Field("", description="URL of the MQTT broker, or off")
    mqtt_acl: bool = Field(False, description="the broker binds topics to users (onemec device mosquitto): believe it")
    mqtt_ca: str = Field("", description="PEM file of the authority of an mqtts broker; default: the system's")
    mqtt_cert: str = Field("", description="PEM file of the certificate to show to an mqtts broker")
    mqtt_key: str = Field("", description="PEM file of its private key; default: in the file of the certificate")
    coap: str = Field("", description="CoAP address host:port, or off")
    coaps: str = Field("", description="CoAP over DTLS address host:port, or off")
    poa: _Texts = Field((), description="advertised points of access; default: the addresses above")
    store: str = Field(
        "memory", description="memory, sqlite:///relative.db, sqlite:////absolute.db or postgresql://..."
    )
    workers: int = Field(0, ge=0, le=64, description="processes on one PostgreSQL database; 0: just this one")
    registrar: str = Field("", description="URL of the registrar CSE (MN and ASN), e.g. http://127.0.0.1:8080")
    registrar_id: str = Field("/id-in", description="CSE-ID of the registrar CSE")
    releases: _Texts = Field(("2a", "3", "4", "5"), description="supported release versions")
    max_expiration_s: float = Field(5 * 365 * 86400.0, gt=0, description="longest life time of a resource")
    default_expiration_s: float = Field(5 * 365 * 86400.0, gt=0, description="life time when none is asked for")
    expiration_check_s: float = Field(1.0, gt=0, description="how often expired resources are looked for")
    request_expiration_s: float = Field(300.0, gt=0, description="life time of <request> resources")
    request_timeout_s: float = Field(10.0, gt=0, description="how long another entity may take to answer")
    registration_check_s: float = Field(10.0, gt=0, description="how often the registration is looked after")
    max_subscriptions: int = Field(1000, gt=0, description="most subscriptions of one originator (no administrator)")
    max_subscriptions_per_resource: int = Field(100, gt=0, description="most subscriptions to one resource")
    max_body_bytes: int = Field(1 << 16, ge=1024, le=1 << 20, description="largest request body")
    console_peers: _Texts = Field(
        (),
        description="neighbours the console shows: adapter=URL of the adapter's listener, cloud=URL of the cloud CSE "
        "(default: the registrar)",
    )
    console: bool = Field(True, description="the page for people at /console of the HTTP address: on or off")
    open_metrics: bool = Field(False, description="everybody may read /metrics, not administrators only")
    rate_per_s: float = Field(
        1000.0, ge=0, description="requests a second of one entity with credential, or one address; 0: any number"
    )
    outbound: _Texts = Field(
        (),
        description="where notifications and forwarded requests may go besides public addresses: loopback, private, "
        "link-local, a network, host or host:port; default: what fits the profile",
    )
    profile: Literal["strict", "lenient"] = Field("strict", description="strict: by the book; lenient: old clients too")
    insecure_dev: bool = Field(False, description="believe originators without credentials (development)")
    admin: _Texts = Field((), description="originators with full access (insecure-dev only)")
    allowed_originators: _Texts = Field((), description="AE-ID patterns that may register")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")
    otlp: str = Field("", description="URL of an OpenTelemetry collector (OTLP over HTTP) for traces, or off")
    log_format: Literal["text", "json"] = Field("text", description="log lines for people, or one JSON object each")

    @field_validator("http", "coap", "coaps", "mqtt", "registrar", "credentials", "otlp", mode="before")
    @classmethod
    def _off_is_empty(cls, value: Any) -> Any:
        return "" if isinstance(value, str) and value.lower() in _OFF else value

    @field_validator(
        "max_expiration_s",
        "default_expiration_s",
        "expiration_check_s",
        "request_expiration_s",
        "request_timeout_s",
        "registration_check_s",
        mode="before",
    )
    @classmethod
    def _spans(cls, value: Any) -> float:
        return parse_seconds(value)

    @field_validator(
        "poa", "releases", "admin", "allowed_originators", "cors_origins", "outbound", "console_peers", mode="before"
    )
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("log_level", "log_format", "profile", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("type", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper().removesuffix("-CSE") if isinstance(value, str) else value

    @field_validator("id", "registrar_id")
    @classmethod
    def _cse_id(cls, value: str) -> str:
        if not value.startswith("/") or value.startswith("//") or not is_resource_name(value[1:]):
            raise ValueError(f"{value!r} is no CSE-ID: write a slash and a name, e.g. /id-in")
        return value

    @field_validator("name")
    @classmethod
    def _cse_name(cls, value: str) -> str:
        if not is_resource_name(value):
            raise ValueError(f"{value!r} is no resource name: use letters, digits, '-', '.', '_'")
        return value

    @field_validator("sp_id")
    @classmethod
    def _sp(cls, value: str) -> str:
        if not value.startswith("//") or not is_resource_name(value[2:]):
            raise ValueError(f"{value!r} is no M2M-SP-ID: write e.g. //sp.example.org")
        return value

    @field_validator("releases")
    @classmethod
    def _known_releases(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [release for release in value if release not in _RELEASES]
        if unknown or not value:
            raise ValueError(f"unknown release {unknown[0] if unknown else ''!r}: use some of {', '.join(_RELEASES)}")
        return tuple(sorted(set(value), key=_RELEASES.index))

    @field_validator("cors_origins")
    @classmethod
    def _pages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if origin != "*" and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path):
                raise ValueError(f"{origin!r} is no origin of pages: write e.g. https://app.example (no path), or *")
        return value

    @field_validator("outbound")
    @classmethod
    def _outbound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_rules(value)
        return value

    @field_validator("console_peers")
    @classmethod
    def _neighbours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            name, equals, url = text.partition("=")
            parts = urlsplit(url)
            if name not in ("adapter", "cloud") or not equals or parts.scheme not in ("http", "https"):
                raise ValueError(
                    f"{text!r} names no neighbour: write adapter=http://127.0.0.1:8082, or cloud=http://..."
                )
            if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
                raise ValueError(f"{name}={url!r}: write scheme, host and port, and no password")
        return value

    @field_validator("http", "coap", "coaps")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @field_validator("mqtt")
    @classmethod
    def _broker(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("mqtt", "mqtts"):
            raise ValueError(f"{value!r} is no broker: write e.g. mqtt://127.0.0.1:1883, or off")
        return value

    @field_validator("otlp")
    @classmethod
    def _collector(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError(f"{value!r} is no collector: write e.g. http://127.0.0.1:4318, or off")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> CseConfig:
        if self.registrar and self.type is CseType.IN:
            raise ValueError("an IN-CSE has no registrar: drop --registrar, or use --type MN")
        if "@" in urlsplit(self.registrar).netloc:
            raise ValueError(
                "--registrar holds a password, which others could read in the resource tree: CSEs know each other by "
                "certificates (--tls-ca)"
            )
        if self.registrar and self.registrar_id == self.id:
            raise ValueError(f"a CSE cannot register with itself: --registrar-id and --id are both {self.id}")
        if not (self.http or self.mqtt or self.coap or self.coaps):
            raise ValueError("every binding is off: give at least one of --http, --mqtt, --coap, --coaps")
        if self.tls_key and not self.tls_cert:
            raise ValueError("--tls-key is the key of a certificate: give --tls-cert too")
        if self.tls_ca and not self.tls_cert:
            raise ValueError("--tls-ca asks clients for certificates over TLS: give --tls-cert too")
        if self.mqtt_key and not self.mqtt_cert:
            raise ValueError("--mqtt-key is the key of a certificate: give --mqtt-cert too")
        if (self.mqtt_ca or self.mqtt_cert) and not self.mqtt.startswith("mqtts:"):
            raise ValueError("--mqtt-ca and --mqtt-cert are for TLS: give --mqtt mqtts://host:8883")
        if self.name == self.id.lstrip("/"):
            raise ValueError(f"--name {self.name!r} must differ from the CSE-ID without its slash")
        if not self.insecure_dev:
            if self.admin:
                raise ValueError(
                    "--admin is believed from a header alone: it needs --insecure-dev; "
                    "for an administrator with a token: onemec device add admin --admin"
                )
            unprotected = [("--coap", self.coap, "use --coaps")]
            if not self.tls_cert:
                unprotected.insert(0, ("--http", self.http, "give --tls-cert"))
            for option, address, instead in unprotected:
                if address and not is_loopback(split_address(address)[0]):
                    raise ValueError(
                        f"{option} {address} can be reached from outside and anybody on the way can read credentials: "
                        f"{instead}, use a loopback address, or say --insecure-dev"
                    )
        return self

    def settings(self, poa: tuple[str, ...]) -> Settings:
        """What the core must know, with the points of access as they came to be."""
        return Settings(
            cse_type=self.type,
            cse_id=self.id,
            cse_name=self.name,
            sp_id=self.sp_id,
            releases=self.releases,
            poa=poa,
            admin=self.admin if self.insecure_dev else (),
            open_registration=self.insecure_dev,
            believe_originators=self.insecure_dev,
            allowed_originators=self.allowed_originators,
            max_expiration_s=self.max_expiration_s,
            default_expiration_s=min(self.default_expiration_s, self.max_expiration_s),
            request_expiration_s=self.request_expiration_s,
            request_timeout_s=self.request_timeout_s,
            max_subscriptions=self.max_subscriptions,
            max_subscriptions_per_resource=self.max_subscriptions_per_resource,
            lenient=self.profile == "lenient",
            registrar=self.registrar_id if self.registrar else "",
            in_cse_id=self.id if self.type is CseType.IN else "",
        )


def neighbours(config: CseConfig) -> dict[str, str]:
    """The addresses of what the console shows beside the CSE: adapter, cloud."""
    named = dict(text.split("=", 1) for text in config.console_peers)
    if "cloud" not in named and urlsplit(config.registrar).scheme in ("http", "https"):
        named["cloud"] = config.registrar
    return named


def outbound_rules(config: CseConfig) -> Rules:
    """Where a CSE may send besides public addresses: what its configuration says, or what fits its profile."""
    words = config.outbound
    if not words:
        listening = [split_address(address)[0] for address in (config.http, config.coap) if address]
        only_here = all(is_loopback(host) for host in listening)
        words = (LOOPBACK, PRIVATE) if config.insecure_dev else (LOOPBACK,) if only_here else ()
    trusted = urlsplit(config.registrar)
    if trusted.hostname:
        # The operator named the registrar, so that is where it is.
        host = f"[{trusted.hostname}]" if ":" in trusted.hostname else trusted.hostname
        port = trusted.port or _PORTS.get(trusted.scheme, 0)
        words = (*words, f"{host}:{port}" if port else host)
    return parse_rules(words)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[v6]:port`` or ``:port``.

    Raises:
        ValueError: no port, or not a number from 0 to 65535.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is no address: write host:port, e.g. 127.0.0.1:8080")
    return host.strip("[]") or "127.0.0.1", int(port)


def load_config(options: Mapping[str, Any], *, file: Path | None = None) -> CseConfig:
    """Put a configuration together: options, then ``ONEMEC_CSE_<FIELD>`` variables, then the file, then defaults.

    Args:
        options: what the command line gave, by field name; None means not given.
        file: a TOML file whose ``[cse]`` table (or top level) names fields.

    Raises:
        ConfigError: unreadable file, unknown name, or a value that cannot work.
    """
    section: dict[str, Any] = {}
    if file is not None:
        try:
            table = tomllib.loads(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"configuration file {file}: {error}") from error
        section = {name.replace("-", "_"): value for name, value in table.get("cse", table).items()}

    class _WithFile(CseConfig):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, EnvSettingsSource(settings_cls), InitSettingsSource(settings_cls, section)

    try:
        return _WithFile(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(_in_words(where, first)) from error


def _in_words(where: str, error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"there is no setting {where!r}: see onemec cse --help"
    return f"{where}: {message}" if where else message
