"""The other ends of the MQTT binding in tests: a client that sees raw messages, and a broker that plays a script."""

import asyncio
import contextlib
import json
import struct
import uuid
from collections.abc import AsyncIterator
from typing import Any

from cse.bindings.mqtt import MqttBinding
from cse.bindings.mqtt_codec import parse_url
from cse.bindings.mqtt_connection import BrokerConnection
from cse.bindings.mqtt_engine import Incoming
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status

TIMEOUT_S = 8.0


def unique(stem: str) -> str:
    """An identifier of its own for each test, because the brokers live for the whole session."""
    return f"{stem}{uuid.uuid4().hex[:8]}"


async def echo(request: Request) -> Response:
    """A CSE that says yes to everything and sends the content back."""
    return Response(Status.CREATED, request.request_id, request.content, request.release)


def create(originator: str, request_id: str, con: str = "1") -> Request:
    """CREATE of a contentInstance."""
    return Request(Operation.CREATE, "cse-in/ae/cnt", originator, request_id, 4, {"m2m:cin": {"con": con}}, release="3")


def payload(originator: str, request_id: str, **more: Any) -> bytes:
    """The same as JSON, with changes."""
    value = {"op": 1, "to": "cse-in/ae/cnt", "fr": originator, "rqi": request_id, "ty": 4, "rvi": "3"}
    value["pc"] = {"m2m:cin": {"con": "1"}}
    value.update(more)
    return json.dumps({name: entry for name, entry in value.items() if entry is not None}).encode()


@contextlib.asynccontextmanager
async def running(*bindings: MqttBinding) -> AsyncIterator[None]:
    """Start bindings, and stop them in the end."""
    try:
        for binding in bindings:
            await binding.start()
        yield
    finally:
        for binding in bindings:
            await binding.stop(timeout_s=2)


class Listener:
    """A plain MQTT client: publishes bytes, keeps what it receives."""

    def __init__(self, url: str, *filters: str) -> None:
        self.messages: asyncio.Queue[Incoming] = asyncio.Queue()
        self.link = BrokerConnection(
            parse_url(url),
            unique("listener"),
            list(filters),
            on_message=self._keep,
            on_ready=lambda: None,
            on_state=lambda _state, _words: None,
            clean_session=True,
        )

    def _keep(self, message: Incoming) -> None:
        self.messages.put_nowait(message)
        if message.mid:
            self.link.ack(message.mid, self.link.generation)

    async def __aenter__(self) -> "Listener":
        await self.link.start(TIMEOUT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.link.stop(TIMEOUT_S)

    async def next(self) -> Incoming:
        """The next message."""
        return await asyncio.wait_for(self.messages.get(), TIMEOUT_S)

    async def answer(self) -> Any:
        """The next message as JSON."""
        return json.loads((await self.next()).payload)

    async def publish(self, topic: str, body: bytes) -> None:
        """Publish and wait for the PUBACK."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.link.acknowledged(self.link.publish(topic, body))


def _length(size: int) -> bytes:
    out = b""
    while True:
        size, low = divmod(size, 128)
        out += bytes([low | (128 if size else 0)])
        if not size:
            return out


class ScriptedBroker:
    """A broker whose every packet the test decides and sees, to observe order and to misbehave.

    Args:
        connack: return code of every CONNACK.
        suback: return code for every filter of a SUBSCRIBE.
    """

    def __init__(self, connack: int = 0, suback: int = 1) -> None:
        self._connack, self._suback = connack, suback
        self.sent: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.connects: asyncio.Queue[str] = asyncio.Queue()
        self.subscribed = asyncio.Event()
        #: whether responses of the client are acknowledged
        self.acknowledges = True
        #: whether keep-alive probes are answered
        self.answers_pings = True
        self._writer: asyncio.StreamWriter | None = None

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[str]:
        """Listen; gives the URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self.hang_up()
            server.close()

    def hang_up(self) -> None:
        """Close the connection to the client."""
        if self._writer is not None:
            self._writer.close()

    def publish(self, topic: str, body: bytes, mid: int, *, dup: bool = False, retain: bool = False) -> None:
        """Send a message with QoS 1."""
        assert self._writer is not None
        rest = struct.pack("!H", len(topic)) + topic.encode() + struct.pack("!H", mid) + body
        self._writer.write(bytes([0x32 | dup << 3 | retain]) + _length(len(rest)) + rest)

    async def next(self) -> tuple[str, int]:
        """The next PUBLISH (with the rqi in it, as far as it is a number) or PUBACK (with its identifier)."""
        return await asyncio.wait_for(self.sent.get(), TIMEOUT_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.subscribed.clear()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readexactly(1))[0]
                size, shift = 0, 0
                while True:
                    byte = (await reader.readexactly(1))[0]
                    size |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                self._take(head, await reader.readexactly(size), writer)
        writer.close()

    def _take(self, head: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        kind = head >> 4
        if kind == 1:
            size = struct.unpack_from("!H", body, 10)[0]
            self.connects.put_nowait(body[12 : 12 + size].decode())
            writer.write(bytes([0x20, 2, 0, self._connack]))
        elif kind == 8:
            count, at = 0, 2
            while at < len(body):
                at += 3 + struct.unpack_from("!H", body, at)[0]
                count += 1
            writer.write(bytes([0x90, 2 + count]) + body[:2] + bytes([self._suback]) * count)
            self.subscribed.set()
        elif kind == 3:
            at = 2 + struct.unpack_from("!H", body)[0]
            if self.acknowledges:
                writer.write(b"\x40\x02" + body[at : at + 2])
            self.sent.put_nowait(("PUBLISH", int(json.loads(body[at + 2 :])["rqi"])))
        elif kind == 4:
            self.sent.put_nowait(("PUBACK", struct.unpack("!H", body)[0]))
        elif kind == 12 and self.answers_pings:
            writer.write(b"\xd0\x00")
