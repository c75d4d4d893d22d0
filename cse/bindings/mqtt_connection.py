"""One connection to an MQTT broker that mends itself: paho as protocol engine, asyncio as transport (TS-0010 6.1).

paho reads and writes a ``Stream`` instead of a socket: connecting (TLS too) never blocks the loop, a burst of packets
costs one read, and all packets of a turn of the loop leave in one write. There is no paho thread. What is published
goes past paho, from an ``Outbox`` that keeps it until the broker has acknowledged it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

from paho.mqtt.enums import CallbackAPIVersion

from cse.bindings.mqtt_codec import BrokerUrl
from cse.bindings.mqtt_engine import Engine, Incoming
from cse.bindings.mqtt_outbox import Outbox, OutboxFull, encode_puback
from cse.bindings.mqtt_stream import Stream

_log = logging.getLogger(__name__)

#: gives the address to connect to, or raises OSError or Unreachable (trust.md R4)
Guard = Callable[[str, int], Awaitable[str]]

_BACKOFF_S = (0.1, 2.0)
_CLASH_BACKOFF_S = (5.0, 60.0)
#: a session the broker ends sooner than this, and then takes back, smells of a second client with our id
_SHORT_SESSION_S = 10.0
_CLASH_AFTER = 3
_QUEUE_LIMIT = 20_000


class LinkState(StrEnum):
    """How a connection to a broker stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"
    CLASH = "clash"
    STOPPED = "stopped"


class BrokerUnavailable(OSError):
    """The broker cannot be used. The message says why, and what to mend."""


class BrokerConnection:
    """A connection to one broker that comes back by itself.

    Args:
        broker: where it is.
        client_id: MQTT Client Identifier.
        filters: topic filters to subscribe to, QoS 1, at every connect.
        on_message: called with each message, in order; must not raise. Acknowledge it with ``ack``.
        on_ready: called when there is room to publish again, and after a connect.
        on_state: called with the state and a line that says why.
        clean_session: False keeps subscriptions and messages in the broker while we are away.
        reconnect: come back after a loss.
        guard: decides whether and at which address the broker may be reached.
        tls: for mqtts; None verifies against the system's authorities.
        keepalive_s: how long the connection may be silent before it is probed; lost after the same time again.
        packet_limit: most bytes of a packet that are kept while it comes in.
    """

    def __init__(
        self,
        broker: BrokerUrl,
        client_id: str,
        filters: list[str],
        *,
        on_message: Callable[[Incoming], None],
        on_ready: Callable[[], None],
        on_state: Callable[[LinkState, str], None],
        clean_session: bool,
        reconnect: bool = True,
        guard: Guard | None = None,
        tls: ssl.SSLContext | None = None,
        keepalive_s: int = 20,
        packet_limit: int = 1 << 20,
    ) -> None:
        self.broker, self.client_id = broker, client_id
        self.state = LinkState.CONNECTING
        #: counts the connects, so that an acknowledgement never goes out on a later connection
        self.generation = 0
        self._filters, self._on_message, self._on_ready, self._on_state = filters, on_message, on_ready, on_state
        self._reconnect, self._guard, self._tls = reconnect, guard, tls
        self._loop = asyncio.get_running_loop()
        self._stream: Stream | None = None
        #: the same, once the broker has taken us
        self._open: Stream | None = None
        self._outbox = Outbox(_QUEUE_LIMIT)
        self._gone = asyncio.Event()
        self._ready = asyncio.Event()
        self._connack: asyncio.Future[str] | None = None
        self._subacks: dict[int, asyncio.Future[list[int]]] = {}
        self._acknowledged: dict[int, asyncio.Future[None]] = {}
        self._drained = asyncio.Event()
        self._stopping = False
        self._keeper: asyncio.Task[None] | None = None
        self._engine = self._make_engine(clean_session, keepalive_s)
        self._engine.packet_limit = packet_limit
        self._tick_s = min(2.0, keepalive_s / 2)

    def _make_engine(self, clean_session: bool, keepalive_s: int) -> Engine:
        engine = Engine(
            CallbackAPIVersion.VERSION2,
            self.client_id,
            clean_session=clean_session,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if self.broker.user:
            engine.username_pw_set(self.broker.user, self.broker.password)
        engine.connect_async(self.broker.host, self.broker.port, keepalive_s)
        engine.on_connect = self._connected
        engine.on_disconnect = lambda *_: self._gone.set()
        engine.on_subscribe = self._subscribed
        engine.on_puback = self._published
        engine.on_incoming = self._on_message
        engine.next_mid = self._outbox.next_mid
        return engine

    # --- life ---------------------------------------------------------------------------------------------------

    async def start(self, timeout_s: float) -> None:
        """Connect, subscribe, and from then on stay connected.

        Raises:
            BrokerUnavailable: the first connect does not work.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._connect()
        except TimeoutError as error:
            self._drop()
            raise BrokerUnavailable(f"no answer from {self.broker.address} within {timeout_s:g} s") from error
        except BaseException:
            self._drop()
            raise
        self._keeper = self._loop.create_task(self._keep(), name=f"mqtt {self.broker.address}")

    async def stop(self, timeout_s: float) -> None:
        """Wait until the broker has what was published, then disconnect."""
        self._stopping = True
        if self.connected:
            self._drained.clear()
            if self._outbox:
                try:
                    async with asyncio.timeout(timeout_s):
                        await self._drained.wait()
                except TimeoutError:
                    _log.warning("mqtt: %s has not acknowledged %d messages", self.broker.address, len(self._outbox))
            self._engine.disconnect()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._drop()
        self._set_state(LinkState.STOPPED, f"disconnected from {self.broker.address}")

    @property
    def connected(self) -> bool:
        """Whether the broker has taken us and our subscriptions."""
        return self._ready.is_set()

    @property
    def congested(self) -> bool:
        """Whether more was published than the broker reads."""
        return self._stream is not None and self._stream.congested

    async def wait_connected(self) -> None:
        """Return when the connection stands."""
        await self._ready.wait()

    def hold(self, on: bool) -> None:
        """Stop or go on reading from the broker."""
        if self._stream is not None:
            self._stream.hold(on)

    async def _connect(self) -> None:
        host, port = self.broker.host, self.broker.port
        address = await self._guard(host, port) if self._guard else host
        context = (self._tls or ssl.create_default_context()) if self.broker.tls else None
        self._drop()
        try:
            _, stream = await self._loop.create_connection(
                lambda: Stream(self._read, self._ended, self._on_ready),
                address,
                port,
                ssl=context,
                server_hostname=host if context else None,
            )
        except ssl.SSLError as error:
            raise BrokerUnavailable(f"TLS with {self.broker.address} fails: {error}") from error
        except OSError as error:
            raise BrokerUnavailable(f"no broker answers at {self.broker.address}") from error
        self._stream = self._engine.stream = stream
        self._gone.clear()
        self._connack = self._loop.create_future()
        self._engine.reconnect()
        refusal = await self._unless_gone(self._connack)
        if refusal:
            raise BrokerUnavailable(refusal)
        await self.subscribe(self._filters)
        self._ready.set()
        self._set_state(LinkState.CONNECTED, f"connected to {self.broker.address} as {self.client_id}")
        self._on_ready()

    async def subscribe(self, filters: list[str]) -> None:
        """Subscribe with QoS 1.

        Raises:
            BrokerUnavailable: the broker refuses, or goes away.
        """
        granted: list[int] = []
        if filters:
            _, mid = self._engine.subscribe([(text, 1) for text in filters])
            if mid is None:
                raise BrokerUnavailable(f"{self.broker.address} closed the connection")
            answer = self._subacks[mid] = self._loop.create_future()
            granted = await self._unless_gone(answer)
        for text, code in zip(filters, granted, strict=False):
            if code >= 0x80:
                raise BrokerUnavailable(
                    f"{self.broker.address} refuses {self.client_id} the subscription to {text}: allow it in its ACL"
                )

    async def listen(self, text: str) -> None:
        """Subscribe to one more filter, now and at every later connect; at once when that was done before.

        Raises:
            BrokerUnavailable: the broker refuses, or goes away.
        """
        if text not in self._filters:
            await self.subscribe([text])
            self._filters.append(text)

    async def _unless_gone(self, answer: asyncio.Future[Any]) -> Any:
        gone = self._loop.create_task(self._gone.wait())
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if not answer.done():
            raise BrokerUnavailable(f"{self.broker.address} closed the connection: is it an MQTT 3.1.1 broker?")
        return answer.result()

    async def _keep(self) -> None:
        """Send keep-alives while connected; after a loss come back, slower when somebody has the same client id."""
        short_sessions, clash_delay_s = 0, 0.0
        while True:
            began_s = self._loop.time()
            while not self._gone.is_set():
                try:
                    async with asyncio.timeout(self._tick_s):
                        await self._gone.wait()
                except TimeoutError:
                    self._engine.loop_misc()
            if self._stopping or not self._reconnect:
                self._drop()
                self._set_state(LinkState.LOST, f"the connection to {self.broker.address} ended")
                return
            lasted_s = self._loop.time() - began_s
            short_sessions = short_sessions + 1 if lasted_s < max(_SHORT_SESSION_S, 3 * clash_delay_s) else 0
            clash = short_sessions >= _CLASH_AFTER
            clash_delay_s = min(max(_CLASH_BACKOFF_S[0], 2 * clash_delay_s), _CLASH_BACKOFF_S[1]) if clash else 0.0
            self._drop()
            self._tell_loss(clash, short_sessions, clash_delay_s)
            if await self._return(clash_delay_s * random.uniform(0.8, 1.2)):
                short_sessions, clash_delay_s = 0, 0.0

    def _tell_loss(self, clash: bool, short_sessions: int, delay_s: float) -> None:
        if clash:
            self._set_state(
                LinkState.CLASH,
                f"another client of {self.broker.address} uses the client id {self.client_id} too: the broker took us "
                f"and dropped us {short_sessions} times in a row. Give one of the two its own CSE-ID (or AE-ID), or "
                f"stop it. Next try in {delay_s:.0f} s",
            )
        else:
            self._set_state(LinkState.LOST, f"lost the connection to {self.broker.address}, connecting again")

    async def _return(self, delay_s: float) -> bool:
        """Try until connected; True when an attempt failed, so that it was the broker and not a rival."""
        failed = False
        while True:
            await asyncio.sleep(delay_s)
            try:
                async with asyncio.timeout(10.0):
                    await self._connect()
                return failed
            except (OSError, TimeoutError) as error:
                failed = True
                self._drop()
                words = str(error) or f"no answer from {self.broker.address}"
                self._set_state(LinkState.LOST, f"{words}, trying again")
            delay_s = min(max(_BACKOFF_S[0], 2 * delay_s), _BACKOFF_S[1]) * random.uniform(0.8, 1.0)

    def _drop(self) -> None:
        self._ready.clear()
        self._gone.set()
        self._subacks.clear()
        self._open = None
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close() if self._stopping else stream.abort()

    def _set_state(self, state: LinkState, words: str) -> None:
        if state is not self.state or state is LinkState.CLASH:
            self.state = state
            self._on_state(state, words)

    # --- messages -----------------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes) -> int:
        """Publish with QoS 1, now or after the next connect; returns the packet identifier.

        Raises:
            BrokerUnavailable: too many messages wait for this broker.
        """
        stream = self._open
        try:
            mid, packet = self._outbox.add(topic, payload, sent=stream is not None)
        except OutboxFull:
            raise BrokerUnavailable(f"{self.broker.address} has not taken {len(self._outbox)} messages yet") from None
        if stream is not None:
            stream.send(packet)
        return mid

    async def acknowledged(self, mid: int) -> None:
        """Return when the broker has acknowledged a message that was just published."""
        answer = self._acknowledged[mid] = self._loop.create_future()
        try:
            await answer
        finally:
            self._acknowledged.pop(mid, None)

    def forget(self, mid: int) -> None:
        """Do not send a message again after a reconnect."""
        self._outbox.remove(mid)

    def ack(self, mid: int, generation: int) -> None:
        """Acknowledge a message, if the connection it came on still stands."""
        stream = self._open
        if generation == self.generation and stream is not None:
            stream.send(encode_puback(mid))

    # --- what paho and the stream call --------------------------------------------------------------------------

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._connack is None or self._connack.done():
            return
        words = ""
        self.generation += 1  # here, because messages of a kept session may follow in the same read
        if reason.is_failure:
            words = f"{self.broker.address} refuses the connection ({reason})"
            if reason.value in (134, 135):
                who = f"user {self.broker.user!r}" if self.broker.user else "a connection without user"
                words = f"{self.broker.address} refuses {who}: give mqtt://user:password@host:port"
        elif self._stream is not None:
            self._open = self._stream
            if self._outbox:
                self._open.send(self._outbox.pending())
        self._connack.set_result(words)

    def _subscribed(self, _client: Any, _data: Any, mid: int, codes: Any, _properties: Any) -> None:
        answer = self._subacks.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result([int(code.value) for code in codes])

    def _published(self, mid: int) -> None:
        self._outbox.remove(mid)
        if self._acknowledged:
            answer = self._acknowledged.get(mid)
            if answer is not None and not answer.done():
                answer.set_result(None)
        if self._stopping and not self._outbox:
            self._drained.set()

    def _read(self, data: bytes) -> bytes:
        return self._engine.feed(data)

    def _ended(self, stream: Stream) -> None:
        if stream is self._stream:  # and not one that was given up before
            self._open = None
            self._engine.loop_read()
            self._gone.set()
