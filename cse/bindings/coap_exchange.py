"""The message layer of a CoAP server: acknowledgement, duplicates, retransmission (RFC 7252 clause 4)."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from cse.bindings.coap_message import ACK, CON, EMPTY, NON, RST, Message, MessageError, decode, encode

#: (host, port) or, for IPv6, (host, port, flow, scope)
Peer = tuple[Any, ...]
# A copy is the same datagram from the same endpoint. The message ID alone would do for peers that keep to RFC 7252
# clause 4.4, but small devices begin to count anew after a reset and must not get the answer of another request.
_Key = tuple[Peer, int]
_IN_PROGRESS = b""
_FIRST_RESPONSE_CODE = 2 << 5


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Times and bounds of the message layer (RFC 7252 clause 4.8).

    Attributes:
        ack_after_s: an answer that takes longer is announced by an empty acknowledgement and sent on its own.
        ack_timeout_s: first wait for the acknowledgement of such an answer; doubled at each retransmission.
        ack_random_factor: the first wait is up to this many times longer.
        max_retransmit: retransmissions before giving up.
        exchange_lifetime_s: how long a request is remembered for its copies.
        remembered: requests remembered, the oldest give way.
        unacknowledged: answers that may wait for an acknowledgement at a time; more are sent once.
    """

    ack_after_s: float = 1.0
    ack_timeout_s: float = 2.0
    ack_random_factor: float = 1.5
    max_retransmit: int = 4
    exchange_lifetime_s: float = 247.0
    remembered: int = 20_000
    unacknowledged: int = 1024


class Exchange:
    """A request that was received once, whatever its number of copies, and takes one answer.

    Attributes:
        message: the request.
        peer: the endpoint that sent it.
        key: what its copies have in common.
        size_bytes: of its datagram.
        received_s: when, on the loop's clock.
        proven: the peer is known to be at its address.
        in_blocks: the request is part of a block transfer, or negotiates one.
    """

    __slots__ = (
        "_acknowledged",
        "_endpoint",
        "in_blocks",
        "key",
        "message",
        "peer",
        "proven",
        "received_s",
        "size_bytes",
    )

    def __init__(
        self, endpoint: ExchangeEndpoint, message: Message, peer: Peer, key: _Key, size_bytes: int, received_s: float
    ) -> None:
        self.received_s = received_s
        self.in_blocks = False
        self.size_bytes = size_bytes
        self.proven = True
        self.message = message
        self.peer = peer
        self.key = key
        self._endpoint = endpoint
        self._acknowledged = False

    def acknowledge(self) -> None:
        """Send an empty acknowledgement: the answer will come on its own, or there is none."""
        self._acknowledged = True
        self._endpoint.reply(self, Message(EMPTY, ACK, self.message.message_id))

    def respond(self, answer: Message | None) -> None:
        """Send the answer: with the acknowledgement when that is still to come, else on its own.

        Args:
            answer: its type, message ID and token are set here; None acknowledges and answers nothing.
        """
        request = self.message
        if answer is None:
            if request.type == CON and not self._acknowledged:
                self.acknowledge()
            return
        answer.token = request.token
        if request.type == CON and not self._acknowledged:
            answer.type, answer.message_id = ACK, request.message_id
            self._acknowledged = True
            self._endpoint.reply(self, answer)
        elif request.type == CON:
            self._endpoint.send_separately(self.peer, answer, repeat=self.proven)
        else:
            answer.type, answer.message_id = NON, self._endpoint.next_message_id()
            self._endpoint.send(self.peer, encode(answer))


class ExchangeEndpoint(asyncio.DatagramProtocol):
    """A UDP socket that answers CoAP requests.

    Args:
        on_request: is called once for each request; it must see to it that the exchange is answered.
        limits: times and bounds.
        read: takes a datagram apart, as ``coap_message.decode`` does.
    """

    def __init__(
        self,
        on_request: Callable[[Exchange], None],
        limits: ExchangeLimits,
        read: Callable[[bytes], Message] = decode,
    ) -> None:
        self._read = read
        self._on_request = on_request
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._message_id = random.getrandbits(16)
        #: -> (when to forget it, what was sent)
        self._recent: OrderedDict[_Key, tuple[float, bytes]] = OrderedDict()
        #: confirmable requests without acknowledgement or answer so far -> when to acknowledge, in order
        self._unanswered: dict[Exchange, float] = {}
        self._acknowledging: asyncio.TimerHandle | None = None
        self._unacknowledged: dict[tuple[Peer, int], asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transport is none of asyncio's classes, but has their methods.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all retransmissions."""
        self._transport = None
        if self._acknowledging is not None:
            self._acknowledging.cancel()
        for timer in self._unacknowledged.values():
            timer.cancel()
        self._unacknowledged.clear()

    def error_received(self, exc: Exception) -> None:
        """Pass over: a peer that is gone is found out by the missing acknowledgement."""

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        """Take one datagram."""
        try:
            message = self._read(data)
        except MessageError as error:
            if error.confirmable and error.message_id is not None:
                self._reset(addr, error.message_id)
            return
        if message.type >= ACK:
            timer = self._unacknowledged.pop((addr, message.message_id), None)
            if timer is not None:
                timer.cancel()
        elif EMPTY < message.code < 32:
            self._request(message, addr, (addr, hash(data)), len(data))
        elif message.type == CON:
            # A ping, an answer nobody here asked for, or a reserved code.
            self._reset(addr, message.message_id)

    def _request(self, message: Message, peer: Peer, key: _Key, size_bytes: int) -> None:
        known = self._recent.get(key)
        now = self._loop.time()
        if known is not None:
            expires, sent = known
            if expires > now:
                if sent and message.type == CON:
                    self.send(peer, sent)
                return
            del self._recent[key]
        self._recent[key] = (now + self._limits.exchange_lifetime_s, _IN_PROGRESS)
        if len(self._recent) > self._limits.remembered:
            self._recent.popitem(last=False)
        exchange = Exchange(self, message, peer, key, size_bytes, now)
        if message.type == CON:
            self._unanswered[exchange] = now + self._limits.ack_after_s
            if self._acknowledging is None:
                self._acknowledging = self._loop.call_later(self._limits.ack_after_s, self._acknowledge_slow)
        self._on_request(exchange)

    def _acknowledge_slow(self) -> None:
        # One timer for all requests: most are answered long before it runs.
        now = self._loop.time()
        due = [exchange for exchange, when in self._unanswered.items() if when <= now]
        for exchange in due:
            exchange.acknowledge()
        first = next(iter(self._unanswered.values()), None)
        self._acknowledging = None if first is None else self._loop.call_later(first - now, self._acknowledge_slow)

    def reply(self, exchange: Exchange, message: Message) -> None:
        """Send an acknowledgement, empty or with the answer, and keep it for copies of the request."""
        self._unanswered.pop(exchange, None)
        datagram = encode(message)
        known = self._recent.get(exchange.key)
        if known is not None:
            self._recent[exchange.key] = (known[0], datagram)
        self.send(exchange.peer, datagram)

    def send_separately(self, peer: Peer, answer: Message, *, repeat: bool = True) -> None:
        """Send a confirmable answer until it is acknowledged, or once to a peer that may not be there."""
        answer.type, answer.message_id = CON, self.next_message_id()
        datagram = encode(answer)
        self.send(peer, datagram)
        if repeat and len(self._unacknowledged) < self._limits.unacknowledged:
            wait_s = self._limits.ack_timeout_s * random.uniform(1.0, self._limits.ack_random_factor)
            self._await_acknowledgement((peer, answer.message_id), datagram, wait_s, self._limits.max_retransmit)

    def _await_acknowledgement(self, key: tuple[Peer, int], datagram: bytes, wait_s: float, left: int) -> None:
        self._unacknowledged[key] = self._loop.call_later(wait_s, self._retransmit, key, datagram, wait_s, left)

    def _retransmit(self, key: tuple[Peer, int], datagram: bytes, wait_s: float, left: int) -> None:
        del self._unacknowledged[key]
        if left:
            self.send(key[0], datagram)
            self._await_acknowledgement(key, datagram, 2 * wait_s, left - 1)

    def next_message_id(self) -> int:
        """A message ID for a message that is no acknowledgement."""
        self._message_id = (self._message_id + 1) & 0xFFFF
        return self._message_id

    def _reset(self, peer: Peer, message_id: int) -> None:
        self.send(peer, encode(Message(EMPTY, RST, message_id)))

    def send(self, peer: Peer, datagram: bytes) -> None:
        """Hand a datagram to the socket; nothing when that is closed."""
        if self._transport is not None:
            self._transport.sendto(datagram, peer)
