"""locationPolicy, type 10: where a device is, and whether inside an area (TS-0001 clause 9.6.10, 10.2.5).

Positions come from the device itself (source 2): it writes them, as GeoJSON points, into the container that the policy
creates. With geofence events (lit 2) the CSE adds an instance with the event's number when the criterion is met.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cse.onem2m.errors import BadRequest, CseError
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.geometry import Geometry, intersects, parse_geometry
from cse.onem2m.serialisation import dump_json, load_json
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare
from cse.resources.instances import content_size

_CONTAINER, _CONTENT_INSTANCE = 3, 4
_NETWORK, _DEVICE = 1, 2
_POSITION, _GEOFENCE = 1, 2
_ENTER, _LEAVE, _INSIDE, _OUTSIDE = 1, 2, 3, 4
_NETWORK_ONLY = ("lot", "lor", "aid", "rlkl", "luec")
_POINT, _POLYGON = 1, 3


class LocationPolicyHooks(Hooks):
    """The container of positions, and the events of a geofence."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Device positions only; the container's name must be free.

        Raises:
            BadRequest: attributes that do not go with the source, a target area that is no polygon, a name in use.
            NotImplemented: positions from a network or from other devices.
        """
        source = attributes["los"]
        if source == _NETWORK:
            for name in ("lot", "lor"):
                if name not in attributes:
                    raise BadRequest(f"attribute {name!r} is mandatory for network-based positions (los 1): add it")
        if source != _DEVICE:
            raise NotSupported(f"location source (los) {source} is not supported by this CSE: use 2 (device based)")
        container = attributes.get("lon")
        if container is not None and (
            container == attributes.get("rn") or ctx.store.child(parent.ri, container) is not None
        ):
            raise BadRequest(f"attribute 'lon': {parent.path!r} already has a child {container!r}: choose another name")
        attributes.setdefault("lit", _POSITION)
        _check(attributes)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """There is no status of a request to a location server."""
        resource.attributes["lost"] = ""

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Create the container beside the policy and link both."""
        own = resource.attributes
        attributes: dict[str, Any] = {"li": resource.ri}
        for name, source in (("rn", "lon"), ("acpi", "acpi"), ("et", "et")):
            if source in own:
                attributes[name] = own[source]
        container = ctx.create(parent, _CONTAINER, attributes, creator=resource.internal.get("creator", ""))
        ctx.adjust(resource, {"loi": container.ri})

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse what ``check_create`` refuses."""
        _check({name: value for name, value in changes.items() if value is not None})

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Another area begins with an unknown position."""
        if "gta" in changes:
            ctx.adjust(resource, {}, inside=None)

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """The container goes with its policy."""
        container = ctx.store.get(resource.attributes.get("loi", ""))
        if container is not None:
            ctx.delete(container)

    def data_arrived(self, ctx: Context, resource: Resource, container: Resource, instance: Resource) -> None:
        """A position came: note a geofence event as the policy's criterion says (TS-0001 clause 10.2.5.3)."""
        attributes = resource.attributes
        criterion, area = attributes.get("gec"), attributes.get("gta")
        if attributes.get("lit") != _GEOFENCE or criterion is None or area is None:
            return
        position = _position(instance.attributes["con"])
        if position is None:
            return
        inside = intersects(position, _area(area))
        was_inside = resource.internal.get("inside")
        if inside != was_inside:
            ctx.adjust(resource, {}, inside=inside)
        met = {
            _ENTER: inside and was_inside is False,
            _LEAVE: not inside and was_inside is True,
            _INSIDE: inside,
            _OUTSIDE: not inside,
        }
        if met[criterion]:
            event: dict[str, Any] = {"con": str(criterion), "cs": content_size(str(criterion))}
            oldest_s = container.attributes.get("mia")
            if oldest_s is not None:
                event["et"] = format_timestamp(ctx.env.now + oldest_s)
            ctx.create(ctx.store.get(container.ri) or container, _CONTENT_INSTANCE, event)


def _check(attributes: Mapping[str, Any]) -> None:
    for name in _NETWORK_ONLY:
        if name in attributes:
            raise BadRequest(f"attribute {name!r} goes with network-based positions (los 1) only: leave it out")
    if "gta" in attributes:
        _area(attributes["gta"])


def _area(value: Any) -> Geometry:
    """The polygon of a target area: GeoJSON as text or object, or the coordinates alone."""
    shape = _json(value)
    if isinstance(shape, dict):
        if shape.get("type") != "Polygon":
            raise BadRequest("attribute 'gta' must be a GeoJSON Polygon")
        shape = shape.get("coordinates")
    if not isinstance(shape, list):
        raise BadRequest(
            "attribute 'gta' must be a GeoJSON Polygon, e.g. "
            '\'{"type": "Polygon", "coordinates": [[[8.0, 49.0], [9.0, 49.0], [9.0, 50.0], [8.0, 49.0]]]}\''
        )
    return parse_geometry(_POLYGON, dump_json(shape).decode())


def _position(value: Any) -> Geometry | None:
    shape = _json(value)
    if not isinstance(shape, dict) or shape.get("type") != "Point":
        return None
    try:
        return parse_geometry(_POINT, dump_json(shape.get("coordinates")).decode())
    except CseError:
        return None


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return load_json(value.encode())
    except CseError:
        return None


TYPES = (declare("locationPolicy", LocationPolicyHooks()),)
