"""serviceSubscribedNode, type 20: a node of a service subscription (TS-0001 clause 9.6.20)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import BadRequest
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare


class SubscribedNodeHooks(Hooks):
    """Rules are linked for the CSE of the node."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse rules without a CSE."""
        _check(attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse rules without a CSE."""
        _check({**resource.attributes, **changes})


def _check(attributes: dict[str, Any]) -> None:
    if attributes.get("rlk") is not None and attributes.get("csi") is None:
        raise BadRequest("attribute 'rlk' (ruleLinks) needs 'csi': name the CSE of the node")


TYPES = (declare("serviceSubscribedNode", SubscribedNodeHooks(), in_cse_only=True),)
