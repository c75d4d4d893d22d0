"""A PostgreSQL server of a benchmark's own: initdb and postgres on a free port, as safe as it comes (fsync on)."""

from __future__ import annotations

import importlib.util
import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress

from benchmarks.processes import LOOPBACK, BenchError, Stage, find_tool, free_port

DURABILITY = "PostgreSQL, fsync and synchronous_commit on, answered after commit"
_USER = "postgres"
_READY_WITHIN_S = 60.0


def missing() -> str:
    """What is not installed, in words; "" when all is there."""
    if not (find_tool("initdb") and find_tool("postgres")):
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if importlib.util.find_spec("psycopg") is None:
        return "its driver is not installed: pip install 'onemec[postgresql]'"
    return ""


def start(stage: Stage) -> str:
    """Start a server with an empty database in the stage's folder; returns the URL for ``--store``.

    Raises:
        BenchError: it is not installed, or does not start.
    """
    if why := missing():
        raise BenchError(why)
    initdb, program = find_tool("initdb"), find_tool("postgres")
    assert initdb is not None
    assert program is not None
    user: dict[str, object] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            entry = pwd.getpwnam(_USER)
        except KeyError:
            raise BenchError(f"root cannot run PostgreSQL and there is no user {_USER}: run as another user") from None
        os.chown(stage.folder, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    data, port = stage.folder / "data", free_port()
    done = subprocess.run(
        [initdb, "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8"],
        capture_output=True,
        text=True,
        cwd=stage.folder,
        check=False,
        **user,  # type: ignore[call-overload]
    )
    if done.returncode:
        raise BenchError(f"initdb failed: {done.stderr.strip().splitlines()[-1]}")
    options = ("-D", str(data), "-p", str(port), "-h", LOOPBACK, "-k", str(stage.folder), "-c", "max_connections=50")
    child = stage.start(program, *options, user=user, ends_by=signal.SIGINT)
    url = f"postgresql://{_USER}@{LOOPBACK}:{port}/postgres"
    _wait(url, child.process)
    return url


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    import psycopg  # an optional extra

    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=2):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"PostgreSQL did not start (exit code {process.poll()})")
        time.sleep(0.02)
