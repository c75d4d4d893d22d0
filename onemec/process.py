"""What every long-running command needs: a fast event loop, a clean end on signals, one clear line when stuck."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

from rich.console import Console

from onemec.logs import set_up
from onemec.service_manager import notify, stay_alive

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class CannotStart(Exception):
    """A start that cannot work; the message says in one line what to mend."""


def run_until_stopped(work: Callable[[asyncio.Event], Awaitable[int | None]]) -> None:
    """Run ``work`` under uvloop where it is installed; SIGTERM and SIGINT set its event.

    Args:
        work: returns when the event is set; its result is the exit code.

    Exits the process: 0 after a signal, 1 with one line on stderr after ``CannotStart``.
    """

    async def main() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            notify("STOPPING=1")
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        living = asyncio.create_task(stay_alive(), name="watchdog")
        try:
            return await work(stop) or 0
        finally:
            living.cancel()

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(main())
    except CannotStart as error:
        flush_logs()
        fail(str(error))
    flush_logs()
    sys.exit(code)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say in one line why it cannot go on, and exit.

    Raises:
        SystemExit: always.
    """
    errors.print(f"onemec: {message}", markup=False)
    sys.exit(code)


def set_up_logging(level: str, name: str, layout: str = "text") -> None:
    """Log lines of all parts to stderr, with time and the name of this process.

    Args:
        level: what is logged at least.
        name: of this process.
        layout: ``text``, or ``json`` for one object a line.
    """
    from cse.tracing import current_trace_id  # not for --help

    set_up(level, name, layout, sys.stderr, current_trace_id)
    for noisy in ("aiocoap", "coap-server", "coap", "transitions", "amqtt", "aiohttp.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


def flush_logs() -> None:
    """Wait a little until the last log lines are written."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # absent on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


def tell_ready() -> None:
    """Say that requests are taken: to who reads the output, and to a service manager."""
    tell("ready")
    notify("READY=1")


def tell(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)
