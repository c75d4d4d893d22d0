"""The link between an entity and its node: nodeLink there, hostedAELinks here (TS-0001 clause 9.6.5, 9.6.18).

Not a resource type: ``ae`` follows its nl with ``relink``, ``node`` lets go of all with ``unlink_all``.
"""

from __future__ import annotations

from cse.onem2m.addressing import sp_relative
from cse.ports import Resource
from cse.resources.declare import Context

_NODE = 14


def relink(ctx: Context, resource: Resource, before: str | None, after: str | None) -> None:
    """Move a resource-ID from the hael of one node to that of another; nodes elsewhere or missing are left alone.

    Args:
        ctx: the request; open transaction.
        resource: whose nodeLink changed.
        before: its nl as it was.
        after: its nl as it is.
    """
    if before == after:
        return
    if before:
        node = ctx.local(before)
        if node is not None and node.ty == _NODE and resource.ri in node.attributes.get("hael", ()):
            rest = [entry for entry in node.attributes["hael"] if entry != resource.ri]
            ctx.modify(node, {"hael": rest or None})
    if after:
        node = ctx.local(after)
        if node is not None and node.ty == _NODE and resource.ri not in node.attributes.get("hael", ()):
            ctx.modify(node, {"hael": [*node.attributes.get("hael", ()), resource.ri]})


def unlink_all(ctx: Context, node: Resource) -> None:
    """Remove the nodeLink of every resource that names a node, which is about to go."""
    cse_id = ctx.settings.cse_id
    for identifier in (node.ri, node.path, sp_relative(node.ri, cse_id), sp_relative(node.path, cse_id)):
        for resource in list(ctx.store.referring("nl", identifier)):
            ctx.modify(resource, {"nl": None})
