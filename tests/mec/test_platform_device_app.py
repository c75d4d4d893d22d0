"""Device application interface of the embedded platform: every row and rule of MEC 016."""

from typing import Any

import pytest

from tests.mec.conftest import Mep, Subscriber

ROOT = "/dev_app/v1"
CONTEXTS = f"{ROOT}/app_contexts"


def context(**attributes: Any) -> dict[str, Any]:
    info = {"appName": "cse", "appProvider": "us", "appDVersion": "1", "userAppInstanceInfo": [{}]}
    return {"associateDevAppId": "dev-1", "appInfo": info, **attributes}


async def cse(mep: Mep, app_id: str = "cse-1", uri: str = "http://192.0.2.1:8080/cse") -> str:
    return await mep.app(appName="cse", appProvider="us", appInstanceId=app_id, endpoint={"uris": [uri]})


@pytest.mark.behaviour("OTH-5.01")
async def test_app_list(mep: Mep) -> None:
    await cse(mep)
    await cse(mep, "cse-2")
    await mep.post("/mep/v1/app_instances", {"appName": "game", "appProvider": "them", "appSoftVersion": "3"})

    async def names(query: str = "") -> list[str]:
        answer = await mep.get(f"{ROOT}/app_list{query}")
        assert answer.status == 200
        return [entry["appInfo"]["appName"] for entry in answer.body["appList"]]

    assert await names() == ["cse", "game"]
    assert await names("?appName=game") == ["game"]
    assert await names("?appName=game&appName=cse") == ["cse", "game"]
    assert await names("?appProvider=us") == ["cse"]
    assert await names("?appSoftVersion=3") == ["game"]
    assert await names("?appName=game&appProvider=us") == []
    assert await names("?serviceCont=0") == ["cse", "game"]
    assert await names("?serviceCont=1") == []
    assert await names("?vendorId=v") == []
    assert (await mep.get(f"{ROOT}/app_list?serviceCont=2")).status == 400
    assert (await mep.get(f"{ROOT}/app_list?name=x")).status == 400


@pytest.mark.behaviour("OTH-5.02", "OTH-5.03")
async def test_context_gives_the_device_the_edge_application(mep: Mep, subscriber: Subscriber) -> None:
    await cse(mep)
    created = await mep.post(CONTEXTS, context(callbackReference=subscriber.url))
    assert created.status == 201
    context_id = created.body["contextId"]
    assert created.headers["Location"] == f"{mep.url}{CONTEXTS}/{context_id}"
    served = created.body["appInfo"]["userAppInstanceInfo"]
    assert served == [{"appInstanceId": "cse-1", "referenceURI": "http://192.0.2.1:8080/cse"}]
    own = created.headers["Location"]
    assert (await mep.put(own, context(callbackReference=f"{subscriber.url}/2"))).status == 204
    assert (await mep.put(own, context(associateDevAppId="dev-2"))).status == 400
    assert (await mep.put(own, context(contextId="another"))).status == 400
    assert (await mep.get(own)).status == 405
    assert (await mep.delete(own)).status == 204
    assert (await mep.delete(own)).status == 404
    assert (await mep.put(own, context())).status == 404


async def test_wrapped_context_is_taken(mep: Mep) -> None:
    await cse(mep)
    assert (await mep.post(CONTEXTS, {"AppContext": context()})).status == 201


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (context(associateDevAppId="x" * 33), 400),
        (context(associateDevAppId=None), 400),
        (context(appInfo={"appName": "cse"}), 400),
        (context(appInfo={**context()["appInfo"], "userAppInstanceInfo": []}), 400),
        (context(callbackReference="no uri"), 400),
        (context(callbackReference="http://169.254.169.254/"), 400),
        (context(appInfo={**context()["appInfo"], "appName": "nothing"}), 404),
        (context(appInfo={**context()["appInfo"], "appProvider": "others"}), 404),
    ],
)
@pytest.mark.behaviour("OTH-5.02")
async def test_context_that_cannot_be(mep: Mep, body: dict[str, Any], status: int) -> None:
    await cse(mep)
    answer = await mep.post(CONTEXTS, body)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.behaviour("OTH-5.05")
async def test_after_a_completed_move_the_device_is_told_the_new_address(mep: Mep, subscriber: Subscriber) -> None:
    await cse(mep)
    own = (await mep.post(CONTEXTS, context(callbackReference=subscriber.url))).body
    await cse(mep, "cse-2", "http://192.0.2.2:8080/cse")
    move = {"associateId": ["dev"], "appInstanceId": "cse-1", "targetAppInfo": {"appInstanceId": "cse-2"}}
    assert (await mep.post("/mep/v1/mobility_events", {**move, "mobilityStatus": 1})).body == {"notifications": 0}
    assert (await mep.post("/mep/v1/mobility_events", {**move, "mobilityStatus": 2})).body == {"notifications": 1}
    assert (await subscriber.wait_for(1))[0] == {
        "notificationType": "AddressChangeNotification",
        "contextId": own["contextId"],
        "appInstanceId": "cse-2",
        "referenceURI": "http://192.0.2.2:8080/cse",
    }
    assert (await mep.post("/mep/v1/mobility_events", {**move, "mobilityStatus": 2})).body == {"notifications": 0}


@pytest.mark.behaviour("OTH-5.04")
async def test_location_availability(mep: Mep) -> None:
    await cse(mep)
    info = {"appName": "cse", "appProvider": "us", "appDVersion": "1"}
    path = f"{ROOT}/obtain_app_loc_availability"
    answer = await mep.post(path, {"associateDevAppId": "dev-1", "appInfo": info})
    assert answer.status == 200
    locations = answer.body["appInfo"]["availableLocations"]
    assert len(locations) == len(mep.platform.config.zones)
    ring = locations[0]["appLocation"]["area"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert len(ring) == 5
    missing = {"associateDevAppId": "dev-1", "appInfo": {**info, "appName": "nothing"}}
    assert (await mep.post(path, missing)).status == 404
    assert (await mep.post(path, {"appInfo": info})).status == 400
