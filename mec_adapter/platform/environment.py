"""What the registries are given instead of clocks and randomness."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Env:
    """The moment a request is served in.

    Attributes:
        now: seconds since 1970 on a clock that never steps back.
        new_id: gives a fresh identifier.
        base_url: scheme, host, port and prefix that links begin with.
    """

    now: float
    new_id: Callable[[], str]
    base_url: str


def time_stamp(now: float) -> dict[str, Any]:
    """Return a MEC TimeStamp (seconds and nanoSeconds) for a time in seconds since 1970."""
    seconds = int(now)
    return {"seconds": seconds, "nanoSeconds": int((now - seconds) * 1_000_000_000)}
