"""AEs as devices in the IoT registry of a MEC platform: registered, kept up to date, removed [MEC 033 5.2]."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Problem
from mec_adapter.mp1.iots import DeviceInfo

_OWN = "oneM2M:"


class ExposedDevices:
    """Makes the devices of one CSE in the IoT registry what they should be.

    Args:
        client: of the platform.
        platform_id: gives the iotPlatformId of the CSE, by which its devices are known.
    """

    def __init__(self, client: Mp1Client, platform_id: Callable[[], str]) -> None:
        self._client, self._platform_id = client, platform_id
        self._wanted: dict[str, DeviceInfo] = {}
        self._known: dict[str, tuple[str, DeviceInfo]] = {}
        self._looked = False

    def want(self, key: str, info: DeviceInfo) -> bool:
        """Have a device registered; returns whether that is news."""
        news = self._wanted.get(key) != info
        self._wanted[key] = info
        return news

    def drop(self, key: str) -> None:
        """Have a device removed."""
        self._wanted.pop(key, None)

    def forget(self) -> None:
        """The platform has lost its IoT registry."""
        self._known.clear()

    def device_id(self, key: str) -> str:
        """The registeredDeviceId, "" when it is not registered."""
        return self._known[key][0] if key in self._known else ""

    async def reconcile(self) -> None:
        """Register, update and remove what has changed since the last time.

        Raises:
            Mp1Error: something did not succeed; what was done stays.
        """
        if not self._looked:
            await self._remove_leftovers()
            self._looked = True
        for key in self._known.keys() - self._wanted.keys():
            await self._remove(self._known[key][0])
            self._known.pop(key, None)
        for key, info in list(self._wanted.items()):
            known = self._known.get(key)
            if known is None or (known[1] != info and not await self._updated(known[0], info)):
                self._known[key] = await self._client.register_device(info), info
            elif known[1] != info:
                self._known[key] = known[0], info

    async def _updated(self, device_id: str, info: DeviceInfo) -> bool:
        """Replace a registration; returns False when there is none any more, or it is another device's."""
        try:
            await self._client.update_device(device_id, info)
        except Mp1Problem as error:
            if error.status not in (400, 404):
                raise
            return False
        return True

    async def _remove(self, device_id: str) -> None:
        """Deregister a device, unless it has moved and another CSE has registered it since."""
        with suppress(Mp1Problem):
            shown = (await self._client.read_device(device_id)).body
            if isinstance(shown, dict) and shown.get("requestedIotPlatformId") == self._platform_id():
                await self._client.remove_device(device_id)

    async def _remove_leftovers(self) -> None:
        """Devices an earlier run registered, of AEs that are no longer there."""
        wanted = {info["deviceId"] for info in self._wanted.values()}
        for device in await self._client.devices():
            ours = device.get("requestedIotPlatformId") == self._platform_id()
            if ours and str(device.get("deviceAuthenticationInfo", "")).startswith(_OWN):
                device_id = str(device.get("deviceId", ""))
                if device_id and device_id not in wanted:
                    await self._client.remove_device(device_id)
