"""Finding resources below a target: discovery and the children of rcn 4, 5, 6 and 8 (TS-0001 clause 10.2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from cse.core.access_control import Asking, decide
from cse.core.filtering import Filter
from cse.core.numbers import ANNOUNCED, CSE_BASE
from cse.ports import Resource
from cse.resources.declare import Privilege


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave.

    Attributes:
        resources: matches, parents before children, instances in the order of their creation.
        next_offset: where to go on when there are more, else None.
    """

    resources: list[Resource]
    next_offset: int | None = None


def search(
    ctx: Asking,
    target: Resource,
    criteria: Filter,
    privilege: Privilege,
    *,
    by_child: bool = False,
    among: Iterable[Resource] | None = None,
) -> Found:
    """The descendants of ``target`` that match and that the originator has ``privilege`` on.

    At most ``lim`` (and never more than the CSE's own bound) are given; ``ofst`` skips matches before the first.
    Resources the originator may not see are left out silently, what is below them is still considered.

    Args:
        ctx: the request.
        target: where to search.
        criteria: conditions and bounds.
        privilege: what the originator must be allowed.
        by_child: ``ofst`` skips direct children of the target with all below them, so that a listing that shows the
            tree can be gone on with; ``next_offset`` then names the direct child the list broke off in.
        among: consider these only (still where they are below the target); None: all.
    """
    bound = ctx.settings.max_results
    limit = bound if criteria.limit is None else min(criteria.limit, bound)
    skip = criteria.offset - 1
    child = 0
    found: list[Resource] = []
    timestamp = ctx.env.timestamp
    originator = ctx.originator
    # Children of one parent are mostly of one type and share one policy; instances always share their parent's.
    granted: dict[str, bool] = {}
    live = {target.ri: True}
    # Pages of a tree need its order; an index gives the order of creation.
    paged = by_child and (skip or criteria.limit is not None)
    if among is not None:
        candidates = _within(ctx, target, criteria, among)
    else:
        candidates = _walk(ctx, target, criteria) if paged else _candidates(ctx, target, criteria)
    for resource in candidates:
        expiry = resource.attributes.get("et")
        if (
            (expiry is not None and expiry <= timestamp)
            or not criteria.matches(resource)
            or not _is_below_live(ctx, resource.pi, timestamp, live)
        ):
            continue
        if resource.ty > ANNOUNCED and not resource.attributes["lnk"].startswith("/"):
            continue  # INACTIVE: its original is registered nowhere for now (TS-0001 clause 10.2.2.2)
        if ctx.registry[resource.ty].inherits_access:
            allowed = granted.get(resource.pi)
            if allowed is None:
                allowed = granted[resource.pi] = decide(ctx, resource, privilege, originator)
        else:
            allowed = decide(ctx, resource, privilege, originator)
        if not allowed or (criteria.operations and not _may(ctx, resource, criteria.operations)):
            continue
        if by_child:
            if resource.pi == target.ri:
                child += 1
            if child < criteria.offset and skip:
                continue
            if len(found) >= limit:
                return Found(found, max(child, criteria.offset + 1))
        elif skip:
            skip -= 1
            continue
        elif len(found) >= limit:
            return Found(found, criteria.offset + limit)
        found.append(resource)
    return Found(found)


def _is_below_live(ctx: Asking, ri: str, timestamp: str, known: dict[str, bool]) -> bool:
    """Whether a resource and all above it have not expired; what is below an expired one is gone with it.

    Args:
        ctx: the request.
        ri: of the parent of what was found.
        timestamp: now.
        known: answers so far, the target's among them.
    """
    answer = known.get(ri)
    if answer is None:
        parent = ctx.store.get(ri)
        expiry = parent.attributes.get("et") if parent is not None else None
        answer = parent is not None and (expiry is None or expiry > timestamp)
        if answer and parent is not None and parent.pi:
            answer = _is_below_live(ctx, parent.pi, timestamp, known)
        known[ri] = answer
    return answer


def _may(ctx: Asking, resource: Resource, operations: int) -> bool:
    return all(decide(ctx, resource, bit, ctx.originator) for bit in Privilege if bit & operations)


def _candidates(ctx: Asking, target: Resource, criteria: Filter) -> Iterator[Resource]:
    if criteria.labels is not None:
        labelled = chain.from_iterable(ctx.store.referring("lbl", label) for label in criteria.labels)
        return _within(ctx, target, criteria, labelled)
    if criteria.types is not None and target.ty == CSE_BASE and criteria.level is None:
        instance_types = [t for t in criteria.types if t in ctx.registry.types and ctx.registry[t].is_instance]
        if not instance_types:
            return _by_type(ctx, target, criteria.types)
    return _walk(ctx, target, criteria)


def _within(ctx: Asking, target: Resource, criteria: Filter, resources: Iterable[Resource]) -> Iterator[Resource]:
    """Those of ``resources`` that a walk from the target would come to, each once."""
    prefix = target.path + "/"
    seen: set[str] = set()
    for resource in resources:
        if resource.ri in seen or not resource.path.startswith(prefix):
            continue
        seen.add(resource.ri)
        if criteria.level is not None and resource.path.count("/", len(prefix)) + 1 > criteria.level:
            continue
        if not _hidden(ctx, resource):
            yield resource


def _by_type(ctx: Asking, target: Resource, types: frozenset[int]) -> Iterator[Resource]:
    prefix = target.path + "/"
    for number in sorted(types):
        for resource in ctx.store.of_type(number):
            if resource.path.startswith(prefix) and not _hidden(ctx, resource):
                yield resource


def _hidden(ctx: Asking, resource: Resource) -> bool:
    parent = ctx.store.get(resource.pi)
    return parent is None or ctx.registry[parent.ty].hooks.hides(ctx, parent, resource.ty)


def _walk(ctx: Asking, target: Resource, criteria: Filter) -> Iterator[Resource]:
    registry = ctx.registry
    deepest = criteria.level
    stack: list[Iterator[Resource]] = [_children(ctx, target, criteria)]
    while stack:
        resource = next(stack[-1], None)
        if resource is None:
            stack.pop()
            continue
        yield resource
        if not registry[resource.ty].is_instance and (deepest is None or len(stack) < deepest):
            stack.append(_children(ctx, resource, criteria))


def _children(ctx: Asking, parent: Resource, criteria: Filter) -> Iterator[Resource]:
    resource_type = ctx.registry[parent.ty]
    yield from ctx.store.children(parent.ri)
    for number in resource_type.children:
        child_type = ctx.registry[number]
        if not child_type.is_instance or (criteria.types is not None and number not in criteria.types):
            continue
        if not resource_type.hooks.hides(ctx, parent, number):
            yield from criteria.instances(parent.ri)
        return
