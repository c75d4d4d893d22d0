"""Whether a peer answers, shared by all who speak to it: when it is gone, one of them tries and the others wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

_log = logging.getLogger("mec_adapter.link")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
#: pauses grow with the time a peer has been away, so that little of it is added when it comes back
_SHARE_OF_DOWNTIME = 0.25


class Link:
    """The way to one peer.

    Args:
        name: the peer in words, for the log.
        clock: monotonic seconds.
        chance: gives random numbers from 0 to 1, for jitter.
        longest_pause_s: between two attempts.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        longest_pause_s: float = _LONGEST_PAUSE_S,
    ) -> None:
        self._name = name
        self._clock = clock
        self._chance = chance
        self._longest_pause_s = longest_pause_s
        self._down_since: float | None = None
        self._next_at = 0.0
        self._up = asyncio.Event()
        self._up.set()
        self._probing = asyncio.Lock()
        self.reason = ""

    @property
    def up(self) -> bool:
        """Whether the peer answered when it was last asked."""
        return self._down_since is None

    async def turn(self) -> None:
        """Return when the caller may try: at once while the peer answers, else one caller after each pause."""
        while not self.up:
            async with self._probing:
                pause = self._next_at - self._clock()
                if pause > 0 and not self.up:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._up.wait()
                if not self.up:
                    self._next_at = self._clock() + self._pause()
                return

    def worked(self) -> None:
        """The peer answered."""
        if self._down_since is not None:
            _log.info("%s answers again after %.1f s", self._name, self._clock() - self._down_since)
            self._down_since = None
            self.reason = ""
            self._up.set()

    def failed(self, reason: str) -> None:
        """The peer did not answer."""
        if self._down_since is None:
            self._down_since = self._clock()
            self._up.clear()
            _log.warning("%s does not answer (%s): trying again until it does", self._name, reason)
        self.reason = reason
        self._next_at = self._clock() + self._pause()

    def _pause(self) -> float:
        away = self._clock() - self._down_since if self._down_since is not None else 0.0
        pause = min(self._longest_pause_s, max(_FIRST_PAUSE_S, away * _SHARE_OF_DOWNTIME))
        return pause * (0.75 + 0.5 * self._chance())
