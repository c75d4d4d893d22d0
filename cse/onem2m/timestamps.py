"""oneM2M time: absolute timestamps, relative timestamps and durations (TS-0004 clause 6.3.3).

Inside the CSE time is a float of seconds since the epoch (UTC) or the wire string. Wire strings of one form compare
like the instants they name, so expiry checks need no parsing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cse.onem2m.errors import BadRequest

_ABSOLUTE = re.compile(r"\d{8}T\d{6}(?:[,.]\d{1,6})?", re.ASCII)
_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: the last instant the wire form can name; later instants are cut to it
_LATEST_S = 253402300799.0


def format_timestamp(seconds: float) -> str:
    """The wire form ``YYYYMMDDThhmmss,ffffff`` of an instant (TS-0004 clause 6.3.3, m2m:timestamp).

    Args:
        seconds: seconds since the epoch, UTC.
    """
    whole = int(seconds)
    if whole >= _LATEST_S:
        return _whole_second(int(_LATEST_S)) + ",000000"
    return f"{_whole_second(whole)},{int((seconds - whole) * 1_000_000):06d}"


@lru_cache(maxsize=64)
def _whole_second(seconds: int) -> str:
    # Requests of one second share this part; formatting it costs ten times the rest.
    moment = _EPOCH + timedelta(seconds=seconds)
    return (
        f"{moment.year:04d}{moment.month:02d}{moment.day:02d}T{moment.hour:02d}{moment.minute:02d}{moment.second:02d}"
    )


def is_timestamp(text: str) -> bool:
    """Whether ``text`` is an absolute timestamp that names a real instant."""
    if not _ABSOLUTE.fullmatch(text):
        return False
    try:
        parse_timestamp(text)
    except BadRequest:
        return False
    return True


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch of an absolute timestamp.

    Raises:
        BadRequest: ``text`` is not ``YYYYMMDDThhmmss[,ffffff]``, or names no real instant.
    """
    if not _ABSOLUTE.fullmatch(text):
        raise BadRequest(f"{text!r} is not a timestamp: send YYYYMMDDThhmmss or YYYYMMDDThhmmss,ffffff in UTC")
    try:
        whole = datetime.strptime(text[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise BadRequest(f"{text!r} names no real date and time: send YYYYMMDDThhmmss in UTC") from error
    fraction = float("0." + text[16:]) if len(text) > 15 else 0.0
    return whole.timestamp() + fraction


def normalise_timestamp(text: str) -> str:
    """An absolute timestamp in the form this CSE compares: a comma before the fraction.

    Raises:
        BadRequest: not a timestamp.
    """
    parse_timestamp(text)
    return text.replace(".", ",")


def parse_duration(text: str) -> float:
    """Seconds of an ISO 8601 duration; months count 30 days and years 365 (xs:duration in TS-0004 clause 6.3.2).

    Raises:
        BadRequest: not a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or text.endswith(("P", "T")):
        raise BadRequest(f"{text!r} is not a duration: send e.g. PT10S or P1DT2H")
    years, months, weeks, days, hours, minutes = (int(part) if part else 0 for part in match.groups()[:6])
    seconds = float((match.group(7) or "0").replace(",", "."))
    return (years * 365 + months * 30 + weeks * 7 + days) * 86400.0 + hours * 3600.0 + minutes * 60.0 + seconds


def absolute_time(value: object, now: float) -> float:
    """Seconds since the epoch of an absRelTimestamp (TS-0004 clause 6.3.3).

    Args:
        value: an absolute timestamp, an integer (or numeric string) of milliseconds from ``now``, or an ISO 8601
            duration (accepted as peers do).
        now: the instant of reception, seconds since the epoch.

    Raises:
        BadRequest: none of these.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return now + value / 1000.0
    if isinstance(value, str):
        if value.lstrip("+-").isdigit() and value.isascii():
            return now + int(value) / 1000.0
        if value.startswith("P"):
            return now + parse_duration(value)
        return parse_timestamp(value)
    raise BadRequest(f"{value!r} is not a time: send YYYYMMDDThhmmss, or milliseconds from now as an integer")
