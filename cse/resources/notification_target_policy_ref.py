"""notificationTargetMgmtPolicyRef, type 25: which policy is for which notification target (TS-0001 clause 9.6.30)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cse.onem2m.errors import BadRequest, Conflict
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare

_NUMBER = 25


class PolicyReferenceHooks(Hooks):
    """Each notification target belongs to one reference of its subscription."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse targets that another reference of the subscription has."""
        _check_targets(ctx, parent.ri, attributes["ntu"])

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same."""
        if "ntu" in changes:
            _check_targets(ctx, resource.pi, changes["ntu"], resource.ri)


def _check_targets(ctx: Context, parent: str, targets: Iterable[str], own: str = "") -> None:
    wanted = set(targets)
    if not wanted:
        raise BadRequest("attribute 'ntu' must name at least one notification target")
    for sibling in ctx.store.children(parent, _NUMBER):
        shared = wanted & set(sibling.attributes["ntu"]) if sibling.ri != own else ()
        if shared:
            raise Conflict(f"attribute 'ntu' names {min(shared)!r}, which {sibling.path!r} names already")


TYPES = (declare("notificationTargetMgmtPolicyRef", PolicyReferenceHooks()),)
