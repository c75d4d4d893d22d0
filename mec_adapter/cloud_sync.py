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
from mec_adapter.sync_forwarding import Forwarder
from mec_adapter.sync_pace import Pace, Pauses, keeps_enough
from mec_adapter.sync_room import Room
from mec_adapter.sync_source import EdgeSource
from mec_adapter.sync_target import Ancestor, CloudTarget, item_of

_log = logging.getLogger("mec_adapter.cloud_sync")

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
        self._pace = Pace(config.busy_per_s)
        self._room = Room(config, self._outbox, self._copied)
        self._forwarder = Forwarder(config, self._outbox, self._target, self._cloud_link, self._room)

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what the outbox holds of earlier runs; forwarding begins at once."""
        self._room.dropped, self._forwarder.refused = await self._outbox.losses()
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
        for copied in self._copied.values():
            self._room.forget_arrived(copied)
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
            not self._room.is_open,
            self._room.dropped,
            self._forwarder.refused,
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
            if copied.wanted and not copied.is_pulled and copied.path in paths and copied.path not in subscribed:
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
            asyncio.create_task(self._forwarder.run(copied), name=f"forward {cursor.path}"),
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
        if item is None or not self._room.is_open:
            # Nothing that can be kept came with it: the listing will bring it.
            copied.behind.set()
            return Status.OK if item is None else Status.TARGET_NOT_REACHABLE
        if item.tag <= copied.durable:
            return Status.OK
        self._pace.took(1)
        if self._pace.is_busy and copied.keeps_enough and not copied.is_pulled:
            copied.is_pulled = True
            copied.behind.set()
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
        await self._room.stored()

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
                await (self._pull(copied) if copied.is_pulled else self._catch_up(copied))
                self._edge_link.worked()
            except Unreachable as error:
                self._edge_link.failed(str(error))
                copied.behind.set()
            except RequestFailed as error:
                self._edge_link.worked()
                copied.is_pulled = False  # discovery subscribes again, if it is still there
                if error.status is not Status.NOT_FOUND:
                    copied.trouble = str(error)
                    await asyncio.sleep(1.0)
            except OutboxError:
                await asyncio.sleep(1.0)

    async def _pull(self, copied: Copied) -> None:
        """List a busy container at intervals instead of being notified, until that is no longer worth it."""
        await self._source.unsubscribe(copied.path)
        pauses = Pauses()
        while copied.keeps_enough and copied.wanted and not self._pace.is_calm and not pauses.is_quiet:
            is_behind = copied.pending > self._config.page
            pauses.brought(await self._catch_up(copied), is_behind=is_behind)
            self._edge_link.worked()
            await asyncio.sleep(pauses.next_s)
        await self._subscribe(copied)
        copied.is_pulled = False

    async def _catch_up(self, copied: Copied) -> int:
        """List what is new and store it; returns how many instances that were."""
        count = 0
        more = True
        while more:
            await self._room.wait()
            first = copied.complete + 1
            page = await self._source.newer(copied.path, first, self._config.page)
            copied.listed = time.time()
            if str(page.container.get("ri", copied.ri)) != copied.ri:
                # Another container has taken the address: discovery finds it under its own identity.
                copied.wanted = False
                return count
            copied.keeps_enough = keeps_enough(page.container)
            items = [item for instance in page.instances if (item := self._item(copied, instance)) is not None]
            if len(items) < len(page.instances):
                copied.trouble = "instances without stateTag (st) cannot be ordered and are not copied"
                _log.error("%s: %s", copied.path, copied.trouble)
            more = page.more and bool(items)
            if items:
                copied.complete = max(copied.complete, items[-1].tag)
                await self._store(copied, items, first)
                count += len(items)
                self._pace.took(len(items))
        return count
