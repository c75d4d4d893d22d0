"""Why an originator may or may not do something: the decision of ``access_control``, with its reasons in words.

The decision itself is ``decide``'s; here the same conditions are asked once more, one by one, to say which decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cse.core.access_control import (
    announced_policy,
    contexts_match,
    decide,
    details_match,
    originator_matches,
    policy_grants,
    same_entity,
    syncs,
    touched,
)
from cse.core.context import RequestContext
from cse.core.hosting import HostingCse
from cse.core.numbers import ACCESS_CONTROL_POLICY
from cse.core.pipeline import serve
from cse.onem2m.addressing import shorten
from cse.onem2m.errors import BadRequest, NotFound
from cse.onem2m.primitives import Operation, Request
from cse.ports import Env, Resource
from cse.resources.declare import Privilege


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What one rule of a policy says.

    Attributes:
        policy: structured address of the policy.
        number: place of the rule in its ``pv/acr``, from 1 on.
        concerns: whether it is for this originator.
        grants: whether it grants what was asked.
        reason: the condition that decided.
    """

    policy: str
    number: int
    concerns: bool
    grants: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and its reasons.

    Attributes:
        granted: what ``decide`` says.
        because: the deciding policy and rule, or what decided in their place, in one sentence.
        ruled_by: structured address of the resource whose policies decide: the target, or one above it.
        rules: every rule that was looked at.
    """

    granted: bool
    because: str
    ruled_by: str
    rules: tuple[RuleVerdict, ...] = field(default=())


def explain(
    cse: HostingCse,
    env: Env,
    originator: str,
    privilege: Privilege,
    to: str,
    *,
    child_type: int | None = None,
    peer_address: str = "",
    content: Any = None,
    role_ids: Sequence[str] = (),
) -> Explanation:
    """Explain whether an originator has a privilege on a resource (TS-0001 clause 9.6.2).

    Args:
        cse: the hosting CSE.
        env: of the question.
        originator: any form of its identifier.
        privilege: one bit.
        to: address of the resource, of any form; of the parent for CREATE.
        child_type: for CREATE, the type of the new child.
        peer_address: IP address the request would come from, for rules that ask (``acip``).
        content: what it would carry, for rules that name attributes (``aca``).
        role_ids: roles it would claim (``rids``).

    Raises:
        BadRequest: CREATE without a child type.
        NotFound: there is no such resource.
    """
    if privilege is Privilege.CREATE and child_type is None:
        raise BadRequest("what an originator may CREATE can depend on the type: say which, e.g. child=4")
    operation = Operation.RETRIEVE if privilege is Privilege.DISCOVERY else Operation[str(privilege.name)]
    asked = Request(
        operation,
        to,
        originator,
        env.new_id(),
        release="3",
        content=content,
        role_ids=list(role_ids) or None,
        peer_address=peer_address,
    )
    ctx = RequestContext(cse, env, asked, serve)
    resource = ctx.find_local(to) or virtual_parent(ctx, to)
    if resource is None:
        raise NotFound(f"there is no resource {to!r} at this CSE")
    who = shorten(originator, ctx.settings.sp_id, ctx.settings.cse_id)
    granted = decide(ctx, resource, privilege, who, child_type)
    return _explained(ctx, resource, privilege, who, child_type, granted)


def virtual_parent(ctx: RequestContext, to: str) -> Resource | None:
    """The resource whose virtual child (la, ol, fopt, ...) an address names."""
    path, _, name = to.rpartition("/")
    parent = ctx.find_local(path) if path else None
    return parent if parent is not None and name in ctx.registry[parent.ty].virtual else None


def _explained(
    ctx: RequestContext, target: Resource, privilege: Privilege, who: str, child_type: int | None, granted: bool
) -> Explanation:
    settings, types = ctx.settings, ctx.registry
    resource = target

    def because(words: str, rules: tuple[RuleVerdict, ...] = ()) -> Explanation:
        return Explanation(granted, words, resource.path, rules)

    if who and who in settings.admin:
        return because(f"{who} is an administrator of this CSE")
    if who == settings.cse_id:
        return because(f"{who} is this CSE itself")
    while True:
        name, hooks = types[resource.ty].long_name, types[resource.ty].hooks
        verdict = hooks.access(ctx, resource, privilege, who)
        if verdict is None and child_type is not None:
            verdict = hooks.child_access(ctx, resource, child_type, who)
        if verdict is not None:
            if resource.ty % 10000 == ACCESS_CONTROL_POLICY:
                rules = tuple(_verdicts(ctx, resource, "pvs", resource, privilege, who, child_type))
                return because(_words_of_rules(rules, who, privilege, "its own selfPrivileges (pvs)"), rules)
            return because(f"a {name} {'lets' if verdict else 'does not let'} {who or 'an unknown originator'} do this")
        if not types[resource.ty].inherits_access:
            break
        parent = ctx.store.get(resource.pi)
        if parent is None:
            return because("its parent is gone")
        resource = parent
    if privilege is Privilege.UPDATE and "announced" in resource.internal and syncs(resource, who):
        return because(f"{who} holds its bi-directional announcement")
    policies = resource.attributes.get("acpi")
    if policies:
        rules, missing = _of_policies(ctx, policies, resource, privilege, who, child_type)
        words = _words_of_rules(rules, who, privilege, f"any of its policies {', '.join(policies)}")
        if not granted and missing:
            words += f" ({', '.join(missing)}: not at this CSE, so they grant nothing)"
        return because(_temporary(words, granted, rules), rules)
    if custodian := resource.attributes.get("cstn"):
        words = "is" if same_entity(ctx, custodian, who) else "is not"
        return because(_temporary(f"there is no acpi, and {who} {words} its custodian {custodian}", granted, ()))
    creator = resource.internal.get("creator") or "nobody that is known"
    words = "created it" if creator == who else f"did not create it ({creator} did)"
    who = who or "an unknown originator"
    return because(_temporary(f"there is no acpi: only the creator may; {who} {words}", granted, ()))


def _of_policies(
    ctx: RequestContext,
    policies: list[str],
    resource: Resource,
    privilege: Privilege,
    who: str,
    child_type: int | None,
) -> tuple[tuple[RuleVerdict, ...], list[str]]:
    rules: list[RuleVerdict] = []
    missing = []
    for identifier in policies:
        policy = ctx.find_local(identifier) or announced_policy(ctx, identifier)
        if policy is None or policy.ty % 10000 != ACCESS_CONTROL_POLICY:
            missing.append(identifier)
        else:
            rules += _verdicts(ctx, policy, "pv", resource, privilege, who, child_type)
    return tuple(rules), missing


def _verdicts(
    ctx: RequestContext,
    policy: Resource,
    privileges: str,
    resource: Resource,
    privilege: Privilege,
    who: str,
    child_type: int | None,
) -> Iterator[RuleVerdict]:
    address = policy.path
    for number, rule in enumerate(policy.attributes.get(privileges, {}).get("acr", ()), 1):
        concerns = originator_matches(ctx, rule.get("acor", ()), who)
        grants = policy_grants(ctx, [rule], privilege, resource, who, child_type)
        reason = _reason(ctx, rule, privilege, resource, child_type) if concerns else _not_for(ctx, rule, who)
        yield RuleVerdict(address, number, concerns, grants, reason)


def _not_for(ctx: RequestContext, rule: Mapping[str, Any], who: str) -> str:
    for role in rule.get("acor", ()):
        if "@" in role and originator_matches(_claiming(ctx, role), [role], who):
            return f"it is for the role {role}, which {who} holds but the request does not claim: send rids"
    return f"it is for {', '.join(rule.get('acor', ())) or 'nobody'}, not for {who or 'an unknown originator'}"


def _claiming(ctx: RequestContext, role: str) -> RequestContext:
    """The same question, from a request that claims a role."""
    return RequestContext(ctx.cse, ctx.env, replace(ctx.request, role_ids=[role]), ctx.handle)


def _reason(
    ctx: RequestContext,
    rule: Mapping[str, Any],
    privilege: Privilege,
    resource: Resource,
    child_type: int | None,
) -> str:
    """The first condition of a rule for this originator that does not hold, or that all do."""
    named = ", ".join(rule.get("acor", ()))
    if not rule.get("acop", 0) & privilege:
        return f"it is for {named} and allows {_operations(rule.get('acop', 0))}, not {privilege.name}"
    if not contexts_match(ctx, rule.get("acco")):
        return "the time or the address the request comes from is not one of its contexts (acco)"
    if not details_match(rule.get("acod"), privilege, resource, child_type):
        return "its object details (acod) do not name this type"
    if rule.get("acaf") and not ctx.request.credential:
        return "it asks for a proven identity (acaf), and none is given"
    attributes = rule.get("aca")
    if attributes and not touched(ctx, resource, privilege) <= set(attributes):
        return f"it is for the attributes {', '.join(attributes)} only"
    return f"it allows {privilege.name} to {named}"


def _operations(bits: int) -> str:
    return ", ".join(str(bit.name) for bit in Privilege if bits & bit) or "nothing"


def _words_of_rules(rules: tuple[RuleVerdict, ...], who: str, privilege: Privilege, of: str) -> str:
    for verdict in rules:
        if verdict.grants:
            return f"rule {verdict.number} of {verdict.policy} decides: {verdict.reason}"
    if not rules:
        return f"no rule of {of} exists"
    near = next((rule for rule in rules if rule.concerns), None)
    words = f"no rule of {of} allows {privilege.name} to {who or 'an unknown originator'}"
    return f"{words}; the nearest, rule {near.number} of {near.policy}: {near.reason}" if near else words


def _temporary(words: str, granted: bool, rules: tuple[RuleVerdict, ...]) -> str:
    """Add what grants it where no single rule does: rules that name attributes add up, and there are temporary ones."""
    if granted and rules and not any(rule.grants for rule in rules):
        return f"{words}; together with others, or by a dynamic authorization, it is granted"
    return words
