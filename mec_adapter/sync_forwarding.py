"""The forwarding of the cloud sync: what waits in the outbox goes to the cloud, each container in order.

Containers are forwarded side by side. Of one container a few instances leave together on one connection, which a server
executes in order (RFC 9112 clause 9.3.2). What a refusal in the middle mixes up shows when the refused one is sent
again: the next is there already. It is then deleted and created again, behind it (docs/adr/0032).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
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
#: after a refusal instances of a container go one at a time for so long
_SINGLE_S = 60.0


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
            done = 0
            while done < len(batch):
                if batch[done].name == copied.last_sent:
                    # It was notified again after it had gone, or its removal could not be written.
                    self._room.left(copied, batch[done], again=True)
                    done += 1
                elif self._may_send_several(copied) and done + 1 < len(batch):
                    done += await self._forward_several(copied, batch[done : done + self._config.pipeline])
                else:
                    await self._forward(copied, batch[done])
                    done += 1
                copied.oldest = batch[done].taken if done < len(batch) else time.time()
            if batch:
                self._room.forget_arrived(copied)
                copied.loaded.set()

    def _may_send_several(self, copied: Copied) -> bool:
        """Whether instances may leave together: none of them can be there, and the cloud has not refused any lately."""
        return (
            copied.is_fresh
            and self._config.pipeline > 1
            and not copied.skip
            and self._link.up
            and self._target.takes_several
            and time.monotonic() >= copied.single_until
        )

    async def _forward_several(self, copied: Copied, items: Sequence[Item]) -> int:
        """Bring instances to the cloud that cannot be there yet; returns how many of them are there, in order."""
        async with self._sending:
            outcomes = await self._target.create_several(copied.path, items)
        for done, (item, outcome) in enumerate(zip(items, outcomes, strict=False)):
            if outcome is True:
                self._arrived(copied, item)
            elif outcome is False:
                # It was created before the one in front of it, and those behind it now are in front of it too.
                for behind in items[done:]:
                    await self._forward(copied, behind, is_misplaced=True)
                return len(items)
            else:
                copied.is_fresh = False
                if not isinstance(outcome, Unreachable):
                    copied.single_until = time.monotonic() + _SINGLE_S
                return done
        self._link.worked()
        copied.trouble = ""
        return len(outcomes)

    async def _forward(self, copied: Copied, item: Item, *, is_misplaced: bool = False) -> None:
        """Bring one instance to the cloud, however long that takes, or put it aside for good.

        Args:
            copied: its container.
            item: which one.
            is_misplaced: it is there, but not in its order.
        """
        attempts = 0
        while True:
            if not self._link.up:
                await self._link.turn()
            if item.name in copied.skip:
                return
            try:
                async with self._sending:
                    await self._target.build(copied.path, copied.ancestors)
                    if is_misplaced:
                        await self._remove(copied, item)
                        is_misplaced = False
                    is_new = await self._target.create(copied.path, item)
                    if not is_new and await self._is_misplaced(copied, item) and await self._remove(copied, item):
                        is_new = await self._target.create(copied.path, item)
            except Unreachable as error:
                copied.is_fresh = False
                self._room.forget_arrived(copied)
                self._link.failed(str(error))
                continue
            except (TargetTrouble, Hopeless) as error:
                copied.is_fresh = False
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
            copied.is_fresh = is_new
            self._arrived(copied, item)
            return

    def _arrived(self, copied: Copied, item: Item) -> None:
        copied.forwarded += 1
        if item.name in copied.skip:  # it was dropped while it was on its way
            self._room.not_lost(copied)
            copied.last_sent = item.name
        else:
            self._room.left(copied, item)

    async def _is_misplaced(self, copied: Copied, item: Item) -> bool:
        """Whether an instance that was at the cloud already is there before one that should be in front of it."""
        if copied.is_fresh:
            return True
        if item.tag > copied.newest_copy:
            copied.newest_copy = await self._target.newest(copied.path)
        return item.tag > copied.newest_copy

    async def _remove(self, copied: Copied, item: Item) -> bool:
        _log.warning("%s: instance %s is at the cloud before an older one: created again", copied.path, item.name)
        is_removed = await self._target.remove(copied.path, item)
        if not is_removed:
            _log.error("%s: the cloud does not delete %s: its order is not mended", copied.path, item.name)
        return is_removed

    async def _put_aside(self, copied: Copied, item: Item, reason: str) -> None:
        _log.error("%s: the cloud refuses instance %s for good (%s): kept aside", copied.path, item.name, reason)
        with suppress(OutboxError):
            await self._outbox.refuse(copied.id, copied.path, item, reason)
            self.refused += 1
            self._room.one_less(copied, item)
