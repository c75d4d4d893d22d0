"""How often notification targets may be asked whether they want to be notified (trust.md R12; TS-0001 clause 10.2.10).

Who subscribes names the targets, so without a bound a CSE could be made to shower somebody with verification requests.
Pure but for waiting: the time is handed in. Targets on this machine are not counted, nobody else is hit there.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from cse.onem2m.addressing import is_loopback
from cse.onem2m.errors import SubscriptionVerificationInitiationFailed
from cse.ports import Send

#: targets whose pace is remembered, those asked longest ago are forgotten first
_REMEMBERED = 10_000
#: schemes of URLs whose host is a broker: who is asked stands in the path
_BROKERS = frozenset({"mqtt", "mqtts"})


@dataclass(frozen=True, slots=True)
class VerificationLimits:
    """How often targets are asked.

    Attributes:
        in_flight: verifications of one creator of subscriptions at a time.
        rate_per_s: verifications a second of one target.
        burst: so many of one target may come at once, after a time without.
        wait_s: longest wait for a turn.
        loopback: count targets on this machine too.
    """

    in_flight: int = 5
    rate_per_s: float = 1.0
    burst: int = 10
    wait_s: float = 5.0
    loopback: bool = False


class Verifications:
    """Gives verification requests their turn, or none.

    Args:
        limits: how often.
        clock: gives monotonic seconds.
    """

    def __init__(self, limits: VerificationLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._running: Counter[str] = Counter()
        #: target -> when it could be asked again if there were no bursts
        self._next_s: OrderedDict[str, float] = OrderedDict()
        #: verifications that were refused since the start
        self.refused = 0

    @asynccontextmanager
    async def turn(self, creator: str, send: Send) -> AsyncIterator[None]:
        """Wait until a verification may be sent; it counts for as long as it lasts.

        Args:
            creator: who subscribes.
            send: the verification request.

        Raises:
            SubscriptionVerificationInitiationFailed: it would have to wait too long.
        """
        target = target_of(send)
        if not self._limits.loopback and is_here(target):
            yield
            return
        if self._running[creator] >= self._limits.in_flight:
            self._refuse(f"{self._limits.in_flight} targets of yours are being verified: wait for those answers")
        self._running[creator] += 1
        try:
            wait_s = self._take_turn(target)
            if wait_s:
                await asyncio.sleep(wait_s)
            yield
        finally:
            self._running[creator] -= 1
            if not self._running[creator]:
                del self._running[creator]

    def _take_turn(self, target: str) -> float:
        """Seconds until it is the turn of one more verification of a target."""
        interval_s, now = 1.0 / self._limits.rate_per_s, self._clock()
        slack_s = (self._limits.burst - 1) * interval_s
        due_s = max(now, self._next_s.get(target, now))
        wait_s = max(0.0, due_s - slack_s - now)
        if wait_s > self._limits.wait_s:
            self._refuse(f"{target!r} is asked too often: subscribe with it again in {wait_s:.0f} s")
        self._next_s[target] = due_s + interval_s
        self._next_s.move_to_end(target)
        if len(self._next_s) > _REMEMBERED:
            self._next_s.popitem(last=False)
        return wait_s

    def _refuse(self, words: str) -> None:
        self.refused += 1
        raise SubscriptionVerificationInitiationFailed(f"the notification target was not verified, as {words}")


def creator_of(send: Send) -> str:
    """Who makes the subscription that a request verifies a target of; "" for any other request."""
    content = send.request.content
    notification = content.get("m2m:sgn") if isinstance(content, dict) else None
    if not isinstance(notification, dict) or not notification.get("vrq"):
        return ""
    return str(notification.get("cr") or send.request.originator)


def target_of(send: Send) -> str:
    """Who is hit by a request: the host of its URL, for brokers the URL itself, else the receiver."""
    if not send.urls:
        return send.receiver
    url = send.urls[0]
    try:
        parts = urlsplit(url)
        return url if parts.scheme in _BROKERS else parts.hostname or url
    except ValueError:
        return url


def is_here(target: str) -> bool:
    """Whether a target is this machine."""
    host = target
    if "://" in target:
        host = urlsplit(target).hostname or ""
    return is_loopback(host)
