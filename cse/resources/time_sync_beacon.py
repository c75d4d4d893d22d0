"""timeSyncBeacon, type 60: tells entities the time, now and then or when their clock is off (TS-0001 clause 9.6.60)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import BadRequest
from cse.onem2m.timestamps import is_timestamp, parse_duration, parse_timestamp
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare

_NUMBER = 60
_PERIODIC, _LOSS = 1, 2
#: beaconInterval and beaconThreshold where none is given
_INTERVAL, _THRESHOLD = "PT1H", "PT1M"
_BEAT = "beacon"


class TimeSyncBeaconHooks(Hooks):
    """Periodic beacons on a timer; others when a request shows a clock that is off."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Fill in the defaults of the criteria chosen, refuse what belongs to the other."""
        attributes.setdefault("bcnc", _PERIODIC)
        _check(attributes)
        if attributes["bcnc"] == _PERIODIC:
            attributes.setdefault("bcni", _INTERVAL)
        else:
            attributes.setdefault("bcnt", _THRESHOLD)

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """The first beacon comes after one interval."""
        _schedule(ctx, resource)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Other criteria take other parameters."""
        before = resource.attributes
        wanted = changes.get("bcnc", before["bcnc"])
        if wanted != before["bcnc"]:
            for name in ("bcni",) if wanted == _LOSS else ("bcnt", "bcnr"):
                if name in before:
                    changes.setdefault(name, None)
        if wanted == _PERIODIC and not changes.get("bcni", before.get("bcni")):
            changes["bcni"] = _INTERVAL
        if wanted == _LOSS and not changes.get("bcnt", before.get("bcnt")):
            changes["bcnt"] = _THRESHOLD
        _check({name: value for name, value in {**before, **changes}.items() if value is not None})

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """A new interval begins now."""
        if {"bcnc", "bcni"} & changes.keys():
            _schedule(ctx, resource)

    def timer_due(self, ctx: Context, resource: Resource, kind: str) -> None:
        """An interval is over."""
        _send(ctx, resource)
        _schedule(ctx, resource)

    def timers(self, ctx: Context, resource: Resource) -> Iterator[tuple[str, float]]:
        """The next beacon."""
        if resource.attributes["bcnc"] == _PERIODIC:
            yield _BEAT, resource.internal.get("next", ctx.env.now)

    def request_seen(self, ctx: Context) -> None:
        """A request says when it was made: its originator may need a beacon (loss of synchronisation)."""
        made = ctx.request.originating_time
        for beacon in ctx.store.of_type(_NUMBER):
            attributes, cse_id = beacon.attributes, ctx.settings.cse_id
            if attributes["bcnc"] != _LOSS or made is None:
                continue
            if sp_relative(attributes["bcnr"], cse_id) != sp_relative(ctx.originator, cse_id):
                continue
            if is_timestamp(made) and abs(parse_timestamp(made) - ctx.env.now) > parse_duration(attributes["bcnt"]):
                _send(ctx, beacon)


def _check(attributes: Mapping[str, Any]) -> None:
    criteria = attributes["bcnc"]
    if criteria not in (_PERIODIC, _LOSS):
        raise BadRequest("attribute 'bcnc' must be 1 (periodic) or 2 (loss of synchronisation)")
    if not attributes["bcnu"]:
        raise BadRequest("attribute 'bcnu' must name at least one entity to be told the time")
    for name in ("bcnt", "bcnr") if criteria == _PERIODIC else ("bcni",):
        if name in attributes:
            raise BadRequest(f"attribute {name!r} does not go with bcnc {criteria}: leave it out")
    if criteria == _LOSS and "bcnr" not in attributes:
        raise BadRequest("bcnc 2 needs 'bcnr', the AE-ID or CSE-ID whose clock is watched")
    for name in ("bcni", "bcnt"):
        if name in attributes and parse_duration(attributes[name]) <= 0:
            raise BadRequest(f"attribute {name!r} must be longer than nothing, e.g. PT1M")


def _schedule(ctx: Context, beacon: Resource) -> None:
    due = None
    if beacon.attributes["bcnc"] == _PERIODIC:
        due = ctx.env.now + parse_duration(beacon.attributes["bcni"])
    ctx.adjust(beacon, {}, next=due)
    ctx.set_timer(beacon.ri, _BEAT, due)


def _send(ctx: Context, beacon: Resource) -> None:
    content = {"m2m:tsbn": {"tbr": sp_relative(beacon.ri, ctx.settings.cse_id), "ctm": ctx.env.timestamp}}
    for target in beacon.attributes["bcnu"]:
        send = ctx.notification(target, content, subject=beacon.ri)
        if send is not None:
            ctx.queue(send)


TYPES = (declare("timeSyncBeacon", TimeSyncBeaconHooks()),)
