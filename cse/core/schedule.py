"""Schedules: whether an instant lies in a scheduleEntry (TS-0004 clause 6.3.3, m2m:scheduleEntry)."""

from __future__ import annotations

from datetime import UTC, datetime


def covers(entry: str, now: float) -> bool:
    """Whether ``now`` matches all seven fields ``second minute hour day month weekday year`` (0 = Sunday).

    Args:
        entry: a valid schedule entry.
        now: seconds since the epoch, UTC.
    """
    moment = datetime.fromtimestamp(now, UTC)
    values = (
        moment.second,
        moment.minute,
        moment.hour,
        moment.day,
        moment.month,
        (moment.weekday() + 1) % 7,
        moment.year,
    )
    fields = entry.split(" ")
    return len(fields) == 7 and all(_field(field, value) for field, value in zip(fields, values, strict=True))


def _field(field: str, value: int) -> bool:
    for part in field.split(","):
        span, _, step_text = part.partition("/")
        step = int(step_text) if step_text else 1
        if span == "*":
            low, high = 0, value
        else:
            start, _, end = span.partition("-")
            low = int(start)
            high = int(end) if end else (value if step_text else low)
        if low <= value <= high and step > 0 and (value - low) % step == 0:
            return True
    return False
