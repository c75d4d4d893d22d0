"""DELETE (TS-0001 clause 10.1.5, TS-0004 clause 7.3.3.8)."""

from __future__ import annotations

from collections.abc import Generator

from cse.core import access_control, announcements, notifications
from cse.core.context import RequestContext
from cse.core.filtering import Filter
from cse.core.lifecycle import delete_tree
from cse.core.numbers import CSE_BASE
from cse.core.resolution import Target
from cse.core.result_content import effective
from cse.core.retrieve import shown
from cse.onem2m.errors import BadRequest, NotFound, OperationNotAllowed, OriginatorHasNoPrivilege
from cse.onem2m.primitives import Operation, Response, ResultContent
from cse.onem2m.status import Status
from cse.ports import Send
from cse.resources.declare import Privilege


def delete(ctx: RequestContext, target: Target) -> Generator[Send, Response | None, Response]:
    """Delete the target with all below it and give the answer.

    Raises:
        CseError: the request is refused; nothing is deleted.
    """
    request, resource = ctx.request, target.resource
    resource_type = ctx.registry[resource.ty]
    if resource.ty == CSE_BASE or not resource_type.deletable:
        raise OperationNotAllowed(f"a {resource_type.long_name} cannot be deleted by request: send no DELETE for it")
    rcn = effective(Operation.DELETE, request.result_content, discovery=False)
    if not access_control.decide(ctx, resource, Privilege.DELETE, ctx.originator):
        raise OriginatorHasNoPrivilege(
            f"originator {ctx.originator!r} may not DELETE {resource.path!r}: it needs DELETE (acop 8) in an "
            "accessControlPolicy of that resource"
        )
    if request.attribute_list:
        raise BadRequest("an attribute list (atrl) goes with RETRIEVE only: a DELETE removes the whole resource")
    if request.filter:
        criteria = Filter(request.filter, ctx.registry, ctx.store)
        if rcn in (0, 1) and criteria.has_conditions and not criteria.matches(resource):
            raise NotFound(f"{resource.path!r} does not meet the filter criteria")
    resource_type.hooks.check_delete(ctx, resource)
    content = None if rcn == ResultContent.NOTHING else (yield from shown(ctx, resource, rcn)).content
    with ctx.transaction():
        notifications.monitor(ctx, resource, Operation.DELETE)
        delete_tree(ctx, resource)
    if ctx.unsettled:
        yield from announcements.settle(ctx)
    return Response(Status.DELETED, content=content)
