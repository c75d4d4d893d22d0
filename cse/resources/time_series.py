"""timeSeries, type 29, and timeSeriesInstance, type 30: data by the time of its generation, with a watch on gaps.

TS-0001 clause 9.6.36, 9.6.37, 10.2.4.27; TS-0004 clause 7.4.38, 7.4.39.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from cse.onem2m.errors import BadRequest, Conflict, NotAcceptable
from cse.onem2m.timestamps import absolute_time, format_timestamp
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare
from cse.resources.instances import LATEST, OLDEST, content_size, trim
from cse.resources.missing_data import MOST_POINTS, Monitor

_INSTANCE = 30
_MISSING_DATA = 8
_TIMER = "missing data"
#: shortest pause between two looks for missing points, whatever the interval
_SHORTEST_PAUSE_S = 0.05
_PARAMETERS = ("mdt", "mdn", "pei", "peid")


class TimeSeriesHooks(Hooks):
    """Counters and limits as of a container, and the detection of missing data points."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Monitoring parameters must fit each other.

        Raises:
            BadRequest: peid above half of pei; mdd without mdt, or with one that is not above peid.
        """
        attributes.setdefault("mdd", False)
        if "pei" in attributes:
            attributes.setdefault("peid", attributes["pei"] // 2)
        _check_parameters(attributes)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """A new timeSeries is empty."""
        resource.attributes["cni"] = 0
        resource.attributes["cbs"] = 0

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Parameters change only while monitoring is off, and not together with mdd.

        Raises:
            BadRequest: see above and ``check_create``.
        """
        sent = [name for name in _PARAMETERS if name in changes]
        if sent and "mdd" in changes:
            raise BadRequest(f"attribute {sent[0]!r} cannot change together with 'mdd': send two UPDATEs")
        if sent and resource.attributes.get("mdd"):
            raise BadRequest(f"attribute {sent[0]!r} cannot change while 'mdd' is true: set mdd to false first")
        if "mdd" in changes and changes["mdd"] is None:
            changes["mdd"] = False
        if "pei" in changes and "peid" not in changes:
            interval = changes["pei"]
            if interval is not None:
                changes["peid"] = interval // 2
            elif "peid" in resource.attributes:
                changes["peid"] = None
        merged = {**resource.attributes, **changes}
        _check_parameters({name: value for name, value in merged.items() if value is not None})

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Lower limits trim; monitoring starts anew, stops, or forgets what it found."""
        if "mni" in changes or "mbs" in changes:
            attributes = resource.attributes
            count, size = trim(ctx, resource, attributes["cni"], attributes["cbs"])
            if count != attributes["cni"]:
                resource = ctx.adjust(resource, {"cni": count, "cbs": size})
        if changes.get("mdd") or any(name in changes for name in _PARAMETERS):
            found: dict[str, Any] = {name: None for name in ("mdlt", "mdc") if name in resource.attributes}
            resource = ctx.adjust(resource, found, monitor=None)
        if "mdd" in changes:
            # Off: forget the watch. On: the next instance is the first one.
            ctx.adjust(resource, {}, monitor=None)
            ctx.set_timer(resource.ri, _TIMER, None)

    def child_created(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A new instance counts, may push the oldest out, and is noted by the monitoring."""
        if child.ty != _INSTANCE:
            return
        attributes = resource.attributes
        count, size = trim(ctx, resource, attributes["cni"] + 1, attributes["cbs"] + child.attributes["cs"])
        generated_s = _generated(child)
        internal: dict[str, Any] = {}
        if generated_s > resource.internal.get("latest_s", 0.0):
            internal["latest_s"] = generated_s
        if attributes.get("mdd") and "pei" in attributes:
            stored = resource.internal.get("monitor")
            monitor = Monitor(generated_s) if stored is None else Monitor.load(stored)
            if stored is None:
                ctx.set_timer(resource.ri, _TIMER, _deadline(monitor, attributes))
            else:
                monitor.arrived(generated_s, attributes["pei"] / 1000, attributes["peid"] / 1000)
            internal["monitor"] = monitor.dump()
        ctx.adjust(resource, {"cni": count, "cbs": size, "lt": ctx.env.timestamp}, **internal)

    def child_deleted(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A removed instance no longer counts."""
        if child.ty == _INSTANCE:
            attributes = resource.attributes
            count = max(0, attributes["cni"] - 1)
            size = max(0, attributes["cbs"] - child.attributes["cs"])
            ctx.adjust(resource, {"cni": count, "cbs": size, "lt": ctx.env.timestamp})

    def timers(self, ctx: Context, resource: Resource) -> Iterable[tuple[str, float]]:
        """The watch goes on after a restart."""
        stored = resource.internal.get("monitor")
        return [(_TIMER, _deadline(Monitor.load(stored), resource.attributes))] if stored else []

    def timer_due(self, ctx: Context, resource: Resource, kind: str) -> None:
        """A point should have come by now: note it when it is missing, and wait for the next."""
        stored, attributes = resource.internal.get("monitor"), resource.attributes
        if stored is None or not attributes.get("mdd"):
            return
        monitor = Monitor.load(stored)
        most = min(attributes.get("mdn", MOST_POINTS), MOST_POINTS)
        missing = monitor.overdue(ctx.env.now, attributes["pei"] / 1000, attributes["mdt"] / 1000, most)
        points = [format_timestamp(point) for point in missing]
        changes: dict[str, Any] = {}
        if points:
            listed = [*attributes.get("mdlt", ()), *points][-most:]
            changes = {"mdlt": listed, "mdc": len(listed)}
        resource = ctx.adjust(resource, changes, monitor=monitor.dump())
        ctx.set_timer(resource.ri, _TIMER, max(_deadline(monitor, attributes), ctx.env.now + _SHORTEST_PAUSE_S))
        if points:
            ctx.event(resource, _MISSING_DATA, points)


class TimeSeriesInstanceHooks(Hooks):
    """Size, age, and one instance for each dataGenerationTime."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Set contentSize and the age limit.

        Raises:
            NotAcceptable: larger than maxByteSize of the timeSeries.
            Conflict: there is an instance with this dataGenerationTime.
        """
        size = content_size(attributes["con"])
        largest = parent.attributes.get("mbs")
        if largest is not None and size > largest:
            raise NotAcceptable(
                f"the content has {size} bytes, more than the {largest} of mbs of {parent.path!r}: send less"
            )
        attributes["cs"] = size
        generated_s = absolute_time(attributes["dgt"], ctx.env.now)
        # Data mostly comes in order: only what is not later than all before needs a search.
        if generated_s <= parent.internal.get("latest_s", 0.0):
            _check_unique(ctx, parent, generated_s, attributes["dgt"])
        oldest_s = parent.attributes.get("mia")
        if oldest_s is not None:
            expiry = format_timestamp(ctx.env.now + oldest_s)
            attributes["et"] = min(attributes.get("et") or expiry, expiry)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Remember the instant that dgt names now; a relative one would name another later.

        One that is late also remembers the latest before it, so that those are in order over all instances, and is
        found by its own (see ``_check_unique``).
        """
        internal = resource.internal
        internal["generated_s"] = absolute_time(resource.attributes["dgt"], ctx.env.now)
        latest_s = parent.internal.get("latest_s", 0.0)
        if internal["generated_s"] <= latest_s:
            internal["latest_s"] = latest_s
            internal["indexed"] = _late(parent, internal["generated_s"])


def _check_parameters(attributes: Mapping[str, Any]) -> None:
    interval, tolerance = attributes.get("pei"), attributes.get("peid")
    if interval is not None and tolerance is not None and tolerance > interval / 2:
        raise BadRequest(f"attribute 'peid' {tolerance} must be at most half of 'pei' ({interval})")
    if attributes.get("mdd"):
        patience = attributes.get("mdt")
        if patience is None:
            raise BadRequest("attribute 'mdd' is true, which needs 'mdt' (missingDataDetectTimer): add it")
        if tolerance is not None and patience <= tolerance:
            raise BadRequest(f"attribute 'mdt' {patience} must be greater than 'peid' ({tolerance})")


def _check_unique(ctx: Context, parent: Resource, generated_s: float, shown: object) -> None:
    """Look for an instance of this instant without reading the others.

    One that came in order was the first to reach the instant; one that came late is indexed.
    """
    reaching = ctx.store.instances_from(parent.ri, lambda instance: _latest(instance) >= generated_s)
    for instance in (*islice(reaching, 1), *ctx.store.referring("lbl", _late(parent, generated_s))):
        if instance.attributes.get("et", "~") > ctx.env.timestamp and _generated(instance) == generated_s:
            raise Conflict(f"{parent.path!r} already has an instance with dgt {shown!r}: each has a time of its own")


def _late(parent: Resource, generated_s: float) -> str:
    # A label never has a line feed.
    return f"dgt\n{parent.ri}\n{generated_s!r}"


def _latest(instance: Resource) -> float:
    """The latest dataGenerationTime of a series when this instance came, its own included."""
    latest_s: float = instance.internal.get("latest_s", instance.internal["generated_s"])
    return latest_s


def _generated(instance: Resource) -> float:
    generated_s: float = instance.internal["generated_s"]
    return generated_s


def _deadline(monitor: Monitor, attributes: Mapping[str, Any]) -> float:
    return monitor.deadline(attributes["pei"] / 1000, attributes["mdt"] / 1000)


TYPES = (
    declare("timeSeries", TimeSeriesHooks(), virtual=(LATEST, OLDEST)),
    declare("timeSeriesInstance", TimeSeriesInstanceHooks(), is_instance=True),
)
