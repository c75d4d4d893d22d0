"""Starts the parts of the stack, waits until each is ready, stops them; what died stays dead.

Every part is the leader of its own process group: the terminal's Ctrl-C reaches ``onemec up`` alone, which then ends
the parts in their order, and nothing that a part has started is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from onemec.stack.parts import Part, waves

READY_TIMEOUT_S = 45.0
#: all parts have ended this long after a stop was asked for
STOP_TIMEOUT_S = 9.0
#: what one wave of parts gets before the next one is told to stop as well
_WAVE_S = 3.5
_LINE_LIMIT_BYTES = 1 << 24
_READY = "ready"


class PartFailed(Exception):
    """A part did not become ready; the message is one line with the reason."""


class Running:
    """A part and its process.

    Args:
        part: what it is.
        log: the file that its stderr and its lines go to.
        on_line: gets every line of its stdout.
    """

    def __init__(self, part: Part, log: Path, on_line: Callable[[Part, str], None]) -> None:
        self.part = part
        self.log = log
        self.ready = asyncio.Event()
        #: set when the process has ended
        self.ended = asyncio.Event()
        self.exit_code: int | None = None
        #: its end was asked for
        self.stopping = False
        self._on_line = on_line
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the process; it is not ready yet.

        Raises:
            PartFailed: it cannot be started.
        """
        self.ready.clear()
        self.ended.clear()
        self.exit_code, self.stopping = None, False
        with open(self.log, "ab") as log:  # noqa: ASYNC230 - a local file, opened once per part
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self.part.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200"},
                    start_new_session=True,
                    limit=_LINE_LIMIT_BYTES,
                )
            except OSError as error:
                raise PartFailed(f"{self.part.title} cannot be started: {error}") from error
        self._watching = asyncio.create_task(self._watch(self._process), name=f"watch {self.part.name}")

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # it is a pipe
        with open(self.log, "ab", buffering=0) as log:  # noqa: ASYNC230 - a local file
            async for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip()
                if not line.startswith("{"):  # figures come twice a second and would fill the disk
                    log.write(raw)
                if line.startswith(self.part.ready):
                    self.ready.set()
                self._on_line(self.part, line)
        self.exit_code = await process.wait()
        self.ended.set()

    async def until_ready(self, timeout_s: float) -> None:
        """Return when it has said that it is ready.

        Raises:
            PartFailed: it ended before, or took too long.
        """
        waiting = [asyncio.create_task(self.ready.wait()), asyncio.create_task(self.ended.wait())]
        try:
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if not self.ready.is_set():
            if self.ended.is_set():
                raise PartFailed(f"{self.part.title} ended before it was ready, {self.end_in_words()}")
            raise PartFailed(f"{self.part.title} was not ready within {timeout_s:g} s: {self.last_words()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all it has started."""
        if self._process is not None and not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def until_ended(self, timeout_s: float) -> bool:
        """Whether the process ends within ``timeout_s``."""
        if self._process is None:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), max(0.0, timeout_s))
        return self.ended.is_set()

    def end_in_words(self) -> str:
        """How it ended: the signal that ended it, or its exit code and what it said last."""
        code = self.exit_code or 0
        if code < 0:
            return f"killed by {signal.Signals(-code).name} (log: {self.log})"
        return f"exit code {code}: {self.last_words()}"

    def last_words(self) -> str:
        """The last line of its log that says something."""
        try:
            tail = self.log.read_bytes()[-4000:].decode("utf-8", "replace")
        except OSError:
            return f"no log at {self.log}"
        lines = [line.strip() for line in tail.splitlines() if line.strip() and line.strip() != _READY]
        said = lines[-1] if lines else "it said nothing"
        return f"{said.removeprefix('onemec: ')} (log: {self.log})"


class Supervisor:
    """The processes of one stack.

    Args:
        parts: what to run.
        logs: folder for the logs.
        on_line: gets every line of every part's stdout.
        on_ready: is told of every part that became ready, and after how many seconds.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        logs: Path,
        on_line: Callable[[Part, str], None],
        on_ready: Callable[[Part, float], None],
    ) -> None:
        self._parts = list(parts)
        self._on_ready = on_ready
        self.running = {part.name: Running(part, logs / f"{part.name}.log", on_line) for part in parts}

    async def start(self) -> None:
        """Start every part as soon as those it needs are ready; returns when all are.

        Raises:
            PartFailed: one is not; the others keep running until ``stop``.
        """
        tasks = [asyncio.create_task(self._start_when_possible(part)) for part in self._parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start_when_possible(self, part: Part) -> None:
        for name in part.after:
            await self.running[name].ready.wait()
        await self.launch(part.name)

    async def launch(self, name: str) -> None:
        """Start one part (again) and wait until it is ready.

        Raises:
            PartFailed: it is not.
        """
        running = self.running[name]
        started_at = time.monotonic()
        await running.start()
        await running.until_ready(READY_TIMEOUT_S)
        self._on_ready(running.part, time.monotonic() - started_at)

    async def kill(self, name: str) -> None:
        """End one part with SIGKILL, as a power cut would."""
        running = self.running[name]
        running.stopping = True
        running.signal(signal.SIGKILL)
        await running.ended.wait()

    async def finish(self, name: str, timeout_s: float) -> bool:
        """Tell one part to stop and let it finish; whether it did in time."""
        running = self.running[name]
        running.stopping = True
        running.signal(signal.SIGTERM)
        return await running.until_ended(timeout_s)

    def died(self) -> list[Running]:
        """Parts that ended although nobody asked them to."""
        return [running for running in self.running.values() if running.ended.is_set() and not running.stopping]

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> list[str]:
        """End every part, wave by wave, with SIGTERM and in the end with SIGKILL; returns titles of those killed."""
        deadline = time.monotonic() + timeout_s
        for wave in waves(self._parts):
            members = [self.running[part.name] for part in wave]
            for running in members:
                running.stopping = True
                running.signal(signal.SIGTERM)
            patience_s = min(_WAVE_S, deadline - time.monotonic())
            await asyncio.gather(*(running.until_ended(patience_s) for running in members))
        await asyncio.gather(*(running.until_ended(deadline - time.monotonic()) for running in self.running.values()))
        late = [running for running in self.running.values() if running.pid and not running.ended.is_set()]
        for running in late:
            running.signal(signal.SIGKILL)
        await asyncio.gather(*(running.until_ended(2.0) for running in late))
        return [running.part.title for running in late]
