"""``onemec up --check``: run for a time, let everything finish, then compare end to end what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from onemec.stack.audit import Audit, Verdict
from onemec.stack.observe import Observer
from onemec.stack.parts import EDGE_NAME
from onemec.stack.supervisor import PartFailed, Supervisor

#: devices may take this long to finish what they began
_FINISH_S = 25.0
#: after that, queues may take this long to run empty
DRAIN_S = 20.0
_REACTION_S = 3.0
_LOOK_S = 0.5
_TELL_S = 5.0


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What to do.

    Attributes:
        duration_s: how long devices post, in seconds after everything was ready.
        kill_at_s: when the cloud is killed; None for never.
        restart_at_s: when it is started again.
    """

    duration_s: float
    kill_at_s: float | None = None
    restart_at_s: float = 0.0


class Interrupted(Exception):
    """Somebody pressed Ctrl-C before the end."""


class Check:
    """One run.

    Args:
        plan: what to do.
        supervisor: has the running stack.
        observer: looks at it.
        say: prints a line of progress.
    """

    def __init__(self, plan: CheckPlan, supervisor: Supervisor, observer: Observer, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._observer = observer
        self._say = say
        self._started_at = 0.0

    async def run(self, stop: asyncio.Event) -> Verdict:
        """Run it and compare.

        Raises:
            Interrupted: ``stop`` was set before the end.
            PartFailed: a part ended that nobody had ended.
        """
        self._started_at = time.monotonic()
        await self._let_run(stop)
        await self._observer.stop_commanding()
        await self._let_react()
        self._say("stopping the devices: they finish what they have begun")
        finished = await self._supervisor.finish("devices", _FINISH_S)
        audit = Audit(self._observer)
        drained_s = await self._drain(audit)
        verdict = await audit.verdict()
        if not finished:
            verdict.fail("devices end", f"they did not finish within {_FINISH_S:g} s")
        self._say(f"queues empty after {drained_s:.1f} s" if drained_s < DRAIN_S else f"waited {DRAIN_S:g} s")
        return verdict

    # --- the run ---------------------------------------------------------------------------------------------------

    async def _let_run(self, stop: asyncio.Event) -> None:
        killed = restarted = self._plan.kill_at_s is None
        next_word_s = _TELL_S
        while (elapsed_s := time.monotonic() - self._started_at) < self._plan.duration_s:
            if not killed and self._plan.kill_at_s is not None and elapsed_s >= self._plan.kill_at_s:
                killed = True
                await self._supervisor.kill("cloud")
                self._say(f"{elapsed_s:3.0f} s: the cloud IN-CSE is killed (SIGKILL)")
            if killed and not restarted and elapsed_s >= self._plan.restart_at_s:
                restarted = True
                self._say(f"{elapsed_s:3.0f} s: the cloud IN-CSE is started again")
                await self._supervisor.launch("cloud")
            if elapsed_s >= next_word_s:
                next_word_s += _TELL_S
                self._say(f"{elapsed_s:3.0f} s: {in_words(self._observer)}")
            self._all_alive()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_S)
                raise Interrupted

    def _all_alive(self) -> None:
        for running in self._supervisor.died():
            raise PartFailed(f"{running.part.title} ended in the middle, {running.end_in_words()}")

    async def _let_react(self) -> None:
        """The last command's notification is on its way to the actuator: give it the time it needs."""
        figures = self._observer.figures
        deadline = time.monotonic() + _REACTION_S
        expected = sum(figures.commands.values())
        while expected and time.monotonic() < deadline:
            await self._observer.look_at_edge()
            states = [node.count for node in figures.edge or () if node.path == f"{EDGE_NAME}/actuator-1/state"]
            if states and states[0] > expected:
                return
            await asyncio.sleep(0.1)

    async def _drain(self, audit: Audit) -> float:
        """Wait until nothing is on its way any more; seconds it took, at most ``DRAIN_S``."""
        started_at = time.monotonic()
        await audit.read_edge()
        while (waited_s := time.monotonic() - started_at) < DRAIN_S:
            await asyncio.gather(
                self._observer.look_at_adapter(), self._observer.look_at_edge(), self._observer.look_at_cloud()
            )
            figures = self._observer.figures
            waiting = (figures.adapter or {}).get("sync", {}).get("pending", 1)
            behind = figures.edge_count() - figures.cloud_count() if figures.edge and figures.cloud else 1
            if not waiting and not behind and not audit.app_lacks():
                return waited_s
            await asyncio.sleep(_LOOK_S)
        return DRAIN_S


def in_words(observer: Observer) -> str:
    """How far everything is, in one line."""
    figures = observer.figures
    sync = (figures.adapter or {}).get("sync", {})
    cloud = f"cloud {figures.cloud_count()}" if figures.cloud is not None else "cloud away"
    active = sum(service.get("state") == "ACTIVE" for service in figures.services or ())
    return (
        f"sent {figures.devices.get('sent', 0)}, edge {figures.edge_count()}, {cloud}, "
        f"waiting {sync.get('pending', 0)}, MEC application {figures.received.count}, "
        f"services ACTIVE {active}"
    )
