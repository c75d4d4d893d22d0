"""Finding resources below a target: discovery and the children of rcn 4, 5, 6 and 8 (TS-0001 clause 10.2.6)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from cse.core.access_control import Asking, decide
from cse.core.filtering import Filter
from cse.core.numbers import ANNOUNCED, CSE_BASE
from cse.onem2m.primitives import Response
from cse.ports import Resource, Send, breath
from cse.resources.declare import Privilege

#: how many resources are looked at before others get a turn: some milliseconds
_AT_A_TIME = 256


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
) -> Generator[Send, Response | None, Found]:
    """The descendants of ``target`` that match and that the originator has ``privilege`` on.

    At most ``lim`` (and never more than the CSE's own bound) are given; ``ofst`` skips matches before the first.
    Resources the originator may not see are left out silently, what is below them is still considered.
    A long search lets others in now and then: what is found may be of different moments, and the target may be gone.

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
    may_be_seen = _Sieve(ctx, target, criteria, privilege)
    # Pages of a tree need its order; an index gives the order of creation.
    paged = by_child and (skip or criteria.limit is not None)
    looked_at, waited = 0, False
    if among is not None:
        candidates = _within(ctx, target, criteria, among)
    else:
        candidates = _walk(ctx, target, criteria) if paged else _candidates(ctx, target, criteria)
    for resource in candidates:
        looked_at += 1
        if looked_at >= _AT_A_TIME:
            yield breath(ctx.request)
            looked_at, waited = 0, True
            may_be_seen = _Sieve(ctx, target, criteria, privilege)
        if not may_be_seen(resource):
            continue
        if criteria.of_children:
            waited = True
            has_them, looked_at = yield from _has_children(ctx, resource, criteria, looked_at)
            if not has_them:
                continue
        if by_child:
            if resource.pi == target.ri:
                child += 1
            if child < criteria.offset and skip:
                continue
            if len(found) >= limit:
                return Found(_left(ctx, found, waited), max(child, criteria.offset + 1))
        elif skip:
            skip -= 1
            continue
        elif len(found) >= limit:
            return Found(_left(ctx, found, waited), criteria.offset + limit)
        found.append(resource)
    return Found(_left(ctx, found, waited))


class _Sieve:
    """Which resources a search gives: those that live, match, and may be seen by the originator.

    Args:
        ctx: the request.
        target: of the search.
        criteria: conditions.
        privilege: what the originator must be allowed.
    """

    __slots__ = ("_criteria", "_ctx", "_granted", "_live", "_matches", "_originator", "_privilege", "_timestamp")

    def __init__(self, ctx: Asking, target: Resource, criteria: Filter, privilege: Privilege) -> None:
        self._ctx, self._criteria, self._privilege = ctx, criteria, privilege
        self._matches, self._timestamp, self._originator = criteria.matches_itself, ctx.env.timestamp, ctx.originator
        # Children of one parent are mostly of one type and share one policy; instances always share their parent's.
        self._granted: dict[str, bool] = {}
        self._live = {target.ri: True}

    def __call__(self, resource: Resource) -> bool:
        """Whether it gives this one."""
        ctx = self._ctx
        expiry = resource.attributes.get("et")
        if (
            (expiry is not None and expiry <= self._timestamp)
            or not self._matches(resource)
            or not _is_below_live(ctx, resource.pi, self._timestamp, self._live)
        ):
            return False
        if resource.ty > ANNOUNCED and not resource.attributes["lnk"].startswith("/"):
            return False  # INACTIVE: its original is registered nowhere for now (TS-0001 clause 10.2.2.2)
        if ctx.registry[resource.ty].inherits_access:
            allowed = self._granted.get(resource.pi)
            if allowed is None:
                allowed = self._granted[resource.pi] = decide(ctx, resource, self._privilege, self._originator)
        else:
            allowed = decide(ctx, resource, self._privilege, self._originator)
        return allowed and (not self._criteria.operations or _may(ctx, resource, self._criteria.operations))


def _has_children(
    ctx: Asking, resource: Resource, criteria: Filter, looked_at: int
) -> Generator[Send, Response | None, tuple[bool, int]]:
    """Whether a resource has the children that the criteria ask for, and ``looked_at`` counted on."""
    for wanted in criteria.of_children:
        for child in wanted.candidates(resource):
            looked_at += 1
            if looked_at >= _AT_A_TIME:
                yield breath(ctx.request)
                looked_at = 0
            if wanted.test(child):
                break
        else:
            return False, looked_at
    return True, looked_at


def _left(ctx: Asking, found: list[Resource], waited: bool) -> list[Resource]:
    """What was found and is still there; others may have had a turn since. Of instances their parent says it."""
    if not waited:
        return found
    types, get = ctx.registry, ctx.store.get
    return [one for one in found if get(one.pi if types[one.ty].is_instance else one.ri) is not None]


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
