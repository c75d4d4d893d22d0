"""UPDATE (TS-0001 clause 10.1.4, TS-0004 clause 7.3.3.7)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from cse.core import access_control, announcements, notifications, policy_links
from cse.core.context import RequestContext
from cse.core.filtering import Filter
from cse.core.lifecycle import apply_changes, expiry_for
from cse.core.numbers import CSE_BASE, SUBSCRIPTION
from cse.core.resolution import Target
from cse.core.result_content import effective, for_updated
from cse.core.validation import check_update, root_and_attributes
from cse.onem2m.errors import BadRequest, NotFound, OperationNotAllowed, OriginatorHasNoPrivilege
from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.ports import Resource, Send
from cse.resources.declare import Privilege


def update(ctx: RequestContext, target: Target) -> Generator[Send, Response | None, Response]:
    """Change the target and give the answer.

    Raises:
        CseError: the request is refused; nothing is changed.
    """
    request, resource = ctx.request, target.resource
    resource_type = ctx.registry[resource.ty]
    if resource.ty == CSE_BASE or not resource_type.updatable or resource_type.is_instance:
        raise OperationNotAllowed(f"a {resource_type.long_name} cannot be updated")
    rcn = effective(Operation.UPDATE, request.result_content, discovery=False)
    only_policies = _changes_policies_only(request.content)
    if not only_policies and not access_control.decide(ctx, resource, Privilege.UPDATE, ctx.originator):
        raise OriginatorHasNoPrivilege(
            f"originator {ctx.originator!r} may not UPDATE {resource.path!r}: it needs UPDATE (acop 4) in an "
            "accessControlPolicy of that resource"
        )
    root, sent = root_and_attributes(request.content, "an UPDATE")
    if "acpi" in sent:
        policy_links.check_change(ctx, resource, list(sent))
    if root != resource.root:
        raise resource_type.hooks.wrong_root(
            f"the content's root {root!r} does not fit {resource.path!r}: send {{{resource.root!r}: {{...}}}}"
        )
    check_update(resource_type.table(root), sent)
    changes = dict(sent)
    if "at" in changes or "aa" in changes:
        announcements.check(resource_type.table(root), changes, resource.attributes)
    _check_common(ctx, resource, changes)
    resource_type.hooks.check_update(ctx, resource, changes)
    if resource_type.hooks.verify_update is not None:
        yield from resource_type.hooks.verify_update(ctx, resource, changes)
        resource = _still_there(ctx, resource)
    if ctx.store.children(resource.ri, SUBSCRIPTION):
        yield from notifications.blocking_update(ctx, resource, changes)
        resource = _still_there(ctx, resource)
    before = resource.attributes
    with ctx.transaction():
        resource = apply_changes(ctx, resource, changes)
        if "at" in changes:
            resource = announcements.asked(ctx, resource)
        notifications.monitor(ctx, resource, Operation.UPDATE)
    if ctx.unsettled:
        yield from announcements.settle(ctx)
        resource = ctx.store.get(resource.ri) or resource
    return Response(Status.UPDATED, content=for_updated(ctx, resource, rcn, sent, before))


def _still_there(ctx: RequestContext, resource: Resource) -> Resource:
    current = ctx.store.get(resource.ri)
    if current is None:
        raise NotFound(f"{resource.path!r} was deleted while the request was checked")
    return current


def _changes_policies_only(content: Any) -> bool:
    # The right to change acpi comes from pvs of the linked policies, not from pv.
    if not isinstance(content, dict) or len(content) != 1:
        return False
    attributes = next(iter(content.values()))
    return isinstance(attributes, dict) and "acpi" in attributes


def _check_common(ctx: RequestContext, resource: Resource, changes: dict[str, Any]) -> None:
    if ctx.request.filter:
        criteria = Filter(ctx.request.filter, ctx.registry, ctx.store)
        if criteria.has_conditions and not criteria.matches(resource):
            raise NotFound(f"{resource.path!r} does not meet the filter criteria")
    if "et" in changes:
        parent = ctx.store.get(resource.pi)
        expiry = expiry_for(ctx, changes["et"], parent) if parent is not None else changes["et"]
        for child in ctx.store.children(resource.ri):
            latest = child.attributes.get("et")
            if latest is not None and latest > expiry and changes["et"] is not None:
                raise BadRequest(f"attribute 'et' is before that of the child {child.path!r}: change the child first")
        changes["et"] = expiry
    policies = changes.get("acpi")
    if policies is not None:
        policy_links.check(ctx, policies)
