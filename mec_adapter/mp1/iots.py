"""IoT API: endpoint table and data types [MEC 033]."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from mec_adapter.mp1.types import Api, Endpoint, JsonObject, TransportInfo

API = Api("iots", ("v1",))

PLATFORMS = Endpoint("GET", "/registered_iot_platforms", (200,), "IotPlatformInfo")
REGISTER_PLATFORM = Endpoint("POST", "/registered_iot_platforms", (201, 200), "IotPlatformInfo")
READ_PLATFORM = Endpoint("GET", "/registered_iot_platforms/{platform_id}", (200,), "IotPlatformInfo")
UPDATE_PLATFORM = Endpoint("PUT", "/registered_iot_platforms/{platform_id}", (200, 204), "IotPlatformInfo")
DEREGISTER_PLATFORM = Endpoint("DELETE", "/registered_iot_platforms/{platform_id}", (204, 200))
DEVICES = Endpoint("GET", "/registered_devices", (200,), "DeviceInfo")
REGISTER_DEVICE = Endpoint("POST", "/registered_devices", (201, 200), "DeviceInfo")
READ_DEVICE = Endpoint("GET", "/registered_devices/{device_id}", (200,), "DeviceInfo")
UPDATE_DEVICE = Endpoint("PUT", "/registered_devices/{device_id}", (200, 204), "DeviceInfo")
DEREGISTER_DEVICE = Endpoint("DELETE", "/registered_devices/{device_id}", (204, 200))


class IotPlatformInfo(TypedDict):
    """An IoT platform; at least one message bus transport [MEC 033 6.2.3]."""

    iotPlatformId: str
    userTransportInfo: list[TransportInfo]
    customServicesTransportInfo: NotRequired[list[TransportInfo]]
    enabled: bool


class DeviceInfo(TypedDict):
    """A device; ``enabled`` is computed by the platform [MEC 033 6.2.2]."""

    deviceAuthenticationInfo: str
    deviceId: str
    enabled: bool
    deviceMetadata: NotRequired[list[JsonObject]]
    requestedIotPlatformId: NotRequired[str]
    requestedUserTransportId: NotRequired[str]
    imei: NotRequired[str]
    iccid: NotRequired[str]
