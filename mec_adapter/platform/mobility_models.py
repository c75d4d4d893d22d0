"""Data types of the application mobility API [MEC 021 clause 7]."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from mec_adapter.platform.pattern_subscriptions import PatternSubscription
from mec_adapter.platform.wire import Address, Integer, SelfLinks, SubscriptionRef, Text, UInt32, Wire, present, whole

Level = Annotated[int, Field(ge=1, le=3), whole]
"""A service level or a mobility status."""


class AssociateId(Wire):
    """What identifies a device to the network [MEC 021 7.5]; the type is open, values are compared as sent."""

    type: Text | Integer
    value: Text


class MobilityLevel(Wire):
    """A service level in the long form of the published description."""

    appMobilityServiceLevel: Level


class DeviceInformation(Wire):
    """A device served, and how its application may move [MEC 021 7.2.2]."""

    associateId: AssociateId | Text
    appMobilityServiceLevel: Level | MobilityLevel | None = None
    contextTransferState: Annotated[int, Field(ge=0, le=1), whole] | None = None


class ServiceConsumerId(Wire):
    """Who asks for mobility support: an application instance or a MEC platform."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [present(appInstanceId="string"), present(mepId="string")]})

    appInstanceId: Text | None = None
    mepId: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.appInstanceId is None) == (self.mepId is None):
            raise ValueError("needs exactly one of appInstanceId and mepId; send one")
        return self


class RegistrationInfoPost(Wire):
    """A registration for mobility support, as sent [MEC 021 7.2.2]; expiryTime 0 or absent never ends."""

    wrappers: ClassVar[tuple[str, ...]] = ("RegistrationInfo",)

    serviceConsumerId: ServiceConsumerId
    deviceInformation: list[DeviceInformation] | None = None
    expiryTime: UInt32 | None = None


class RegistrationInfo(RegistrationInfoPost):
    """A registration for mobility support, as answered; attributes may be left out by the query."""

    appMobilityServiceId: str | None = None
    serviceConsumerId: ServiceConsumerId | None = None  # type: ignore[assignment]


class MobilityFilter(Wire):
    """Which mobility procedures a subscription is about [MEC 021 7.3.2]."""

    appInstanceId: Text | None = None
    associateId: list[AssociateId | Text] | None = None
    mobilityStatus: list[Level] | None = None


class AdjacentFilter(Wire):
    """Whose neighbours a subscription is about [MEC 021 7.3.3]."""

    appInstanceId: Text | None = None


class MobilityProcedureSubscriptionPost(PatternSubscription):
    """A subscription to mobility procedures, as sent [MEC 021 7.3.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("MobilityProcedureSubscription",)

    subscriptionType: Literal["MobilityProcedureSubscription"]
    filterCriteria: MobilityFilter


class AdjacentAppInfoSubscriptionPost(PatternSubscription):
    """A subscription to neighbouring application instances, as sent [MEC 021 7.3.3]."""

    wrappers: ClassVar[tuple[str, ...]] = ("AdjacentAppInfoSubscription",)

    subscriptionType: Literal["AdjacentAppInfoSubscription"]
    filterCriteria: AdjacentFilter


class MobilityProcedureSubscription(MobilityProcedureSubscriptionPost):
    """A subscription to mobility procedures, as answered."""

    links: SelfLinks = Field(alias="_links")


class AdjacentAppInfoSubscription(AdjacentAppInfoSubscriptionPost):
    """A subscription to neighbouring application instances, as answered."""

    links: SelfLinks = Field(alias="_links")


class MobilityLinks(Wire):
    """The links of a list of subscriptions; MEC 021 calls the entries `subscription`."""

    self_: dict[str, str] = Field(alias="self")
    subscription: list[SubscriptionRef]


class MobilitySubscriptionList(Wire):
    """The subscriptions of one requester [MEC 021 7.3.4]."""

    links: MobilityLinks = Field(alias="_links")


class CommunicationInterface(Wire):
    """Addresses of an application instance [MEC 021 7.5.2]."""

    ipAddresses: list[Address] | None = None


class MecHostInformation(Wire):
    """A MEC host [MEC 021 7.5.5]."""

    hostName: str | None = None
    hostId: Text


class AdjacentAppInstanceInfo(Wire):
    """An instance of the same application on a neighbouring MEC host [MEC 021 7.2.3]."""

    appInstanceId: Text
    appDId: Text
    appInstanceCommLink: Annotated[list[CommunicationInterface], Field(min_length=1)]
    mecHostInformation: MecHostInformation | None = None
    registeredInstanceId: Text | None = None


class AdjacentAppInstancePart(AdjacentAppInstanceInfo):
    """A neighbouring instance as answered; attributes may be left out by the query."""

    appInstanceId: str | None = None  # type: ignore[assignment]
    appDId: str | None = None  # type: ignore[assignment]
    appInstanceCommLink: list[CommunicationInterface] | None = None  # type: ignore[assignment]


class TargetAppInfo(Wire):
    """The instance that takes over [MEC 021 7.4.2]."""

    appInstanceId: Text
    commInterface: CommunicationInterface | None = None


class MobilityEvent(Wire):
    """A mobility event the operator has the platform report; it stands in for the network."""

    associateId: Annotated[list[AssociateId | Text], Field(min_length=1)]
    mobilityStatus: Level
    appInstanceId: Text | None = None
    targetAppInfo: TargetAppInfo | None = None


class Notified(Wire):
    """How many notifications follow from a command."""

    notifications: int
