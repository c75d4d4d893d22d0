"""statsCollect, type 21: who counts which events of whom (TS-0001 clause 9.6.25, TS-0004 clause 7.4.23)."""

from __future__ import annotations

from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare


class StatsCollectHooks(Hooks):
    """Its identifier."""

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """The CSE names the collection."""
        resource.attributes["sci"] = resource.ri


TYPES = (declare("statsCollect", StatsCollectHooks(), in_cse_only=True),)
