"""What the APIs on Mp1 share: endpoint tables, common data types, tolerance for wrapped bodies [MEC 011, MEC 009]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Api:
    """One API below the root of a MEC platform.

    Attributes:
        name: apiName of the URI.
        versions: apiVersions to try, the preferred one first.
    """

    name: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of an API.

    Attributes:
        method: HTTP method.
        path: relative to the API's version, with ``{placeholders}``.
        success: status codes that mean it was done.
        body: type name some peers wrap the answer in.
    """

    method: str
    path: str
    success: tuple[int, ...]
    body: str = ""


class Link(TypedDict):
    """A link [MEC 009 6.14]."""

    href: str


class CategoryRef(TypedDict):
    """A service category; all four are mandatory [MEC 011 8.1.5.2]."""

    href: str
    id: str
    name: str
    version: str


class Address(TypedDict):
    """Host and port [MEC 011 8.1.5.3]."""

    host: str
    port: int


class EndPointInfo(TypedDict):
    """Exactly one of these [MEC 011 8.1.5.3]; ``fqdn`` is unknown to peers of V2.2.1."""

    uris: NotRequired[list[str]]
    fqdn: NotRequired[list[str]]
    addresses: NotRequired[list[Address]]
    alternative: NotRequired[JsonObject]


class TransportInfo(TypedDict):
    """How a service is reached [MEC 011 8.1.2.3]."""

    id: str
    name: str
    description: NotRequired[str]
    type: str
    protocol: str
    version: str
    endpoint: EndPointInfo
    security: JsonObject
    implSpecificInfo: NotRequired[JsonObject]


def unwrapped(body: Any, type_name: str) -> Any:
    """A body without the ``{TypeName: ...}`` wrapper that the published OpenAPI files model and nobody sends.

    Args:
        body: decoded JSON.
        type_name: the data type it should be; "" leaves the body alone.
    """
    if not type_name or not isinstance(body, dict) or len(body) != 1:
        return body
    key, inner = next(iter(body.items()))
    wanted = type_name.lower()
    if key.lower() in (wanted, wanted + "list") and isinstance(inner, dict | list):
        return inner
    return body


def as_list(body: Any) -> list[JsonObject]:
    """The objects of a list answer; a single object (seen from peers that wrap) counts as a list of one."""
    if isinstance(body, dict):
        return [body] if body else []
    return [entry for entry in body if isinstance(entry, dict)] if isinstance(body, list) else []
