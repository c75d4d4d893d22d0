"""The credential decides who an originator is; From must match it (TS-0003 clause 7.2.1; trust.md R2)."""

from __future__ import annotations

from dataclasses import replace

from cse.core.context import RequestContext
from cse.core.numbers import AE, REMOTE_CSE
from cse.onem2m.addressing import shorten
from cse.onem2m.errors import OriginatorHasNotRegistered, SecurityAssociationRequired
from cse.onem2m.primitives import Operation
from cse.ports import Settings, Store

#: From of an AE that is still to be named
_UNNAMED = ("", "C", "S")


def check_identity(ctx: RequestContext) -> None:
    """Refuse a request from outside whose originator is not who its connection proved to be.

    An AE that registers without a name gets the one its credential is for. A CSE may send for what is below it, the
    registrar for everybody who is neither of this CSE nor below it.

    Raises:
        SecurityAssociationRequired: nothing proves who it is, or it claims to be this CSE.
        OriginatorHasNotRegistered: the credential is somebody else's.
    """
    settings, credential, originator = ctx.settings, ctx.request.credential, ctx.originator
    own = originator == settings.cse_id or originator == settings.sp_id + settings.cse_id
    if own and credential in ("", settings.cse_id):
        raise SecurityAssociationRequired(
            f"the originator {ctx.request.originator!r} is this CSE itself, which sends itself nothing from outside: "
            "send your own AE-ID or CSE-ID"
        )
    if not credential:
        if settings.believe_originators:
            return
        raise SecurityAssociationRequired(
            "this CSE believes no originator that has not proved who it is: connect with credentials "
            "(onemec device add <name>), or start the CSE with --insecure-dev for development"
        )
    if originator == credential:
        return
    creating = ctx.request.resource_type if ctx.request.operation is Operation.CREATE else None
    if creating == AE and originator in _UNNAMED and credential.startswith(originator):
        ctx.originator = credential
        ctx.request = replace(ctx.request, originator=credential)
        return
    relayed = creating not in (AE, REMOTE_CSE) and credential.startswith("/")
    if relayed and may_relay(ctx.store, settings, credential, originator):
        return
    raise OriginatorHasNotRegistered(
        f"the originator is {ctx.request.originator!r} but the credential is of {credential!r}: send that as From"
    )


def may_relay(store: Store, settings: Settings, cse_id: str, originator: str) -> bool:
    """Whether a CSE may send for an originator: for those below it, and the registrar for those not of this CSE.

    Args:
        store: knows which CSEs are registered here, and what is below them.
        settings: of this CSE.
        cse_id: who sends.
        originator: From, in any form.
    """
    originator = shorten(originator, settings.sp_id, settings.cse_id)
    if originator.startswith(cse_id + "/"):
        return True
    own = (settings.cse_id, settings.sp_id + settings.cse_id)
    if not originator.startswith("/") or originator in own:
        return False  # an entity of this CSE speaks for itself, and so does this CSE
    known = store.referring("csi", cse_id)
    if any(
        originator == entry or originator.startswith(entry + "/")
        for resource in known
        for entry in resource.attributes.get("dcse", ())
    ):
        return True
    if cse_id != settings.registrar:
        return False
    first = "/" + originator.split("/", 2)[1]
    return first == cse_id or originator.startswith("//") or not store.referring("csi", first)


__all__ = ["check_identity", "may_relay"]
