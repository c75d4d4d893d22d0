"""What a load generator counts: right and wrong answers, how long each took, and what the first wrong one said."""

from __future__ import annotations

import time
from array import array
from dataclasses import asdict, dataclass
from typing import Any

#: stands in pre-encoded requests where the number of the request goes, so that no two requests are the same
MARK = b"@@@@@@@@@@"
_DIGITS = b"%010d"
#: how much of a wrong answer is kept
_EXCERPT_BYTES = 400


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run.

    Attributes:
        rate: right answers per second, after the warm-up.
        p50_ms: median time from sending to the whole answer.
        p95_ms: 95th percentile of it.
        p99_ms: 99th percentile of it.
        right: right answers after the warm-up.
        answers: all right answers, with those of the warm-up.
        wrong: wrong answers, broken connections and requests never answered, at any time.
        first_wrong: what the first of them said.
        span_s: how long was measured.
        notified: distinct requests whose notification came, where notifications are awaited.
        lost: right answers whose notification did not come.
        repeated: notifications that came more than once.
        notified_p50_ms: median time from sending to the notification.
    """

    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    right: int
    answers: int
    wrong: int
    first_wrong: str
    span_s: float
    notified: int = 0
    lost: int = 0
    repeated: int = 0
    notified_p50_ms: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


class Tally:
    """Counts answers and times; what was answered during the warm-up is not in the rate and the percentiles.

    Args:
        warm_up_s: seconds before the counting begins.
        seconds: seconds of counting; not used when ``count`` is given.
        count: ends after so many requests instead, without warm-up; 0 for by time.
        first: number of the first request.
        rate_per_s: most requests a second; 0 for as fast as answers come.
    """

    def __init__(
        self, warm_up_s: float, seconds: float, *, count: int = 0, first: int = 1, rate_per_s: float = 0.0
    ) -> None:
        self.started = time.perf_counter()
        self.begin = self.started if count else self.started + warm_up_s
        self.end = float("inf") if count else self.begin + seconds
        self.times = array("d")
        self.wrong = 0
        self.first_wrong = ""
        self.answers = 0
        self.last = self.started
        self.rate_per_s = rate_per_s
        self._first = first
        self._number = first - 1
        self._last_number = first + count - 1 if count else 1 << 62

    def next_number(self) -> int:
        """The number of the next request, 0 when there is to be none."""
        if self._number >= self._last_number or time.perf_counter() >= self.end:
            return 0
        self._number += 1
        return self._number

    def due(self, number: int) -> float:
        """When a request of a paced run is to be sent, on the clock of ``time.perf_counter``."""
        return self.started + (number - self._first) / self.rate_per_s

    def right(self, sent: float, now: float) -> None:
        """Count a right answer."""
        self.answers += 1
        self.last = now
        if self.begin <= now < self.end:
            self.times.append(now - sent)

    def fault(self, words: bytes | str) -> None:
        """Count a wrong answer, or none."""
        self.wrong += 1
        if not self.first_wrong:
            text = words if isinstance(words, str) else words[:_EXCERPT_BYTES].decode("utf-8", "replace")
            self.first_wrong = text

    def sample(self) -> Sample:
        """What was measured."""
        times = sorted(self.times)
        count = len(times)
        span_s = (self.last if self.end == float("inf") else self.end) - self.begin
        if not count or span_s <= 0:
            return Sample(0.0, 0.0, 0.0, 0.0, 0, self.answers, self.wrong, self.first_wrong, max(span_s, 0.0))
        p50, p95, p99 = (times[min(count - 1, count * part // 100)] * 1e3 for part in (50, 95, 99))
        return Sample(count / span_s, p50, p95, p99, count, self.answers, self.wrong, self.first_wrong, span_s)


class Template:
    """Pre-encoded requests with a mark where the number goes; several are used in turn.

    Args:
        encoded: the bytes of each, with ``MARK`` any number of times.
    """

    __slots__ = ("_parts",)

    def __init__(self, encoded: list[bytes]) -> None:
        self._parts = [one.split(MARK) for one in encoded]

    def render(self, number: int) -> bytes:
        """The bytes of the request with this number."""
        parts = self._parts
        return (_DIGITS % number).join(parts[number % len(parts)])
