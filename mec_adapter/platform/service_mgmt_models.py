"""Data types of the service management API [MEC 011 8.1]."""

from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from mec_adapter.platform.wire import (
    CallbackUri,
    CategoryRef,
    LinkType,
    SelfLinks,
    Text,
    TimeStamp,
    Token,
    TransportInfo,
    UInt32,
    Wire,
    present,
)

Locality = Literal["MEC_SYSTEM", "MEC_HOST", "NFVI_POP", "ZONE", "ZONE_GROUP", "NFVI_NODE"]
ServiceState = Literal["ACTIVE", "INACTIVE", "SUSPENDED"]


class ServiceInfoUpdate(Wire):
    """ServiceInfo as a producer sends it [MEC 011 8.1.2.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("ServiceInfo",)

    serInstanceId: str | None = None
    serName: Text
    serCategory: CategoryRef | None = None
    version: Text
    state: Literal["ACTIVE", "INACTIVE"]
    transportId: Text | None = None
    transportInfo: TransportInfo | None = None
    serializer: Token
    scopeOfLocality: Locality = "MEC_HOST"
    consumedLocalOnly: bool = True
    livenessInterval: UInt32 | None = None


class ServiceInfoPut(ServiceInfoUpdate):
    """ServiceInfo as a producer sends it in PUT: with transportInfo, as GET returned it."""

    model_config = ConfigDict(
        json_schema_extra={"allOf": [present(transportInfo="object"), {"not": present(transportId="string")}]}
    )


class ServiceInfoPost(ServiceInfoUpdate):
    """ServiceInfo as a producer sends it in POST: transportId or transportInfo, never both [MEC 011 8.1.2.2]."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [present(transportId="string"), present(transportInfo="object")]}
    )

    @model_validator(mode="after")
    def _one_transport(self) -> Self:
        if (self.transportId is None) == (self.transportInfo is None):
            found = "both transportId and transportInfo" if self.transportId else "no transport"
            raise ValueError(f"has {found}; send transportInfo, or transportId of a transport listed at /transports")
        return self


class ServiceLinks(Wire):
    """Links of a service; `liveness` is there when heartbeats are demanded."""

    self_: LinkType = Field(alias="self")
    liveness: LinkType | None = None


class ServiceInfo(Wire):
    """ServiceInfo as the platform answers it [MEC 011 8.1.2.2]."""

    serInstanceId: str
    serName: str
    serCategory: CategoryRef | None = None
    version: str
    state: ServiceState
    transportInfo: TransportInfo
    serializer: str
    scopeOfLocality: Locality
    consumedLocalOnly: bool
    isLocal: bool
    livenessInterval: int | None = None
    links: ServiceLinks = Field(alias="_links")


class ServiceLivenessInfo(Wire):
    """State, last heartbeat and interval of a service [MEC 011 8.1.2.4]."""

    state: ServiceState
    timeStamp: TimeStamp
    interval: int


class ServiceLivenessUpdate(Wire):
    """A heartbeat [MEC 011 8.1.2.5]."""

    wrappers: ClassVar[tuple[str, ...]] = ("ServiceLivenessUpdate",)

    state: Literal["ACTIVE"]


def _both(first: str, second: str) -> dict[str, Any]:
    """Return the JSON schema for "both arrays are there and hold something"."""
    said = {"type": "array", "minItems": 1}
    return {"required": [first, second], "properties": {first: said, second: said}}


class FilteringCriteria(Wire):
    """Which services a subscription is about; the parts are ANDed, an empty one says nothing [MEC 011 8.1.3.2]."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"not": _both("serInstanceIds", "serNames")},
                {"not": _both("serInstanceIds", "serCategories")},
                {"not": _both("serNames", "serCategories")},
            ]
        }
    )

    serInstanceIds: list[Text] | None = None
    serNames: list[Text] | None = None
    serCategories: list[CategoryRef] | None = None
    states: list[ServiceState] | None = None
    isLocal: bool | None = None

    @model_validator(mode="after")
    def _one_selector(self) -> Self:
        names = ("serInstanceIds", "serNames", "serCategories")
        present = [name for name in names if getattr(self, name)]
        if len(present) > 1:
            raise ValueError(f"has {' and '.join(present)}; send at most one of {', '.join(names)}")
        return self


class SerAvailabilityNotificationSubscriptionPost(Wire):
    """A subscription to service availability, as sent by the subscriber [MEC 011 8.1.3.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("SerAvailabilityNotificationSubscription",)

    subscriptionType: Literal["SerAvailabilityNotificationSubscription"]
    callbackReference: CallbackUri
    filteringCriteria: FilteringCriteria | None = None


class SerAvailabilityNotificationSubscription(SerAvailabilityNotificationSubscriptionPost):
    """A subscription to service availability, as answered."""

    links: SelfLinks = Field(alias="_links")
