"""flexContainer, type 28, and flexContainerInstance, type 58: customised data and its history.

TS-0001 clause 9.6.35, 9.6.68, 10.2.4.26 ff; TS-0004 clause 7.4.37; the SDT specialisations of TS-0023 are data
(``data/flexcontainers.json``): root element, containerDefinition and custom attributes of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cse.onem2m.errors import BadRequest, NotFound
from cse.onem2m.primitives import Operation
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, Specialisation, VirtualChild, declare
from cse.resources.instances import LATEST, OLDEST, content_size, trim

_INSTANCE = 58
#: attributes every flexContainer has; all others are custom ones of its specialisation
GENERIC = frozenset(
    [
        "rn",
        "ty",
        "ri",
        "pi",
        "ct",
        "lt",
        "et",
        "lbl",
        "cstn",
        "acpi",
        "at",
        "aa",
        "ast",
        "daci",
        "st",
        "cr",
        "loc",
        "cnd",
        "or",
        "cs",
        "nl",
        "mni",
        "mia",
        "mbs",
        "cbs",
        "cni",
        "fcied",
    ]
)
_LIMITS = ("mni", "mbs", "mia")
#: what beside custom attributes makes a new instance
_COPIED = ("lbl", "loc")


class FlexContainerHooks(Hooks):
    """Size of the custom attributes, and the instances kept while fcied is present."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Limits need fcied and must leave room for the content.

        Raises:
            BadRequest: mni, mbs or mia without fcied, of value 0, or mbs below the size of the content.
        """
        _check_limits(attributes, attributes)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Set contentSize, and the counters when instances are kept."""
        resource.attributes["cs"] = _size(resource.attributes)
        if "fcied" in resource.attributes:
            resource.attributes["cni"] = 0
            resource.attributes["cbs"] = 0

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """The first instance is what the flexContainer was created with."""
        if resource.attributes.get("fcied"):
            _keep(ctx, resource)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same for what an UPDATE leaves.

        Raises:
            BadRequest: see ``check_create``.
        """
        merged = {**resource.attributes, **changes}
        _check_limits({name: value for name, value in merged.items() if value is not None}, changes)

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Follow with contentSize, and with instances as fcied says (TS-0001 clause 9.6.35)."""
        touched = any(name not in GENERIC or name in _COPIED for name in changes)
        attributes = resource.attributes
        size = _size(attributes)
        if size != attributes["cs"]:
            resource = ctx.adjust(resource, {"cs": size})
        enabled = attributes.get("fcied")
        if enabled is None:
            if "fcied" in before:
                ctx.store.remove_instances(resource.ri)
                dropped = ("cni", "cbs", *_LIMITS)
                ctx.adjust(resource, {name: None for name in dropped if name in resource.attributes})
            return
        if "fcied" not in before:
            resource = ctx.adjust(resource, {"cni": 0, "cbs": 0})
        if enabled:
            if touched or not before.get("fcied"):
                _keep(ctx, resource)
                return
            count, size = trim(ctx, resource, resource.attributes["cni"], resource.attributes["cbs"])
        else:
            count, size = _only_latest(ctx, resource)
        if count != resource.attributes["cni"]:
            ctx.adjust(resource, {"cni": count, "cbs": size})

    def child_created(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A new instance counts, and may push the oldest out."""
        if child.ty == _INSTANCE:
            attributes = resource.attributes
            count, size = trim(ctx, resource, attributes["cni"] + 1, attributes["cbs"] + child.attributes["cs"])
            ctx.adjust(resource, {"cni": count, "cbs": size})

    def child_deleted(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A removed instance no longer counts."""
        attributes = resource.attributes
        if child.ty == _INSTANCE and "cni" in attributes:
            count = max(0, attributes["cni"] - 1)
            ctx.adjust(resource, {"cni": count, "cbs": max(0, attributes["cbs"] - child.attributes["cs"])})


class FlexContainerInstanceHooks(Hooks):
    """A copy of the custom attributes; its root element is that of the flexContainer with ``Inst``."""

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Take the root from the parent; there is no lastModifiedTime."""
        resource.root = parent.root + "Inst"
        resource.attributes.pop("lt", None)


def _check_limits(attributes: Mapping[str, Any], sent: Mapping[str, Any]) -> None:
    for name in _LIMITS:
        value = sent.get(name)
        if value is None:
            continue
        if "fcied" not in attributes:
            raise BadRequest(f"attribute {name!r} limits instances, which are kept with fcied only: add 'fcied': true")
        if value == 0:
            raise BadRequest(f"attribute {name!r} must be greater than 0: leave it out for no limit")
    largest = attributes.get("mbs")
    if largest is not None and "fcied" in attributes:
        size = _size(attributes)
        if size > largest:
            raise BadRequest(f"attribute 'mbs' is {largest}, less than the {size} bytes of the content: raise it")


def _size(attributes: Mapping[str, Any]) -> int:
    return sum(content_size(value) for name, value in attributes.items() if name not in GENERIC)


def _keep(ctx: Context, resource: Resource) -> None:
    attributes = resource.attributes
    copy = {name: value for name, value in attributes.items() if name not in GENERIC or name in _COPIED}
    copy["cs"] = attributes["cs"]
    copy["org"] = ctx.originator
    oldest_s = attributes.get("mia")
    if oldest_s is not None:
        copy["et"] = format_timestamp(ctx.env.now + oldest_s)
    ctx.create(resource, _INSTANCE, copy)


def _only_latest(ctx: Context, resource: Resource) -> tuple[int, int]:
    latest = ctx.store.newest(resource.ri)
    for instance in list(ctx.store.instances(resource.ri)):
        if latest is not None and instance.ri != latest.ri:
            ctx.store.remove(instance.ri)
    return (1, latest.attributes["cs"]) if latest is not None else (0, 0)


def _while_kept(virtual: VirtualChild) -> VirtualChild:
    redirect = virtual.redirect
    assert redirect is not None

    def found(ctx: Context, parent: Resource) -> Resource:
        if "fcied" not in parent.attributes:
            raise NotFound(f"{parent.path!r} keeps no instances, so it has no {virtual.name!r}: UPDATE it with fcied")
        return redirect(ctx, parent)

    return VirtualChild(virtual.name, frozenset({Operation.RETRIEVE, Operation.DELETE}), redirect=found)


def _containers(row: Mapping[str, Any], read: Callable[[str], dict[str, Any]]) -> Iterable[Specialisation]:
    common = [attribute for attribute in row["attributes"] if attribute["sname"] != "cnd"]
    (generic,) = (attribute for attribute in row["attributes"] if attribute["sname"] == "cnd")
    for one in read("flexcontainers.json")["flexContainers"]:
        definition = one["cnd"]
        fixed = {**generic, "type": "constant", "value": definition} if definition else generic
        rows = [*common, fixed, *_custom(one, instance=False)]
        yield Specialisation(one["root"], rows, definition, one["announcedRoot"] or "")


def _instances(row: Mapping[str, Any], read: Callable[[str], dict[str, Any]]) -> Iterable[Specialisation]:
    for one in read("flexcontainers.json")["flexContainers"]:
        yield Specialisation(one["root"] + "Inst", [*row["attributes"], *_custom(one, instance=True)], one["cnd"])


def _custom(one: Mapping[str, Any], *, instance: bool) -> list[dict[str, Any]]:
    never = {"create": "NP", "update": "NP"} if instance else {}
    return [{"announce": "OA", **attribute, **never} for attribute in one["attributes"]]


TYPES = (
    declare(
        "flexContainer",
        FlexContainerHooks(),
        virtual=(_while_kept(LATEST), _while_kept(OLDEST)),
        specialise=_containers,
    ),
    declare("flexContainerInstance", FlexContainerInstanceHooks(), is_instance=True, specialise=_instances),
)
