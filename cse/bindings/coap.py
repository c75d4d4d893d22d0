"""The CoAP binding: a server over its own message layer, and the sending side on aiocoap (TS-0008; ADR 0007)."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from cse.bindings.coap_blockwise import LARGEST_BLOCK_BYTES, BlockLimits, Blockwise, has_blocks, overloaded
from cse.bindings.coap_client import CoapSender
from cse.bindings.coap_codec import ReplyStyle, decode_request, encode_error, encode_response, reply_style
from cse.bindings.coap_echo import EchoGate, EchoLimits
from cse.bindings.coap_exchange import Exchange, ExchangeEndpoint, ExchangeLimits
from cse.bindings.coap_heads import Heads
from cse.bindings.coap_message import Message
from cse.bindings.dtls_secrets import DtlsError, DtlsSecrets
from cse.bindings.primitive_codec import Note, silent
from cse.bindings.under_way import UnderWay
from cse.onem2m.errors import CseError, InternalServerError, Overloaded
from cse.onem2m.primitives import Operation, Request, Response
from cse.ports import Begin, Serve

if TYPE_CHECKING:
    from cse.bindings.dtls import DtlsEndpoint

__all__ = ["BindError", "CoapLimits", "CoapSender", "CoapServer"]

_log = logging.getLogger(__name__)
_RECEIVE_BUFFER_BYTES = 1 << 20


class BindError(Exception):
    """A listening socket could not be opened. The message says in one line what to mend."""


@dataclass(frozen=True, slots=True)
class CoapLimits:
    """What a CoAP server may take.

    Attributes:
        in_flight: requests being worked on; more are answered 5.03.
        stop_after_s: how long ``stop`` waits for them.
        blocks: bounds of block transfers.
        exchanges: times and bounds of the message layer.
        echo: who must prove to be at its address before it gets large answers; nobody with DTLS, which proves it.
    """

    in_flight: int = 512
    stop_after_s: float = 2.0
    blocks: BlockLimits = field(default_factory=BlockLimits)
    exchanges: ExchangeLimits = field(default_factory=ExchangeLimits)
    echo: EchoLimits = field(default_factory=EchoLimits)


class CoapServer:
    """Answers oneM2M requests over CoAP: for a CSE, and for an AE that listens for notifications.

    Args:
        serve: is called with each request.
        host: address to listen on.
        port: UDP port, 0 for a free one.
        limits: bounds.
        lenient: tolerate dialects, the older option numbers among them.
        dtls: serve CoAPS with these secrets.
        note: told of each dialect.
        begin: the same as ``serve`` without a task; None makes one for each request.
    """

    def __init__(
        self,
        serve: Serve,
        host: str,
        port: int,
        *,
        limits: CoapLimits | None = None,
        lenient: bool = True,
        dtls: DtlsSecrets | None = None,
        note: Note = silent,
        begin: Begin | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._limits = limits or CoapLimits()
        self._lenient = lenient
        self._dtls = dtls
        self._note = note
        self._secured: DtlsEndpoint | None = None
        self._blocks = Blockwise(self._limits.blocks)
        self._echo = EchoGate(self._limits.echo)
        self._heads = Heads()
        self._under_way = UnderWay(serve, begin)
        self._transport: asyncio.DatagramTransport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            BindError: the address is in use or not of this machine, or the files of DTLS cannot be used.
        """
        self._loop = asyncio.get_running_loop()
        protocol: asyncio.DatagramProtocol = ExchangeEndpoint(
            self._on_request, self._limits.exchanges, self._heads.read
        )
        if self._dtls is not None:
            from cse.bindings.dtls import DtlsEndpoint

            try:
                protocol = self._secured = DtlsEndpoint(protocol, self._dtls)
            except DtlsError as error:
                raise BindError(str(error)) from error
        listener = await _bound(self._host, self._port, "--coaps" if self._dtls is not None else "--coap")
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: protocol, sock=listener)
        self._port = listener.getsockname()[1]

    @property
    def listening(self) -> tuple[str, int]:
        """Host and port listened on."""
        return self._host, self._port

    @property
    def url(self) -> str:
        """Where this server is reached, e.g. ``coap://127.0.0.1:5683``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"coap{'s' if self._dtls is not None else ''}://{host}:{self._port}"

    def credentials_changed(self) -> None:
        """End the DTLS sessions whose key was taken away."""
        if self._secured is not None:
            self._secured.credentials_changed()

    async def stop(self) -> None:
        """Let the requests in flight finish for a moment, then close."""
        if self._transport is None:
            return
        await self._under_way.finish(self._limits.stop_after_s)
        self._transport.close()
        self._transport = None

    def _on_request(self, exchange: Exchange) -> None:
        message = exchange.message
        exchange.proven = self._dtls is not None or self._echo.hear(exchange.peer, message, exchange.received_s)
        exchange.in_blocks = message.head is None and has_blocks(message)
        if exchange.in_blocks or len(message.payload) > self._limits.blocks.body_bytes:
            whole, answer = self._blocks.take(exchange.peer, message, exchange.received_s)
            if whole is None:
                self._respond(exchange, answer)
                return
            message = whole
        head = message.head
        style = reply_style(message, lenient=self._lenient) if head is None else head.reply_style(message)
        try:
            request = self._decode(message, style) if head is None else head.request(message)
        except CseError as error:
            self._answer(exchange, encode_error(error, style))
            return
        except Exception as error:
            self._answer(exchange, self._failure(style, error))
            return
        if len(self._under_way) >= self._limits.in_flight:
            self._respond(exchange, overloaded("too many requests at a time: try again later"))
            return
        request.peer_address = exchange.peer[0]
        if ":" in request.peer_address:
            request.peer_address = request.peer_address.removeprefix("::ffff:").partition("%")[0]
        request.binding = "coap"
        if self._secured is not None:
            request.credential = self._secured.credential_of(exchange.peer)
        done = partial(self._done, exchange, style, request.operation)
        self._under_way.start(request, done, partial(self._failed, exchange, style))

    def _decode(self, message: Message, style: ReplyStyle) -> Request:
        request = decode_request(message, style, lenient=self._lenient, note=self._note)
        self._heads.learn(message, style, request)
        return request

    def _done(self, exchange: Exchange, style: ReplyStyle, operation: Operation, response: Response) -> None:
        try:
            answer = encode_response(response, style, operation)
        except Exception as error:
            answer = self._failure(style, error)
        self._answer(exchange, answer)

    def _failed(self, exchange: Exchange, style: ReplyStyle, error: Exception) -> None:
        if isinstance(error, Overloaded):
            self._answer(exchange, overloaded(error.debug))
        elif isinstance(error, CseError):
            error.request_id = error.request_id or style.request_id
            self._answer(exchange, encode_error(error, style))
        else:
            self._answer(exchange, self._failure(style, error))

    def _failure(self, style: ReplyStyle, error: Exception) -> Message:
        _log.error("request %s over CoAP failed", style.request_id, exc_info=error)
        return encode_error(InternalServerError("the CSE failed on this request; its log says why"), style)

    def _answer(self, exchange: Exchange, answer: Message | None) -> None:
        if answer is not None and (len(answer.payload) > LARGEST_BLOCK_BYTES or exchange.in_blocks):
            answer = self._blocks.give(exchange.peer, exchange.message, answer, self._now())
        self._respond(exchange, answer)

    def _respond(self, exchange: Exchange, answer: Message | None) -> None:
        if answer is not None and not exchange.proven:
            answer = self._echo.shorten(exchange, answer, self._now())
        exchange.respond(answer)

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()


async def _bound(host: str, port: int, option: str) -> socket.socket:
    """A UDP socket with this address."""
    where = f"coap: port {port} on {host}"
    if not 0 <= port <= 65535:
        raise BindError(f"{where} is no UDP port: choose another with {option}")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
    except (OSError, UnicodeError) as error:
        raise BindError(f"{where}: {host!r} is no address of this machine: choose another with {option}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        listener.bind(address)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reasons = {
            errno.EADDRINUSE: f"is in use: stop the other program or choose another with {option}",
            errno.EACCES: f"needs privileges: choose a port above 1023 with {option}",
            errno.EADDRNOTAVAIL: f"is no address of this machine: choose another with {option}",
        }
        reason = reasons.get(error.errno or 0, f"cannot be listened on ({error}): choose another with {option}")
        raise BindError(f"{where} {reason}") from error
    return listener
