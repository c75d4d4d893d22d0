"""notificationTargetPolicy, type 26: may notification targets remove themselves? (TS-0001 clause 9.6.31)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import BadRequest
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, Privilege, declare
from cse.resources.target_removal import DEFAULT_LABEL

_NUMBER, _REJECT = 26, 2


class NotificationTargetPolicyHooks(Hooks):
    """One policy of each label for each creator; the system's own is the last resort."""

    def at_start(self, ctx: Context, base: Resource) -> None:
        """The system's default policy exists from the first start on: it refuses."""
        if not any(_is_system_default(policy) for policy in ctx.store.children(base.ri, _NUMBER)):
            ctx.create(base, _NUMBER, {"rn": "defaultNTP", "acn": _REJECT, "plbl": DEFAULT_LABEL})

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """The creator may do everything with its policy; others need a privilege on the CSEBase."""
        return True if originator and resource.internal.get("creator") == originator else None

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Fill in the defaults; the creator has no other policy of this label.

        Raises:
            BadRequest: it has.
        """
        attributes.setdefault("acn", _REJECT)
        attributes.setdefault("plbl", DEFAULT_LABEL)
        _check_unique(ctx, parent.ri, ctx.originator, attributes["plbl"])

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same for a new label."""
        if "plbl" in changes:
            _check_unique(ctx, resource.pi, resource.internal.get("creator", ""), changes["plbl"], resource.ri)

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Refuse to delete the system's default policy.

        Raises:
            BadRequest: it is that one.
        """
        if _is_system_default(resource):
            raise BadRequest("the default policy of the system cannot be deleted: create one of your own instead")


def _is_system_default(policy: Resource) -> bool:
    return not policy.internal.get("creator") and policy.attributes.get("plbl") == DEFAULT_LABEL


def _check_unique(ctx: Context, parent: str, creator: str, label: str, own: str = "") -> None:
    for other in ctx.store.children(parent, _NUMBER):
        if other.ri != own and other.attributes.get("plbl") == label and other.internal.get("creator", "") == creator:
            raise BadRequest(f"there is a policy with the label (plbl) {label!r} already: UPDATE {other.path!r}")


TYPES = (declare("notificationTargetPolicy", NotificationTargetPolicyHooks()),)
