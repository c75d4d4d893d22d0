"""A request from decoding to outcome (TS-0004 clause 7.3.2, generic receiver procedure).

``handle`` is the one door of the core. It is the only place where a ``CseError`` becomes a response; anything else
that is raised is a bug and is left to the shell.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from cse.core import announcements, non_blocking, notifications
from cse.core.checks import check_request
from cse.core.consultation import consult
from cse.core.context import RequestContext
from cse.core.create import create
from cse.core.delete import delete
from cse.core.forwarding import forward
from cse.core.hosting import HostingCse
from cse.core.notify_request import notify_request
from cse.core.numbers import CSE_BASE
from cse.core.resolution import Target, find, is_own, localise
from cse.core.retrieve import retrieve
from cse.core.update import update
from cse.onem2m.addressing import Address, parse_address
from cse.onem2m.errors import BadRequest, CseError, NotFound, OperationNotAllowed, OriginatorHasNoPrivilege
from cse.onem2m.primitives import Operation, Request, Response, ResponseType, error_response
from cse.ports import Env, Outcome, Send

#: how deep a request may cause requests (groups of groups)
_MAX_DEPTH = 8


def handle(request: Request, cse: HostingCse, env: Env) -> Generator[Send, Response | None, Outcome]:
    """Serve a request; see ``cse.ports`` for how to drive it.

    Args:
        request: decoded by a binding, or made by the CSE itself.
        cse: the CSE it was sent to.
        env: time and identifiers.

    Returns:
        The outcome; its response always has the request's identifier, and its release if it had one.
    """
    ctx = RequestContext(cse, env, request, serve)
    response = yield from serve(ctx)
    if request.originating_time is not None:
        for observer in cse.registry.request_observers:
            observer(ctx)
    response.silent = request.response_type == ResponseType.NO_RESPONSE
    return Outcome(response, ctx.outbox, ctx.ticket)


def serve(ctx: RequestContext) -> Generator[Send, Response | None, Response]:
    """Serve the request of a context; errors become responses."""
    request = ctx.request
    try:
        if ctx.depth > _MAX_DEPTH:
            raise BadRequest(f"the request leads through more than {_MAX_DEPTH} groups of groups")
        check_request(ctx)
        admit = ctx.registry[CSE_BASE].hooks.admit
        if admit is not None:
            admit(ctx)
        given = parse_address(request.to)
        address = localise(given, ctx.settings, ctx.store)
        if address is not given:
            ctx.request = replace(request, to=address.text)
        if is_own(address, ctx.cse):
            try:
                response = yield from _serve_here(ctx, address)
            except OriginatorHasNoPrivilege:
                if not (yield from consult(ctx, address)):
                    raise
                response = yield from _serve_here(ctx, address)
        else:
            response = yield from _pass_on(ctx, address)
        if ctx.unsettled:
            yield from announcements.settle(ctx)
    except CseError as error:
        response = error_response(request, error.status, error.debug)
    response.request_id = request.request_id
    response.release = request.release
    if request.release is not None:
        response.vendor = request.vendor
    if response.originating_time is None:
        response.originating_time = ctx.env.timestamp
    return response


def _pass_on(ctx: RequestContext, address: Address) -> Generator[Send, Response | None, Response]:
    request, in_transit = ctx.request, ctx.cse.in_transit
    identity = (request.originator, request.request_id, request.to)
    if identity in in_transit:
        # Lists of descendants that are out of date can send a request in a circle.
        raise NotFound(f"no route to {address.cse_id!r}: the request came back while it was on its way there")
    in_transit.add(identity)
    try:
        return (yield from forward(ctx, address))
    finally:
        in_transit.discard(identity)


def _serve_here(ctx: RequestContext, address: Address) -> Generator[Send, Response | None, Response]:
    request = ctx.request
    kind = request.response_type
    if kind in (ResponseType.NON_BLOCKING_SYNCH, ResponseType.NON_BLOCKING_ASYNCH):
        return non_blocking.accept(ctx)
    if request.execution_time is not None:
        yield from non_blocking.wait_for_execution_time(ctx)
    if not address.segments and request.operation is Operation.NOTIFY:
        target = Target(ctx.cse.base())
    else:
        target = find(ctx.cse, address.segments, ctx.env)
    if target.virtual is not None:
        virtual = target.virtual
        if request.operation not in virtual.operations:
            allowed = ", ".join(operation.name for operation in sorted(virtual.operations))
            raise OperationNotAllowed(f"{virtual.name!r} can do {allowed} only")
        if virtual.handle is not None:
            return (yield from virtual.handle(ctx, target.resource, target.tail))
        assert virtual.redirect is not None
        target = Target(virtual.redirect(ctx, target.resource))
    if address.attribute and request.operation is not Operation.RETRIEVE:
        raise BadRequest("'#attribute' in an address goes with RETRIEVE only")
    if target.resource.ri in ctx.cse.blocked and request.operation in (Operation.UPDATE, Operation.DELETE):
        yield from notifications.wait_while_blocked(ctx, target.resource.ri)
        target = find(ctx.cse, (target.resource.ri,), ctx.env)
    match request.operation:
        case Operation.CREATE:
            return (yield from create(ctx, target))
        case Operation.RETRIEVE:
            return (yield from retrieve(ctx, target, address.attribute))
        case Operation.UPDATE:
            return (yield from update(ctx, target))
        case Operation.DELETE:
            return (yield from delete(ctx, target))
        case Operation.NOTIFY:
            return (yield from notify_request(ctx, target))
