"""Notifications over WebSockets that subscribers open: one ordered queue per subscription [MEC 009 6.12a]."""

import asyncio
from collections import deque
from collections.abc import Callable

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from mec_adapter.platform.events import Delivery, notification_type

_NORMAL, _GOING_AWAY = 1000, 1001


class _Connection:
    """One open WebSocket, and how it is woken and told to end."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.ending: tuple[int, str] | None = None

    def end(self, code: int, reason: str) -> None:
        self.ending = (code, reason)
        self.woken.set()


class SocketNotifier:
    """Delivers notifications as JSON text frames; what comes while nobody is connected waits for the next connection.

    A notification counts as delivered when the frame was handed to the connection. The newest connection of a
    subscription wins. Nothing is expected from the subscriber; what it sends is ignored.

    Args:
        queue_length: how many notifications wait per subscription; the oldest is given up beyond that.
        give_up: told about each that is given up, with the reason.
    """

    def __init__(self, queue_length: int, give_up: Callable[[Delivery, str], None]) -> None:
        self._queue_length = queue_length
        self._give_up = give_up
        self._queues: dict[str, deque[Delivery]] = {}
        self._connections: dict[str, _Connection] = {}
        self.delivered = 0

    def enqueue(self, delivery: Delivery) -> None:
        """Put a notification behind those of its subscription; returns at once."""
        connection = self._connections.get(delivery.subscription_id)
        if connection is None and notification_type(delivery.body) == "ExpiryNotification":
            # Its subscription is gone: nobody can connect for it any more.
            self._queues.pop(delivery.subscription_id, None)
            return
        queue = self._queues.setdefault(delivery.subscription_id, deque())
        if len(queue) >= self._queue_length:
            self._give_up(queue.popleft(), f"more than {self._queue_length} notifications were waiting")
        queue.append(delivery)
        if connection is not None:
            connection.woken.set()

    def forget(self, subscription_id: str) -> None:
        """Send nothing more for a subscription, and close its connection."""
        self._queues.pop(subscription_id, None)
        if (connection := self._connections.get(subscription_id)) is not None:
            connection.end(_NORMAL, "the subscription is gone")

    def waiting(self) -> int:
        """Return how many notifications wait to be sent."""
        return sum(len(queue) for queue in self._queues.values())

    def close(self) -> None:
        """Let all connections end."""
        for connection in self._connections.values():
            connection.end(_GOING_AWAY, "the platform stops")

    async def serve(self, subscription_id: str, socket: WebSocket) -> None:
        """Send what waits and what comes, until either side ends the connection.

        Args:
            subscription_id: whose notifications.
            socket: not accepted yet.
        """
        await socket.accept()
        if (older := self._connections.get(subscription_id)) is not None:
            older.end(_NORMAL, "a newer connection took over")
        connection = self._connections[subscription_id] = _Connection()
        listening = asyncio.create_task(_until_closed(socket, connection))
        try:
            while connection.ending is None:
                connection.woken.clear()
                await self._send_waiting(subscription_id, socket, connection)
                if connection.ending is None:
                    await connection.woken.wait()
            if not listening.done():
                await socket.close(*connection.ending)
        except (WebSocketDisconnect, RuntimeError):
            # The other side went while a frame was being sent; the notification waits for its next connection.
            return
        finally:
            listening.cancel()
            if self._connections.get(subscription_id) is connection:
                del self._connections[subscription_id]

    async def _send_waiting(self, subscription_id: str, socket: WebSocket, connection: _Connection) -> None:
        while connection.ending is None and (queue := self._queues.get(subscription_id)):
            delivery = queue[0]
            await socket.send_text(orjson.dumps(delivery.body).decode())
            if queue and queue[0] is delivery:
                queue.popleft()
            self.delivered += 1
            if not queue:
                self._queues.pop(subscription_id, None)
            if notification_type(delivery.body) == "ExpiryNotification":
                connection.end(_NORMAL, "the subscription is over")


async def _until_closed(socket: WebSocket, connection: _Connection) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    connection.end(_NORMAL, "")
