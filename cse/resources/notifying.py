"""What a subscriber's policies do to notifications on their way out (TS-0001 clause 10.2.10, TS-0004 clause 7.5.1.2).

Batches, rate limit, schedule, pending, latest, expiration counter and statistics, for subscriptions and
crossResourceSubscriptions alike. What waits is kept in ``Resource.internal`` of the subscriber, so it survives a
restart; with pendingNotification so does what was sent and not answered yet. Everything here runs inside a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.primitives import Response
from cse.onem2m.timestamps import parse_duration
from cse.ports import Resource
from cse.resources.declare import Context
from cse.resources.pending_notifications import (
    MOST_WAITING,
    PENDING,
    RECOVERY,
    RETRY_S,
    SEND_LATEST,
    closed_until,
    count,
    count_down,
    forget_pending,
    keep,
    queue,
    recover,
    resend,
    retry_pending,
)

#: kinds of timers
BATCH, WINDOW = "batch", "window"
#: with more pending than this a new event does not try the target again, the timer does
_EAGER = 10


def dispatch(ctx: Context, ri: str, body: dict[str, Any]) -> None:
    """Take one notification (the content of ``m2m:sgn``) and send, collect, keep or drop it as the policies say."""
    subscriber = ctx.store.get(ri)
    if subscriber is None:
        return
    if subscriber.attributes.get("nse"):
        subscriber = count(ctx, subscriber, "noec")
    batching = subscriber.attributes.get("bn")
    if batching is None:
        _release(ctx, subscriber, {"m2m:sgn": body})
        return
    batch = [*subscriber.internal.get("batch", ()), body][-MOST_WAITING:]
    due = subscriber.internal.get("batch_due")
    if due is None:
        due = ctx.env.now + parse_duration(batching["dur"])
        ctx.set_timer(ri, BATCH, due)
    subscriber = ctx.adjust(subscriber, {}, batch=batch, batch_due=due)
    if "num" in batching and len(batch) >= batching["num"]:
        flush_batch(ctx, subscriber)


def flush_batch(ctx: Context, subscriber: Resource) -> None:
    """Send what a batch holds, full or not."""
    batch = subscriber.internal.get("batch")
    if not batch:
        return
    ctx.set_timer(subscriber.ri, BATCH, None)
    subscriber = ctx.adjust(subscriber, {}, batch=[], batch_due=None)
    if subscriber.attributes.get("ln"):
        batch = batch[-1:]
    _release(ctx, subscriber, {"m2m:agn": {"m2m:sgn": batch}})


def _release(ctx: Context, subscriber: Resource, content: dict[str, Any]) -> None:
    """A message whose batch is complete: the schedule, then the rate limit, then out."""
    opening = closed_until(ctx, subscriber)
    if opening is not None:
        keep(ctx, subscriber, None, content, opening)
        return
    limit = subscriber.attributes.get("rl")
    if limit is not None:
        held = subscriber.internal.get("held") or []
        if held or not _within_rate(ctx, subscriber, limit):
            _hold(ctx, subscriber, held, content, limit)
            return
        subscriber = ctx.store.get(subscriber.ri) or subscriber
    _send(ctx, subscriber, content)


def _within_rate(ctx: Context, subscriber: Resource, limit: dict[str, Any]) -> bool:
    """Whether the current window has room; takes a place in it."""
    now, width = ctx.env.now, parse_duration(limit["tww"])
    start, used = subscriber.internal.get("window") or (now, 0)
    if now >= start + width:
        # Windows follow one another without gaps, whether notifications come or not.
        start, used = start + (now - start) // width * width, 0
    if used >= limit["mnn"]:
        return False
    ctx.adjust(subscriber, {}, window=[start, used + 1])
    return True


def _hold(ctx: Context, subscriber: Resource, held: list[Any], content: dict[str, Any], limit: dict[str, Any]) -> None:
    start = (subscriber.internal.get("window") or (ctx.env.now, 0))[0]
    kept = [content] if subscriber.attributes.get("ln") else [*held, content][-MOST_WAITING:]
    ctx.adjust(subscriber, {}, held=kept)
    ctx.set_timer(subscriber.ri, WINDOW, start + parse_duration(limit["tww"]))


def next_window(ctx: Context, subscriber: Resource) -> None:
    """A window of the rate limit begins: send as many of the held notifications as it takes."""
    limit = subscriber.attributes.get("rl")
    while (held := subscriber.internal.get("held")) and (limit is None or _within_rate(ctx, subscriber, limit)):
        current = ctx.store.get(subscriber.ri)
        if current is None:
            return
        _send(ctx, ctx.adjust(current, {}, held=held[1:]), held[0])
        following = ctx.store.get(subscriber.ri)
        if following is None:
            return
        subscriber = following
    if held and limit is not None:
        start = subscriber.internal["window"][0]
        ctx.set_timer(subscriber.ri, WINDOW, start + parse_duration(limit["tww"]))


def _send(ctx: Context, subscriber: Resource, content: dict[str, Any]) -> None:
    """Queue a message for every target, and count it."""
    attributes = subscriber.attributes
    if subscriber.internal.get("pending"):
        if attributes.get("pn") == SEND_LATEST:
            subscriber = forget_pending(ctx, subscriber)
        elif len(subscriber.internal["pending"]) <= _EAGER:
            subscriber = resend(ctx, subscriber)
    behind = {entry[0] for entry in subscriber.internal.get("pending") or ()}
    unreached: list[str] = []
    for target in attributes["nu"]:
        sent = False
        if target not in behind:
            subscriber, sent = queue(ctx, subscriber, target, content)
        if not sent:
            unreached.append(target)
    if attributes.get("nse"):
        subscriber = count(ctx, subscriber, "rqs", [t for t in attributes["nu"] if t not in unreached])
    for target in unreached:
        due_s = subscriber.internal.get("pending_due") or ctx.env.now + RETRY_S
        subscriber = keep(ctx, subscriber, target, content, due_s)
    count_down(ctx, subscriber)


def wants_delivered(subscriber: Resource, answer: Response | None) -> bool:
    """Whether the answer to a notification is of interest to its subscriber."""
    attributes = subscriber.attributes
    return bool(attributes.get("nse")) or "pn" in attributes or asks_removal(answer)


def asks_removal(answer: Response | None) -> bool:
    """Whether a notification target asks in its answer to be notified no more (targetRemovalRequest)."""
    if answer is None or not answer.content or not answer.status.is_success:
        return False
    content = answer.content
    inner = content.get("m2m:sgn") if isinstance(content, dict) else None
    return bool(isinstance(content, dict) and content.get("trr") is True) or bool(
        isinstance(inner, dict) and inner.get("trr") is True
    )


def statistics(targets: list[str]) -> list[dict[str, Any]]:
    """Fresh statistics for notification targets (notificationStatsInfo)."""
    return [{"tg": target, "rqs": 0, "rsr": 0, "noec": 0} for target in targets]


def policies_changed(ctx: Context, subscriber: Resource, changes: Mapping[str, Any]) -> None:
    """A subscriber was updated: what its policies no longer hold back goes out, counting begins again."""
    if "bn" in changes and subscriber.internal.get("batch"):
        if subscriber.attributes.get("bn") is None:
            flush_batch(ctx, subscriber)
        else:
            due = ctx.env.now + parse_duration(subscriber.attributes["bn"]["dur"])
            ctx.adjust(subscriber, {}, batch_due=due)
            ctx.set_timer(subscriber.ri, BATCH, due)
    current = ctx.store.get(subscriber.ri)
    if current is not None and "rl" in changes:
        next_window(ctx, ctx.adjust(current, {}, window=None))
        current = ctx.store.get(subscriber.ri)
    if current is not None and "pn" in changes and current.attributes.get("pn") is None:
        ctx.set_timer(current.ri, PENDING, None)
        current = ctx.adjust(current, {}, pending=[], pending_due=None, unanswered=[])
    if current is not None:
        _statistics_changed(ctx, current, changes)


def _statistics_changed(ctx: Context, subscriber: Resource, changes: Mapping[str, Any]) -> None:
    attributes = subscriber.attributes
    if "nse" in changes:
        if attributes.get("nse") is None:
            if "nsi" in attributes:
                ctx.adjust(subscriber, {"nsi": None})
        elif attributes["nse"]:
            ctx.adjust(subscriber, {"nsi": statistics(attributes["nu"])})
    elif "nu" in changes and "nsi" in attributes:
        known = {row["tg"]: row for row in attributes["nsi"]}
        ctx.adjust(subscriber, {"nsi": [known.get(row["tg"], row) for row in statistics(attributes["nu"])]})


def say_farewell(ctx: Context, subscriber: Resource, targets: list[str]) -> None:
    """The subscriber goes: what it holds goes out, and ``targets`` hear of its end (TS-0001 clause 10.2.10.14).

    Args:
        ctx: open transaction.
        subscriber: about to be removed.
        targets: subscriberURI and others to be told.
    """
    internal = subscriber.internal
    messages = list(internal.get("held") or ())
    batch = internal.get("batch")
    if batch:
        messages.append({"m2m:agn": {"m2m:sgn": batch[-1:] if subscriber.attributes.get("ln") else batch}})
    for content in messages:
        for target in subscriber.attributes["nu"]:
            queue(ctx, subscriber, target, content, final=True)
    for target in targets:
        send = ctx.notification(target, farewell(ctx, subscriber), subject=subscriber.ri, final=True)
        if send is not None:
            ctx.queue(send)


def farewell(ctx: Context, subscriber: Resource) -> dict[str, Any]:
    """The message that says a subscription is no more (subscriptionDeletion)."""
    body: dict[str, Any] = {"sud": True, "sur": sp_relative(subscriber.ri, ctx.settings.cse_id)}
    if "cr" in subscriber.attributes:
        body["cr"] = subscriber.attributes["cr"]
    return {"m2m:sgn": body}


#: what each kind of timer does
_DUE: dict[str, Callable[[Context, Resource], None]] = {
    BATCH: flush_batch,
    WINDOW: next_window,
    PENDING: retry_pending,
    RECOVERY: recover,
}


def timer_due(ctx: Context, subscriber: Resource, kind: str) -> None:
    """A timer of this module came (see ``Hooks.timer_due``)."""
    _DUE[kind](ctx, subscriber)


def timers_of(subscriber: Resource) -> Iterator[tuple[str, float]]:
    """The timers a stored subscriber needs after a restart (see ``Hooks.timers``)."""
    internal, attributes = subscriber.internal, subscriber.attributes
    if internal.get("batch") and internal.get("batch_due"):
        yield BATCH, internal["batch_due"]
    if internal.get("held") and "rl" in attributes:
        yield WINDOW, internal["window"][0] + parse_duration(attributes["rl"]["tww"])
    if internal.get("pending") and internal.get("pending_due"):
        yield PENDING, internal["pending_due"]
    if internal.get("unanswered"):
        yield RECOVERY, 0.0
