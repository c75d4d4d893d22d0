"""Notifications between subscription and delivery: sent and not answered, or kept for later (TS-0001 clause 10.2.10).

With the policy pendingNotification a message is written into ``Resource.internal`` of its subscriber in the transaction
that causes it, and leaves it when the target has answered: neither a target nor this CSE being away loses it. Messages
carry numbers, so that those that come back take their old places. Everything here runs inside a transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cse.onem2m.primitives import Response
from cse.onem2m.schedules import covers, next_covered
from cse.ports import Resource, Send
from cse.resources.declare import Context

#: the kinds of timers of this module
PENDING, RECOVERY = "pending", "recovery"
#: event categories (TS-0001 clause 8.1.2)
IMMEDIATE, LATEST = 2, 4
#: pendingNotification values (TS-0004 clause 6.3.4.2.21)
SEND_LATEST = 1
#: most notifications that wait for one subscriber; beyond, the oldest go (trust.md R13)
MOST_WAITING = 1000
#: how long until an unreachable target with pending notifications is tried again, in seconds
RETRY_S = 30.0
#: pending notifications of one target that go out together; the next follow when all of these were taken
_TOGETHER = 50
_SCHEDULE = 18


def closed_until(ctx: Context, subscriber: Resource) -> float | None:
    """When the notificationSchedule, and that of the CSE, let notifications pass again; None when they do now."""
    own = _closed_until(ctx, subscriber.ri) if subscriber.attributes.get("nec") != IMMEDIATE else None
    of_cse = _cse_closed_until(ctx)
    return own if of_cse is None else max(own or 0.0, of_cse)


def _cse_closed_until(ctx: Context) -> float | None:
    return _closed_until(ctx, ctx.settings.cse_id.lstrip("/"))


def _closed_until(ctx: Context, ri: str) -> float | None:
    """When a schedule below a resource begins again; None when there is none, or now is in it."""
    schedules = ctx.store.children(ri, _SCHEDULE)
    if not schedules:
        return None
    entries = [entry for schedule in schedules for entry in schedule.attributes["se"]["sce"]]
    if any(covers(entry, ctx.env.now) for entry in entries):
        return None
    following = [instant for entry in entries if (instant := next_covered(entry, ctx.env.now)) is not None]
    return min(following, default=float("inf"))


def queue(
    ctx: Context,
    subscriber: Resource,
    target: str,
    content: dict[str, Any],
    *,
    latest: bool = False,
    final: bool = False,
    number: int = 0,
    request_id: str = "",
) -> tuple[Resource, bool]:
    """Hand a message to the shell; returns the subscriber as stored then, and whether the target can be reached.

    Args:
        ctx: open transaction.
        subscriber: as stored now.
        target: an entry of nu.
        content: the message.
        latest: it makes older ones obsolete.
        final: nobody wants to know how it went.
        number: its place in the order of messages when it has one already.
        request_id: the one it was sent with before, by which the target knows it again; "" for the first time.
    """
    attributes = subscriber.attributes
    category = LATEST if latest or attributes.get("ln") else attributes.get("nec")
    send = ctx.notification(target, content, subject=subscriber.ri, category=category, final=final)
    if send is None:
        return subscriber, False
    if request_id:
        send = replace(send, request=replace(send.request, request_id=request_id))
    if "pn" not in attributes or final:
        ctx.queue(send)
        return subscriber, True
    send = replace(send, kept=False)
    ctx.queue(send)
    # Until it is answered it is kept: what a crash takes from the shell goes out again after the restart.
    number = number or subscriber.internal.get("number", 0) + 1
    open_ones = subscriber.internal.get("unanswered") or ()
    if category == LATEST or attributes["pn"] == SEND_LATEST:
        open_ones = [one for one in open_ones if one[0] != target]
    open_ones = [*open_ones, [target, content, number, send.request.request_id]][-MOST_WAITING:]
    newest = max(number, subscriber.internal.get("number", 0))
    return ctx.adjust(subscriber, {}, unanswered=open_ones, number=newest), True


def count_down(ctx: Context, subscriber: Resource) -> None:
    """One notification less until the subscriber goes (expirationCounter)."""
    remaining = subscriber.attributes.get("exc")
    if remaining is None:
        return
    if remaining <= 1:
        ctx.delete(subscriber)
    else:
        ctx.adjust(subscriber, {"exc": remaining - 1})


def count(ctx: Context, subscriber: Resource, what: str, targets: list[str] | None = None) -> Resource:
    """Add one to a statistic of the named targets, or of all (notificationStatsInfo)."""
    rows = subscriber.attributes.get("nsi")
    if not rows:
        return subscriber
    counted = [{**row, what: row[what] + 1} if targets is None or row["tg"] in targets else row for row in rows]
    return ctx.adjust(subscriber, {"nsi": counted})


def keep(
    ctx: Context,
    subscriber: Resource,
    target: str | None,
    content: dict[str, Any],
    retry_s: float,
    number: int = 0,
    request_id: str = "",
) -> Resource:
    """Keep a notification that cannot go out now (pendingNotification); without that policy it is dropped.

    While the CSE itself is inactive all of them are kept (TS-0001 clause 9.6.9).

    Args:
        ctx: open transaction.
        subscriber: as stored now.
        target: the entry of nu it is for; None for all.
        content: the message.
        retry_s: when to try again, seconds since the epoch.
        number: its place in the order of messages when it has one already.
        request_id: the one it was sent with, "" when it was not sent yet.
    """
    policy = subscriber.attributes.get("pn")
    if policy is None and _cse_closed_until(ctx) is None:
        return subscriber
    newest = max(number, subscriber.internal.get("number", 0) + (not number))
    entry = [target, content, number or newest, request_id]
    kept = list(subscriber.internal.get("pending") or ())
    if policy == SEND_LATEST:
        if any(one[0] == target and one[2] > entry[2] for one in kept):
            return subscriber
        kept = [one for one in kept if one[0] != target]
    place = len(kept)
    while place and kept[place - 1][2] > entry[2]:
        place -= 1
    kept.insert(place, entry)
    due = None if retry_s == float("inf") else retry_s
    if due is not None:
        ctx.set_timer(subscriber.ri, PENDING, due)
    return ctx.adjust(subscriber, {}, pending=kept[-MOST_WAITING:], pending_due=due, number=newest)


def retry_pending(ctx: Context, subscriber: Resource) -> None:
    """What is pending goes out again, unless the schedule still forbids it."""
    if not subscriber.internal.get("pending"):
        return
    opening = closed_until(ctx, subscriber)
    if opening is None:
        resend(ctx, subscriber)
    elif opening != float("inf"):
        ctx.adjust(subscriber, {}, pending_due=opening)
        ctx.set_timer(subscriber.ri, PENDING, opening)


def recover(ctx: Context, subscriber: Resource) -> None:
    """After a restart: what was sent and not answered before goes out again, in its order."""
    lost = subscriber.internal.get("unanswered") or ()
    subscriber = ctx.adjust(subscriber, {}, unanswered=[])
    for target, content, number, request_id in lost:
        subscriber = keep(ctx, subscriber, target, content, ctx.env.now, number, request_id)
    retry_pending(ctx, subscriber)


def forget_pending(ctx: Context, subscriber: Resource) -> Resource:
    """Something newer is about to go out."""
    ctx.set_timer(subscriber.ri, PENDING, None)
    return ctx.adjust(subscriber, {}, pending=[], pending_due=None)


def resend(ctx: Context, subscriber: Resource) -> Resource:
    """Queue what is pending, of each target as many as go out together."""
    pending = subscriber.internal["pending"]
    subscriber = forget_pending(ctx, subscriber)
    latest = subscriber.attributes.get("pn") == SEND_LATEST
    sent: dict[str, int] = {}
    later: list[Any] = []
    for target, content, number, *sent_as in pending:  # stores of earlier releases have no request identifier
        request_id = "".join(sent_as)
        reached: list[str] = []
        for one in subscriber.attributes["nu"] if target is None else (target,):
            sent[one] = sent.get(one, 0) + 1
            if sent[one] > _TOGETHER:
                later.append((one, content, number, request_id))
                continue
            subscriber, is_reached = queue(
                ctx, subscriber, one, content, latest=latest, number=number, request_id=request_id
            )
            if is_reached:
                reached.append(one)
            else:
                subscriber = keep(ctx, subscriber, one, content, ctx.env.now + RETRY_S, number, request_id)
        if subscriber.attributes.get("nse"):
            subscriber = count(ctx, subscriber, "rqs", reached)
        if target is None:
            # It was held back before it could be counted.
            count_down(ctx, subscriber)
            following = ctx.store.get(subscriber.ri)
            if following is None:
                return subscriber
            subscriber = following
    for target, content, number, request_id in later:
        subscriber = keep(ctx, subscriber, target, content, ctx.env.now + RETRY_S, number, request_id)
    return subscriber


def delivered(ctx: Context, subscriber: Resource, send: Send, answer: Response | None) -> None:
    """A notification was delivered, or (None) was not."""
    if answer is not None and subscriber.attributes.get("nse"):
        subscriber = count(ctx, subscriber, "rsr", [send.target])
    if "pn" not in subscriber.attributes:
        return
    number, open_ones = 0, subscriber.internal.get("unanswered") or ()
    rest = [one for one in open_ones if one[3] != send.request.request_id]
    if len(rest) < len(open_ones):
        number = next(one[2] for one in open_ones if one[3] == send.request.request_id)
        subscriber = ctx.adjust(subscriber, {}, unanswered=rest)
    newer_waits = send.request.event_category == LATEST and any(one[0] == send.target for one in rest)
    if answer is None:
        if send.target in subscriber.attributes["nu"] and not newer_waits:
            sent_as = send.request.request_id
            keep(ctx, subscriber, send.target, send.request.content, ctx.env.now + RETRY_S, number, sent_as)
        return
    # It answers again, and all that went out together is answered: the next may go.
    waits = any(entry[0] == send.target for entry in subscriber.internal.get("pending") or ())
    if waits and not any(one[0] == send.target for one in rest):
        retry_pending(ctx, subscriber)
