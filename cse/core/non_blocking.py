"""Requests that are served later: response types 1 and 2, operation execution time (TS-0001 clause 8.2.2, 8.1.2)."""

from __future__ import annotations

from collections.abc import Generator

from cse.core.context import RequestContext
from cse.onem2m.errors import BadRequest, NonBlockingSynchRequestNotSupported
from cse.onem2m.primitives import Response
from cse.onem2m.timestamps import absolute_time
from cse.ports import Env, Send


def accept(ctx: RequestContext) -> Response:
    """Acknowledge a non-blocking request; the type that keeps such requests serves it afterwards.

    Raises:
        CseError: the request cannot be taken.
    """
    keeper = ctx.registry.acceptor
    if keeper is None or keeper.hooks.accept is None:
        raise NonBlockingSynchRequestNotSupported("this CSE keeps no requests: send rt 3 (blocking)")
    return keeper.hooks.accept(ctx, ctx.cse.base())


def wait_for_execution_time(ctx: RequestContext) -> Generator[Send, Response | None, None]:
    """Hold a blocking request until its operation execution time (oet); one that has passed means now.

    Raises:
        BadRequest: the originator would have to wait longer than this CSE keeps a request.
    """
    request, now = ctx.request, ctx.env.now
    assert request.execution_time is not None
    due_s = absolute_time(request.execution_time, now)
    if due_s <= now:
        return
    longest_s = ctx.settings.request_expiration_s
    if due_s > now + longest_s:
        raise BadRequest(
            f"the operation execution time (oet) is more than {longest_s:g} s ahead: send a nearer one, or rt 1 or 2"
        )
    yield Send(request, resume_at_s=due_s)
    ctx.env = Env(due_s, ctx.env.new_id)
