"""IoT API of the embedded platform: every row and rule of MEC 033."""

from typing import Any

import pytest

from tests.mec.conftest import Mep, transport

ROOT = "/iots/v1"
PLATFORMS = f"{ROOT}/registered_iot_platforms"
DEVICES = f"{ROOT}/registered_devices"

RULE = {
    "trafficRuleId": "r",
    "filterType": "per FLOW",
    "priority": 1,
    "trafficFilter": [{"srcAddress": ["192.0.2.1"]}],
    "action": "PASSTHROUGH",
    "dstInterface": {"interfaceType": "IP", "dstIPAddress": "192.0.2.2"},
}


def bus(name: str = "mqtt", **attributes: Any) -> dict[str, Any]:
    topics = {"eventTopics": [], "uplinkTopics": ["/oneM2M/req/+/id/#"], "downlinkTopics": []}
    return transport(
        **{
            "id": name,
            "type": "MB_TOPIC_BASED",
            "protocol": "MQTT",
            "version": "3.1.1",
            "endpoint": {"addresses": [{"host": "192.0.2.1", "port": 1883}]},
            "implSpecificInfo": topics,
            **attributes,
        }
    )


def iot_platform(**attributes: Any) -> dict[str, Any]:
    info = {"iotPlatformId": "cse-1", "userTransportInfo": [bus()], "enabled": True, **attributes}
    return {name: value for name, value in info.items() if value is not None}


def device(**attributes: Any) -> dict[str, Any]:
    info = {"deviceAuthenticationInfo": "oneM2M:Cdev", "deviceId": "meter-7", "enabled": True, **attributes}
    return {name: value for name, value in info.items() if value is not None}


@pytest.mark.behaviour("OTH-1.01")
async def test_platform_life(mep: Mep) -> None:
    info = iot_platform(customServicesTransportInfo=[transport()])
    created = await mep.post(PLATFORMS, info)
    assert (created.status, created.body) == (201, info)
    own = created.headers["Location"]
    assert own == f"{mep.url}{PLATFORMS}/cse-1"
    read = await mep.get(own)
    assert (read.status, read.body) == (200, info)
    assert (await mep.get(PLATFORMS)).body == [info]
    changed = iot_platform(enabled=False)
    assert (await mep.put(own, changed, headers={"If-Match": '"old"'})).status == 412
    updated = await mep.put(own, changed, headers={"If-Match": read.headers["ETag"]})
    assert (updated.status, updated.body) == (200, changed)
    assert (await mep.put(own, iot_platform(iotPlatformId="other"))).status == 400
    assert (await mep.delete(own)).status == 204
    for method, body in (("GET", None), ("PUT", info), ("DELETE", None)):
        assert (await mep.call(method, own, body)).status == 404


@pytest.mark.parametrize("wrapper", ["IotPlatformInfo", "IoTPlatformInfo"])
@pytest.mark.behaviour("OTH-1.08")
async def test_wrapped_platform_is_taken(mep: Mep, wrapper: str) -> None:
    answer = await mep.post(PLATFORMS, {wrapper: iot_platform()})
    assert (answer.status, answer.body["iotPlatformId"]) == (201, "cse-1")


async def test_newest_platform_registration_wins(mep: Mep) -> None:
    await mep.post(PLATFORMS, iot_platform())
    assert (await mep.post(PLATFORMS, iot_platform(enabled=False))).status == 201
    assert [info["enabled"] for info in (await mep.get(PLATFORMS)).body] == [False]


@pytest.mark.parametrize(
    ("info", "hint"),
    [
        (iot_platform(iotPlatformId=None), "iotPlatformId"),
        (iot_platform(iotPlatformId="/id-edge"), "iotPlatformId"),
        (iot_platform(enabled=None), "enabled"),
        (iot_platform(userTransportInfo=None), "userTransportInfo"),
        (iot_platform(userTransportInfo=[]), "userTransportInfo"),
        (iot_platform(userTransportInfo=[transport()]), "MB_TOPIC_BASED"),
        (iot_platform(userTransportInfo=[bus(implSpecificInfo=None)]), "implSpecificInfo"),
        (iot_platform(customServicesTransportInfo=[{}]), "customServicesTransportInfo[0].id"),
    ],
)
@pytest.mark.behaviour("OTH-1.02")
async def test_wrong_platform_is_400(mep: Mep, info: dict[str, Any], hint: str) -> None:
    answer = await mep.post(PLATFORMS, info)
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("OTH-1.03")
async def test_fields_of_platforms(mep: Mep) -> None:
    await mep.post(PLATFORMS, iot_platform(customServicesTransportInfo=[transport()]))
    own = f"{PLATFORMS}/cse-1"
    assert (await mep.get(f"{PLATFORMS}?fields=iotPlatformId")).body == [{"iotPlatformId": "cse-1"}]
    assert (await mep.get(f"{PLATFORMS}?fields=iotPlatformId&fields=enabled")).body == [
        {"iotPlatformId": "cse-1", "enabled": True}
    ]
    assert (await mep.get(f"{own}?fields=userTransportInfo")).body == {"userTransportInfo": [bus()]}
    for name in ("customServicesTransportInfo", "customServiceTransportInfo"):
        assert (await mep.get(f"{own}?fields={name}")).body == {"customServicesTransportInfo": [transport()]}
    assert (await mep.get(f"{PLATFORMS}?fields=userTransportInfo")).status == 400
    assert (await mep.get(f"{own}?fields=nothing")).status == 400
    assert (await mep.get(f"{PLATFORMS}?filter=(eq,enabled,TRUE)")).status == 400


@pytest.mark.behaviour("OTH-1.04")
async def test_device_life(mep: Mep) -> None:
    info = device(requestedMecTrafficRule=[RULE], deviceMetadata=[{"key": "mac", "value": "00:11"}])
    created = await mep.post(DEVICES, info)
    assert (created.status, created.body) == (201, info)
    own = created.headers["Location"]
    assert own == f"{mep.url}{DEVICES}/meter-7"
    read = await mep.get(own)
    assert (read.status, read.body) == (200, info)
    changed = device(requestedMecTrafficRule=[RULE], gpsi="msisdn-1")
    assert (await mep.put(own, changed, headers={"If-Match": '"old"'})).status == 412
    updated = await mep.put(own, changed, headers={"If-Match": read.headers["ETag"]})
    assert (updated.status, updated.body) == (200, changed)
    assert (await mep.put(own, device(deviceId="other"))).status == 400
    assert (await mep.delete(own)).status == 204
    for method, body in (("GET", None), ("PUT", info), ("DELETE", None)):
        assert (await mep.call(method, own, body)).status == 404


@pytest.mark.parametrize(
    ("info", "hint"),
    [
        (device(deviceId=None), "deviceId"),
        (device(deviceAuthenticationInfo=None), "deviceAuthenticationInfo"),
        (device(requestedMecTrafficRule=[{}]), "requestedMecTrafficRule[0]"),
        (device(downlinkInfo={"devicePort": 70000}), "devicePort"),
        (device(deviceSpecificMessageFormats={"uplinkMsgFormat": {"uplinkTopic": "t"}}), "selectedSerializer"),
    ],
)
@pytest.mark.behaviour("OTH-1.05")
async def test_wrong_device_is_400(mep: Mep, info: dict[str, Any], hint: str) -> None:
    answer = await mep.post(DEVICES, info)
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("OTH-1.09")
async def test_device_id_that_no_path_can_hold_gets_another_key(mep: Mep) -> None:
    created = await mep.post(DEVICES, device(deviceId="/id-edge-1/Cmeter", requestedMecTrafficRule=[RULE]))
    assert created.status == 201
    assert "Cmeter" not in created.headers["Location"]
    assert (await mep.get(created.headers["Location"])).body["deviceId"] == "/id-edge-1/Cmeter"
    again = await mep.post(DEVICES, device(deviceId="/id-edge-1/Cmeter", requestedMecTrafficRule=[RULE]))
    assert again.headers["Location"] == created.headers["Location"]


@pytest.mark.parametrize(
    ("transports", "platform_enabled", "request_", "enabled"),
    [
        (["m"], True, {"requestedIotPlatformId": "cse-1"}, True),
        (["m", "n"], True, {"requestedIotPlatformId": "cse-1"}, False),
        (["m", "n"], True, {"requestedIotPlatformId": "cse-1", "requestedUserTransportId": "n"}, True),
        (["m", "n"], True, {"requestedIotPlatformId": "cse-1", "requestedUserTransportId": "x"}, False),
        (["m"], False, {"requestedIotPlatformId": "cse-1"}, False),
        (["m"], True, {"requestedIotPlatformId": "cse-2"}, False),
        (["m"], True, {"requestedUserTransportId": "m"}, False),
        (["m"], True, {"requestedMecTrafficRule": [RULE]}, True),
        (["m"], True, {}, False),
    ],
)
@pytest.mark.behaviour("OTH-1.06", "OTH-1.07")
async def test_enabled_is_computed_not_taken(
    mep: Mep, transports: list[str], platform_enabled: bool, request_: dict[str, Any], enabled: bool
) -> None:
    info = iot_platform(userTransportInfo=[bus(name) for name in transports], enabled=platform_enabled)
    await mep.post(PLATFORMS, info)
    created = await mep.post(DEVICES, device(enabled=not enabled, **request_))
    assert created.body["enabled"] is enabled
    listed = (await mep.get(DEVICES)).body
    assert [entry["deviceId"] for entry in listed] == (["meter-7"] if enabled else [])
    assert (await mep.get(created.headers["Location"])).body["enabled"] is enabled


@pytest.mark.behaviour("OTH-1.06")
async def test_enabled_follows_the_platform(mep: Mep) -> None:
    own = (await mep.post(DEVICES, device(requestedIotPlatformId="cse-1"))).headers["Location"]
    assert (await mep.get(own)).body["enabled"] is False
    await mep.post(PLATFORMS, iot_platform())
    assert (await mep.get(own)).body["enabled"] is True
    await mep.delete(f"{PLATFORMS}/cse-1")
    assert (await mep.get(own)).body["enabled"] is False


@pytest.mark.behaviour("OTH-1.07")
async def test_filter_and_fields_of_devices(mep: Mep) -> None:
    for number in range(3):
        await mep.post(DEVICES, device(deviceId=f"d{number}", gpsi=f"g{number}", requestedMecTrafficRule=[RULE]))
    await mep.post(DEVICES, device(deviceId="off"))

    async def ids(query: str) -> list[str]:
        answer = await mep.get(f"{DEVICES}?{query}")
        assert answer.status == 200, answer.body
        return [entry["deviceId"] for entry in answer.body]

    assert await ids("filter=(eq,enabled,TRUE)") == ["d0", "d1", "d2"]
    assert await ids("filter=(eq,enabled,FALSE)") == []
    assert await ids("filter=(eq,deviceId,d1)") == ["d1"]
    assert await ids("filter=(in,gpsi,g0,g2)") == ["d0", "d2"]
    assert await ids("filter=(eq,requestedMecTrafficRule/priority,1);(neq,deviceId,d0)") == ["d1", "d2"]
    assert (await mep.get(f"{DEVICES}?fields=deviceId,gpsi")).body[0] == {"deviceId": "d0", "gpsi": "g0"}
    for wrong in (
        "filter=enabled",
        "filter=(is,enabled,TRUE)",
        "filter=(eq,enabled)",
        "fields=imei",
        "fields=",
        "imei=1",
    ):
        assert (await mep.get(f"{DEVICES}?{wrong}")).status == 400
