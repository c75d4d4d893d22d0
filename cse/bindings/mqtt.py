"""The MQTT binding: requests in from a broker, requests out to entities that listen on one (TS-0010).

A request is acknowledged to the broker (PUBACK) after its response was published, so what was not answered comes again
after a crash. Requests start in the order they came in. Acknowledgements go out in that order too, as MQTT demands.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cse.bindings import mqtt_codec as codec
from cse.bindings import primitive_codec as primitives
from cse.bindings.mqtt_acks import Delivery, OrderedAcks
from cse.bindings.mqtt_brokers import OtherBrokers
from cse.bindings.mqtt_connection import BrokerConnection, BrokerUnavailable, Guard, LinkState
from cse.bindings.mqtt_duplicates import UNIQUE_ID_LENGTH, Answered, DuplicateFilter, Key
from cse.bindings.mqtt_engine import Incoming
from cse.bindings.mqtt_limits import MqttCounters, MqttFigures, MqttLimits
from cse.bindings.mqtt_places import Place, Places
from cse.bindings.mqtt_sender import MqttSender
from cse.bindings.under_way import UnderWay
from cse.onem2m.addressing import shorten
from cse.onem2m.errors import BadRequest, CseError, InternalServerError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Begin, Send, Serve

_log = logging.getLogger(__name__)


class MqttStartError(OSError):
    """The binding cannot start. The message says in one line what to mend."""


@dataclass(slots=True, eq=False)
class _Exchange:
    """A request, and how and where it is answered."""

    place: Place
    message: Incoming
    delivery: Delivery | None
    wrapped: bool = False
    release: str | None = None
    key: Key | None = None
    answered: Answered[Delivery | None] | None = None


def _forget_state(_state: LinkState, _words: str) -> None:
    """Tell nobody."""


class MqttBinding:
    """An entity on an MQTT broker: its server and its client side (the port ``Sender``).

    Args:
        url: ``mqtt://[user:password@]host[:1883][/prefix]``, or mqtts.
        entity_id: the own CSE-ID (``/id-in``) or AE-ID (``Cae``).
        serve: executes requests.
        begin: the same without a task; None makes one for each request.
        lenient: dialects are understood and counted; otherwise refused.
        cse_name: resourceName of the own CSEBase, "" for an AE.
        limits: what bounds the work.
        is_cse: a CSE takes registrations.
        sp_id: the own M2M-SP-ID, ``//...`` or "".
        broker_authenticates: the broker lets nobody publish under the name of another, so the originator in a topic
            is a proven credential.
        may_relay: whether a CSE (by CSE-ID) may send for an originator that is not below it; a CSE denies, an AE
            trusts what cannot be another AE, when it is None.
        guard: decides whether and at which address other brokers may be reached.
        tls: for an mqtts ``url``; None verifies against the system's authorities.
        on_state: called with the state of the connection and a line that says why.

    Raises:
        MqttStartError: ``url`` or ``entity_id`` make no sense.
    """

    def __init__(
        self,
        url: str,
        entity_id: str,
        *,
        serve: Serve,
        begin: Begin | None = None,
        lenient: bool = True,
        cse_name: str = "",
        limits: MqttLimits | None = None,
        is_cse: bool = True,
        sp_id: str = "",
        broker_authenticates: bool = False,
        may_relay: Callable[[str, str], bool] | None = None,
        guard: Guard | None = None,
        tls: ssl.SSLContext | None = None,
        on_state: Callable[[LinkState, str], None] = _forget_state,
    ) -> None:
        try:
            self.broker = codec.parse_url(url)
            self._own = codec.to_topic_level(entity_id)
        except BadRequest as error:
            raise MqttStartError(f"mqtt: {error.debug}") from error
        self.entity_id, self._cse_name, self._sp_id, self._is_cse = entity_id, cse_name, sp_id, is_cse
        self._lenient, self._limits = lenient, limits or MqttLimits()
        self._under_way = UnderWay(serve, begin)
        self._broker_authenticates, self._tls, self._notify_state = broker_authenticates, tls, on_state
        self._may_relay = may_relay or (lambda hop, _originator: not is_cse and not hop.startswith(("/C", "/S")))
        self.client_id = f"{'C' if is_cse else 'A'}::{self._own}"
        self.counters = MqttCounters()
        self._note: primitives.Note = lambda dialect: self.counters.dialects.update((dialect,))
        self._link: BrokerConnection | None = None
        self._others = OtherBrokers(self.client_id, self._receive, guard=guard)
        self._prefixes = [self.broker.prefix]
        self._sender = MqttSender(
            self.broker, self._own, self._others, self._prefixes, lenient=lenient, note=self._note
        )
        self._places = Places(self._own, self._prefixes, is_cse=is_cse, lenient=lenient)
        self._waiting: deque[_Exchange] = deque()
        self._duplicates: DuplicateFilter[Delivery | None] = DuplicateFilter(
            self._limits.duplicates, self._limits.duplicates_bytes, self._limits.duplicates_s
        )
        self._acks = OrderedAcks(self._acknowledge, self.counters, self._limits)
        self._stopping = False
        self._pumping = self._holding = False

    # --- life ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> LinkState:
        """How the connection to the broker stands."""
        return self._link.state if self._link is not None else LinkState.STOPPED

    @property
    def figures(self) -> MqttFigures:
        """What is under way."""
        expected = self._sender.expected
        return MqttFigures(self.state is LinkState.CONNECTED, len(self._under_way), len(self._waiting), expected)

    async def start(self, timeout_s: float = 5.0) -> None:
        """Connect and subscribe; from then on the connection comes back by itself.

        Raises:
            MqttStartError: the broker cannot be used; in one line what to mend.
        """
        self._stopping = False
        link = BrokerConnection(
            self.broker,
            self.client_id,
            codec.subscriptions(self._own, self.broker.prefix, is_cse=self._is_cse),
            on_message=lambda message: self._receive(link, message),
            on_ready=self._pump,
            on_state=self._tell,
            clean_session=self._own in ("C", "S"),
            tls=self._tls,
            packet_limit=self._limits.readable_bytes + 4096,
        )
        self._link = self._sender.link = link
        try:
            await link.start(timeout_s)
        except BrokerUnavailable as error:
            self._link = self._sender.link = None
            words = str(error)
            if words.startswith("no "):
                words += ": start one (mosquitto) or give another with --mqtt"
            raise MqttStartError(f"mqtt: {words}") from error

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Finish the requests that were started, then disconnect. Others stay with the broker."""
        self._stopping = True
        self._waiting.clear()
        await self._under_way.finish(timeout_s)
        self._acks.close()
        await self._others.close()
        if self._link is not None:
            await self._link.stop(timeout_s)
            self._link = self._sender.link = None

    async def send(self, url: str, send: Send) -> Response:
        """Send a request and return the answer; see the port ``Sender``.

        Raises:
            Unreachable: no broker, no answer in time, or an answer that is no response primitive.
        """
        return await self._sender.send(url, send)

    async def close(self) -> None:
        """The same as ``stop``: there is one connection for both directions."""
        await self.stop()

    def _tell(self, state: LinkState, words: str) -> None:
        level = logging.INFO if state in (LinkState.CONNECTED, LinkState.STOPPED) else logging.WARNING
        _log.log(level, "mqtt: %s", words)
        self._notify_state(state, words)

    # --- what comes in ------------------------------------------------------------------------------------------

    def _receive(self, link: BrokerConnection, message: Incoming) -> None:
        """Take a message; never raises, or paho would give up the connection."""
        delivery = None
        if message.mid and link is self._link and not self._stopping:
            delivery = self._acks.take(message.mid, link.generation)
        try:
            ignored = self._sort(link, message, delivery)
        except Exception:
            _log.exception("mqtt: a message could not be taken")
            ignored = "fault"
        if ignored is None:
            return
        if ignored:
            self.counters.ignored[ignored] += 1
        if delivery is not None:
            self._acks.finish(delivery)
        elif message.mid and link is not self._link:
            link.ack(message.mid, link.generation)

    def _sort(self, link: BrokerConnection, message: Incoming, delivery: Delivery | None) -> str | None:
        """Give a message to who handles it: None while it waits, else why it was ignored, "" when it is done."""
        if message.retain:
            return "retained"
        place = self._places.get(message.topic)
        if place is None:
            return "topic"
        if message.oversized or len(message.payload) > self._limits.readable_bytes:
            return "too large"
        if not place.answer:
            return self._sender.take(link, place.topic, message.payload)
        if link is not self._link:
            return "request from another broker"
        if not place.ours:
            return "not for us"
        if self._stopping:
            return None  # stays with the broker
        self._waiting.append(_Exchange(place, message, delivery))
        self._pump()
        if len(self._waiting) > self._limits.waiting:
            self._holding = True
            self._link.hold(True)
        return None

    def _pump(self) -> None:
        """Start the requests that may start, in the order they came."""
        if self._pumping:  # what is answered at once ends in here again
            return
        self._pumping = True
        waiting, running, limit = self._waiting, self._under_way, self._limits.in_flight
        try:
            while waiting and len(running) < limit and not (self._link is not None and self._link.congested):
                self._begin(waiting.popleft())
        finally:
            self._pumping = False
        if self._holding and len(waiting) <= self._limits.waiting // 2:
            self._holding = False
            if self._link is not None:
                self._link.hold(False)

    def _begin(self, exchange: _Exchange) -> None:
        self.counters.taken += 1
        if exchange.delivery is not None:
            exchange.delivery.started = True
        try:
            request = self._decode(exchange)
        except CseError as error:
            self._refuse(exchange, error)
            return
        if not self._repeated(request, exchange):
            failed = partial(self._failed, exchange, request)
            self._under_way.start(request, partial(self._done, exchange), failed)

    def _done(self, exchange: _Exchange, response: Response) -> None:
        self._answer(exchange, response)
        if self._waiting and not self._stopping:
            self._pump()

    def _decode(self, exchange: _Exchange) -> Request:
        place, payload = exchange.place, exchange.message.payload
        if not place.topic.type:
            self._note("topic without type")
        value = codec.load(payload, place.serialisation)
        value, exchange.wrapped = primitives.unwrap(value, "m2m:rqp", lenient=self._lenient, note=self._note)
        if len(payload) > self._limits.payload_bytes:
            raise BadRequest(
                f"the request has {len(payload)} bytes: send at most {self._limits.payload_bytes}",
                primitives.request_id(value),
            )
        request = primitives.decode_request(value, lenient=self._lenient, note=self._note)
        exchange.release = request.release
        try:
            self._identify(request, place)
        except CseError as error:
            error.request_id = request.request_id
            raise
        request.binding = "mqtt"
        return request

    def _identify(self, request: Request, place: Place) -> None:
        topic = place.topic
        as_the_topic_says = place.originator and request.originator == place.originator
        if not as_the_topic_says and not codec.identify(request, topic, self._own, self._sp_id):
            hop = codec.cse_of_topic_level(topic.originator)
            if not self._may_relay(hop, request.originator):
                raise codec.mismatch(request, topic)
        if self._broker_authenticates:
            proven = codec.from_topic_level(topic.originator)
            request.credential = shorten(proven, self._sp_id, self.entity_id) if len(proven) > 1 else ""
        if self._lenient and self._is_cse and request.to.startswith("/"):
            to = codec.own_address(request.to, self._cse_name, self.entity_id)
            if to is not request.to:
                self._note("slash before the CSEBase name")
                request.to = to

    def _repeated(self, request: Request, exchange: _Exchange) -> bool:
        """Answer a request from memory when it came before; a RETRIEVE does no harm and is executed again."""
        if request.operation is Operation.RETRIEVE:
            return False
        known, message = self._duplicates, exchange.message
        now_s = time.monotonic()
        key = known.key(exchange.place.text, message.payload)
        unique = request.originating_time is not None or len(request.request_id) >= UNIQUE_ID_LENGTH
        earlier = known.find(key, message.mid, now_s, unique=unique, redelivered=message.dup)
        if earlier is None:
            exchange.key, exchange.answered = key, known.add(key, message.mid, now_s)
            return False
        self.counters.repeated += 1
        if earlier.payload is None:
            earlier.waiters.append(exchange.delivery)
        else:
            self._publish(exchange, earlier.payload)
        return True

    def _failed(self, exchange: _Exchange, request: Request, error: Exception) -> None:
        if not isinstance(error, CseError):
            _log.error("mqtt: request %r failed", request.request_id, exc_info=error)
            error = InternalServerError("the request met a fault of this CSE: see its log")
        self._done(exchange, self._failure(error, request.request_id, request.release))

    # --- what goes out ------------------------------------------------------------------------------------------

    def _failure(self, error: CseError, request_id: str, release: str | None) -> Response:
        return Response(error.status, request_id, {"m2m:dbg": error.debug}, release)

    def _refuse(self, exchange: _Exchange, error: CseError) -> None:
        request_id = error.request_id or primitives.find_request_id(exchange.message.payload)
        if request_id:
            self._answer(exchange, self._failure(error, request_id, exchange.release))
        else:
            self.counters.ignored["unreadable"] += 1
            self._acks.finish(exchange.delivery)

    def _answer(self, exchange: _Exchange, response: Response) -> None:
        payload = b""
        if not response.silent:
            value = primitives.encode_response(response)
            value.setdefault("fr", self.entity_id)
            if exchange.wrapped:
                value = {"m2m:rsp": value}
            payload = codec.dump(value, exchange.place.serialisation)
        waiters: list[Delivery | None] = []
        if exchange.answered is not None and exchange.key is not None:
            keep = response.status < 5000 and response.status is not Status.REQUEST_TIMEOUT  # else worth a new try
            waiters = self._duplicates.settle(exchange.answered, payload, exchange.key, keep=keep)
        self._publish(exchange, payload)
        for delivery in waiters:
            self._acks.finish(delivery)

    def _publish(self, exchange: _Exchange, payload: bytes) -> None:
        """Publish a response, then acknowledge the request. Both leave in one write, in this order."""
        if payload and self._link is not None:
            try:
                self._link.publish(exchange.place.answer, payload)
            except BrokerUnavailable as error:
                _log.warning("mqtt: a response is lost: %s", error)
        self._acks.finish(exchange.delivery)

    def _acknowledge(self, mid: int, generation: int) -> None:
        if self._link is not None:
            self._link.ack(mid, generation)
