"""What became of everything this CSE sent: a bounded log of attempts, and the dead letters (users.md, what hurts).

Kept in memory: the newest records and, apart from them, the newest notifications that were given up.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cse.ports import Send

#: records kept; beyond, the oldest go
_RECORDS = 2000
#: notifications that were given up and are kept with their content
_DEAD_LETTERS = 200
#: larger contents of dead letters are left out
_CONTENT_CHARACTERS = 16 * 1024


class Result(StrEnum):
    """What came of an attempt, or of a notification."""

    DELIVERED = "delivered"  #: the target took it
    FAILED = "failed"  #: nobody answered; it is tried again when that is worth it
    REFUSED = "refused"  #: the target answered with an error: it is not tried again
    GIVEN_UP = "given up"  #: it was tried often enough
    KEPT = "kept"  #: by its subscription (pendingNotification), or by the store for the next start
    DROPPED = "dropped"  #: too many waited for this target
    SUPERSEDED = "superseded"  #: a newer one takes its place (latestNotify)


#: results by which a notification is lost to its target
LOST = frozenset({Result.GIVEN_UP, Result.REFUSED, Result.DROPPED})


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log.

    Attributes:
        number: counts up from 1 at the start of the CSE.
        at_s: when, seconds since the epoch.
        target: the URL without user, password and query; or the identifier of who has none.
        receiver: identifier of the receiver, "" for a bare URL.
        operation: of the request.
        request_id: of the request.
        subject: resource-ID of the subscription, "" when there is none.
        result: what came of it.
        reason: in words, "" when it was delivered.
        status: response status code of the answer, 0 without one.
        attempt: how often it was tried so far.
        duration_s: how long the attempt took, in seconds.
    """

    number: int
    at_s: float
    target: str
    receiver: str
    operation: str
    request_id: str
    subject: str
    result: Result
    reason: str
    status: int
    attempt: int
    duration_s: float

    def as_json(self) -> dict[str, Any]:
        """The record for people and programs."""
        return {
            "number": self.number,
            "at": round(self.at_s, 3),
            "target": self.target,
            "receiver": self.receiver,
            "operation": self.operation,
            "rqi": self.request_id,
            "subscription": self.subject,
            "result": str(self.result),
            "reason": self.reason,
            "rsc": self.status,
            "attempt": self.attempt,
            "milliseconds": round(self.duration_s * 1000, 1),
        }


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notification that was lost to its target: the record that says why, and what it said."""

    record: Record
    content: Any

    def as_json(self) -> dict[str, Any]:
        """The record with the content."""
        return {**self.record.as_json(), "content": self.content}


class DeliveryLog:
    """The log of one CSE.

    Args:
        wall_clock: gives the seconds since the epoch.
        records: most records kept.
        dead_letters: most notifications kept that were given up.
    """

    def __init__(
        self, wall_clock: Callable[[], float], records: int = _RECORDS, dead_letters: int = _DEAD_LETTERS
    ) -> None:
        self._wall_clock = wall_clock
        self._records: deque[Record] = deque(maxlen=records)
        self._dead: deque[DeadLetter] = deque(maxlen=dead_letters)
        self._number = 0
        self._more: asyncio.Event | None = None
        #: how often each result came since the start
        self.totals: Counter[Result] = Counter()

    def add(
        self,
        send: Send,
        target: str,
        result: Result,
        reason: str = "",
        *,
        status: int = 0,
        attempt: int = 1,
        duration_s: float = 0.0,
    ) -> Record:
        """Write one line; returns it."""
        self._number += 1
        request = send.request
        record = Record(
            self._number,
            self._wall_clock(),
            shown(target),
            send.receiver,
            request.operation.name,
            request.request_id,
            send.subject,
            result,
            reason,
            status,
            attempt,
            duration_s,
        )
        self._records.append(record)
        self.totals[result] += 1
        if result in LOST:
            content = request.content if len(str(request.content)) <= _CONTENT_CHARACTERS else "(too long to keep)"
            self._dead.append(DeadLetter(record, content))
        if self._more is not None:
            self._more.set()
        return record

    def since(self, number: int, target: str = "", most: int = _RECORDS) -> list[Record]:
        """The records after ``number``, oldest first.

        Args:
            number: of the last record that is known; 0 for all.
            target: only those whose target, receiver or subscription holds this text.
            most: the newest so many.
        """
        found: list[Record] = []
        for record in reversed(self._records):
            if record.number <= number or len(found) == most:
                break
            if target in record.target or target in record.receiver or (target and target == record.subject):
                found.append(record)
        found.reverse()
        return found

    def dead_letters(self, target: str = "") -> list[DeadLetter]:
        """Notifications that were given up, oldest first."""
        return [one for one in self._dead if target in one.record.target or target in one.record.receiver]

    @property
    def last(self) -> int:
        """The number of the newest record, 0 before the first."""
        return self._number

    async def wait(self, number: int, timeout_s: float) -> None:
        """Return when there are records after ``number``, or after ``timeout_s``."""
        if self._number != number:  # after a restart it may be smaller
            return
        if self._more is None or self._more.is_set():
            self._more = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self._more.wait()
        except TimeoutError:
            return


def shown(url: str) -> str:
    """A target for a log: a URL without user, password and query, which may hold secrets."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}".partition("?")[0]
