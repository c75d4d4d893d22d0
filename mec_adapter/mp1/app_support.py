"""Application support API: endpoint table and data types [MEC 011 clause 7]."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from mec_adapter.mp1.types import Api, CategoryRef, Endpoint, EndPointInfo, JsonObject

#: V3.1.1 serves it as v2, V2.2.1 (and the ETSI MEC Sandbox) as v1
API = Api("mec_app_support", ("v2", "v1"))

REGISTER = Endpoint("POST", "/registrations", (201, 200), "AppInfo")
READ_REGISTRATION = Endpoint("GET", "/registrations/{app_id}", (200,), "AppInfo")
UPDATE_REGISTRATION = Endpoint("PUT", "/registrations/{app_id}", (204, 200))
DEREGISTER = Endpoint("DELETE", "/registrations/{app_id}", (204, 200))
CONFIRM_READY = Endpoint("POST", "/applications/{app_id}/confirm_ready", (204, 200))
CONFIRM_TERMINATION = Endpoint("POST", "/applications/{app_id}/confirm_termination", (204, 200))
SUBSCRIPTIONS = Endpoint("GET", "/applications/{app_id}/subscriptions", (200,), "SubscriptionLinkList")
SUBSCRIBE = Endpoint(
    "POST", "/applications/{app_id}/subscriptions", (201, 200), "AppTerminationNotificationSubscription"
)
CURRENT_TIME = Endpoint("GET", "/timing/current_time", (200,), "CurrentTime")
TIMING_CAPS = Endpoint("GET", "/timing/timing_caps", (200,), "TimingCaps")

SUBSCRIPTION_TYPE = "AppTerminationNotificationSubscription"
NOTIFICATION_TYPE = "AppTerminationNotification"

#: the specification's own misprint of STOPPING, accepted and never sent
_MISPRINTS = {"STOPPPING": "STOPPING"}


class AppInfo(TypedDict):
    """A MEC application instance [MEC 011 7.1.2.6]."""

    appName: str
    appProvider: NotRequired[str]
    appCategory: NotRequired[CategoryRef]
    appDId: NotRequired[str]
    appInstanceId: NotRequired[str]
    endpoint: NotRequired[EndPointInfo]
    appServiceRequired: NotRequired[list[JsonObject]]
    appServiceOptional: NotRequired[list[JsonObject]]
    appFeatureRequired: NotRequired[list[JsonObject]]
    appFeatureOptional: NotRequired[list[JsonObject]]
    isInsByMec: NotRequired[bool]
    appProfile: NotRequired[JsonObject]


class AppReadyConfirmation(TypedDict):
    """The application instance is up and running [MEC 011 7.1.2.4]."""

    indication: Literal["READY"]


class AppTerminationConfirmation(TypedDict):
    """The application instance has finished; the action is that of the notification [MEC 011 7.1.2.5]."""

    operationAction: str


class AppTerminationNotificationSubscription(TypedDict):
    """Wish to be told before the end [MEC 011 7.1.3.2]."""

    subscriptionType: str
    callbackReference: str
    appInstanceId: str


def termination_of(notification: JsonObject) -> tuple[str, float] | None:
    """What an AppTerminationNotification asks for: the action and the seconds left, None when it is none.

    Args:
        notification: decoded and unwrapped body of a callback.
    """
    if notification.get("notificationType") not in (NOTIFICATION_TYPE, SUBSCRIPTION_TYPE):
        return None
    action = str(notification.get("operationAction", ""))
    action = _MISPRINTS.get(action, action)
    timeout = notification.get("maxGracefulTimeout", 0)
    seconds = float(timeout) if isinstance(timeout, int | float) and timeout > 0 else 10.0
    return (action, seconds) if action in ("STOPPING", "TERMINATING") else None
