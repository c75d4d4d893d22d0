"""The embedded MQTT 3.1.1 broker of `onemec up`, for machines where no Mosquitto runs.

The wire format is amqtt's; sessions and routing are ours, because amqtt's own lose or misdeliver what the oneM2M MQTT
binding rests on (docs/adr/0003). It listens on loopback only. Without credentials it asks nobody for a name (profile
insecure-dev); with them a user sends and listens under his own name only, as Mosquitto does with our ACL file.
In its own process: `python -m onemec.broker --host 127.0.0.1 --port 1883 [--credentials FILE]`.
"""

import argparse
import asyncio
import logging
import os
import signal
import ssl
import sys
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import uvloop
from amqtt import mqtt as wire
from amqtt.adapters import BufferReader, StreamReaderAdapter
from amqtt.errors import AMQTTError, CodecError, MQTTError, NoDataError
from amqtt.mqtt.connect import ConnectPayload, ConnectVariableHeader
from amqtt.mqtt.packet import CONNECT, PUBREL, SUBSCRIBE, UNSUBSCRIBE, MQTTFixedHeader

from cse.credentials import ACL_PATTERNS, Credentials, CredentialsError
from cse.onem2m.addressing import is_loopback

PACKET_LIMIT_BYTES = 1 << 20
SEND_BUFFER_LIMIT_BYTES = 4 << 20  # QoS 0 for a subscriber that does not read is dropped beyond this
IN_FLIGHT_LIMIT = 100  # QoS 1 and 2 messages of one subscriber that wait for their acknowledgement
QUEUE_LIMIT = 100_000  # messages kept for one subscriber that is slow or away
CONNECT_TIMEOUT_S = 10.0
REFUSED = 0x80  # return code of SUBACK [MQTT 3.1.1, 3.9.3]
WRONG_VERSION, BAD_IDENTIFIER, BAD_PASSWORD = 1, 2, 4  # return codes of CONNACK [3.2.2.3]
PROTOCOLS = {("MQTT", 4), ("MQIsdp", 3)}  # 3.1.1, and 3.1, which differs in the name only

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    payload: bytes
    qos: int
    retain: bool = False


@dataclass(eq=False, slots=True)
class _Session:
    """What the broker knows of one client identifier, connected or not [3.1.2.4]."""

    client_id: str
    clean: bool
    subscriptions: dict[str, int] = field(default_factory=dict)
    waiting: deque[_Message] = field(default_factory=deque)
    in_flight: dict[int, _Message] = field(default_factory=dict)
    released: dict[int, None] = field(default_factory=dict)  # QoS 2, PUBREC seen: only PUBCOMP is missing
    received: set[int] = field(default_factory=set)  # QoS 2, PUBREL not seen yet: a repetition is not routed again
    connection: "_Connection | None" = None
    last_packet_id: int = 0

    def offer(self, message: _Message) -> None:
        """Send the message now, or keep it until the client is back and ready for it."""
        if self.connection is None and (self.clean or message.qos == 0):
            return
        if len(self.waiting) >= QUEUE_LIMIT:
            _log.warning("%s: %d messages are waiting, this one is dropped", self.client_id, QUEUE_LIMIT)
            return
        self.waiting.append(message)
        self.pump()

    def pump(self) -> None:
        """Send what is waiting, in order, as far as the window of unacknowledged messages allows."""
        while self.connection is not None and self.waiting:
            message = self.waiting[0]
            if message.qos and len(self.in_flight) + len(self.released) >= IN_FLIGHT_LIMIT:
                return
            self.waiting.popleft()
            if not message.qos:
                if self.connection.unsent_bytes() < SEND_BUFFER_LIMIT_BYTES:
                    self.connection.send(_publish(message, None))
                continue
            packet_id = self._free_packet_id()
            self.in_flight[packet_id] = message
            self.connection.send(_publish(message, packet_id))

    def resume(self) -> None:
        """Send again what the client had not acknowledged when its last connection ended [MQTT-4.4.0-1]."""
        if self.connection is None:
            return
        for packet_id, message in self.in_flight.items():
            self.connection.send(_publish(message, packet_id, repeated=True))
        for packet_id in self.released:
            self.connection.send(wire.PubrelPacket.build(packet_id))
        self.pump()

    def _free_packet_id(self) -> int:
        while True:
            self.last_packet_id = self.last_packet_id % 0xFFFF + 1
            if self.last_packet_id not in self.in_flight and self.last_packet_id not in self.released:
                return self.last_packet_id


@dataclass(eq=False, slots=True)
class _Connection:
    """One TCP connection after its CONNECT."""

    session: _Session
    writer: asyncio.StreamWriter
    will: _Message | None
    silence_limit_s: float  # 0: the client did not ask to be watched
    user: str = ""
    last_heard: float = 0.0

    def send(self, packet: Any) -> None:
        if not self.writer.is_closing():
            self.writer.write(packet.to_bytes())

    def unsent_bytes(self) -> int:
        return self.writer.transport.get_write_buffer_size()

    def end(self) -> None:
        """Close at once; a client that does not read cannot hold the connection open."""
        self.writer.transport.abort()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the connection when nothing came for one and a half keep-alive periods [MQTT-3.1.2-24]."""
        if self.writer.is_closing():
            return
        silent_s = loop.time() - self.last_heard
        if silent_s >= self.silence_limit_s:
            _log.info("%s: silent for %.1f s, connection ended", self.session.client_id, silent_s)
            self.end()
        else:
            loop.call_later(self.silence_limit_s - silent_s, self.watch, loop)


class EmbeddedBroker:
    """An MQTT 3.1.1 broker on loopback: QoS 0 to 2, lasting sessions, retained messages, wills; nothing is on disk.

    Args:
        credentials: who may connect, and under which names; None lets everybody do everything.
    """

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._credentials = credentials
        self._server: asyncio.Server | None = None
        self._sessions: dict[str, _Session] = {}
        self._exact: dict[str, dict[_Session, int]] = {}
        self._wild: dict[str, dict[_Session, int]] = {}
        self._retained: dict[str, _Message] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unnamed = 0

    async def start(self, host: str = "127.0.0.1", port: int = 1883) -> str:
        """Listen, and return the mqtt:// URL (port 0: a free one).

        Raises:
            ValueError: the host is not a loopback address, or the port is none.
            OSError: the port is in use or not allowed.
        """
        if not is_loopback(host):
            raise ValueError(f"the embedded broker serves this machine only, as 127.0.0.1 or ::1, not {host}")
        if not 0 <= port <= 0xFFFF:
            raise ValueError(f"{port} is no TCP port")
        self._server = await asyncio.start_server(self._accept, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return f"mqtt://[{host}]:{bound}" if ":" in host else f"mqtt://{host}:{bound}"

    async def stop(self) -> None:
        """Close the listener and every connection; wills are not sent, sessions and retained messages are forgotten."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None
        for known in (self._sessions, self._exact, self._wild, self._retained):
            known.clear()

    def publish(self, message: _Message) -> None:
        """Route a message to every session that subscribed to its topic, once, with the lower QoS [MQTT-3.8.4-6]."""
        if message.retain:
            if message.payload:
                self._retained[message.topic] = message
            else:
                self._retained.pop(message.topic, None)
        targets = dict(self._exact.get(message.topic, ()))
        for topic_filter, subscribers in self._wild.items():
            if _matches(topic_filter, message.topic):
                for session, qos in subscribers.items():
                    targets[session] = max(qos, targets.get(session, 0))
        for session, qos in targets.items():
            session.offer(_Message(message.topic, message.payload, min(qos, message.qos)))

    # --- connections ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._serve(reader, writer)
        except TimeoutError:
            _log.info("connection ended: no CONNECT within %.0f s", CONNECT_TIMEOUT_S)
        except (AMQTTError, MQTTError, CodecError, NoDataError, OSError, EOFError, ValueError) as fault:
            _log.info("connection ended: %s", fault or type(fault).__name__)
        except asyncio.CancelledError:
            _log.debug("connection ended: the broker stops")
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            packet = await _read_packet(reader, first=True)
        if not isinstance(packet, wire.ConnectPacket):
            raise MQTTError("the first packet must be CONNECT [MQTT-3.1.0-1]")
        connection = self._admit(packet, writer)
        loop = asyncio.get_running_loop()
        connection.last_heard = loop.time()
        if connection.silence_limit_s:
            connection.watch(loop)
        connection.session.resume()
        try:
            while (packet := await _read_packet(reader)) is not None:
                connection.last_heard = loop.time()
                if isinstance(packet, wire.DisconnectPacket):
                    connection.will = None
                    return
                self._handle(connection, packet)
                await writer.drain()
        except asyncio.CancelledError:
            connection.will = None  # the broker goes, not the client
            raise
        finally:
            self._leave(connection)

    def _admit(self, packet: Any, writer: asyncio.StreamWriter) -> _Connection:
        """Answer CONNECT: refuse it, or join the client with its old session or a new one [3.1.4]."""
        header, payload = packet.variable_header, packet.payload
        code = 0
        if (header.proto_name, header.proto_level) not in PROTOCOLS:
            code = WRONG_VERSION
        elif payload.client_id_is_random and not header.clean_session_flag:
            code = BAD_IDENTIFIER
        elif not self._knows(payload):
            code = BAD_PASSWORD
        if code:
            writer.write(wire.ConnackPacket.build(0, code).to_bytes())
            raise MQTTError(f"CONNECT refused with code {code}")
        if header.reserved_flag or (header.will_flag and not payload.will_topic) or header.will_qos > 2:
            raise MQTTError("CONNECT flags contradict its payload [MQTT-3.1.2]")
        if self._credentials is not None:
            payload.client_id = f"{payload.username}/{payload.client_id}"  # nobody takes the session of another user
        old = self._sessions.get(payload.client_id)
        if old is not None and old.connection is not None:
            _log.warning("%s: connected again, the older connection is closed", old.client_id)
            earlier = old.connection
            self._leave(earlier)
            earlier.end()
        old = self._sessions.get(payload.client_id)  # a clean session has just gone with its connection
        if old is not None and (header.clean_session_flag or old.clean):
            self._forget(old)
            old = None
        session = old or _Session(payload.client_id, header.clean_session_flag)
        self._sessions[session.client_id] = session
        will = None
        if header.will_flag:
            will = _Message(payload.will_topic, bytes(payload.will_message), header.will_qos, header.will_retain_flag)
        connection = _Connection(session, writer, will, 1.5 * header.keep_alive, payload.username or "")
        session.connection = connection
        connection.send(wire.ConnackPacket.build(int(old is not None), 0))
        return connection

    def _knows(self, payload: Any) -> bool:
        known = self._credentials
        return known is None or known.is_mqtt_password(payload.username or "", payload.password or "")

    def _may(self, connection: _Connection, access: str, topic: str) -> bool:
        """Whether a user may write to a topic, or read what a filter covers: the patterns of Mosquitto's ACL file."""
        if self._credentials is None:
            return True
        for rule in ACL_PATTERNS:
            kind, _, pattern = rule.partition(" ")
            if kind == access and _matches(pattern.replace("%u", connection.user), topic):
                return True
        return False

    def _leave(self, connection: _Connection) -> None:
        if connection.session.connection is not connection:
            return  # replaced by a newer connection of the same client
        connection.session.connection = None
        will, connection.will = connection.will, None
        if connection.session.clean:
            self._forget(connection.session)
        if will is not None and self._may(connection, "write", will.topic):
            self.publish(will)

    def _forget(self, session: _Session) -> None:
        for topic_filter in list(session.subscriptions):
            self._unsubscribe(session, topic_filter)
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]

    # --- packets ---

    def _handle(self, connection: _Connection, packet: Any) -> None:
        session = connection.session
        match packet:
            case wire.PublishPacket():
                self._receive(connection, packet)
            case wire.PubackPacket():
                session.in_flight.pop(packet.packet_id, None)
                session.pump()
            case wire.PubrecPacket():
                if session.in_flight.pop(packet.packet_id, None) is not None:
                    session.released[packet.packet_id] = None
                connection.send(wire.PubrelPacket.build(packet.packet_id))
            case wire.PubcompPacket():
                session.released.pop(packet.packet_id, None)
                session.pump()
            case wire.PubrelPacket():
                session.received.discard(packet.packet_id)
                connection.send(wire.PubcompPacket.build(packet.packet_id))
            case wire.SubscribePacket():
                self._subscribe(connection, packet)
            case wire.UnsubscribePacket():
                for topic_filter in packet.payload.topics:
                    self._unsubscribe(session, topic_filter)
                connection.send(wire.UnsubackPacket.build(packet.variable_header.packet_id))
            case wire.PingReqPacket():
                connection.send(wire.PingRespPacket.build())
            case _:
                raise MQTTError(f"{type(packet).__name__} may not come from a client")

    def _receive(self, connection: _Connection, packet: Any) -> None:
        message = _Message(packet.topic_name, packet.data, packet.qos, packet.retain_flag)
        allowed = self._may(connection, "write", message.topic)
        if message.qos < 2:
            if allowed:  # else acknowledged and dropped, as MQTT 3.1.1 has it [3.3.5.2]
                self.publish(message)
            if message.qos:
                connection.send(wire.PubackPacket.build(packet.packet_id))
            return
        if packet.packet_id not in connection.session.received:
            connection.session.received.add(packet.packet_id)
            if allowed:
                self.publish(message)
        connection.send(wire.PubrecPacket.build(packet.packet_id))

    def _subscribe(self, connection: _Connection, packet: Any) -> None:
        session, granted, retained = connection.session, [], []
        for topic_filter, qos in packet.payload.topics:
            if not _is_filter(topic_filter) or not self._may(connection, "read", topic_filter):
                granted.append(REFUSED)
                continue
            session.subscriptions[topic_filter] = qos
            self._index(topic_filter).setdefault(topic_filter, {})[session] = qos
            granted.append(qos)
            retained += [
                replace(message, qos=min(qos, message.qos))
                for message in self._retained.values()
                if _matches(topic_filter, message.topic)
            ]
        connection.send(wire.SubackPacket.build(packet.variable_header.packet_id, granted))
        for message in retained:
            session.offer(message)

    def _unsubscribe(self, session: _Session, topic_filter: str) -> None:
        session.subscriptions.pop(topic_filter, None)
        index = self._index(topic_filter)
        subscribers = index.get(topic_filter)
        if subscribers is not None:
            subscribers.pop(session, None)
            if not subscribers:
                del index[topic_filter]

    def _index(self, topic_filter: str) -> dict[str, dict[_Session, int]]:
        return self._wild if "+" in topic_filter or "#" in topic_filter else self._exact


async def find_broker(url: str, timeout_s: float = 2.0) -> bool:
    """Return whether an MQTT broker at the URL accepts a client (mqtt:// or mqtts://, user:password@ is used)."""
    parts = urlsplit(url)
    secure = parts.scheme == "mqtts"
    flags = ConnectVariableHeader.CLEAN_SESSION_FLAG
    flags |= ConnectVariableHeader.USERNAME_FLAG if parts.username else 0
    flags |= ConnectVariableHeader.PASSWORD_FLAG if parts.password else 0
    names = {name: unquote(text) for name in ("username", "password") if (text := getattr(parts, name))}
    connect = wire.ConnectPacket(
        variable_header=ConnectVariableHeader(flags, 10), payload=ConnectPayload(client_id="", **names)
    )
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(
                parts.hostname,
                parts.port or (8883 if secure else 1883),
                ssl=ssl.create_default_context() if secure else None,
            )
            writer.write(connect.to_bytes())
            answer = await reader.readexactly(4)
            writer.write(wire.DisconnectPacket().to_bytes())
            return answer[:2] == b"\x20\x02" and answer[3] == 0
    except (OSError, EOFError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()


def _publish(message: _Message, packet_id: int | None, repeated: bool = False) -> Any:
    return wire.PublishPacket.build(message.topic, message.payload, packet_id, repeated, message.qos, message.retain)


async def _read_packet(reader: asyncio.StreamReader, first: bool = False) -> Any:
    """Return the next packet, or None at the end of the stream; the whole packet must be well-formed.

    Raises:
        MQTTError: it is not, or it is too large.
    """
    header = await MQTTFixedHeader.from_stream(StreamReaderAdapter(reader))
    if header is None:
        return None
    if first and header.packet_type != CONNECT:
        raise MQTTError("the first packet must be CONNECT [MQTT-3.1.0-1]")
    if header.remaining_length > PACKET_LIMIT_BYTES:
        raise MQTTError(f"packet of {header.remaining_length} bytes, the limit is {PACKET_LIMIT_BYTES}")
    body = await reader.readexactly(header.remaining_length)
    if header.packet_type in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) and header.flags != 2:
        raise MQTTError("reserved flags [MQTT-2.2.2-2]")
    size = header.remaining_length
    packet: Any = await wire.packet_class(header).from_stream(BufferReader(body), header)
    match packet:
        case wire.PublishPacket():
            topic = packet.topic_name or ""
            # amqtt reads broken UTF-8 as something longer; the sum shows it
            if packet.variable_header.bytes_length + len(packet.data) != size or not topic or "\0" in topic:
                raise MQTTError("malformed topic [MQTT-4.7.3]")
            if packet.qos > 2 or packet.packet_id == 0:
                raise MQTTError("malformed PUBLISH [MQTT-3.3.1-4, MQTT-2.3.1-1]")
        case wire.SubscribePacket() | wire.UnsubscribePacket():
            topics = packet.payload.topics
            if not topics or 2 + len(packet.payload.to_bytes()) != size:
                raise MQTTError("malformed subscription [MQTT-3.8.3-3]")
            if any(not isinstance(topic, str) and topic[1] > 2 for topic in topics):
                raise MQTTError("QoS above 2 [MQTT-3.8.3-4]")
    return packet


def _is_filter(topic_filter: str) -> bool:
    levels = topic_filter.split("/")
    wild = all(level in ("+", "#") or not ("+" in level or "#" in level) for level in levels)
    return bool(topic_filter) and "\0" not in topic_filter and wild and "#" not in levels[:-1]


def _matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic name fits a filter, level by level; an empty level is a level too [4.7]."""
    if topic_filter == topic:
        return True
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))


async def _run(host: str, port: int, credentials: Credentials | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    broker = EmbeddedBroker(credentials)
    url = await broker.start(host, port)
    print(f"embedded MQTT broker on {url}\nready", flush=True)
    await stopped.wait()
    await broker.stop()


def main() -> int:
    """Run the broker until SIGTERM or SIGINT; returns the exit code."""
    options = argparse.ArgumentParser(prog="python -m onemec.broker", description="Embedded MQTT broker on loopback.")
    options.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (default: %(default)s)")
    options.add_argument("--port", default=1883, type=int, help="TCP port, 0 for a free one (default: %(default)s)")
    options.add_argument("--credentials", default="", help="file of onemec device; without it everybody may connect")
    chosen = options.parse_args()
    logging.basicConfig(level=logging.WARNING, format="broker: %(message)s")
    try:
        credentials = Credentials(Path(chosen.credentials)) if chosen.credentials else None
        uvloop.run(_run(chosen.host, chosen.port, credentials))
    except CredentialsError as fault:
        print(f"broker: {fault}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as fault:
        reason = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else fault
        print(f"broker: cannot listen on {chosen.host}:{chosen.port}: {reason}; choose another", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
