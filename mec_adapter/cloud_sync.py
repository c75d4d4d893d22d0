"""The cloud sync: chosen containers of the edge CSE copied to the cloud IN-CSE, each instance once and in order.

Every instance is in the outbox before its notification is answered. What notifications do not bring (a gap in the
stateTags, a start, a lost subscription) is fetched by listing the container from its cursor on. The design and its
figures are in docs/adr/0008.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.errors import BadRequest
from cse.onem2m.status import Status
from cse.onem2m.timestamps import parse_timestamp
from mec_adapter.config import SyncConfig
from mec_adapter.link import Link
from mec_adapter.outbox import Cursor, Item, Outbox, OutboxError
from mec_adapter.status import ContainerStatus, SyncStatus
from mec_adapter.sync_container import Copied
from mec_adapter.sync_source import EdgeSource
from mec_adapter.sync_target import Ancestor, CloudTarget, Hopeless, TargetTrouble, TreeLost, item_of

_log = logging.getLogger("mec_adapter.cloud_sync")

#: instances taken from the outbox at a time
_BATCH = 100
#: attempts before an instance the cloud calls unacceptable is put aside
_HOPELESS_ATTEMPTS = 3
#: below this share of its limit a full outbox takes instances again
_LOW_WATER = 0.8
#: notifications older than this are overtaken by a listing, at most this often
_HURRY_S = 0.5


class CloudSync:
    """Copies containers until it is stopped.

    Args:
        config: what to copy, and where to.
        edge: client at the edge CSE, registered.
        cloud: client at the IN-CSE.
        callback: URL of the listener below which notifications for the sync arrive.
        edge_cse_id: CSE-ID of the edge CSE.
        own_name: resourceName of the adapter's AE at the edge; what is below it is not copied.
        edge_link: whether the edge CSE answers, shared with the rest of the adapter.
    """

    def __init__(
        self,
        config: SyncConfig,
        edge: Client,
        cloud: Client,
        callback: str,
        edge_cse_id: str,
        own_name: str,
        edge_link: Link,
    ) -> None:
        self._config = config
        self._edge_cse_id = edge_cse_id
        self._edge_link = edge_link
        self._cloud_link = Link(
            f"cloud CSE {config.cloud_cse_id} at {config.cloud_url}", longest_pause_s=config.retry_longest_s
        )
        stem = edge_cse_id.strip("/").replace("/", "-")
        self._source = EdgeSource(edge, callback, config.labels, config.paths, own_name)
        self._target = CloudTarget(cloud, config.cloud_ae_name or f"sync-{stem}", edge_cse_id)
        self._outbox = Outbox(config.outbox)
        self._copied: dict[str, Copied] = {}
        self._sending = asyncio.Semaphore(config.parallel)
        self._room = asyncio.Event()
        self._room.set()
        self._dropped = self._refused = 0
        #: droppings under way
        self._dropping = 0

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what the outbox holds of earlier runs; forwarding begins at once."""
        self._dropped, self._refused = await self._outbox.losses()
        for cursor in await self._outbox.cursors():
            self._take_up(cursor)

    async def stop(self, drain_s: float = 0.0) -> None:
        """Stop; what waits stays in the outbox.

        Args:
            drain_s: how long to go on forwarding before.
        """
        await self.drain(drain_s)
        tasks = [task for copied in self._copied.values() for task in copied.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._outbox.close()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is left to forward; returns whether that came true in time."""
        deadline = time.monotonic() + timeout_s
        while any(copied.pending for copied in self._copied.values()):
            if time.monotonic() >= deadline or not self._cloud_link.up:
                return False
            await asyncio.sleep(0.02)
        return True

    def status(self) -> SyncStatus:
        """Lag and counts."""
        now = time.time()
        containers = tuple(
            ContainerStatus(
                copied.path,
                copied.pending,
                round(now - copied.oldest, 3) if copied.pending and copied.oldest else 0.0,
                copied.forwarded,
                copied.trouble,
            )
            for copied in sorted(self._copied.values(), key=lambda copied: copied.path)
        )
        return SyncStatus(
            "up" if self._cloud_link.up else "down",
            containers,
            sum(container.pending for container in containers),
            max((container.oldest_pending_s for container in containers), default=0.0),
            sum(container.forwarded for container in containers),
            self._outbox.size_bytes,
            not self._room.is_set(),
            self._dropped,
            self._refused,
            self._cloud_link.reason,
        )

    # --- finding containers ----------------------------------------------------------------------------------------

    async def discover(self) -> None:
        """Find the containers to copy, subscribe where there is no subscription, let go of what is gone.

        Raises:
            RequestFailed: a search is refused.
            Unreachable: the edge CSE does not answer.
        """
        paths = await self._source.containers()
        for copied in list(self._copied.values()):
            if not copied.wanted or copied.path not in paths:
                self._release(copied)
        for path in sorted(paths - {copied.path for copied in self._copied.values() if copied.wanted}):
            await self._adopt(path)
        subscribed = await self._source.subscribed()
        for copied in list(self._copied.values()):
            if copied.wanted and copied.path in paths and copied.path not in subscribed:
                await self._subscribe(copied)

    async def _adopt(self, path: str) -> None:
        try:
            attributes = await self._source.attributes(path)
        except RequestFailed as error:
            _log.warning("%s cannot be copied: %s", path, error)
            return
        known = self._copied.get(str(attributes["ri"]))
        if known is not None:
            known.path, known.wanted = path, True
            known.behind.set()
            return
        copied = self._take_up(await self._outbox.adopt(str(attributes["ri"]), path))
        own = copied.ancestors[-1]
        labels = tuple(label for label in attributes.get("lbl") or () if label not in self._config.labels)
        copied.ancestors = (*copied.ancestors[:-1], Ancestor(own.name, own.origin, labels))

    def _take_up(self, cursor: Cursor) -> Copied:
        copied = self._copied[cursor.ri] = Copied(cursor)
        names = cursor.path.split("/")
        copied.ancestors = tuple(
            Ancestor(name, f"{self._edge_cse_id}/{'/'.join(names[: place + 2])}")
            for place, name in enumerate(names[1:])
        )
        copied.loaded.set()
        copied.tasks = [
            asyncio.create_task(self._forward_for_ever(copied), name=f"forward {cursor.path}"),
            asyncio.create_task(self._catch_up_for_ever(copied), name=f"catch up {cursor.path}"),
        ]
        copied.behind.set()
        return copied

    def _release(self, copied: Copied) -> None:
        """A container is gone, or no longer chosen: forward what is here, then forget it."""
        copied.wanted = False
        if copied.pending:
            return
        for task in copied.tasks:
            task.cancel()
        self._copied.pop(copied.ri, None)
        copied.tasks = [asyncio.create_task(self._outbox.drop(copied.id))]

    async def _subscribe(self, copied: Copied) -> None:
        try:
            await self._source.subscribe(copied.path, copied.ri)
        except RequestFailed as error:
            copied.trouble = f"no subscription: {error}"
            _log.warning("%s: %s", copied.path, copied.trouble)
        # Whatever came before the subscription stood is not notified.
        copied.behind.set()

    # --- taking instances --------------------------------------------------------------------------------------------

    async def notified(self, ri: str, notification: Mapping[str, Any]) -> Status:
        """Take a notification of the edge CSE; the answer must not leave before this returns.

        Args:
            ri: resource-ID of the container, from the notification URL.
            notification: the m2m:sgn object.

        Returns:
            The status to answer with.
        """
        copied = self._copied.get(ri)
        if copied is None:
            return Status.NOT_FOUND
        if notification.get("sud") is True:
            return Status.OK
        event = notification.get("nev")
        shown = event.get("rep") if isinstance(event, Mapping) else None
        instance = shown.get("m2m:cin") if isinstance(shown, Mapping) else None
        item = self._item(copied, instance) if isinstance(instance, Mapping) else None
        if item is None or not self._has_room():
            # Nothing that can be kept came with it: the listing will bring it.
            copied.behind.set()
            return Status.OK if item is None else Status.TARGET_NOT_REACHABLE
        if item.tag <= copied.durable:
            return Status.OK
        if item.tag == copied.complete + 1:
            copied.complete = item.tag
        elif item.tag > copied.complete:
            copied.behind.set()
        self._hurry(copied, instance)
        try:
            await self._store(copied, [item], item.tag)
        except OutboxError:
            return Status.TARGET_NOT_REACHABLE
        return Status.OK

    def _hurry(self, copied: Copied, instance: Mapping[str, Any] | None) -> None:
        """Notifications that come late mean a queue at the edge: one listing overtakes it."""
        now = time.time()
        if now - copied.listed < _HURRY_S:
            return
        with suppress(BadRequest):
            if now - parse_timestamp(str((instance or {}).get("ct", ""))) > _HURRY_S:
                copied.behind.set()

    def _item(self, copied: Copied, instance: Mapping[str, Any]) -> Item | None:
        return item_of(self._edge_cse_id, copied.ri, copied.path, instance)

    async def _store(self, copied: Copied, items: Sequence[Item], first: int) -> None:
        try:
            added, copied.durable = await self._outbox.store(copied.id, items, first, frozenset(copied.skip))
            copied.forget_dropped()
        except OutboxError:
            # What was counted as taken is not: start again from what the file says, as soon as it can be written.
            copied.complete = copied.durable
            copied.behind.set()
            raise
        if added:
            if not copied.pending:
                copied.oldest = items[0].taken
            copied.pending += added
        copied.loaded.set()
        if self._outbox.size_bytes > self._config.max_outbox_bytes:
            await self._full()

    def _has_room(self) -> bool:
        return self._room.is_set()

    async def _full(self) -> None:
        limit = self._config.max_outbox_bytes
        if self._config.when_full == "drop-oldest":
            self._dropping += 1
            try:
                dropped = await self._outbox.drop_oldest(self._outbox.size_bytes - int(limit * _LOW_WATER))
            finally:
                self._dropping -= 1
            self._dropped += len(dropped)
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
                    self._not_lost(by_id[container])
            if not self._dropping:
                for one in by_id.values():
                    one.arrived.clear()
            for cursor in await self._outbox.cursors():
                if (copied := self._copied.get(cursor.ri)) is not None:
                    copied.pending, copied.oldest = cursor.pending, cursor.oldest
        elif self._room.is_set():
            self._room.clear()
            _log.error(
                "the outbox is full (%d bytes): nothing more is taken from the edge until the cloud has taken some",
                limit,
            )

    # --- catching up -------------------------------------------------------------------------------------------------

    async def _catch_up_for_ever(self, copied: Copied) -> None:
        """List what is new whenever something may be missing, and now and then to make sure that nothing is."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.audit_s):
                    await copied.behind.wait()
            copied.behind.clear()
            try:
                await self._edge_link.turn()
                await self._catch_up(copied)
                self._edge_link.worked()
            except Unreachable as error:
                self._edge_link.failed(str(error))
                copied.behind.set()
            except RequestFailed as error:
                self._edge_link.worked()
                if error.status is not Status.NOT_FOUND:
                    copied.trouble = str(error)
                    await asyncio.sleep(1.0)
            except OutboxError:
                await asyncio.sleep(1.0)

    async def _catch_up(self, copied: Copied) -> None:
        more = True
        while more:
            await self._room.wait()
            first = copied.complete + 1
            page = await self._source.newer(copied.path, first, self._config.page)
            copied.listed = time.time()
            if str(page.container.get("ri", copied.ri)) != copied.ri:
                # Another container has taken the address: discovery finds it under its own identity.
                copied.wanted = False
                return
            items = [item for instance in page.instances if (item := self._item(copied, instance)) is not None]
            if len(items) < len(page.instances):
                copied.trouble = "instances without stateTag (st) cannot be ordered and are not copied"
                _log.error("%s: %s", copied.path, copied.trouble)
            more = page.more and bool(items)
            if items:
                copied.complete = max(copied.complete, items[-1].tag)
                await self._store(copied, items, first)

    # --- forwarding --------------------------------------------------------------------------------------------------

    async def _forward_for_ever(self, copied: Copied) -> None:
        """Forward a container's instances one after the other."""
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
                    self._outbox.forget(copied.id, item, again=True)
                    self._left(copied, item)
                else:
                    await self._forward(copied, item)
                copied.oldest = batch[place + 1].taken if place + 1 < len(batch) else time.time()
            if batch:
                copied.loaded.set()

    async def _forward(self, copied: Copied, item: Item) -> None:
        """Bring one instance to the cloud, however long that takes, or put it aside for good."""
        attempts = 0
        while True:
            await self._cloud_link.turn()
            if item.name in copied.skip:
                return
            try:
                async with self._sending:
                    await self._target.build(copied.path, copied.ancestors)
                    await self._target.create(copied.path, item)
            except Unreachable as error:
                self._cloud_link.failed(str(error))
                continue
            except (TargetTrouble, Hopeless) as error:
                self._cloud_link.worked()
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
            self._cloud_link.worked()
            copied.trouble = ""
            copied.forwarded += 1
            if item.name in copied.skip:  # it was dropped while it was on its way
                self._not_lost(copied)
                copied.last_sent = item.name
            else:
                if self._dropping:
                    copied.arrived[item.name] = len(item.body)
                self._outbox.forget(copied.id, item)
                self._left(copied, item)
            return

    def _not_lost(self, copied: Copied) -> None:
        self._dropped -= 1
        self._outbox.not_lost(copied.path)

    async def _put_aside(self, copied: Copied, item: Item, reason: str) -> None:
        _log.error("%s: the cloud refuses instance %s for good (%s): kept aside", copied.path, item.name, reason)
        with suppress(OutboxError):
            await self._outbox.refuse(copied.id, copied.path, item, reason)
            self._refused += 1
            self._left(copied, item)

    def _left(self, copied: Copied, item: Item) -> None:
        copied.last_sent = item.name
        copied.pending = max(0, copied.pending - 1)
        if not self._room.is_set() and self._outbox.size_bytes < self._config.max_outbox_bytes * _LOW_WATER:
            _log.warning("the outbox has room again")
            self._room.set()
