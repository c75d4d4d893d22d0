"""eventConfig, type 7: an event that statistics count (TS-0001 clause 9.6.24, TS-0004 clause 7.4.22)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cse.onem2m.errors import BadRequest
from cse.onem2m.timestamps import parse_timestamp
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare

_STORAGE_BASED = 2


class EventConfigHooks(Hooks):
    """What an event of each kind needs."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse events that can never happen."""
        _check(attributes)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """The CSE names the event."""
        resource.attributes["evi"] = resource.ri

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse events that can never happen."""
        merged = {**resource.attributes, **changes}
        _check({name: value for name, value in merged.items() if value is not None})


def _check(attributes: Mapping[str, Any]) -> None:
    if attributes["evt"] == _STORAGE_BASED and "ds" not in attributes:
        raise BadRequest("an event based on storage (evt 2) needs 'ds' (dataSize): add it")
    if "erts" in attributes and "eris" in attributes:
        raise BadRequest("attributes 'erts' and 'eris' exclude each other: name types or resources")
    start, end = attributes.get("evs"), attributes.get("eve")
    if start is not None and end is not None and parse_timestamp(end) < parse_timestamp(start):
        raise BadRequest("attribute 'eve' (eventEnd) is before 'evs' (eventStart)")


TYPES = (declare("eventConfig", EventConfigHooks(), in_cse_only=True),)
