"""container, type 3: a place for data (TS-0001 clause 9.6.6, TS-0004 clause 7.4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare
from cse.resources.instances import LATEST, OLDEST, trim

_CONTENT_INSTANCE = 4


class ContainerHooks(Hooks):
    """Counters, limits, and the trimming of old instances."""

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """A new container is empty."""
        resource.attributes["cni"] = 0
        resource.attributes["cbs"] = 0

    def child_created(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A new instance counts, and may push the oldest out."""
        attributes = resource.attributes
        changes: dict[str, Any] = {"st": attributes["st"] + 1, "lt": ctx.env.timestamp}
        if child.ty == _CONTENT_INSTANCE:
            count, size = attributes["cni"] + 1, attributes["cbs"] + child.attributes["cs"]
            changes["cni"], changes["cbs"] = trim(ctx, resource, count, size)
        resource = ctx.adjust(resource, changes)
        if "li" in attributes and child.ty == _CONTENT_INSTANCE:
            policy = ctx.local(attributes["li"])
            arrived = ctx.type_of(policy).hooks.data_arrived if policy is not None else None
            if policy is not None and arrived is not None:
                arrived(ctx, policy, resource, child)

    def child_deleted(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A removed instance no longer counts."""
        attributes = resource.attributes
        changes: dict[str, Any] = {"st": attributes["st"] + 1, "lt": ctx.env.timestamp}
        if child.ty == _CONTENT_INSTANCE:
            changes["cni"] = max(0, attributes["cni"] - 1)
            changes["cbs"] = max(0, attributes["cbs"] - child.attributes["cs"])
        ctx.adjust(resource, changes)

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Lower limits trim; switching disr off forgets what was hidden (TS-0001 clause 9.6.6)."""
        if before.get("disr") and not resource.attributes.get("disr"):
            ctx.store.remove_instances(resource.ri)
            ctx.adjust(resource, {"cni": 0, "cbs": 0})
        elif "mni" in changes or "mbs" in changes:
            attributes = resource.attributes
            count, size = trim(ctx, resource, attributes["cni"], attributes["cbs"])
            if count != attributes["cni"]:
                ctx.adjust(resource, {"cni": count, "cbs": size})

    def hides(self, ctx: Context, resource: Resource, child_type: int) -> bool:
        """Instances stay out of every listing while retrieval is disabled."""
        return child_type == _CONTENT_INSTANCE and resource.attributes.get("disr") is True


TYPES = (declare("container", ContainerHooks(), virtual=(LATEST, OLDEST)),)
