"""Data types of the location API; on this API bodies are wrapped, as its descriptions and clients have it [MEC 013]."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from mec_adapter.platform.pattern_subscriptions import PatternSubscription
from mec_adapter.platform.wire import SelfLinks, SubscriptionRef, Text, TimeStamp, UInt32, Wire, present, whole

LocationEvent = Literal["ENTERING_AREA_EVENT", "LEAVING_AREA_EVENT"]


class LocationInfo(Wire):
    """A place [MEC 013 6.5.3]; shape 7 is a point."""

    latitude: list[float]
    longitude: list[float]
    shape: Literal[7]


class ZoneInfo(Wire):
    """A zone [MEC 013 6.2.6]."""

    zoneId: str
    numberOfAccessPoints: int
    numberOfUnserviceableAccessPoints: int
    numberOfUsers: int
    resourceURL: str


class ZoneInfoBody(Wire):
    """A zone, wrapped."""

    zoneInfo: ZoneInfo


class ZoneList(Wire):
    """The zones [MEC 013 6.2.5]."""

    zone: list[ZoneInfo]
    resourceURL: str


class ZoneListBody(Wire):
    """The zones, wrapped."""

    zoneList: ZoneList


class AccessPointInfo(Wire):
    """An access point [MEC 013 6.2.4]."""

    accessPointId: str
    connectionType: Literal["LTE", "Wifi", "Wimax", "5G NR", "UNKNOWN"]
    operationStatus: Literal["Serviceable", "Unserviceable", "Unknown"]
    numberOfUsers: int
    locationInfo: LocationInfo
    resourceURL: str


class AccessPointInfoBody(Wire):
    """An access point, wrapped."""

    accessPointInfo: AccessPointInfo


class AccessPointList(Wire):
    """The access points of a zone [MEC 013 6.2.3]."""

    zoneId: str
    accessPoint: list[AccessPointInfo]
    resourceURL: str


class AccessPointListBody(Wire):
    """The access points of a zone, wrapped."""

    accessPointList: AccessPointList


class UserInfo(Wire):
    """Where a user is [MEC 013 6.2.2]; ancillaryInfo says that the place is simulated."""

    address: str
    accessPointId: str
    zoneId: str
    resourceURL: str
    timestamp: TimeStamp
    locationInfo: LocationInfo
    ancillaryInfo: str


class UserList(Wire):
    """Where users are [MEC 013 6.2.1]."""

    user: list[UserInfo]
    resourceURL: str


class UserListBody(Wire):
    """Where users are, wrapped."""

    userList: UserList


class TerminalDistance(Wire):
    """How far apart two users are, in metres [MEC 013 6.5.8]."""

    distance: int
    timestamp: TimeStamp


class TerminalDistanceBody(Wire):
    """How far apart two users are, wrapped."""

    terminalDistance: TerminalDistance


class UserEventPara(Wire):
    """Where an event has to happen to be of interest: a zone, or some access points [MEC 013 6.5.5]."""

    model_config = ConfigDict(json_schema_extra={"not": present(zoneId="string", accessPointList="array")})

    zoneId: Text | None = None
    accessPointList: list[Text] | None = None
    reportingLocationReq: bool | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.zoneId is not None and self.accessPointList is not None:
            raise ValueError("has both zoneId and accessPointList; send one of them")
        return self


class UserSubscriptionPost(PatternSubscription):
    """A subscription to the moves of one user, as sent [MEC 013 6.3.4]."""

    wrappers: ClassVar[tuple[str, ...]] = ("userLocationEventSubscription", "UserLocationEventSubscription")

    subscriptionType: Literal["UserLocationEventSubscription"]
    clientCorrelator: Text | None = None
    address: Text
    locationEventCriteria: Annotated[list[LocationEvent], Field(max_length=2)] | None = None
    userEventPara: UserEventPara | None = None


class ZoneSubscriptionPost(PatternSubscription):
    """A subscription to the users of one zone, as sent [MEC 013 6.3.6]."""

    wrappers: ClassVar[tuple[str, ...]] = ("zoneLocationEventSubscription", "ZoneLocationEventSubscription")

    subscriptionType: Literal["ZoneLocationEventSubscription"]
    clientCorrelator: Text | None = None
    zoneId: Text
    addressList: list[Text] | None = None
    locationEventCriteria: Annotated[list[LocationEvent], Field(max_length=2)] | None = None


class UserSubscription(UserSubscriptionPost):
    """A subscription to the moves of one user, as answered."""

    links: SelfLinks = Field(alias="_links")


class UserSubscriptionBody(Wire):
    """A subscription to the moves of one user, wrapped."""

    userLocationEventSubscription: UserSubscription


class ZoneSubscription(ZoneSubscriptionPost):
    """A subscription to the users of one zone, as answered."""

    links: SelfLinks = Field(alias="_links")


class ZoneSubscriptionBody(Wire):
    """A subscription to the users of one zone, wrapped."""

    zoneLocationEventSubscription: ZoneSubscription


class Point(Wire):
    """A place in degrees [MEC 013 6.5.8]."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


def _when_shape(shape: int, most: int, more: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema for "an area of this shape has so many points, and more"."""
    points = {"minItems": 1 if shape == 1 else 3, "maxItems": most}
    then = {**more, "properties": {"points": points, **more.get("properties", {})}}
    return {"if": {"properties": {"shape": {"const": shape}}}, "then": then}


class AreaInfo(Wire):
    """An area: a circle (shape 1: one point, radius in metres) or a polygon (2: 3 to 15 points) [MEC 013 6.5.7]."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                _when_shape(1, 1, {"required": ["radius"], "properties": {"radius": {"type": "integer"}}}),
                _when_shape(2, 15, {}),
            ]
        }
    )

    shape: Annotated[Literal[1, 2], whole]
    points: Annotated[list[Point], Field(min_length=1, max_length=15)]
    radius: UInt32 | None = None

    @model_validator(mode="after")
    def _fits_its_shape(self) -> Self:
        if self.shape == 1 and (len(self.points) != 1 or self.radius is None):
            raise ValueError("is a circle (shape 1); send one point, and radius in metres")
        if self.shape == 2 and len(self.points) < 3:
            raise ValueError("is a polygon (shape 2); send 3 to 15 points")
        return self


Metres = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Addresses = Annotated[list[Text], Field(min_length=1, max_length=100)]


class AreaSubscriptionPost(PatternSubscription):
    """A subscription to users that enter or leave an area, as sent [MEC 013 6.3.8]."""

    wrappers: ClassVar[tuple[str, ...]] = ("userAreaSubscription", "UserAreaSubscription")

    subscriptionType: Literal["UserAreaSubscription"]
    clientCorrelator: Text | None = None
    addressList: Addresses
    areaDefine: AreaInfo
    trackingAccuracy: Metres
    locationEventCriteria: Annotated[list[LocationEvent], Field(max_length=2)] | None = None
    reportingLocationReq: bool | None = None


class DistanceSubscriptionPost(PatternSubscription):
    """A subscription to the distance between users in metres, as sent [MEC 013 6.3.9]."""

    wrappers: ClassVar[tuple[str, ...]] = ("userDistanceSubscription", "UserDistanceSubscription")
    model_config = ConfigDict(
        json_schema_extra={
            **PatternSubscription.model_config["json_schema_extra"],  # type: ignore[dict-item]
            "if": {"not": {"required": ["referenceAddress"], "properties": {"referenceAddress": {"minItems": 1}}}},
            "then": {"properties": {"monitoredAddress": {"minItems": 2}}},
        }
    )

    subscriptionType: Literal["UserDistanceSubscription"]
    clientCorrelator: Text | None = None
    monitoredAddress: Addresses
    referenceAddress: Annotated[list[Text], Field(max_length=100)] | None = None
    distance: Metres
    trackingAccuracy: Metres
    criteria: Literal["AllWithinDistance", "AnyWithinDistance", "AllBeyondDistance", "AnyBeyondDistance"]
    checkImmediate: bool

    @model_validator(mode="after")
    def _has_pairs(self) -> Self:
        if not self.referenceAddress and len(self.monitoredAddress) < 2:
            raise ValueError("has one monitoredAddress and no referenceAddress; a distance needs two users")
        return self


class AreaSubscription(AreaSubscriptionPost):
    """A subscription to users that enter or leave an area, as answered."""

    links: SelfLinks = Field(alias="_links")


class AreaSubscriptionBody(Wire):
    """A subscription to users that enter or leave an area, wrapped."""

    userAreaSubscription: AreaSubscription


class DistanceSubscription(DistanceSubscriptionPost):
    """A subscription to the distance between users, as answered."""

    links: SelfLinks = Field(alias="_links")


class DistanceSubscriptionBody(Wire):
    """A subscription to the distance between users, wrapped."""

    userDistanceSubscription: DistanceSubscription


class NotificationSubscriptionList(Wire):
    """The subscriptions of one requester [MEC 013 6.3.1]."""

    resourceURL: dict[str, str]
    subscription: list[SubscriptionRef]


class NotificationSubscriptionListBody(Wire):
    """The subscriptions of one requester, wrapped."""

    notificationSubscriptionList: NotificationSubscriptionList


class Placement(Wire):
    """Where the operator puts a simulated user."""

    accessPointId: Text
