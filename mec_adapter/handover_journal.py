"""Where moves of AEs are written down: a container of each edge CSE that takes part, for whoever shows them.

One contentInstance for each step of a move, below ``<CSEBase>/handovers``. They are written one after the other beside
the move, which never waits for them: a CSE that refuses them is left alone, and the move goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.status import Status
from mec_adapter.handover_plan import CONTAINER, CONTENT_INSTANCE, Outcome

_log = logging.getLogger("mec_adapter.handover")

#: resourceName of the container, and the label by which it is found
JOURNAL = "handovers"
LABEL = "onemec:handovers"
#: steps a CSE keeps
_KEPT = 1000
#: steps that may wait to be written; those beyond are not written
_WAITING = 10_000
_FINISH_S = 5.0


class Phase(StrEnum):
    """Where a move stands."""

    PREPARING = "PREPARING"
    PREPARED = "PREPARED"
    SWITCHING = "SWITCHING"
    CLEANING = "CLEANING"
    MOVED = "MOVED"
    FAILED = "FAILED"


class Journal:
    """Writes down steps of moves from one CSE to another.

    Args:
        keepers: clients of the CSEs that keep them, by CSE-ID, as an originator that may create containers there.
        source: CSE-ID of the CSE the AEs leave.
        target: CSE-ID of the CSE they go to.
        clock: seconds since the epoch.
    """

    def __init__(
        self, keepers: Mapping[str, Client], source: str, target: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._source, self._target, self._clock = source, target, clock
        self._began: dict[str, float] = {}
        self._queues: list[asyncio.Queue[dict[str, Any] | None]] = []
        self._writing = [asyncio.create_task(self._write(*keeper, self._queue())) for keeper in keepers.items()]

    def _queue(self) -> asyncio.Queue[dict[str, Any] | None]:
        self._queues.append(asyncio.Queue(_WAITING))
        return self._queues[-1]

    def note(self, ae_id: str, phase: Phase, outcome: Outcome | None = None) -> None:
        """Write down, soon, that the move of an AE has come to a phase; the last one has an outcome."""
        now = self._clock()
        if phase is Phase.PREPARING:
            self._began[ae_id] = now
        step: dict[str, Any] = {
            "move": f"{ae_id} {self._began.setdefault(ae_id, now):.3f}",
            "aeId": ae_id,
            "from": self._source,
            "to": self._target,
            "phase": phase,
            "at": round(now, 3),
        }
        if outcome is not None:
            step |= {
                "attach_s": round(outcome.attach_s, 6),
                "copied": outcome.copied,
                "late": outcome.late,
                "undelivered": outcome.undelivered,
                "trouble": outcome.trouble,
            }
            self._began.pop(ae_id, None)
        for queue in self._queues:
            if not queue.full():
                queue.put_nowait(step)

    async def close(self) -> None:
        """Write what waits, for a few seconds at most."""
        for queue in self._queues:
            if not queue.full():
                queue.put_nowait(None)
        _, late = await asyncio.wait(self._writing, timeout=_FINISH_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _write(self, cse_id: str, client: Client, steps: asyncio.Queue[dict[str, Any] | None]) -> None:
        is_there, trouble = False, ""
        while (step := await steps.get()) is not None:
            try:
                if not is_there:
                    await _ensure(client)
                await client.create(f"-/{JOURNAL}", CONTENT_INSTANCE, {"con": json.dumps(step)}, rcn=0)
                is_there, trouble = True, ""
            except (RequestFailed, Unreachable) as error:
                if not trouble:
                    _log.warning("moves are not written down at %s: %s", cse_id, error)
                is_there, trouble = False, str(error)


async def _ensure(client: Client) -> None:
    try:
        await client.create("-", CONTAINER, {"rn": JOURNAL, "lbl": [LABEL], "mni": _KEPT}, rcn=0)
    except RequestFailed as error:
        if error.status is not Status.CONFLICT:
            raise
