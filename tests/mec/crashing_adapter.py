"""An adapter that dies by kill -9 at a chosen step of the cloud sync, again and again on the same outbox.

``python -m tests.mec.crashing_adapter SETTINGS`` reads one step from each line, e.g. ``after CloudTarget.create 2``
(when it was called for the second time), runs an adapter until it has died there, and prints ``died``. It forks for
each life, so that lives are quick. With ``random`` in front of the step the copies have random names: the control that
doubles.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import orjson

from mec_adapter import outbox
from mec_adapter.cloud_sync import CloudSync
from mec_adapter.outbox import Item, Outbox
from mec_adapter.run import run_adapter
from mec_adapter.sync_source import EdgeSource
from mec_adapter.sync_target import CloudTarget
from tests.mec.adapter_fixtures import adapter_config

#: where it may die, before and after: each boundary between what is done at the edge, in the outbox and at the cloud
STEPS: dict[str, type] = {
    "Outbox.adopt": Outbox,
    "EdgeSource.subscribe": EdgeSource,
    "CloudSync.notified": CloudSync,
    "EdgeSource.newer": EdgeSource,
    "Outbox.store": Outbox,
    "Outbox.waiting": Outbox,
    "CloudTarget.build": CloudTarget,
    "CloudTarget.create": CloudTarget,
    "CloudTarget.create_several": CloudTarget,
    "Outbox.forget": Outbox,
}
COMMIT = "COMMIT"
#: a step that needs a busy container
UNSUBSCRIBE = "EdgeSource.unsubscribe"


class _Death:
    """Comes at the n-th call."""

    def __init__(self, count: int) -> None:
        self._left = count

    def pass_by(self) -> None:
        """One more call; the last one is the last of all."""
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def _wrapped(method: Callable[..., Any], when: str, death: _Death) -> Callable[..., Any]:
    async def waiting(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            death.pass_by()
        result = await method(*arguments, **named)
        if when == "after":
            death.pass_by()
        return result

    def calling(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            death.pass_by()
        result = method(*arguments, **named)
        if when == "after":
            death.pass_by()
        return result

    return waiting if asyncio.iscoroutinefunction(method) else calling


def _arm(when: str, step: str, death: _Death) -> None:
    """Have this process die before or after a step."""
    if step != COMMIT:
        name = step.partition(".")[2]
        owner = EdgeSource if step == UNSUBSCRIBE else STEPS[step]
        setattr(owner, name, _wrapped(getattr(owner, name), when, death))
        return

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, parameters: Iterable[Any] = (), /) -> sqlite3.Cursor:  # type: ignore[override]
            if statement == COMMIT and when == "before":
                death.pass_by()
            cursor = super().execute(statement, parameters)  # type: ignore[arg-type]
            if statement == COMMIT and when == "after":
                death.pass_by()
            return cursor

    connect = sqlite3.connect
    outbox.sqlite3.connect = lambda *given, **named: connect(*given, **named, factory=Connection)  # type: ignore[attr-defined]


def _with_random_names() -> None:
    create = CloudTarget.create

    async def renamed(target: CloudTarget, path: str, item: Item) -> bool:
        body = {**orjson.loads(item.body), "rn": f"{item.tag}-{secrets.token_hex(10)}"}
        return await create(target, path, replace(item, body=orjson.dumps(body)))

    CloudTarget.create = renamed  # type: ignore[method-assign]


def _live(settings: dict[str, Any], words: list[str]) -> None:
    if words[0] == "random":
        words = words[1:]
        _with_random_names()
    when, step, count = words
    _arm(when, step, _Death(int(count)))
    asyncio.run(run_adapter(adapter_config(settings), None, None, asyncio.Event()))


def main() -> None:
    """Live and die as the lines say."""
    settings = json.loads(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                _live(settings, line.split())
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        print("died" if os.waitstatus_to_exitcode(status) == -signal.SIGKILL else f"ended ({status})", flush=True)


if __name__ == "__main__":
    main()
