"""What the console is told as it happens: named server-sent events, a bounded queue for each browser (ADR 0023)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from cse.console.people import Person, Refused, Role
from cse.onem2m.serialisation import dump_json

AsgiReceive = Callable[[], Awaitable[MutableMapping[str, Any]]]
AsgiSend = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: browsers at a time
CLIENTS = 16
#: events waiting for one browser; beyond, the oldest go, and it is told how many
QUEUED = 500
HEARTBEAT_S = 10.0
#: events are sent in bunches: nobody reads faster
_PAUSE_S = 0.1


class LiveClient:
    """One browser that listens.

    Args:
        number: its name.
        person: who sits at it.
    """

    def __init__(self, number: int, person: Person) -> None:
        self.number, self.person = number, person
        self._queue: deque[bytes] = deque()
        self._dropped = 0
        self._wake = asyncio.Event()
        self.ended = False
        #: called when it is gone
        self.on_gone: list[Callable[[], None]] = []

    def put(self, event: bytes) -> None:
        """Have an event sent."""
        if len(self._queue) >= QUEUED:
            self._queue.popleft()
            self._dropped += 1
        self._queue.append(event)
        self._wake.set()

    def end(self) -> None:
        """Let it go after what waits for it."""
        self.ended = True
        self._wake.set()

    def take(self) -> bytes:
        """What waits, with how many were dropped before it."""
        bunch = b"".join(self._queue)
        self._queue.clear()
        self._wake.clear()
        if self._dropped:
            bunch = encode_event("dropped", {"dropped": self._dropped}) + bunch
            self._dropped = 0
        return bunch

    async def wait(self, timeout_s: float) -> None:
        """Return when something waits, or after a time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return


class Live:
    """Everybody who listens.

    Args:
        someone: told True when the first one comes, False when the last one goes.
        heartbeat_s: pause between signs of life, in seconds.
        still: whether a person may listen on as he does; asked as often.
    """

    def __init__(
        self,
        someone: Callable[[bool], None] = lambda here: None,
        heartbeat_s: float = HEARTBEAT_S,
        still: Callable[[Person], bool] = lambda person: True,
    ) -> None:
        self._someone, self._heartbeat_s, self._still = someone, heartbeat_s, still
        self._clients: dict[int, LiveClient] = {}
        self._last = 0
        self._stopping = False

    @property
    def count(self) -> int:
        """How many listen."""
        return len(self._clients)

    @property
    def has_others(self) -> bool:
        """Whether others than administrators listen."""
        return any(client.person.role is not Role.ADMIN for client in self._clients.values())

    def client(self, number: int, person: Person) -> LiveClient:
        """The browser with this number, when it is this person's.

        Raises:
            Refused: it is not.
        """
        found = self._clients.get(number)
        if found is None or found.person.originator != person.originator:
            raise Refused(404, "nobody listens under this number: open /console/api/live first")
        return found

    def publish(self, name: str, data: Mapping[str, Any], sees: Callable[[Person], bool] = lambda person: True) -> None:
        """Tell everybody who listens.

        Args:
            name: of the event: request, change, delivery, stack.
            data: what happened.
            sees: who may know.
        """
        if not self._clients:
            return
        event = encode_event(name, data)
        for client in self._clients.values():
            if sees(client.person):
                client.put(event)

    def close(self) -> None:
        """End all streams."""
        self._stopping = True
        for client in self._clients.values():
            client.end()

    async def answer(self, person: Person, receive: AsgiReceive, send: AsgiSend, headers: list[Any]) -> None:
        """Send events until one side goes away.

        Raises:
            Refused: too many listen already.
        """
        if self._stopping or len(self._clients) >= CLIENTS:
            raise Refused(503, f"{len(self._clients)} consoles are open already: close one", retry_after_s=10)
        self._last += 1
        client = self._clients[self._last] = LiveClient(self._last, person)
        if len(self._clients) == 1:
            self._someone(True)
        gone = asyncio.ensure_future(_disconnected(receive))
        gone.add_done_callback(lambda _: client.end())
        try:
            fields = [(b"Content-Type", b"text/event-stream"), (b"X-Accel-Buffering", b"no"), *headers]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            client.put(encode_event("hello", {"client": client.number}))
            asked_s = time.monotonic()
            while not client.ended:
                await client.wait(self._heartbeat_s)
                if time.monotonic() - asked_s >= self._heartbeat_s:
                    asked_s = time.monotonic()
                    if not self._still(person):
                        break
                bunch = client.take()
                await send({"type": "http.response.body", "body": bunch or b":\n\n", "more_body": True})
                await asyncio.sleep(_PAUSE_S)
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            del self._clients[client.number]
            for tell in client.on_gone:
                tell()
            if not self._clients:
                self._someone(False)


def encode_event(name: str, data: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + dump_json(data) + b"\n\n"


async def _disconnected(receive: AsgiReceive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


__all__ = ["CLIENTS", "QUEUED", "Live", "LiveClient", "encode_event"]
