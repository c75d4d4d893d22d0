"""A token bucket per sender; pure, time comes in."""


class RateLimit:
    """Lets each sender do `burst` requests at once and `per_s` requests per second in the long run.

    Args:
        per_s: sustained requests per second; 0 lets everything through.
        burst: size of the bucket.
    """

    _MAX_SENDERS = 10_000

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = float(max(burst, 1))
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, sender: str, now: float) -> float:
        """Take one request out of the bucket of a sender.

        Returns:
            0 when it may pass, else for how many seconds to wait.
        """
        if self._per_s <= 0:
            return 0.0
        level, at = self._buckets.pop(sender, (self._burst, now))
        level = min(self._burst, level + max(0.0, now - at) * self._per_s)
        allowed = level >= 1
        if len(self._buckets) >= self._MAX_SENDERS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[sender] = (level - 1 if allowed else level, now)
        return 0.0 if allowed else (1 - level) / self._per_s
