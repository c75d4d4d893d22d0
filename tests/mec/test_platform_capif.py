"""MEC profile for CAPIF of the embedded platform: discover, publish, events [MEC 011 clause 9]."""

from typing import Any

import pytest

from tests.mec.conftest import CATEGORY, Mep, Subscriber, service_info, transport

DISCOVER = "/service-apis/v1/allServiceAPIs"
SERVICE_INFO = "vendorSpecific-urn:etsi:mec:capifext:service-info"
TRANSPORT_INFO = "vendorSpecific-urn:etsi:mec:capifext:transport-info"


def published(app_id: str) -> str:
    return f"/published-apis/v1/{app_id}/service-apis"


def description(**attributes: Any) -> dict[str, Any]:
    profile = {
        "aefId": "aef-1",
        "versions": [{"apiVersion": "v1"}],
        "protocol": "HTTP_1_1",
        "interfaceDescriptions": [{"ipv4Addr": "192.0.2.1", "port": 8080}],
    }
    body = {"apiName": "my-api", "aefProfiles": [profile], "supportedFeatures": "100", **attributes}
    return {name: value for name, value in body.items() if value is not None}


@pytest.mark.behaviour("M11-10.01")
async def test_mec_services_are_discovered_as_apis(mep: Mep) -> None:
    app_id = await mep.app()
    info = await mep.service(app_id, serCategory=CATEGORY, consumedLocalOnly=False)
    answer = await mep.get(DISCOVER)
    assert answer.status == 200
    found = answer.body["serviceAPIDescriptions"]
    assert len(found) == 1
    api = found[0]
    assert (api["apiName"], api["apiId"], api["supportedFeatures"]) == ("onem2m-cse", info["serInstanceId"], "100")
    assert api[SERVICE_INFO] == {
        "serializer": "JSON",
        "state": "ACTIVE",
        "scopeOfLocality": "MEC_HOST",
        "consumedLocalOnly": False,
        "isLocal": True,
        "category": CATEGORY,
    }
    profile = api["aefProfiles"][0]
    assert profile["aefId"] == app_id
    assert profile["versions"] == [{"apiVersion": "1.0.0"}]
    assert profile["interfaceDescriptions"] == [{"ipv4Addr": "192.0.2.1", "port": 8080}]
    assert profile[TRANSPORT_INFO] == {
        "name": "rest",
        "type": "REST_HTTP",
        "protocol": "HTTP",
        "version": "1.1",
        "security": {},
    }


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ({"fqdn": ["a.example"]}, {"domainName": "a.example"}),
        (
            {"addresses": [{"host": "2001:db8::1", "port": 1883}]},
            {"interfaceDescriptions": [{"ipv6Addr": "2001:db8::1", "port": 1883}]},
        ),
        ({"uris": ["http://a.example/x"]}, {"interfaceDescriptions": [{"fqdn": "a.example"}]}),
        ({"alternative": {"x": 1}}, {}),
    ],
)
@pytest.mark.behaviour("M11-10.01")
async def test_endpoints_of_apis(mep: Mep, endpoint: dict[str, Any], expected: dict[str, Any]) -> None:
    await mep.service(await mep.app(), transportInfo=transport(endpoint=endpoint))
    profile = (await mep.get(DISCOVER)).body["serviceAPIDescriptions"][0]["aefProfiles"][0]
    names = ("domainName", "interfaceDescriptions")
    assert {name: profile[name] for name in names if name in profile} == expected


@pytest.mark.behaviour("M11-10.02")
async def test_discovery_by_name_and_id(mep: Mep) -> None:
    app_id = await mep.app()
    first = await mep.service(app_id, serName="a")
    await mep.service(app_id, serName="b")
    for query in ("apiName=a", "api-name=a", f"apiId={first['serInstanceId']}", f"api-id={first['serInstanceId']}"):
        found = (await mep.get(f"{DISCOVER}?{query}&api-invoker-id=me")).body["serviceAPIDescriptions"]
        assert [api["apiName"] for api in found] == ["a"], query
    assert (await mep.get(f"{DISCOVER}?apiName=nothing")).status == 404
    assert (await mep.get(f"{DISCOVER}?apiId=nothing")).status == 404
    assert (await mep.get(f"{DISCOVER}?name=a")).status == 400


@pytest.mark.behaviour("M11-10.02")
async def test_nothing_published_is_an_empty_list(mep: Mep) -> None:
    answer = await mep.get(DISCOVER)
    assert (answer.status, answer.body) == (200, {"serviceAPIDescriptions": []})


@pytest.mark.behaviour("M11-10.03", "M11-10.04")
async def test_published_api_life(mep: Mep) -> None:
    app_id = await mep.app()
    created = await mep.post(published(app_id), description(description="mine"))
    assert created.status == 201
    api_id = created.body["apiId"]
    own = created.headers["Location"]
    assert own == f"{mep.url}{published(app_id)}/{api_id}"
    assert created.body["description"] == "mine"
    assert (await mep.get(own)).body == created.body
    assert (await mep.get(published(app_id))).body == [created.body]
    service = (await mep.get(f"/mec_service_mgmt/v1/services/{api_id}")).body
    assert (service["serName"], service["version"], service["state"]) == ("my-api", "v1", "ACTIVE")
    assert service["transportInfo"]["endpoint"] == {"addresses": [{"host": "192.0.2.1", "port": 8080}]}
    tag = created.headers["ETag"]
    changed = description(apiName="renamed", **{SERVICE_INFO: {"serializer": "XML", "state": "INACTIVE"}})
    assert (await mep.put(own, changed, headers={"If-Match": '"old"'})).status == 412
    answer = await mep.put(own, changed, headers={"If-Match": tag})
    assert (answer.status, answer.body["apiName"], answer.body["apiId"]) == (200, "renamed", api_id)
    assert answer.body[SERVICE_INFO]["serializer"] == "XML"
    patched = await mep.patch(own, {"description": "new", SERVICE_INFO: {"state": "ACTIVE"}})
    assert (patched.status, patched.body["description"]) == (200, "new")
    assert patched.body[SERVICE_INFO]["state"] == "ACTIVE"
    assert patched.body[SERVICE_INFO]["serializer"] == "XML"
    assert (await mep.get(f"/mec_service_mgmt/v1/services/{api_id}")).body["serName"] == "renamed"
    assert (await mep.delete(own)).status == 204
    for method, body in (("GET", None), ("PUT", changed), ("PATCH", {}), ("DELETE", None)):
        assert (await mep.call(method, own, body)).status == 404


@pytest.mark.behaviour("M11-10.09")
async def test_service_changed_on_mp1_is_changed_in_capif_too(mep: Mep) -> None:
    app_id = await mep.app()
    info = await mep.service(app_id)
    own = f"{published(app_id)}/{info['serInstanceId']}"
    assert (await mep.get(own)).body["apiName"] == "onem2m-cse"
    path = f"/mec_service_mgmt/v1/applications/{app_id}/services/{info['serInstanceId']}"
    await mep.put(path, service_info(serName="other", state="INACTIVE"))
    api = (await mep.get(own)).body
    assert (api["apiName"], api[SERVICE_INFO]["state"]) == ("other", "INACTIVE")


@pytest.mark.behaviour("M11-10.09")
async def test_published_api_changed_on_mp1_shows_the_change(mep: Mep) -> None:
    app_id = await mep.app()
    own = (await mep.post(published(app_id), description(description="mine"))).headers["Location"]
    path = f"/mec_service_mgmt/v1/applications/{app_id}/services/{own.rpartition('/')[2]}"
    info = (await mep.get(path)).body
    await mep.put(path, {**info, "state": "INACTIVE"})
    api = (await mep.get(own)).body
    assert (api["description"], api[SERVICE_INFO]["state"]) == ("mine", "INACTIVE")
    await mep.put(path, service_info(serName="other", version="9", transportInfo=transport(endpoint={"fqdn": ["b"]})))
    api = (await mep.get(own)).body
    profile = api["aefProfiles"][0]
    assert (api["apiName"], profile["versions"], profile["domainName"]) == ("other", [{"apiVersion": "9"}], "b")


@pytest.mark.behaviour("M11-10.09")
async def test_transport_extension_is_taken(mep: Mep) -> None:
    extension = {"name": "m", "type": "MB_TOPIC_BASED", "protocol": "MQTT", "version": "5.0", "security": {}}
    profile = {"aefId": "x", "versions": [{"apiVersion": "1"}], "domainName": "a.example", TRANSPORT_INFO: extension}
    created = await mep.post(published(await mep.app()), description(aefProfiles=[profile]))
    service = (await mep.get(f"/mec_service_mgmt/v1/services/{created.body['apiId']}")).body
    assert service["transportInfo"] == {"id": "x", **extension, "endpoint": {"fqdn": ["a.example"]}}


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (description(supportedFeatures=None), "supportedFeatures"),
        (description(supportedFeatures="xyz"), "supportedFeatures"),
        (description(apiName=None), "apiName"),
        (description(aefProfiles=[]), "aefProfiles"),
        (description(aefProfiles=[{"aefId": "x", "versions": []}]), "aefProfiles[0].versions"),
        (description(aefProfiles=[{"aefId": "x", "versions": [{"apiVersion": "1"}]}]), "domainName"),
        (description(**{SERVICE_INFO: {"state": "SUSPENDED"}}), "SUSPENDED"),
    ],
)
@pytest.mark.behaviour("M11-10.05")
async def test_wrong_description_is_400(mep: Mep, body: dict[str, Any], hint: str) -> None:
    answer = await mep.post(published(await mep.app()), body)
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("M11-10.06")
async def test_unknown_publisher_and_subscriber_are_404(mep: Mep) -> None:
    assert (await mep.get(published("nobody"))).status == 404
    assert (await mep.post(published("nobody"), description())).status == 404
    body = {"events": ["SERVICE_API_AVAILABLE"], "notificationDestination": "http://127.0.0.1:9/"}
    assert (await mep.post("/capif-events/v1/nobody/subscriptions", body)).status == 404


@pytest.mark.behaviour("M11-10.08")
async def test_events(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await mep.app()
    path = f"/capif-events/v1/{app_id}/subscriptions"
    names = ["SERVICE_API_AVAILABLE", "SERVICE_API_UPDATE", "SERVICE_API_UNAVAILABLE"]
    created = await mep.post(path, {"events": names, "notificationDestination": subscriber.url})
    assert created.status == 201
    own = created.headers["Location"]
    assert own.startswith(f"{mep.url}{path}/")
    info = await mep.service(app_id)
    service = f"/mec_service_mgmt/v1/applications/{app_id}/services/{info['serInstanceId']}"
    await mep.put(service, service_info(version="2"))
    await mep.delete(service)
    received = await subscriber.wait_for(3)
    assert received == [
        {
            "subscriptionId": own.rpartition("/")[2],
            "events": name,
            "eventDetail": {"apiIds": [info["serInstanceId"]]},
        }
        for name in names
    ]


@pytest.mark.behaviour("M11-10.07")
async def test_event_subscription_is_replaced_patched_and_removed(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await mep.app()
    watched = await mep.service(app_id, serName="watched")
    other = await mep.service(app_id, serName="other")
    path = f"/capif-events/v1/{app_id}/subscriptions"
    body: dict[str, Any] = {"events": ["SERVICE_API_AVAILABLE"], "notificationDestination": subscriber.url}
    own = (await mep.post(path, body)).headers["Location"]
    replaced = await mep.put(own, {**body, "events": ["SERVICE_API_UNAVAILABLE"]})
    assert (replaced.status, replaced.body["events"]) == (200, ["SERVICE_API_UNAVAILABLE"])
    patched = await mep.patch(own, {"eventFilters": [{"apiIds": [watched["serInstanceId"]]}]})
    assert patched.status == 200
    assert patched.body["events"] == ["SERVICE_API_UNAVAILABLE"]
    for info in (other, watched):
        await mep.delete(f"/mec_service_mgmt/v1/applications/{app_id}/services/{info['serInstanceId']}")
    received = await subscriber.wait_for(1)
    assert [entry["eventDetail"]["apiIds"] for entry in received] == [[watched["serInstanceId"]]]
    assert (await mep.delete(own)).status == 204
    for method, sent in (("PUT", body), ("PATCH", {}), ("DELETE", None)):
        assert (await mep.call(method, own, sent)).status == 404
    assert (await mep.get(own)).status == 405


@pytest.mark.parametrize(
    "changes",
    [
        {"events": []},
        {"events": ["OTHER"]},
        {"notificationDestination": "x"},
        {"notificationDestination": "http://169.254.1.1/"},
        {"supportedFeatures": "?"},
    ],
)
@pytest.mark.behaviour("M11-10.07")
async def test_wrong_event_subscription_is_400(mep: Mep, changes: dict[str, Any]) -> None:
    body = {"events": ["SERVICE_API_AVAILABLE"], "notificationDestination": "http://127.0.0.1:9/", **changes}
    assert (await mep.post(f"/capif-events/v1/{await mep.app()}/subscriptions", body)).status == 400
