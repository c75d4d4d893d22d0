"""Runs one part of the stack as a process that does not outlive ``onemec up``, whatever becomes of that.

``python -m onemec.stack.child onemec cse --type IN`` | ``... module onemec.broker --port 0`` | ``... script path.py``
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent process ends (Linux; elsewhere nothing is done)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended just before
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Become the part that the arguments name."""
    end_with_parent()
    how, *rest = sys.argv[1:]
    if how == "onemec":
        from onemec.cli import main as run

        sys.argv = ["onemec", *rest]
        run()
        return
    sys.argv = rest
    if how == "module":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(rest[0], run_name="__main__")


if __name__ == "__main__":
    main()
