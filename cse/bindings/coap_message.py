"""The CoAP message format: datagram to options and payload, and back (RFC 7252 clause 3, RFC 7959 clause 2.2).

Written out here because the server answers every datagram with it: see docs/adr/0007-coap-fast-path.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

CON, NON, ACK, RST = 0, 1, 2, 3

EMPTY = 0
GET, POST, PUT, DELETE, FETCH = 1, 2, 3, 4, 5

URI_HOST, ETAG, URI_PORT, LOCATION_PATH, URI_PATH = 3, 4, 7, 8, 11
OBSERVE, CONTENT_FORMAT, MAX_AGE, URI_QUERY, ACCEPT = 6, 12, 14, 15, 17
BLOCK2, BLOCK1, SIZE2, PROXY_URI, PROXY_SCHEME, SIZE1 = 23, 27, 28, 35, 39, 60
ECHO, REQUEST_TAG = 252, 292

MAX_TOKEN_BYTES = 8
_NUMBER = itemgetter(0)


class MessageError(ValueError):
    """A datagram that is no CoAP message.

    Attributes:
        message_id: its message ID when the first four bytes could be read, else None.
        confirmable: its sender waits for an acknowledgement, so a reset is due.
    """

    def __init__(self, reason: str, message_id: int | None = None, confirmable: bool = False) -> None:
        super().__init__(reason)
        self.message_id = message_id
        self.confirmable = confirmable


class Block(NamedTuple):
    """The value of a Block1 or Block2 option (RFC 7959 clause 2.2).

    Attributes:
        number: which block, from 0.
        more: another block follows.
        exponent: SZX; a block has ``2 ** (exponent + 4)`` bytes.
    """

    number: int
    more: bool
    exponent: int

    @property
    def size_bytes(self) -> int:
        """How long a block is that is not the last."""
        return 1 << (self.exponent + 4)

    @property
    def offset_bytes(self) -> int:
        """Where the block begins in the body."""
        return self.number << (self.exponent + 4)


@dataclass(slots=True)
class Message:
    """A CoAP message.

    Attributes:
        type: CON, NON, ACK or RST.
        code: class and detail as on the wire: ``class << 5 | detail``.
        message_id: 0 to 65535.
        token: 0 to 8 bytes.
        options: (number, value), in ascending order when decoded; any order will do for encoding.
        head: what is known of its options from a request before, see ``coap_heads``.
    """

    code: int
    type: int = CON
    message_id: int = 0
    token: bytes = b""
    options: list[tuple[int, bytes]] = field(default_factory=list)
    payload: bytes = b""
    head: Any = field(default=None, repr=False, compare=False)

    def option(self, number: int) -> bytes | None:
        """The first value of an option, None when it is absent."""
        for found, value in self.options:
            if found == number:
                return value
        return None


def code(dotted: str) -> int:
    """The wire value of a code written ``4.04``; "" is the empty message."""
    if not dotted:
        return EMPTY
    major, _, minor = dotted.partition(".")
    return int(major) << 5 | int(minor)


def dotted(code: int) -> str:
    """A code as people write it: ``4.04``."""
    return f"{code >> 5}.{code & 31:02d}"


def uint(value: int) -> bytes:
    """An option value of format uint: no leading zeros, 0 is empty (RFC 7252 clause 3.2)."""
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


def encode_block(block: Block) -> bytes:
    """The value of a Block1 or Block2 option."""
    return uint(block.number << 4 | block.more << 3 | block.exponent)


def decode_block(value: bytes) -> Block:
    """A Block1 or Block2 option.

    Raises:
        ValueError: longer than 3 bytes, or the reserved size exponent 7.
    """
    if len(value) > 3:
        raise ValueError("a block option has at most 3 bytes")
    number = int.from_bytes(value, "big")
    if number & 7 == 7:
        raise ValueError("block size exponent 7 is reserved: use 0 to 6")
    return Block(number >> 4, bool(number & 8), number & 7)


def decode(datagram: bytes) -> Message:
    """The message in a datagram.

    Raises:
        MessageError: wrong version, truncated, reserved lengths, a payload marker without payload, or an empty
            message with content.
    """
    length = len(datagram)
    if length < 4 or datagram[0] >> 6 != 1:
        raise MessageError("not a CoAP version 1 message")
    first = datagram[0]
    kind = (first >> 4) & 3
    message_id = datagram[2] << 8 | datagram[3]
    position = 4 + (first & 15)
    options: list[tuple[int, bytes]] = []
    try:
        if first & 15 > MAX_TOKEN_BYTES or position > length:
            raise ValueError("the token is longer than 8 bytes or than the datagram")
        if not datagram[1] and length > 4:
            raise ValueError("an empty message has content")
        payload = _decode_options(datagram, position, length, options)
    except (ValueError, IndexError) as error:
        raise MessageError(str(error), message_id, kind == CON) from error
    return Message(datagram[1], kind, message_id, datagram[4:position], options, payload)


def _decode_options(datagram: bytes, position: int, length: int, options: list[tuple[int, bytes]]) -> bytes:
    """Append the options to ``options``; returns the payload."""
    number = 0
    while position < length:
        byte = datagram[position]
        position += 1
        delta, size = byte >> 4, byte & 15
        if delta > 12 or size > 12:  # few options
            if byte == 0xFF:
                if position == length:
                    raise ValueError("a payload marker without payload")
                return datagram[position:]
            if delta > 12:
                delta, position = _extended_field(datagram, position, delta)
            if size > 12:
                size, position = _extended_field(datagram, position, size)
        number += delta
        end = position + size
        if end > length or number > 65535:
            raise ValueError("an option is longer than the datagram, or its number beyond 65535")
        options.append((number, datagram[position:end]))
        position = end
    return b""


def _extended_field(datagram: bytes, position: int, nibble: int) -> tuple[int, int]:
    """An option's delta or length of 13 and more, and the position behind its extension (RFC 7252 clause 3.1)."""
    if nibble == 13:
        return datagram[position] + 13, position + 1
    if nibble == 14:
        return (datagram[position] << 8 | datagram[position + 1]) + 269, position + 2
    raise ValueError("option delta or length 15 is reserved")


def _extended(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


@lru_cache(maxsize=1024)  # the options of oneM2M have few numbers, and values of few lengths
def _option_head(delta: int, size: int) -> bytes:
    """What stands before the value of an option."""
    delta_nibble, delta_rest = _extended(delta)
    size_nibble, size_rest = _extended(size)
    return bytes((delta_nibble << 4 | size_nibble,)) + delta_rest + size_rest


def encode(message: Message) -> bytes:
    """The datagram of a message; options are put in order, those of one number keep theirs."""
    token = message.token
    message_id = message.message_id
    parts = [bytes((0x40 | message.type << 4 | len(token), message.code, message_id >> 8, message_id & 255)), token]
    previous = 0
    for number, value in sorted(message.options, key=_NUMBER):
        parts.append(_option_head(number - previous, len(value)))
        parts.append(value)
        previous = number
    if message.payload:
        parts.append(b"\xff")
        parts.append(message.payload)
    return b"".join(parts)
