"""Subscriptions that match an event, and what they are told (TS-0001 clause 10.2.10, TS-0004 clause 7.4.8, 7.5.1.2).

Which subscription hears of what is decided here; when and how often it is told is ``cse.resources.notifying``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any, Protocol

from cse.core.access_control import Asking
from cse.core.filtering import Filter
from cse.core.hosting import HostingCse
from cse.core.numbers import SUBSCRIPTION
from cse.core.result_content import representation
from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import OperationDeniedByRemoteEntity, RemoteEntityNotReachable
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.timestamps import absolute_time, parse_duration
from cse.ports import Resource, Send
from cse.resources.declare import Privilege
from cse.resources.notifying import dispatch
from cse.resources.pending_notifications import count_down


class EventType(IntEnum):
    """notificationEventType (TS-0004 clause 6.3.4.2.19)."""

    UPDATE = 1
    DELETE = 2
    CHILD_CREATED = 3
    CHILD_DELETED = 4
    RETRIEVE_WITHOUT_CHILD = 5
    TRIGGER_RECEIVED = 6
    BLOCKING_UPDATE = 7
    MISSING_DATA = 8


class ContentType(IntEnum):
    """notificationContentType (TS-0004 clause 6.3.4.2.20)."""

    ALL_ATTRIBUTES = 1
    MODIFIED_ATTRIBUTES = 2
    RESOURCE_ID = 3


#: conditions of eventNotificationCriteria that look at the changed resource itself
_CONDITIONS = ("crb", "cra", "ms", "us", "sts", "stb", "exb", "exa", "sza", "szb")
#: how often a change that waits for a blocking update looks whether it may go on, in seconds
_BLOCKED_PAUSE_S = 0.05
#: most prior events a new subscription is told of (preSubscriptionNotify)
_MOST_PRIOR = 100
#: the bit of accessControlOperations by which operationMonitor names an operation
_MONITORED = {
    Operation.CREATE: Privilege.CREATE,
    Operation.RETRIEVE: Privilege.RETRIEVE,
    Operation.UPDATE: Privilege.UPDATE,
    Operation.DELETE: Privilege.DELETE,
    Operation.NOTIFY: Privilege.NOTIFY,
}


class Watched(Asking, Protocol):
    """What telling of changes needs of a request."""

    cse: HostingCse


def notify(
    ctx: Watched,
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
    if subscribed.ri in ctx.cse.watched:
        ctx.queue(_for_watchers(ctx, subscribed, event, changed))
    for subscription in ctx.store.children(subscribed.ri, SUBSCRIPTION):
        if _matches(ctx, subscription, event, changed, modified):
            shown = _shown(ctx, subscription, changed, modified)
            dispatch(ctx, subscription.ri, _body(ctx, subscription, {"rep": shown, "net": int(event)}))


def _for_watchers(ctx: Asking, watched: Resource, event: EventType, changed: Resource) -> Send:
    """What those are told who watch a resource without a subscription (an extension: ``GET <resource>?watch``)."""
    shown = {changed.root: representation(ctx, changed)}
    body = {"nev": {"rep": shown, "net": int(event)}, "sur": sp_relative(watched.ri, ctx.settings.cse_id)}
    request = Request(Operation.NOTIFY, watched.ri, ctx.settings.cse_id, ctx.env.new_id(), content={"m2m:sgn": body})
    return Send(request, (f"watch://{watched.ri}",), target="?watch", kept=False)


def monitor(ctx: Asking, subscribed: Resource, operation: Operation) -> None:
    """Notify subscriptions that watch operations themselves (operationMonitor); the operation succeeded.

    Args:
        ctx: the request; an open transaction is joined, else one is opened when it is needed.
        subscribed: what the operation addressed; the parent for CREATE.
        operation: what was done.
    """
    for subscription in ctx.store.children(subscribed.ri, SUBSCRIPTION):
        monitors = (subscription.attributes.get("enc") or {}).get("om")
        if monitors and any(_monitors(ctx, entry, operation) for entry in monitors):
            if not _conditions_hold(ctx, subscription, subscribed):
                continue
            event = {"rep": _shown(ctx, subscription, subscribed, None)}
            event["om"] = {"op": int(operation), "or": ctx.originator}
            with ctx.transaction():
                dispatch(ctx, subscription.ri, _body(ctx, subscription, event))


def special_event(ctx: Asking, subscribed: Resource, event_type: int, detail: Any) -> None:
    """Notify of an event that the type of the subscribed-to resource reports itself (see ``Context.event``)."""
    event = EventType(event_type)
    if event is EventType.CHILD_CREATED:
        _replay(ctx, subscribed, detail)
        return
    for subscription in ctx.store.children(subscribed.ri, SUBSCRIPTION):
        if not _matches(ctx, subscription, event, subscribed, None):
            continue
        if event is EventType.MISSING_DATA:
            _count_missing(ctx, subscription, detail)
        else:
            dispatch(ctx, subscription.ri, _body(ctx, subscription, {"rep": {"m2m:tgp": detail}, "net": int(event)}))


def _replay(ctx: Asking, subscribed: Resource, subscription: Resource) -> None:
    """Tell a new subscription of the latest events before it, oldest first: the instances that are still there."""
    wanted = min(subscription.attributes["psn"], _MOST_PRIOR)
    prior: list[Resource] = []
    for instance in ctx.store.instances(subscribed.ri, newest_first=True):
        if len(prior) == wanted:
            break
        if _matches(ctx, subscription, EventType.CHILD_CREATED, instance, None):
            prior.append(instance)
    for instance in reversed(prior):
        event = {"rep": _shown(ctx, subscription, instance, None), "net": int(EventType.CHILD_CREATED)}
        dispatch(ctx, subscription.ri, _body(ctx, subscription, event))


def _count_missing(ctx: Asking, subscription: Resource, points: Sequence[str]) -> None:
    """Notify when enough data points went missing within the duration asked (missingData, TS-0001 clause 10.2.4.25)."""
    criteria = subscription.attributes["enc"]["md"]
    for point in points:
        current = ctx.store.get(subscription.ri)
        if current is None:
            return
        start, seen = current.internal.get("missing") or (ctx.env.now, [])
        if ctx.env.now > start + parse_duration(criteria["dur"]):
            start, seen = ctx.env.now, []
        seen = [*seen, point]
        current = ctx.adjust(current, {}, missing=[start, seen])
        if len(seen) >= criteria["num"]:
            report = {"m2m:tsn": {"mdlt": seen, "mdc": len(seen)}}
            dispatch(ctx, current.ri, _body(ctx, current, {"rep": report, "net": int(EventType.MISSING_DATA)}))


def wait_while_blocked(ctx: Watched, ri: str) -> Generator[Send, Response | None, None]:
    """Let a change of a resource wait for its blocking update to end, at most as long as that may take."""
    waited_s = 0.0
    while ri in ctx.cse.blocked and waited_s < ctx.settings.request_timeout_s:
        waited_s += _BLOCKED_PAUSE_S
        yield Send(ctx.request, resume_at_s=ctx.env.now + waited_s)


def blocking_update(
    ctx: Watched, resource: Resource, changes: Mapping[str, Any]
) -> Generator[Send, Response | None, None]:
    """Ask the targets of blocking-update subscriptions whether an update may go ahead (TS-0001 clause 10.2.10.20).

    Raises:
        RemoteEntityNotReachable: a target gave no answer in time.
        OperationDeniedByRemoteEntity: a target answered no.
    """
    for subscription in ctx.store.children(resource.ri, SUBSCRIPTION):
        if not _matches(ctx, subscription, EventType.BLOCKING_UPDATE, resource, changes):
            continue
        event = {"rep": {resource.root: dict(changes)}, "net": int(EventType.BLOCKING_UPDATE)}
        ctx.cse.blocked.add(resource.ri)
        try:
            answer = yield from _ask(ctx, subscription, _body(ctx, subscription, event))
        finally:
            ctx.cse.blocked.discard(resource.ri)
        if answer is None:
            raise RemoteEntityNotReachable(
                f"{subscription.attributes['nu'][0]!r} must agree to this update and does not answer: try again later"
            )
        if not answer.status.is_success:
            raise OperationDeniedByRemoteEntity(
                f"{subscription.attributes['nu'][0]!r} does not agree to this update: it answered {int(answer.status)}"
            )


def retrieve_without_child(ctx: Asking, resource: Resource) -> Generator[Send, Response | None, None]:
    """Tell subscribers that content is asked for and not there; they may create it before they answer (net 5)."""
    subscriptions = ctx.store.children(resource.ri, SUBSCRIPTION)
    if not subscriptions or ctx.store.newest(resource.ri) is not None:
        return
    for subscription in subscriptions:
        if _matches(ctx, subscription, EventType.RETRIEVE_WITHOUT_CHILD, resource, None):
            event = {
                "rep": _shown(ctx, subscription, resource, None),
                "net": int(EventType.RETRIEVE_WITHOUT_CHILD),
            }
            yield from _ask(ctx, subscription, _body(ctx, subscription, event))


def _ask(
    ctx: Asking, subscription: Resource, body: dict[str, Any]
) -> Generator[Send, Response | None, Response | None]:
    """Send a notification at once and wait for the first answer that is no success, or the last."""
    answer: Response | None = None
    for target in subscription.attributes["nu"]:
        send = ctx.notification(target, {"m2m:sgn": body}, category=subscription.attributes.get("nec"))
        if send is None:
            return None
        expiry = ctx.request.request_expiration
        if expiry is not None:
            left_s = absolute_time(expiry, ctx.env.now) - ctx.env.now
            send = replace(send, timeout_s=max(0.1, min(send.timeout_s, left_s)))
        answer = yield send
        if answer is None or not answer.status.is_success:
            break
    current = ctx.store.get(subscription.ri)
    if current is not None and "exc" in current.attributes:
        with ctx.transaction():
            count_down(ctx, current)
    return answer


def _matches(
    ctx: Asking, subscription: Resource, event: EventType, changed: Resource, modified: Mapping[str, Any] | None
) -> bool:
    criteria = subscription.attributes.get("enc") or {}
    events = criteria.get("net")
    if event not in (events or (() if "om" in criteria else (EventType.UPDATE,))):
        return False
    if event in (EventType.UPDATE, EventType.BLOCKING_UPDATE) and "atr" in criteria:
        if not (set(criteria["atr"]) & set(modified or ())):
            return False
    elif event in (EventType.CHILD_CREATED, EventType.CHILD_DELETED):
        if "chty" in criteria and changed.ty not in criteria["chty"]:
            return False
        if changed.ri == subscription.ri:
            return False
    return _conditions_hold(ctx, subscription, changed)


def _conditions_hold(ctx: Asking, subscription: Resource, changed: Resource) -> bool:
    expiry = subscription.attributes.get("et", "~")
    if expiry <= ctx.env.timestamp and not _expire_together(subscription, changed, expiry):
        return False
    criteria = subscription.attributes.get("enc") or {}
    conditions = {tag: criteria[tag] for tag in _CONDITIONS if tag in criteria}
    if not conditions:
        return True
    if "fo" in criteria:
        conditions["fo"] = criteria["fo"]
    return Filter(conditions, ctx.registry, ctx.store).matches(changed)


def _expire_together(subscription: Resource, changed: Resource, expiry: str) -> bool:
    # A subscription cannot outlive its parent: it is there to tell that both expired.
    return subscription.pi == changed.ri and bool(changed.attributes.get("et", "~") <= expiry)


def _monitors(ctx: Asking, entry: Mapping[str, Any], operation: Operation) -> bool:
    if "ops" in entry and not entry["ops"] & _MONITORED[operation]:
        return False
    cse_id = ctx.settings.cse_id
    return "or" not in entry or sp_relative(entry["or"], cse_id) == sp_relative(ctx.originator, cse_id)


def _shown(ctx: Asking, subscription: Resource, changed: Resource, modified: Mapping[str, Any] | None) -> Any:
    """What the notification says of the changed resource (notificationContentType)."""
    content_type = subscription.attributes.get("nct", ContentType.ALL_ATTRIBUTES)
    if content_type == ContentType.RESOURCE_ID:
        return {"m2m:uri": sp_relative(changed.ri, ctx.settings.cse_id)}
    if content_type == ContentType.MODIFIED_ATTRIBUTES and modified is not None:
        return {changed.root: dict(modified)}
    return {changed.root: representation(ctx, changed)}


def _body(ctx: Asking, subscription: Resource, event: dict[str, Any]) -> dict[str, Any]:
    """The notification (m2m:sgn) of an event."""
    attributes, cse_id = subscription.attributes, ctx.settings.cse_id
    body: dict[str, Any] = {"nev": event, "sur": sp_relative(subscription.ri, cse_id)}
    if attributes.get("eeno"):
        body["cr"] = ctx.originator
    elif "cr" in attributes:
        body["cr"] = attributes["cr"]
    if "nfu" in attributes:
        body["nfu"] = attributes["nfu"]
    return body
