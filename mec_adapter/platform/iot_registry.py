"""IoT platforms and devices registered with the platform; pure [MEC 033 5.2, 5.3, 5.4]."""

import re
import uuid

from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.problems import BadRequest, Forbidden, NotFound

PLATFORM = "iot_platform"
DEVICE = "iot_device"
_PATH_SAFE = re.compile(r"[A-Za-z0-9._~:-]{1,128}")


def device_key(device_id: str) -> str:
    """Return the registeredDeviceId of a device: its deviceId where a path can hold it, else a UUID made from it."""
    if _PATH_SAFE.fullmatch(device_id):
        return device_id
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:mec:iots:device:{device_id}"))


class IotRegistry:
    """Registered IoT platforms (by iotPlatformId) and devices (by registeredDeviceId); the newest registration wins."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def platforms(self) -> list[JsonObject]:
        """Return the IotPlatformInfo of every platform, oldest first."""
        return [record["info"] for record in self._documents.every(PLATFORM)]

    def platform(self, platform_id: str) -> JsonObject:
        """Return one IotPlatformInfo.

        Raises:
            NotFound: not registered.
        """
        record = self._documents.find(PLATFORM, platform_id)
        if record is None:
            raise NotFound(f"IoT platform {platform_id[:128]!r} is not registered; POST it to registered_iot_platforms")
        info: JsonObject = record["info"]
        return info

    def keep_platform(self, info: JsonObject, owner: str | None) -> None:
        """Register a platform, or replace its registration.

        Raises:
            Forbidden: it is registered by another client.
        """
        self._check_owner(PLATFORM, info["iotPlatformId"], owner)
        self._documents.keep(PLATFORM, info["iotPlatformId"], {"owner": owner, "info": info})

    def replace_platform(self, platform_id: str, info: JsonObject, owner: str | None) -> None:
        """Replace the registration of a platform that is registered.

        Raises:
            NotFound: not registered.
            BadRequest: the body names another platform.
            Forbidden: it is registered by another client.
        """
        self.platform(platform_id)
        if info["iotPlatformId"] != platform_id:
            raise BadRequest(f"attribute iotPlatformId is not that of the path; send {platform_id!r}")
        self.keep_platform(info, owner)

    def drop_platform(self, platform_id: str, owner: str | None) -> None:
        """Deregister a platform.

        Raises:
            NotFound: not registered.
            Forbidden: it is registered by another client.
        """
        self.platform(platform_id)
        self._check_owner(PLATFORM, platform_id, owner)
        self._documents.drop(PLATFORM, platform_id)

    def devices(self) -> list[JsonObject]:
        """Return the DeviceInfo of every device with a valid traffic rule, oldest first [MEC 033 5.2.2]."""
        found = [self._with_enabled(record["info"]) for record in self._documents.every(DEVICE)]
        return [info for info in found if info["enabled"]]

    def device(self, key: str) -> JsonObject:
        """Return one DeviceInfo.

        Raises:
            NotFound: not registered.
        """
        record = self._documents.find(DEVICE, key)
        if record is None:
            raise NotFound(f"device {key[:128]!r} is not registered; POST it to registered_devices")
        return self._with_enabled(record["info"])

    def keep_device(self, info: JsonObject, owner: str | None) -> str:
        """Register a device, or replace its registration.

        Returns:
            Its registeredDeviceId.

        Raises:
            Forbidden: it is registered by another client.
        """
        key = device_key(info["deviceId"])
        self._check_owner(DEVICE, key, owner)
        self._documents.keep(DEVICE, key, {"owner": owner, "info": info})
        return key

    def replace_device(self, key: str, info: JsonObject, owner: str | None) -> None:
        """Replace the registration of a device that is registered.

        Raises:
            NotFound: not registered.
            BadRequest: the body names another device.
            Forbidden: it is registered by another client.
        """
        known = self.device(key)
        if info["deviceId"] != known["deviceId"]:
            raise BadRequest(f"attribute deviceId is not that of the registration; send {known['deviceId']!r}")
        self.keep_device(info, owner)

    def drop_device(self, key: str, owner: str | None) -> None:
        """Deregister a device.

        Raises:
            NotFound: not registered.
            Forbidden: it is registered by another client.
        """
        self.device(key)
        self._check_owner(DEVICE, key, owner)
        self._documents.drop(DEVICE, key)

    def _check_owner(self, kind: str, key: str, owner: str | None) -> None:
        record = self._documents.find(kind, key)
        if record is not None and owner is not None and record["owner"] != owner:
            raise Forbidden(f"{key[:128]!r} is registered by another client")

    def _with_enabled(self, info: JsonObject) -> JsonObject:
        return {**info, "enabled": self._has_traffic_rule(info)}

    def _has_traffic_rule(self, info: JsonObject) -> bool:
        """Whether a valid traffic rule follows from the registration [MEC 033 6.2.2, notes 2 and 3]."""
        if info.get("requestedMecTrafficRule"):
            return True
        record = self._documents.find(PLATFORM, info.get("requestedIotPlatformId", ""))
        if record is None or not record["info"]["enabled"]:
            return False
        transports = [transport["id"] for transport in record["info"]["userTransportInfo"]]
        wanted = info.get("requestedUserTransportId")
        return len(transports) == 1 if wanted is None else wanted in transports
