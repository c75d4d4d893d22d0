"""What a device has still to deliver: a bounded buffer of readings, and the count of what became of them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """One contentInstance to be.

    Attributes:
        name: its resourceName, the same at every attempt, so that the CSE stores it once.
        content: its ``con``.
    """

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """How far a device is.

    Attributes:
        name: resourceName of its AE.
        kind: its kind.
        binding: what it speaks.
        state: ``starting``, ``running``, ``away`` (the CSE does not answer), ``refused`` or ``stopped``.
        sent: readings sent at least once.
        acknowledged: readings the CSE has stored, each once.
        failed: readings the CSE refused, or never acknowledged until the device had to stop.
        dropped: readings never sent, because the buffer was full or the device had to stop.
        waiting: readings in the buffer.
        last_error: in words, "" while there was none.
    """

    name: str
    kind: str
    binding: str
    state: str = "starting"
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0
    last_error: str = ""


class Outbox:
    """Readings in the order they were taken. When it is full the oldest gives way.

    Args:
        prefix: what the names of readings begin with; unique to this run of this device.
        limit: most readings kept.
    """

    def __init__(self, prefix: str, limit: int) -> None:
        self._prefix, self._limit = prefix, limit
        self._readings: deque[Reading] = deque()
        self._taken = 0
        self._filled = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._readings)

    def add(self, content: str) -> None:
        """Number a reading and keep it."""
        if len(self._readings) >= self._limit:
            self._readings.popleft()
            self.dropped += 1
        self._readings.append(Reading(f"{self._prefix}-{self._taken:06d}", content))
        self._taken += 1
        self._filled.set()

    def take(self) -> Reading | None:
        """The oldest reading, which is no longer kept here; None when there is none."""
        if not self._readings:
            self._filled.clear()
            return None
        return self._readings.popleft()

    def wake(self) -> None:
        """Let ``wait`` return although nothing was added."""
        self._filled.set()

    async def wait(self) -> None:
        """Return when there may be something to take."""
        await self._filled.wait()

    def drop_rest(self) -> None:
        """Give up what is left."""
        self.dropped += len(self._readings)
        self._readings.clear()
