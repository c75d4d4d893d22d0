"""How the shell serves one request: the core at once, the disk without a task, and a task only when others are asked.

Most requests need nobody else. For them a task and the futures around it would cost more than the core itself, so such
a request is a chain of calls: the binding, the core, the store, and back when its group is on disk (docs/adr/0021).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any, Protocol

from cse.core.hosting import HostingCse
from cse.core.pipeline import handle
from cse.log_context import about
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Request, Response, error_response
from cse.onem2m.status import Status
from cse.ports import Done, Engine, Env, Outcome, Send, Steps
from cse.tracing import Tracing

_log = logging.getLogger("cse")


class Shell(Protocol):
    """What serving a request needs of a CSE; ``cse.app.Cse`` is one."""

    engine: Engine
    hosting: HostingCse
    tracing: Tracing | None

    def env(self) -> Env:
        """Time and identifiers for a request that comes now."""
        ...

    async def drive(self, steps: Steps, send: Send | None = None) -> Outcome:
        """Run a procedure to its end, asking others; ``send`` is what it asks for already."""
        ...

    def kept(self, outcome: Outcome) -> None:
        """The changes of a request are on disk: send what it caused."""
        ...

    def timers_changed(self) -> None:
        """A request may have set timers."""
        ...

    def served(self, request: Request, response: Response, began_s: float) -> None:
        """A request has its answer; it began at ``began_s`` of ``time.perf_counter``."""
        ...

    def begin_task(self, work: Any, name: str) -> asyncio.Task[Any]:
        """Run work on its own for as long as the CSE runs."""
        ...


def begin(
    shell: Shell, request: Request, admitted: AbstractContextManager[None], done: Done
) -> asyncio.Task[Any] | None:
    """Serve a request; ``done`` gets the response when its changes are on disk (architecture law 5).

    Args:
        shell: of the CSE.
        request: mended already.
        admitted: left when the request is no longer executed.
        done: called exactly once, maybe before this returns; not when the task that is returned is cancelled.

    Returns:
        The task that serves a request which must ask others; None when there is none.
    """
    serving = _Serving(shell, request, admitted, done)
    if shell.tracing is not None:
        return shell.begin_task(_begin_traced(shell, shell.tracing, request, admitted, done), request.request_id)
    steps = handle(request, shell.hosting, shell.env())
    try:
        send = next(steps)
    except StopIteration as finished:
        serving.keep(finished.value)
        return None
    except Exception as error:
        serving.fail(error)
        return None
    return shell.begin_task(_go_on(serving, steps, send), request.request_id)


async def serve(shell: Shell, request: Request) -> Response:
    """Serve a request in the task of the caller; cancelling it ends the request."""
    if shell.tracing is not None:
        return await _serve_traced(shell, shell.tracing, request)
    began_s = perf_counter()
    try:
        outcome = await shell.drive(handle(request, shell.hosting, shell.env()))
        shell.timers_changed()
        if outcome.ticket:
            await _durable(shell, outcome)
        shell.kept(outcome)
        response = outcome.response
    except Exception as error:
        response = _failed(request, error)
    shell.served(request, response, began_s)
    return response


async def _begin_traced(
    shell: Shell, tracing: Tracing, request: Request, admitted: AbstractContextManager[None], done: Done
) -> None:
    with admitted:
        response = await _serve_traced(shell, tracing, request)
    done(response)


async def _serve_traced(shell: Shell, tracing: Tracing, request: Request) -> Response:
    """As ``serve``, with a span for the request, the core, and the wait for the disk."""
    began_s = perf_counter()
    with tracing.request(request) as span:
        try:
            with tracing.work("core"):
                outcome = await shell.drive(handle(request, shell.hosting, shell.env()))
            shell.timers_changed()
            if outcome.ticket:
                with tracing.work("commit"):
                    await _durable(shell, outcome)
            shell.kept(outcome)
            response = outcome.response
        except Exception as error:
            response = _failed(request, error)
        tracing.answered(span, response)
    shell.served(request, response, began_s)
    return response


async def _durable(shell: Shell, outcome: Outcome) -> None:
    try:
        await shell.engine.durable(outcome.ticket)
    except asyncio.CancelledError:
        # nobody waits for the answer any more, but others are to hear of the change
        shell.engine.when_durable(outcome.ticket, lambda lost: None if lost else shell.kept(outcome))
        raise


async def _go_on(serving: _Serving, steps: Steps, send: Send) -> None:
    try:
        outcome = await serving.shell.drive(steps, send)
    except Exception as error:
        serving.fail(error)
    except BaseException:
        serving.admitted.__exit__(None, None, None)
        raise
    else:
        serving.keep(outcome)


class _Serving:
    """One request on its way."""

    __slots__ = ("admitted", "began_s", "done", "outcome", "request", "shell")

    def __init__(self, shell: Shell, request: Request, admitted: AbstractContextManager[None], done: Done) -> None:
        self.shell, self.request, self.admitted, self.done = shell, request, admitted, done
        self.began_s = perf_counter()
        self.outcome: Outcome

    def keep(self, outcome: Outcome) -> None:
        """Wait for the disk."""
        self.outcome = outcome
        self.shell.timers_changed()
        if outcome.ticket:
            self.shell.engine.when_durable(outcome.ticket, self.kept)
        else:
            self.kept("")

    def kept(self, reason: str) -> None:
        """The changes are on disk, or lost for a reason."""
        if reason:
            response = error_response(self.request, Status.INTERNAL_SERVER_ERROR, reason)
        else:
            response = self.outcome.response
            self.shell.kept(self.outcome)
        self._answer(response)

    def fail(self, error: Exception) -> None:
        """The core failed, or the store would not keep the changes."""
        self._answer(_failed(self.request, error))

    def _answer(self, response: Response) -> None:
        self.shell.served(self.request, response, self.began_s)
        self.admitted.__exit__(None, None, None)
        self.done(response)


def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, CseError):  # the store could not keep the changes
        return error_response(request, error.status, error.debug)
    _log.error("request %s of %s failed", request.request_id, request.originator, exc_info=error, extra=about(request))
    return error_response(request, Status.INTERNAL_SERVER_ERROR, "the CSE failed on this request; its log says why")
