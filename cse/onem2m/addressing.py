"""Identifiers and addresses of entities and resources (TS-0001 clause 7, TS-0004 clause 6.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from cse.onem2m.errors import BadRequest

_SEGMENT = re.compile(r"[A-Za-z0-9\-._~]+", re.ASCII)
_ENTITY = re.compile(r"[A-Za-z0-9\-._~]+", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*://", re.IGNORECASE | re.ASCII)
#: longest identifier accepted, in characters (trust.md C)
MAX_ID_LENGTH = 512
MAX_NAME_LENGTH = 128
#: identifiers remembered as taken apart: devices say the same few again and again
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed ``to`` (TS-0001 clause 7.2).

    Attributes:
        sp_id: the M2M-SP-ID with its leading ``//``, or "" when the address is not absolute.
        cse_id: the CSE-ID with its leading ``/``, or "" when the address is CSE-relative.
        segments: path segments below the CSE: the CSEBase name or a resource-ID first; may be empty.
        attribute: the short name after ``#``, or "".
    """

    sp_id: str
    cse_id: str
    segments: tuple[str, ...]
    attribute: str = ""

    @property
    def text(self) -> str:
        """The address as a ``to``."""
        path = "/".join((self.cse_id, *self.segments) if self.cse_id else self.segments)
        return f"{self.sp_id}{path}#{self.attribute}" if self.attribute else self.sp_id + path


@lru_cache(maxsize=_REMEMBERED)
def parse_address(to: str) -> Address:
    """Take a ``to`` apart: CSE-relative, SP-relative or absolute, with an optional ``#attribute``.

    Raises:
        BadRequest: empty, a trailing or double slash, or a character outside the allowed set.
    """
    path, _, attribute = to.partition("#")
    if not path or len(path) > MAX_ID_LENGTH:
        raise BadRequest(f"'to' must be an address of 1 to {MAX_ID_LENGTH} characters, e.g. cse-name/my-ae")
    if attribute and not _SEGMENT.fullmatch(attribute):
        raise BadRequest(f"'to' names no attribute after '#': {attribute!r}")
    if path.startswith("//"):
        parts = path[2:].split("/")
        sp_id, cse_id, segments = "//" + parts[0], "/" + parts[1] if len(parts) > 1 else "", parts[2:]
        if not cse_id:
            raise BadRequest(f"'to' {to!r} names a service provider but no CSE: send //sp-id/cse-id/resource")
    elif path.startswith("/"):
        parts = path[1:].split("/")
        sp_id, cse_id, segments = "", "/" + parts[0], parts[1:]
    else:
        parts = segments = path.split("/")
        sp_id = cse_id = ""
    for segment in parts:
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise BadRequest(
                f"'to' {to!r} has an empty or invalid path segment {segment!r}: "
                "use letters, digits, '-', '.', '_', no trailing slash"
            )
    return Address(sp_id, cse_id, tuple(segments), attribute)


def is_resource_name(name: str) -> bool:
    """Whether ``name`` may be a resourceName (TS-0001 clause 7.2, unreserved characters)."""
    return 0 < len(name) <= MAX_NAME_LENGTH and _SEGMENT.fullmatch(name) is not None and name not in (".", "..", "-")


def is_url(target: str) -> bool:
    """Whether a notification target or poa is a URL (it has a scheme) rather than an identifier."""
    return _SCHEME.match(target) is not None


@lru_cache(maxsize=_REMEMBERED)
def is_entity_id(text: str) -> bool:
    """Whether ``text`` is an AE-ID stem, or an SP-relative or absolute AE-ID or CSE-ID."""
    if not text or len(text) > MAX_ID_LENGTH:
        return False
    return all(_ENTITY.fullmatch(part) for part in text.lstrip("/").split("/")) and not text.startswith("///")


def shorten(identifier: str, sp_id: str, cse_id: str) -> str:
    """The shortest unique form of an entity or resource identifier at this CSE (TS-0001 clause 7.2).

    The own SP-ID is dropped, then the own CSE-ID; ``/S...`` becomes the stem. Other identifiers stay as they are.

    Args:
        identifier: any form.
        sp_id: the own M2M-SP-ID, ``//...`` or "".
        cse_id: the own CSE-ID with leading slash.
    """
    if not identifier.startswith("/"):
        return identifier
    if identifier.startswith("//"):
        if not sp_id or not identifier.startswith(sp_id + "/"):
            return identifier
        identifier = identifier[len(sp_id) :]
    if identifier.startswith(cse_id + "/"):
        return identifier[len(cse_id) + 1 :]
    if identifier.startswith("/S") and "/" not in identifier[1:]:
        return identifier[1:]
    return identifier


def sp_relative(identifier: str, cse_id: str) -> str:
    """The SP-relative form of an identifier local to ``cse_id``; SP-relative and absolute ones stay as they are.

    An S-stem is unique in the service provider, so its SP-relative form is ``/S...`` (TS-0001 clause 7.2).
    """
    if identifier.startswith("/"):
        return identifier
    if identifier.startswith("S") and "/" not in identifier:
        return "/" + identifier
    return f"{cse_id}/{identifier}"


@lru_cache(maxsize=4096)
def is_loopback(host: str) -> bool:
    """Whether an address or name can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
