"""Has RDF evaluated in a process beside the CSE: bounded in time, and ended when it is late (ADR 0013).

The process starts with the first evaluation and does one at a time. It needs the extra ``onemec[semantic]``; without
it every evaluation is answered 5001.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import asdict

import orjson

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.ports import Evaluation

#: longest line the process may write
_LINE_BYTES = 64 * 1024 * 1024
#: how long the process may take to load its libraries
_START_S = 60.0
#: evaluations that may wait for their turn
_MOST_WAITING = 32


class SemanticProcess:
    """Implements ``cse.ports.Evaluator``.

    Args:
        time_limit_s: how long one evaluation may take.
        command: what to start; None: the worker of this package.
    """

    def __init__(self, time_limit_s: float = 5.0, command: list[str] | None = None) -> None:
        self._time_limit_s = time_limit_s
        self._command = command or [sys.executable, "-m", "cse.semantic_worker"]
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._closed = False
        self._available: bool | None = None

    @property
    def pid(self) -> int | None:
        """The process that evaluates, None while there is none."""
        return None if self._process is None else self._process.pid

    async def evaluate(self, work: Evaluation) -> Response:
        """See ``cse.ports.Evaluator``."""
        if self._available is None:
            self._available = importlib.util.find_spec("rdflib") is not None
        if not self._available:
            return _refusal(
                Status.NOT_IMPLEMENTED,
                "this CSE evaluates no SPARQL: its operator can add that with pip install onemec[semantic]",
            )
        if self._waiting >= _MOST_WAITING:
            return _refusal(
                Status.DISCOVERY_LIMIT_EXCEEDED, "too many semantic requests at once: try again in some seconds"
            )
        self._waiting += 1
        try:
            async with self._turn:
                if self._closed:
                    return _refusal(Status.INTERNAL_SERVER_ERROR, "the CSE is about to stop: try again later")
                return await self._take_turn(work)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End the process; no other starts."""
        self._closed = True
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _take_turn(self, work: Evaluation) -> Response:
        try:
            process = await self._started()
        except (OSError, TimeoutError, EOFError) as error:
            await self._end()
            return _refusal(Status.INTERNAL_SERVER_ERROR, f"the process that evaluates SPARQL does not start: {error}")
        try:
            return await asyncio.wait_for(_exchange(process, work), self._time_limit_s)
        except TimeoutError:
            await self._end()
            return _refusal(
                Status.DISCOVERY_LIMIT_EXCEEDED,
                f"the evaluation took longer than {self._time_limit_s:g} s: ask for less, or narrow the target",
            )
        except (OSError, EOFError, ValueError):
            await self._end()
            return _refusal(
                Status.DISCOVERY_LIMIT_EXCEEDED,
                "the process that evaluates SPARQL ended, perhaps for want of memory: ask for less (LIMIT)",
            )
        except asyncio.CancelledError:
            await self._end()  # its answer would be taken for that of the next
            raise

    async def _started(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=_LINE_BYTES
        )
        assert self._process.stdout is not None
        greeting = await asyncio.wait_for(self._process.stdout.readline(), _START_S)
        if greeting != b"ready\n":
            raise EOFError("it ended at once")
        return self._process


async def _exchange(process: Process, work: Evaluation) -> Response:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(orjson.dumps(asdict(work)) + b"\n")
    await process.stdin.drain()
    line = await process.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    answer = orjson.loads(line)
    return Response(Status(answer["rsc"]), content=answer["pc"])


def _refusal(status: Status, debug: str) -> Response:
    return Response(status, content={"m2m:dbg": debug})
