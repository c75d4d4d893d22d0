"""contentInstance, type 4: one piece of data (TS-0001 clause 9.6.7, TS-0004 clause 7.4.7)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import NotAcceptable
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare
from cse.resources.instances import check_retrievable, content_size


class ContentInstanceHooks(Hooks):
    """Size, age and retrieval limits."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Set contentSize and the age limit.

        Raises:
            NotAcceptable: larger than maxByteSize of the container.
        """
        size = content_size(attributes["con"])
        largest = parent.attributes.get("mbs")
        if largest is not None and size > largest:
            raise NotAcceptable(
                f"the content has {size} bytes, more than the {largest} of mbs of {parent.path!r}: send less"
            )
        attributes["cs"] = size
        oldest_s = parent.attributes.get("mia")
        if oldest_s is not None:
            expiry = format_timestamp(ctx.env.now + oldest_s)
            attributes["et"] = min(attributes.get("et") or expiry, expiry)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Its stateTag is the one the container gets with it; dcnt counts down beside the wire attributes."""
        resource.attributes["st"] = parent.attributes.get("st", 0) + 1
        if "dcnt" in resource.attributes:
            resource.internal["reads_left"] = resource.attributes["dcnt"]

    def check_retrieve(self, ctx: Context, resource: Resource) -> None:
        """Refuse while the container's retrieval is disabled."""
        parent = ctx.store.get(resource.pi)
        if parent is not None:
            check_retrievable(parent)

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Refuse while the container's retrieval is disabled."""
        self.check_retrieve(ctx, resource)

    def retrieved(self, ctx: Context, resource: Resource) -> None:
        """Count deletionCnt down; at zero the instance is gone after this retrieve."""
        left = resource.internal.get("reads_left")
        if left is None:
            return
        with ctx.transaction():
            if left <= 1:
                ctx.delete(resource)
            else:
                ctx.store.replace_instance(resource.ri, {**resource.internal, "reads_left": left - 1})

    def representation(self, ctx: Context, resource: Resource) -> dict[str, Any]:
        """Dcnt shows the reads that are left."""
        left = resource.internal.get("reads_left")
        return resource.attributes if left is None else {**resource.attributes, "dcnt": left}


TYPES = (declare("contentInstance", ContentInstanceHooks(), is_instance=True),)
