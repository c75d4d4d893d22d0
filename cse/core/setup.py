"""The CSEBase: made at the first start, brought up to date at every other (TS-0001 clause 9.6.3)."""

from __future__ import annotations

from typing import Any

from cse.core.context import RequestContext
from cse.core.hosting import HostingCse
from cse.core.numbers import CSE_BASE
from cse.core.pipeline import serve
from cse.onem2m.primitives import Operation, Request
from cse.ports import Env, Resource, Ticket, both


class IdentityChanged(Exception):
    """The store belongs to a CSE with another CSE-ID or name. The message says what to do."""


def prepare(cse: HostingCse, env: Env) -> Ticket:
    """Make or refresh the CSEBase and check that the store is this CSE's.

    Returns:
        The ticket to wait for.

    Raises:
        IdentityChanged: the store holds the tree of another CSE.
    """
    settings, store = cse.settings, cse.store
    existing = store.of_type(CSE_BASE)
    base = existing[0] if existing else None
    resource_type = cse.registry[CSE_BASE]
    attributes: dict[str, Any] = {
        "rn": settings.cse_name,
        "ty": CSE_BASE,
        "ri": cse.base_ri,
        "pi": "",
        "ct": env.timestamp,
        "lt": env.timestamp,
        "csi": settings.cse_id,
        "cst": settings.cse_type.number,
        "csz": list(settings.serialisations),
        "poa": list(settings.poa),
        "spi": settings.sp_id,
        "srt": sorted(number for number in cse.registry.types),
        "srv": list(settings.releases),
    }
    if settings.in_cse_id:
        attributes["ici"] = settings.in_cse_id
    if base is not None:
        attributes["ct"] = base.attributes["ct"]
        if not settings.poa:  # not known before the bindings listen: what is stored stands until then
            attributes["poa"] = base.attributes.get("poa", [])
        if all(base.attributes.get(name) == value for name, value in attributes.items() if name != "lt"):
            return _make_own_resources(cse, env)
    store.begin()
    try:
        if base is None:
            store.insert(
                Resource(
                    cse.base_ri, "", settings.cse_name, CSE_BASE, resource_type.root, settings.cse_name, attributes
                )
            )
        else:
            if base.attributes.get("csi") != settings.cse_id or base.rn != settings.cse_name:
                raise IdentityChanged(
                    f"the store belongs to CSE {base.attributes.get('csi')} named {base.rn}: start with that --id and "
                    f"--name, or give another --store"
                )
            store.replace(base.ri, {**base.attributes, **attributes})
    except BaseException:
        store.rollback()
        raise
    return both(store.commit(), _make_own_resources(cse, env))


def _make_own_resources(cse: HostingCse, env: Env) -> Ticket:
    """What the types want to exist below the CSEBase."""
    own = cse.settings.cse_id
    ctx = RequestContext(cse, env, Request(Operation.CREATE, own, own, env.new_id(), release="3"), serve)
    with ctx.transaction():
        for resource_type in cse.registry:
            if resource_type.hooks.at_start is not None:
                resource_type.hooks.at_start(ctx, cse.base())
    return ctx.ticket
