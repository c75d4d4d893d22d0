"""The shell of a CSE: drives the core, gives it time and identifiers, delivers its outbox, minds its timers.

Everything that does I/O meets here; the rules are in ``cse.core``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from cse import serving
from cse.admission import Admission, AdmissionLimits
from cse.bindings.coap import BindError as CoapBindError
from cse.bindings.dialects import Dialects
from cse.bindings.http import BindError as HttpBindError
from cse.bindings.http import HttpServer
from cse.bindings.http_watch import Watches
from cse.bindings.mqtt import MqttStartError
from cse.bindings.mqtt_connection import LinkState
from cse.bindings.outbound import OutboundGuard
from cse.bindings.websocket_connection import Upgrade
from cse.config import CseConfig, outbound_rules
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
from cse.endpoints import Endpoints
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
        self.guard = OutboundGuard(outbound_rules(config), lambda: self.endpoints.listening())
        self.endpoints = Endpoints(config, self, self.guard, front)
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
        self.delivery.attempts.tracing = self.tracing
        self.engine = self._given_store if self._given_store is not None else open_store(self.config.store)
        settings = replace(self.config.settings(self.config.poa), admin=self.security.admins)
        self.hosting = HostingCse(settings, load_registry(), self.engine)
        await self._set_up()
        self.delivery.resume(self.engine)
        await self._open_bindings()
        poa = self.config.poa or self.endpoints.points_of_access()
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
        ends = self.endpoints
        self._senders.update(ends.prepare(self.security, self.hosting.watched))
        assert ends.ws is not None
        self.delivery.attempts.open_channel = ends.ws.channel
        if self.config.http:
            self.console = Console(self) if self.config.console else None
            self.pages = {**pages(self), **self._mounts}
        self._senders.update(await ends.open(self.security, self.pages))

    def readings(self) -> Readings:
        """How this CSE is now."""
        parts = {"storage": self.engine.health()}
        mqtt, watches = self.endpoints.mqtt, self.endpoints.watches
        if mqtt is not None:
            parts["mqtt"] = "ok" if mqtt.state is LinkState.CONNECTED else f"not connected to {mqtt.broker.address}"
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
            attempts_s=self.delivery.attempts.seconds,
            watches=watches.count if watches is not None else 0,
            store=self.engine.figures(),
            mqtt=(mqtt.figures, mqtt.counters) if mqtt is not None else None,
            parts=parts,
        )

    def explain(
        self,
        who: str,
        privilege: Privilege,
        to: str,
        child: int | None = None,
        address: str = "",
        roles: Sequence[str] = (),
    ) -> Explanation:
        """Why somebody may or may not do something here, see ``cse.core.explanation.explain``."""
        return explain(
            self.hosting, self.env(), who, privilege, to, child_type=child, peer_address=address, role_ids=roles
        )

    def note(self, dialect: str) -> None:
        """Count a dialect that a codec mended."""
        self.dialects.note(dialect)

    @property
    def dialect_uses(self) -> Counter[str]:
        """How often each dialect was met, over all bindings."""
        return Counter(self.dialects.uses) + self.endpoints.dialects()

    async def stop(self, grace_s: float = 8.0) -> None:
        """Finish what was taken, deliver what is queued, close everything. Safe to call at any time."""
        deadline = time.monotonic() + grace_s
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.console is not None:
            self.console.close()
        await self.endpoints.close(deadline)
        await self._evaluator.close()
        await self.delivery.stop(max(0.2, min(2.0, deadline - time.monotonic())))
        # What was not delivered is on its way back into the store.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "engine"):
            await self.engine.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    def addresses(self) -> dict[str, str]:
        """Where this CSE can be reached, by binding: URLs with the ports they really have."""
        return self.endpoints.addresses()

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
        assert self.endpoints.watches is not None
        return self.endpoints.watches

    def accept(self, upgrade: Upgrade) -> asyncio.Protocol:
        """Take over a connection that asks for a WebSocket."""
        assert self.endpoints.ws is not None
        return self.endpoints.ws.accept(upgrade)

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

    def begin_mqtt(self, request: Request, done: Done) -> Cancellable | None:
        """As ``begin``; who speaks over the broker is reached over the broker."""
        if request.originator:
            self.delivery.attempts.heard_on_broker(request.originator, self.config.mqtt)
        if request.resource_type == AE and request.operation is Operation.CREATE:
            done = partial(self._registered_over_broker, done)
        return self.begin(request, done)

    def _registered_over_broker(self, done: Done, response: Response) -> None:
        entity = response.content.get("m2m:ae") if isinstance(response.content, dict) else None
        if response.status is Status.CREATED and isinstance(entity, dict) and "aei" in entity:
            self.delivery.attempts.heard_on_broker(entity["aei"], self.config.mqtt)
        done(response)

    def may_relay(self, cse_id: str, originator: str) -> bool:
        """Whether a CSE may send for an originator, see ``cse.core.identity.may_relay``."""
        return may_relay(self.engine, self.hosting.settings, cse_id, originator)

    def is_registered(self, entity: str) -> bool:
        """Whether an AE or CSE is registered here."""
        return bool(self.engine.referring("aei", entity) or self.engine.referring("csi", entity))

    def has(self, ri: str) -> bool:
        """Whether this CSE hosts the resource with this resource-ID."""
        return self.engine.get(ri) is not None

    def _credentials_changed(self) -> None:
        assert self.security.credentials is not None
        self.hosting.settings = replace(self.hosting.settings, admin=self.security.admins)
        if self.endpoints.ws is not None:
            self.endpoints.ws.credentials_changed(self.security.credentials.holds)
        if self.endpoints.coaps is not None:
            self.endpoints.coaps.credentials_changed()

    def env(self) -> Env:
        """Time and identifiers for a request that comes now."""
        return Env(time.time(), self._new_id)

    def _registrations_changed(self) -> None:
        """Something was deleted: the connections and polls of who is gone end soon."""
        if self.endpoints.ws is not None:
            self.endpoints.ws.registrations_changed()
        self.delivery.channels.look_soon(self.has)

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


__all__ = ["Cse", "StartError"]
