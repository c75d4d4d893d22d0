"""What the registries report and what goes out because of it: events, subscriptions matched, notifications; pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mec_adapter.platform.documents import Documents, JsonObject

SERVICE_SUBSCRIPTION = "service_subscription"
APP_SUBSCRIPTION = "app_subscription"
CAPIF_SUBSCRIPTION = "capif_subscription"

ChangeType = Literal["ADDED", "REMOVED", "STATE_CHANGED", "ATTRIBUTES_CHANGED"]


@dataclass(frozen=True, slots=True)
class ServiceChanged:
    """A service came, went or changed; `service` is its record after the change (the last one when REMOVED)."""

    service: JsonObject
    change: ChangeType


@dataclass(frozen=True, slots=True)
class TerminationStarted:
    """An application instance is asked to end within `timeout_s` seconds."""

    app_instance_id: str
    action: str
    timeout_s: int


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """A subscription is gone: whatever still waits for it is not sent any more."""

    subscription_id: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification for one subscriber, to be sent after those before it of the same subscription."""

    subscription_id: str
    callback: str
    body: JsonObject


Event = ServiceChanged | TerminationStarted | SubscriptionEnded | Delivery


def notification_type(body: JsonObject) -> str:
    """Return the type of a notification, wrapped (as MEC 013 has it) or not; empty for those without one (CAPIF)."""
    inner = next(iter(body.values()), None) if len(body) == 1 else None
    return str((inner if isinstance(inner, dict) else body).get("notificationType", ""))


class Timed(Protocol):
    """A part of the platform's state that time changes."""

    def tick(self, now: float) -> list[Event]:
        """Do what is due and return what follows."""
        ...

    def next_deadline(self) -> float | None:
        """Return when something is due next, in seconds since 1970; None for never."""
        ...


def deliveries(events: Iterable[Event], documents: Documents) -> list[Delivery]:
    """Return the notifications that follow from events, in order.

    Changes of several services in one step reach a subscriber as one notification [MEC 011 8.1.4.2].
    """
    events = list(events)
    changes = [event for event in events if isinstance(event, ServiceChanged)]
    found = [event for event in events if isinstance(event, Delivery)]
    if changes:
        for subscription in documents.every(SERVICE_SUBSCRIPTION):
            matching = [change for change in changes if _wanted(change, subscription)]
            if matching:
                found.append(_availability(subscription, matching))
        for subscription in documents.every(CAPIF_SUBSCRIPTION):
            found += _capif(subscription, changes)
    for event in events:
        if isinstance(event, TerminationStarted):
            for subscription in documents.every(APP_SUBSCRIPTION):
                if subscription["appInstanceId"] == event.app_instance_id:
                    found.append(_termination(subscription, event))
    return found


def _wanted(change: ServiceChanged, subscription: JsonObject) -> bool:
    criteria = subscription["body"].get("filteringCriteria") or {}
    service = change.service["info"]
    if criteria.get("serInstanceIds") and service["serInstanceId"] not in criteria["serInstanceIds"]:
        return False
    if criteria.get("serNames") and service["serName"] not in criteria["serNames"]:
        return False
    if criteria.get("serCategories") and not _in_categories(service, criteria["serCategories"]):
        return False
    if criteria.get("states") and service["state"] not in criteria["states"]:
        return False
    return bool(criteria.get("isLocal", True))


def _in_categories(service: JsonObject, categories: Sequence[JsonObject]) -> bool:
    own = service.get("serCategory")
    return own is not None and any(own["id"] == category["id"] for category in categories)


def subscription_href(subscription: JsonObject) -> str:
    """Return the URI of a subscription as its subscriber knows it."""
    return f"{subscription['collection']}/{subscription['id']}"


def _availability(subscription: JsonObject, changes: Sequence[ServiceChanged]) -> Delivery:
    references = []
    for change in changes:
        info = change.service["info"]
        reference: dict[str, Any] = {
            "serName": info["serName"],
            "serInstanceId": info["serInstanceId"],
            "state": info["state"],
            "changeType": change.change,
        }
        if change.change != "REMOVED":
            reference["link"] = {"href": f"{subscription['root']}/services/{info['serInstanceId']}"}
        references.append(reference)
    body = {
        "notificationType": "SerAvailabilityNotification",
        "serviceReferences": references,
        "_links": {"subscription": {"href": subscription_href(subscription)}},
    }
    return Delivery(subscription["id"], subscription["body"]["callbackReference"], body)


def _termination(subscription: JsonObject, event: TerminationStarted) -> Delivery:
    app_id = event.app_instance_id
    body = {
        "notificationType": "AppTerminationNotification",
        "operationAction": event.action,
        "maxGracefulTimeout": event.timeout_s,
        "_links": {
            "subscription": {"href": subscription_href(subscription)},
            "confirmTermination": {"href": f"{subscription['root']}/applications/{app_id}/confirm_termination"},
        },
    }
    return Delivery(subscription["id"], subscription["body"]["callbackReference"], body)


_CAPIF_EVENTS = {
    "ADDED": "SERVICE_API_AVAILABLE",
    "REMOVED": "SERVICE_API_UNAVAILABLE",
    "STATE_CHANGED": "SERVICE_API_UPDATE",
    "ATTRIBUTES_CHANGED": "SERVICE_API_UPDATE",
}


def _capif(subscription: JsonObject, changes: Sequence[ServiceChanged]) -> list[Delivery]:
    """Return the CAPIF event notifications for one subscription: one per kind of event [TS 29.222 8.3.4.2.3]."""
    body = subscription["body"]
    wanted = {api_id for entry in body.get("eventFilters") or () for api_id in entry.get("apiIds") or ()}
    by_event: dict[str, list[str]] = {}
    for change in changes:
        event, api_id = _CAPIF_EVENTS[change.change], change.service["info"]["serInstanceId"]
        if event in body["events"] and (not wanted or api_id in wanted):
            by_event.setdefault(event, []).append(api_id)
    return [
        Delivery(
            subscription["id"],
            body["notificationDestination"],
            {"subscriptionId": subscription["id"], "events": event, "eventDetail": {"apiIds": api_ids}},
        )
        for event, api_ids in by_event.items()
    ]
