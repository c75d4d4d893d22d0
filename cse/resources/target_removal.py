"""A notification target that wants to hear no more, and the policy that decides (TS-0001 clause 10.2.10.15).

It says so with a DELETE of ``ntsr``, or with targetRemovalRequest (``trr``) in its answer to a notification. The
policy is found through the notificationTargetMgmtPolicyRef of the subscription, else it is the default one of the
subscription's creator, else the system's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import OriginatorHasNoPrivilege
from cse.onem2m.primitives import Response
from cse.onem2m.schedules import covers
from cse.onem2m.status import Status
from cse.ports import Resource, Send
from cse.resources import notifying
from cse.resources.declare import Context

_POLICY_REFERENCE, _POLICY, _DELETION_RULES = 25, 26, 27
#: notificationTargetPolicyAction (TS-0004 clause 6.3.4.2.24)
_ACCEPT, _REJECT, _SEEK, _INFORM = 1, 2, 3, 4
_OR = 2
#: policyLabel of the policies that apply where no other does
DEFAULT_LABEL = "Default"


def self_reference(
    ctx: Context, subscriber: Resource, tail: tuple[str, ...]
) -> Generator[Send, Response | None, Response]:
    """Answer a DELETE of ``ntsr``: the originator wants to be no target of this subscription any more.

    Raises:
        OriginatorHasNoPrivilege: it is no target, or the policy refuses.
    """
    target = next((entry for entry in subscriber.attributes["nu"] if _names(ctx, entry, ctx.originator)), None)
    if target is None:
        raise OriginatorHasNoPrivilege(f"originator {ctx.originator!r} is no notification target of this subscription")
    if not (yield from decide(ctx, subscriber, target)):
        raise OriginatorHasNoPrivilege(f"the notification target policy does not let {target!r} be removed now")
    return Response(Status.DELETED)


def decide(ctx: Context, subscriber: Resource, target: str) -> Generator[Send, Response | None, bool]:
    """Remove a target if the policy has it so; gives whether it was removed.

    Args:
        ctx: the request; no open transaction.
        subscriber: the subscription or crossResourceSubscription.
        target: the entry of nu that asks.
    """
    policy = _policy_for(ctx, subscriber, target)
    action = policy.attributes.get("acn", _REJECT) if policy is not None else _REJECT
    if action in (_SEEK, _INFORM):
        agreed = yield from _tell_creator(ctx, subscriber, target)
        if action == _INFORM or not agreed:
            return False
    if action == _REJECT or (policy is not None and not _rules_allow(ctx, policy)):
        return False
    current = ctx.store.get(subscriber.ri)
    if current is None or target not in current.attributes["nu"]:
        return True
    with ctx.transaction():
        rest = [entry for entry in current.attributes["nu"] if entry != target]
        if rest:
            current = ctx.adjust(current, {"nu": rest, "lt": ctx.env.timestamp})
            notifying.policies_changed(ctx, current, {"nu": rest})
        else:
            ctx.delete(current)
    return True


def _tell_creator(ctx: Context, subscriber: Resource, target: str) -> Generator[Send, Response | None, bool]:
    """Tell the subscription's creator that a target wants to go; gives whether it agreed (targetRemovalAllowance)."""
    creator = subscriber.internal.get("creator")
    body: dict[str, Any] = {"sur": sp_relative(subscriber.ri, ctx.settings.cse_id), "trr": True, "ntt": target}
    send = ctx.notification(creator, {"m2m:sgn": body}) if creator else None
    answer = (yield send) if send is not None else None
    if answer is None or not answer.status.is_success or not isinstance(answer.content, dict):
        return False
    inner = answer.content.get("m2m:sgn")
    return (inner if isinstance(inner, dict) else answer.content).get("tra") is True


def _policy_for(ctx: Context, subscriber: Resource, target: str) -> Resource | None:
    for reference in ctx.store.children(subscriber.ri, _POLICY_REFERENCE):
        if any(entry == target or _names(ctx, entry, target) for entry in reference.attributes["ntu"]):
            policy = ctx.local(reference.attributes.get("npi", ""))
            if policy is not None and policy.ty == _POLICY:
                return policy
    creator = subscriber.internal.get("creator", "")
    defaults = [
        policy
        for policy in ctx.store.children(ctx.settings.cse_id.lstrip("/"), _POLICY)
        if policy.attributes.get("plbl") == DEFAULT_LABEL
    ]
    own = [policy for policy in defaults if creator and policy.internal.get("creator") == creator]
    system = [policy for policy in defaults if not policy.internal.get("creator")]
    return next(iter(own or system), None)


def _names(ctx: Context, entry: str, entity: str) -> bool:
    """Whether an entry of nu or ntu names an entity: by its identifier, or by the address of its resource."""
    cse_id = ctx.settings.cse_id
    if sp_relative(entry, cse_id) == sp_relative(entity, cse_id):
        return True
    one, other = ctx.local(entry), ctx.local(entity)
    return one is not None and other is not None and one.ri == other.ri


def _rules_allow(ctx: Context, policy: Resource) -> bool:
    """Whether the policyDeletionRules of a policy let a target go now; without any they do."""
    verdicts = [_rule_allows(ctx, rules) for rules in ctx.store.children(policy.ri, _DELETION_RULES)]
    if not verdicts:
        return True
    return any(verdicts) if policy.attributes.get("rrs") == _OR else all(verdicts)


def _rule_allows(ctx: Context, rules: Resource) -> bool:
    contexts = rules.attributes.get("dr") or {}
    verdicts = []
    if contexts.get("tod"):
        verdicts.append(any(covers(entry, ctx.env.now) for entry in contexts["tod"]))
    if contexts.get("lr"):
        # Where a notification target is cannot be established, so a rule that demands a place is not met.
        verdicts.append(False)
    if not verdicts:
        return True
    return any(verdicts) if rules.attributes.get("drr") == _OR else all(verdicts)
