"""Who may prove to be whom: the credentials of devices, CSEs and administrators, in one file (TS-0003; ADR 0016).

A credential belongs to one entity: an AE-ID or a CSE-ID. Tokens are kept as SHA-256 only; pre-shared keys must be
known to both sides, so the file is for its owner's eyes alone (mode 0600). A running CSE sees changes by itself.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cse.onem2m.addressing import is_entity_id, is_resource_name
from cse.onem2m.errors import SecurityAssociationRequired

#: where credentials are when nobody says otherwise
DEFAULT_FILE = "onemec-credentials.json"
DEVICE, ADMIN, CSE = "device", "admin", "cse"
_ROLES = (DEVICE, ADMIN, CSE)
_CONSOLE_ROLES = ("", "viewer", "operator")
_TOKEN_BYTES, _KEY_BYTES, _SALT_BYTES = 24, 16, 12
#: Mosquitto's own number; a token has 192 random bits, which no number of rounds makes safer
_MQTT_ROUNDS = 101
_NO_CHANGE = (0, 0, 0)
_CERTIFICATE_NAME = re.compile(r"urn:(?:[A-Za-z0-9.-]+:)+(ae|cse):([^:]+)", re.IGNORECASE)


class CredentialsError(Exception):
    """The credentials cannot be used or changed. The message is one line that says what to mend."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What one entity proves itself with.

    Attributes:
        name: what people call it.
        entity: its AE-ID or CSE-ID in the shortest form, e.g. ``Clamp1`` or ``/id-mn``.
        role: ``device``, ``admin`` (full access) or ``cse`` (may send for those below it).
        token_sha256: of the bearer token, in hex.
        psk: the pre-shared key of DTLS; its identity is ``entity``.
        mqtt_password: the token as Mosquitto keeps passwords.
        console: the role of a device in the console: ``operator``, or "" for a viewer.
    """

    name: str
    entity: str
    role: str
    token_sha256: str
    psk: str
    mqtt_password: str
    console: str = ""

    @property
    def mqtt_user(self) -> str:
        """The user name at the broker: the entity as a topic level."""
        return self.entity.removeprefix("/").replace("/", ":")


def new_credential(name: str, entity: str, role: str, console: str = "") -> tuple[Credential, str]:
    """A credential with fresh secrets, and its token, which nothing can show again.

    Args:
        name: what people call it.
        entity: AE-ID or CSE-ID.
        role: ``device``, ``admin`` or ``cse``.
        console: the role in the console: ``operator``, or "" for what goes with the role.

    Raises:
        CredentialsError: no name, or no identifier of the role's kind; or no role in the console.
    """
    if console not in _CONSOLE_ROLES:
        raise CredentialsError(f"{console!r} is no role in the console: say viewer or operator")
    if not is_resource_name(name):
        raise CredentialsError(f"{name!r} is no name: use letters, digits, '-', '.', '_'")
    if role == CSE and not (is_entity_id(entity) and entity.startswith("/") and entity.count("/") == 1):
        raise CredentialsError(f"{entity!r} is no CSE-ID: write a slash and a name, e.g. /id-mn")
    if role != CSE and not (is_resource_name(entity) and entity[0] in "CS" and len(entity) > 1):
        raise CredentialsError(f"{entity!r} is no AE-ID: begin it with C or S, e.g. Clamp1")
    token = secrets.token_hex(_TOKEN_BYTES)
    key = secrets.token_hex(_KEY_BYTES)
    return Credential(name, entity, role, _sha256(token), key, _mosquitto_hash(token), console), token


class CredentialFile:
    """The credentials on disk. Changes replace the file in one step; several processes may make them.

    Args:
        path: where it is, or will be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Credential]:
        """All credentials by name; none when there is no file.

        Raises:
            CredentialsError: it cannot be read, or is no file of credentials.
        """
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsError(f"credentials {self.path}: {_words(error)}") from error
        try:
            entries = json.loads(text)["credentials"]
            found = [Credential(**{"mqtt_password": "", **entry}) for entry in entries]
        except (ValueError, KeyError, TypeError) as error:
            raise CredentialsError(f"credentials {self.path}: this is no file of onemec device") from error
        for credential in found:
            sound = credential.role in _ROLES and all(isinstance(value, str) for value in asdict(credential).values())
            if not sound or not is_entity_id(credential.entity) or credential.console not in _CONSOLE_ROLES:
                raise CredentialsError(f"credentials {self.path}: the entry {credential.name!r} makes no sense")
        return {credential.name: credential for credential in found}

    def add(self, credential: Credential) -> None:
        """Keep one more.

        Raises:
            CredentialsError: its name or its entity has one already, or the file cannot be written.
        """
        with self._changing() as known:
            if credential.name in known:
                raise CredentialsError(f"{credential.name} is there already: rotate or remove it first")
            if any(other.entity == credential.entity for other in known.values()):
                raise CredentialsError(f"{credential.entity} has a credential already: rotate or remove it first")
            known[credential.name] = credential

    def rotate(self, name: str) -> tuple[Credential, str]:
        """Give an entity new secrets; the old ones are worth nothing from now on. Returns it and its token.

        Raises:
            CredentialsError: there is none of this name, or the file cannot be written.
        """
        with self._changing() as known:
            old = _named(known, name, self.path)
            fresh, token = new_credential(name, old.entity, old.role, old.console)
            known[name] = fresh
        return fresh, token

    def remove(self, name: str) -> Credential:
        """Take a credential away and return it.

        Raises:
            CredentialsError: there is none of this name, or the file cannot be written.
        """
        with self._changing() as known:
            gone = _named(known, name, self.path)
            del known[name]
        return gone

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Credential]]:
        import fcntl  # absent on Windows, where a CSE can run but credentials are not changed

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_name(f".{self.path.name}.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                known = self.read()
                yield known
                self._write(known)
        except OSError as error:
            raise CredentialsError(f"credentials {self.path}: {_words(error)}") from error

    def _write(self, known: dict[str, Credential]) -> None:
        text = json.dumps({"credentials": [asdict(credential) for credential in known.values()]}, indent=1)
        write_private(self.path, text + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step and durably."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _named(known: dict[str, Credential], name: str, path: Path) -> Credential:
    if name not in known:
        there = f"there are {', '.join(known)}" if known else "there is none"
        raise CredentialsError(f"{path} has no credential {name!r}: {there}")
    return known[name]


class Credentials:
    """The credentials as a CSE or a broker looks them up: each look-up is one of a dictionary.

    Args:
        path: the file; it may appear later.

    Raises:
        CredentialsError: the file is there and cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._file = CredentialFile(path)
        self._seen = _NO_CHANGE
        self._by_token: dict[str, Credential] = {}
        self._by_entity: dict[str, Credential] = {}
        self._by_user: dict[str, Credential] = {}
        #: called after a change was read
        self.on_change: Callable[[], None] = lambda: None
        self.refresh()

    def __len__(self) -> int:
        return len(self._by_entity)

    @property
    def admins(self) -> tuple[str, ...]:
        """The entities with full access."""
        return tuple(known.entity for known in self._by_entity.values() if known.role == ADMIN)

    def refresh(self) -> bool:
        """Read the file when it changed; True when it did.

        Raises:
            CredentialsError: it cannot be used; what was read before stays in force.
        """
        try:
            state = self._file.path.stat()
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
        except OSError:
            seen = _NO_CHANGE
        if seen == self._seen:
            return False
        known = self._file.read().values()
        self._seen = seen
        self._by_token = {credential.token_sha256: credential for credential in known}
        self._by_entity = {credential.entity: credential for credential in known}
        self._by_user = {credential.mqtt_user: credential for credential in known}
        self.on_change()
        return True

    def console_role(self, entity: str) -> str:
        """The role in the console that an entity was given, "" for what goes with its credential."""
        known = self._by_entity.get(entity)
        return known.console if known is not None else ""

    def holds(self, entity: str) -> bool:
        """Whether an entity has a credential."""
        return entity in self._by_entity

    def of_header(self, value: str) -> str:
        """The entity that ``Authorization: Bearer <token>`` or ``Basic <entity>:<token>`` proves.

        A value without a scheme is a oneM2M token (TS-0009 clause 6.4), which proves nothing here: "".

        Raises:
            SecurityAssociationRequired: the credential is worth nothing.
        """
        scheme, space, rest = value.strip().partition(" ")
        kind, rest = scheme.lower(), rest.strip()
        if not space:
            return ""
        if kind == "bearer":
            return self.of_token(rest)
        if kind == "basic":
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                entity, _, token = base64.b64decode(rest, validate=True).decode().partition(":")
                if self.is_token_of(entity, token):
                    return entity
        raise _worthless()

    def of_token(self, token: str) -> str:
        """The entity a bearer token proves.

        Raises:
            SecurityAssociationRequired: it is nobody's.
        """
        digest = _sha256(token)
        known = self._by_token.get(digest)
        if known is None and self._refreshed():
            known = self._by_token.get(digest)
        if known is None:
            raise _worthless()
        return known.entity

    def is_token_of(self, entity: str, token: str) -> bool:
        """Whether a bearer token proves this entity."""
        with contextlib.suppress(SecurityAssociationRequired):
            return self.of_token(token) == entity
        return False

    def key_of(self, entity: str) -> bytes | None:
        """The pre-shared key of an entity, None when it has none."""
        known = self._by_entity.get(entity)
        if known is None and self._refreshed():
            known = self._by_entity.get(entity)
        return known.psk.encode() if known is not None and known.psk else None

    def is_mqtt_password(self, user: str, password: str) -> bool:
        """Whether a user may connect to a broker with this password, which is the token."""
        digest = _sha256(password)
        known = self._by_user.get(user)
        if (known is None or known.token_sha256 != digest) and self._refreshed():
            known = self._by_user.get(user)
        return known is not None and secrets.compare_digest(known.token_sha256, digest)

    def _refreshed(self) -> bool:
        with contextlib.suppress(CredentialsError):
            return self.refresh()
        return False


def _worthless() -> SecurityAssociationRequired:
    return SecurityAssociationRequired(
        "the credential is not known here, or was removed: get one with `onemec device add <name>`"
    )


def entity_of_certificate(certificate: dict[str, Any] | None) -> str:
    """The entity a verified certificate names: a URI ``urn:...:ae:<AE-ID>`` or ``urn:...:cse:<CSE-ID>`` among its
    alternative names, else its common name when that is an AE-ID or CSE-ID; "" for none (TS-0003 clause 10).

    Args:
        certificate: as ``ssl.SSLObject.getpeercert`` gives it.
    """
    if not certificate:
        return ""
    uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    names = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return entity_of_names(uris, names)


def entity_of_names(uris: Sequence[str], common_names: Sequence[str]) -> str:
    """The entity that the names in a certificate stand for, "" for none."""
    for uri in uris:
        match = _CERTIFICATE_NAME.fullmatch(uri)
        if match is not None:
            entity = match[2] if match[1].lower() == "ae" else f"/{match[2].lstrip('/')}"
            return entity if is_entity_id(entity) else ""
    name = common_names[-1] if common_names else ""
    return name if is_entity_id(name) and name[0] in "CS/" and len(name) > 1 else ""


def mosquitto_files(known: Sequence[Credential]) -> tuple[str, str]:
    """The password file and the ACL file that make Mosquitto bind topics to users (TS-0010 clause 6.1)."""
    passwords = "".join(f"{credential.mqtt_user}:{credential.mqtt_password}\n" for credential in known)
    return passwords, "".join(f"{line}\n" for line in (_ACL_HEAD, *(f"pattern {rule}" for rule in ACL_PATTERNS)))


_ACL_HEAD = "# written by onemec device: a user is an AE-ID or CSE-ID and sends and listens under that name only"
#: ``%u`` is the user name; requests and responses keep originator and receiver in their places
ACL_PATTERNS = (
    "write /oneM2M/req/%u/#",
    "read /oneM2M/req/+/%u/#",
    "write /oneM2M/resp/+/%u/#",
    "read /oneM2M/resp/%u/#",
    "write /oneM2M/reg_req/%u/#",
    "read /oneM2M/reg_req/+/%u/#",
    "write /oneM2M/reg_resp/+/%u/#",
    "read /oneM2M/reg_resp/%u/#",
)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _mosquitto_hash(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _MQTT_ROUNDS)
    salted, hashed = base64.b64encode(salt).decode(), base64.b64encode(digest).decode()
    return f"$7${_MQTT_ROUNDS}${salted}${hashed}"


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


__all__ = [
    "ACL_PATTERNS",
    "ADMIN",
    "CSE",
    "DEFAULT_FILE",
    "DEVICE",
    "Credential",
    "CredentialFile",
    "Credentials",
    "CredentialsError",
    "entity_of_certificate",
    "entity_of_names",
    "mosquitto_files",
    "new_credential",
    "write_private",
]
