"""crossResourceSubscription, type 48: events of several resources in one time window (TS-0001 clause 9.6.58, 10.2.12).

Member subscriptions notify this resource (``notified``); what came in the window decides whether the notification
targets hear of it. Which came is kept in ``Resource.internal``: ``members`` by SP-relative resource-ID, and ``seen``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import BadRequest, CrossResourceOperationFailure, CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import parse_duration
from cse.ports import Resource, Send
from cse.resources import notifying, pending_notifications, target_removal
from cse.resources.declare import Context, Hooks, Privilege, VirtualChild, declare
from cse.resources.subscription import check_schedule_child
from cse.resources.subscription_checks import same_entity

_SUBSCRIPTION = 23
_PERIODIC, _SLIDING = 1, 2
#: eventEvaluationMode
_ALL, _ANY, _ANY_MISSING, _NONE, _SOME_MISSING = 1, 2, 3, 4, 5
_WINDOW = "event window"


class CrossResourceSubscriptionHooks(Hooks):
    """Member subscriptions are made, watched, and removed with this one."""

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """CSEs this one is registered with may bring the notifications of member subscriptions they host."""
        if privilege is Privilege.NOTIFY and originator.startswith("/"):
            known = originator == ctx.settings.registrar or bool(ctx.store.referring("csi", originator))
            return True if known else None
        return None

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse sets of resources and criteria that do not fit together.

        Raises:
            BadRequest: with what to send instead.
        """
        regular = attributes.get("rrat") or []
        if not regular and not attributes.get("srat"):
            raise BadRequest("name the resources: 'rrat' (resources to subscribe to), 'srat' (subscriptions), or both")
        criteria = (attributes.get("encs") or {}).get("enc") or []
        if regular and len(criteria) not in (1, len(regular)):
            raise BadRequest(f"'encs' must hold one enc, or one for each of the {len(regular)} resources of 'rrat'")
        _check_window(attributes)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Statistics begin."""
        if resource.attributes.get("nse"):
            resource.attributes["nsi"] = notifying.statistics(resource.attributes["nu"])

    def established(self, ctx: Context, resource: Resource) -> Generator[Send, Response | None, None]:
        """Make the member subscriptions, as the originator (TS-0004 clause 7.4.58.2.1).

        Raises:
            BadRequest: an entry of srat is no subscription.
            CrossResourceOperationFailure: a member subscription cannot be made or changed.
        """
        attributes, own = resource.attributes, sp_relative(resource.ri, ctx.settings.cse_id)
        criteria = (attributes.get("encs") or {}).get("enc") or []
        for index, address in enumerate(attributes.get("rrat") or ()):
            body = {"nu": [own], "acrs": [own], "enc": criteria[index if len(criteria) > 1 else 0]}
            body.update({name: attributes[name] for name in ("nec", "et") if name in attributes})
            made = yield from _perform(ctx, Operation.CREATE, address, {"m2m:sub": body})
            _remember(ctx, resource.ri, _member_id(ctx, address, made), made=True)
        for address in attributes.get("srat") or ():
            found = yield from _perform(ctx, Operation.RETRIEVE, address, None)
            if "m2m:sub" not in found:
                raise BadRequest(f"'srat' names {address!r}, which is no subscription")
            subscription = found["m2m:sub"]
            body = {
                "nu": [*subscription["nu"], own],
                "acrs": [*(subscription.get("acrs") or ()), own],
            }
            yield from _perform(ctx, Operation.UPDATE, address, {"m2m:sub": body})
            _remember(ctx, resource.ri, _member_id(ctx, address, found), made=False)
        current = ctx.store.get(resource.ri)
        if current is not None:
            with ctx.transaction():
                _restart(ctx, current)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The window must make sense with the changes applied."""
        _check_window({**resource.attributes, **changes})

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """A changed window begins anew."""
        notifying.policies_changed(ctx, resource, changes)
        if {"twt", "tws", "eem"} & changes.keys():
            _restart(ctx, ctx.store.get(resource.ri) or resource)

    def check_child(self, ctx: Context, resource: Resource, child_type: int, attributes: dict[str, Any]) -> None:
        """A schedule here is the notificationSchedule."""
        check_schedule_child(child_type, attributes)

    def notified(self, ctx: Context, resource: Resource) -> Generator[Send, Response | None, Response]:
        """A member subscription verifies, notifies, or is gone.

        Raises:
            BadRequest: not a notification, or not of a member.
        """
        yield from ()
        content = ctx.request.content
        batch = (content.get("m2m:agn") or {}).get("m2m:sgn")
        for body in batch if isinstance(batch, list) else [content.get("m2m:sgn")]:
            if not isinstance(body, dict):
                raise BadRequest("a crossResourceSubscription takes the notifications (m2m:sgn) of its members only")
            current = ctx.store.get(resource.ri)
            if body.get("vrq") or current is None:
                continue
            member = sp_relative(str(body.get("sur", "")), ctx.settings.cse_id)
            if member not in (current.internal.get("members") or ()):
                raise BadRequest(f"{member!r} is no member subscription of {current.path!r}")
            with ctx.transaction():
                if body.get("sud"):
                    ctx.delete(current)
                else:
                    _seen(ctx, current, member)
        return Response(Status.OK)

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """Member subscriptions go or are let go; the subscriber hears of the end."""
        own = sp_relative(resource.ri, ctx.settings.cse_id)
        for member, made in (resource.internal.get("members") or {}).items():
            subscription = ctx.local(member) if ctx.is_local(member) else None
            if subscription is not None:
                _let_go(ctx, subscription, own, delete=made)
            elif made and not ctx.is_local(member):
                request = Request(Operation.DELETE, member, ctx.settings.cse_id, ctx.env.new_id(), release="3")
                creator = resource.internal.get("creator")
                if creator:
                    request.originator = sp_relative(creator, ctx.settings.cse_id)
                ctx.queue_request(request)
        subscriber = resource.attributes.get("su")
        told = [subscriber] if subscriber and not same_entity(ctx, subscriber, ctx.originator) else []
        notifying.say_farewell(ctx, resource, told)

    def timer_due(self, ctx: Context, resource: Resource, kind: str) -> None:
        """A window is over, or a policy has something to send."""
        if kind != _WINDOW:
            notifying.timer_due(ctx, resource, kind)
            return
        _evaluate(ctx, resource)
        current = ctx.store.get(resource.ri)
        if current is not None:
            _restart(ctx, current)

    def timers(self, ctx: Context, resource: Resource) -> Iterator[tuple[str, float]]:
        """The window that was open when this CSE stopped, and what waited."""
        if resource.internal.get("window_end"):
            yield _WINDOW, resource.internal["window_end"]
        yield from notifying.timers_of(resource)

    def wants_delivered(self, resource: Resource, answer: Response | None) -> bool:
        """As for subscriptions."""
        return notifying.wants_delivered(resource, answer)

    def delivered(
        self, ctx: Context, resource: Resource, send: Send, answer: Response | None
    ) -> Generator[Send, Response | None, None]:
        """As for subscriptions."""
        with ctx.transaction():
            pending_notifications.delivered(ctx, resource, send, answer)
        if notifying.asks_removal(answer) and ctx.store.get(resource.ri) is not None:
            yield from target_removal.decide(ctx, resource, send.target)


def _check_window(attributes: Mapping[str, Any]) -> None:
    if parse_duration(attributes["tws"]) <= 0:
        raise BadRequest("attribute 'tws' (time window size) must be longer than nothing, e.g. PT10S")
    if attributes["twt"] == _SLIDING and attributes.get("eem") in (_ANY_MISSING, _NONE):
        raise BadRequest("'eem' 3 and 4 need a periodic window (twt 1): a sliding one begins with the first event")


def _perform(
    ctx: Context, operation: Operation, address: str, content: Any
) -> Generator[Send, Response | None, dict[str, Any]]:
    """Do something with a member on behalf of the originator; gives the content of the answer."""
    request = Request(operation, address, ctx.request.originator, ctx.env.new_id(), content=content, release="3")
    if operation is Operation.CREATE:
        request.resource_type = _SUBSCRIPTION
    try:
        answer = yield from ctx.perform(request)
    except CseError as error:
        raise CrossResourceOperationFailure(f"{operation.name} at {address!r} failed: {error.debug}") from error
    if not answer.status.is_success or not isinstance(answer.content, dict):
        debug = answer.content.get("m2m:dbg", "") if isinstance(answer.content, dict) else ""
        raise CrossResourceOperationFailure(f"{operation.name} at {address!r} gave {int(answer.status)}: {debug}")
    return answer.content


def _member_id(ctx: Context, address: str, content: Mapping[str, Any]) -> str:
    """The SP-relative identifier of a member subscription hosted where ``address`` is."""
    ri = str(content["m2m:sub"]["ri"])
    if ctx.is_local(address):
        return sp_relative(ri, ctx.settings.cse_id)
    return ri if ri.startswith("/") else f"/{address.lstrip('/').split('/')[0]}/{ri}"


def _remember(ctx: Context, ri: str, member: str, *, made: bool) -> None:
    current = ctx.store.get(ri)
    if current is None:
        raise CrossResourceOperationFailure("the crossResourceSubscription was deleted while it was set up")
    members = {**(current.internal.get("members") or {}), member: made}
    own = [one.rpartition("/")[2] if ctx.is_local(one) else one for one, is_made in members.items() if is_made]
    with ctx.transaction():
        ctx.adjust(current, {"rrats": own} if own else {}, members=members)


def _let_go(ctx: Context, subscription: Resource, own: str, *, delete: bool) -> None:
    """End a local member's tie to this resource, without it telling us so."""
    cse_id = ctx.settings.cse_id
    attributes = subscription.attributes
    rest = [one for one in attributes.get("acrs") or () if sp_relative(one, cse_id) != own]
    targets = [one for one in attributes["nu"] if sp_relative(one, cse_id) != own]
    changes: dict[str, Any] = {"nu": targets}
    if rest or "acrs" in attributes:
        changes["acrs"] = rest or None
    subscription = ctx.adjust(subscription, changes)
    if delete or not targets:
        ctx.delete(subscription)


def _seen(ctx: Context, resource: Resource, member: str) -> None:
    """An event came: it opens a sliding window, and may complete it."""
    seen = resource.internal.get("seen") or []
    if member not in seen:
        seen = [*seen, member]
    changes: dict[str, Any] = {"seen": seen}
    if resource.attributes["twt"] == _SLIDING and not resource.internal.get("window_end"):
        changes["window_end"] = ctx.env.now + parse_duration(resource.attributes["tws"])
        ctx.set_timer(resource.ri, _WINDOW, changes["window_end"])
    resource = ctx.adjust(resource, {}, **changes)
    complete = len(seen) == len(resource.internal["members"])
    if complete and resource.attributes["twt"] == _SLIDING and resource.attributes.get("eem", _ALL) in (_ALL, _ANY):
        _evaluate(ctx, resource)
        current = ctx.store.get(resource.ri)
        if current is not None:
            _restart(ctx, current)


def _evaluate(ctx: Context, resource: Resource) -> None:
    """Notify if what came in the window is what is asked for (eventEvaluationMode)."""
    came, asked = len(resource.internal.get("seen") or ()), len(resource.internal.get("members") or ())
    satisfied = {
        _ALL: came == asked,
        _ANY: came > 0,
        _ANY_MISSING: came < asked,
        _NONE: came == 0,
        _SOME_MISSING: 0 < came < asked,
    }[resource.attributes.get("eem", _ALL)]
    if satisfied:
        body: dict[str, Any] = {"sur": sp_relative(resource.ri, ctx.settings.cse_id)}
        if "cr" in resource.attributes:
            body["cr"] = resource.attributes["cr"]
        notifying.dispatch(ctx, resource.ri, body)


def _restart(ctx: Context, resource: Resource) -> None:
    """Begin a window: a periodic one now, a sliding one with the next event."""
    end = None
    if resource.attributes["twt"] == _PERIODIC:
        end = ctx.env.now + parse_duration(resource.attributes["tws"])
    ctx.adjust(resource, {}, seen=[], window_end=end)
    ctx.set_timer(resource.ri, _WINDOW, end)


TYPES = (
    declare(
        "crossResourceSubscription",
        CrossResourceSubscriptionHooks(),
        virtual=(VirtualChild("ntsr", frozenset({Operation.DELETE}), handle=target_removal.self_reference),),
    ),
)
