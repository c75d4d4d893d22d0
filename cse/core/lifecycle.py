"""How resources come, change and go, whoever caused it: request, hook or expiry (TS-0004 clause 7.3.3).

Everything here runs inside a transaction and has been checked before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cse.core.announcements import Announcing, changed, gone
from cse.core.notifications import EventType, notify
from cse.onem2m.errors import BadRequest
from cse.onem2m.timestamps import format_timestamp, normalise_timestamp
from cse.ports import Resource
from cse.resources.declare import ResourceType


class Changing(Announcing, Protocol):
    """What these procedures need of a request."""


def expiry_for(ctx: Changing, asked: str | None, parent: Resource) -> str:
    """The et a new resource gets: what was asked, cut to the CSE's maximum and to the parent's et.

    Raises:
        BadRequest: it lies in the past.
    """
    settings, now = ctx.settings, ctx.env.now
    if asked is None:
        expiry = format_timestamp(now + settings.default_expiration_s)
    else:
        expiry = normalise_timestamp(asked)
        if expiry <= ctx.env.timestamp:
            raise BadRequest(f"attribute 'et' {asked!r} lies in the past: send a later UTC time or leave it out")
        expiry = min(expiry, format_timestamp(now + settings.max_expiration_s))
    limit = parent.attributes.get("et")
    return min(expiry, limit) if limit is not None else expiry


def store_new(
    ctx: Changing,
    parent: Resource,
    resource_type: ResourceType,
    root: str,
    attributes: dict[str, Any],
    creator: str,
) -> Resource:
    """Store a new resource below ``parent`` with all that follows from it: counters, notifications.

    Args:
        ctx: the request; open transaction.
        parent: as stored now.
        resource_type: of the new resource.
        root: its root element; "" for the type's only one.
        attributes: checked attributes; ``rn`` and ``et`` optional, ``cr`` null means "fill in".
        creator: originator of the creation in local form, "" for the CSE itself.
    """
    store, hooks = ctx.store, resource_type.hooks
    parent_hooks = ctx.registry[parent.ty].hooks
    is_instance = resource_type.is_instance
    ri = store.new_instance_id(parent.ri) if is_instance else hooks.resource_id(ctx, attributes)
    rn = attributes.get("rn") or (ri if is_instance else f"{resource_type.short_name}_{ri}")
    now = ctx.env.timestamp
    body: dict[str, Any] = {"rn": rn, "ty": resource_type.number, "ri": ri, "pi": parent.ri, "ct": now, "lt": now}
    asked = attributes.get("et")
    if not is_instance:
        body["et"] = expiry_for(ctx, asked, parent)
    for name, value in attributes.items():
        if name != "rn" and name != "et" and value is not None:
            body[name] = value
    if is_instance and asked is not None:
        body["et"] = expiry_for(ctx, asked, parent)
    if "cr" in attributes and attributes["cr"] is None:
        body["cr"] = creator or ctx.settings.cse_id
    if resource_type.has_state_tag:
        body.setdefault("st", 0)
    resource = Resource(
        ri,
        parent.ri,
        rn,
        resource_type.number,
        root or resource_type.root,
        f"{parent.path}/{rn}",
        body,
        {"creator": creator} if creator and not is_instance else {},
    )
    hooks.creating(ctx, parent, resource)
    if is_instance:
        store.insert_instance(resource)
    else:
        store.insert(resource)
    hooks.created(ctx, parent, resource)
    parent_hooks.child_created(ctx, store.get(parent.ri) or parent, resource)
    _observe(ctx, parent)
    notify(ctx, parent, EventType.CHILD_CREATED, resource)
    changed(ctx, resource)
    return resource


def apply_changes(ctx: Changing, resource: Resource, changes: Mapping[str, Any]) -> Resource:
    """Give a plain resource new attribute values (None removes) with all that follows: lt, st, notifications."""
    before = resource.attributes
    after = {**before, **changes}
    for name, value in changes.items():
        if value is None:
            del after[name]
    after["lt"] = ctx.env.timestamp
    resource_type = ctx.registry[resource.ty]
    if resource_type.has_state_tag and "st" in before:
        after["st"] = before["st"] + 1
    stored = ctx.store.replace(resource.ri, after)
    resource_type.hooks.updated(ctx, stored, before, changes)
    # The hook may have stored further changes of the same resource.
    current = ctx.store.get(resource.ri) or stored
    _observe(ctx, current)
    notify(ctx, current, EventType.UPDATE, current, changes)
    changed(ctx, current)
    return current


def _observe(ctx: Changing, resource: Resource) -> None:
    """Tell the types that watch other resources of a change (actions come before notifications)."""
    store = ctx.store
    for number, observer in ctx.registry.change_observers:
        if store.has_type(number) and (current := store.get(resource.ri)) is not None:
            observer(ctx, current)


def delete_tree(ctx: Changing, resource: Resource) -> None:
    """Remove a resource with all below it, notifying as each goes; its parent hears of the top one only."""
    store, registry = ctx.store, ctx.registry
    doomed: list[Resource] = []
    stack = [resource]
    while stack:
        current = stack.pop()
        doomed.append(current)
        if not registry[current.ty].is_instance:
            stack.extend(store.children(current.ri))
    for current in doomed:
        # Before anything is gone, so that every subscription of the subtree still stands.
        notify(ctx, current, EventType.DELETE, current)
        gone(ctx, current)
    observers = [observer for t in registry if (observer := t.hooks.resource_gone) is not None]
    for current in reversed(doomed):
        if store.get(current.ri) is None:
            continue  # a subscription that counted down to its own removal just now
        registry[current.ty].hooks.deleting(ctx, current)
        store.remove(current.ri)
        for observer in observers:
            observer(ctx, current)
    parent = store.get(resource.pi)
    if parent is not None:
        registry[parent.ty].hooks.child_deleted(ctx, parent, resource)
        _observe(ctx, parent)
        notify(ctx, store.get(parent.ri) or parent, EventType.CHILD_DELETED, resource)
