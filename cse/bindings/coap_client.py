"""The sending side of the CoAP binding: notifications and requests to other CSEs, over aiocoap (TS-0008 clause 6)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import lru_cache
from socket import gaierror
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from cse.bindings.coap_blockwise import LARGEST_BLOCK_BYTES, LARGEST_EXPONENT
from cse.bindings.coap_codec import decode_response, encode_request, uri_path
from cse.bindings.coap_codes import NEW_NUMBERS, Numbering
from cse.bindings.coap_message import (
    BLOCK1,
    BLOCK2,
    ECHO,
    SIZE1,
    Block,
    Message,
    code,
    decode_block,
    dotted,
    encode_block,
    uint,
)
from cse.bindings.http_url import split_url
from cse.bindings.outbound import Guard, Refused, pinned
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Request, Response, ResponseType
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable

if TYPE_CHECKING:
    import aiocoap

_PORT = 5683
_CONTINUE, _UNAUTHORISED = code("2.31"), code("4.01")
_SUCCESS = range(2 << 5, 3 << 5)
_ACK_TIMEOUT_S = 2.0
_ACK_RANDOM_FACTOR = 1.5
_MAX_RETRANSMIT = 4
_NOTIFICATION_REPLY_BYTES = 64 * 1024
_MCC_REPLY_BYTES = 8 * 1024 * 1024
#: how long an error may still arrive for a request whose originator wants no answer
_NO_RESPONSE_WAIT_S = 1.0


class CoapSender:
    """Sends requests to CoAP URLs from one socket (port: ``cse.ports.Sender``).

    Args:
        numbers: the option numbering of the receivers; there is no way to ask them.
        guard: decides where datagrams may go; None lets all pass.
    """

    def __init__(self, *, numbers: Numbering = NEW_NUMBERS, guard: Guard | None = None) -> None:
        self._numbers = numbers
        self._guard = guard
        self._context: aiocoap.Context | None = None
        self._opening = asyncio.Lock()

    async def send(self, url: str, send: Send) -> Response:
        """Send a request to a URL and return the answer.

        A 2.xx answer without a response status code counts as OK for exact URLs, whose receivers need not speak
        oneM2M. A request with response type 5 counts as OK when it was sent and nothing is heard of an error.

        Raises:
            Unreachable: no answer in ``send.timeout_s``, or one that is no oneM2M response.
        """
        target, asked_for = split_url(url)
        try:
            parts = _coap_url(target)
            message = self._message(parts, send, asked_for or send.serialisation)
            answer = await self._exchange(parts, message, send)
            if answer is None:
                return Response(Status.OK, request_id=send.request.request_id, silent=True)
            return _response(answer, send)
        except CseError as error:
            raise Unreachable(f"{target}: {error.debug}") from error
        except TimeoutError as error:
            raise Unreachable(f"{target}: no answer in {send.timeout_s:g} s") from error
        except Refused as error:
            raise Unreachable(f"{target}: {error}") from error
        except gaierror as error:
            raise Unreachable(f"{target}: this host name is unknown") from error
        except (OSError, ValueError) as error:
            raise Unreachable(f"{target}: {error}") from error

    async def close(self) -> None:
        """Close the socket."""
        if self._context is not None:
            context, self._context = self._context, None
            await context.shutdown()

    def _message(self, parts: SplitResult, send: Send, serialisation: str) -> Message:
        path = [unquote(segment) for segment in parts.path.strip("/").split("/")] if parts.path.strip("/") else []
        query = [unquote(entry) for entry in parts.query.split("&")] if parts.query else []
        if not send.exact_url:
            to, _, attribute = send.request.to.partition("#")
            path += uri_path(to)
            if attribute:
                query.append(f"atrl={attribute}")
        return encode_request(send.request, path=path, query=query, serialisation=serialisation, numbers=self._numbers)

    async def _exchange(self, parts: SplitResult, message: Message, send: Send) -> Message | None:
        """Send a message and wait for its answer; None when none is wanted and none came."""
        from aiocoap import error as coap_error

        unanswered = _wants_no_answer(send.request)
        timeout_s = min(send.timeout_s, _NO_RESPONSE_WAIT_S) if unanswered else send.timeout_s
        try:
            context = await self._open_context()
            async with asyncio.timeout(timeout_s):
                address = await pinned(self._guard, parts.hostname or "", parts.port or _PORT)
                transfer = _Transfer(context, parts, address, send)
                return await transfer.download(message, await transfer.upload(message))
        except TimeoutError:
            if unanswered:
                return None
            raise
        except coap_error.ConRetransmitsExceeded as error:
            raise Unreachable(f"{parts.geturl()}: nobody acknowledges there") from error
        except coap_error.ResolutionError as error:
            raise Unreachable(f"{parts.geturl()}: the host {parts.hostname!r} is unknown") from error
        except (coap_error.Error, coap_error.HelpfulError) as error:
            raise Unreachable(f"{parts.geturl()}: {_reason(error)}") from error

    async def _open_context(self) -> aiocoap.Context:
        async with self._opening:
            if self._context is None:
                # Imported at the first sending: nine tenths of a CSE's deployments never send over CoAP.
                import aiocoap

                try:
                    self._context = await aiocoap.Context.create_client_context(transports=["udp6"])
                except OSError:  # no IPv6 in this kernel
                    self._context = await aiocoap.Context.create_client_context(transports=["simple6"])
            return self._context


class _Transfer:
    """A request and its answer, in blocks where they are large (RFC 7959).

    aiocoap would do this too, but takes an answer of any length.
    """

    def __init__(self, context: aiocoap.Context, parts: SplitResult, address: str, send: Send) -> None:
        self._context = context
        self._parts = parts
        self._address = address
        self._timeout_s = send.timeout_s
        self._reply_bytes = _NOTIFICATION_REPLY_BYTES if send.exact_url else _MCC_REPLY_BYTES

    async def _once(self, message: Message) -> Message:
        answer = await self._exchange(message)
        echo = answer.option(ECHO)
        if answer.code == _UNAUTHORISED and echo is not None and message.option(ECHO) is None:
            # The receiver wants to see that this address is not forged (RFC 9175 clause 2.3).
            answer = await self._exchange(replace(message, options=[*message.options, (ECHO, echo)]))
        return answer

    async def _exchange(self, message: Message) -> Message:
        sent = _to_aiocoap(message, self._parts, self._address, self._timeout_s)
        answer = await self._context.request(sent, handle_blockwise=False).response
        return _from_aiocoap(answer)

    async def upload(self, message: Message) -> Message:
        """Send the request; returns the first or only block of the answer."""
        if len(message.payload) <= LARGEST_BLOCK_BYTES:
            return await self._once(message)
        exponent, start = LARGEST_EXPONENT, 0
        while True:
            end = start + (1 << (exponent + 4))
            block = Block(start >> (exponent + 4), end < len(message.payload), exponent)
            options = [*message.options, (BLOCK1, encode_block(block))]
            if not start:
                options.append((SIZE1, uint(len(message.payload))))
            answer = await self._once(replace(message, options=options, payload=message.payload[start:end]))
            if not block.more or answer.code != _CONTINUE:
                return answer
            # The receiver may ask for smaller blocks, which then begin where this one ended.
            exponent = min(exponent, decode_block(answer.option(BLOCK1) or encode_block(block)).exponent)
            start = end

    async def download(self, message: Message, answer: Message) -> Message:
        """Fetch the rest of the answer.

        Raises:
            ValueError: it is too long, or its blocks do not follow each other.
        """
        raw = answer.option(BLOCK2)
        if raw is None:
            return answer
        block = decode_block(raw)
        body = bytearray(answer.payload)
        while block.more:
            if len(body) > self._reply_bytes:
                raise ValueError(f"the answer is larger than {self._reply_bytes} bytes")
            wanted = Block(len(body) >> (block.exponent + 4), False, block.exponent)
            later = await self._once(
                replace(message, options=[*message.options, (BLOCK2, encode_block(wanted))], payload=b"")
            )
            raw = later.option(BLOCK2)
            block = decode_block(raw) if raw is not None else wanted
            if raw is None or block.offset_bytes != len(body) or later.code != answer.code or not later.payload:
                raise ValueError(f"the answer broke off after {len(body)} bytes ({dotted(later.code)})")
            body += later.payload
        return replace(answer, payload=bytes(body))


def _is_number(host: str) -> bool:
    return ":" in host or not host.rstrip("0123456789.")


def _coap_url(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme.lower() == "coaps":
        raise ValueError("coaps (DTLS) is not supported: give a coap:// address, or one of another binding")
    if parts.scheme.lower() != "coap" or not parts.hostname or parts.username is not None:
        raise ValueError("this is no CoAP address: it must be coap://host[:port][/path]")
    _ = parts.port  # raises ValueError when it is no port
    return parts


def _wants_no_answer(request: Request) -> bool:
    return request.response_type == ResponseType.NO_RESPONSE


def _response(answer: Message, send: Send) -> Response:
    request_id = send.request.request_id
    try:
        response = decode_response(answer)
    except CseError:
        if send.exact_url and answer.code in _SUCCESS:
            return Response(Status.OK, request_id=request_id)
        raise
    if not send.exact_url and response.request_id not in ("", request_id):
        raise ValueError(f"the answer is for the request {response.request_id!r}, not for {request_id!r}")
    response.request_id = request_id
    return response


def _to_aiocoap(message: Message, parts: SplitResult, address: str, timeout_s: float) -> aiocoap.Message:
    from aiocoap import Message as AiocoapMessage
    from aiocoap.numbers.codes import Code
    from aiocoap.numbers.optionnumbers import OptionNumber

    tuning = _tuning(_retransmissions(timeout_s))
    sent = AiocoapMessage(code=Code(message.code), payload=message.payload, transport_tuning=tuning)
    # To the address that was decided on, whatever its name resolves to by now; the name goes along.
    host = f"[{address}]" if ":" in address else address
    sent.set_request_uri(f"coap://{host}:{parts.port}" if parts.port else f"coap://{host}")
    if address != parts.hostname and not _is_number(parts.hostname or ""):
        sent.opt.uri_host = parts.hostname
    for number, value in message.options:
        sent.opt.add_option(OptionNumber(number).create_option(decode=value))
    return sent


@lru_cache(maxsize=_MAX_RETRANSMIT + 1)
def _tuning(retransmissions: int) -> aiocoap.TransportTuning:
    from aiocoap import Reliable

    class Tuning(Reliable):  # type: ignore[misc]  # aiocoap is not typed
        """Gives up before the caller does, so that no copy of a failed request is sent after its retry."""

        ACK_TIMEOUT = _ACK_TIMEOUT_S
        ACK_RANDOM_FACTOR = _ACK_RANDOM_FACTOR
        MAX_RETRANSMIT = retransmissions

    return Tuning()


def _retransmissions(timeout_s: float) -> int:
    """How many retransmissions end, with their last wait, before ``timeout_s`` (RFC 7252 clause 4.8.2)."""
    first_wait_s = _ACK_TIMEOUT_S * _ACK_RANDOM_FACTOR
    number = 0
    while number < _MAX_RETRANSMIT and first_wait_s * (2 ** (number + 2) - 1) <= timeout_s:
        number += 1
    return number


def _from_aiocoap(answer: aiocoap.Message) -> Message:
    options = [(int(option.number), option.encode()) for option in answer.opt.option_list()]
    return Message(int(answer.code), options=options, payload=answer.payload)


def _reason(error: Exception) -> str:
    """What went wrong, in words for the delivery log."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError):
        return f"no connection ({cause.strerror or cause})"
    return (
        f"no connection ({type(error).__name__}: {error})" if str(error) else f"no connection ({type(error).__name__})"
    )
