"""What workers of one CSE tell each other over a Unix socket: requests, answers, connections that change hands.

A frame is its length in four bytes and a pickled tuple. Both ends are forks of one process and the socket lies in a
folder that only their user may enter, so what is unpickled is our own.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any, cast

from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status

#: kinds of frames, in their first place; the first frame of a connection says what it is for
REQUEST, ANSWER, CANCEL, UPGRADE, WATCH, MESSAGE, NOTE, PAGE = range(8)

_HEAD_BYTES = 4
_request_fields = attrgetter(*(field.name for field in fields(Request)))
_response_fields = attrgetter(*(field.name for field in fields(Response)))

Frame = tuple[Any, ...]


def pack(frame: Frame) -> bytes:
    """A frame as bytes."""
    body = pickle.dumps(frame, pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


def request_frame(number: int, request: Request) -> bytes:
    """The frame of a request; ``number`` finds its answer."""
    return pack((REQUEST, number, _request_fields(request)))


def request_of(frame: Frame) -> Request:
    """The request in a frame."""
    values = frame[2]
    return Request(Operation(values[0]), *values[1:])


def answer_frame(number: int, response: Response) -> bytes:
    """The frame of an answer."""
    return pack((ANSWER, number, _response_fields(response)))


def response_of(frame: Frame) -> Response:
    """The response in a frame."""
    values = frame[2]
    return Response(Status(values[0]), *values[1:])


class Frames:
    """Cuts a stream into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take what came; gives the frames that are complete. What follows may be taken with ``rest`` in between."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD_BYTES:
            end = _HEAD_BYTES + int.from_bytes(buffer[:_HEAD_BYTES], "big")
            if len(buffer) < end:
                return
            body = bytes(buffer[_HEAD_BYTES:end])
            del buffer[:end]
            yield pickle.loads(body)  # see the head of this file

    def rest(self) -> bytes:
        """What came after the last frame; it is not looked at again."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


class Piped(asyncio.Protocol):
    """One end of two connections that are one: what comes here is written there."""

    def __init__(self) -> None:
        self._other: asyncio.Transport | None = None
        self._transport: asyncio.Transport | None = None

    def join(self, other: asyncio.Transport) -> None:
        """Write what comes to this transport."""
        self._other = other
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the other side."""
        self._transport = cast(asyncio.Transport, transport)
        if self._other is None:
            self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self._other is not None:
            self._other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """What one side ends is ended."""
        if self._other is not None:
            self._other.close()

    def pause_writing(self) -> None:
        """This side does not read: do not read from the other."""
        if self._other is not None:
            self._other.pause_reading()

    def resume_writing(self) -> None:
        """This side reads again."""
        if self._other is not None and not self._other.is_closing():
            self._other.resume_reading()
