"""Whether an exposed AE is alive, judged by what its CSE tells over oneM2M alone (TS-0004 clause 7.3.1).

Three signs: it changed something not long ago; a notification sent to it through its CSE is answered from its points
of access; and its requestReachability, which an AE on MQTT can have its broker clear with a last will (the mapping
reads that one itself).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cse.client import Client, Unreachable
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status

_log = logging.getLogger("mec_adapter.liveness")

#: answers by which a CSE says that the AE did not answer
_SILENT = frozenset({Status.TARGET_NOT_REACHABLE, Status.REQUEST_TIMEOUT, Status.REMOTE_ENTITY_NOT_REACHABLE})
#: how long an AE may take to answer; the CSE is asked to say so when the time is over
_PATIENCE_S = 5.0
#: unanswered probes in a row after which an AE is judged dead
_ENOUGH = 2


@dataclass(slots=True)
class _Seen:
    """What probing one AE has shown."""

    next_at: float = 0.0
    unanswered: int = 0
    failed_at: float = 0.0
    probing: asyncio.Task[None] | None = None


class Liveness:
    """Judges AEs.

    Args:
        edge: client at their CSE; it needs NOTIFY on an AE to probe it.
        silent_after_s: without change for this long an AE is judged dead; 0 never judges by that.
        probe_s: how often an AE with points of access is sent a notification; 0 never sends one.
        changed: called when an AE answers again, or no longer.
        clock: seconds since the epoch, as the CSE counts them.
    """

    def __init__(
        self,
        edge: Client,
        silent_after_s: float,
        probe_s: float,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._edge, self._silent_after_s, self._probe_s = edge, silent_after_s, probe_s
        self._changed, self._clock = changed, clock
        self._seen: dict[str, _Seen] = {}

    def alive(self, ae: Mapping[str, Any], path: str, active_at: float) -> bool:
        """Whether an AE is judged alive; a probe that is due is sent meanwhile, and tells the next time.

        Args:
            ae: its attributes.
            path: its structured CSE-relative address.
            active_at: when it last changed anything, seconds since the epoch.
        """
        now = self._clock()
        if self._silent_after_s and now - active_at > self._silent_after_s:
            return False
        if not self._probe_s or not ae.get("poa") or ae.get("rr") is False:
            self._seen.pop(path, None)
            return True
        seen = self._seen.setdefault(path, _Seen())
        if now >= seen.next_at and seen.probing is None:
            seen.next_at = now + self._probe_s
            seen.probing = asyncio.create_task(self._probe(path, seen), name=f"probe {path}")
        return seen.unanswered < _ENOUGH or active_at > seen.failed_at

    async def _probe(self, path: str, seen: _Seen) -> None:
        """Ask an AE to confirm a subscription: whatever it answers, it is there."""
        question = {"m2m:sgn": {"vrq": True, "sur": f"{path}/liveness", "cr": self._edge.originator}}
        before = seen.unanswered
        request = Request(Operation.NOTIFY, path, content=question, request_expiration=int(_PATIENCE_S * 1000))
        try:
            response = await self._edge.request(request, timeout_s=2 * _PATIENCE_S)
        except Unreachable:
            return  # the CSE is away: that says nothing of its AEs
        finally:
            seen.probing = None
        if response.status in _SILENT:
            seen.unanswered += 1
            seen.failed_at = self._clock()
            if seen.unanswered < _ENOUGH:
                seen.next_at = 0.0  # once may be chance
        else:
            seen.unanswered = 0
        if (before < _ENOUGH) != (seen.unanswered < _ENOUGH):
            _log.info("%s %s", path, "answers again" if before else "does not answer at its points of access")
            self._changed()

    def forget(self, path: str) -> None:
        """An AE is gone."""
        seen = self._seen.pop(path, None)
        if seen is not None and seen.probing is not None:
            seen.probing.cancel()

    async def stop(self) -> None:
        """End the probes that are under way."""
        tasks = [seen.probing for seen in self._seen.values() if seen.probing is not None]
        self._seen.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
