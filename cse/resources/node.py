"""node, type 14: the device that entities run on (TS-0001 clause 9.6.18, TS-0004 clause 7.4.19)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import BadRequest
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare
from cse.resources.node_links import unlink_all


class NodeHooks(Hooks):
    """Hosted AEs: named by their own nodeLink, which ends with the node."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse an empty list of hosted AEs."""
        _check(attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse an empty list of hosted AEs."""
        _check(changes)

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """Nobody runs on a node that is gone."""
        unlink_all(ctx, resource)


def _check(attributes: dict[str, Any]) -> None:
    if attributes.get("hael") == []:
        raise BadRequest("attribute 'hael' must not be an empty list: leave it out, AEs enter it with their 'nl'")


TYPES = (declare("node", NodeHooks()),)
