"""What parents of instances share: container now; limits, counters, la and ol (TS-0001 clause 9.6.6, 10.2.4).

Not a resource type of its own: ``container``, ``time_series`` and ``flex_container`` use it.
"""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import NotFound, OperationNotAllowed
from cse.onem2m.primitives import Operation
from cse.onem2m.serialisation import dump_json
from cse.ports import Resource
from cse.resources.declare import Context, VirtualChild


def content_size(value: Any) -> int:
    """ContentSize in bytes: of the UTF-8 text, or of the JSON form of anything else (TS-0001 clause 9.6.7)."""
    return len(value.encode()) if isinstance(value, str) else len(dump_json(value))


def _newest(ctx: Context, parent: Resource) -> Resource:
    return _or_not_found(ctx, parent, ctx.store.newest(parent.ri), "latest")


def _oldest(ctx: Context, parent: Resource) -> Resource:
    return _or_not_found(ctx, parent, ctx.store.oldest(parent.ri), "oldest")


def _or_not_found(ctx: Context, parent: Resource, instance: Resource | None, which: str) -> Resource:
    check_retrievable(parent)
    while instance is not None and instance.attributes.get("et", "~") <= ctx.env.timestamp:
        # Expired but not swept yet: the sweep will find it, here it is gone already.
        instance = _next_live(ctx, parent, newest_first=which == "latest")
    if instance is None:
        raise NotFound(f"{parent.path!r} has no {which} instance: it is empty")
    return instance


def _next_live(ctx: Context, parent: Resource, *, newest_first: bool) -> Resource | None:
    for instance in ctx.store.instances(parent.ri, newest_first=newest_first):
        if instance.attributes.get("et", "~") > ctx.env.timestamp:
            return instance
    return None


def check_retrievable(parent: Resource) -> None:
    """Refuse to show instances of a parent whose retrieval is disabled (disr).

    Raises:
        OperationNotAllowed: disr is true.
    """
    if parent.attributes.get("disr"):
        raise OperationNotAllowed(f"retrieval of the instances of {parent.path!r} is disabled (disr is true)")


LATEST = VirtualChild("la", frozenset({Operation.RETRIEVE, Operation.DELETE}), redirect=_newest)
OLDEST = VirtualChild("ol", frozenset({Operation.RETRIEVE, Operation.DELETE}), redirect=_oldest)


def trim(ctx: Context, parent: Resource, count: int, size_bytes: int, *, leave: int = 0) -> tuple[int, int]:
    """Remove the oldest instances until the parent's limits hold; silent, as the purge of old data is.

    Args:
        ctx: the request; open transaction.
        parent: with mni and mbs as they are to be.
        count: instances there are now.
        size_bytes: their size.
        leave: instances never removed (the one just created).

    Returns:
        Count and size afterwards.
    """
    most, largest = parent.attributes.get("mni"), parent.attributes.get("mbs")
    while count > leave and ((most is not None and count > most) or (largest is not None and size_bytes > largest)):
        oldest = ctx.store.oldest(parent.ri)
        if oldest is None:
            return 0, 0
        if oldest.internal:
            ctx.withdraw(oldest)
        ctx.store.remove(oldest.ri)
        count -= 1
        size_bytes -= oldest.attributes.get("cs", 0)
    return count, size_bytes
