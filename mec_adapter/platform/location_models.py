"""Data types of the location API; on this API bodies are wrapped, as its descriptions and clients have it [MEC 013]."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mec_adapter.platform.pattern_subscriptions import PatternSubscription
from mec_adapter.platform.wire import SelfLinks, SubscriptionRef, Text, TimeStamp, Wire

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
    """Where an event has to happen to be of interest [MEC 013 6.5.15]."""

    zoneId: Text | None = None
    accessPointList: list[Text] | None = None


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
