"""One application instance on Mp1: carries out what the state table asks for, and tells it what came of it.

Nothing here is waited for by the oneM2M side.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from mec_adapter import lifecycle
from mec_adapter.lifecycle import Action, Event, Failed, Lifecycle, Phase, Service, Tick, due, step
from mec_adapter.mapping import AE_CATEGORY_ID, onem2m_of
from mec_adapter.mp1 import app_support, service_mgmt
from mec_adapter.mp1.app_support import AppInfo
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Error, Mp1Problem
from mec_adapter.mp1.service_mgmt import ServiceInfo
from mec_adapter.mp1.types import Api, JsonObject
from mec_adapter.own_services import Dialect, OwnServices
from mec_adapter.registration import ABSENT, Registration, Superseded, newer_elsewhere

_log = logging.getLogger("mec_adapter.mp1")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should be registered now."""

    info: AppInfo
    services: tuple[ServiceInfo, ...]


@dataclass(frozen=True, slots=True)
class InstanceOptions:
    """What differs between the instance of the CSE and those of AEs.

    Attributes:
        callback: URL for notifications of this instance, "" when the platform cannot reach us.
        given_id: appInstanceId from MEC management; "" registers one.
        availability: filteringCriteria of a subscription to service availability; None for no subscription.
        audit_s: how often the registry is compared with what it should hold.
        also: what else belongs in the registry; called with the appInstanceId at every comparison.
        before_end: called with the end that was asked for and the seconds there are, after the services became
            INACTIVE and before they go.
        deregister: whether stopping removes services and registration.
        longest_pause_s: between two attempts while the platform refuses or does not answer.
    """

    callback: str = ""
    given_id: str = ""
    availability: JsonObject | None = None
    audit_s: float = 30.0
    also: Callable[[str], Awaitable[None]] | None = None
    before_end: Callable[[lifecycle.Wind, float], Awaitable[object]] | None = None
    deregister: bool = True
    longest_pause_s: float = 60.0


@dataclass(slots=True)
class _Known:
    """Addresses of the subscriptions of this run, by API name."""

    app_id: str = ""
    subscriptions: dict[str, str] = field(default_factory=dict)


class AppInstance:
    """Keeps one application instance registered for as long as it runs.

    Args:
        name: in words, for the log.
        client: of the platform.
        wanted: gives what should be registered now; None while that is not known yet.
        dialect: of the platform.
        options: see InstanceOptions.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        client: Mp1Client,
        wanted: Callable[[], Wanted],
        dialect: Dialect,
        options: InstanceOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._client = client
        self._wanted = wanted
        self._registry = OwnServices(name, client, dialect)
        self._options = options
        self._clock = clock
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._doing: asyncio.Task[None] | None = None
        self._again: Action | None = None
        self._beating: set[asyncio.Task[None]] = set()
        self._known = _Known()
        self._registration = Registration(client, options.given_id)
        #: whether the platform has been told of the end, or need not be
        self.withdrawn = False
        self.state = Lifecycle(audit_s=options.audit_s, longest_pause_s=options.longest_pause_s)

    def post(self, event: Event) -> None:
        """Tell the instance what happened; returns at once."""
        self._events.put_nowait(event)

    async def run(self) -> None:
        """Live from registration to deregistration; ends after a StopRequested."""
        self.post(lifecycle.Started())
        try:
            while self.state.phase is not Phase.STOPPED:
                self._apply(await self._next())
        finally:
            tasks = [*self._beating, *([self._doing] if self._doing else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _next(self) -> Event:
        at = due(self.state)
        timeout = None if at is None else max(0.0, at - self._clock())
        try:
            async with asyncio.timeout(timeout):
                return await self._events.get()
        except TimeoutError:
            return Tick()

    def _apply(self, event: Event) -> None:
        before = self.state
        self.state, actions = step(before, event, self._clock(), random.random())
        if self.state.trouble and not before.trouble:
            _log.warning("%s: %s: trying again until it works", self._name, self.state.trouble)
        elif before.trouble and not self.state.trouble:
            _log.info("%s: Mp1 works again", self._name)
        if before.phase is not self.state.phase:
            _log.info("%s: %s", self._name, self.state.phase.value)
        for action in actions:
            self._begin(action)

    def _begin(self, action: Action) -> None:
        if isinstance(action, lifecycle.Beat):
            for service in action.services:
                self._spawn(self._beat(service))
            return
        if isinstance(action, lifecycle.Wind):
            if self._doing is not None:
                self._doing.cancel()
            self._again = None
        elif self._doing is not None and not self._doing.done():
            self._again = action
            return
        self._doing = asyncio.create_task(self._carry_out(action), name=f"{self._name} {type(action).__name__}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beating.add(task)
        task.add_done_callback(self._beating.discard)

    async def _carry_out(self, action: Action) -> None:
        try:
            self.post(await self._result(action))
        except Superseded as newer:
            _log.info("%s: %s: leaving the identity to it", self._name, newer)
            self.post(lifecycle.Superseded(newer.cse_id))
        except Mp1Problem as error:
            self.post(Failed(str(error), error.status, error.retry_after_s))
        except Mp1Error as error:
            self.post(Failed(str(error)))
        except Exception as error:
            _log.exception("%s: %s", self._name, type(action).__name__)
            self.post(Failed(f"internal error: {error}"))
        again, self._again = self._again, None
        self._doing = None
        if again is not None:
            self._begin(again)

    async def _result(self, action: Action) -> Event:
        match action:
            case lifecycle.Register():
                return lifecycle.Registered(await self._register())
            case lifecycle.ConfirmReady():
                await self._client.confirm_ready(self.state.app_id)
                return lifecycle.Ready()
            case lifecycle.Reconcile():
                return await self._reconcile(self.state.app_id)
            case lifecycle.Wind():
                await self._wind(action)
                return lifecycle.Done()
        raise AssertionError(action)

    # --- registration ----------------------------------------------------------------------------------------

    async def _register(self) -> str:
        self._known = _Known()
        wanted = self._wanted()
        return await self._registration.register(wanted.info, wanted.services)

    # --- services --------------------------------------------------------------------------------------------

    async def _reconcile(self, app_id: str) -> Event:
        services = await self._registry.reconcile(app_id, await self._ours(self._wanted().services))
        await self._subscribe(app_id)
        if self._options.also is not None:
            await self._options.also(app_id)
        return lifecycle.Reconciled(services)

    async def _ours(self, wanted: tuple[ServiceInfo, ...]) -> tuple[ServiceInfo, ...]:
        """The wanted services without those of AEs whose newest registration is at another CSE (mode ``service``)."""
        of_aes = [service for service in wanted if onem2m_of(service).get("identity")]
        if not of_aes or len(of_aes) == len(wanted):
            return wanted
        shown = await self._client.services(ser_category_id=AE_CATEGORY_ID)
        return tuple(service for service in wanted if not newer_elsewhere(shown, [service]))

    async def _beat(self, service: Service) -> None:
        """Send one heartbeat; an answer that takes half the interval comes too late."""
        try:
            async with asyncio.timeout(service.interval_s / 2):
                interval_s = await self._client.heartbeat(service.liveness_url)
            self.post(lifecycle.Beaten(service.key, interval_s))
        except TimeoutError:
            self.post(lifecycle.BeatFailed(service.key, f"heartbeat of {service.name}: no answer"))
        except Mp1Problem as error:
            self.post(lifecycle.BeatFailed(service.key, f"heartbeat of {service.name}: {error}", error.status))
        except Mp1Error as error:
            self.post(lifecycle.BeatFailed(service.key, str(error)))

    # --- subscriptions ---------------------------------------------------------------------------------------

    async def _subscribe(self, app_id: str) -> None:
        if not self._options.callback:
            return
        wanted: list[tuple[Api, JsonObject]] = [
            (
                app_support.API,
                {
                    "subscriptionType": app_support.SUBSCRIPTION_TYPE,
                    "callbackReference": f"{self._options.callback}/termination",
                    "appInstanceId": app_id,
                },
            )
        ]
        if self._options.availability is not None:
            body: JsonObject = {
                "subscriptionType": service_mgmt.SUBSCRIPTION_TYPE,
                "callbackReference": f"{self._options.callback}/availability",
            }
            if self._options.availability:
                body["filteringCriteria"] = self._options.availability
            wanted.append((service_mgmt.API, body))
        for api, subscription in wanted:
            try:
                await self._subscribe_one(api, app_id, subscription)
            except Mp1Problem as error:
                if error.status not in (*ABSENT, 400):
                    raise
                _log.info("%s: no subscription in %s (%s): polling instead", self._name, api.name, error)

    async def _subscribe_one(self, api: Api, app_id: str, subscription: JsonObject) -> None:
        present = await self._client.subscriptions(api, app_id)
        known = self._known.subscriptions.get(api.name, "")
        if present == [known]:
            return
        for href in present:
            if href == known:
                continue
            # Of an earlier run, or of a request whose answer was lost.
            shown = (await self._client.call_url("GET", href, (200,))).body
            reference = str(shown.get("callbackReference", "")) if isinstance(shown, dict) else ""
            if reference == subscription["callbackReference"] and known not in present:
                known = self._known.subscriptions[api.name] = href
            elif reference.rpartition("/")[2] == subscription["callbackReference"].rpartition("/")[2]:
                await self._client.call_url("DELETE", href, (204, 200))
        if known not in present:
            self._known.subscriptions[api.name] = await self._client.subscribe(api, app_id, subscription)

    # --- the end ---------------------------------------------------------------------------------------------

    async def _wind(self, wind: lifecycle.Wind) -> None:
        app_id = self.state.app_id
        if not wind.action and not self._options.deregister:
            self.withdrawn = True
            return
        try:
            async with asyncio.timeout(wind.grace_s * 0.8):
                await self._withdraw(app_id, wind)
                if wind.action:
                    await self._client.confirm_termination(app_id, wind.action, wind.link)
                elif self._options.given_id:
                    for href in self._known.subscriptions.values():
                        await self._client.call_url("DELETE", href, (204, 200, 404))
                else:
                    await self._client.deregister(app_id)
            self.withdrawn = True
        except Superseded as newer:
            self.withdrawn = True
            _log.info("%s: %s: leaving everything to it", self._name, newer)
        except TimeoutError:
            _log.warning("%s: the platform was not told of the end: it did not answer in time", self._name)
        except Mp1Error as error:
            _log.warning("%s: the platform was not told of the end: %s", self._name, error)

    async def _withdraw(self, app_id: str, wind: lifecycle.Wind) -> None:
        """Services INACTIVE, what waits flushed, services removed.

        Raises:
            Superseded: they are another CSE's by now.
            Mp1Error: the platform refused, or did not answer.
        """
        shown = await self._client.own_services(app_id)
        if newer := newer_elsewhere(shown, self._wanted().services):
            raise Superseded(newer)
        ours = {service.service_id for service in self.state.services}
        own = [service for service in shown if service.get("serInstanceId", "") in ours]
        for service in own:
            if service["state"] != service_mgmt.INACTIVE:
                body = cast(ServiceInfo, {**service, "state": service_mgmt.INACTIVE})
                with suppress(Mp1Problem):
                    await self._client.replace_service(app_id, service.get("serInstanceId", ""), body)
        if self._options.before_end is not None:
            await self._options.before_end(wind, wind.grace_s * 0.4)
        for service in own:
            await self._client.remove_service(app_id, service.get("serInstanceId", ""))
