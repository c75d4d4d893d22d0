"""Keeps the mirror of a MEC platform up to date: when told, and every now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

from cse.client import RequestFailed, Unreachable
from cse.tracing import Tracing, work
from mec_adapter.ipe import Ipe, apps_of, devices_of, services_of
from mec_adapter.mapping import app_id_of
from mec_adapter.mp1 import app_lcm, app_support, service_mgmt
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Error, Mp1Problem
from mec_adapter.mp1.types import JsonObject, as_list
from mec_adapter.profile import CseProfile, iot_platform_id

_log = logging.getLogger("mec_adapter.mirror")

_RETRY_S = 5.0


class Mirror:
    """Reads the platform and has the IPE write what it found.

    Args:
        mp1: client of the platform.
        ipe: writes the tree.
        wake: set when the platform said that something changed.
        poll_s: longest time between two readings.
        profile: of our CSE, whose services and devices must not come back.
        own_apps: gives the appInstanceIds of our CSE and its AEs.
        instance: what to say of our application instance.
        tracing: makes a trace of each look at the platform; None makes none.
    """

    def __init__(
        self,
        mp1: Mp1Client,
        ipe: Ipe,
        wake: asyncio.Event,
        poll_s: float,
        profile: CseProfile,
        own_apps: Callable[[], AbstractSet[str]],
        instance: Callable[[], JsonObject],
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._mp1, self._ipe, self._wake, self._poll_s = mp1, ipe, wake, poll_s
        self._cse_id, self._own_platform_id = profile.cse_id, iot_platform_id(profile)
        self._own_apps = own_apps
        self._instance = instance
        self._trouble = ""

    async def run(self) -> None:
        """Mirror for ever."""
        while True:
            try:
                with work(self._tracing, "mirror the platform"):
                    await self._once()
                self._trouble = ""
            except (Mp1Error, RequestFailed, Unreachable) as error:
                if not self._trouble:
                    _log.info("mirror: %s: trying again", error)
                self._trouble = str(error)
            except Exception:
                _log.exception("mirror")
            pause = min(_RETRY_S, self._poll_s) if self._trouble else self._poll_s
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

    async def _once(self) -> None:
        services = await self._mp1.services()
        await self._ipe.mirror("services", services_of(services, self._cse_id))
        await self._ipe.peers(services)
        await self._ipe.platform(await self._describe())
        await self._ipe.mirror(
            "apps", apps_of(await read_apps(self._mp1, services, self._own_apps()), self._own_apps())
        )
        with suppress(Mp1Problem):  # without an IoT API there are no devices
            await self._ipe.mirror("devices", devices_of(await self._mp1.devices(), self._own_platform_id))

    async def _describe(self) -> JsonObject:
        transports: Any = []
        with suppress(Mp1Problem):
            transports = (await self._mp1.call(service_mgmt.API, service_mgmt.TRANSPORTS)).body
        timing: JsonObject = {}
        with suppress(Mp1Problem):
            caps = (await self._mp1.call(app_support.API, app_support.TIMING_CAPS)).body or {}
            timing = {key: value for key, value in caps.items() if key != "timeStamp"}
        return {"apiRoot": self._mp1.root_url, **self._instance(), "transports": transports, "timing": timing}


async def read_apps(
    mp1: Mp1Client, services: Sequence[Mapping[str, Any]], known: AbstractSet[str]
) -> dict[str, JsonObject]:
    """What can be known of application instances: all that management shows, and the producers of services.

    Args:
        mp1: client of the platform.
        services: of the platform.
        known: instances whose registrations need not be read.

    Raises:
        Mp1Unreachable: the platform does not answer.
    """
    found: dict[str, JsonObject] = {}
    with suppress(Mp1Problem):  # not every platform lets applications read its lifecycle API
        listed = as_list((await mp1.call(app_lcm.API, app_lcm.INSTANCES)).body)
        found = {str(info["id"]): info for info in listed if info.get("id")}
    for app_id in {app_id_of(service) for service in services} - found.keys() - known - {""}:
        found[app_id] = {"appInstanceId": app_id}
        with suppress(Mp1Problem):
            shown = (await mp1.read_registration(app_id)).body
            found[app_id] = shown if isinstance(shown, dict) else found[app_id]
    return found
