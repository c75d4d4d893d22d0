"""Answers kept for requests that come twice: at-least-once delivery with the effect of once (TS-0010 clause 6.5).

Pure: the caller says what time it is.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Generic, TypeVar

#: from this length on a request identifier is taken to be unique; shorter ones are constant in many clients
UNIQUE_ID_LENGTH = 16
Waiter = TypeVar("Waiter")
Key = bytes


@dataclass(slots=True)
class Answered(Generic[Waiter]):
    """A request that was taken, and its answer once there is one.

    Attributes:
        taken_s: when it was taken, in seconds of the caller's clock.
        mid: packet identifier it came under, 0 with QoS 0.
        payload: the answer as published, b"" for none; None while the request runs.
        waiters: later deliveries of the same request, to be answered with it.
    """

    taken_s: float
    mid: int
    payload: bytes | None = None
    waiters: list[Waiter] = field(default_factory=list)


class DuplicateFilter(Generic[Waiter]):
    """Requests of the last minutes by what they were, bounded in number, size and age.

    Args:
        entries: most requests remembered.
        size_bytes: most bytes of answers remembered.
        age_s: how long an answer is good.
    """

    def __init__(self, entries: int, size_bytes: int, age_s: float) -> None:
        self._limit, self._size_limit, self._age_s = entries, size_bytes, age_s
        # a plain dict finds its oldest entry the slower the more were taken out before it
        self._known: OrderedDict[Key, Answered[Waiter]] = OrderedDict()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    @staticmethod
    def key(topic: str, payload: bytes) -> Key:
        """What makes two deliveries one request: the topic and every byte of the primitive."""
        return blake2b(b"%b\0%b" % (topic.encode(), payload), digest_size=16).digest()  # a topic has no NUL

    def find(self, key: Key, mid: int, now_s: float, *, unique: bool, redelivered: bool) -> Answered[Waiter] | None:
        """The earlier delivery of a request, None when it must be executed.

        Args:
            key: see ``key``.
            mid: packet identifier of this delivery.
            now_s: the time.
            unique: the request says by itself that it is not another equal one (a time stamp, or a long identifier).
            redelivered: the broker says that it sent this packet before (DUP). It then has the same identifier.
        """
        known = self._known.get(key)
        if known is None or now_s - known.taken_s > self._age_s:
            return None
        return known if unique or (redelivered and mid and known.mid == mid) else None

    def add(self, key: Key, mid: int, now_s: float) -> Answered[Waiter]:
        """Remember a request that is about to be executed."""
        known = self._known
        if key in known:
            self._size_bytes -= len(known.pop(key).payload or b"")
        answered = known[key] = Answered(now_s, mid)
        while len(known) > self._limit or self._size_bytes > self._size_limit:
            _, oldest = known.popitem(last=False)
            self._size_bytes -= len(oldest.payload or b"")
        return answered

    def settle(self, answered: Answered[Waiter], payload: bytes, key: Key, *, keep: bool = True) -> list[Waiter]:
        """Take the answer of a request; returns who waits for it.

        Args:
            answered: what ``add`` gave.
            payload: the answer.
            key: see ``key``.
            keep: also for later deliveries; otherwise those are executed anew.
        """
        if self._known.get(key) is answered:
            if keep:
                self._size_bytes += len(payload)
            else:
                del self._known[key]
        answered.payload = payload
        waiters, answered.waiters = answered.waiters, []
        return waiters
