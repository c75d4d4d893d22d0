"""Notifications of subscriptions made through a fan-out point, gathered by the group (TS-0001 clause 10.2.7.10, 11).

Not a resource type of its own: ``group`` uses it. A subscription created through ``fopt`` with a forwarding address
(nfu, notificationForwardingURI) notifies the group instead of its own targets; the group puts together what its
members' hosts send for the same nfu (nar, notifyAggregation) and forwards it there.
"""

from __future__ import annotations

from typing import Any

from cse.onem2m.addressing import shorten, sp_relative
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import parse_duration
from cse.ports import Resource
from cse.resources.declare import Context

TIMER = "gathered"
_AE, _SUBSCRIPTION = 2, 23
_SUBSCRIPTION_ROOT = "m2m:sub"
#: how long notifications are gathered when nar says only how many
_DURATION = "PT1M"
#: most notifications gathered for one target; beyond, they go out early (trust.md R13)
_MOST_GATHERED = 1000


def redirected(ctx: Context, group: Resource, request: Request) -> Any:
    """The content for the members: a subscription with nfu shall notify this group."""
    content = request.content
    if request.operation is not Operation.CREATE or request.resource_type != _SUBSCRIPTION:
        return content
    attributes = content.get(_SUBSCRIPTION_ROOT) if isinstance(content, dict) else None
    if not isinstance(attributes, dict) or not attributes.get("nfu"):
        return content
    address = sp_relative(group.ri, ctx.settings.cse_id)
    return {_SUBSCRIPTION_ROOT: {**attributes, "nu": [f"{address}/fopt"], "gpi": address}}


def is_for_group(ctx: Context, group: Resource, request: Request) -> bool:
    """Whether a NOTIFY to the fan-out point comes from a CSE that hosts a member, about such a subscription."""
    if request.operation is not Operation.NOTIFY or not isinstance(request.content, dict):
        return False
    hosts = {sp_relative(member, ctx.settings.cse_id).split("/")[1] for member in group.attributes["mid"]}
    sender = shorten(request.originator, ctx.settings.sp_id, ctx.settings.cse_id)
    own = sender == ctx.settings.cse_id
    if not own and (not sender.startswith("/") or sender[1:] not in hosts):
        return False
    bodies = _bodies(request.content)
    if any("nfu" in body for body in bodies):
        return True
    # The first and the last word of a subscription do not say nfu; they are for members that can take them.
    return any("vrq" in body or "sud" in body for body in bodies) and not _has_applications(ctx, group)


def _has_applications(ctx: Context, group: Resource) -> bool:
    if group.attributes["mt"]:
        return bool(group.attributes["mt"] == _AE)
    found = (ctx.local(member) for member in group.attributes["mid"])
    return any(resource is not None and resource.ty == _AE for resource in found)


def take(ctx: Context, group: Resource) -> Response:
    """Take such a notification: what its nfu is told goes out at once, or is gathered as nar says."""
    with ctx.transaction():
        for body in _bodies(ctx.request.content):
            if "nev" in body and "nfu" in body:
                _gather(ctx, ctx.store.get(group.ri) or group, body["nfu"], body)
    return Response(Status.OK)


def _bodies(content: dict[str, Any]) -> list[dict[str, Any]]:
    single = content.get("m2m:sgn")
    several = content.get("m2m:agn")
    found = several.get("m2m:sgn") if isinstance(several, dict) else [single]
    return [body for body in found if isinstance(body, dict)] if isinstance(found, list) else []


def _gather(ctx: Context, group: Resource, target: str, body: dict[str, Any]) -> None:
    policy = group.attributes.get("nar")
    if not policy:
        _send(ctx, target, {"m2m:sgn": body})
        return
    gathered = dict(group.internal.get("gathered") or {})
    due_s, bodies = gathered.get(target) or (ctx.env.now + parse_duration(policy.get("dur", _DURATION)), [])
    bodies = [*bodies, body]
    if len(bodies) >= min(policy.get("num", _MOST_GATHERED), _MOST_GATHERED):
        gathered.pop(target, None)
        _send(ctx, target, {"m2m:agn": {"m2m:sgn": bodies}})
    else:
        gathered[target] = (due_s, bodies)
    _keep(ctx, group, gathered)


def flush(ctx: Context, group: Resource, *, everything: bool = False) -> None:
    """Send what was gathered long enough, or everything; inside a transaction."""
    left = {}
    for target, (due_s, bodies) in (group.internal.get("gathered") or {}).items():
        if everything or due_s <= ctx.env.now:
            _send(ctx, target, {"m2m:agn": {"m2m:sgn": bodies}})
        else:
            left[target] = (due_s, bodies)
    _keep(ctx, group, left)


def _keep(ctx: Context, group: Resource, gathered: dict[str, Any]) -> None:
    ctx.adjust(group, {}, gathered=gathered)
    ctx.set_timer(group.ri, TIMER, next_due(gathered))


def next_due(gathered: dict[str, Any] | None) -> float | None:
    """When the first of what is gathered must go out; None when nothing is."""
    return min((due_s for due_s, _ in (gathered or {}).values()), default=None)


def _send(ctx: Context, target: str, content: dict[str, Any]) -> None:
    send = ctx.notification(target, content)
    if send is not None:
        ctx.queue(send)
