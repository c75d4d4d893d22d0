"""One container that the cloud sync copies: its cursor in memory, what wakes its tasks, the tasks themselves."""

from __future__ import annotations

import asyncio

from mec_adapter.outbox import Cursor
from mec_adapter.sync_target import Ancestor


class Copied:
    """A container that is copied: its cursor in memory, and its tasks."""

    def __init__(self, cursor: Cursor) -> None:
        self.id, self.ri, self.path = cursor.id, cursor.ri, cursor.path
        self.complete = cursor.complete
        self.forwarded = cursor.forwarded
        self.pending = cursor.pending
        self.oldest = cursor.oldest
        #: ``complete`` as it is on disk
        self.durable = cursor.complete
        #: when it was listed last, seconds since the epoch
        self.listed = 0.0
        self.trouble = ""
        self.last_sent = ""
        #: names of instances dropped while they were about to be sent
        self.skip: set[str] = set()
        self.ancestors: tuple[Ancestor, ...] = ()
        self.wanted = True
        #: there may be instances that no notification brought
        self.behind = asyncio.Event()
        #: there is something to forward
        self.loaded = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
