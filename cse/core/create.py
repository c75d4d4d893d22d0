"""CREATE (TS-0001 clause 10.1.2, TS-0004 clause 7.3.3.4)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from cse.core import access_control, announcements, notifications, policy_links, replays
from cse.core.context import RequestContext
from cse.core.lifecycle import delete_tree, expiry_for, store_new
from cse.core.numbers import AE, CSE_BASE, REMOTE_CSE, SUBSCRIPTION
from cse.core.resolution import Target, is_alive
from cse.core.result_content import effective, for_created
from cse.core.validation import check_create, root_and_attributes
from cse.dated_names import dated_name
from cse.onem2m.errors import (
    BadRequest,
    Conflict,
    CseError,
    InvalidChildResourceType,
    NotFound,
    OperationNotAllowed,
    OriginatorHasNoPrivilege,
    TargetNotSubscribable,
)
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.ports import CseType, Resource, Send, both
from cse.resources.declare import AttributeTable, Privilege, ResourceType


def create(ctx: RequestContext, target: Target) -> Generator[Send, Response | None, Response]:
    """Create a resource below the target and give the answer.

    Raises:
        CseError: the request is refused; nothing is stored.
    """
    request, parent = ctx.request, target.resource
    number = request.resource_type
    assert number is not None  # check_request saw to it
    if number not in ctx.registry.known_numbers:
        raise BadRequest(f"{number} is no resource type: send e.g. ty=3 for a container")
    resource_type = ctx.registry.get(number)
    if resource_type is not None and not resource_type.creatable:
        raise OperationNotAllowed(f"a {resource_type.long_name} cannot be created by request")
    rcn = effective(Operation.CREATE, request.result_content, discovery=False)
    _check_privilege(ctx, parent, number)
    resource_type = _creatable_type(ctx, resource_type, parent)
    root, sent = root_and_attributes(request.content, "a CREATE")
    table = _table(resource_type, root, sent)
    check_create(table, sent)
    attributes = dict(sent)
    if "at" in attributes or "aa" in attributes:
        announcements.check(table, attributes, {})
    digest = "" if "rn" in attributes else replays.digest_of(request, resource_type)
    earlier = replays.earlier(ctx.store, ctx.env, parent, digest) if digest else None
    if earlier is not None:
        # It may not be on disk yet; the repetition promises no more than the first did.
        ctx.ticket = both(ctx.ticket, ctx.store.unsettled())
        return Response(Status.CREATED, content=for_created(ctx, earlier, rcn, sent))
    parent = _check_common(ctx, parent, resource_type, attributes)
    ctx.registry[parent.ty].hooks.check_child(ctx, parent, number, attributes)
    resource_type.hooks.check_create(ctx, parent, attributes)
    creator = ctx.originator
    if resource_type.hooks.verify_create is not None:
        yield from resource_type.hooks.verify_create(ctx, parent, attributes)
        # Others were asked meanwhile: look again at what was read before (architecture law 2).
        parent = _check_name(ctx, _still_there(ctx, parent), resource_type, attributes)
    if digest:
        attributes["rn"] = dated_name(ctx.env.now, digest)
    with ctx.transaction():
        resource = store_new(ctx, parent, resource_type, root, attributes, creator)
        notifications.monitor(ctx, parent, Operation.CREATE)
    if resource_type.hooks.established is not None:
        yield from _establish(ctx, resource)
    if ctx.unsettled:
        yield from announcements.settle(ctx)
    return Response(Status.CREATED, content=for_created(ctx, _as_it_is(ctx, resource), rcn, sent))


def _as_it_is(ctx: RequestContext, resource: Resource) -> Resource:
    """What follows a creation may have changed the resource, but no instance that is not announced."""
    if ctx.registry[resource.ty].is_instance and "at" not in resource.attributes:
        return resource
    return ctx.store.get(resource.ri) or resource


def _table(resource_type: ResourceType, root: str, sent: Mapping[str, Any]) -> AttributeTable:
    if root not in resource_type.tables:
        resource_type.hooks.unknown_root(sent)
    return resource_type.table(root)


def _establish(ctx: RequestContext, resource: Resource) -> Generator[Send, Response | None, None]:
    """Let a stored resource set up what it needs elsewhere; without that it never was."""
    hook = ctx.registry[resource.ty].hooks.established
    assert hook is not None
    try:
        yield from hook(ctx, resource)
    except CseError:
        current = ctx.store.get(resource.ri)
        if current is not None:
            with ctx.transaction():
                delete_tree(ctx, current)
        ctx.outbox.clear()
        raise


def _check_privilege(ctx: RequestContext, parent: Resource, number: int) -> None:
    if number in (AE, REMOTE_CSE) and parent.ty == CSE_BASE:
        return  # registration has rules of its own: the type's hooks
    if not access_control.decide(ctx, parent, Privilege.CREATE, ctx.originator, number):
        raise OriginatorHasNoPrivilege(
            f"originator {ctx.originator!r} may not CREATE type {number} below {parent.path!r}: "
            "it needs CREATE (acop 1) in an accessControlPolicy of that resource"
        )
    if number == SUBSCRIPTION and not access_control.decide(ctx, parent, Privilege.RETRIEVE, ctx.originator):
        raise OriginatorHasNoPrivilege(
            f"originator {ctx.originator!r} may not subscribe to {parent.path!r}: that also needs "
            "RETRIEVE (acop 2) there"
        )


def _creatable_type(ctx: RequestContext, resource_type: ResourceType | None, parent: Resource) -> ResourceType:
    if resource_type is None:
        raise NotSupported(
            f"resource type {ctx.request.resource_type} is not supported by this CSE: see srt of the CSEBase"
        )
    if resource_type.in_cse_only and ctx.settings.cse_type is not CseType.IN:
        raise OperationNotAllowed(f"a {resource_type.long_name} exists at an IN-CSE only")
    if parent.ty not in resource_type.parents:
        where = f"below a {ctx.registry[parent.ty].long_name}"
        if resource_type.number == SUBSCRIPTION:
            raise TargetNotSubscribable(f"there are no subscriptions {where}")
        allowed = ", ".join(
            ctx.registry[number].long_name for number in sorted(resource_type.parents) if ctx.registry.get(number)
        )
        raise InvalidChildResourceType(f"a {resource_type.long_name} cannot be {where}: create it below {allowed}")
    return resource_type


def _check_common(
    ctx: RequestContext, parent: Resource, resource_type: ResourceType, attributes: dict[str, Any]
) -> Resource:
    expiry = attributes.get("et")
    if expiry is not None:
        attributes["et"] = expiry_for(ctx, expiry, parent)
    policies = attributes.get("acpi")
    if policies is not None:
        policy_links.check(ctx, policies)
    return _check_name(ctx, parent, resource_type, attributes)


def _check_name(
    ctx: RequestContext, parent: Resource, resource_type: ResourceType, attributes: dict[str, Any]
) -> Resource:
    """Refuse a name that is taken; gives the parent as it is without a namesake that has expired."""
    name = attributes.get("rn")
    if name is None:
        return parent
    if name in ctx.registry[parent.ty].virtual:
        raise OperationNotAllowed(f"the name {name!r} is that of a virtual child of {parent.path!r}: choose another rn")
    namesake = ctx.store.child(parent.ri, name)
    if namesake is None:
        return parent
    if is_alive(namesake, ctx.env):
        raise Conflict(f"{parent.path!r} already has a child {name!r}: choose another rn, or UPDATE that one")
    with ctx.transaction():
        delete_tree(ctx, namesake)  # it has expired, and the sweep would come too late for its name
    return ctx.store.get(parent.ri) or parent


def _still_there(ctx: RequestContext, parent: Resource) -> Resource:
    current = ctx.store.get(parent.ri)
    if current is None:
        raise NotFound(f"{parent.path!r} was deleted while the request was checked")
    return current
