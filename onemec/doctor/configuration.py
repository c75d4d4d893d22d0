"""The configuration: does it hold together, do its files fit, is every variable one that is read?"""

from __future__ import annotations

import datetime
import socket
import ssl
import stat
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from onemec.doctor.findings import Finding, ok, problem, skipped, warning

if TYPE_CHECKING:
    from cse.config import CseConfig

_SOON_DAYS = 14
_WAIT_S = 5.0
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "mqtt": 1883, "mqtts": 8883}


def look_at_configuration(config: CseConfig) -> Iterator[Finding]:
    """What a configuration that can be read says besides.

    Args:
        config: of the CSE.
    """
    yield from _files(config)
    yield from _contradictions(config)
    yield _registrar(config)


def look_at_variables(environment: Mapping[str, str], known: set[str]) -> Finding:
    """Whether somebody set a variable of ours that nobody reads.

    Args:
        environment: all variables.
        known: names that are read.
    """
    check = "variables"
    unknown = sorted(name for name in environment if name.startswith("ONEMEC_") and name not in known)
    if not unknown:
        return ok(check, f"{sum(name in known for name in environment)} variables ONEMEC_... are set, and all are read")
    meant = [
        f"{name} (meant {near[0]}?)" if (near := get_close_matches(name, known, 1)) else name for name in unknown
    ]  # fmt: skip
    return problem(check, f"nobody reads {', '.join(meant)}", "see onemec config show; unset what is wrong")


def _files(config: CseConfig) -> Iterator[Finding]:
    if config.tls_cert:
        yield _certificate("certificate", config.tls_cert, config.tls_key, "--tls-cert", "--tls-key")
    if config.mqtt_cert:
        yield _certificate("broker certificate", config.mqtt_cert, config.mqtt_key, "--mqtt-cert", "--mqtt-key")
    for option, name in (("--tls-ca", config.tls_ca), ("--mqtt-ca", config.mqtt_ca)):
        if name:
            yield _authority(option, name)
    if config.credentials:
        yield _credentials(Path(config.credentials))


def _certificate(check: str, cert: str, key: str, option: str, key_option: str) -> Finding:
    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key or None)
        found = x509.load_pem_x509_certificates(Path(cert).read_bytes())[0]
    except FileNotFoundError:
        name = cert if not Path(cert).exists() else key
        return problem(check, f"there is no file {name}", f"mend {option} and {key_option}")
    except ssl.SSLError as error:
        words = "the key is not that of the certificate" if error.reason == "KEY_VALUES_MISMATCH" else str(error)
        return problem(check, f"{cert}: {words}", f"mend {option} and {key_option}")
    except (OSError, ValueError) as error:
        return problem(check, f"{cert}: {error}", f"mend {option} and {key_option}")
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    until = f"{found.not_valid_after_utc:%Y-%m-%d}"
    if left.total_seconds() < 0:
        return problem(check, f"{cert} was valid until {until}", "renew it")
    if left.days < _SOON_DAYS:
        return warning(check, f"{cert} is valid until {until} only", "renew it")
    return ok(check, f"{cert} is valid until {until}, and its key fits")


def _authority(option: str, name: str) -> Finding:
    try:
        ssl.create_default_context(cafile=name)
    except (OSError, ssl.SSLError) as error:
        return problem(option.lstrip("-"), f"{name}: {error.strerror or error}", f"mend {option}: a PEM file")
    return ok(option.lstrip("-"), f"{name} can be read")


def _credentials(path: Path) -> Finding:
    from cse.credentials import CredentialFile, CredentialsError

    check = "credentials"
    if not path.exists():
        return skipped(check, f"there is no {path}: nobody can prove who it is (onemec device add)")
    try:
        known = CredentialFile(path).read()
        mode = stat.S_IMODE(path.stat().st_mode)
    except (CredentialsError, OSError) as error:
        return problem(check, str(error), "mend --credentials")
    if mode & 0o077:
        return problem(check, f"{path} can be read by others (mode {mode:04o}); keys are in it", f"chmod 600 {path}")
    return ok(check, f"{len(known)} in {path}")


def _contradictions(config: CseConfig) -> Iterator[Finding]:
    from cse.config import split_address
    from cse.onem2m.addressing import is_loopback

    check, found = "settings", False
    listening = [address for address in (config.http, config.coap, config.coaps) if address]
    outside = [address for address in listening if not is_loopback(split_address(address)[0])]
    if config.insecure_dev and outside:
        found = True
        yield warning(
            check,
            f"--insecure-dev believes everybody, and {', '.join(outside)} can be reached from outside",
            "use credentials (onemec device add), or listen on loopback",
        )
    if config.mqtt and not config.mqtt_acl and not config.insecure_dev:
        found = True
        yield warning(
            check,
            "nothing that comes over MQTT is believed without --mqtt-acl",
            "bind topics to users (onemec device mosquitto) and say --mqtt-acl",
        )
    if config.default_expiration_s > config.max_expiration_s:
        found = True
        yield warning(
            check,
            f"--default-expiration ({config.default_expiration_s:g} s) is more than --max-expiration "
            f"({config.max_expiration_s:g} s), which wins",
            "make it no more than that",
        )
    if config.workers and not config.store.startswith("postgres"):
        found = True
        yield problem(check, "--workers needs a store they can share", "give --store postgresql://..., or no --workers")
    if config.allowed_originators and config.insecure_dev:
        found = True
        yield warning(
            check,
            "--allow has no credentials behind it: with --insecure-dev anybody can call itself that",
            "drop --insecure-dev, and give credentials with onemec device add",
        )
    if not found:
        yield ok(check, "they hold together")


def _registrar(config: CseConfig) -> Finding:
    check = "registrar"
    if not config.registrar:
        return skipped(check, "none is configured")
    parts = urlsplit(config.registrar)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if parts.scheme == "coap" or not parts.hostname or not port:
        return skipped(check, f"{config.registrar} cannot be tried without a request")
    try:
        with socket.create_connection((parts.hostname, port), timeout=_WAIT_S):
            return ok(check, f"{config.registrar} can be reached")
    except OSError as error:
        return problem(
            check,
            f"nothing answers at {config.registrar}: {error.strerror or error}",
            "start it, or mend --registrar; until then this CSE works alone",
        )
