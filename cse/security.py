"""What the bindings of one CSE need to know who is there: credentials and TLS contexts (TS-0003; trust.md R2, R20)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cse.bindings.dtls_secrets import DtlsSecrets
from cse.config import CseConfig, split_address
from cse.credentials import Credentials, CredentialsError, entity_of_certificate, entity_of_names
from cse.onem2m.addressing import is_loopback, shorten

_log = logging.getLogger("cse.security")
_LOOK_EVERY_S = 1.0


class SecurityError(Exception):
    """The CSE cannot be made safe as configured. The message is one line that says what to mend."""


class Security:
    """The credentials and certificates of one CSE.

    Args:
        config: names the files.

    Raises:
        SecurityError: a file cannot be used, or the CSE would be reachable with nobody able to prove who he is.
    """

    def __init__(self, config: CseConfig) -> None:
        self._config = config
        self.credentials: Credentials | None = None
        if config.credentials:
            try:
                self.credentials = Credentials(Path(config.credentials))
            except CredentialsError as error:
                raise SecurityError(str(error)) from error
        self._refuse_the_unprovable()

    def _refuse_the_unprovable(self) -> None:
        config = self._config
        if config.insecure_dev or self.credentials or config.tls_ca or (config.mqtt and config.mqtt_acl):
            return
        for option, address in (("--http", config.http), ("--coaps", config.coaps)):
            if address and not is_loopback(split_address(address)[0]):
                raise SecurityError(
                    f"{option} {address} can be reached from outside and nobody has a credential: "
                    f"make one with `onemec device add admin --admin --credentials {config.credentials or 'FILE'}`, "
                    "or trust certificates with --tls-ca"
                )

    @property
    def admins(self) -> tuple[str, ...]:
        """The entities with full access: those of the credentials, with insecure-dev the configured ones too."""
        own = self._config.admin if self._config.insecure_dev else ()
        return (*own, *(self.credentials.admins if self.credentials is not None else ()))

    @property
    def authenticate(self) -> Callable[[str], str] | None:
        """Gives the entity an Authorization header proves; None when there are no credentials at all."""
        return self.credentials.of_header if self.credentials is not None else None

    def key_of(self, identity: str) -> bytes | None:
        """The pre-shared key of an entity, None when it has none."""
        return self.credentials.key_of(self._short(identity)) if self.credentials is not None else None

    def entity_of_certificate(self, certificate: dict[str, Any] | None) -> str:
        """The entity a verified client certificate names, in its shortest form; "" for none."""
        entity = entity_of_certificate(certificate)
        return self._short(entity) if entity else ""

    def _short(self, entity: str) -> str:
        return shorten(entity, self._config.sp_id, self._config.id)

    async def watch(self) -> None:
        """Look for changed credentials, for ever."""
        told = ""
        while self.credentials is not None:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                if self.credentials.refresh():
                    _log.info("credentials read again: %d", len(self.credentials))
                told = ""
            except CredentialsError as error:
                if str(error) != told:
                    told = str(error)
                    _log.error("%s: the earlier ones stay in force", told)

    # --- TLS ------------------------------------------------------------------------------------------------------

    def server_tls(self) -> ssl.SSLContext | None:
        """What the HTTPS and WSS server shows of itself and asks of clients (TLS 1.2 or later); None without TLS.

        Raises:
            SecurityError: the files cannot be used.
        """
        config = self._config
        if not config.tls_cert:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load_chain(context, config.tls_cert, config.tls_key, "--tls-cert", "--tls-key")
        if config.tls_ca:
            _load_authority(context, config.tls_ca, "--tls-ca")
            # Who has none may still prove himself by a token.
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def client_tls(self) -> ssl.SSLContext | None:
        """What this CSE trusts and shows when it connects to others: CSEs that trust ``--tls-ca`` know each other.

        Raises:
            SecurityError: the files cannot be used.
        """
        config = self._config
        if not config.tls_ca:
            return None
        context = ssl.create_default_context()
        _load_authority(context, config.tls_ca, "--tls-ca")
        if config.tls_cert:
            _load_chain(context, config.tls_cert, config.tls_key, "--tls-cert", "--tls-key")
        return context

    def dtls(self) -> DtlsSecrets:
        """What the CoAPS server proves itself with and asks for."""
        config = self._config
        return DtlsSecrets(
            self.key_of,
            config.tls_cert,
            config.tls_key,
            config.tls_ca,
            lambda uris, names: self._short(entity_of_names(uris, names)),
        )

    def mqtt_tls(self) -> ssl.SSLContext | None:
        """What this CSE trusts and shows at an MQTTS broker; None for the system's authorities.

        Raises:
            SecurityError: the files cannot be used.
        """
        config = self._config
        if not (config.mqtt_ca or config.mqtt_cert):
            return None
        context = ssl.create_default_context(cafile=None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.mqtt_ca:
            _load_authority(context, config.mqtt_ca, "--mqtt-ca")
        if config.mqtt_cert:
            _load_chain(context, config.mqtt_cert, config.mqtt_key, "--mqtt-cert", "--mqtt-key")
        return context


def _load_chain(context: ssl.SSLContext, cert: str, key: str, cert_option: str, key_option: str) -> None:
    try:
        # Without a password callback OpenSSL would ask for one on the terminal.
        context.load_cert_chain(cert, key or None, password="")
    except (OSError, ssl.SSLError) as error:
        files = f"{cert_option} {cert} {key_option} {key or cert}"
        raise SecurityError(f"{files} cannot be used ({error}): give PEM files of a certificate and its key") from error


def _load_authority(context: ssl.SSLContext, path: str, option: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise SecurityError(
            f"{option} {path} cannot be used ({error}): give a PEM file of the certificate authority"
        ) from error
