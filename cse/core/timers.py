"""Timers of resources: what must happen at an instant without a request (TS-0001 clause 10.2, periodic behaviours).

How a type uses them (all of it is optional, see ``cse.resources.declare.Hooks``):

* A hook schedules with ``ctx.set_timer(ri, kind, due_s)``: one timer for each resource and kind, ``None`` cancels.
  Inside a transaction this takes effect when the transaction is committed, so a refused request leaves no timer.
* At that instant ``Hooks.timer_due(ctx, resource, kind)`` is called inside a transaction, with the CSE as originator.
  It reads what it needs from the resource *as stored now* (it may have changed since), stores, ``ctx.queue``s
  notifications, and sets the next timer. It is not called for a resource that is gone.
* Work that must perform requests or ask others goes into ``Hooks.timer_steps(ctx, resource, kind)`` instead, a
  generator like any procedure, outside a transaction; the shell runs it on its own (``Outcome.later``).
* Timers are not stored. At every start ``Hooks.timers(ctx, resource)`` is asked, for every resource of a type that
  overrides it, which timers its stored state needs: pairs of kind and instant. An instant that passed is due at once.
"""

from __future__ import annotations

from collections.abc import Generator

from cse.core import announcement_retries, announcements
from cse.core.context import RequestContext
from cse.core.hosting import HostingCse
from cse.core.pipeline import serve
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Env, Outcome, Resource, Send

#: timers served in one step, so that a storm of them never holds up requests (trust.md R17)
BATCH = 100


def next_due(cse: HostingCse) -> float | None:
    """When ``run_due`` has something to do, seconds since the epoch (perhaps a little early); None: nothing is set."""
    return cse.timers.next_due()


def run_due(cse: HostingCse, env: Env) -> Outcome | None:
    """Serve the timers that are due, a batch of them in one transaction; None when none was due.

    Returns:
        An outcome whose response is of no interest; its outbox, its ticket and ``later`` are. Call again until None.
    """
    ctx: RequestContext | None = None
    for _ in range(BATCH):
        taken = cse.timers.take(env.now)
        if taken is None:
            break
        ctx = ctx or _as_cse(cse, env)
        ri, kind = taken
        resource = cse.store.get(ri)
        if resource is None:
            continue
        hooks = cse.registry[resource.ty].hooks
        if hooks.timer_steps is not None:
            return Outcome(Response(Status.OK), ctx.outbox, ctx.ticket, Later(ctx, ri, kind))
        if hooks.timer_due is not None:
            with ctx.transaction():
                hooks.timer_due(ctx, resource, kind)
    if ctx is None:
        return None
    later = Later(ctx, "", "") if ctx.unsettled else None
    return Outcome(Response(Status.OK), ctx.outbox, ctx.ticket, later)


def rebuild(cse: HostingCse, env: Env) -> None:
    """Set the timers that the stored resources need, in place of all that are set; done at every start."""
    cse.timers.clear()
    announcement_retries.restore(cse, (kind.number for kind in cse.registry if not kind.is_instance))
    ctx = _as_cse(cse, env)
    for resource_type in cse.registry:
        needed = resource_type.hooks.timers
        if needed is not None:
            for resource in cse.store.of_type(resource_type.number):
                for kind, due_s in needed(ctx, resource):
                    cse.timers.set(resource.ri, kind, due_s)


def _as_cse(cse: HostingCse, env: Env) -> RequestContext:
    own = cse.settings.cse_id
    return RequestContext(cse, env, Request(Operation.UPDATE, own, own, env.new_id(), release="3"), serve)


class Later:
    """The steps of one timer, and what other CSEs must be told, as ``Outcome.later`` wants them."""

    __slots__ = ("_before", "_kind", "_ri")

    def __init__(self, before: RequestContext, ri: str, kind: str) -> None:
        self._before, self._ri, self._kind = before, ri, kind

    def __call__(self, env: Env) -> Generator[Send, Response | None, Outcome]:
        """The procedure, as the CSE itself."""
        before = self._before
        ctx = _as_cse(before.cse, env)
        ctx.announcing, ctx.withdrawn, ctx.follow_ups = before.announcing, before.withdrawn, before.follow_ups
        resource: Resource | None = ctx.store.get(self._ri) if self._ri else None
        if resource is not None:
            steps = ctx.registry[resource.ty].hooks.timer_steps
            if steps is not None:
                yield from steps(ctx, resource, self._kind)
        if ctx.unsettled:
            yield from announcements.settle(ctx)
        return Outcome(Response(Status.OK), ctx.outbox, ctx.ticket)
