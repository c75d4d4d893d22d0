"""AEs of the edge CSE shown to MEC: as application instances, as services of the CSE's instance, or as devices.

An exposed AE that changes, falls silent, comes back or goes is followed within one search of the CSE.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal

import orjson

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status
from cse.onem2m.timestamps import parse_timestamp
from mec_adapter import lifecycle
from mec_adapter.app_instance import AppInstance, InstanceOptions, Wanted
from mec_adapter.exposed_devices import ExposedDevices
from mec_adapter.leftovers import Leftovers
from mec_adapter.liveness import Liveness
from mec_adapter.mapping import EXPOSE_LABEL, ae_app_info, ae_services, device_info, is_exposed, transport_id_of
from mec_adapter.mp1.app_support import NOTIFICATION_TYPE, AppInfo
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Error
from mec_adapter.mp1.iots import DeviceInfo
from mec_adapter.mp1.service_mgmt import ServiceInfo
from mec_adapter.own_services import Dialect
from mec_adapter.profile import CseProfile, MappingOptions, ae_id, iot_platform_id
from mec_adapter.status import ExposedStatus

_log = logging.getLogger("mec_adapter.exposure")

_AE, _CONTAINER = 2, 3
#: longest pause before the platform is tried again
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Exposed:
    """An AE to be shown, as the CSE described it last.

    Attributes:
        attributes: of the AE.
        path: its structured address.
        containers: structured addresses of the containers right below it.
        active_at: when it last changed anything, seconds since the epoch.
        alive: whether it is judged alive.
    """

    attributes: dict[str, Any]
    path: str
    containers: tuple[str, ...]
    active_at: float
    alive: bool = True

    @property
    def ri(self) -> str:
        """Its resource-ID."""
        return str(self.attributes.get("ri", ""))


@dataclass(slots=True)
class _Running:
    """An exposed AE with its application instance, or its device."""

    exposed: Exposed
    info: AppInfo
    services: tuple[ServiceInfo, ...]
    instance: AppInstance | None = None
    task: asyncio.Task[None] | None = None


class Exposure:
    """Follows the exposed AEs.

    Args:
        edge: client at the edge CSE.
        mp1: client of the platform.
        profile: of the edge CSE.
        mapping: what the operator chose.
        dialect: of the platform.
        mode: what an AE becomes.
        expose: which AEs: ``flagged`` or ``all``.
        apis: AEs whose App-ID matches one of these patterns count as flagged.
        own_name: resourceName of the adapter's AE, which is never shown.
        liveness: judges whether AEs are alive.
        changed: called when the services returned by ``services`` are no longer the same.
        options: what the application instances of AEs have in common; below its callback those of the AEs are.
    """

    def __init__(
        self,
        edge: Client,
        mp1: Mp1Client,
        profile: CseProfile,
        mapping: MappingOptions,
        dialect: Dialect,
        *,
        mode: Literal["app", "service", "device", "none"],
        expose: Literal["flagged", "all", "none"],
        apis: Sequence[str] = (),
        own_name: str,
        liveness: Liveness,
        changed: Callable[[], None],
        options: InstanceOptions,
    ) -> None:
        self._edge, self._mp1, self._profile, self._mapping = edge, mp1, profile, mapping
        self._dialect, self._mode, self._expose, self._own_name = dialect, mode, expose, own_name
        self._apis = tuple(apis)
        self._liveness, self._changed, self._options = liveness, changed, options
        self._running: dict[str, _Running] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._devices = ExposedDevices(mp1, lambda: iot_platform_id(self._profile))
        self._leftovers = Leftovers(mp1)
        self._tending: asyncio.Task[None] | None = None
        self._to_tend = asyncio.Event()
        self._trouble = ""

    # --- what others see -------------------------------------------------------------------------------------

    def exposed(self) -> list[dict[str, Any]]:
        """Attributes of the exposed AEs."""
        return [running.exposed.attributes for running in self._running.values()]

    def services(self) -> list[ServiceInfo]:
        """Services for the CSE's own application instance (mode ``service``)."""
        if self._mode != "service":
            return []
        return [service for running in self._running.values() for service in running.services]

    def app_ids(self) -> set[str]:
        """The appInstanceIds of the exposed AEs, given and proposed."""
        shown = {running.info.get("appInstanceId", "") for running in self._running.values()}
        return shown | {running.instance.state.app_id for running in self._running.values() if running.instance}

    def status(self) -> tuple[ExposedStatus, ...]:
        """Where every exposed AE stands."""
        return tuple(self._status(running) for running in sorted(self._running.values(), key=lambda r: r.exposed.path))

    def _status(self, running: _Running) -> ExposedStatus:
        wanted = running.services[0]["state"] if running.services else ""
        if running.instance is None:
            device_id = self._devices.device_id(running.exposed.ri)
            return ExposedStatus(running.exposed.path, device_id, "", wanted, self._trouble)
        state = running.instance.state
        shown = state.services[0].state if state.services else ""
        return ExposedStatus(running.exposed.path, state.app_id, state.phase.value, shown, state.trouble)

    def instance_at(self, token: str) -> AppInstance | None:
        """The application instance that callbacks below ``token`` (a resource-ID) are for."""
        running = self._running.get(token)
        return running.instance if running is not None else None

    def renew_devices(self) -> None:
        """The platform has lost its IoT registry: register the devices again."""
        self._devices.forget()
        self._to_tend.set()

    def use(self, profile: CseProfile) -> None:
        """The CSE says something else of itself now: what is shown of its AEs follows with the next search."""
        self._profile = profile

    # --- following -------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Search the CSE, and begin, change or end what is shown.

        Raises:
            RequestFailed: the search is refused.
            Unreachable: the CSE does not answer.
        """
        if self._mode == "none" or self._expose == "none":
            return
        found = await self._find()
        for ri in self._running.keys() - found.keys():
            self._end(ri)
        for ri, exposed in found.items():
            await self._follow(ri, exposed)
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend(), name="exposure")

    async def _find(self) -> dict[str, Exposed]:
        name = await self._edge.cse_name()
        criteria: dict[str, Any] = {"ty": [_AE], "lvl": 1}
        if self._expose == "flagged" and not self._apis:
            criteria["lbl"] = [EXPOSE_LABEL]
        found: dict[str, Exposed] = {}
        offset = 1
        while True:
            request = Request(Operation.RETRIEVE, "-", filter={**criteria, "ofst": offset}, result_content=8)
            response = await self._edge.request(request)
            if not response.status.is_success:
                raise RequestFailed(response.status, _debug(response.content), "RETRIEVE -")
            listed = _children(response.content, "m2m:cb", "m2m:ae")
            for attributes in listed:
                if attributes.get("rn") != self._own_name and self._is_wanted(attributes):
                    exposed = await self._describe(attributes, f"{name}/{attributes.get('rn')}")
                    if exposed is not None:
                        found[exposed.ri] = exposed
            if response.content_status != 1 or not listed:
                return found
            offset = response.content_offset or offset + len(listed)

    def _is_wanted(self, ae: Mapping[str, Any]) -> bool:
        api = str(ae.get("api", ""))
        return self._expose == "all" or is_exposed(ae) or any(fnmatchcase(api, pattern) for pattern in self._apis)

    async def _describe(self, attributes: dict[str, Any], path: str) -> Exposed | None:
        try:
            shown = await self._edge.retrieve(path, rcn=8, filter={"ty": [_CONTAINER], "lvl": 1})
        except RequestFailed as error:
            if error.status is Status.NOT_FOUND:
                return None
            shown = {}
        containers = [entry for entry in shown.get("m2m:cnt") or [] if isinstance(entry, Mapping)]
        active_at = max((_instant(entry.get("lt")) for entry in (attributes, *containers)), default=0.0)
        names = tuple(sorted(f"{path}/{entry.get('rn')}" for entry in containers))
        alive = self._liveness.alive(attributes, path, active_at)
        return Exposed(attributes, path, names, active_at, alive)

    async def _follow(self, ri: str, exposed: Exposed) -> None:
        running = self._running.get(ri)
        services = tuple(
            ae_services(
                self._profile,
                exposed.attributes,
                exposed.path,
                self._mapping,
                containers=exposed.containers,
                alive=exposed.alive,
            )
        )
        info = ae_app_info(self._profile, exposed.attributes, exposed.path, self._mapping)
        if running is None:
            running = self._running[ri] = _Running(exposed, info, services)
            await self._begin(ri, running)
            return
        changed = services != running.services or info != running.info
        if exposed.alive != running.exposed.alive:
            _log.info("%s is %s", exposed.path, "alive again" if exposed.alive else "silent")
        running.exposed, running.services, running.info = exposed, services, info
        if self._mode == "device":
            await self._want_device(ri, running)
        elif changed and running.instance is not None:
            running.instance.post(lifecycle.Changed())
        elif changed:
            self._changed()

    async def _begin(self, ri: str, running: _Running) -> None:
        if self._mode == "service":
            self._changed()
        elif self._mode == "device":
            await self._want_device(ri, running)
        else:
            self._leftovers.taken(running.info.get("appInstanceId", ""))
            callback = f"{self._options.callback}/{ri}" if self._options.callback else ""
            running.instance = AppInstance(
                f"AE {ae_id(self._profile, running.exposed.attributes)}",
                self._mp1,
                lambda: Wanted(running.info, running.services),
                self._dialect,
                replace(self._options, callback=callback, before_end=partial(self._tell, running)),
            )
            running.task = asyncio.create_task(running.instance.run(), name=f"expose {running.exposed.path}")

    async def _want_device(self, ri: str, running: _Running) -> None:
        if self._devices.want(ri, await self._device(running)):
            self._to_tend.set()

    async def _tend(self) -> None:
        """Keep devices registered, and remove what AEs have left behind, for ever."""
        while True:
            trouble, self._trouble = self._trouble, ""
            try:
                if self._mode == "device":
                    await self._devices.reconcile()
                elif self._mode == "app":
                    shown = [service for running in self._running.values() for service in running.services]
                    await self._leftovers.clear(self._profile.cse_id, set(map(transport_id_of, shown)))
            except Mp1Error as error:
                if not trouble:
                    _log.info("AEs at the platform: %s: trying again until it works", error)
                self._trouble = str(error)
            except Exception:
                _log.exception("AEs at the platform")
                self._trouble = "internal error"
            pause = min(_RETRY_S, self._options.longest_pause_s) if self._trouble else self._options.audit_s
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await (asyncio.Event() if self._trouble else self._to_tend).wait()
            self._to_tend.clear()

    async def _device(self, running: _Running) -> DeviceInfo:
        """The device an AE is, with what its node says when it names one (nodeLink)."""
        ae = running.exposed.attributes
        node: dict[str, Any] = {}
        if ae.get("nl"):
            with suppress(RequestFailed):
                shown = await self._edge.request(Request(Operation.RETRIEVE, str(ae["nl"]), result_content=4))
                content = shown.content.get("m2m:nod") if isinstance(shown.content, Mapping) else None
                node = dict(content) if isinstance(content, Mapping) else {}
        return device_info(self._profile, ae, self._mapping, node)

    async def _tell(self, running: _Running, wind: lifecycle.Wind, seconds: float) -> None:
        """Notify an AE of the end of its application instance; it has the time of its answer to finish."""
        if not wind.action or running.instance is None:
            return
        word = {
            "notificationType": NOTIFICATION_TYPE,
            "operationAction": wind.action,
            "maxGracefulTimeout": int(wind.grace_s),
            "appInstanceId": running.instance.state.app_id,
        }
        instance = {"con": orjson.dumps(word).decode(), "cnf": "application/json:0"}
        event = {
            "nev": {"rep": {"m2m:cin": instance}, "net": 3},
            "sur": f"{self._profile.name}/{self._own_name}/events",
        }
        request = Request(
            Operation.NOTIFY,
            running.exposed.path,
            content={"m2m:sgn": event},
            request_expiration=max(1, int(seconds * 1000)),
        )
        try:
            answer = await self._edge.request(request, timeout_s=seconds)
        except Unreachable as error:
            _log.info("%s was not told of its termination: %s", running.exposed.path, error)
            return
        if not answer.status.is_success:
            _log.info("%s was not told of its termination: %s", running.exposed.path, _debug(answer.content))

    # --- ending ----------------------------------------------------------------------------------------------

    def _end(self, ri: str) -> None:
        """An AE is gone, or no longer flagged."""
        running = self._running.pop(ri)
        self._liveness.forget(running.exposed.path)
        if running.instance is not None and running.task is not None:
            running.instance.post(lifecycle.StopRequested())
            self._ending.add(running.task)
            running.task.add_done_callback(partial(self._ended, running))
        elif self._mode == "device":
            self._devices.drop(ri)
            self._to_tend.set()
        else:
            self._changed()

    def _ended(self, running: _Running, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if running.instance is not None and not running.instance.withdrawn:
            self._leftovers.untold(running.instance.state.app_id or running.info.get("appInstanceId", ""))
            self._to_tend.set()

    async def stop(self, timeout_s: float) -> None:
        """End everything that is shown."""
        await self._liveness.stop()
        for ri in list(self._running):
            if self._options.deregister or self._running[ri].instance is not None:
                self._end(ri)
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        if self._mode == "device" and self._options.deregister:
            with suppress(Mp1Error, TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._devices.reconcile()
        if self._ending:
            _, late = await asyncio.wait(self._ending, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _children(content: Any, root: str, kind: str) -> list[dict[str, Any]]:
    parent = content.get(root) if isinstance(content, Mapping) else None
    listed = parent.get(kind) if isinstance(parent, Mapping) else None
    return [dict(entry) for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def _debug(content: Any) -> str:
    return str(content.get("m2m:dbg", "")) if isinstance(content, Mapping) else ""


def _instant(timestamp: Any) -> float:
    try:
        return parse_timestamp(str(timestamp))
    except BadRequest:
        return 0.0
