"""What HTTP connections may cost: limits on sizes, slowness and numbers, and one sweep a second over all (TS-0009).

The connection itself is in ``cse.bindings.http_protocol``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cse.bindings.http_message import Header
from cse.bindings.websocket_connection import Upgrade
from cse.onem2m.addressing import is_loopback

_SWEEP_S = 1.0
#: gives the protocol that takes over a connection whose request asks for a WebSocket
AcceptUpgrade = Callable[[Upgrade], asyncio.Protocol]
#: gives the entity a verified TLS client certificate names, "" for none
ReadCertificate = Callable[[Any], str]
#: where the ASGI scope has the entity that the connection proved
CREDENTIAL = "onem2m.credential"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What the HTTP server takes from a peer.

    Attributes:
        body_bytes: largest body.
        head_bytes: largest request line and header fields together.
        line_bytes: longest request target, and longest header field.
        header_count: most header fields.
        head_timeout_s: a head must be complete in this time.
        body_grace_s: after this time a body must have come at ``body_bytes_per_s`` or faster.
        body_bytes_per_s: slowest body.
        idle_timeout_s: an idle connection is closed after this time; one on which nothing ever came, like a slow head.
        connections: most connections in all; a new one takes the place of one that only waits.
        connections_per_address: most connections of one address; loopback, where proxies live, may have all.
    """

    body_bytes: int = 64 * 1024
    head_bytes: int = 16 * 1024
    line_bytes: int = 8 * 1024
    header_count: int = 64
    head_timeout_s: float = 10.0
    body_grace_s: float = 10.0
    body_bytes_per_s: int = 1024
    idle_timeout_s: float = 30.0
    connections: int = 2000
    connections_per_address: int = 64

    def is_head_too_large(self, target: bytes, headers: Sequence[Header]) -> bool:
        """Whether a request target and header fields, or one of these, are larger than this."""
        sizes = [len(name) + len(value) + 4 for name, value in headers]
        return max(sizes, default=0) > self.line_bytes or sum(sizes) + len(target) > self.head_bytes

    @property
    def head_words(self) -> str:
        """What to tell who sends a larger head."""
        return (
            f"the head of the request is beyond {self.header_count} header fields or {self.head_bytes} bytes, "
            f"or one field beyond {self.line_bytes} bytes"
        )


class Guarded(Protocol):
    """A connection, as its guard sees it."""

    transport: asyncio.Transport

    @property
    def address(self) -> str:
        """Of the peer."""
        ...

    @property
    def since_s(self) -> float:
        """When it began what it does now, on the guard's clock."""
        ...

    @property
    def waits(self) -> bool:
        """Whether it is the peer's turn: nothing is being answered."""
        ...

    def check_pace(self, now_s: float) -> None:
        """Close the connection when it idles or its request comes too slowly."""
        ...


class ConnectionGuard:
    """Knows the connections of one server, and closes those that dawdle.

    Args:
        limits: what is allowed.
        accept_upgrade: takes over connections that ask for a WebSocket; None when there are none here.
        read_certificate: tells who a client certificate is of; None when none is asked for.
    """

    def __init__(
        self,
        limits: HttpLimits,
        accept_upgrade: AcceptUpgrade | None = None,
        read_certificate: ReadCertificate | None = None,
    ) -> None:
        self.limits = limits
        self.accept_upgrade = accept_upgrade
        self.read_certificate = read_certificate
        #: seconds on this guard's own coarse clock, which connections stamp for the price of an attribute
        self.now_s = 0.0
        #: in the order they came
        self._open: dict[Guarded, None] = {}
        self._per_address: Counter[str] = Counter()

    def admit(self, connection: Guarded, address: str) -> bool:
        """Whether one more connection from this address is let in; if so it is counted until ``release``."""
        if len(self._open) >= self.limits.connections and not self._make_room():
            return False
        if self._per_address[address] >= self.limits.connections_per_address and not is_loopback(address):
            return False
        self._open[connection] = None
        self._per_address[address] += 1
        return True

    def release(self, connection: Guarded, address: str) -> None:
        """Forget a connection that was let in."""
        if connection in self._open:
            del self._open[connection]
            self._per_address[address] -= 1
            if self._per_address[address] <= 0:
                del self._per_address[address]

    def _make_room(self) -> bool:
        """Close the connection that keeps its place waiting: of the address with most, the one quiet for longest."""
        waiting = [connection for connection in self._open if connection.waits]
        if not waiting:
            return False
        victim = min(waiting, key=lambda one: (-self._per_address[one.address], one.since_s))
        self.release(victim, victim.address)
        victim.transport.abort()
        return True

    async def watch(self) -> None:
        """Close connections that are too slow or idle, for ever."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.sweep(loop.time() - start_s)

    def sweep(self, now_s: float) -> None:
        """Close the connections that are too slow or idle at ``now_s`` (seconds on the guard's clock)."""
        self.now_s = now_s
        for connection in list(self._open):
            connection.check_pace(now_s)
