"""The one decision whether an originator may do something (TS-0001 clause 9.6.2, TS-0003 clause 7.1; trust.md R3).

Everything not granted is denied. ``decide`` is the only door; the rules of a policy are evaluated by ``policy_grants``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Protocol

from cse.core.hosting import HostingCse
from cse.core.numbers import ACCESS_CONTROL_POLICY, AE, ANNOUNCED, REMOTE_CSE
from cse.onem2m.addressing import shorten, sp_relative
from cse.onem2m.schedules import covers
from cse.onem2m.wildcards import wildcard
from cse.ports import Resource
from cse.resources.declare import Context, Privilege
from cse.resources.registry import Registry

#: how deep groups named in acor may nest before they count as empty
_MAX_GROUP_DEPTH = 3


class Asking(Context, Protocol):
    """What the decision needs of a request."""

    cse: HostingCse
    registry: Registry

    def find_local(self, identifier: str) -> Resource | None:
        """The resource of this CSE with this identifier of any form, live or None."""


def decide(
    ctx: Asking, resource: Resource, privilege: Privilege, originator: str, child_type: int | None = None
) -> bool:
    """Whether ``originator`` (shortest local form) has a privilege on ``resource``.

    Args:
        ctx: the request.
        resource: the resource the operation addresses; the parent for CREATE.
        privilege: one bit.
        originator: who asks.
        child_type: for CREATE, the type of the new child (accessControlObjectDetails).
    """
    settings = ctx.settings
    if originator and (originator in settings.admin or originator == settings.cse_id):
        return True
    target, types = resource, ctx.registry
    while True:
        hooks = types[resource.ty].hooks
        verdict = hooks.access(ctx, resource, privilege, originator)
        if verdict is None and child_type is not None:
            verdict = hooks.child_access(ctx, resource, child_type, originator)
        if verdict is not None:
            return verdict
        if not types[resource.ty].inherits_access:
            break
        parent = ctx.store.get(resource.pi)
        if parent is None:
            return False
        resource = parent
    if privilege is Privilege.UPDATE and "announced" in resource.internal and syncs(resource, originator):
        return True
    policies = resource.attributes.get("acpi")
    if policies:
        granted = policies_grant(ctx, policies, privilege, resource, originator, child_type)
    elif custodian := resource.attributes.get("cstn"):
        granted = same_entity(ctx, custodian, originator)
    else:
        granted = bool(originator) and resource.internal.get("creator") == originator
    if granted or not ctx.cse.temporary:
        return granted
    rules = ctx.cse.temporary.rules(target.ri, originator, ctx.env.now)
    return policy_grants(ctx, rules, privilege, target, originator, child_type)


def policies_grant(
    ctx: Asking,
    policies: Sequence[str],
    privilege: Privilege,
    resource: Resource,
    originator: str,
    child_type: int | None = None,
) -> bool:
    """Whether any of the policies named by ``acpi`` grants it; those missing or elsewhere grant nothing."""
    return policy_grants(ctx, _rules_of(ctx, policies), privilege, resource, originator, child_type)


def _rules_of(ctx: Asking, policies: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for identifier in policies:
        policy = ctx.find_local(identifier) or announced_policy(ctx, identifier)
        if policy is not None and policy.ty % 10000 == ACCESS_CONTROL_POLICY:
            yield from policy.attributes.get("pv", {}).get("acr", ())


def syncs(resource: Resource, originator: str) -> bool:
    """Whether a CSE may pass changes of its announced variant back: bi-directional (TS-0001 clause 9.6.26)."""
    return resource.attributes.get("ast") == 2 and originator in resource.internal["announced"]["at"]


def announced_policy(ctx: Asking, identifier: str) -> Resource | None:
    """The announced variant of a policy of another CSE."""
    return next((known for known in ctx.store.referring("lnk", identifier) if known.ty > ANNOUNCED), None)


def policy_grants(
    ctx: Asking,
    rules: Iterable[Mapping[str, Any]],
    privilege: Privilege,
    resource: Resource,
    originator: str,
    child_type: int | None = None,
) -> bool:
    """Whether an accessControlRule grants a privilege, or several do together that name attributes (TS-0003 7.1.3)."""
    named: set[str] = set()
    for rule in rules:
        if (
            rule.get("acop", 0) & privilege
            and originator_matches(ctx, rule.get("acor", ()), originator)
            and contexts_match(ctx, rule.get("acco"))
            and details_match(rule.get("acod"), privilege, resource, child_type)
            and not (rule.get("acaf") and not ctx.request.credential)
        ):
            attributes = rule.get("aca")
            if not attributes:
                return True
            named.update(attributes)
    return bool(named) and touched(ctx, resource, privilege) <= named


def same_entity(ctx: Context, one: str, other: str) -> bool:
    """Whether two entity identifiers of any form name the same entity."""
    settings = ctx.settings
    return shorten(one, settings.sp_id, settings.cse_id) == shorten(other, settings.sp_id, settings.cse_id)


def originator_matches(ctx: Asking, entries: Sequence[str], originator: str) -> bool:
    """Whether accessControlOriginators name an originator (shortest local form), itself or by what it is part of."""
    settings = ctx.settings
    for entry in entries:
        if entry == "all":
            return True
        if not originator:
            continue
        short = shorten(entry, settings.sp_id, settings.cse_id)
        if short == originator:
            return True
        if "*" in short:
            pattern = wildcard(short)
            if pattern.fullmatch(originator) or pattern.fullmatch(sp_relative(originator, settings.cse_id)):
                return True
        elif "@" in entry:
            if any(attests(ctx, entry, originator) for attests in ctx.registry.role_attesters):
                return True
        elif settings.sp_id and entry == settings.sp_id.lstrip("/"):
            # a domain: every originator of this service provider (Release 1 to 3)
            if not originator.startswith("//"):
                return True
        elif originator.startswith(f"//{entry}/"):
            return True  # the domain of another service provider
        elif _is_group_member(ctx, entry, originator, 0):
            return True
    return False


def _is_group_member(ctx: Asking, identifier: str, originator: str, depth: int) -> bool:
    group = ctx.find_local(identifier)
    if group is None or "mid" not in group.attributes or depth >= _MAX_GROUP_DEPTH:
        return False
    for member in group.attributes["mid"]:
        if same_entity(ctx, member, originator):
            return True
        resource = ctx.find_local(member)
        if resource is None:
            continue
        if resource.ty == AE and resource.ri == originator:
            return True
        if resource.ty == REMOTE_CSE and resource.attributes.get("csi") == originator:
            return True
        if "mid" in resource.attributes and _is_group_member(ctx, resource.ri, originator, depth + 1):
            return True
    return False


def contexts_match(ctx: Context, contexts: Sequence[Mapping[str, Any]] | None) -> bool:
    """Whether a request comes in one of the accessControlContexts; without any it does."""
    if not contexts:
        return True
    return any(_context_matches(ctx, context) for context in contexts)


def _context_matches(ctx: Context, context: Mapping[str, Any]) -> bool:
    windows = context.get("actw")
    if windows and not any(covers(window, ctx.env.now) for window in windows):
        return False
    addresses = context.get("acip")
    if addresses and not _address_matches(addresses, ctx.request.peer_address):
        return False
    # A location or user cannot be established for this request, so a rule that demands one does not apply.
    return not (context.get("aclr") or context.get("acui") or context.get("acec"))


def _address_matches(allowed: Mapping[str, Sequence[str]], peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    for entry in (*allowed.get("ipv4", ()), *allowed.get("ipv6", ())):
        try:
            network = ip_network(entry, strict=False)
        except ValueError:
            continue
        if address.version == network.version and address in network:
            return True
    return False


def details_match(
    details: Sequence[Mapping[str, Any]] | None, privilege: Privilege, resource: Resource, child_type: int | None
) -> bool:
    """Whether accessControlObjectDetails fit the addressed resource and, for CREATE, the type of the new child."""
    if not details:
        return True
    for detail in details:
        wanted = detail.get("ty")
        if wanted is not None and wanted != resource.ty:
            continue
        if privilege is not Privilege.CREATE or child_type in detail.get("chty", ()):
            return True
    return False


def touched(ctx: Context, resource: Resource, privilege: Privilege) -> set[str]:
    """The attributes an operation sets, shows or takes away, as far as rules that name attributes go."""
    request = ctx.request
    if privilege in (Privilege.CREATE, Privilege.UPDATE):
        content = request.content if isinstance(request.content, dict) else {}
        return {name for attributes in content.values() if isinstance(attributes, dict) for name in attributes}
    if privilege is Privilege.RETRIEVE:
        named = request.to.partition("#")[2]
        asked = [*(request.attribute_list or ()), *([named] if named else [])]
        return set(asked or resource.attributes)
    return set(resource.attributes) if privilege is Privilege.DELETE else set()
