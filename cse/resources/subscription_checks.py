"""Which subscriptions make sense, and the verification of their targets (TS-0004 clause 7.4.8.2.1, 7.4.8.2.3)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from cse.onem2m.addressing import is_url, sp_relative
from cse.onem2m.errors import (
    BadRequest,
    BlockingSubscriptionAlreadyExists,
    SubscriptionCreatorHasNoPrivilege,
    SubscriptionHostHasNoPrivilege,
    SubscriptionVerificationInitiationFailed,
)
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import parse_duration
from cse.ports import Resource, Send
from cse.resources.declare import Context, Privilege

_UPDATE, _DELETE, _CHILD_CREATED, _CHILD_DELETED = 1, 2, 3, 4
_WITHOUT_CHILD, _TRIGGER, _BLOCKING, _MISSING_DATA = 5, 6, 7, 8
_ALL_ATTRIBUTES, _MODIFIED_ATTRIBUTES, _RESOURCE_ID, _TRIGGER_PAYLOAD, _TIME_SERIES = 1, 2, 3, 4, 5
#: content types each event type may have, the default first
_CONTENT_TYPES = {
    _UPDATE: (_ALL_ATTRIBUTES, _MODIFIED_ATTRIBUTES, _RESOURCE_ID),
    _DELETE: (_ALL_ATTRIBUTES, _RESOURCE_ID),
    _CHILD_CREATED: (_ALL_ATTRIBUTES, _RESOURCE_ID),
    _CHILD_DELETED: (_ALL_ATTRIBUTES, _RESOURCE_ID),
    _WITHOUT_CHILD: (_ALL_ATTRIBUTES,),
    _TRIGGER: (_TRIGGER_PAYLOAD,),
    _BLOCKING: (_MODIFIED_ATTRIBUTES,),
    _MISSING_DATA: (_TIME_SERIES,),
}
_SCHEMES = frozenset({"http", "https", "coap", "coaps", "mqtt", "mqtts", "ws", "wss"})
_AE, _CONTAINER, _TIME_SERIES_TYPE, _SUBSCRIPTION = 2, 3, 29, 23
#: attributes that would change what is sent and when, and that this CSE does not act on
_UNSUPPORTED = ("ma",)
#: policies that make no sense where the answer is waited for
_NOT_BLOCKING = ("bn", "rl", "psn", "pn", "nsp", "ln", "nec")
#: how long a batch waits when only its number is given
_BATCH_DURATION = "PT1M"


def check(ctx: Context, parent: Resource, attributes: dict[str, Any], before: Resource | None = None) -> None:
    """Refuse a subscription that can never notify or that contradicts itself.

    Args:
        ctx: the request.
        parent: the subscribed-to resource.
        attributes: of the subscription as it is to be.
        before: the subscription as it is, for an UPDATE.

    Raises:
        BadRequest: with what to send instead.
        BlockingSubscriptionAlreadyExists: a second one with net 7.
        NotImplemented: something this CSE does not do.
    """
    for name in _UNSUPPORTED:
        if name in attributes:
            raise NotSupported(f"attribute {name!r} of a subscription is not supported by this CSE: leave it out")
    _check_targets(attributes["nu"])
    criteria = attributes.get("enc") or {}
    events = criteria.get("net") or ([] if criteria.get("om") else [_UPDATE])
    if "net" in criteria and not criteria["net"]:
        raise BadRequest("enc 'net' must name at least one event type")
    for event in events:
        if event not in _CONTENT_TYPES:
            raise NotSupported(f"notification event type (net) {event} is not supported by this CSE: use 1 to 8")
    if "aq" in criteria:
        raise NotSupported("enc 'aq' is not supported by this CSE: leave it out")
    _check_monitors(criteria)
    _check_content_type(events, attributes.get("nct"))
    _check_scope(ctx, parent, criteria)
    _check_place(parent, events, criteria)
    _check_policies(attributes)
    if _BLOCKING in events:
        _check_blocking(ctx, parent, attributes, before)


def check_room(ctx: Context, parent: Resource, creator: str) -> None:
    """Refuse a subscription beyond what one resource and one originator may have (trust.md R12).

    Raises:
        SubscriptionCreatorHasNoPrivilege: one must be deleted first.
    """
    settings = ctx.settings
    if len(ctx.store.children(parent.ri, _SUBSCRIPTION)) >= settings.max_subscriptions_per_resource:
        raise SubscriptionCreatorHasNoPrivilege(
            f"{parent.path!r} has {settings.max_subscriptions_per_resource} subscriptions, and there may be no more: "
            "DELETE one, or subscribe to its parent"
        )
    if not creator or creator in settings.admin or creator == settings.cse_id:
        return
    if len(ctx.store.referring("subscriber", creator)) >= settings.max_subscriptions:
        raise SubscriptionCreatorHasNoPrivilege(
            f"originator {creator!r} has {settings.max_subscriptions} subscriptions, and may have no more: DELETE "
            "those that are of no use any more"
        )


def complete(attributes: dict[str, Any]) -> None:
    """Fill in the defaults of a checked subscription, or of the attributes of an UPDATE that have one."""
    if "nu" in attributes:
        events = (attributes.get("enc") or {}).get("net") or [_UPDATE]
        attributes.setdefault("nct", _CONTENT_TYPES[events[0]][0])
    if attributes.get("bn"):
        attributes["bn"] = {"dur": _BATCH_DURATION, **attributes["bn"]}


def _check_targets(targets: list[str]) -> None:
    if not targets:
        raise BadRequest("attribute 'nu' must name at least one notification target")
    for target in targets:
        if is_url(target) and target.partition("://")[0].lower() not in _SCHEMES:
            raise BadRequest(f"attribute 'nu' holds {target!r}: use one of {', '.join(sorted(_SCHEMES))}, or an AE-ID")


def _check_monitors(criteria: Mapping[str, Any]) -> None:
    if "om" not in criteria:
        return
    if "net" in criteria:
        raise BadRequest("enc holds 'om' and 'net': make two subscriptions, one for each")
    if not criteria["om"]:
        raise BadRequest("enc 'om' must hold at least one operation monitor")
    for entry in criteria["om"]:
        if "ops" not in entry and "or" not in entry:
            raise BadRequest("an entry of enc 'om' needs 'ops' (operations), 'or' (originator) or both")
        if not 0 < entry.get("ops", 1) <= 63:
            raise BadRequest("'ops' of enc 'om' must be a sum of 1 (CREATE), 2, 4, 8, 16 and 32")


def _check_content_type(events: Iterable[int], content_type: int | None) -> None:
    defaults = set()
    for event in events:
        allowed = _CONTENT_TYPES[event]
        defaults.add(allowed[0])
        if content_type is not None and content_type not in allowed:
            raise BadRequest(
                f"notification content type (nct) {content_type} does not go with event type (net) {event}: "
                f"send nct {' or '.join(map(str, allowed))}, or another net"
            )
    if content_type is None and len(defaults) > 1:
        raise BadRequest("these event types (net) have different defaults: send the content type (nct), or split them")


def _check_scope(ctx: Context, parent: Resource, criteria: Mapping[str, Any]) -> None:
    parent_type = ctx.type_of(parent)
    known = parent_type.table(parent.root).attributes
    for name in criteria.get("atr", ()):
        if name not in known:
            raise BadRequest(f"enc 'atr' names {name!r}, which {parent.root} does not have")
    if "chty" in criteria and not {_CHILD_CREATED, _CHILD_DELETED} & set(criteria.get("net") or ()):
        raise BadRequest("enc 'chty' goes with event types (net) 3 and 4 only: add one, or leave 'chty' out")
    for number in criteria.get("chty", ()):
        if number not in parent_type.children:
            raise BadRequest(f"enc 'chty' names type {number}, which cannot be a child of {parent.path!r}")


def _check_place(parent: Resource, events: Iterable[int], criteria: Mapping[str, Any]) -> None:
    if _WITHOUT_CHILD in events and parent.ty != _CONTAINER:
        raise BadRequest("event type (net) 5 is for subscriptions below a container")
    if _TRIGGER in events and parent.ty != _AE:
        raise BadRequest("event type (net) 6 is for subscriptions below an AE")
    if "md" in criteria and _MISSING_DATA not in events:
        raise BadRequest("enc 'md' goes with event type (net) 8 only")
    if _MISSING_DATA in events:
        if parent.ty != _TIME_SERIES_TYPE:
            raise BadRequest("event type (net) 8 is for subscriptions below a timeSeries")
        if "md" not in criteria:
            raise BadRequest('event type (net) 8 needs enc \'md\', e.g. {"num": 2, "dur": "PT1M"}')


def _check_policies(attributes: Mapping[str, Any]) -> None:
    batch, limit = attributes.get("bn"), attributes.get("rl")
    if batch is not None:
        if not batch or batch.get("num", 1) < 1:
            raise BadRequest("attribute 'bn' needs 'num' (> 0), 'dur' or both, e.g. {\"num\": 10, \"dur\": \"PT1M\"}")
        if "dur" in batch and parse_duration(batch["dur"]) <= 0:
            raise BadRequest("'dur' of attribute 'bn' must be longer than nothing, e.g. PT1M")
    if limit is not None and (limit.get("mnn", 0) < 1 or "tww" not in limit or parse_duration(limit["tww"]) <= 0):
        raise BadRequest("attribute 'rl' needs 'mnn' (> 0) and 'tww' (> 0), e.g. {\"mnn\": 5, \"tww\": \"PT1S\"}")


def _check_blocking(ctx: Context, parent: Resource, attributes: Mapping[str, Any], before: Resource | None) -> None:
    criteria = attributes["enc"]
    if before is not None and _BLOCKING not in ((before.attributes.get("enc") or {}).get("net") or ()):
        raise BadRequest("a subscription cannot become a blocking one (net 7): DELETE it and create another")
    if len(criteria["net"]) > 1:
        raise BadRequest("event type (net) 7 goes with no other: make two subscriptions")
    if len(attributes["nu"]) != 1:
        raise BadRequest("a blocking subscription (net 7) has exactly one notification target (nu)")
    strange = sorted(set(criteria) - {"net", "atr"})
    if strange:
        raise BadRequest(f"enc {strange[0]!r} does not go with event type (net) 7: only 'atr' does")
    for name in _NOT_BLOCKING:
        if name in attributes:
            raise BadRequest(f"attribute {name!r} does not go with a blocking subscription (net 7): leave it out")
    for other in ctx.store.children(parent.ri, _SUBSCRIPTION):
        others = (other.attributes.get("enc") or {}).get("net") or ()
        if _BLOCKING in others and (before is None or other.ri != before.ri):
            raise BlockingSubscriptionAlreadyExists(
                f"{parent.path!r} has a blocking subscription already, {other.rn!r}: there can be one only"
            )


def verify_targets(ctx: Context, targets: Iterable[str], ri: str) -> Generator[Send, Response | None, None]:
    """Ask notification targets whether they want to be notified; the originator itself is not asked.

    Args:
        ctx: the request.
        targets: entries of nu.
        ri: resource-ID of the subscription that is to be.

    Raises:
        SubscriptionCreatorHasNoPrivilege: a target may not be notified by the originator, or says so.
        SubscriptionHostHasNoPrivilege: a target refuses this CSE.
        SubscriptionVerificationInitiationFailed: a target gives no answer, or another refusal.
    """
    for target in targets:
        if not is_url(target) and concerns_originator(ctx, target):
            continue
        entity = None if is_url(target) else ctx.local(target)
        if entity is not None and entity.ty == _AE and not ctx.allowed(entity, Privilege.NOTIFY):
            raise SubscriptionCreatorHasNoPrivilege(
                f"originator {ctx.originator!r} may not notify {target!r}: it needs NOTIFY (acop 16) on that AE"
            )
        body: dict[str, Any] = {"vrq": True, "sur": sp_relative(ri, ctx.settings.cse_id)}
        body["cr"] = ctx.originator
        send = ctx.notification(target, {"m2m:sgn": body})
        answer = (yield send) if send is not None else None
        if answer is None:
            raise SubscriptionVerificationInitiationFailed(
                f"notification target {target!r} did not answer the verification request: start it before subscribing"
            )
        if answer.status == Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE:
            raise SubscriptionCreatorHasNoPrivilege(
                f"notification target {target!r} refuses this subscription's creator"
            )
        if answer.status == Status.SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE:
            raise SubscriptionHostHasNoPrivilege(f"notification target {target!r} refuses this CSE")
        if not answer.status.is_success:
            raise SubscriptionVerificationInitiationFailed(
                f"notification target {target!r} answered the verification request with {int(answer.status)}"
            )


def concerns_originator(ctx: Context, target: str) -> bool:
    """Whether a target is the originator, or a resource below its own registration."""
    if same_entity(ctx, target, ctx.originator):
        return True
    resource = ctx.local(target)
    while resource is not None and resource.pi:
        if resource.ri == ctx.originator:
            return True
        resource = ctx.store.get(resource.pi)
    return False


def same_entity(ctx: Context, one: str, other: str) -> bool:
    """Whether two identifiers name the same entity; none names nothing."""
    cse_id = ctx.settings.cse_id
    return bool(one) and bool(other) and sp_relative(one, cse_id) == sp_relative(other, cse_id)
