"""CSEBase, type 5: the root of the tree (TS-0001 clause 9.6.3, TS-0004 clause 7.4.3)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import TargetNotReachable
from cse.onem2m.schedules import covers
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, Privilege, declare

_AE, _POLICY, _SCHEDULE, _ANNOUNCED = 2, 1, 18, 10000
#: what any registered AE may create below the CSEBase while registration is open (profile insecure-dev)
_OPEN_CHILDREN = frozenset({_POLICY, 26})


class CseBaseHooks(Hooks):
    """Who may look at the CSEBase and create below it."""

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """Registered AEs and CSEs may RETRIEVE the CSEBase and discover below it; so may the registrar."""
        if privilege in (Privilege.RETRIEVE, Privilege.DISCOVERY) and _is_registered(ctx, originator):
            return True
        return None

    def child_access(self, ctx: Context, resource: Resource, child_type: int, originator: str) -> bool | None:
        """While registration is open, a registered AE may create policies of its own."""
        if ctx.settings.open_registration and child_type in _OPEN_CHILDREN and _is_registered_ae(ctx, originator):
            return True
        if child_type > _ANNOUNCED and originator.startswith("/"):
            # The type sees to it that a CSE announces its own resources only.
            return True if ctx.settings.registrar or _is_registered(ctx, originator) else None
        return None

    def admit(self, ctx: Context) -> None:
        """Refuse requests while the schedule of the CSE says it is inactive (TS-0001 clause 9.6.9).

        Raises:
            TargetNotReachable: it is; the CSE itself and its administrators are served nevertheless.
        """
        schedules = ctx.store.children(ctx.settings.cse_id.lstrip("/"), _SCHEDULE)
        if not schedules or ctx.originator == ctx.settings.cse_id or ctx.originator in ctx.settings.admin:
            return
        entries = [entry for schedule in schedules for entry in schedule.attributes["se"]["sce"]]
        if not any(covers(entry, ctx.env.now) for entry in entries):
            raise TargetNotReachable("the CSE is inactive now, as its <schedule> says: try again when it is active")

    def representation(self, ctx: Context, resource: Resource) -> dict[str, Any]:
        """The stored attributes and the current time (ctm)."""
        return {**resource.attributes, "ctm": ctx.env.timestamp}


def _is_registered_ae(ctx: Context, originator: str) -> bool:
    entity = ctx.store.get(originator) if originator else None
    return entity is not None and entity.ty == _AE and ctx.local(originator) is not None


def _is_registered(ctx: Context, originator: str) -> bool:
    if _is_registered_ae(ctx, originator):
        return True
    if not originator.startswith("/"):
        return False
    cse_id = "/" + originator.split("/")[1]
    return cse_id == ctx.settings.registrar or any(ctx.store.referring(name, cse_id) for name in ("csi", "dcse"))


TYPES = (declare("CSEBase", CseBaseHooks()),)
