"""CoAP side of the load generator: pre-encoded CON requests, one socket per client with one request outstanding.

The first two bytes of the token are those of the message ID, so that an answer to an older request is not taken for
the answer to this one. A local port is used once in a run: a server remembers message IDs for minutes (RFC 7252 §4.5).
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from typing import Any

from benchmarks.tally import Sample, Tally, Template

#: RFC 7252 §4.8: ACK_TIMEOUT, after which a CON message is sent again, and so often at most
_ACK_TIMEOUT_S = 2.0
_MOST_RETRANSMISSIONS = 4
_ACK, _CON = 2, 0
_used_ports: set[int] = set()


class _Client(asyncio.DatagramProtocol):
    def __init__(self, template: Template, code: int, tally: Tally) -> None:
        self._template, self._code, self._tally = template, code, tally
        self._mid = random.getrandbits(16)
        self._key = b""
        self._wire = b""
        self._sent = self._sent_again = 0.0
        self._tries = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[1] == 0:
            return  # an empty ACK: the answer comes by itself
        if data[0] >> 4 & 3 == _CON:
            self._transport.sendto(bytes((0x60, 0)) + data[2:4])
        if data[4:6] != self._key or self.over.done():
            return
        if data[1] == self._code:
            self._tally.right(self._sent, time.perf_counter())
        else:
            self._tally.fault(b"%d.%02d " % (data[1] >> 5, data[1] & 31) + data[6:])
        self._next()

    def error_received(self, exc: Exception) -> None:
        self._tally.fault(f"the datagram was refused: {exc}")
        self._finish()

    def look_for_loss(self, now: float) -> None:
        """Send again what was not answered, as a client would; after four times count it as wrong."""
        if self.over.done() or now - self._sent_again < _ACK_TIMEOUT_S * 2**self._tries:
            return
        if self._tries == _MOST_RETRANSMISSIONS:
            self._tally.fault("no answer over CoAP after four retransmissions")
            self._next()
            return
        self._tries += 1
        self._sent_again = now
        self._transport.sendto(self._wire)

    def _next(self) -> None:
        number = self._tally.next_number()
        if not number:
            self._finish()
            return
        self._mid = (self._mid + 1) & 0xFFFF
        key = self._key = self._mid.to_bytes(2, "big")
        wire = self._template.render(number)
        self._wire = wire[:2] + key + key + wire[6:]
        self._tries = 0
        self._sent = self._sent_again = time.perf_counter()
        self._transport.sendto(self._wire)

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
        self._transport.close()


async def drive(address: tuple[str, int], template: Template, code: int, tally: Tally, *, clients: int) -> Sample:
    """Drive a CoAP server until the tally is full.

    Args:
        address: host and port.
        template: CON requests with a token of at least two bytes.
        code: response code on the wire that counts as right, e.g. 0x41 for 2.01.
        tally: where to count.
        clients: each has one request outstanding.

    Raises:
        OSError: no socket could be made.
    """
    loop = asyncio.get_running_loop()
    all_of_them = []
    for _ in range(clients):
        _, client = await loop.create_datagram_endpoint(
            lambda: _Client(template, code, tally), sock=_fresh_socket(address)
        )
        all_of_them.append(client)
    waiting = {client.over for client in all_of_them}
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=0.5)
        now = time.perf_counter()
        for client in all_of_them:
            client.look_for_loss(now)
    return tally.sample()


def _fresh_socket(address: tuple[str, int]) -> socket.socket:
    """A connected socket whose local port was not used before in this process."""
    unwanted = []
    while True:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(address)
        port: int = sock.getsockname()[1]
        if port not in _used_ports:
            break
        unwanted.append(sock)
    for other in unwanted:
        other.close()
    _used_ports.add(port)
    sock.setblocking(False)
    return sock
