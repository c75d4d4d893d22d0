"""The shell of a CSE: drives the core, gives it time and identifiers, delivers its outbox, minds its timers.

Everything that does I/O meets here; the rules are in ``cse.core``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cse import serving
from cse.admission import Admission, AdmissionLimits
from cse.bindings.coap import BindError as CoapBindError
from cse.bindings.coap import CoapLimits, CoapServer
from cse.bindings.coap_blockwise import BlockLimits
from cse.bindings.coap_client import CoapSender
from cse.bindings.dialects import Dialects
from cse.bindings.http import BindError as HttpBindError
from cse.bindings.http import HttpServer
from cse.bindings.http_browser import CrossOrigin
from cse.bindings.http_connections import HttpLimits
from cse.bindings.http_watch import SCHEME, Watches
from cse.bindings.late_sender import LateSender
from cse.bindings.mqtt import MqttBinding, MqttStartError
from cse.bindings.mqtt_connection import LinkState
from cse.bindings.mqtt_limits import MqttLimits
from cse.bindings.outbound import OutboundGuard
from cse.bindings.websocket import CHANNEL, WebSocketBinding
from cse.bindings.websocket_connection import Upgrade, WebSocketLimits
from cse.config import CseConfig, outbound_rules, split_address
from cse.console.app import Console
from cse.console.inspector import Inspector
from cse.core.expiry import expire
from cse.core.explanation import Explanation, explain
from cse.core.feedback import delivered
from cse.core.hosting import HostingCse
from cse.core.identity import may_relay
from cse.core.numbers import AE, CSE_BASE
from cse.core.setup import IdentityChanged, prepare
from cse.core.timers import next_due, rebuild, run_due
from cse.delivery import Delivery
from cse.metering import RequestMeter
from cse.observability import Readings
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.pages import pages
from cse.ports import Cancellable, Done, Engine, Env, Evaluator, Outcome, Send, Sender, Steps
from cse.registration import Registration
from cse.resources.declare import Privilege
from cse.resources.registry import load_registry
from cse.security import Security, SecurityError
from cse.semantic import SemanticProcess
from cse.storage import StoreOpenError, open_store
from cse.tracing import Tracing, TracingUnavailable, open_tracing
from cse.verification import VerificationLimits, Verifications, creator_of

_log = logging.getLogger("cse")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_WILDCARDS = frozenset({"0.0.0.0", "::", ""})


class StartError(Exception):
    """The CSE cannot start. The message is one line that says what to mend."""


class Identifiers:
    """New identifiers: short, of unreserved characters, unguessable enough not to collide, cheap to make."""

    __slots__ = ("_pool",)

    def __init__(self) -> None:
        self._pool = b""

    def __call__(self) -> str:
        """A token of 12 characters that starts with a letter."""
        if len(self._pool) < 12:
            # One read of the random source serves a thousand identifiers.
            self._pool = secrets.token_bytes(12 * 1024)
        taken, self._pool = self._pool[:12], self._pool[12:]
        return _ALPHABET[10 + taken[0] % 26] + "".join(_ALPHABET[byte % 36] for byte in taken[1:])


class Cse:
    """One running CSE. Several may run in one process.

    Args:
        config: everything about it.
        store: an opened engine; None opens what ``config.store`` names.
        mounts: further ASGI applications of the HTTP port, by path prefix.
        front: an HTTP server that runs already and asks this CSE, in place of one of its own (``cse.workers``).
        tracing: makes spans; None opens what ``config.otlp`` names.
    """

    def __init__(
        self,
        config: CseConfig,
        *,
        store: Engine | None = None,
        mounts: Mapping[str, Any] | None = None,
        front: HttpServer | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.config = config
        self._given_store = store
        self._mounts = dict(mounts or {})
        self._new_id = Identifiers()
        self._senders: dict[str, Sender] = {}
        self.guard = OutboundGuard(outbound_rules(config), self._listening)
        self.delivery = Delivery(self._senders, self.serve, config.id, self._delivered, self.guard, self._keeps)
        self.dialects = Dialects(config.name)
        self.admission = Admission(AdmissionLimits(rate_per_s=config.rate_per_s), time.monotonic)
        self.verifications = Verifications(VerificationLimits(), time.monotonic)
        #: makes spans of requests; None, which is usual, makes none
        self.tracing = tracing
        self.requests = RequestMeter(load_registry().known_numbers)
        #: shows requests to those who look; it costs a look at ``on`` as long as nobody does
        self.inspector = Inspector()
        #: the page for people; there is one once this is started, unless it is off
        self.console: Console | None = None
        #: what the HTTP port serves beside oneM2M, by path prefix
        self.pages: dict[str, Any] = {}
        #: process ids of all that are this CSE
        self.processes: Callable[[], Iterable[int]] = lambda: (os.getpid(),)
        self._tasks: set[asyncio.Task[Any]] = set()
        #: those and the requests that ask others
        self._working: set[asyncio.Task[Any]] = set()
        self._timer_due: float | None = None
        self._timer_wake = asyncio.Event()
        self._http = self._front = front
        self._coap: CoapServer | None = None
        self._coaps: CoapServer | None = None
        self._mqtt: MqttBinding | None = None
        self._ws: WebSocketBinding | None = None
        self._watches: Watches | None = None
        self._evaluator: Evaluator = SemanticProcess()
        self.registration: Registration | None = None
        self.engine: Engine
        self.hosting: HostingCse

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, set up the CSEBase, listen on every binding; returns when requests are taken.

        Raises:
            StartError: something is in the way; nothing is left running.
        """
        try:
            await self._start()
        except StartError:
            await self.stop()
            raise
        except (
            StoreOpenError,
            IdentityChanged,
            SecurityError,
            HttpBindError,
            CoapBindError,
            MqttStartError,
            TracingUnavailable,
        ) as error:
            await self.stop()
            raise StartError(str(error)) from error

    async def _start(self) -> None:
        self.security = Security(self.config)
        if self.tracing is None:
            self.tracing = open_tracing(self.config.otlp, "onemec-cse", {"onemec.cse_id": self.config.id})
        self.delivery.tracing = self.tracing
        self.engine = self._given_store if self._given_store is not None else open_store(self.config.store)
        settings = replace(self.config.settings(self.config.poa), admin=self.security.admins)
        self.hosting = HostingCse(settings, load_registry(), self.engine)
        await self._set_up()
        self.delivery.resume(self.engine)
        await self._open_bindings()
        poa = self.config.poa or self._points_of_access()
        self.hosting.settings = replace(settings, poa=poa)
        await self._set_up()
        rebuild(self.hosting, self.env())
        self.delivery.open()
        if self.security.credentials is not None:
            self.security.credentials.on_change = self._credentials_changed
            self._run(self.security.watch(), "credentials")
        self._run(self._expire_for_ever(), "expiry")
        self._run(self._mind_timers(), "timers")
        if self.config.registrar:
            self.registration = Registration(self.config, poa, self.delivery.ask, self.serve, self._new_id)
            self._run(self._register_for_ever(self.registration), "registration")

    async def _set_up(self) -> None:
        """Make or refresh the CSEBase. A store that can only be read and deleted from now is served all the same.

        Raises:
            StartError: there is no CSEBase yet, and the store cannot keep one.
        """
        is_known = bool(self.engine.of_type(CSE_BASE))
        try:
            await self.engine.durable(prepare(self.hosting, self.env()))
        except CseError as error:
            if not is_known:
                raise StartError(f"{error.debug}: make room, or give another --store") from error
            _log.warning("the CSEBase cannot be brought up to date: %s", error.debug)

    async def _open_bindings(self) -> None:
        config, lenient = self.config, self.config.profile == "lenient"
        http_sender = LateSender(partial(_http_sender, self.security.client_tls(), self.guard))
        coap_sender = CoapSender(guard=self.guard)
        self._senders.update({"http": http_sender, "https": http_sender, "coap": coap_sender, "coaps": coap_sender})
        self._ws = self._websocket()
        self._senders.update({"ws": self._ws, "wss": self._ws, CHANNEL: self._ws})
        self.delivery.open_channel = self._ws.channel
        self._watches = Watches(
            self.enter,
            self.hosting.watched,
            lambda ri: self.engine.get(ri) is not None,
            release=config.releases[-1],
            lenient=lenient,
            note=self.dialects.note,
        )
        self._senders[SCHEME] = self._watches
        if config.http:
            self.console = Console(self) if config.console else None
            self.pages = {**pages(self), **self._mounts}
        if config.http and self._front is None:
            host, port = split_address(config.http)
            self._http = HttpServer(
                self.enter,
                host,
                port,
                limits=HttpLimits(body_bytes=config.max_body_bytes),
                lenient=lenient,
                mounts=self.pages,
                tls=self.security.server_tls(),
                accept_upgrade=self._ws.accept if config.ws else None,
                cross_origin=CrossOrigin(config.cors_origins) if config.cors_origins else None,
                watches=self._watches,
                authenticate=self.security.authenticate,
                read_certificate=self.security.entity_of_certificate if config.tls_ca else None,
                note=self.dialects.note,
                begin=self.begin,
            )
            await self._http.start()
        if config.coap:
            host, port = split_address(config.coap)
            blocks = BlockLimits(body_bytes=config.max_body_bytes)
            coap_limits = CoapLimits(blocks=blocks)
            note = self.dialects.note
            self._coap = CoapServer(
                self.enter, host, port, limits=coap_limits, lenient=lenient, note=note, begin=self.begin
            )
            await self._coap.start()
        if config.coaps:
            host, port = split_address(config.coaps)
            limits = CoapLimits(blocks=BlockLimits(body_bytes=config.max_body_bytes))
            dtls = self.security.dtls()
            note = self.dialects.note
            self._coaps = CoapServer(
                self.enter, host, port, limits=limits, lenient=lenient, dtls=dtls, note=note, begin=self.begin
            )
            await self._coaps.start()
        if config.mqtt:
            self._mqtt = MqttBinding(
                config.mqtt,
                config.id,
                serve=self.enter,
                begin=self._begin_mqtt,
                lenient=lenient,
                cse_name=config.name,
                limits=MqttLimits(payload_bytes=config.max_body_bytes, readable_bytes=4 * config.max_body_bytes),
                sp_id=config.sp_id,
                may_relay=self._may_relay,
                guard=self.guard.address,
                broker_authenticates=config.mqtt_acl,
                tls=self.security.mqtt_tls(),
            )
            await self._mqtt.start()
            self._senders.update({"mqtt": self._mqtt, "mqtts": self._mqtt})

    def readings(self) -> Readings:
        """How this CSE is now."""
        parts = {"storage": self.engine.health()}
        if self._mqtt is not None:
            parts["mqtt"] = (
                "ok" if self._mqtt.state is LinkState.CONNECTED else f"not connected to {self._mqtt.broker.address}"
            )
        if self.registration is not None:
            registered = self.registration.registered.is_set()
            parts["registrar"] = "ok" if registered else f"not registered with {self.config.registrar_id}"
        counts = self.delivery.counts
        return Readings(
            cse_id=self.config.id,
            requests=self.requests,
            refused=self.admission.refused,
            in_flight=self.admission.in_flight,
            dialects=self.dialect_uses,
            notifications={"sent": counts.sent, "failed": counts.failed, "dropped": counts.dropped},
            waiting=counts.waiting,
            targets=self.delivery.targets,
            attempts_s=self.delivery.seconds,
            watches=self._watches.count if self._watches is not None else 0,
            store=self.engine.figures(),
            mqtt=(self._mqtt.figures, self._mqtt.counters) if self._mqtt is not None else None,
            parts=parts,
        )

    def explain(
        self, who: str, privilege: Privilege, to: str, child: int | None = None, address: str = ""
    ) -> Explanation:
        """Why somebody may or may not do something here, see ``cse.core.explanation.explain``."""
        return explain(self.hosting, self.env(), who, privilege, to, child_type=child, peer_address=address)

    def note(self, dialect: str) -> None:
        """Count a dialect that a codec mended."""
        self.dialects.note(dialect)

    @property
    def dialect_uses(self) -> Counter[str]:
        """How often each dialect was met, over all bindings."""
        uses = Counter(self.dialects.uses)
        if self._mqtt is not None:
            uses.update(self._mqtt.counters.dialects)
        if self._ws is not None:
            uses.update(self._ws.dialects)
        return uses

    def _websocket(self) -> WebSocketBinding:
        config = self.config
        return WebSocketBinding(
            self.enter,
            config.id,
            lenient=config.profile == "lenient",
            sp_id=config.sp_id,
            limits=WebSocketLimits(message_bytes=config.max_body_bytes),
            allowed_origins=config.cors_origins,
            may_relay=self._may_relay,
            is_registered=lambda entity: bool(
                self.engine.referring("aei", entity) or self.engine.referring("csi", entity)
            ),
            believe_originators=config.insecure_dev,
            authenticate=self.security.authenticate,
            tls=self.security.client_tls(),
            guard=self.guard,
        )

    async def stop(self, grace_s: float = 8.0) -> None:
        """Finish what was taken, deliver what is queued, close everything. Safe to call at any time."""
        deadline = time.monotonic() + grace_s
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._mqtt is not None:
            await self._mqtt.stop()
        if self._coap is not None:
            await self._coap.stop()
        if self._coaps is not None:
            await self._coaps.stop()
        if self.console is not None:
            self.console.close()
        if self._watches is not None:
            await self._watches.close()
        if self._ws is not None:
            await self._ws.close(max(0.2, min(2.0, deadline - time.monotonic())))
        if self._http is not None and self._front is None:
            await self._http.stop(grace_s=max(0.5, (deadline - time.monotonic()) / 2))
        await self._evaluator.close()
        await self.delivery.stop(max(0.2, min(2.0, deadline - time.monotonic())))
        # What was not delivered is on its way back into the store.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "engine"):
            await self.engine.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    def _listening(self) -> list[tuple[str, int]]:
        return [server.listening for server in (self._http, self._coap, self._coaps) if server is not None]

    def addresses(self) -> dict[str, str]:
        """Where this CSE can be reached, by binding: URLs with the ports they really have."""
        found = {}
        if self._http is not None:
            found["http"] = self._http.url
            if self.config.ws:
                found["ws"] = self._http.url.replace("http", "ws", 1)
        if self._mqtt is not None:
            found["mqtt"] = _without_secrets(self.config.mqtt)
        if self._coap is not None:
            found["coap"] = self._coap.url
        if self._coaps is not None:
            found["coaps"] = self._coaps.url
        return found

    def _points_of_access(self) -> tuple[str, ...]:
        return tuple(_reachable(url) for url in self.addresses().values())

    # --- requests -------------------------------------------------------------------------------------------------

    async def serve(self, request: Request) -> Response:
        """Serve one request; the response comes when its changes are on disk (architecture law 5)."""
        return await serving.serve(self, request)

    def enter(self, request: Request) -> Coroutine[Any, Any, Response]:
        """Serve a request that came in over a binding; ``lenient`` mends the forms of older clients first."""
        return self.inspector.serve(request, self._enter) if self.inspector.on else self._enter(request)

    async def _enter(self, request: Request) -> Response:
        with self.admission.admit(request):
            return await serving.serve(self, self._mended(request))

    def begin(self, request: Request, done: Done) -> Cancellable | None:
        """As ``enter``, without a task unless others must be asked (port ``Begin``)."""
        return self.inspector.begin(request, done, self._begin) if self.inspector.on else self._begin(request, done)

    def _begin(self, request: Request, done: Done) -> asyncio.Task[Any] | None:
        admitted = self.admission.admit(request)
        return serving.begin(self, self._mended(request), admitted, done)

    def _mended(self, request: Request) -> Request:
        if self.config.profile == "lenient":
            return self.dialects.mend(self._with_password(request))
        return request

    def _with_password(self, request: Request) -> Request:
        """The originator ``<AE-ID>:<token>`` of older HTTP clients as the credential it is meant as (dialect)."""
        name, colon, token = request.originator.partition(":")
        known = self.security.credentials
        if not colon or known is None or request.binding != "http" or not known.is_token_of(name, token):
            return request
        self.dialects.uses["token in the originator"] += 1
        return replace(request, originator=name, credential=request.credential or name)

    @property
    def watches(self) -> Watches:
        """Who answers a GET that wants to watch; there is one once it is started."""
        assert self._watches is not None
        return self._watches

    def accept(self, upgrade: Upgrade) -> asyncio.Protocol:
        """Take over a connection that asks for a WebSocket."""
        assert self._ws is not None
        return self._ws.accept(upgrade)

    async def drive(self, steps: Steps, send: Send | None = None) -> Outcome:
        """Run a procedure to its end: ask whom it wants to ask, wait as long as it wants to wait.

        Args:
            steps: the procedure.
            send: what it asks for already; None when it has not begun.
        """
        answer: Response | None = None
        refusal: CseError | None = None
        while True:
            if send is None:
                try:
                    send = steps.send(answer) if refusal is None else steps.throw(refusal)
                except StopIteration as done:
                    outcome: Outcome = done.value
                    return outcome
            refusal = None
            if send.resume_at_s:
                await asyncio.sleep(max(0.0, send.resume_at_s - time.time()))
                answer = None
            elif send.evaluation is not None:
                answer = await self._evaluator.evaluate(send.evaluation)
            elif creator := creator_of(send):
                try:
                    async with self.verifications.turn(creator, send):
                        answer = await self.delivery.ask(send)
                except CseError as error:
                    refusal = error
            else:
                answer = await self.delivery.ask(send)
            send = None

    def served(self, request: Request, response: Response, began_s: float) -> None:
        """A request has its answer: count it, and end the connections of who was deleted.

        Args:
            request: as it was served.
            response: to it.
            began_s: when, on the clock of ``time.perf_counter``.
        """
        status = response.status
        if status is Status.DELETED:
            self._registrations_changed()
        # the numbers behind the names: this is done for every request
        operation, resource_type = request.operation._value_, request.resource_type or 0
        self.requests.served(request.binding, operation, resource_type, status._value_, time.perf_counter() - began_s)

    def kept(self, outcome: Outcome) -> None:
        """The changes of a request are on disk: deliver what it caused."""
        for send in outcome.outbox:
            self.delivery.post(send)

    def _begin_mqtt(self, request: Request, done: Done) -> Cancellable | None:
        """As ``begin``; who speaks over the broker is reached over the broker."""
        if request.originator:
            self.delivery.heard_on_broker(request.originator, self.config.mqtt)
        if request.resource_type == AE and request.operation is Operation.CREATE:
            done = partial(self._registered_over_broker, done)
        return self.begin(request, done)

    def _registered_over_broker(self, done: Done, response: Response) -> None:
        entity = response.content.get("m2m:ae") if isinstance(response.content, dict) else None
        if response.status is Status.CREATED and isinstance(entity, dict) and "aei" in entity:
            self.delivery.heard_on_broker(entity["aei"], self.config.mqtt)
        done(response)

    def _may_relay(self, cse_id: str, originator: str) -> bool:
        return may_relay(self.engine, self.hosting.settings, cse_id, originator)

    def _credentials_changed(self) -> None:
        assert self.security.credentials is not None
        self.hosting.settings = replace(self.hosting.settings, admin=self.security.admins)
        if self._ws is not None:
            self._ws.credentials_changed(self.security.credentials.holds)
        if self._coaps is not None:
            self._coaps.credentials_changed()

    def env(self) -> Env:
        """Time and identifiers for a request that comes now."""
        return Env(time.time(), self._new_id)

    def _registrations_changed(self) -> None:
        """Something was deleted: the connections and polls of who is gone end soon."""
        if self._ws is not None:
            self._ws.registrations_changed()
        self.delivery.channels.look_soon(lambda ri: self.engine.get(ri) is not None)

    # --- timers ---------------------------------------------------------------------------------------------------

    async def _expire_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.config.expiration_check_s)
            try:
                while (outcome := expire(self.hosting, self.env())) is not None:
                    if outcome.later is not None:
                        self._run(self._do_later(outcome.later), "expired")
                    await self._settle(outcome)
                    self._registrations_changed()
                    await asyncio.sleep(0)
            except CseError as error:
                _log.warning("expired resources cannot be removed now: %s", error.debug)

    def timers_changed(self) -> None:
        """The next timer may be due earlier, or none may be."""
        if next_due(self.hosting) != self._timer_due:
            self._timer_wake.set()

    async def _mind_timers(self) -> None:
        while True:
            self._timer_wake.clear()
            self._timer_due = due = next_due(self.hosting)
            wait_s = None if due is None else max(0.0, due - time.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._timer_wake.wait(), wait_s)
            try:
                while (outcome := run_due(self.hosting, self.env())) is not None:
                    if outcome.later is not None:
                        self._run(self._do_later(outcome.later), "timer")
                    await self._settle(outcome)
                    await asyncio.sleep(0)
            except CseError as error:
                _log.warning("what a timer wanted cannot be done now: %s", error.debug)
            except Exception:
                _log.exception("a timer failed")

    async def _do_later(self, later: Callable[[Env], Steps]) -> None:
        await self._settle(await self.drive(later(self.env())))
        self.timers_changed()

    def _delivered(self, send: Send, answer: Response | None) -> None:
        steps = delivered(self.hosting, self.env(), send, answer)
        if steps is not None:
            self._run(self._do_later(lambda env: steps), "answer to a notification")

    def _keeps(self, send: Send) -> bool:
        """Whether a notification that is not delivered is kept by its subscription (pendingNotification)."""
        subject = self.engine.get(send.subject) if send.subject and not send.final else None
        return subject is not None and "pn" in subject.attributes and send.target in subject.attributes.get("nu", ())

    async def _settle(self, outcome: Outcome) -> None:
        if outcome.ticket:
            await self.engine.durable(outcome.ticket)
        self.kept(outcome)

    async def _register_for_ever(self, registration: Registration) -> None:
        watch = asyncio.create_task(self._learn_in_cse(registration))
        try:
            await registration.run()
        finally:
            watch.cancel()

    async def _learn_in_cse(self, registration: Registration) -> None:
        await registration.registered.wait()
        if registration.in_cse_id:
            self.hosting.settings = replace(self.hosting.settings, in_cse_id=registration.in_cse_id)
            await self._set_up()

    def _run(self, work: Any, name: str) -> None:
        self._tasks.add(self.begin_task(work, name))

    def begin_task(self, work: Any, name: str) -> asyncio.Task[Any]:
        """Run work on its own; what goes wrong in it is logged."""
        task: asyncio.Task[Any] = asyncio.create_task(work, name=name)
        self._working.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._working.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("the task %s ended with a fault", task.get_name(), exc_info=task.exception())


def _http_sender(tls: ssl.SSLContext | None, guard: OutboundGuard) -> Sender:
    from cse.bindings.http_client import HttpSender

    return HttpSender(tls=tls, guard=guard)


def _reachable(url: str) -> str:
    """A listening URL as others can use it: a wildcard address becomes the loopback one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host not in _WILDCARDS:
        return url
    return urlunsplit(parts._replace(netloc=f"127.0.0.1:{parts.port}"))


def _without_secrets(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


__all__ = ["Cse", "StartError"]
