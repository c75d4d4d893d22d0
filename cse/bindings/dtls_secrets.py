"""What a DTLS server proves itself with (RFC 6347); apart, because who serves no CoAPS need not load OpenSSL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class DtlsError(Exception):
    """DTLS cannot be set up. The message says in one line what to mend."""


@dataclass(frozen=True, slots=True)
class DtlsSecrets:
    """What a DTLS server proves itself with and what it asks for.

    Attributes:
        key_of: the pre-shared key of an identity, None when it has none.
        cert: PEM file of the own certificate chain, "" for pre-shared keys only.
        key: PEM file of its private key, "" when it is in ``cert``.
        ca: PEM file of the authority of clients' certificates, "" for none.
        entity_of_names: the entity that URIs and common names of a certificate stand for, "" for none.
    """

    key_of: Callable[[str], bytes | None]
    cert: str = ""
    key: str = ""
    ca: str = ""
    entity_of_names: Callable[[list[str], list[str]], str] = lambda _uris, _names: ""
