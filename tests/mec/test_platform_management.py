"""Management API and status page of the embedded platform."""

import re

import pytest

from tests.mec.conftest import Mep, service_info

APPS = "/mep/v1/app_instances"


@pytest.mark.behaviour("OTH-9.03")
async def test_managed_instance_life(mep: Mep) -> None:
    created = await mep.post(APPS, {"appName": "m", "appProvider": "us", "appDId": "appd-1"})
    assert created.status == 201
    app_id = created.body["appInstanceId"]
    assert created.headers["Location"] == f"{mep.url}{APPS}/{app_id}"
    assert created.body["appDId"] == "appd-1"
    assert created.body["clientId"]
    assert len(created.body["clientSecret"]) >= 32
    read = await mep.get(created.headers["Location"])
    assert read.body == {
        "appInstanceId": app_id,
        "appName": "m",
        "managed": True,
        "registered": False,
        "instantiationState": "INSTANTIATED",
        "operationalState": "STARTED",
        "configured": True,
        "ready": False,
        "services": 0,
    }
    await mep.post(f"/mec_service_mgmt/v1/applications/{app_id}/services", service_info())
    assert (await mep.get(APPS)).body[0]["services"] == 1
    assert (await mep.delete(created.headers["Location"])).status == 204
    assert (await mep.get(APPS)).body == []
    assert (await mep.get("/mec_service_mgmt/v1/services")).body == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/configure")):
        assert (await mep.call(method, f"{APPS}/{app_id}{path}")).status == 404
    assert (await mep.post(f"{APPS}/{app_id}/terminate", {})).status == 404


async def test_self_registered_instances_are_listed_too(mep: Mep) -> None:
    app_id = await mep.app(appName="cse")
    listed = (await mep.get(APPS)).body
    assert [(entry["appInstanceId"], entry["managed"], entry["registered"]) for entry in listed] == [
        (app_id, False, True)
    ]
    assert listed[0]["registration"]["appName"] == "cse"


async def test_chosen_id_is_kept_and_may_not_come_twice(mep: Mep) -> None:
    body = {"appName": "m", "appInstanceId": "my-app"}
    assert (await mep.post(APPS, body)).body["appInstanceId"] == "my-app"
    assert (await mep.post(APPS, body)).status == 409


async def test_wrong_descriptor_is_400(mep: Mep) -> None:
    rule = {"dnsRuleId": "d", "domainName": "a", "ipAddressType": "IP_V4", "ipAddress": "192.0.2.1"}
    assert "appName" in (await mep.post(APPS, {})).detail
    assert "appDNSRule[0].ipAddress" in (await mep.post(APPS, {"appName": "m", "appDNSRule": [{}]})).detail
    assert "dnsRuleId" in (await mep.post(APPS, {"appName": "m", "appDNSRule": [rule, rule]})).detail


@pytest.mark.parametrize("body", [{"operationAction": "PAUSING"}, {"gracefulTimeoutS": -1}, {"gracefulTimeoutS": "9"}])
async def test_wrong_termination_is_400(mep: Mep, body: dict[str, object]) -> None:
    assert (await mep.post(f"{APPS}/{await mep.app()}/terminate", body)).status == 400


@pytest.mark.behaviour("OTH-9.03")
async def test_terminated_instance_may_not_use_the_platform(mep: Mep) -> None:
    app_id = (await mep.post(APPS, {"appName": "m"})).body["appInstanceId"]
    await mep.post(f"{APPS}/{app_id}/terminate", {"gracefulTimeoutS": 0})
    answer = await mep.post(f"/mec_service_mgmt/v1/applications/{app_id}/services", service_info())
    assert answer.status == 403
    assert (await mep.post(f"{APPS}/{app_id}/terminate", {})).status == 409


async def test_heartbeat_policy(mep: Mep) -> None:
    path = "/mep/v1/heartbeat_policy"
    assert (await mep.get(path)).body == {"defaultIntervalS": 30, "minIntervalS": 1, "maxIntervalS": 3600}
    policy = {"defaultIntervalS": 5, "minIntervalS": 2, "maxIntervalS": 10}
    assert (await mep.put(path, policy)).body == policy
    assert (await mep.get(path)).body == policy
    assert (await mep.put(path, {**policy, "defaultIntervalS": 11})).status == 400
    assert (await mep.put(path, {**policy, "minIntervalS": 0})).status == 400
    assert (await mep.service(await mep.app(), livenessInterval=0))["livenessInterval"] == 5


async def test_status(mep: Mep) -> None:
    await mep.service(await mep.app())
    body = (await mep.get("/mep/v1/status")).body
    assert (body["applications"], body["services"], body["insecureDev"]) == (1, 1, True)


@pytest.mark.behaviour("OTH-9.04")
async def test_status_page_escapes_and_allows_no_scripts(mep: Mep) -> None:
    attack = "<script>alert('x')</script>"
    await mep.service(await mep.app(appName=attack), serName=attack, version='"><img src=x>')
    answer = await mep.get("/")
    text = answer.body.decode()
    assert answer.status == 200
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert links == ["/status.css"]
    assert (await mep.get("/status.css")).status == 200
    assert "insecure_dev" in text
