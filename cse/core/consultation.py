"""Asking for access that no policy grants: dynamic authorization (TS-0001 clause 11.5, TS-0003 clause 7.3.2).

A request that is denied is run once more when the consultation brought rules that hold for it; those are judged by
``access_control.decide`` like any others. Losing the authorization system means that the denial stands.
"""

from __future__ import annotations

from collections.abc import Generator

from cse.core.context import RequestContext
from cse.core.numbers import ACCESS_CONTROL_POLICY
from cse.core.resolution import find
from cse.core.retrieve import is_discovery
from cse.onem2m.addressing import Address
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Operation, Response
from cse.ports import Resource, Send
from cse.resources.declare import Privilege

#: consultations under way at most; beyond, denials stand
_MOST_ASKING = 64
#: how long a denial is not questioned again, in seconds
_DENIED_FOR_S = 5.0
_PRIVILEGES = {
    Operation.CREATE: Privilege.CREATE,
    Operation.RETRIEVE: Privilege.RETRIEVE,
    Operation.UPDATE: Privilege.UPDATE,
    Operation.DELETE: Privilege.DELETE,
    Operation.NOTIFY: Privilege.NOTIFY,
}


def consult(ctx: RequestContext, address: Address) -> Generator[Send, Response | None, bool]:
    """Ask whether a denied request may be granted; True when there are rules now by which it may be tried again.

    Args:
        ctx: the request that was denied.
        address: its target.
    """
    asked = ctx.registry.consultant
    if asked is None or not ctx.store.of_type(asked.number):
        return False
    try:
        target = find(ctx.cse, address.segments, ctx.env)
        resource = target.resource
        if target.virtual is not None and target.virtual.redirect is not None:
            resource = target.virtual.redirect(ctx, resource)
    except CseError:
        return False
    privilege = _PRIVILEGES[ctx.request.operation]
    if ctx.request.filter and privilege is Privilege.RETRIEVE and is_discovery(ctx.request):
        privilege = Privilege.DISCOVERY
    originator, temporary = ctx.originator, ctx.cse.temporary
    key = (resource.ri, originator, int(privilege))
    if temporary.is_denied(key, ctx.env.now) or key in temporary.asking or len(temporary.asking) >= _MOST_ASKING:
        return False
    temporary.asking.add(key)
    try:
        granted = yield from _ask(ctx, resource, privilege)
    finally:
        temporary.asking.discard(key)
    if not granted:
        temporary.deny(key, ctx.env.now + _DENIED_FOR_S)
    return granted


def _ask(ctx: RequestContext, resource: Resource, privilege: Privilege) -> Generator[Send, Response | None, bool]:
    consultant = ctx.registry.consultant
    assert consultant is not None
    assert consultant.hooks.consult is not None
    answer = yield from consultant.hooks.consult(ctx, resource, privilege)
    if answer is None:
        return False
    rules, until_s = answer
    wellformed = ctx.registry[ACCESS_CONTROL_POLICY].table("m2m:acp").attributes["pv"].check
    if wellformed({"acr": rules}) is not None:
        return False
    if not ctx.granted_by_rules(rules, privilege, resource, ctx.originator):
        return False
    ctx.cse.temporary.grant(resource.ri, ctx.originator, rules, ctx.env.now, until_s)
    return True
