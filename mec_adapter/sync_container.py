"""One container that the cloud sync copies: its cursor in memory, what wakes its tasks, the tasks themselves."""

from __future__ import annotations

import asyncio

from mec_adapter.outbox import Cursor, Item
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
        #: stateTags of dropped instances by name: those about to be sent, and those that a listing may bring again
        self.skip: dict[str, int] = {}
        #: names of those about to be sent
        self.batch: frozenset[str] = frozenset()
        #: size of the instances that reached the cloud while some were being dropped, by name
        self.arrived: dict[str, int] = {}
        #: instances that reached the cloud and that the outbox has not been told to forget
        self.gone: list[Item] = []
        #: the last instance was created just now, so that the next one cannot be at the cloud yet
        self.is_fresh = False
        #: the newest copy that was seen at the cloud, as a stateTag of the edge
        self.newest_copy = -1
        #: until then instances go one at a time, monotonic seconds
        self.single_until = 0.0
        self.ancestors: tuple[Ancestor, ...] = ()
        self.wanted = True
        #: it keeps its instances long enough to be listed now and then
        self.keeps_enough = False
        #: it is listed at intervals, and has no subscription
        self.is_pulled = False
        #: there may be instances that no notification brought
        self.behind = asyncio.Event()
        #: there is something to forward
        self.loaded = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def forget_dropped(self) -> None:
        """Everything up to ``durable`` was here and is not listed again: dropped ones need not be remembered."""
        if self.skip:
            self.skip = {n: tag for n, tag in self.skip.items() if tag > self.durable or n in self.batch}
