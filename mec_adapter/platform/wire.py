"""Base of all request and response models, and the data types several MEC APIs share [MEC 011 8.1.5, 8.1.6]."""

import re
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]
"""A string that says something."""


def _whole(value: Any) -> Any:
    """Take 5.0 for 5: JSON does not tell them apart. Beyond 2^53 a double is no exact integer any more."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


whole = BeforeValidator(_whole)
"""Put it behind the bounds of an integer: `Annotated[int, Field(ge=0), whole]`."""

Integer = Annotated[int, Field(ge=-(2**53) + 1, le=2**53 - 1), whole]
"""A whole number, however JSON writes it, in the range every JSON reader takes exactly [RFC 8259 6]."""

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._~:-]+$")]
"""An identifier that can stand in a URI path as it is."""

Token = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
"""A value of an extensible enumeration."""

UInt32 = Annotated[int, Field(ge=0, le=4_294_967_295), whole]

Port = Annotated[int, Field(ge=1, le=65535), whole]

TRANSPORT_TYPES = ("REST_HTTP", "MB_TOPIC_BASED", "MB_ROUTING", "MB_PUBSUB", "RPC", "RPC_STREAMING", "WEBSOCKET")
SERIALIZERS = ("JSON", "XML", "PROTOBUF3")


_URI = r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?([/?]([A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?"


def _callback(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"is {value[:100]!r}; send an absolute http or https URI, e.g. http://192.0.2.7:8080/callback")
    if parts.username is not None or parts.password is not None:
        raise ValueError("carries a user name or password; send a URI without them")
    if not re.fullmatch(_URI, value):
        raise ValueError("contains characters a URI cannot have; percent-encode them, and write host names in ASCII")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("has no valid port; use 1 to 65535") from error
    if port == 0:
        raise ValueError("has port 0; use 1 to 65535")
    return value


CallbackUri = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2048),
    AfterValidator(_callback),
    Field(json_schema_extra={"format": "uri", "pattern": f"^{_URI}$"}),
]
"""Where notifications are to be sent."""


def present(**kinds: str) -> dict[str, Any]:
    """Return the JSON schema for "these attributes are there", given with their JSON types; null counts as absent."""
    return {"required": list(kinds), "properties": {name: {"type": kind} for name, kind in kinds.items()}}


class Wire(BaseModel):
    """A MEC data type. Unknown attributes are ignored; null counts as absent.

    The published OpenAPI files wrap bodies as `{"ServiceInfo": {...}}`; the wire does not. Both are accepted.
    """

    model_config = ConfigDict(strict=True, extra="ignore", populate_by_name=True)
    wrappers: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, data: Any) -> Any:
        if isinstance(data, dict) and len(data) == 1:
            name, value = next(iter(data.items()))
            if name in cls.wrappers and isinstance(value, dict):
                return value
        return data

    def document(self) -> dict[str, Any]:
        """Return the attributes that are present, under their wire names."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


class LinkType(Wire):
    """A link [MEC 011 6.3.2]."""

    href: Annotated[str, Field(json_schema_extra={"format": "uri"})]


class SelfLinks(Wire):
    """The link of a resource to itself."""

    self_: LinkType = Field(alias="self")


class TimeStamp(Wire):
    """Seconds and nanoseconds since 1970 [MEC 011 8.1.5]."""

    seconds: UInt32
    nanoSeconds: UInt32


class ProblemDetails(Wire):
    """An error [MEC 009 6.15]."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class CategoryRef(Wire):
    """A reference to a service category; all four attributes are mandatory [MEC 011 8.1.5.2]."""

    href: Text
    id: Text
    name: Text
    version: Text


class Address(Wire):
    """Host and port of an endpoint."""

    host: Text
    port: Port


class EndPointInfo(Wire):
    """Where something is reached: exactly one of the four attributes [MEC 011 8.1.5.3]."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                present(uris="array"),
                present(fqdn="array"),
                present(addresses="array"),
                {"required": ["alternative"], "properties": {"alternative": {"type": ["object", "string"]}}},
            ]
        }
    )

    uris: Annotated[list[Text], Field(min_length=1)] | None = None
    fqdn: Annotated[list[Text], Field(min_length=1)] | None = None
    addresses: Annotated[list[Address], Field(min_length=1)] | None = None
    alternative: dict[str, Any] | str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        present = [name for name in ("uris", "fqdn", "addresses", "alternative") if getattr(self, name) is not None]
        if len(present) != 1:
            found = " and ".join(present) if present else "none"
            raise ValueError(f"has {found}; send exactly one of uris, fqdn, addresses, alternative")
        return self


GrantType = Literal[
    "OAUTH2_AUTHORIZATION_CODE", "OAUTH2_IMPLICIT_GRANT", "OAUTH2_RESOURCE_OWNER", "OAUTH2_CLIENT_CREDENTIALS"
]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class OAuth2Info(Wire):
    """OAuth 2.0 parameters of a transport [MEC 011 8.1.5.4]; one grant type may come without its list."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                present(tokenEndpoint="string"),
                {"properties": {"grantTypes": {"items": {"const": "OAUTH2_IMPLICIT_GRANT"}}}},
            ]
        }
    )

    grantTypes: Annotated[list[GrantType], Field(min_length=1, max_length=4), BeforeValidator(_as_list)]
    tokenEndpoint: Text | None = None

    @model_validator(mode="after")
    def _token_endpoint(self) -> Self:
        if self.tokenEndpoint is None and set(self.grantTypes) != {"OAUTH2_IMPLICIT_GRANT"}:
            raise ValueError("has no tokenEndpoint; it may be left out for OAUTH2_IMPLICIT_GRANT only")
        return self


class SecurityInfo(Wire):
    """Security of a transport; may be empty, and open to extensions [MEC 011 8.1.5.4]."""

    model_config = ConfigDict(extra="allow")

    oAuth2Info: OAuth2Info | None = None


class TransportInfo(Wire):
    """How a service is reached [MEC 011 8.1.2.3]."""

    id: Text
    name: Text
    description: str | None = None
    type: Token
    protocol: Text
    version: Text
    endpoint: EndPointInfo
    security: SecurityInfo
    implSpecificInfo: dict[str, Any] | str | None = None


class SubscriptionRef(Wire):
    """One entry of a list of subscriptions."""

    href: Annotated[str, Field(json_schema_extra={"format": "uri"})]
    subscriptionType: str


class SubscriptionLinks(Wire):
    """The links of a list of subscriptions."""

    self_: LinkType = Field(alias="self")
    subscriptions: list[SubscriptionRef]


class SubscriptionLinkList(Wire):
    """The subscriptions of one requester [MEC 011 6.2.2]."""

    links: SubscriptionLinks = Field(alias="_links")
