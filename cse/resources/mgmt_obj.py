"""mgmtObj, type 13: what can be managed on a node (TS-0001 clause 9.6.15 and annex D, TS-0004 clause 7.4.15, TS-0022).

The specialisations are data (``data/mgmtobjs.json``). The CSE keeps what is asked and reported; the managed entity (or
the entity that manages it) hears of both by subscription and does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cse.onem2m.errors import BadRequest
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, Specialisation, declare

_FIRMWARE, _SOFTWARE, _AREA_NETWORK, _AREA_DEVICE, _CAPABILITY, _REBOOT = 1001, 1002, 1004, 1005, 1008, 1009
_EVENT_LOG, _DATA_COLLECTION, _WIFI_CLIENT = 1010, 1021, 1028
#: registration, authenticationProfile, trustAnchorCred, MAFClientRegCfg, MEFClientRegCfg, OAuth2Authentication
_WITHOUT_TABLE = frozenset({1020, 1022, 1024, 1025, 1026, 1027})
#: actions of which one request may ask for one only
_CONTRARY = {
    _SOFTWARE: (("in", "un"), ("act", "dea")),
    _CAPABILITY: (("ena", "dis"),),
    _REBOOT: (("rbo", "far"),),
    _EVENT_LOG: (("lga", "lgo"),),
}
#: attribute that an action set to true sets, and its value
_CONSEQUENCES: dict[int, dict[str, tuple[str, Any]]] = {
    _FIRMWARE: {"ud": ("uds", {"acn": "update", "sus": 3})},
    _SOFTWARE: {
        "in": ("ins", {"acn": "install", "sus": 3}),
        "un": ("ins", {"acn": "uninstall", "sus": 3}),
        "act": ("acts", {"acn": "activate", "sus": 3}),
        "dea": ("acts", {"acn": "deactivate", "sus": 3}),
    },
    _CAPABILITY: {"ena": ("cus", True), "dis": ("cus", False)},
    _EVENT_LOG: {"lga": ("lgst", 1), "lgo": ("lgst", 2)},
}
#: members of wifiCredentials that each kind of encryption (dcfg:wifiEncryptionType) has
_PERSONAL, _ENTERPRISE = {"wpap"}, {"unm", "pwd"}
_CREDENTIALS: dict[int, set[str]] = {
    1: set(),
    2: {"wepk"},
    **dict.fromkeys((3, 4, 5), _PERSONAL),
    **dict.fromkeys((6, 7, 8), _ENTERPRISE),
}


class MgmtObjHooks(Hooks):
    """The rules of the specialisations, by mgmtDefinition."""

    def unknown_root(self, attributes: Mapping[str, Any]) -> None:
        """A definition of the standard without a table here is not supported; all others are wrong.

        Raises:
            NotSupported: registration, credentials and clients of TS-0022 that no table describes.
        """
        if any(attributes.get("mgd") == number for number in _WITHOUT_TABLE):
            raise NotSupported(
                f"management objects of definition (mgd) {attributes['mgd']} are not supported by this CSE"
            )

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse contradictory actions and settings."""
        _check(attributes["mgd"], attributes, attributes)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Actions asked for at creation have their consequences too."""
        resource.attributes.update(_consequences(resource, resource.attributes))

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """A device enters the list of its area network."""
        if resource.attributes["mgd"] == _AREA_DEVICE:
            _list_device(ctx, resource, None, resource.attributes["awi"])

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse contradictory actions and settings."""
        merged = {name: value for name, value in {**resource.attributes, **changes}.items() if value is not None}
        _check(resource.attributes["mgd"], merged, changes)

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Actions have their consequences; a device may change its area network."""
        resource = ctx.adjust(resource, _consequences(resource, changes))
        if resource.attributes["mgd"] == _AREA_DEVICE:
            _list_device(ctx, resource, before["awi"], resource.attributes["awi"])

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """A device leaves the list of its area network."""
        if resource.attributes["mgd"] == _AREA_DEVICE:
            _list_device(ctx, resource, resource.attributes["awi"], None)


def _check(definition: int, attributes: Mapping[str, Any], sent: Mapping[str, Any]) -> None:
    for one, other in _CONTRARY.get(definition, ()):
        if sent.get(one) and sent.get(other):
            raise BadRequest(f"attributes {one!r} and {other!r} ask for contrary actions: set one of them to true")
    if definition == _DATA_COLLECTION and "mesc" in attributes and "meil" in attributes:
        raise BadRequest("attributes 'mesc' and 'meil' exclude each other: send a schedule or an interval")
    credentials = sent.get("wcrds") if definition == _WIFI_CLIENT else None
    if credentials is not None:
        expected = _CREDENTIALS[credentials["enct"]]
        given = set(credentials) - {"enct"}
        if given != expected:
            wanted = " and ".join(sorted(expected)) or "no further member"
            raise BadRequest(
                f"attribute 'wcrds' with enct {credentials['enct']} must have {wanted}, not {sorted(given)}"
            )


def _consequences(resource: Resource, sent: Mapping[str, Any]) -> dict[str, Any]:
    definition = resource.attributes["mgd"]
    if definition == _REBOOT:
        # The action is over as soon as subscribers heard of it: the flags fall back.
        return {name: False for name in ("rbo", "far") if resource.attributes.get(name)}
    rules = _CONSEQUENCES.get(definition, {})
    return dict(rules[name] for name in rules if sent.get(name) is True)


def _list_device(ctx: Context, device: Resource, before: str | None, after: str | None) -> None:
    if before == after:
        return
    for network, listed in ((before, False), (after, True)):
        area = ctx.local(network) if network else None
        if area is None or area.attributes.get("mgd") != _AREA_NETWORK:
            continue
        rest = [entry for entry in area.attributes.get("ldv", ()) if entry != device.ri]
        ctx.modify(area, {"ldv": [*rest, device.ri] if listed else rest})


def _objects(row: Mapping[str, Any], read: Callable[[str], dict[str, Any]]) -> Iterable[Specialisation]:
    for one in read("mgmtobjs.json")["mgmtObjs"]:
        if "root" not in one:
            continue  # defined elsewhere: there is no table for it
        number = one["mgd"]
        rows = [
            {**attribute, "type": "constant", "value": number} if attribute["sname"] == "mgd" else attribute
            for attribute in one["attributes"]
        ]
        yield Specialisation(one["root"], rows, number, one["announcedRoot"] or "")


TYPES = (declare("mgmtObj", MgmtObjHooks(), specialise=_objects),)
