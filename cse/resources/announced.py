"""Announced resources, types 10001 and up: what other CSEs announce here (TS-0001 clause 9.6.26, TS-0004 clause 7.4.1).

Not declared one by one: ``registry`` derives a type for every declared type that the tables give an announced variant.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from cse.onem2m.addressing import shorten
from cse.onem2m.errors import (
    BadRequest,
    Conflict,
    OperationDeniedByRemoteEntity,
    OriginatorHasNoPrivilege,
    RemoteEntityNotReachable,
)
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Resource, Send
from cse.resources.access_control_policy import AccessControlPolicyHooks
from cse.resources.declare import Context, Hooks, Privilege

_ANNOUNCED_POLICY, _ANNOUNCED_AE, _ANNOUNCED_BASE = 10001, 10002, 10005
_BI_DIRECTIONAL = 2
INACTIVE = "INACTIVE"


def original_host(ctx: Context, link: str) -> str:
    """The CSE-ID of the CSE that hosts the original, from its ``lnk``; "" when that names none.

    Args:
        ctx: the request.
        link: SP-relative or absolute address.
    """
    sp_id = ctx.settings.sp_id
    if sp_id and link.startswith(sp_id + "/"):
        link = link[len(sp_id) :]
    if link.startswith("//"):
        sp, _, rest = link[2:].partition("/")
        return f"//{sp}/{rest.partition('/')[0]}"
    return "/" + link[1:].partition("/")[0] if link.startswith("/") else ""


class AnnouncedHooks(Hooks):
    """Only the CSE that hosts the original makes and removes an announced resource and says what it holds."""

    def __init__(self) -> None:
        self._policy = AccessControlPolicyHooks()

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """The hosting CSE of the original may do everything; an announced policy is guarded by its own pvs."""
        if self._owns(ctx, resource, originator):
            return True
        if resource.ty == _ANNOUNCED_AE and resource.attributes["lnk"] == INACTIVE and privilege is Privilege.UPDATE:
            # An AE with an S-stem may register anew at any CSE.
            return True if originator.endswith("/" + resource.ri) else None
        if resource.ty == _ANNOUNCED_POLICY:
            return self._policy.access(ctx, resource, privilege, originator)
        return None

    def resource_id(self, ctx: Context, attributes: dict[str, Any]) -> str:
        """Like any other; for an AE with an S-stem the stem, a new one when the registrar asks for one."""
        stem = ctx.originator.rpartition("/")[2]
        if ctx.request.resource_type == _ANNOUNCED_AE and stem.startswith("S") and ctx.originator.count("/") > 1:
            return stem if len(stem) > 1 else "S" + ctx.env.new_id()
        return ctx.env.new_id()

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """The originator hosts the original; a CSE announces itself once.

        Raises:
            OriginatorHasNoPrivilege: the original is at another CSE.
            Conflict: this CSEBase is announced already.
        """
        link, owner = attributes["lnk"], original_host(ctx, attributes["lnk"])
        if not owner:
            raise BadRequest(f"attribute 'lnk' {link!r} must be an SP-relative address, e.g. '/id-mn/resource'")
        if not _speaks_for(ctx.originator, owner) and ctx.originator not in ctx.settings.admin:
            raise OriginatorHasNoPrivilege(f"only {owner!r} may announce {link!r} here")
        stem = ctx.originator.rpartition("/")[2]
        if ctx.originator.count("/") > 1 and ctx.store.get(stem) is not None:
            raise Conflict(f"the AE-ID stem {stem!r} is in use")
        if ctx.request.resource_type == _ANNOUNCED_BASE:
            for known in ctx.store.referring("lnk", link):
                if known.ty == _ANNOUNCED_BASE:
                    raise Conflict(f"{link!r} is announced already: use {known.path!r}")

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Who announced it keeps access even when the link is made inactive."""
        resource.internal["owner"] = original_host(ctx, resource.attributes["lnk"])

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Others than the hosting CSE of the original may change it only where changes flow back (ast 2).

        Raises:
            OriginatorHasNoPrivilege: the announcement is uni-directional, or the change is of the link.
        """
        if self._owns(ctx, resource, ctx.originator) or ctx.originator in ctx.settings.admin:
            return
        if resource.attributes["lnk"] == INACTIVE and _speaks_for(ctx.originator, original_host(ctx, changes["lnk"])):
            return
        if resource.attributes.get("ast") != _BI_DIRECTIONAL or "lnk" in changes or "ast" in changes:
            raise OriginatorHasNoPrivilege(
                f"{resource.path!r} is announced: change its original {resource.attributes['lnk']!r}"
            )

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """A link to another CSE makes that one the owner."""
        owner = original_host(ctx, resource.attributes["lnk"])
        if owner and owner != resource.internal.get("owner"):
            ctx.adjust(resource, {}, owner=owner)

    def verify_update(
        self, ctx: Context, resource: Resource, changes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """A change by somebody else reaches the original first (announceSyncType bi-directional).

        Raises:
            RemoteEntityNotReachable: the original's CSE does not answer.
            OperationDeniedByRemoteEntity: it refuses.
        """
        if self._owns(ctx, resource, ctx.originator) or resource.attributes.get("ast") != _BI_DIRECTIONAL:
            return
        root = ctx.type_of(resource).counterparts[resource.root]
        request = Request(
            Operation.UPDATE,
            resource.attributes["lnk"],
            ctx.settings.cse_id,
            ctx.env.new_id(),
            content={root: changes},
            release=ctx.request.release,
        )
        answer = yield from ctx.perform(request)
        if answer.status is Status.TARGET_NOT_REACHABLE:
            raise RemoteEntityNotReachable(f"the original {request.to!r} cannot be reached: try again later")
        if not answer.status.is_success:
            raise OperationDeniedByRemoteEntity(f"the original {request.to!r} answers {int(answer.status)}")

    def _owns(self, ctx: Context, resource: Resource, originator: str) -> bool:
        owner = resource.internal.get("owner", "")
        return bool(owner) and _speaks_for(shorten(originator, ctx.settings.sp_id, ctx.settings.cse_id), owner)


def _speaks_for(originator: str, owner: str) -> bool:
    # For an AE with an S-stem its registrar speaks with the stem behind its own CSE-ID.
    return originator == owner or originator.startswith(owner + "/S")
