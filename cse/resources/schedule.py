"""schedule, type 18: when something is active (TS-0001 clause 9.6.9, TS-0004 clause 7.4.9)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import BadRequest, ContentsUnacceptable
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare

_CSE_BASE, _NODE, _SUBSCRIPTION, _CROSS_SUBSCRIPTION = 5, 14, 23, 48
_NOTIFICATION_SCHEDULE = "notificationSchedule"


class ScheduleHooks(Hooks):
    """Where there may be how many, and network coordination. Whoever is scheduled reads ``se`` itself."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """One for the CSE; a subscription's has a fixed name.

        Raises:
            BadRequest: a second one below the CSEBase, or another name below a subscription.
            ContentsUnacceptable: nco elsewhere than below a node.
            NotImplemented: nco true; there is no coordination with a network.
        """
        if parent.ty == _CSE_BASE and ctx.store.children(parent.ri, 18):
            raise BadRequest("the CSEBase has a schedule already: UPDATE that one")
        if parent.ty in (_SUBSCRIPTION, _CROSS_SUBSCRIPTION):
            name = attributes.setdefault("rn", _NOTIFICATION_SCHEDULE)
            if name != _NOTIFICATION_SCHEDULE:
                raise BadRequest(
                    f"the schedule of a subscription has the name {_NOTIFICATION_SCHEDULE!r}, not {name!r}"
                )
        _check_coordination(parent, attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same for nco."""
        parent = ctx.store.get(resource.pi)
        if parent is not None:
            _check_coordination(parent, changes)


def _check_coordination(parent: Resource, attributes: dict[str, Any]) -> None:
    if attributes.get("nco") is None:
        return
    if parent.ty != _NODE:
        raise ContentsUnacceptable("attribute 'nco' (networkCoordinated) goes with the schedule of a node only")
    if attributes["nco"]:
        raise NotSupported("network coordination of schedules (nco) is not supported by this CSE: leave it out")


TYPES = (declare("schedule", ScheduleHooks()),)
