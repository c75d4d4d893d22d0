"""Application mobility API of the embedded platform: every row and rule of MEC 021."""

from typing import Any

import pytest

from tests.mec.conftest import Clock, Mep, StartMep, Subscriber

ROOT = "/amsi/v1"
SERVICES = f"{ROOT}/app_mobility_services"
SUBSCRIPTIONS = f"{ROOT}/subscriptions"
EVENTS = "/mep/v1/mobility_events"
DEVICE = {"type": "UE_IPv4_ADDRESS", "value": "10.0.0.1"}


def registration(app_id: str = "app-a", **attributes: Any) -> dict[str, Any]:
    devices = [{"associateId": DEVICE, "appMobilityServiceLevel": 3, "contextTransferState": 0}]
    return {"serviceConsumerId": {"appInstanceId": app_id}, "deviceInformation": devices, **attributes}


def procedure(callback: str, **attributes: Any) -> dict[str, Any]:
    return {
        "subscriptionType": "MobilityProcedureSubscription",
        "callbackReference": callback,
        "filterCriteria": {},
        **attributes,
    }


@pytest.mark.behaviour("OTH-4.01")
async def test_registration_life(mep: Mep) -> None:
    created = await mep.post(SERVICES, registration())
    assert created.status == 201
    service_id = created.body["appMobilityServiceId"]
    assert created.body == {**registration(), "appMobilityServiceId": service_id}
    own = created.headers["Location"]
    assert own == f"{mep.url}{SERVICES}/{service_id}"
    read = await mep.get(own)
    assert (read.status, read.body) == (200, created.body)
    assert (await mep.get(SERVICES)).body == [created.body]
    moved = registration(deviceInformation=[{"associateId": DEVICE, "contextTransferState": 1}])
    assert (await mep.put(own, moved, headers={"If-Match": '"old"'})).status == 412
    changed = await mep.put(own, moved, headers={"If-Match": read.headers["ETag"]})
    assert changed.status == 200
    assert changed.body["deviceInformation"][0]["contextTransferState"] == 1
    assert (await mep.delete(own)).status == 204
    for method, path, body in (
        ("GET", own, None),
        ("PUT", own, moved),
        ("DELETE", own, None),
        ("POST", f"{own}/deregister_task", None),
    ):
        assert (await mep.call(method, path, body)).status == 404


async def test_number_that_no_integer_can_hold_is_400(mep: Mep) -> None:
    devices = [{"associateId": {"type": 1e20, "value": "x"}}]
    answer = await mep.post(SERVICES, registration(deviceInformation=devices))
    assert answer.status == 400


@pytest.mark.behaviour("OTH-4.02")
async def test_deregister_task(mep: Mep) -> None:
    own = (await mep.post(SERVICES, {"RegistrationInfo": registration()})).headers["Location"]
    assert (await mep.post(f"{own}/deregister_task")).status == 204
    assert (await mep.get(own)).status == 404


@pytest.mark.behaviour("OTH-4.03")
async def test_registration_ends_with_its_time(start_mep: StartMep, clock: Clock) -> None:
    async with start_mep(clock) as mep:
        ending = (await mep.post(SERVICES, registration(expiryTime=60))).headers["Location"]
        lasting = (await mep.post(SERVICES, registration(expiryTime=0))).headers["Location"]
        clock.now += 59.9
        await mep.platform.tick()
        assert (await mep.get(ending)).status == 200
        clock.now += 0.1
        await mep.platform.tick()
        assert (await mep.get(ending)).status == 404
        assert (await mep.get(lasting)).status == 200


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({}, "serviceConsumerId"),
        ({"serviceConsumerId": {}}, "exactly one"),
        ({"serviceConsumerId": {"appInstanceId": "a", "mepId": "b"}}, "exactly one"),
        (registration(expiryTime=-1), "expiryTime"),
        (registration(deviceInformation=[{"associateId": DEVICE, "contextTransferState": 2}]), "contextTransferState"),
        (registration(deviceInformation=[{"associateId": DEVICE, "contextTransferState": False}]), "integer"),
        (
            registration(deviceInformation=[{"associateId": DEVICE, "appMobilityServiceLevel": 4}]),
            "deviceInformation[0]",
        ),
    ],
)
@pytest.mark.behaviour("OTH-4.04")
async def test_wrong_registration_is_400(mep: Mep, body: dict[str, Any], hint: str) -> None:
    answer = await mep.post(SERVICES, body)
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("M11-8.08")
async def test_attribute_filter_and_selectors(mep: Mep) -> None:
    for name in ("app-a", "app-b"):
        await mep.post(SERVICES, registration(name))

    async def get(query: str) -> list[dict[str, Any]]:
        answer = await mep.get(f"{SERVICES}?{query}")
        assert answer.status == 200, answer.body
        return list(answer.body)

    found = await get("filter=(eq,serviceConsumerId/appInstanceId,app-b)")
    assert [entry["serviceConsumerId"]["appInstanceId"] for entry in found] == ["app-b"]
    assert await get("filter=(gt,deviceInformation/appMobilityServiceLevel,3)") == []
    assert (await get("fields=serviceConsumerId"))[0] == {"serviceConsumerId": {"appInstanceId": "app-a"}}
    assert "deviceInformation" not in (await get("exclude_fields=deviceInformation"))[0]
    assert "deviceInformation" in (await get("all_fields"))[0]
    assert "deviceInformation" in (await get("exclude_default"))[0]
    for wrong in ("fields=a&exclude_fields=b", "all_fields&exclude_default", "all_fields&fields=a", "filter=x", "x=1"):
        assert (await mep.get(f"{SERVICES}?{wrong}")).status == 400, wrong


@pytest.mark.behaviour("OTH-4.05")
async def test_subscription_life(mep: Mep, subscriber: Subscriber) -> None:
    sent = procedure(subscriber.url, filterCriteria={"appInstanceId": "app-a", "mobilityStatus": [1]})
    created = await mep.post(SUBSCRIPTIONS, sent)
    assert created.status == 201
    own = created.headers["Location"]
    assert created.body == {**sent, "_links": {"self": {"href": own}}}
    read = await mep.get(own)
    assert read.body == created.body
    changed = procedure(subscriber.url, filterCriteria={"mobilityStatus": [2]})
    assert (await mep.put(own, changed, headers={"If-Match": '"old"'})).status == 412
    answer = await mep.put(own, changed, headers={"If-Match": read.headers["ETag"]})
    assert (answer.status, answer.body["filterCriteria"]) == (200, {"mobilityStatus": [2]})
    other_type = {**changed, "subscriptionType": "AdjacentAppInfoSubscription"}
    assert (await mep.put(own, other_type)).status == 400
    assert (await mep.delete(own)).status == 204
    for method, body in (("GET", None), ("PUT", changed), ("DELETE", None)):
        assert (await mep.call(method, own, body)).status == 404


@pytest.mark.behaviour("OTH-4.05")
async def test_list_of_subscriptions_by_type(mep: Mep, subscriber: Subscriber) -> None:
    first = (await mep.post(SUBSCRIPTIONS, procedure(subscriber.url))).headers["Location"]
    adjacent = {**procedure(subscriber.url), "subscriptionType": "AdjacentAppInfoSubscription"}
    second = (await mep.post(SUBSCRIPTIONS, {"AdjacentAppInfoSubscription": adjacent})).headers["Location"]

    async def listed(query: str) -> list[str]:
        answer = await mep.get(f"{SUBSCRIPTIONS}{query}")
        assert answer.body["_links"]["self"] == {"href": mep.url + SUBSCRIPTIONS}
        return [entry["href"] for entry in answer.body["_links"]["subscription"]]

    assert await listed("") == [first, second]
    assert await listed("?subscriptionType=mobility_proc") == [first]
    assert await listed("?subscriptionType=adj_app_info") == [second]
    assert (await mep.get(f"{SUBSCRIPTIONS}?subscriptionType=other")).status == 400


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"subscriptionType": "Other"}, "subscriptionType"),
        ({"subscriptionType": None}, "subscriptionType"),
        ({"filterCriteria": None}, "filterCriteria"),
        ({"filterCriteria": {"mobilityStatus": [4]}}, "filterCriteria.mobilityStatus"),
        ({"callbackReference": None}, "callbackReference"),
        ({"callbackReference": None, "websockNotifConfig": {"requestWebsocketUri": False}}, "requestWebsocketUri true"),
        ({"expiryDeadline": {"seconds": 1, "nanoSeconds": 0}}, "past"),
        ({"expiryDeadline": {"seconds": 4_000_000_000}}, "nanoSeconds"),
    ],
)
@pytest.mark.behaviour("OTH-4.06")
async def test_wrong_subscription_is_400(mep: Mep, changes: dict[str, Any], hint: str) -> None:
    body = {**procedure("http://127.0.0.1:9/"), **changes}
    answer = await mep.post(SUBSCRIPTIONS, {name: value for name, value in body.items() if value is not None})
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("M11-8.13")
async def test_test_notification_comes_when_asked_for(mep: Mep, subscriber: Subscriber) -> None:
    own = (await mep.post(SUBSCRIPTIONS, procedure(subscriber.url, requestTestNotification=True))).headers["Location"]
    assert (await subscriber.wait_for(1))[0] == {
        "notificationType": "TestNotification",
        "_links": {"subscription": {"href": own}},
    }


@pytest.mark.behaviour("M11-8.13")
async def test_subscription_expires_and_says_so(start_mep: StartMep, clock: Clock, subscriber: Subscriber) -> None:
    deadline = {"seconds": int(clock.now) + 60, "nanoSeconds": 0}
    async with start_mep(clock) as mep:
        own = (await mep.post(SUBSCRIPTIONS, procedure(subscriber.url, expiryDeadline=deadline))).headers["Location"]
        clock.now += 60
        await mep.platform.tick()
        notification = (await subscriber.wait_for(1))[0]
        assert (await mep.get(own)).status == 404
    assert notification["notificationType"] == "ExpiryNotification"
    assert notification["expiryDeadline"] == deadline
    assert notification["_links"] == {"subscription": {"href": own}}


@pytest.mark.behaviour("OTH-4.07")
async def test_mobility_event_is_notified(mep: Mep, subscriber: Subscriber) -> None:
    own = (await mep.post(SUBSCRIPTIONS, procedure(subscriber.url))).headers["Location"]
    target = {"appInstanceId": "app-b", "commInterface": {"ipAddresses": [{"host": "192.0.2.2", "port": 8080}]}}
    event = {"associateId": [DEVICE], "mobilityStatus": 1, "targetAppInfo": target}
    answer = await mep.post(EVENTS, event)
    assert (answer.status, answer.body) == (202, {"notifications": 1})
    notification = (await subscriber.wait_for(1))[0]
    assert set(notification.pop("timeStamp")) == {"seconds", "nanoSeconds"}
    assert notification == {
        "notificationType": "MobilityProcedureNotification",
        **event,
        "_links": {"subscription": {"href": own}},
    }


@pytest.mark.parametrize(
    ("criteria", "event", "notified"),
    [
        ({}, {}, 1),
        ({"mobilityStatus": [2, 3]}, {}, 0),
        ({"mobilityStatus": [2, 3]}, {"mobilityStatus": 3}, 1),
        ({"appInstanceId": "app-a"}, {}, 1),
        ({"appInstanceId": "app-z"}, {}, 0),
        ({"appInstanceId": "app-z"}, {"appInstanceId": "app-z"}, 1),
        ({"appInstanceId": "app-a"}, {"associateId": ["another"]}, 0),
        ({"associateId": [DEVICE]}, {}, 1),
        ({"associateId": ["another"]}, {}, 0),
        ({"appInstanceId": "app-a", "associateId": [DEVICE], "mobilityStatus": [1]}, {}, 1),
    ],
)
@pytest.mark.behaviour("OTH-4.07")
async def test_filter_criteria(
    mep: Mep, subscriber: Subscriber, criteria: dict[str, Any], event: dict[str, Any], notified: int
) -> None:
    await mep.post(SERVICES, registration("app-a"))
    await mep.post(SUBSCRIPTIONS, procedure(subscriber.url, filterCriteria=criteria))
    answer = await mep.post(EVENTS, {"associateId": [DEVICE], "mobilityStatus": 1, **event})
    assert answer.body == {"notifications": notified}


@pytest.mark.parametrize(
    "body", [{}, {"associateId": [], "mobilityStatus": 1}, {"associateId": ["a"], "mobilityStatus": 4}]
)
async def test_wrong_event_is_400(mep: Mep, body: dict[str, Any]) -> None:
    assert (await mep.post(EVENTS, body)).status == 400


@pytest.mark.behaviour("OTH-4.08")
async def test_neighbouring_instances(mep: Mep, subscriber: Subscriber) -> None:
    path = f"{ROOT}/queries/adjacent_app_instances"
    link = [{"ipAddresses": [{"host": "192.0.2.2", "port": 80}]}]
    instances = [
        {"appInstanceId": "n1", "appDId": "d", "appInstanceCommLink": link, "mecHostInformation": {"hostId": "h2"}},
        {"appInstanceId": "n2", "appDId": "e", "appInstanceCommLink": link},
    ]
    assert (await mep.get(path)).body == []
    adjacent = {**procedure(subscriber.url), "subscriptionType": "AdjacentAppInfoSubscription"}
    await mep.post(SUBSCRIPTIONS, adjacent)
    set_ = "/mep/v1/adjacent_app_instances"
    assert (await mep.put(set_, instances)).body == {"notifications": 1}
    assert (await mep.put(set_, instances)).body == {"notifications": 0}
    assert (await mep.put(set_, [{"appInstanceId": "x"}])).status == 400
    assert (await mep.get(path)).body == instances
    assert (await mep.get(f"{path}?filter=(eq,appDId,e)")).body == [instances[1]]
    assert (await mep.get(f"{path}?fields=appInstanceId")).body == [{"appInstanceId": "n1"}, {"appInstanceId": "n2"}]
    notification = (await subscriber.wait_for(1))[0]
    assert notification["notificationType"] == "AdjacentAppInfoNotification"
    assert notification["adjacentAppInfo"] == instances
