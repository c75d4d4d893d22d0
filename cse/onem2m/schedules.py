"""Schedules: whether an instant lies in a scheduleEntry, and when the next one does (TS-0004 clause 6.3.3).

An entry is seven blank-separated fields: second minute hour day month weekday year.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: how far ahead a next instant is looked for, in days
_HORIZON_DAYS = 366 * 5


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


def next_covered(entry: str, now: float) -> float | None:
    """The first whole second after ``now`` that an entry covers; None when there is none within five years.

    Args:
        entry: a valid schedule entry.
        now: seconds since the epoch, UTC.
    """
    fields = entry.split(" ")
    moment = datetime.fromtimestamp(int(now) + 1, UTC)
    last = moment + timedelta(days=_HORIZON_DAYS)
    while moment <= last:
        # The coarsest field that does not fit decides how far to go on.
        weekday = (moment.weekday() + 1) % 7
        if not (
            _field(fields[6], moment.year)
            and _field(fields[4], moment.month)
            and _field(fields[3], moment.day)
            and _field(fields[5], weekday)
        ):
            moment = moment.replace(hour=0, minute=0, second=0) + timedelta(days=1)
        elif not _field(fields[2], moment.hour):
            moment = moment.replace(minute=0, second=0) + timedelta(hours=1)
        elif not _field(fields[1], moment.minute):
            moment = moment.replace(second=0) + timedelta(minutes=1)
        elif not _field(fields[0], moment.second):
            moment += timedelta(seconds=1)
        else:
            return moment.timestamp()
    return None
