"""Bodies larger than a datagram: Block1 assembly and Block2 serving, both bounded (RFC 7959; trust.md R14).

Pure: the time is handed in. What goes wrong between blocks is answered by the transport, with a text for people and
without a response status code (TS-0008 clause 6.5).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from cse.bindings.coap_message import (
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    ECHO,
    GET,
    MAX_AGE,
    OBSERVE,
    SIZE1,
    SIZE2,
    Block,
    Message,
    code,
    decode_block,
    encode_block,
    uint,
)

LARGEST_EXPONENT = 6
LARGEST_BLOCK_BYTES = 1 << (LARGEST_EXPONENT + 4)
_CONTINUE, _INCOMPLETE, _TOO_LARGE = code("2.31"), code("4.08"), code("4.13")
_BAD_REQUEST, _UNAVAILABLE = code("4.00"), code("5.03")
#: options that may differ between the blocks of one transfer
_NOT_IN_KEY = frozenset((BLOCK1, BLOCK2, SIZE1, SIZE2, OBSERVE, CONTENT_FORMAT, ECHO))

Peer = Hashable


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """What block transfers may take.

    Attributes:
        body_bytes: largest body of a request.
        per_peer: unfinished request bodies of one endpoint.
        total: unfinished request bodies of all, and bodies of responses kept for their next blocks.
        total_bytes: memory for either.
        lifetime_s: how long an unfinished transfer is kept after its last block.
    """

    body_bytes: int = 64 * 1024
    per_peer: int = 8
    total: int = 256
    total_bytes: int = 32 * 1024 * 1024
    lifetime_s: float = 30.0


class Taken(NamedTuple):
    """What became of a request message: the whole ``request``, or an ``answer`` to send at once."""

    request: Message | None
    answer: Message | None


@dataclass(slots=True)
class _Assembly:
    expires: float
    body: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Body:
    expires: float
    response: Message


def refusal(wire_code: int, text: str, *options: tuple[int, bytes]) -> Message:
    """An answer of the transport: a code and a text for people, no response status code."""
    return Message(wire_code, options=list(options), payload=text.encode())


def overloaded(text: str) -> Message:
    """5.03 with the time after which to try again (RFC 7252 clause 5.9.3.4)."""
    return refusal(_UNAVAILABLE, text, (MAX_AGE, uint(5)))


class Blockwise:
    """The block transfers of one endpoint.

    Args:
        limits: what they may take.
    """

    def __init__(self, limits: BlockLimits) -> None:
        self._limits = limits
        self._assemblies: OrderedDict[tuple[Peer, Hashable], _Assembly] = OrderedDict()
        self._assembled_bytes = 0
        self._per_peer: Counter[Peer] = Counter()
        self._bodies: OrderedDict[tuple[Peer, Hashable], _Body] = OrderedDict()
        self._body_bytes = 0

    def take(self, peer: Peer, message: Message, now: float) -> Taken:
        """Take a request message, one block or all of it.

        Args:
            peer: the endpoint it came from.
            message: as received.
            now: seconds of a monotonic clock.
        """
        raw1, raw2 = message.option(BLOCK1), message.option(BLOCK2)
        if raw1 is None and raw2 is None:
            if len(message.payload) > self._limits.body_bytes:
                return Taken(None, self._too_large())
            return Taken(message, None)
        try:
            block1 = None if raw1 is None else decode_block(raw1)
            block2 = None if raw2 is None else decode_block(raw2)
        except ValueError as error:
            return Taken(None, refusal(_BAD_REQUEST, str(error)))
        if block2 is not None and block2.number:
            return self._later_block(peer, message, block2, now)
        if block1 is None:
            return Taken(message, None)
        return self._assemble(peer, message, block1, now)

    def _later_block(self, peer: Peer, message: Message, block: Block, now: float) -> Taken:
        key = (peer, _transfer(message))
        body = self._bodies.get(key)
        if body is not None and body.expires > now:
            body.expires = now + self._limits.lifetime_s
            self._bodies.move_to_end(key)
            return Taken(None, _slice(body.response, block))
        if message.code == GET:
            return Taken(message, None)  # reading again is harmless
        return Taken(None, refusal(_INCOMPLETE, "this answer is no longer kept: send the request again from block 0"))

    def _assemble(self, peer: Peer, message: Message, block: Block, now: float) -> Taken:
        self._sweep(now)
        key = (peer, _transfer(message))
        announced = int.from_bytes((message.option(SIZE1) or b"")[:8], "big")
        if max(announced, block.offset_bytes + len(message.payload)) > self._limits.body_bytes:
            self._drop(key)
            return Taken(None, self._too_large())
        if block.more and len(message.payload) != block.size_bytes:
            return Taken(
                None, refusal(_BAD_REQUEST, f"a block that is not the last must have {block.size_bytes} bytes")
            )
        if not block.number:
            self._drop(key)
            if not block.more:
                return Taken(_without_block1(message, message.payload), None)
            if self._per_peer[peer] >= self._limits.per_peer or len(self._assemblies) >= self._limits.total:
                return Taken(None, overloaded("too many unfinished block transfers: finish or abandon one first"))
            self._assemblies[key] = _Assembly(now)
            self._per_peer[peer] += 1
        assembly = self._assemblies.get(key)
        if assembly is None or len(assembly.body) != block.offset_bytes:
            self._drop(key)
            return Taken(None, refusal(_INCOMPLETE, "a block is missing: send the body again from block 0"))
        if self._assembled_bytes + len(message.payload) > self._limits.total_bytes:
            self._drop(key)
            return Taken(None, overloaded("no memory for another block transfer: try again later"))
        assembly.body += message.payload
        self._assembled_bytes += len(message.payload)
        if not block.more:
            body = bytes(assembly.body)
            self._drop(key)
            return Taken(_without_block1(message, body), None)
        assembly.expires = now + self._limits.lifetime_s
        self._assemblies.move_to_end(key)
        return Taken(None, Message(_CONTINUE, options=[(BLOCK1, encode_block(block))]))

    def give(self, peer: Peer, request: Message, response: Message, now: float) -> Message:
        """What to send of a response now; what is left is kept for the requests for its later blocks.

        Args:
            peer: the endpoint that asked.
            request: the request message as received, the last of its blocks.
            response: the whole response.
            now: seconds of a monotonic clock.
        """
        raw1, raw2 = request.option(BLOCK1), request.option(BLOCK2)
        if raw1 is not None:
            last = decode_block(raw1)
            response.options.append((BLOCK1, encode_block(Block(last.number, False, last.exponent))))
        if raw2 is None and len(response.payload) <= LARGEST_BLOCK_BYTES:
            return response
        wanted = Block(0, False, LARGEST_EXPONENT) if raw2 is None else decode_block(raw2)
        if len(response.payload) > wanted.size_bytes:
            self._keep(peer, request, response, now)
        return _slice(response, wanted)

    def _keep(self, peer: Peer, request: Message, response: Message, now: float) -> None:
        key = (peer, _transfer(request))
        if len(response.payload) > self._limits.total_bytes:
            return
        self._forget(key)
        self._bodies[key] = _Body(now + self._limits.lifetime_s, response)
        self._body_bytes += len(response.payload)
        while self._bodies:
            oldest, body = next(iter(self._bodies.items()))
            if (
                body.expires > now
                and len(self._bodies) <= self._limits.total
                and self._body_bytes <= self._limits.total_bytes
            ):
                break
            self._forget(oldest)

    def _forget(self, key: tuple[Peer, Hashable]) -> None:
        body = self._bodies.pop(key, None)
        if body is not None:
            self._body_bytes -= len(body.response.payload)

    def _sweep(self, now: float) -> None:
        while self._assemblies:
            key, oldest = next(iter(self._assemblies.items()))
            if oldest.expires > now:
                break
            self._drop(key)

    def _drop(self, key: tuple[Peer, Hashable]) -> None:
        assembly = self._assemblies.pop(key, None)
        if assembly is not None:
            self._assembled_bytes -= len(assembly.body)
            self._per_peer[key[0]] -= 1
            if not self._per_peer[key[0]]:
                del self._per_peer[key[0]]

    def _too_large(self) -> Message:
        limit = self._limits.body_bytes
        return refusal(_TOO_LARGE, f"the body may have at most {limit} bytes", (SIZE1, uint(limit)))


def has_blocks(message: Message) -> bool:
    """Whether a received message, whose options are in order, is part of a block transfer or negotiates one."""
    for number, _ in message.options:
        if number >= BLOCK2:
            return number in (BLOCK1, BLOCK2) or message.option(BLOCK1) is not None
    return False


def _transfer(message: Message) -> Hashable:
    """What the messages of one block transfer have in common besides their endpoint (RFC 7959 clause 2.5, RFC 9175)."""
    return message.code, tuple(option for option in message.options if option[0] not in _NOT_IN_KEY)


def _without_block1(message: Message, body: bytes) -> Message:
    options = [option for option in message.options if option[0] not in (BLOCK1, SIZE1)]
    return Message(message.code, message.type, message.message_id, message.token, options, body)


def _slice(response: Message, block: Block) -> Message:
    start = block.offset_bytes
    total = len(response.payload)
    if start >= total and start:
        return refusal(_BAD_REQUEST, f"the answer ends before block {block.number}")
    more = start + block.size_bytes < total
    options = [*response.options, (BLOCK2, encode_block(Block(block.number, more, block.exponent)))]
    if not block.number:
        options.append((SIZE2, uint(total)))
    return Message(response.code, options=options, payload=response.payload[start : start + block.size_bytes])
