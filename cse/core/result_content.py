"""What a response contains: the result content (TS-0001 clause 8.1.2, TS-0004 clause 7.5.2 and 6.3.4.2.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cse.core.access_control import Asking
from cse.core.discovery import Found
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Operation, ResultContent
from cse.ports import Resource

_ALLOWED: dict[Operation, tuple[ResultContent, frozenset[int]]] = {
    Operation.CREATE: (ResultContent.ATTRIBUTES, frozenset({0, 1, 2, 3, 9})),
    Operation.RETRIEVE: (ResultContent.ATTRIBUTES, frozenset({1, 4, 5, 6, 7, 8, 10, 12})),
    Operation.UPDATE: (ResultContent.ATTRIBUTES, frozenset({0, 1, 9})),
    Operation.DELETE: (ResultContent.NOTHING, frozenset({0, 1, 4, 5, 6, 8})),
    Operation.NOTIFY: (ResultContent.NOTHING, frozenset({0})),
}
_DISCOVERY: tuple[ResultContent, frozenset[int]] = (ResultContent.DISCOVERY_RESULT, frozenset({6, 11}))
WITH_CHILDREN = frozenset({4, 5, 6, 8})


def effective(operation: Operation, asked: int | None, *, discovery: bool) -> int:
    """The result content that applies.

    Args:
        operation: of the request.
        asked: the rcn parameter, or None.
        discovery: the request is a discovery (fu=1).

    Raises:
        BadRequest: not allowed for the operation.
    """
    default, allowed = _DISCOVERY if discovery else _ALLOWED[operation]
    if asked is None:
        return default
    if asked not in allowed:
        what = "discovery (fu=1)" if discovery else operation.name
        raise BadRequest(f"rcn {asked} is not allowed for {what}: send one of {', '.join(map(str, sorted(allowed)))}")
    return asked


def representation(ctx: Asking, resource: Resource) -> dict[str, Any]:
    """The attributes of a resource as the wire shows them."""
    attributes = ctx.registry[resource.ty].hooks.representation(ctx, resource)
    if "announced" in resource.internal and ctx.registry[resource.ty].is_instance:
        where = [entry["to"] for entry in resource.internal["announced"]["at"].values()]
        attributes = {**attributes, "at": where}
    if "et" not in attributes and ctx.registry[resource.ty].is_instance:
        # An instance without a life time of its own lives as long as its parent (see Store.insert_instance).
        parent = ctx.store.get(resource.pi)
        if parent is not None and "et" in parent.attributes:
            return {**attributes, "et": parent.attributes["et"]}
    return attributes


def partial(ctx: Asking, resource: Resource, names: list[str]) -> dict[str, Any]:
    """The named attributes only; those the resource lacks are left out (TS-0004 clause 7.4, partial retrieve).

    Raises:
        BadRequest: the type has no such attribute.
    """
    table = ctx.registry[resource.ty].table(resource.root)
    attributes = representation(ctx, resource)
    for name in names:
        if name not in table.attributes and name not in attributes:
            raise BadRequest(f"atrl: {resource.root} has no attribute {name!r}")
    return {resource.root: {name: attributes[name] for name in names if name in attributes}}


def for_created(ctx: Asking, resource: Resource, rcn: int, sent: Mapping[str, Any]) -> Any:
    """The content of the answer to a CREATE.

    Args:
        ctx: the request.
        resource: what was created.
        rcn: effective result content.
        sent: the attributes as the originator sent them.
    """
    if rcn == ResultContent.NOTHING:
        return None
    if rcn == ResultContent.HIERARCHICAL_ADDRESS:
        return {"m2m:uri": resource.path}
    attributes = representation(ctx, resource)
    if rcn == ResultContent.HIERARCHICAL_ADDRESS_AND_ATTRIBUTES:
        return {"m2m:rce": {"uri": resource.path, resource.root: attributes}}
    if rcn == ResultContent.MODIFIED_ATTRIBUTES:
        changed = {name: value for name, value in attributes.items() if name not in sent or sent[name] != value}
        return {resource.root: changed}
    return {resource.root: attributes}


def for_updated(ctx: Asking, resource: Resource, rcn: int, sent: Mapping[str, Any], before: Mapping[str, Any]) -> Any:
    """The content of the answer to an UPDATE; ``before`` are the attributes as they were."""
    if rcn == ResultContent.NOTHING:
        return None
    attributes = representation(ctx, resource)
    if rcn == ResultContent.MODIFIED_ATTRIBUTES:
        changed: dict[str, Any] = {
            name: value for name, value in attributes.items() if name not in before or before[name] != value
        }
        changed.update({name: None for name in sent if name in before and name not in attributes})
        return {resource.root: changed} if changed else None
    return {resource.root: attributes}


def with_children(ctx: Asking, target: Resource, found: Found, rcn: int) -> Any:
    """The content for rcn 4, 5, 6 and 8 from what a search below the target found."""
    if rcn == ResultContent.CHILD_REFERENCES:
        return references(ctx, found)
    if rcn == ResultContent.ATTRIBUTES_AND_CHILD_REFERENCES:
        own = {**representation(ctx, target), "ch": references(ctx, found)["m2m:rrl"]["rrf"]}
        return {target.root: own}
    own = dict(representation(ctx, target)) if rcn == ResultContent.ATTRIBUTES_AND_CHILDREN else {}
    shown: dict[str, dict[str, Any]] = {target.ri: own}
    for resource in found.resources:
        parent = shown.get(resource.pi)
        if parent is None:
            # Its parent did not match, so there is no place to show it.
            continue
        attributes = dict(representation(ctx, resource))
        parent.setdefault(resource.root, []).append(attributes)
        shown[resource.ri] = attributes
    return {target.root: own}


def references(ctx: Asking, found: Found) -> dict[str, Any]:
    """Resource references (``m2m:rrl``) of what was found."""
    entries = []
    for resource in found.resources:
        entry: dict[str, Any] = {"nm": resource.rn, "typ": resource.ty, "val": address(ctx, resource)}
        definition = ctx.registry[resource.ty].table(resource.root).definition
        if definition is not None:
            entry["spid"] = str(definition)
        entries.append(entry)
    return {"m2m:rrl": {"rrf": entries}}


def uri_list(ctx: Asking, found: Found, relative_path: str = "") -> dict[str, Any]:
    """A list of addresses (``m2m:uril``) of what was found.

    Args:
        ctx: the request.
        found: the resources.
        relative_path: appended to each structured address (arp), or "".
    """
    tail = "/" + relative_path if relative_path else ""
    return {"m2m:uril": [address(ctx, resource) + tail for resource in found.resources]}


def address(ctx: Asking, resource: Resource) -> str:
    """The address shown for a resource: structured, or unstructured for drt=2; SP-relative to other CSEs."""
    local = resource.ri if ctx.request.desired_identifier == 2 else resource.path
    return f"{ctx.settings.cse_id}/{local}" if ctx.originator.startswith("/") else local
