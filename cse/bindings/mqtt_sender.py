"""The sending side of the MQTT binding: publish a request, wait for its response (TS-0010 clauses 6.4, 6.5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cse.bindings import mqtt_codec as codec
from cse.bindings import primitive_codec as primitives
from cse.bindings.mqtt_brokers import OtherBrokers
from cse.bindings.mqtt_codec import BrokerUrl, Topic
from cse.bindings.mqtt_connection import BrokerConnection, BrokerUnavailable
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class MqttSender:
    """Requests on their way, by receiver and request identifier.

    Args:
        broker: the own broker.
        own: topic level of the own entity; responses come back to it, so it is the originator in every topic.
        others: connections to brokers that are not the own one.
        prefixes: of the topics listened to; prefixes of points of access are added.
        lenient: understand dialects in URLs and responses.
        note: told of each dialect.
    """

    def __init__(
        self,
        broker: BrokerUrl,
        own: str,
        others: OtherBrokers,
        prefixes: list[str],
        *,
        lenient: bool,
        note: primitives.Note,
    ) -> None:
        self._broker, self._own, self._others, self._prefixes = broker, own, others, prefixes
        self._lenient, self._note = lenient, note
        self._expected: dict[tuple[BrokerConnection, str, str], asyncio.Future[Response]] = {}
        #: the connection to the own broker, None before start and after stop
        self.link: BrokerConnection | None = None

    @property
    def expected(self) -> int:
        """How many requests wait for their responses."""
        return len(self._expected)

    async def send(self, url: str, send: Send) -> Response:
        """Send a request and return the answer; see the port ``Sender``.

        A URL that is a whole topic (``send.exact_url`` and a path) belongs to somebody who need not speak oneM2M: the
        broker's acknowledgement is the answer.

        Raises:
            Unreachable: no broker, no answer in time, or an answer that is no response primitive.
        """
        try:
            broker = codec.parse_url(url)
            topic, answered = self._topic(broker, send)
        except BadRequest as error:
            raise Unreachable(error.debug) from error
        try:
            async with asyncio.timeout(send.timeout_s), self._connection(broker) as link:
                if answered is None:
                    return await self._hand_over(link, topic, broker, send)
                return await self._ask(link, topic, answered, send)
        except TimeoutError as error:
            raise Unreachable(f"no answer to {topic} at {broker.address} within {send.timeout_s:g} s") from error
        except BrokerUnavailable as error:
            raise Unreachable(str(error)) from error

    def _topic(self, broker: BrokerUrl, send: Send) -> tuple[str, Topic | None]:
        """Where to publish, and the topic taken apart when a response is to be waited for."""
        if send.exact_url and broker.path:
            receiver = broker.path
            if self._lenient and broker.serialisation and receiver[0] in "CS" and receiver.isalnum():
                # dialect: the path is only the AE-ID (users.md, dialect 11)
                self._note("AE-ID as path of an mqtt URL")
                return Topic(codec.REQUEST, self._own, receiver, broker.serialisation).text(self._broker.prefix), None
            self._check_own_words(broker.path)
            return broker.path, None
        if not send.receiver:
            raise BadRequest(f"{broker.address} names no topic, and the receiver is unknown: add the topic to the URL")
        kind = codec.REGISTRATION_REQUEST if codec.is_registration(send.request) else codec.REQUEST
        type_ = broker.serialisation or send.serialisation
        topic = Topic(kind, self._own, codec.to_topic_level(send.receiver), type_)
        prefix = broker.prefix or (self._broker.prefix if self._is_own(broker) else "")
        return topic.text(prefix), topic

    def _check_own_words(self, topic: str) -> None:
        """Refuse a topic of the binding on which somebody else speaks, or where this entity would hear itself."""
        _, found, rest = f"/{topic}".rpartition("/oneM2M/")
        kind, originator, receiver = [*rest.split("/"), "", "", ""][:3]
        if found and (kind != codec.REQUEST or originator != self._own or receiver == self._own):
            raise BadRequest(
                f"what this entity sends goes to /oneM2M/{codec.REQUEST}/{self._own}/<receiver>/json, or to a topic "
                "outside /oneM2M/: the URL names the topic of somebody else"
            )

    def _is_own(self, broker: BrokerUrl) -> bool:
        own = self._broker
        same_host = broker.host == own.host or (broker.host in _LOOPBACK and own.host in _LOOPBACK)
        return same_host and broker.port == own.port and broker.tls == own.tls

    @asynccontextmanager
    async def _connection(self, broker: BrokerUrl) -> AsyncIterator[BrokerConnection]:
        if not self._is_own(broker):
            if broker.user or broker.password:
                raise Unreachable(f"the URL of {broker.address} holds a user or password: leave them out")
            async with self._others.connection(broker) as link:
                yield link
            return
        if self.link is None:
            raise Unreachable(f"not connected to {broker.address}")
        await self.link.wait_connected()
        yield self.link

    async def _hand_over(self, link: BrokerConnection, topic: str, broker: BrokerUrl, send: Send) -> Response:
        request = send.request
        payload = codec.dump(primitives.encode_request(request), broker.serialisation or send.serialisation)
        mid = link.publish(topic, payload)
        try:
            await link.acknowledged(mid)
        except asyncio.CancelledError:
            link.forget(mid)
            raise
        return Response(Status.OK, request.request_id, release=request.release)

    async def _ask(self, link: BrokerConnection, text: str, topic: Topic, send: Send) -> Response:
        request: Request = send.request
        key = (link, topic.receiver, request.request_id)
        if key in self._expected:
            raise Unreachable(f"a request {request.request_id!r} to {send.receiver} is still on its way")
        payload = codec.dump(primitives.encode_request(request), topic.serialisation)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._expected[key] = answer
        mid = 0
        try:
            await self._listen(link, text.partition("/oneM2M/")[0], topic)
            mid = link.publish(text, payload)
            return await answer
        except asyncio.CancelledError:
            if mid:
                link.forget(mid)
            raise
        finally:
            del self._expected[key]

    async def _listen(self, link: BrokerConnection, prefix: str, topic: Topic) -> None:
        """Subscribe to the responses below ``prefix``; the own ones are subscribed from the start."""
        if link is self.link and prefix == self._broker.prefix:
            return
        kind = codec.ANSWERS[topic.kind]
        await link.listen(f"{prefix}/oneM2M/{kind}/{self._own}/+/#")
        if prefix not in self._prefixes:
            self._prefixes.append(prefix)

    def take(self, link: BrokerConnection, topic: Topic, payload: bytes) -> str:
        """Give a response to who waits for it; returns why it was ignored, "" when it was not."""
        if topic.originator != self._own:
            return "response to somebody else"
        failure: BadRequest | None = None
        response: Response | None = None
        request_id = ""
        try:
            value, _ = primitives.unwrap(
                codec.load(payload, topic.serialisation), "m2m:rsp", lenient=self._lenient, note=self._note
            )
            request_id = primitives.request_id(value)
            response = primitives.decode_response(value, lenient=self._lenient, note=self._note)
        except BadRequest as error:
            failure = error
            request_id = request_id or error.request_id or primitives.find_request_id(payload)
        answer = self._expected.get((link, topic.receiver, request_id))
        if answer is None or answer.done():
            return "response nobody waits for"
        if response is not None:
            answer.set_result(response)
        else:
            assert failure is not None
            answer.set_exception(Unreachable(f"the answer is no oneM2M response: {failure.debug}"))
        return ""
