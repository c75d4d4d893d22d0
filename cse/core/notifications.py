"""Subscriptions that match a change, and what they send (TS-0001 clause 10.2.10, TS-0004 clause 7.4.8, 7.5.1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from cse.core.access_control import Asking
from cse.core.filtering import Filter
from cse.core.numbers import SUBSCRIPTION
from cse.core.result_content import representation
from cse.onem2m.addressing import sp_relative
from cse.ports import Resource


class EventType(IntEnum):
    """notificationEventType (TS-0004 clause 6.3.4.2.19)."""

    UPDATE = 1
    DELETE = 2
    CHILD_CREATED = 3
    CHILD_DELETED = 4


class ContentType(IntEnum):
    """notificationContentType (TS-0004 clause 6.3.4.2.20)."""

    ALL_ATTRIBUTES = 1
    MODIFIED_ATTRIBUTES = 2
    RESOURCE_ID = 3


#: conditions of eventNotificationCriteria that look at the changed resource itself
_CONDITIONS = ("crb", "cra", "ms", "us", "sts", "stb", "exb", "exa", "sza", "szb")


def notify(
    ctx: Asking,
    subscribed: Resource,
    event: EventType,
    changed: Resource,
    modified: Mapping[str, Any] | None = None,
) -> None:
    """Queue the notifications of all subscriptions below ``subscribed`` that match an event.

    Args:
        ctx: the request that made the change; open transaction.
        subscribed: the subscribed-to resource.
        event: what happened to it.
        changed: the resource the notification represents: itself for 1 and 2, its child for 3 and 4.
        modified: for UPDATE, the attributes the request named with their new values (None: removed).
    """
    for subscription in ctx.store.children(subscribed.ri, SUBSCRIPTION):
        if _matches(ctx, subscription, event, changed, modified):
            _send(ctx, subscription, event, changed, modified)


def _matches(
    ctx: Asking, subscription: Resource, event: EventType, changed: Resource, modified: Mapping[str, Any] | None
) -> bool:
    criteria = subscription.attributes.get("enc") or {}
    if event not in (criteria.get("net") or (EventType.UPDATE,)):
        return False
    if subscription.attributes.get("et", "~") <= ctx.env.timestamp:
        return False
    if event is EventType.UPDATE and "atr" in criteria and not (set(criteria["atr"]) & set(modified or ())):
        return False
    if event in (EventType.CHILD_CREATED, EventType.CHILD_DELETED):
        if "chty" in criteria and changed.ty not in criteria["chty"]:
            return False
        if changed.ri == subscription.ri:
            return False
    conditions = {tag: criteria[tag] for tag in _CONDITIONS if tag in criteria}
    if conditions:
        if "fo" in criteria:
            conditions["fo"] = criteria["fo"]
        return Filter(conditions, ctx.registry, ctx.store).matches(changed)
    return True


def _send(
    ctx: Asking, subscription: Resource, event: EventType, changed: Resource, modified: Mapping[str, Any] | None
) -> None:
    attributes = subscription.attributes
    content_type = attributes.get("nct", ContentType.ALL_ATTRIBUTES)
    shown: Any
    if content_type == ContentType.RESOURCE_ID:
        shown = {"m2m:uri": sp_relative(changed.ri, ctx.settings.cse_id)}
    elif content_type == ContentType.MODIFIED_ATTRIBUTES:
        shown = {changed.root: dict(modified or {})}
    else:
        shown = {changed.root: representation(ctx, changed)}
    body: dict[str, Any] = {
        "nev": {"rep": shown, "net": int(event)},
        "sur": sp_relative(subscription.ri, ctx.settings.cse_id),
    }
    if attributes.get("eeno"):
        body["cr"] = sp_relative(ctx.originator, ctx.settings.cse_id)
    elif "cr" in attributes:
        body["cr"] = attributes["cr"]
    if "nfu" in attributes:
        body["nfu"] = attributes["nfu"]
    for target in attributes["nu"]:
        send = ctx.notification(target, {"m2m:sgn": body}, subject=subscription.ri, category=attributes.get("nec"))
        if send is not None:
            ctx.queue(send)
    remaining = attributes.get("exc")
    if remaining is not None:
        if remaining <= 1:
            ctx.delete(subscription)
        else:
            ctx.adjust(subscription, {"exc": remaining - 1})
