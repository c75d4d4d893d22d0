"""remoteCSE, type 16: another CSE that registered here, or the one this CSE registered with.

TS-0001 clause 9.6.4, 10.2.2.7; TS-0004 clause 7.4.4.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from cse.onem2m.errors import BadRequest, OperationNotAllowed, OriginatorHasAlreadyRegistered
from cse.onem2m.primitives import Operation, Request, Response
from cse.ports import CseType, Resource, Send
from cse.resources.declare import Context, Hooks, Privilege, declare

_REMOTE_CSE = 16
_ANNOUNCE = "announce"


class RemoteCseHooks(Hooks):
    """Registration of CSEs and the list of their descendants."""

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """A CSE may do everything with the resource that stands for it."""
        return True if originator == resource.attributes.get("csi") else None

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Registration: by a CSE only, once, and not at an ASN-CSE.

        Raises:
            OperationNotAllowed: the originator is an AE, or this is an ASN-CSE.
            BadRequest: csi is not the originator.
            OriginatorHasAlreadyRegistered: it is registered already.
        """
        settings = ctx.settings
        originator = ctx.originator
        own = originator == settings.cse_id
        if settings.cse_type is CseType.ASN and not own:
            raise OperationNotAllowed("no CSE can register at an ASN-CSE: register at an MN-CSE or IN-CSE")
        if not originator.startswith("/"):
            raise OperationNotAllowed(f"{originator!r} is no CSE-ID: only a CSE can create a remoteCSE")
        cse_id = attributes.get("csi")
        if cse_id is None:
            raise BadRequest("attribute 'csi' (CSE-ID) is mandatory for m2m:csr: add it, e.g. '/id-mn'")
        if not own and cse_id != originator:
            raise BadRequest(f"attribute 'csi' {cse_id!r} must be the originator {originator!r}")
        if any(known.ty == 16 for known in ctx.store.referring("csi", cse_id)):
            raise OriginatorHasAlreadyRegistered(f"CSE {cse_id!r} is registered already: UPDATE that remoteCSE")

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """The CSE it stands for is its creator, whoever stored it."""
        ctx.store.replace(
            resource.ri, resource.attributes, {**resource.internal, "creator": resource.attributes["csi"]}
        )
        ctx.set_timer(resource.ri, _ANNOUNCE, ctx.env.now)
        _tell_registrar(ctx, resource)

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """A changed list of descendants goes on upwards."""
        if "dcse" in changes or resource.attributes["csi"] == ctx.settings.registrar:
            _tell_registrar(ctx, resource)

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """Its descendants cannot be reached through this CSE any more."""
        _tell_registrar(ctx, resource, leaving=True)

    def notified(self, ctx: Context, resource: Resource) -> Generator[Send, Response | None, Response]:
        """A NOTIFY to the resource is for the CSE it stands for."""
        return (yield from ctx.perform(replace(ctx.request, to=resource.attributes["csi"])))

    def timer_steps(self, ctx: Context, resource: Resource, kind: str) -> Generator[Send, Response | None, None]:
        """Announce what could not be announced before this CSE registered, or while it was out of reach."""
        yield from ctx.announce_through(resource)

    def timers(self, ctx: Context, resource: Resource) -> Iterable[tuple[str, float]]:
        """What was still to be announced when this CSE stopped."""
        if ctx.has_to_announce(resource):
            yield _ANNOUNCE, ctx.env.now

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Only CSEs change it."""
        if not ctx.originator.startswith("/") and ctx.originator not in ctx.settings.admin:
            raise OperationNotAllowed("only a CSE can update a remoteCSE")


def _tell_registrar(ctx: Context, cause: Resource, *, leaving: bool = False) -> None:
    """Have the registrar's remoteCSE of this CSE list all CSEs that are reached through this one (descendantCSEs)."""
    settings = ctx.settings
    registrar = settings.registrar
    is_registrar = cause.attributes["csi"] == registrar
    if not registrar or (is_registrar and leaving):
        return
    descendants: dict[str, None] = {}
    for known in ctx.store.of_type(_REMOTE_CSE):
        if known.attributes["csi"] != registrar and not (leaving and known.ri == cause.ri):
            descendants.update(dict.fromkeys((known.attributes["csi"], *known.attributes.get("dcse", ()))))
    if is_registrar and not descendants:
        return  # just registered, and nobody is below
    ctx.follow(
        Request(
            Operation.UPDATE,
            f"{registrar}/-/{settings.cse_id.lstrip('/')}",
            settings.cse_id,
            ctx.env.new_id(),
            content={"m2m:csr": {"dcse": list(descendants)}},
            release="3" if "3" in settings.releases else settings.releases[-1],
        )
    )


TYPES = (declare("remoteCSE", RemoteCseHooks()),)
