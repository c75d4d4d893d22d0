"""Names that a CSE derives from requests, in the order of time (docs/adr/0031).

Such a name is ``once-<period><digest>``: the number of the five minutes in which the request came, then what was asked.
Names compare like the times they were given at, so that a store can tell from the name alone that it must be new.
"""

from __future__ import annotations

#: how long a period is, in seconds
PERIOD_S = 300
#: what each of these names begins with, and the first text that is behind all of them
PREFIX, BEYOND = "once-", "once."


def dated_name(now: float, digest: str, *, periods_ago: int = 0) -> str:
    """The name of what was asked at a time.

    Args:
        now: seconds since the epoch, UTC.
        digest: of what was asked, in hexadecimal.
        periods_ago: take the period so many before that of ``now``.
    """
    return f"{first_name(now, periods_ago=periods_ago)}{digest}"


def first_name(now: float, *, periods_ago: int = 0) -> str:
    """What no name of the period of ``now``, or of one before it, is less than."""
    return f"{PREFIX}{int(now) // PERIOD_S - periods_ago:06x}"
