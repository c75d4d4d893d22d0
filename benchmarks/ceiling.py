"""Trivial servers that answer at once: what the load generator, and each binding, allow at most on this machine.

``python -m benchmarks.ceiling http PORT | coap PORT | mqtt PORT-OF-THE-BROKER``
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import httptools
import uvloop

from benchmarks.load_mqtt import Link, text
from benchmarks.processes import LOOPBACK

_REQUEST_ID = re.compile(rb"\"rqi\":\"([^\"]*)\"")


class _Http(asyncio.Protocol):
    """Parses with httptools and answers 201 with the body that came."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        self._transport.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class _Coap(asyncio.DatagramProtocol):
    """Acknowledges every CON message with 2.01 and its own token."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        length = data[0] & 15
        self._transport.sendto(bytes((0x60 | length, 0x41)) + data[2 : 4 + length], addr)


class _Mqtt:
    """Answers every request primitive with 2001 on the topic for it."""

    def __init__(self) -> None:
        self.link = Link("/oneM2M/req/+/echo/json", self._ready, self._answer)

    def _ready(self) -> None:
        print("ready", flush=True)

    def _answer(self, topic: bytes, payload: bytes) -> None:
        found = _REQUEST_ID.search(payload)
        if found:
            back = text(topic.decode().replace("/req/", "/resp/", 1))
            self.link.publish(back, b'{"rsc":2001,"rqi":"%b"}' % found[1])


async def _main(kind: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    match kind:
        case "http":
            await loop.create_server(_Http, LOOPBACK, port)
        case "coap":
            await loop.create_datagram_endpoint(_Coap, local_addr=(LOOPBACK, port))
        case _:
            echo = _Mqtt()
            await loop.create_connection(lambda: echo.link, LOOPBACK, port)
            sys.exit(await echo.link.over)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2])))
