"""NOTIFY requests that arrive here (TS-0004 clause 7.3.3.9, 7.5.1.2)."""

from __future__ import annotations

from collections.abc import Generator

from cse.core import access_control, notifications
from cse.core.context import RequestContext
from cse.core.forwarding import pass_on_to_ae
from cse.core.numbers import AE
from cse.core.resolution import Target
from cse.core.result_content import effective
from cse.onem2m.errors import BadRequest, OriginatorHasNoPrivilege
from cse.onem2m.primitives import Operation, Response
from cse.ports import Send
from cse.resources.declare import Privilege


def notify_request(ctx: RequestContext, target: Target) -> Generator[Send, Response | None, Response]:
    """Take a notification, or pass it on to the AE it is for.

    Raises:
        CseError: the request is refused, or the AE cannot be reached.
    """
    request, resource = ctx.request, target.resource
    effective(Operation.NOTIFY, request.result_content, discovery=False)
    if not isinstance(request.content, dict) or not request.content:
        raise BadRequest('a NOTIFY needs a content, e.g. {"m2m:sgn": {...}}')
    if not access_control.decide(ctx, resource, Privilege.NOTIFY, ctx.originator):
        raise OriginatorHasNoPrivilege(
            f"originator {ctx.originator!r} may not NOTIFY {resource.path!r}: it needs NOTIFY (acop 16) in an "
            "accessControlPolicy of that resource"
        )
    if resource.ty == AE:
        notifications.monitor(ctx, resource, Operation.NOTIFY)
        if "m2m:tgp" in request.content:
            with ctx.transaction():
                ctx.event(resource, notifications.EventType.TRIGGER_RECEIVED, request.content["m2m:tgp"])
        return (yield from pass_on_to_ae(ctx, resource))
    notified = ctx.registry[resource.ty].hooks.notified
    if notified is None:
        raise BadRequest(f"a {ctx.registry[resource.ty].long_name} takes no notifications: address an AE")
    return (yield from notified(ctx, resource))
