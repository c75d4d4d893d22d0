"""accessControlPolicyIDs: which values it may take and who may change it (TS-0001 clause 9.6.1.3, 9.6.2)."""

from __future__ import annotations

from collections.abc import Sequence

from cse.core.access_control import policy_grants
from cse.core.context import RequestContext
from cse.core.numbers import ACCESS_CONTROL_POLICY
from cse.onem2m.errors import BadRequest, OriginatorHasNoPrivilege
from cse.ports import Resource
from cse.resources.declare import Privilege


def check(ctx: RequestContext, policies: Sequence[str]) -> None:
    """Refuse acpi values that name no accessControlPolicy of this CSE; those of other CSEs cannot be looked up.

    Raises:
        BadRequest: an empty list, or an entry that names nothing here.
    """
    if not policies:
        raise BadRequest("attribute 'acpi' must not be an empty list: name a policy, or send null to remove it")
    for identifier in policies:
        policy = ctx.find_local(identifier)
        if policy is None:
            if ctx.is_local(identifier):
                raise BadRequest(
                    f"attribute 'acpi' names {identifier!r}, which does not exist: create the policy first"
                )
        elif policy.ty % 10000 != ACCESS_CONTROL_POLICY:
            raise BadRequest(f"attribute 'acpi' names {identifier!r}, which is no accessControlPolicy")


def check_change(ctx: RequestContext, resource: Resource, changes: Sequence[str]) -> None:
    """Refuse an UPDATE of acpi by somebody who may not control access to the resource.

    Args:
        ctx: the request.
        resource: whose acpi is to change.
        changes: names of all attributes of the UPDATE.

    Raises:
        BadRequest: other attributes are changed in the same request.
        OriginatorHasNoPrivilege: no linked policy grants UPDATE in its pvs; without any, only the creator may.
    """
    if len(changes) > 1:
        raise BadRequest("attribute 'acpi' must be changed alone: send the other attributes in a second UPDATE")
    originator = ctx.originator
    if originator in ctx.settings.admin or originator == ctx.settings.cse_id:
        return
    if ctx.registry[resource.ty].original is not None and originator == resource.internal.get("owner"):
        return  # the CSE that announced it says which policies apply
    linked = resource.attributes.get("acpi")
    if not linked:
        if resource.internal.get("creator") == originator:
            return
        raise OriginatorHasNoPrivilege(
            f"originator {originator!r} may not set 'acpi' of {resource.path!r}: only its creator may while it has none"
        )
    for identifier in linked:
        policy = ctx.find_local(identifier)
        if policy is not None and policy_grants(
            ctx, policy.attributes.get("pvs", {}).get("acr", ()), Privilege.UPDATE, policy, originator
        ):
            return
    raise OriginatorHasNoPrivilege(
        f"originator {originator!r} may not change 'acpi' of {resource.path!r}: it needs UPDATE (acop 4) in the pvs of "
        "a policy linked there"
    )
