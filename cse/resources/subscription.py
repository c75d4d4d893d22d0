"""subscription, type 23: who wants to hear of changes (TS-0001 clause 9.6.8, TS-0004 clause 7.4.8)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from cse.onem2m.addressing import is_url, sp_relative
from cse.onem2m.errors import (
    BadRequest,
    SubscriptionCreatorHasNoPrivilege,
    SubscriptionHostHasNoPrivilege,
    SubscriptionVerificationInitiationFailed,
)
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, Privilege, declare

_UPDATE, _DELETE, _CHILD_CREATED, _CHILD_DELETED = 1, 2, 3, 4
_SUPPORTED_EVENTS = frozenset({_UPDATE, _DELETE, _CHILD_CREATED, _CHILD_DELETED})
_ALL_ATTRIBUTES, _MODIFIED_ATTRIBUTES, _RESOURCE_ID = 1, 2, 3
#: content types each event type may have, the default first
_CONTENT_TYPES = {
    _UPDATE: (_ALL_ATTRIBUTES, _MODIFIED_ATTRIBUTES, _RESOURCE_ID),
    _DELETE: (_ALL_ATTRIBUTES, _RESOURCE_ID),
    _CHILD_CREATED: (_ALL_ATTRIBUTES, _RESOURCE_ID),
    _CHILD_DELETED: (_ALL_ATTRIBUTES, _RESOURCE_ID),
}
_SCHEMES = frozenset({"http", "https", "coap", "coaps", "mqtt", "mqtts", "ws", "wss"})
_AE = 2
#: attributes that would change what is sent and when, and that this CSE does not act on
_UNSUPPORTED = ("bn", "rl", "psn", "pn", "nsp", "ln", "acrs", "nse", "ma")


class SubscriptionHooks(Hooks):
    """Checks, verification of notification targets, and the last word to the subscriber."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse criteria that can never match or that contradict each other."""
        _check(ctx, parent, attributes)
        attributes.setdefault("nct", _default_content_type(attributes))

    def verify_create(
        self, ctx: Context, parent: Resource, attributes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Ask every notification target that is not the originator itself (TS-0004 clause 7.4.8.2.1)."""
        ri = attributes["ri"] = ctx.env.new_id()
        yield from _verify(ctx, attributes["nu"], ri)

    def resource_id(self, ctx: Context, attributes: dict[str, Any]) -> str:
        """The identifier the targets were told."""
        return str(attributes.pop("ri"))

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The subscription must make sense with the changes applied."""
        parent = ctx.store.get(resource.pi)
        merged = {**resource.attributes, **changes}
        present = {name: value for name, value in merged.items() if value is not None}
        if parent is not None:
            _check(ctx, parent, present, changed=changes)

    def verify_update(
        self, ctx: Context, resource: Resource, changes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Ask the notification targets that are new."""
        known = set(resource.attributes["nu"])
        yield from _verify(ctx, [target for target in changes.get("nu") or () if target not in known], resource.ri)

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """Tell the subscriber (su) that its subscription is gone."""
        attributes = resource.attributes
        target = attributes.get("su")
        if not target or _same(ctx, target, ctx.originator):
            return
        body: dict[str, Any] = {"sud": True, "sur": sp_relative(resource.ri, ctx.settings.cse_id)}
        if "cr" in attributes:
            body["cr"] = attributes["cr"]
        send = ctx.notification(target, {"m2m:sgn": body}, subject=resource.ri, final=True)
        if send is not None:
            ctx.queue(send)


def _check(ctx: Context, parent: Resource, attributes: dict[str, Any], changed: dict[str, Any] | None = None) -> None:
    for name in _UNSUPPORTED:
        if name in (attributes if changed is None else changed):
            raise NotSupported(f"attribute {name!r} of a subscription is not supported by this CSE: leave it out")
    targets = attributes["nu"]
    if not targets:
        raise BadRequest("attribute 'nu' must name at least one notification target")
    for target in targets:
        if is_url(target) and target.partition("://")[0].lower() not in _SCHEMES:
            raise BadRequest(f"attribute 'nu' holds {target!r}: use one of {', '.join(sorted(_SCHEMES))}, or an AE-ID")
    criteria = attributes.get("enc") or {}
    events = criteria.get("net") or ([] if criteria.get("om") else [_UPDATE])
    if "net" in criteria and not criteria["net"]:
        raise BadRequest("enc 'net' must name at least one event type")
    for event in events:
        if event not in _SUPPORTED_EVENTS:
            raise NotSupported(f"notification event type (net) {event} is not supported by this CSE: use 1 to 4")
    for name in ("om", "md", "aq"):
        if name in criteria:
            raise NotSupported(f"enc {name!r} is not supported by this CSE: leave it out")
    _check_content_type(events, attributes.get("nct"))
    _check_scope(ctx, parent, criteria)


def _check_content_type(events: Iterable[int], content_type: int | None) -> None:
    for event in events:
        allowed = _CONTENT_TYPES[event]
        if content_type is not None and content_type not in allowed:
            raise BadRequest(
                f"notification content type (nct) {content_type} does not go with event type (net) {event}: "
                f"send nct {' or '.join(map(str, allowed))}, or another net"
            )


def _default_content_type(attributes: dict[str, Any]) -> int:
    events = (attributes.get("enc") or {}).get("net") or [_UPDATE]
    return _CONTENT_TYPES[events[0]][0]


def _check_scope(ctx: Context, parent: Resource, criteria: dict[str, Any]) -> None:
    parent_type = ctx.type_of(parent)
    known = parent_type.table(parent.root).attributes
    for name in criteria.get("atr", ()):
        if name not in known:
            raise BadRequest(f"enc 'atr' names {name!r}, which {parent.root} does not have")
    for number in criteria.get("chty", ()):
        if number not in parent_type.children:
            raise BadRequest(f"enc 'chty' names type {number}, which cannot be a child of {parent.path!r}")


def _verify(ctx: Context, targets: Iterable[str], ri: str) -> Generator[Send, Response | None, None]:
    for target in targets:
        if not is_url(target) and _concerns_originator(ctx, target):
            continue
        entity = None if is_url(target) else ctx.local(target)
        if entity is not None and entity.ty == _AE and not ctx.allowed(entity, Privilege.NOTIFY):
            raise SubscriptionCreatorHasNoPrivilege(
                f"originator {ctx.originator!r} may not notify {target!r}: it needs NOTIFY (acop 16) on that AE"
            )
        body: dict[str, Any] = {"vrq": True, "sur": sp_relative(ri, ctx.settings.cse_id)}
        body["cr"] = sp_relative(ctx.originator, ctx.settings.cse_id)
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


def _concerns_originator(ctx: Context, target: str) -> bool:
    """Whether a target is the originator, or a resource below its own registration."""
    if _same(ctx, target, ctx.originator):
        return True
    resource = ctx.local(target)
    while resource is not None and resource.pi:
        if resource.ri == ctx.originator:
            return True
        resource = ctx.store.get(resource.pi)
    return False


def _same(ctx: Context, one: str, other: str) -> bool:
    cse_id = ctx.settings.cse_id
    return bool(one) and bool(other) and sp_relative(one, cse_id) == sp_relative(other, cse_id)


TYPES = (declare("subscription", SubscriptionHooks()),)
