"""What a service manager is told: ready, stopping, and that the event loop still turns (sd_notify of systemd).

Without ``NOTIFY_SOCKET`` in the environment nobody is told anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping

#: signs of life for each time the manager waits
_PER_WATCHDOG = 3


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager something; returns whether it was told.

    Args:
        state: assignments, one a line, e.g. ``READY=1``.
        environment: where ``NOTIFY_SOCKET`` is looked up.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        with contextlib.suppress(OSError):  # a manager that is busy or gone is no reason to stop serving
            channel.sendto(state.encode(), address)
            return True
    return False


def watchdog_s(environment: Mapping[str, str] = os.environ, pid: int | None = None) -> float:
    """How often the service manager wants a sign of life of this process, in seconds; 0 for never."""
    wanted_of = environment.get("WATCHDOG_PID", "")
    span = environment.get("WATCHDOG_USEC", "")
    if not span.isdecimal() or (wanted_of and wanted_of != str(os.getpid() if pid is None else pid)):
        return 0.0
    return int(span) / 1e6 / _PER_WATCHDOG


async def stay_alive(environment: Mapping[str, str] = os.environ) -> None:
    """Send signs of life from the event loop for ever: a loop that hangs sends none and is restarted."""
    pause_s = watchdog_s(environment)
    while pause_s:
        notify("WATCHDOG=1", environment)
        await asyncio.sleep(pause_s)
