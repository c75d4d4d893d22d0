"""Service management API: endpoint table and data types [MEC 011 clause 8]."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from mec_adapter.mp1.types import Api, CategoryRef, Endpoint, JsonObject, Link, TransportInfo

API = Api("mec_service_mgmt", ("v1",))

SERVICES = Endpoint("GET", "/services", (200,), "ServiceInfo")
SERVICE = Endpoint("GET", "/services/{service_id}", (200,), "ServiceInfo")
TRANSPORTS = Endpoint("GET", "/transports", (200,), "TransportInfo")
OWN_SERVICES = Endpoint("GET", "/applications/{app_id}/services", (200,), "ServiceInfo")
ADD_SERVICE = Endpoint("POST", "/applications/{app_id}/services", (201, 200), "ServiceInfo")
READ_SERVICE = Endpoint("GET", "/applications/{app_id}/services/{service_id}", (200,), "ServiceInfo")
REPLACE_SERVICE = Endpoint("PUT", "/applications/{app_id}/services/{service_id}", (200, 204), "ServiceInfo")
REMOVE_SERVICE = Endpoint("DELETE", "/applications/{app_id}/services/{service_id}", (204, 200))
SUBSCRIPTIONS = Endpoint("GET", "/applications/{app_id}/subscriptions", (200,), "SubscriptionLinkList")
SUBSCRIBE = Endpoint(
    "POST", "/applications/{app_id}/subscriptions", (201, 200), "SerAvailabilityNotificationSubscription"
)

SUBSCRIPTION_TYPE = "SerAvailabilityNotificationSubscription"
NOTIFICATION_TYPE = "SerAvailabilityNotification"

ACTIVE, INACTIVE, SUSPENDED = "ACTIVE", "INACTIVE", "SUSPENDED"


class ServiceLinks(TypedDict):
    """Links of a service; liveness only when the platform demands heartbeats."""

    self: Link
    liveness: NotRequired[Link]


class ServiceInfo(TypedDict):
    """A MEC service: one transport, one serializer [MEC 011 8.1.2.2]."""

    serInstanceId: NotRequired[str]
    serName: str
    serCategory: NotRequired[CategoryRef]
    version: str
    state: str
    transportId: NotRequired[str]
    transportInfo: NotRequired[TransportInfo]
    serializer: str
    scopeOfLocality: NotRequired[str]
    consumedLocalOnly: NotRequired[bool]
    isLocal: NotRequired[bool]
    livenessInterval: NotRequired[int]
    _links: NotRequired[ServiceLinks]


class SerAvailabilityNotificationSubscription(TypedDict):
    """Wish to be told of services that come, change and go [MEC 011 8.1.3.2]."""

    subscriptionType: str
    callbackReference: str
    filteringCriteria: NotRequired[JsonObject]


class ServiceReference(TypedDict):
    """One service in a notification; no link when it was removed [MEC 011 8.1.4.2]."""

    link: NotRequired[Link]
    serName: str
    serInstanceId: str
    state: str
    changeType: str


def references_of(notification: JsonObject) -> list[JsonObject] | None:
    """The serviceReferences of a service availability notification, None when it is none.

    Args:
        notification: decoded and unwrapped body of a callback.
    """
    if notification.get("notificationType") not in (NOTIFICATION_TYPE, "ServiceAvailabilityNotification"):
        return None
    references = notification.get("serviceReferences")
    return [entry for entry in references if isinstance(entry, dict)] if isinstance(references, list) else []
