"""``onemec cse --workers N``: holds the HTTP socket, starts the workers, and replaces those that end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from onemec.process import CannotStart, fail, run_until_stopped, tell, tell_ready
from onemec.service_manager import notify, watchdog_s

if TYPE_CHECKING:
    from cse.config import CseConfig

#: pause before a worker that ended is replaced, and between looks at the parent, in seconds
_PAUSE_S = 0.5
#: how long workers may take to end, in seconds; then they are killed
_GRACE_S = 15.0


def run_workers(config: CseConfig, count: int) -> NoReturn:
    """Run a CSE in ``count`` processes until SIGTERM or Ctrl-C.

    Args:
        config: of the CSE.
        count: how many workers.

    Exits the process: 0 after a signal, 1 or 2 with one line on stderr when it cannot start.
    """
    if not config.store.startswith(("postgresql://", "postgres://")):
        fail("--workers needs --store postgresql://...: the other stores belong to one process", 2)
    try:
        import cse.workers.worker  # noqa: F401 - before the workers are forked, so that they share it
    except ImportError as error:
        fail(f"--workers needs psycopg ({error}): pip install 'onemec[postgresql]'")
    listener = None
    if config.http:
        config, listener = _listen(config)
    folder = Path(tempfile.mkdtemp(prefix="onemec-"))
    try:
        code = _Parent(config, listener, folder).run(count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(code)


def _listen(config: CseConfig) -> tuple[CseConfig, socket.socket]:
    from cse.bindings.http import BindError, listen
    from cse.config import split_address

    host, port = split_address(config.http)
    try:
        listener = asyncio.run(listen(host, port))
    except BindError as error:
        fail(str(error))
    shown = f"[{host}]" if ":" in host else host
    return config.model_copy(update={"http": f"{shown}:{listener.getsockname()[1]}"}), listener


class _Parent:
    """Knows the workers by process id, and hears over a pipe what each does.

    Args:
        config: of the CSE.
        listener: the HTTP socket, for all of them.
        folder: where they meet.
    """

    def __init__(self, config: CseConfig, listener: socket.socket | None, folder: Path) -> None:
        self._config = config
        self._listener = listener
        self._folder = folder
        self._hear, self._say = os.pipe()
        self._doing: dict[int, str] = {}
        self._told = False
        self._stopping = False

    def run(self, count: int) -> int:
        """Keep so many workers running; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_soon)
        gc.freeze()  # what the workers share stays shared
        for _ in range(count):
            self._fork()
        pause_s, again_s = watchdog_s(), 0.0
        while not self._stopping:
            self._listen_to_workers()
            if pause_s and time.monotonic() >= again_s:
                again_s = time.monotonic() + pause_s
                notify("WATCHDOG=1")
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid or self._stopping:
                continue
            del self._doing[pid]
            code = os.waitstatus_to_exitcode(status)
            if not self._told and code > 0:
                self._stop()
                return code  # its own line says why
            tell(f"worker {pid} ended ({code}), another takes its place")
            time.sleep(_PAUSE_S)
            self._fork()
        notify("STOPPING=1")
        self._stop()
        return 0

    def _stop_soon(self, number: int, frame: object) -> None:
        self._stopping = True

    def _listen_to_workers(self) -> None:
        with contextlib.suppress(InterruptedError):
            if not select.select([self._hear], [], [], 0.1)[0]:
                return
            for line in os.read(self._hear, 4096).decode().splitlines():
                pid, _, doing = line.partition(" ")
                if int(pid) in self._doing:
                    self._doing[int(pid)] = doing
                tell(f"  worker {line}")
        if not self._told and all(self._doing.values()):
            self._told = True
            if self._config.http:
                url = f"{'https' if self._config.tls_cert else 'http'}://{self._config.http}"
                tell(f"  http  {url}")
                if self._config.console:
                    tell(f"  console {url}/console/")
            tell_ready()

    def _fork(self) -> None:
        pid = os.fork()
        if pid:
            self._doing[pid] = ""
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.close(self._hear)
        os.environ.pop("NOTIFY_SOCKET", None)  # the parent speaks for all of them
        try:
            run_until_stopped(self._work)
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)  # what is to be tidied up is the parent's

    async def _work(self, stop: asyncio.Event) -> None:
        from cse.app import StartError
        from cse.bindings.http import BindError
        from cse.security import SecurityError
        from cse.storage import StoreOpenError
        from cse.workers.worker import Worker

        watching = asyncio.create_task(_stop_with_parent(os.getppid(), stop))
        try:
            await Worker(self._config, self._listener, self._folder, self._tell_parent, patient=self._told).run(stop)
        except (StartError, StoreOpenError, SecurityError, BindError) as error:
            raise CannotStart(str(error)) from error
        finally:
            watching.cancel()

    def _tell_parent(self, doing: str) -> None:
        with contextlib.suppress(OSError):  # nobody hears any more
            os.write(self._say, f"{os.getpid()} {doing}\n".encode())

    def _stop(self) -> None:
        """End the workers: the leader last, the others need it for what they have begun."""
        deadline = time.monotonic() + _GRACE_S
        followers = {pid for pid, doing in self._doing.items() if doing != "leading"}
        for group in (followers, set(self._doing) - followers):
            for pid in group:
                os.kill(pid, signal.SIGTERM)
            while group and time.monotonic() < deadline:
                group = {pid for pid in group if os.waitpid(pid, os.WNOHANG)[0] == 0}
                time.sleep(0.02)
            for pid in group:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


async def _stop_with_parent(parent: int, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(_PAUSE_S)
        if os.getppid() != parent:
            stop.set()
