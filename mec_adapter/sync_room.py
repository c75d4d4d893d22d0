"""The size of the outbox of the cloud sync: what happens when it is full (docs/adr/0008)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from mec_adapter.config import SyncConfig
from mec_adapter.outbox import Item, Outbox
from mec_adapter.sync_container import Copied

_log = logging.getLogger("mec_adapter.cloud_sync")

#: below this share of its limit a full outbox takes instances again
_LOW_WATER = 0.8


class Room:
    """Whether the outbox takes more; makes room by dropping the oldest where that was chosen.

    Args:
        config: the limit, and what to do at it.
        outbox: whose.
        copied: the containers by resource-ID.
    """

    def __init__(self, config: SyncConfig, outbox: Outbox, copied: Mapping[str, Copied]) -> None:
        self._config, self._outbox, self._copied = config, outbox, copied
        self._open = asyncio.Event()
        self._open.set()
        #: instances dropped for want of room
        self.dropped = 0
        #: droppings under way
        self._dropping = 0

    @property
    def is_open(self) -> bool:
        """Whether instances may be taken."""
        return self._open.is_set()

    async def wait(self) -> None:
        """Return when instances may be taken."""
        await self._open.wait()

    async def stored(self) -> None:
        """Something was stored: look whether it was too much."""
        if self._outbox.size_bytes <= self._config.max_outbox_bytes:
            return
        if self._config.when_full == "drop-oldest":
            await self._drop_oldest()
        elif self._open.is_set():
            self._open.clear()
            _log.error(
                "the outbox is full (%d bytes): nothing more is taken from the edge until the cloud has taken some",
                self._config.max_outbox_bytes,
            )

    async def _drop_oldest(self) -> None:
        limit = self._config.max_outbox_bytes
        for copied in self._copied.values():
            # What has reached the cloud is not to be counted among the losses.
            self.forget_arrived(copied)
        self._dropping += 1
        try:
            dropped = await self._outbox.drop_oldest(self._outbox.size_bytes - int(limit * _LOW_WATER))
        finally:
            self._dropping -= 1
        self.dropped += len(dropped)
        _log.error(
            "the outbox is full (%d bytes): the %d oldest instances were dropped and are recorded as a gap",
            limit,
            len(dropped),
        )
        by_id = {copied.id: copied for copied in self._copied.values()}
        for container, tag, name in dropped:
            if container not in by_id:
                continue
            arrived_bytes = by_id[container].arrived.pop(name, None)
            if arrived_bytes is None:
                by_id[container].skip[name] = tag
            else:  # it reached the cloud before it was dropped, and was taken off the size twice
                self._outbox.size_bytes += arrived_bytes
                self.not_lost(by_id[container])
        if not self._dropping:
            for one in by_id.values():
                one.arrived.clear()
        for cursor in await self._outbox.cursors():
            if (known := self._copied.get(cursor.ri)) is not None:
                known.pending, known.oldest = cursor.pending, cursor.oldest

    def not_lost(self, copied: Copied) -> None:
        """An instance that was dropped had reached the cloud after all."""
        self.dropped -= 1
        self._outbox.not_lost(copied.path)

    def left(self, copied: Copied, item: Item, *, again: bool = False) -> None:
        """An instance is at the cloud; ``forget_arrived`` has the outbox forget it.

        Args:
            copied: its container.
            item: which one.
            again: it was counted before.
        """
        if self._dropping:
            copied.arrived[item.name] = len(item.body)
        self._outbox.size_bytes -= len(item.body)
        if again:
            self._outbox.forget(copied.id, [item], again=True)
        else:
            copied.gone.append(item)
            if self._dropping:
                self.forget_arrived(copied)
        self.one_less(copied, item)

    def one_less(self, copied: Copied, item: Item) -> None:
        """An instance does not wait any more; take instances again when there is room enough."""
        copied.last_sent = item.name
        copied.pending = max(0, copied.pending - 1)
        if not self._open.is_set() and self._outbox.size_bytes < self._config.max_outbox_bytes * _LOW_WATER:
            _log.warning("the outbox has room again")
            self._open.set()

    def forget_arrived(self, copied: Copied) -> None:
        """Have the outbox forget what has reached the cloud."""
        if copied.gone:
            self._outbox.forget(copied.id, copied.gone)
            copied.gone = []
