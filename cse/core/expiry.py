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
from cse.ports import Env, Outcome

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
                delete_tree(ctx, current)
    later = Later(ctx, "", "") if ctx.unsettled else None
    return Outcome(Response(Status.DELETED), ctx.outbox, ctx.ticket, later)
