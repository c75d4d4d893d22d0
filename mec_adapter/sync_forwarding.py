"""The forwarding of the cloud sync: what waits in the outbox goes to the cloud, each container in order.

One instance of a container is on its way at a time, so that the order holds whatever the cloud does (docs/adr/0008);
containers are forwarded side by side.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from cse.client import Unreachable
from mec_adapter.config import SyncConfig
from mec_adapter.link import Link
from mec_adapter.outbox import Item, Outbox, OutboxError
from mec_adapter.sync_container import Copied
from mec_adapter.sync_room import Room
from mec_adapter.sync_target import CloudTarget, Hopeless, TargetTrouble, TreeLost

_log = logging.getLogger("mec_adapter.cloud_sync")

#: instances taken from the outbox at a time
_BATCH = 100
#: attempts before an instance the cloud calls unacceptable is put aside
_HOPELESS_ATTEMPTS = 3


class Forwarder:
    """Forwards containers.

    Args:
        config: of the sync.
        outbox: holds what waits.
        target: creates the copies.
        link: whether the cloud answers.
        room: hears of what has left the outbox.
    """

    def __init__(self, config: SyncConfig, outbox: Outbox, target: CloudTarget, link: Link, room: Room) -> None:
        self._config, self._outbox, self._target, self._link, self._room = config, outbox, target, link, room
        self._sending = asyncio.Semaphore(config.parallel)
        #: instances the cloud refused for good
        self.refused = 0

    async def run(self, copied: Copied) -> None:
        """Forward a container's instances one after the other, for ever."""
        while True:
            await copied.loaded.wait()
            copied.loaded.clear()
            try:
                batch = await self._outbox.waiting(copied.id, copied.complete, _BATCH)
            except OutboxError:
                await asyncio.sleep(1.0)
                copied.loaded.set()
                continue
            copied.batch = frozenset(item.name for item in batch)
            for place, item in enumerate(batch):
                if item.name == copied.last_sent:
                    # It was notified again after it had gone, or its removal could not be written.
                    self._room.left(copied, item, again=True)
                else:
                    await self._forward(copied, item)
                copied.oldest = batch[place + 1].taken if place + 1 < len(batch) else time.time()
            if batch:
                self._room.forget_arrived(copied)
                copied.loaded.set()

    async def _forward(self, copied: Copied, item: Item) -> None:
        """Bring one instance to the cloud, however long that takes, or put it aside for good."""
        attempts = 0
        while True:
            if not self._link.up:
                await self._link.turn()
            if item.name in copied.skip:
                return
            try:
                async with self._sending:
                    await self._target.build(copied.path, copied.ancestors)
                    await self._target.create(copied.path, item)
            except Unreachable as error:
                self._room.forget_arrived(copied)
                self._link.failed(str(error))
                continue
            except (TargetTrouble, Hopeless) as error:
                self._room.forget_arrived(copied)
                self._link.worked()
                copied.trouble = str(error)
                attempts += 1
                if isinstance(error, TreeLost):
                    self._target.forget(copied.path)
                if isinstance(error, Hopeless) and attempts >= _HOPELESS_ATTEMPTS:
                    await self._put_aside(copied, item, str(error))
                    return
                if attempts > 1 or not isinstance(error, TreeLost):
                    await asyncio.sleep(min(self._config.retry_longest_s, 0.2 * 2.0 ** min(attempts, 10)))
                continue
            self._link.worked()
            copied.trouble = ""
            copied.forwarded += 1
            if item.name in copied.skip:  # it was dropped while it was on its way
                self._room.not_lost(copied)
                copied.last_sent = item.name
            else:
                self._room.left(copied, item)
            return

    async def _put_aside(self, copied: Copied, item: Item, reason: str) -> None:
        _log.error("%s: the cloud refuses instance %s for good (%s): kept aside", copied.path, item.name, reason)
        with suppress(OutboxError):
            await self._outbox.refuse(copied.id, copied.path, item, reason)
            self.refused += 1
            self._room.one_less(copied, item)
