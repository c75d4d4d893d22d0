"""Connections to other brokers than our own, made when a notification target names one, closed when idle."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cse.bindings.mqtt_codec import BrokerUrl
from cse.bindings.mqtt_connection import BrokerConnection, BrokerUnavailable, Guard, LinkState
from cse.bindings.mqtt_engine import Incoming

#: where a message came in: its connection, and the prefixes its topic may have
OnMessage = Callable[[BrokerConnection, Incoming], None]


@dataclass(slots=True)
class _Entry:
    opening: asyncio.Task[BrokerConnection]
    link: BrokerConnection | None = None
    users: int = 0
    idle: asyncio.TimerHandle | None = None


class OtherBrokers:
    """A pool of connections by broker.

    Args:
        client_id: the own Client Identifier; these connections append something random to it, so that they never take
            the session of the main connection when the broker turns out to be the same one.
        on_message: called with what arrives.
        guard: decides whether and at which address a broker may be reached.
        limit: most connections at a time.
        idle_s: how long an unused connection stays open.
    """

    def __init__(
        self, client_id: str, on_message: OnMessage, *, guard: Guard | None, limit: int = 16, idle_s: float = 60.0
    ) -> None:
        self._client_id, self._on_message, self._guard = client_id, on_message, guard
        self._limit, self._idle_s = limit, idle_s
        self._entries: dict[str, _Entry] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    @asynccontextmanager
    async def connection(self, broker: BrokerUrl) -> AsyncIterator[BrokerConnection]:
        """A connection to ``broker`` for as long as it is used.

        Raises:
            BrokerUnavailable: it cannot be reached, or too many others are in use.
        """
        key = broker.address
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self._limit and not self._drop_idle():
                raise BrokerUnavailable(f"{self._limit} other brokers are in use, {key} must wait")
            opening = asyncio.get_running_loop().create_task(self._open(broker))
            opening.add_done_callback(lambda task: self._opened(key, task))
            entry = self._entries[key] = _Entry(opening)
        entry.users += 1
        try:
            yield await asyncio.shield(entry.opening)
        finally:
            entry.users -= 1
            if not entry.users and self._entries.get(key) is entry:
                entry.idle = asyncio.get_running_loop().call_later(self._idle_s, self._close_idle, key, entry)

    async def close(self) -> None:
        """Close all connections."""
        for key in list(self._entries):
            self._remove(key, self._entries[key])
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _open(self, broker: BrokerUrl) -> BrokerConnection:
        key = broker.address

        def on_state(state: LinkState, _words: str) -> None:
            entry = self._entries.get(key)
            if state is LinkState.LOST and entry is not None and entry.link is link:
                self._remove(key, entry)

        link = BrokerConnection(
            broker,
            f"{self._client_id}::{secrets.token_hex(4)}",
            [],
            on_message=lambda message: self._on_message(link, message),
            on_ready=lambda: None,
            on_state=on_state,
            clean_session=True,
            reconnect=False,
            guard=self._guard,
        )
        await link.start(timeout_s=5.0)
        if key in self._entries:
            self._entries[key].link = link
        return link

    def _opened(self, key: str, opening: asyncio.Task[BrokerConnection]) -> None:
        failed = opening.cancelled() or opening.exception() is not None
        entry = self._entries.get(key)
        if failed and entry is not None and entry.opening is opening:
            del self._entries[key]

    def _drop_idle(self) -> bool:
        for key, entry in self._entries.items():
            if not entry.users:
                self._remove(key, entry)
                return True
        return False

    def _close_idle(self, key: str, entry: _Entry) -> None:
        if not entry.users and self._entries.get(key) is entry:
            self._remove(key, entry)

    def _remove(self, key: str, entry: _Entry) -> None:
        del self._entries[key]
        if entry.idle is not None:
            entry.idle.cancel()
        task = asyncio.get_running_loop().create_task(_finish(entry.opening))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _finish(opening: asyncio.Task[BrokerConnection]) -> None:
    if not opening.done():
        opening.cancel()
    (link,) = await asyncio.gather(opening, return_exceptions=True)
    if isinstance(link, BrokerConnection):
        await link.stop(timeout_s=1.0)
