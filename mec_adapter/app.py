"""The shell of the adapter: listener, timers and wiring. The oneM2M side and the Mp1 side never wait for each other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.status import Status
from cse.tracing import Tracing, TracingUnavailable, open_tracing, work
from mec_adapter import lifecycle
from mec_adapter.app_instance import AppInstance, InstanceOptions, Wanted
from mec_adapter.cloud_sync import CloudSync
from mec_adapter.config import AdapterConfig, AdapterStartError, check
from mec_adapter.exposure import Exposure
from mec_adapter.ipe import Ipe
from mec_adapter.link import Link
from mec_adapter.listener import Listener
from mec_adapter.liveness import Liveness
from mec_adapter.mapping import app_info, category, cse_services, iot_platform_info
from mec_adapter.metrics import AdapterMetrics, Mp1Meter
from mec_adapter.mirror import Mirror
from mec_adapter.mp1.app_support import termination_of
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Error, Mp1Problem
from mec_adapter.mp1.service_mgmt import ACTIVE, INACTIVE, references_of
from mec_adapter.mp1.types import JsonObject
from mec_adapter.outbox import OutboxError
from mec_adapter.own_services import Dialect
from mec_adapter.profile import CseProfile, cse_app_id, cse_profile
from mec_adapter.registry_view import RegistryView
from mec_adapter.status import AdapterStatus, ServiceStatus, SyncStatus

_log = logging.getLogger("mec_adapter")

APP_ID = "Norg.edgeiot.mec-ipe"
_LABEL = "mec:ipe"
_AE, _REMOTE_CSE, _SUBSCRIPTION = 2, 16, 23
_TREE_SUBSCRIPTION = "mec-adapter-tree"
#: answers of a CSE that does not know us (any more)
_UNREGISTERED = frozenset(
    {
        Status.NOT_FOUND,
        Status.ORIGINATOR_HAS_NO_PRIVILEGE,
        Status.ORIGINATOR_HAS_NOT_REGISTERED,
        Status.SECURITY_ASSOCIATION_REQUIRED,
    }
)
#: pauses between searches after the CSE said that something new is there, in seconds
_SOON_S = (0.2, 0.5, 1.0, 2.0)


class Adapter:
    """One running adapter.

    Args:
        config: everything about it.

    Raises:
        AdapterStartError: the configuration cannot work.
    """

    def __init__(self, config: AdapterConfig) -> None:
        check(config)
        self._config = config
        self._meter = Mp1Meter()
        self._tracing: Tracing | None = None
        self._listener = Listener(
            config.listen,
            config.public_url,
            self._notified,
            self._called_back,
            lambda: self.status().as_dict(),
            self._read_platform,
            AdapterMetrics(self.status, self._meter),
        )
        self._edge = Client(
            config.cse_url, cse_id=config.cse_id, originator=config.originator, timeout_s=config.timeout_s
        )
        self._edge_link = Link(f"edge CSE {config.cse_id} at {config.cse_url}", longest_pause_s=5.0)
        self._profile: CseProfile | None = None
        self._cloud: Client | None = None
        self._sync: CloudSync | None = None
        self._mp1: Mp1Client | None = None
        self._registry: RegistryView | None = None
        self._dialect = Dialect(config.profile == "sandbox", config.heartbeat_s is not None, config.profile == "auto")
        self._instance: AppInstance | None = None
        self._exposure: Exposure | None = None
        self._ipe: Ipe | None = None
        self._mapping = replace(config.mapping, liveness_interval_s=config.heartbeat_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._poll = asyncio.Event()
        self._instance_task: asyncio.Task[None] | None = None
        self._counts: Counter[str] = Counter()
        self._has_iot_api = True
        self._read_again_at = 0.0

    @property
    def url(self) -> str:
        """Where the adapter listens."""
        return self._listener.url

    # --- life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen and begin; returns at once, whether or not CSE, platform and cloud can be reached.

        Raises:
            AdapterStartError: an address or a file cannot be used.
        """
        await self._listener.start()
        await self._open_tracing()
        sync = self._config.sync
        try:
            if sync.cloud_url:
                stem = self._config.cse_id.strip("/").replace("/", "-")
                self._cloud = Client(
                    sync.cloud_url,
                    cse_id=sync.cloud_cse_id,
                    originator=sync.cloud_originator or f"Csync-{stem}",
                    timeout_s=self._config.timeout_s,
                )
                await self._cloud.open()
                self._sync = CloudSync(
                    sync,
                    self._edge,
                    self._cloud,
                    f"{self.url}/onem2m/sync",
                    self._config.cse_id,
                    self._config.ae_name,
                    self._edge_link,
                )
                await self._sync.start()
            await self._edge.open()
        except (OutboxError, Unreachable) as error:
            await self._listener.stop()
            raise AdapterStartError(str(error)) from error
        if self._config.mep_url:
            self._mp1 = Mp1Client(
                self._config.mep_url,
                credentials=self._config.credentials,
                versions=self._config.versions,
                timeout_s=self._config.timeout_s,
                asked=self._meter.asked,
                tracing=self._tracing,
            )
            self._registry = RegistryView(self._mp1, self._own_app, self._own_apps)
        self._run(self._watch_edge(), "edge")

    async def _open_tracing(self) -> None:
        try:
            self._tracing = open_tracing(self._config.otlp, "onemec-adapter", {"onemec.cse_id": self._config.cse_id})
        except TracingUnavailable as error:
            await self._listener.stop()
            raise AdapterStartError(str(error)) from error
        self._listener.tracing = tracing = self._tracing
        if tracing is not None:
            self._edge.trace_parent = lambda: tracing.header() or None

    async def stop(self) -> None:
        """Withdraw from the platform, stop forwarding, close; bounded to a few seconds."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        leaving = [self._leave_platform()]
        if self._exposure is not None:
            leaving.append(self._exposure.stop(4.0))
        await asyncio.gather(*leaving)
        if self._sync is not None:
            await self._sync.stop()
        await self._listener.stop()
        await self._edge.close()
        if self._cloud is not None:
            await self._cloud.close()
        if self._mp1 is not None:
            await self._mp1.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    async def _leave_platform(self) -> None:
        if self._instance is None or self._instance_task is None:
            return
        if self._mp1 is not None and self._config.deregister_when_stopping and self._instance.state.app_id:
            profile = self._profile
            platform = iot_platform_info(profile, self._mapping) if profile is not None else None
            if platform is not None:
                with suppress(Mp1Error, TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._mp1.remove_iot_platform(platform["iotPlatformId"])
        self._instance.post(lifecycle.StopRequested())
        _, late = await asyncio.wait([self._instance_task], timeout=5.0)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- the oneM2M side -------------------------------------------------------------------------------------

    async def _watch_edge(self) -> None:
        """Stay registered at the edge CSE, and search it for what to copy and to expose."""
        pauses: list[float] = []
        while True:
            await self._edge_link.turn()
            was_up = self._edge_link.up
            try:
                if self._profile is None or not was_up:
                    await self._register_at_edge()
                elif time.monotonic() >= self._read_again_at:
                    await self._read_profile()
                if self._sync is not None:
                    await self._sync.discover()
                if self._exposure is not None:
                    await self._exposure.look()
                self._edge_link.worked()
            except Unreachable as error:
                self._edge_link.failed(str(error))
            except RequestFailed as error:
                await self._refused(error)
            except Exception:
                _log.exception("searching the edge CSE")
            if was_up is not self._edge_link.up and self._instance is not None:
                # The services of a CSE that does not answer are INACTIVE.
                self._instance.post(lifecycle.Changed())
            pause = pauses.pop(0) if pauses else self._config.discovery_s
            if not self._edge_link.up:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look.wait()
                pauses = list(_SOON_S)
            self._look.clear()

    async def _refused(self, error: RequestFailed) -> None:
        self._edge_link.worked()
        _log.warning("edge CSE %s: %s", self._config.cse_id, error)
        if error.status in (
            Status.NOT_FOUND,
            Status.ORIGINATOR_HAS_NOT_REGISTERED,
            Status.SECURITY_ASSOCIATION_REQUIRED,
        ):
            with suppress(RequestFailed, Unreachable):
                await self._register_at_edge()
        await asyncio.sleep(1.0)

    async def _register_at_edge(self) -> None:
        with work(self._tracing, "register at the CSE"):
            await self._edge.register(
                APP_ID, self._config.ae_name, poa=[f"{self.url}/onem2m/ae"], labels=[_LABEL, "mec:adapter"]
            )
        if self._ipe is not None:
            self._ipe.forget()
        with suppress(RequestFailed):
            await self._watch_tree()
        await self._read_profile()

    async def _read_profile(self) -> None:
        """Read what the CSE says of itself; what the platform is told follows."""
        base = await self._edge.cse_base()
        registrar = ""
        with suppress(RequestFailed):
            remote = await self._edge.retrieve("-", rcn=8, filter={"ty": [_REMOTE_CSE], "lvl": 1})
            ids = [str(entry.get("csi", "")) for entry in remote.get("m2m:csr") or [] if isinstance(entry, Mapping)]
            in_cse = str(base.get("ici") or self._config.in_cse_id)
            registrar = in_cse if in_cse in ids else (ids[0] if len(ids) == 1 else "")
        profile = cse_profile(base, registrar=registrar, sp_id=self._config.sp_id, in_cse_id=self._config.in_cse_id)
        if not profile.poa:
            profile = replace(profile, poa=(self._config.cse_url,))
        self._read_again_at = time.monotonic() + self._config.audit_s
        before, self._profile = self._profile, profile
        if before is None:
            self._begin_mp1(profile)
        elif before != profile and self._instance is not None:
            _log.info("edge CSE %s says something else of itself: the platform is told", profile.cse_id)
            if self._exposure is not None:
                self._exposure.use(profile)
            self._instance.post(lifecycle.Changed())

    async def _watch_tree(self) -> None:
        """Hear of new AEs at once, where we may; the search finds them anyway."""
        attributes = {
            "rn": _TREE_SUBSCRIPTION,
            "nu": [f"{self.url}/onem2m/tree"],
            "enc": {"net": [3, 4], "chty": [_AE]},
            "nct": 3,
        }
        try:
            await self._edge.create("-", _SUBSCRIPTION, attributes, rcn=0)
        except RequestFailed as error:
            if error.status is not Status.CONFLICT:
                raise
            await self._edge.update(f"-/{_TREE_SUBSCRIPTION}", _SUBSCRIPTION, {"nu": attributes["nu"]}, rcn=0)

    async def _notified(self, path: str, notification: Mapping[str, Any]) -> Status:
        """Take a notification of the edge CSE."""
        self._counts["onem2m"] += 1
        kind, _, rest = path.partition("/")
        if kind == "sync" and self._sync is not None:
            return await self._sync.notified(rest, notification)
        if kind in ("tree", "ae"):
            self._look.set()
            return Status.OK
        return Status.NOT_FOUND

    # --- the Mp1 side ----------------------------------------------------------------------------------------

    def _begin_mp1(self, profile: CseProfile) -> None:
        config, mp1 = self._config, self._mp1
        if mp1 is None:
            return
        callback = f"{self.url}/mec" if config.callbacks else ""
        # After an outage the registry is to be right again within two heartbeat intervals.
        longest_pause_s = 60.0 if config.heartbeat_s is None else max(1.0, (config.heartbeat_s or 30) / 2)
        self._exposure = Exposure(
            self._edge,
            mp1,
            profile,
            self._mapping,
            self._dialect,
            mode=config.ae_mode,
            expose=config.expose,
            apis=config.expose_api,
            own_name=config.ae_name,
            liveness=Liveness(self._edge, config.ae_silent_after_s, config.ae_probe_s, self._look.set),
            changed=self._services_changed,
            options=InstanceOptions(
                callback=f"{callback}/ae" if callback else "",
                audit_s=config.audit_s,
                deregister=config.deregister_when_stopping,
                longest_pause_s=longest_pause_s,
            ),
        )
        self._instance = AppInstance(
            f"CSE {profile.cse_id}",
            mp1,
            self._wanted,
            self._dialect,
            InstanceOptions(
                callback=f"{callback}/cse" if callback else "",
                given_id=config.app_instance_id,
                availability={} if config.mirror else {"serCategories": [category(profile)]},
                audit_s=config.audit_s,
                also=self._register_platform,
                before_end=self._drain,
                deregister=config.deregister_when_stopping,
                longest_pause_s=longest_pause_s,
            ),
        )
        self._instance_task = asyncio.create_task(self._instance.run(), name="mp1")
        if config.mirror:
            self._ipe = Ipe(self._edge, config.ae_name, profile.cse_id)
            mirror = Mirror(
                mp1,
                self._ipe,
                self._poll,
                config.poll_s,
                profile,
                self._own_apps,
                self._describe_instance,
                self._tracing,
            )
            self._run(mirror.run(), "mirror")

    async def _drain(self, wind: lifecycle.Wind, seconds: float) -> None:
        """Let what waits for the cloud go there before the end."""
        if self._sync is not None:
            await self._sync.drain(seconds)

    def _services_changed(self) -> None:
        if self._instance is not None:
            self._instance.post(lifecycle.Changed())

    def _wanted(self) -> Wanted:
        assert self._profile is not None
        state = ACTIVE if self._edge_link.up else INACTIVE
        exposed = self._exposure.exposed() if self._exposure is not None else []
        services = cse_services(self._profile, self._mapping, state, exposed)
        if self._exposure is not None:
            services += self._exposure.services()
        return Wanted(app_info(self._profile, self._mapping, cse_app_id(self._profile)), tuple(services))

    async def _register_platform(self, app_id: str) -> None:
        """The MEC 033 side of the registration, where the platform has that API."""
        if self._profile is None or self._mp1 is None or not self._has_iot_api:
            return
        info = iot_platform_info(self._profile, self._mapping)
        if info is None:
            return
        try:
            if await self._mp1.put_iot_platform(info) and self._exposure is not None:
                self._exposure.renew_devices()
        except Mp1Problem as error:
            if error.status not in (404, 405, 501):
                raise
            self._has_iot_api = False
            _log.info("the platform has no IoT API (MEC 033): going on without it")

    async def _called_back(self, path: str, body: JsonObject) -> bool:
        """Take a notification of the MEC platform."""
        self._counts["mec"] += 1
        whose, _, rest = path.partition("/")
        if whose == "ae":
            token, _, rest = rest.partition("/")
            instance = self._exposure.instance_at(token) if self._exposure is not None else None
        else:
            instance = self._instance
        if instance is None:
            return False
        asked = termination_of(body)
        if asked is not None:
            links = body.get("_links")
            confirm = links.get("confirmTermination") if isinstance(links, dict) else None
            link = str(confirm.get("href", "")) if isinstance(confirm, dict) else str(confirm or "")
            instance.post(lifecycle.TerminationRequested(*asked, link))
        elif references_of(body) is None:
            return False
        else:
            self._poll.set()
        if self._ipe is not None:
            concerned = instance.state.app_id
            self._run(self._keep_event(self._ipe, body, concerned), "event")
        return True

    async def _keep_event(self, ipe: Ipe, body: JsonObject, app_id: str) -> None:
        with suppress(RequestFailed, Unreachable):
            await ipe.event(body, app_id)

    def _own_app(self) -> str:
        return self._instance.state.app_id if self._instance is not None else ""

    async def _read_platform(self) -> JsonObject:
        """What ``/platform`` shows."""
        if self._registry is None:
            return {}
        # Reading is no news: what the console itself asks for would look like traffic.
        sent = sum(number for (_, method, _), number in self._meter.requests.items() if method != "GET")
        return {**await self._registry.read(), "changesSent": sent}

    def _own_apps(self) -> set[str]:
        """The appInstanceIds of the CSE and of its exposed AEs."""
        own = {cse_app_id(self._profile) if self._profile is not None else "", self._own_app()}
        return own | (self._exposure.app_ids() if self._exposure is not None else set())

    def _describe_instance(self) -> JsonObject:
        state = self._instance.state if self._instance is not None else lifecycle.Lifecycle()
        return {"profile": self._profile_name(), "appInstanceId": state.app_id, "state": state.phase.value}

    def _profile_name(self) -> str:
        return "sandbox" if self._dialect.sandbox else "spec"

    # --- status ----------------------------------------------------------------------------------------------

    def status(self) -> AdapterStatus:
        """What there is to say now."""
        state = self._instance.state if self._instance is not None else lifecycle.Lifecycle()
        services = tuple(ServiceStatus(service.name, service.service_id, service.state) for service in state.services)
        return AdapterStatus(
            cse="up" if self._edge_link.up and self._profile is not None else "down",
            mp1=state.phase.value if self._mp1 is not None else "OFF",
            app_instance_id=state.app_id,
            profile=self._profile_name(),
            services=services,
            exposed=self._exposure.status() if self._exposure is not None else (),
            mirrored=self._ipe.count if self._ipe is not None else 0,
            notifications={"onem2m": self._counts["onem2m"], "mec": self._counts["mec"]},
            sync=self._sync.status() if self._sync is not None else SyncStatus(),
            trouble=state.trouble,
        )
