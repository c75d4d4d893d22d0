"""subscription, type 23: who wants to hear of changes (TS-0001 clause 9.6.8, TS-0004 clause 7.4.8)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Operation, Response
from cse.ports import Resource, Send
from cse.resources import notifying, pending_notifications, target_removal
from cse.resources.declare import Context, Hooks, VirtualChild, declare
from cse.resources.subscription_checks import check, check_room, complete, same_entity, verify_targets

_SCHEDULE = 18
_CHILD_CREATED = 3


class SubscriptionHooks(Hooks):
    """Checks, verification of notification targets, policies of delivery, and the last word to the subscriber."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse criteria that can never match or that contradict each other; fill in defaults."""
        check(ctx, parent, attributes)
        check_room(ctx, parent, ctx.originator)
        complete(attributes)

    def verify_create(
        self, ctx: Context, parent: Resource, attributes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Ask every notification target that is not the originator itself (TS-0004 clause 7.4.8.2.1)."""
        ri = attributes["ri"] = ctx.env.new_id()
        yield from verify_targets(ctx, attributes["nu"], ri)

    def resource_id(self, ctx: Context, attributes: dict[str, Any]) -> str:
        """The identifier the targets were told."""
        return str(attributes.pop("ri", "") or ctx.env.new_id())

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Others may have subscribed while targets were asked; statistics begin with the subscription."""
        creator = resource.internal.get("creator", "")
        check_room(ctx, parent, creator)
        if creator:
            resource.internal["subscriber"] = creator
        if resource.attributes.get("nse"):
            resource.attributes["nsi"] = notifying.statistics(resource.attributes["nu"])

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Prior events are told (preSubscriptionNotify): those whose instances are still there."""
        if "psn" in resource.attributes and _CHILD_CREATED in ((resource.attributes.get("enc") or {}).get("net") or ()):
            ctx.event(parent, _CHILD_CREATED, resource)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The subscription must make sense with the changes applied."""
        parent = ctx.store.get(resource.pi)
        if changes.get("bn") is not None:
            complete(changes)
        merged = {**resource.attributes, **changes}
        present = {name: value for name, value in merged.items() if value is not None}
        if parent is not None:
            check(ctx, parent, present, before=resource)

    def verify_update(
        self, ctx: Context, resource: Resource, changes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Ask the notification targets that are new."""
        known = set(resource.attributes["nu"])
        yield from verify_targets(
            ctx, [target for target in changes.get("nu") or () if target not in known], resource.ri
        )

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """What changed policies no longer hold back goes out; a crossResourceSubscription let go is told."""
        notifying.policies_changed(ctx, resource, changes)
        if "acrs" in changes:
            left = [one for one in before.get("acrs") or () if one not in (changes["acrs"] or ())]
            _tell_members(ctx, resource, left)

    def check_child(self, ctx: Context, resource: Resource, child_type: int, attributes: dict[str, Any]) -> None:
        """A schedule here is the notificationSchedule (TS-0004 clause 7.4.8.1)."""
        check_schedule_child(child_type, attributes)

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """Send what is held back, and tell the subscriber (su) and crossResourceSubscriptions of the end."""
        attributes = resource.attributes
        targets = list(attributes.get("acrs") or ())
        subscriber = attributes.get("su")
        if subscriber and not same_entity(ctx, subscriber, ctx.originator):
            targets.insert(0, subscriber)
        notifying.say_farewell(ctx, resource, targets)

    def timer_due(self, ctx: Context, resource: Resource, kind: str) -> None:
        """A batch, a window of the rate limit, or a pause is over."""
        notifying.timer_due(ctx, resource, kind)

    def timers(self, ctx: Context, resource: Resource) -> Iterable[tuple[str, float]]:
        """What was waiting when this CSE stopped."""
        return notifying.timers_of(resource)

    def wants_delivered(self, resource: Resource, answer: Response | None) -> bool:
        """Most subscriptions do not care how delivery went."""
        return notifying.wants_delivered(resource, answer)

    def delivered(
        self, ctx: Context, resource: Resource, send: Send, answer: Response | None
    ) -> Generator[Send, Response | None, None]:
        """Count the answer, keep what was not delivered, and hear a target that asks to be removed."""
        with ctx.transaction():
            pending_notifications.delivered(ctx, resource, send, answer)
        if notifying.asks_removal(answer) and ctx.store.get(resource.ri) is not None:
            yield from target_removal.decide(ctx, resource, send.target)


def _tell_members(ctx: Context, resource: Resource, identifiers: Iterable[str]) -> None:
    for identifier in identifiers:
        send = ctx.notification(identifier, notifying.farewell(ctx, resource), subject=resource.ri, final=True)
        if send is not None:
            ctx.queue(send)


def check_schedule_child(child_type: int, attributes: dict[str, Any]) -> None:
    """Refuse a schedule whose name is not the one that makes it count; without a name it gets that one.

    Raises:
        BadRequest: another resourceName.
    """
    if child_type == _SCHEDULE and attributes.setdefault("rn", "notificationSchedule") != "notificationSchedule":
        raise BadRequest("a schedule of a subscription must have the rn 'notificationSchedule'")


TYPES = (
    declare(
        "subscription",
        SubscriptionHooks(),
        virtual=(VirtualChild("ntsr", frozenset({Operation.DELETE}), handle=target_removal.self_reference),),
    ),
)
