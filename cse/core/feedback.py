"""How a notification was answered, told to the resource it was sent for (TS-0001 clause 10.2.10.4)."""

from __future__ import annotations

from collections.abc import Generator

from cse.core.context import RequestContext
from cse.core.hosting import HostingCse
from cse.core.pipeline import serve
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Env, Outcome, Send


def delivered(
    cse: HostingCse, env: Env, send: Send, answer: Response | None
) -> Generator[Send, Response | None, Outcome] | None:
    """What follows from the answer to a notification; None when nobody wants to know, which is mostly so.

    Args:
        cse: this CSE.
        env: time and identifiers.
        send: what was sent; its ``subject`` is told.
        answer: what came back, or None.

    Returns:
        A procedure to be driven like any; the response of its outcome is of no interest.
    """
    subject = cse.store.get(send.subject)
    if subject is None or send.final:
        return None
    hooks = cse.registry[subject.ty].hooks
    if hooks.delivered is None or hooks.wants_delivered is None or not hooks.wants_delivered(subject, answer):
        return None
    return _steps(cse, env, send, answer)


def _steps(cse: HostingCse, env: Env, send: Send, answer: Response | None) -> Generator[Send, Response | None, Outcome]:
    own = cse.settings.cse_id
    ctx = RequestContext(cse, env, Request(Operation.UPDATE, own, own, env.new_id(), release="3"), serve)
    subject = cse.store.get(send.subject)
    hook = cse.registry[subject.ty].hooks.delivered if subject is not None else None
    if subject is not None and hook is not None:
        yield from hook(ctx, subject, send, answer)
    return Outcome(Response(Status.OK), ctx.outbox, ctx.ticket)
