"""Options of CoAP requests that come again: a device sends the same ones each time, but for the request identifier.

Taking the options apart and making a primitive of them is half of what the binding costs. So options are remembered
as they came up to the request identifier, which has the highest number of those most requests carry. A datagram that
is byte for byte the same up to there, has another plain identifier and then only a body, means the same; everything
else is taken apart. ``cse.bindings.http_heads`` does this for HTTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cse.bindings.coap_codec import ReplyStyle, content_of
from cse.bindings.coap_codes import NEW_NUMBERS
from cse.bindings.coap_message import (
    ACCEPT,
    CONTENT_FORMAT,
    EMPTY,
    MAX_TOKEN_BYTES,
    URI_HOST,
    URI_PATH,
    URI_PORT,
    Message,
    decode,
    encode,
)
from cse.onem2m.primitives import Operation, Request

_RQI = NEW_NUMBERS.rqi
#: options whose meaning does not depend on others
_SIMPLE = frozenset(
    (URI_HOST, URI_PORT, URI_PATH, CONTENT_FORMAT, ACCEPT, NEW_NUMBERS.ty, NEW_NUMBERS.rvi, NEW_NUMBERS.fr)
)
#: a request identifier that no check refuses or mends
_PLAIN = re.compile(rb"[!-~]{1,64}")
_REMEMBERED = 1024
_LONGEST_BYTES = 512
#: a datagram is compared with heads of so many lengths
_LENGTHS = 16


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the request identifier in a request that came before.

    Attributes:
        options: number and value of each option.
        delta: from the last of them to the request identifier.
        has_body: a payload follows.
        content_format: of the payload.
        style: how it wants its answer; the request identifier in it is that of another request.
        operation: as decoded.
        to: as decoded.
        originator: as decoded.
        resource_type: as decoded.
        release: as decoded.
    """

    options: list[tuple[int, bytes]]
    delta: int
    has_body: bool
    content_format: bytes | None
    style: ReplyStyle
    operation: Operation
    to: str
    originator: str
    resource_type: int | None
    release: str | None

    def message(self, datagram: bytes, begin: int, at: int) -> Message | None:
        """The request in a datagram with this head, None when it goes on in another way.

        Args:
            datagram: a confirmable or non-confirmable request.
            begin: where its head begins.
            at: where it ends.
        """
        if at + 1 >= len(datagram) or datagram[at] >> 4 != self.delta:
            return None
        size = datagram[at] & 15
        at += 1
        if size == 13:
            size = datagram[at] + 13
            at += 1
        elif size > 13:
            return None
        end = at + size
        request_id = datagram[at:end]
        payload = datagram[end + 1 :]
        if self.has_body:
            if not payload or datagram[end] != 0xFF:
                return None
        elif end != len(datagram):
            return None
        if not _PLAIN.fullmatch(request_id):
            return None
        return Message(
            datagram[1],
            datagram[0] >> 4 & 3,
            datagram[2] << 8 | datagram[3],
            datagram[4:begin],
            [*self.options, (_RQI, request_id)],
            payload,
            self,
        )

    def reply_style(self, message: Message) -> ReplyStyle:
        """How a request with this head wants its answer."""
        style = self.style
        return ReplyStyle(
            style.numbers, _request_id(message), style.release, style.serialisation, style.format, style.vendor
        )

    def request(self, message: Message) -> Request:
        """The request primitive with this head.

        Raises:
            BadRequest: the body is malformed.
        """
        content = content_of(message.payload, self.content_format) if self.has_body else None
        return Request(
            self.operation,
            self.to,
            self.originator,
            _request_id(message),
            self.resource_type,
            content,
            release=self.release,
        )


def _request_id(message: Message) -> str:
    """That of a message with a head, which has it last."""
    return message.options[-1][1].decode("ascii")


class Heads:
    """The heads a server remembers; those that came first are forgotten first."""

    def __init__(self) -> None:
        self._heads: dict[tuple[int, bytes], Head] = {}
        #: how long heads are -> how many are
        self._lengths: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def read(self, datagram: bytes) -> Message:
        """The message in a datagram; its ``head`` is set when that came before.

        Raises:
            MessageError: see ``coap_message.decode``.
        """
        # version 1, CON or NON
        if len(datagram) > 4 and datagram[0] >> 5 == 2 and datagram[0] & 15 <= MAX_TOKEN_BYTES:
            begin = 4 + (datagram[0] & 15)
            for length in self._lengths:
                end = begin + length
                head = self._heads.get((datagram[1], datagram[begin:end]))
                if head is not None:
                    return head.message(datagram, begin, end) or decode(datagram)
        return decode(datagram)

    def learn(self, message: Message, style: ReplyStyle, request: Request) -> None:
        """Remember the head of a request when it is simple enough.

        Args:
            message: as decoded from one datagram.
            style: of it.
            request: decoded from it.
        """
        *before, (last, _) = message.options
        numbers = {number for number, _ in before}
        if last != _RQI or not numbers <= _SIMPLE or NEW_NUMBERS.rvi not in numbers or (URI_PATH, b"") in before:
            return  # older clients among them, whose dialects are to be counted each time
        if message.payload and CONTENT_FORMAT not in numbers:
            return
        head = encode(Message(EMPTY, options=before))[4:]
        if (message.code, head) in self._heads or len(head) > _LONGEST_BYTES:
            return
        if len(head) not in self._lengths and len(self._lengths) >= _LENGTHS:
            return
        if len(self._heads) >= _REMEMBERED:
            self._forget_oldest()
        self._lengths[len(head)] = self._lengths.get(len(head), 0) + 1
        self._heads[message.code, head] = Head(
            before,
            _RQI - before[-1][0],
            bool(message.payload),
            message.option(CONTENT_FORMAT),
            style,
            request.operation,
            request.to,
            request.originator,
            request.resource_type,
            request.release,
        )

    def _forget_oldest(self) -> None:
        _, head = oldest = next(iter(self._heads))
        del self._heads[oldest]
        self._lengths[len(head)] -= 1
        if not self._lengths[len(head)]:
            del self._lengths[len(head)]
