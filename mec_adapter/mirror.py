"""Keeps the mirror of a MEC platform up to date: when told, and every now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cse.client import RequestFailed, Unreachable
from mec_adapter.ipe import Ipe
from mec_adapter.mp1 import app_support, service_mgmt
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Error, Mp1Problem
from mec_adapter.mp1.types import JsonObject

_log = logging.getLogger("mec_adapter.mirror")

_RETRY_S = 5.0


class Mirror:
    """Reads the platform and has the IPE write what it found.

    Args:
        mp1: client of the platform.
        ipe: writes the tree.
        wake: set when the platform said that something changed.
        poll_s: longest time between two readings.
        own_platform_id: iotPlatformId whose devices are our own, "" for none.
        instance: what to say of our application instance.
    """

    def __init__(
        self,
        mp1: Mp1Client,
        ipe: Ipe,
        wake: asyncio.Event,
        poll_s: float,
        own_platform_id: str,
        instance: Callable[[], JsonObject],
    ) -> None:
        self._mp1, self._ipe, self._wake, self._poll_s = mp1, ipe, wake, poll_s
        self._own_platform_id = own_platform_id
        self._instance = instance
        self._trouble = ""

    async def run(self) -> None:
        """Mirror for ever."""
        while True:
            try:
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
        await self._ipe.mirror(await self._mp1.services())
        await self._ipe.platform(await self._describe())
        try:
            devices = await self._mp1.devices()
        except Mp1Problem:
            return  # no IoT API there
        await self._ipe.devices(
            [device for device in devices if device.get("requestedIotPlatformId") != self._own_platform_id]
        )

    async def _describe(self) -> JsonObject:
        transports: Any = []
        with suppress(Mp1Problem):
            transports = (await self._mp1.call(service_mgmt.API, service_mgmt.TRANSPORTS)).body
        timing: JsonObject = {}
        with suppress(Mp1Problem):
            caps = (await self._mp1.call(app_support.API, app_support.TIMING_CAPS)).body or {}
            timing = {key: value for key, value in caps.items() if key != "timeStamp"}
        return {"apiRoot": self._mp1.root_url, **self._instance(), "transports": transports, "timing": timing}
