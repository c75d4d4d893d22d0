"""RETRIEVE and discovery (TS-0001 clause 10.1.3, 10.2.6, TS-0004 clause 7.3.3.6)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from cse.core import access_control, announcements, notifications
from cse.core.context import RequestContext
from cse.core.discovery import Found, search
from cse.core.filtering import Filter
from cse.core.numbers import AE
from cse.core.resolution import Target, find
from cse.core.result_content import (
    WITH_CHILDREN,
    effective,
    partial,
    references,
    representation,
    uri_list,
    with_children,
)
from cse.onem2m.addressing import parse_address, sp_relative
from cse.onem2m.errors import (
    BadRequest,
    CseError,
    DiscoveryDeniedByIpe,
    NotFound,
    OriginatorHasNoPrivilege,
    TargetNotReachable,
)
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import FilterUsage, Operation, Request, Response, ResultContent
from cse.onem2m.status import Status
from cse.ports import Resource, Send
from cse.resources.declare import Privilege

_PARTIAL, _FULL = 1, 2
_DISCOVERING = (FilterUsage.DISCOVERY, FilterUsage.IPE_ON_DEMAND)
#: result contents whose RETRIEVE of an empty container is an event of its own (notificationEventType 5)
_LISTING = (ResultContent.ATTRIBUTES_AND_CHILDREN, ResultContent.CHILDREN)


def retrieve(ctx: RequestContext, target: Target, attribute: str) -> Generator[Send, Response | None, Response]:
    """Give the target's representation, its children, or what a discovery finds below it.

    Args:
        ctx: the request.
        target: what is addressed, virtual children already redirected.
        attribute: the attribute named after ``#`` in the address, or "".

    Raises:
        CseError: the request is refused.
    """
    request, resource = ctx.request, target.resource
    discovery = bool(request.filter) and is_discovery(request)
    rcn = effective(Operation.RETRIEVE, request.result_content, discovery=discovery)
    privilege = Privilege.DISCOVERY if discovery else Privilege.RETRIEVE
    if not access_control.decide(ctx, resource, privilege, ctx.originator):
        raise OriginatorHasNoPrivilege(
            f"originator {ctx.originator!r} may not {privilege.name} {resource.path!r}: it needs "
            f"acop {int(privilege)} in an accessControlPolicy of that resource"
        )
    if discovery:
        if request.filter is not None and request.filter.get("fu") == FilterUsage.IPE_ON_DEMAND:
            yield from _have_discovered(ctx, resource)
        return (yield from discover(ctx, resource, rcn))
    if rcn == ResultContent.SEMANTIC_CONTENT:
        return (yield from _semantic_query(ctx, resource))
    if rcn == ResultContent.ORIGINAL_RESOURCE and ctx.registry[resource.ty].original is not None:
        return (yield from announcements.original(ctx, resource))
    hooks = ctx.registry[resource.ty].hooks
    hooks.check_retrieve(ctx, resource)
    if hooks.retrieve is not None:
        yield from hooks.retrieve(ctx, resource)
        resource = ctx.store.get(resource.ri) or resource
    names = ([attribute] if attribute else []) + (request.attribute_list or [])
    if names:
        if rcn != ResultContent.ATTRIBUTES:
            raise BadRequest("a partial retrieve (atrl) goes with rcn 1 only")
        content: Any = partial(ctx, resource, names)
        hooks.retrieved(ctx, resource)
        notifications.monitor(ctx, resource, Operation.RETRIEVE)
        return Response(Status.OK, content=content)
    if rcn in _LISTING:
        yield from notifications.retrieve_without_child(ctx, resource)
        resource = ctx.store.get(resource.ri) or resource
    response = yield from shown(ctx, resource, rcn)
    hooks.retrieved(ctx, resource)
    notifications.monitor(ctx, resource, Operation.RETRIEVE)
    return response


def shown(ctx: RequestContext, resource: Resource, rcn: int) -> Generator[Send, Response | None, Response]:
    """The response that shows a resource by an effective rcn, with the conditions of fu=2 applied.

    Raises:
        NotFound: the resource does not meet the conditions, or is deleted meanwhile.
        BadRequest: rcn 7 for a resource that is not announced.
        NotImplemented: filter ``ops``.
    """
    if not ctx.request.filter and rcn == ResultContent.ATTRIBUTES:
        return Response(Status.OK, content={resource.root: representation(ctx, resource)})
    criteria = Filter(ctx.request.filter or {}, ctx.registry, ctx.store)
    if rcn in WITH_CHILDREN:
        found = yield from search(ctx, resource, criteria, Privilege.RETRIEVE, by_child=True)
        if ctx.store.get(resource.ri) is None:
            raise NotFound(f"{resource.path!r} was deleted while its children were gathered")
        return _limited(Response(Status.OK, content=with_children(ctx, resource, found, rcn)), found)
    if criteria.operations:
        raise NotSupported("filter 'ops' chooses among several resources: send it with discovery or rcn 4, 5, 6 or 8")
    if criteria.has_conditions and not criteria.matches(resource):
        raise NotFound(f"{resource.path!r} does not meet the filter criteria")
    if rcn == ResultContent.ORIGINAL_RESOURCE:
        raise BadRequest(
            f"rcn 7 asks for the original of an announced resource, and {resource.path!r} is not announced"
        )
    if rcn == ResultContent.PERMISSIONS:
        return Response(Status.OK, content={resource.root: {"acop": _permissions(ctx, resource)}})
    return Response(Status.OK, content={resource.root: representation(ctx, resource)})


def _permissions(ctx: RequestContext, resource: Resource) -> int:
    """What the originator may do with a resource, as the bits of accessControlOperations."""
    return sum(bit for bit in Privilege if access_control.decide(ctx, resource, bit, ctx.originator))


def is_discovery(request: Request) -> bool:
    """Whether a RETRIEVE with filter criteria asks what there is, and not for the target itself."""
    criteria = request.filter or {}
    if "smf" in criteria and "fu" not in criteria:
        # A semantic filter that is no semantic query discovers (TS-0001 clause 8.1.2).
        return not request.semantic_query and request.result_content != ResultContent.SEMANTIC_CONTENT
    return criteria.get("fu") in _DISCOVERING and not request.semantic_query


def _have_discovered(ctx: RequestContext, entity: Resource) -> Generator[Send, Response | None, None]:
    """Ask an interworking proxy to make resources of what it finds, before they are discovered (TS-0001 10.2.6.3).

    Raises:
        BadRequest: the target is no AE.
        TargetNotReachable: the AE does not answer.
        DiscoveryDeniedByIpe: it refuses.
    """
    if entity.ty != AE:
        raise BadRequest(f"IPE on-demand discovery (fu=3) is for an AE, and {entity.path!r} is none")
    criteria = {tag: value for tag, value in (ctx.request.filter or {}).items() if tag != "fu"}
    asked = {"or": sp_relative(ctx.originator, ctx.settings.cse_id), "fc": criteria}
    send = ctx.notification(entity.ri, {"m2m:sgn": {"idr": asked}})
    answer = (yield send) if send is not None else None
    if answer is None:
        raise TargetNotReachable(f"the AE {entity.path!r} does not answer: it cannot be asked to discover")
    if ctx.store.get(entity.ri) is None:
        raise NotFound(f"{entity.path!r} was deleted while it was asked to discover")
    if not answer.status.is_success:
        raise DiscoveryDeniedByIpe(f"the AE {entity.path!r} refused to discover ({int(answer.status)})")


def _semantic_query(ctx: RequestContext, resource: Resource) -> Generator[Send, Response | None, Response]:
    """The answer to a semantic query over what is said at and below a resource (TS-0001 clause 10.2.14.3)."""
    criteria = Filter(ctx.request.filter or {}, ctx.registry, ctx.store, semantic=True)
    if criteria.has_conditions:
        raise NotSupported("a semantic query takes filter 'smf' alone: leave the other conditions out")
    if len(criteria.queries) != 1:
        raise BadRequest("a semantic query needs one filter 'smf': send one SPARQL query")
    if ctx.registry.semantics is None:
        raise NotSupported("this CSE keeps no semantic descriptors")
    result = yield from ctx.registry.semantics.answer(ctx, resource, criteria.queries[0])
    return Response(Status.OK, content={"m2m:qres": result})


def discover(ctx: RequestContext, resource: Resource, rcn: int) -> Generator[Send, Response | None, Response]:
    """The answer to a discovery (fu=1): addresses, or references for rcn 6."""
    criteria = Filter(ctx.request.filter or {}, ctx.registry, ctx.store, semantic=True)
    among: list[Resource] | None = None
    if criteria.queries:
        if ctx.registry.semantics is None:
            raise NotSupported("this CSE keeps no semantic descriptors")
        among = yield from ctx.registry.semantics.discover(ctx, resource, criteria.queries, criteria.types)
    found = yield from search(ctx, resource, criteria, Privilege.DISCOVERY, among=among)
    relative_path = criteria.criteria.get("arp") or ""
    if relative_path:
        if not isinstance(relative_path, str):
            raise BadRequest("filter 'arp' must be a relative path such as 'container/la'")
        found = Found([r for r in found.resources if _has(ctx, r, relative_path)], found.next_offset)
    if rcn == ResultContent.CHILD_REFERENCES:
        return _limited(Response(Status.OK, content=references(ctx, found)), found)
    return _limited(Response(Status.OK, content=uri_list(ctx, found, relative_path)), found)


def _has(ctx: RequestContext, resource: Resource, relative_path: str) -> bool:
    """Whether ``relative_path`` below a resource exists and may be discovered."""
    try:
        segments = parse_address(relative_path).segments
        target = find(ctx.cse, (resource.ri, *segments), ctx.env)
        if target.virtual is not None:
            if target.virtual.redirect is None:
                return True
            target = Target(target.virtual.redirect(ctx, target.resource))
    except CseError:
        return False
    return access_control.decide(ctx, target.resource, Privilege.DISCOVERY, ctx.originator)


def _limited(response: Response, found: Found) -> Response:
    if found.next_offset is not None:
        response.content_status = _PARTIAL
        response.content_offset = found.next_offset
    return response
