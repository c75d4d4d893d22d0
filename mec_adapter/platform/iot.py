"""IoT API, `iots/v1`: registered IoT platforms and devices [MEC 033 clause 7]."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response

from mec_adapter.platform.dependencies import PlatformDep, api_root, errors, listed, single, with_body
from mec_adapter.platform.http import PlatformRoute, answer, check_if_match, created, entity_tag, no_content
from mec_adapter.platform.iot_models import DeviceInfo, DeviceInfoPost, DevicePart, IotPlatformInfo, IotPlatformPart
from mec_adapter.platform.problems import BadRequest
from mec_adapter.platform.selectors import FILTER_PATTERN, matching, only, parse_filter

API = "iots"
router = APIRouter(route_class=PlatformRoute, tags=[API])

DEVICE_FIELDS = (
    "deviceMetadata",
    "gpsi",
    "msisdn",
    "deviceId",
    "requestedMecTrafficRule",
    "requestedIotPlatformId",
    "requestedUserTransportId",
)
PLATFORM_LIST_FIELDS = ("iotPlatformId", "enabled")
PLATFORM_FIELDS = ("userTransportInfo", "customServicesTransportInfo")

DeviceKey = Annotated[str, Path(alias="registeredDeviceId")]
PlatformKey = Annotated[str, Path(alias="registeredIotPlatformId")]


def _fields(values: list[str], allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the attributes asked for.

    Raises:
        BadRequest: one of them cannot be chosen here.
    """
    # The published description misspells one name; whoever reads it will send it so.
    wanted = tuple(name.replace("customServiceTransportInfo", "customServicesTransportInfo") for name in listed(values))
    for name in wanted:
        if name not in allowed:
            raise BadRequest(
                f"query parameter fields: {name[:64]!r} cannot be chosen; send some of {', '.join(allowed)}"
            )
    return wanted


def _names(allowed: tuple[str, ...]) -> dict[str, Any]:
    return {"items": {"type": "string", "enum": list(allowed)}}


@router.get("/registered_devices", response_model=list[DeviceInfo | DevicePart], responses=errors())
async def list_devices(
    request: Request,
    platform: PlatformDep,
    fields: Annotated[list[str], Query(default_factory=list, json_schema_extra=_names(DEVICE_FIELDS))],
    filter_: Annotated[str | None, Query(alias="filter", json_schema_extra={"pattern": FILTER_PATTERN})] = None,
) -> Response:
    """Return the devices that have a valid traffic rule."""
    single(request, "filter")
    wanted = _fields(fields, DEVICE_FIELDS)
    found = matching(platform.iot.devices(), parse_filter(filter_))
    return answer([only(device, wanted) for device in found] if wanted else found)


@router.post("/registered_devices", status_code=201, response_model=DeviceInfo, responses=with_body())
async def register_device(request: Request, platform: PlatformDep, body: DeviceInfoPost) -> Response:
    """Register a device; of two registrations of one deviceId the newest wins."""
    key = platform.iot.keep_device(body.document(), platform.client_of(request))
    shown = platform.iot.device(key)
    location = f"{api_root(request, platform, API)}/registered_devices/{quote(key, safe='')}"
    return created(shown, location, {"ETag": entity_tag(shown)})


@router.get("/registered_devices/{registeredDeviceId}", response_model=DeviceInfo, responses=errors())
async def read_device(platform: PlatformDep, key: DeviceKey) -> Response:
    """Return one device."""
    shown = platform.iot.device(key)
    return answer(shown, headers={"ETag": entity_tag(shown)})


@router.put("/registered_devices/{registeredDeviceId}", response_model=DeviceInfo, responses=with_body(412))
async def update_device(request: Request, platform: PlatformDep, key: DeviceKey, body: DeviceInfoPost) -> Response:
    """Replace the registration of a device."""
    check_if_match(request, platform.iot.device(key))
    platform.iot.replace_device(key, body.document(), platform.client_of(request))
    shown = platform.iot.device(key)
    return answer(shown, headers={"ETag": entity_tag(shown)})


@router.delete("/registered_devices/{registeredDeviceId}", status_code=204, response_model=None, responses=errors(503))
async def deregister_device(request: Request, platform: PlatformDep, key: DeviceKey) -> Response:
    """Deregister a device."""
    platform.iot.drop_device(key, platform.client_of(request))
    return no_content()


@router.get("/registered_iot_platforms", response_model=list[IotPlatformInfo | IotPlatformPart], responses=errors())
async def list_platforms(
    platform: PlatformDep,
    fields: Annotated[list[str], Query(default_factory=list, json_schema_extra=_names(PLATFORM_LIST_FIELDS))],
) -> Response:
    """Return the registered IoT platforms."""
    wanted = _fields(fields, PLATFORM_LIST_FIELDS)
    found = platform.iot.platforms()
    return answer([only(info, wanted) for info in found] if wanted else found)


@router.post("/registered_iot_platforms", status_code=201, response_model=IotPlatformInfo, responses=with_body())
async def register_platform(request: Request, platform: PlatformDep, body: IotPlatformInfo) -> Response:
    """Register an IoT platform; of two registrations of one iotPlatformId the newest wins."""
    info = body.document()
    platform.iot.keep_platform(info, platform.client_of(request))
    location = f"{api_root(request, platform, API)}/registered_iot_platforms/{info['iotPlatformId']}"
    return created(info, location, {"ETag": entity_tag(info)})


@router.get(
    "/registered_iot_platforms/{registeredIotPlatformId}",
    response_model=IotPlatformInfo | IotPlatformPart,
    responses=errors(),
)
async def read_platform(
    platform: PlatformDep,
    key: PlatformKey,
    fields: Annotated[list[str], Query(default_factory=list, json_schema_extra=_names(PLATFORM_FIELDS))],
) -> Response:
    """Return one IoT platform."""
    wanted = _fields(fields, PLATFORM_FIELDS)
    info = platform.iot.platform(key)
    return answer(only(info, wanted) if wanted else info, headers={"ETag": entity_tag(info)})


@router.put(
    "/registered_iot_platforms/{registeredIotPlatformId}",
    response_model=IotPlatformInfo,
    responses=with_body(412),
)
async def update_platform(request: Request, platform: PlatformDep, key: PlatformKey, body: IotPlatformInfo) -> Response:
    """Replace the registration of an IoT platform."""
    check_if_match(request, platform.iot.platform(key))
    info = body.document()
    platform.iot.replace_platform(key, info, platform.client_of(request))
    return answer(info, headers={"ETag": entity_tag(info)})


@router.delete(
    "/registered_iot_platforms/{registeredIotPlatformId}",
    status_code=204,
    response_model=None,
    responses=errors(503),
)
async def deregister_platform(request: Request, platform: PlatformDep, key: PlatformKey) -> Response:
    """Deregister an IoT platform."""
    platform.iot.drop_platform(key, platform.client_of(request))
    return no_content()
