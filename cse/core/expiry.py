"""Resources whose time has come (TS-0001 clause 9.6.1.3, expirationTime)."""

from __future__ import annotations

from cse.core.context import RequestContext
from cse.core.hosting import HostingCse
from cse.core.lifecycle import delete_tree
from cse.core.numbers import CSE_BASE
from cse.core.pipeline import serve
from cse.core.timers import Later
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Env, Outcome, Resource

#: resources removed in one step, so that a storm of expiries never holds up requests (trust.md R17)
BATCH = 200


def expire(cse: HostingCse, env: Env) -> Outcome | None:
    """Remove a batch of expired resources as the CSE itself; None when nothing was due.

    Returns:
        An outcome whose response is of no interest; its outbox, ticket and ``later`` are.
    """
    due = cse.store.expired(env.timestamp, BATCH)
    if not due:
        return None
    request = Request(Operation.DELETE, cse.settings.cse_id, cse.settings.cse_id, env.new_id())
    ctx = RequestContext(cse, env, request, serve)
    with ctx.transaction():
        for resource in due:
            current = cse.store.get(resource.ri)
            if current is not None and current.ty != CSE_BASE:
                delete_tree(ctx, _topmost(cse, current, env))
    later = Later(ctx, "", "") if ctx.unsettled else None
    return Outcome(Response(Status.DELETED), ctx.outbox, ctx.ticket, later)


def _topmost(cse: HostingCse, resource: Resource, env: Env) -> Resource:
    """The resource, or the highest above it that expired too: what is below it goes with it, and after it is told."""
    parent = cse.store.get(resource.pi)
    while parent is not None and parent.ty != CSE_BASE and parent.attributes.get("et", "~") <= env.timestamp:
        resource, parent = parent, cse.store.get(parent.pi)
    return resource
