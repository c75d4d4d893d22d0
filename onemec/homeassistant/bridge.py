"""Keeps Home Assistant in step with a CSE: discovery and states to its broker, commands back as UPDATE requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from cse.client import Client, RequestFailed, Subscription, Unreachable
from cse.onem2m.primitives import Operation, Request
from onemec.homeassistant.mapping import Entity, Topics, entities_of, state_of, value_of

_log = logging.getLogger("onemec.homeassistant")

_FLEX_CONTAINER = 28
_UPDATED, _DELETED = 1, 2


class BrokerRefused(Exception):
    """The broker cannot be used; the message is one line and says why."""


@dataclass(slots=True)
class _Known:
    """A flexContainer that Home Assistant knows."""

    path: str
    root: str
    resource: dict[str, Any]
    entities: list[Entity]
    subscription: Subscription
    follower: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Counts:
    """What was done so far.

    Attributes:
        flex_containers: that are known now.
        entities: that are known now.
        states: published.
        commands: passed on to the CSE.
        refused: commands that the CSE refused or that made no sense.
    """

    flex_containers: int = 0
    entities: int = 0
    states: int = 0
    commands: int = 0
    refused: int = 0


class Broker:
    """A connection to Home Assistant's broker that comes back by itself.

    Args:
        url: ``mqtt(s)://[user:password@]host[:port]``.
        topics: where messages go.
        on_command: called on the loop with topic and payload.
        on_ready: called on the loop whenever the connection is there.
    """

    def __init__(
        self, url: str, topics: Topics, on_command: Callable[[str, str], None], on_ready: Callable[[], None]
    ) -> None:
        from cse.bindings.mqtt_codec import parse_url

        self._address, self._topics = parse_url(url), topics
        self._loop = asyncio.get_running_loop()
        self._on_command, self._on_ready = on_command, on_ready
        self._connected = asyncio.Event()
        self._refusal = ""
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if self._address.user:
            self._client.username_pw_set(self._address.user, self._address.password)
        if self._address.tls:
            self._client.tls_set_context(ssl.create_default_context())
        self._client.will_set(topics.status, "offline", qos=1, retain=True)
        self._client.on_connect = self._connect
        self._client.on_message = self._message

    def _connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        """CONNACK came, in paho's thread."""
        if reason.is_failure:
            self._refusal = str(reason)
        else:
            self._client.subscribe([(self._topics.commands, 1), (f"{self._topics.discovery}/status", 1)])
            self._client.publish(self._topics.status, "online", qos=1, retain=True)
            self._loop.call_soon_threadsafe(self._on_ready)
        self._loop.call_soon_threadsafe(self._connected.set)

    def _message(self, _client: Any, _data: Any, message: Any) -> None:
        """PUBLISH came, in paho's thread."""
        payload = message.payload.decode("utf-8", "replace")
        if message.topic == f"{self._topics.discovery}/status":
            if payload == "online":  # Home Assistant started again
                self._loop.call_soon_threadsafe(self._on_ready)
        elif not message.retain:
            self._loop.call_soon_threadsafe(self._on_command, message.topic, payload)

    async def open(self, timeout_s: float = 10.0) -> None:
        """Connect.

        Raises:
            BrokerRefused: nobody answers, or the broker refuses.
        """
        try:
            await asyncio.to_thread(self._client.connect, self._address.host, self._address.port, 30)
        except (OSError, ssl.SSLError) as error:
            raise BrokerRefused(f"no broker answers at {self._address.address}: {error}") from error
        self._client.loop_start()
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            self._refusal = "it does not answer as an MQTT broker does"
        if self._refusal:
            self._client.disconnect()
            self._client.loop_stop()
            raise BrokerRefused(f"{self._address.address}: {self._refusal}")

    def publish(self, topic: str, payload: str) -> None:
        """Publish what lasts."""
        self._client.publish(topic, payload, qos=1, retain=True)

    async def close(self) -> None:
        """Say that we are gone, and go."""
        said = self._client.publish(self._topics.status, "offline", qos=1, retain=True)
        with contextlib.suppress(ValueError, RuntimeError):
            await asyncio.to_thread(said.wait_for_publish, 3.0)
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


@dataclass(slots=True)
class Bridge:
    """The flexContainers of a CSE, kept in step with Home Assistant.

    Args:
        client: at the CSE, registered.
        root: address below which flexContainers are looked for.
        topics: where messages go.
        mqtt_url: of Home Assistant's broker.
        commands: whether switches may be switched.
    """

    client: Client
    root: str
    topics: Topics
    mqtt_url: str
    commands: bool = True
    counts: Counts = field(default_factory=Counts)
    _known: dict[str, _Known] = field(default_factory=dict)
    _broker: Broker | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> None:
        """Connect to the broker, and tell it what is there.

        Raises:
            BrokerRefused: see ``Broker.open``.
            RequestFailed, Unreachable: of the CSE.
        """
        self._broker = Broker(self.mqtt_url, self.topics, self._command, self._tell_all)
        await self._broker.open()
        await self.look()

    async def close(self) -> None:
        """Stop, and leave the entities as unavailable."""
        for task in [*self._tasks, *(known.follower for known in self._known.values() if known.follower)]:
            task.cancel()
        if self._broker is not None:
            await self._broker.close()

    async def look(self) -> None:
        """Take flexContainers that are new, and take away those that are gone.

        Raises:
            RequestFailed, Unreachable: of the CSE.
        """
        found = set(await self.client.discover(self.root, types=[_FLEX_CONTAINER]))
        for path in found - {known.path for known in self._known.values()}:
            try:
                await self._take(path)
            except RequestFailed as error:
                _log.warning("%s is not shown: %s", path, error)
        for ri, known in list(self._known.items()):
            if known.path not in found:
                self._drop(ri)

    async def _take(self, path: str) -> None:
        # Subscribed first, read then: what changes between the two is heard of.
        subscription = await self.client.subscribe(path, events=(_UPDATED, _DELETED))
        response = await self.client.request(Request(Operation.RETRIEVE, path))
        content = response.content
        if not response.status.is_success or not isinstance(content, dict) or len(content) != 1:
            await subscription.close()
            return
        root, resource = next(iter(content.items()))
        entities = list(entities_of(root, resource, path, self.topics, commands=self.commands))
        known = _Known(path, root, resource, entities, subscription)
        self._known[resource["ri"]] = known
        known.follower = asyncio.create_task(self._follow(resource["ri"], known))
        self._count()
        self._tell(resource["ri"])

    async def _follow(self, ri: str, known: _Known) -> None:
        async for event in known.subscription:
            if event.event == _DELETED:
                break
            known.resource.update(event.resource)
            entities = list(entities_of(known.root, known.resource, known.path, self.topics, commands=self.commands))
            if len(entities) != len(known.entities):  # an attribute came or went
                known.entities = entities
                self._count()
                self._tell(ri)
            else:
                self._tell_state(ri)
        self._drop(ri)

    def _drop(self, ri: str) -> None:
        known = self._known.pop(ri, None)
        if known is None or self._broker is None:
            return
        for entity in known.entities:
            self._broker.publish(self.topics.config(entity), "")
        self._broker.publish(self.topics.state(ri), "")
        self._count()
        if known.follower is not None and known.follower is not asyncio.current_task():
            known.follower.cancel()

    def _count(self) -> None:
        self.counts.flex_containers = len(self._known)
        self.counts.entities = sum(len(known.entities) for known in self._known.values())

    def _tell_all(self) -> None:
        for ri in self._known:
            self._tell(ri)

    def _tell(self, ri: str) -> None:
        """Discovery messages and the state of a flexContainer."""
        assert self._broker is not None
        for entity in self._known[ri].entities:
            self._broker.publish(self.topics.config(entity), json.dumps(entity.config, ensure_ascii=False))
        self._tell_state(ri)

    def _tell_state(self, ri: str) -> None:
        assert self._broker is not None
        known = self._known[ri]
        self._broker.publish(self.topics.state(ri), state_of(known.root, known.resource))
        self.counts.states += 1

    def _command(self, topic: str, payload: str) -> None:
        task = asyncio.create_task(self._switch(topic, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _switch(self, topic: str, payload: str) -> None:
        """Pass a command on; only switches take any."""
        for ri, known in self._known.items():
            for entity in known.entities:
                if entity.config.get("command_topic") != topic:
                    continue
                value = value_of(payload)
                try:
                    if value is None:
                        raise ValueError(f"{payload[:40]!r} is neither ON nor OFF")
                    await self.client.update(known.path, known.root, {entity.attribute: value})
                except (RequestFailed, Unreachable, ValueError) as error:
                    self.counts.refused += 1
                    _log.warning("%s stays as it is: %s", known.path, error)
                    self._tell_state(ri)  # Home Assistant may show already what is not so
                else:
                    self.counts.commands += 1
                return
