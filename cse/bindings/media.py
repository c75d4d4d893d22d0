"""Media types of bodies and the choice of the answer's, shared by the HTTP and CoAP bindings (TS-0009 6.4.2, 6.4.5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cse.onem2m.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from cse.onem2m.serialisation import dump_cbor, dump_json, load_cbor, load_json

JSON = "json"
CBOR = "cbor"
#: plain media type of each serialisation this CSE reads and writes
MEDIA_TYPES = {JSON: "application/json", CBOR: "application/cbor"}
#: every media type accepted for a body, and its serialisation; a plain type and its vendor types mean the same
SERIALISATIONS: dict[str, str] = {
    **{media_type: serialisation for serialisation, media_type in MEDIA_TYPES.items()},
    **{
        f"application/vnd.onem2m-{kind}+{serialisation}": serialisation
        for kind in ("res", "ntfy", "preq", "prsp")
        for serialisation in MEDIA_TYPES
    },
}
_SUPPORTED = " or ".join(MEDIA_TYPES.values())
_TYPE_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ContentType:
    """A parsed Content-Type.

    Attributes:
        media_type: type and subtype in lower case, without parameters.
        serialisation: ``json`` or ``cbor``; "" when this CSE cannot read the type.
        resource_type: the ``ty`` parameter, or None.
    """

    media_type: str
    serialisation: str
    resource_type: int | None


@lru_cache(maxsize=256)
def parse_content_type(text: str) -> ContentType:
    """Take a Content-Type apart; blanks around its parts are ignored.

    Raises:
        BadRequest: the ``ty`` parameter is no number, or stands twice.
    """
    media_type, *parameters = (part.strip() for part in text.split(";"))
    resource_type = None
    readable = True
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name == "ty":
            if resource_type is not None:
                raise BadRequest("Content-Type has 'ty' twice: send it once")
            if not _TYPE_NUMBER.fullmatch(value):
                raise BadRequest(f"Content-Type has ty={value!r}: send a resource type number, e.g. ty=3")
            resource_type = int(value)
        elif name == "charset" and value.lower() not in ("utf-8", "utf8", "us-ascii"):
            readable = False
    media_type = media_type.lower()
    return ContentType(media_type, SERIALISATIONS.get(media_type, "") if readable else "", resource_type)


def load_body(serialisation: str, body: bytes) -> Any:
    """The value of a body.

    Args:
        serialisation: ``json`` or ``cbor``.
        body: at least one byte.

    Raises:
        BadRequest: the body is not well formed or beyond the limits of content.
    """
    return load_json(body) if serialisation == JSON else load_cbor(body)


def dump_body(serialisation: str, value: Any) -> bytes:
    """The body that carries a value.

    Args:
        serialisation: ``json`` or ``cbor``.
        value: made of plain types.
    """
    return dump_json(value) if serialisation == JSON else dump_cbor(value)


def unsupported(media_type: str) -> UnsupportedMediaType:
    """The error for a body whose media type this CSE cannot read."""
    named = f"is {media_type!r}" if media_type else "is missing"
    return UnsupportedMediaType(f"Content-Type {named}: send {_SUPPORTED}")


@lru_cache(maxsize=256)
def choose_media_type(accept: str, default: str) -> str:
    """The media type of the answer.

    The supported entry of highest quality wins, of equal ones the default if it is among them, else the first. A
    wildcard stands for the default.

    Args:
        accept: an Accept header, or several joined by commas; "" accepts everything.
        default: a key of SERIALISATIONS used where the originator leaves the choice.

    Raises:
        NotAcceptable: nothing in ``accept`` is supported.
    """
    if not accept.strip():
        return default
    best, best_quality = "", 0.0
    for entry in accept.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = _quality(parameters)
        if name in ("*/*", "application/*", "*"):
            name = default
        if name not in SERIALISATIONS or quality < best_quality or quality == 0.0:
            continue
        if quality > best_quality or (name == default and best != default):
            best, best_quality = name, quality
    if not best:
        raise NotAcceptable(f"Accept is {accept!r}, which this CSE cannot write: accept {_SUPPORTED}")
    return best


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            # A malformed weight says nothing; the type itself was still named.
            return float(value.strip()) if _QUALITY.fullmatch(value.strip()) else 1.0
    return 1.0
