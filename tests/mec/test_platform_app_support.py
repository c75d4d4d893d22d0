"""Application support API of the embedded platform: every row and rule of MEC 011 clause 7, under v1 and v2."""

from typing import Any

import pytest

from tests.mec.conftest import CATEGORY, Clock, Mep, StartMep, Subscriber, service_info

ENDPOINT = {"uris": ["http://192.0.2.1/"]}
DEPENDENCY = [{"serName": "location", "version": "1"}]
RULE = {
    "trafficRuleId": "t1",
    "filterType": "FLOW",
    "priority": 0,
    "trafficFilter": [{"dstAddress": ["192.0.2.0/24"]}],
    "action": "DROP",
}
INTERFACE = {"interfaceType": "IP", "dstIpAddress": "192.0.2.9"}
DNS = {"dnsRuleId": "d1", "domainName": "a.example", "ipAddressType": "IP_V4", "ipAddress": "192.0.2.1"}


@pytest.fixture(params=["v1", "v2"])
def root(request: pytest.FixtureRequest) -> str:
    return f"/mec_app_support/{request.param}"


ROOT = "/mec_app_support/v2"


async def managed(mep: Mep, **descriptor: Any) -> str:
    answer = await mep.post("/mep/v1/app_instances", {"appName": "managed", "appProvider": "us", **descriptor})
    assert answer.status == 201, answer.body
    return str(answer.body["appInstanceId"])


# --- registrations -----------------------------------------------------------------------------------


@pytest.mark.behaviour("M11-1.01", "M11-2.01", "M11-2.03", "M11-2.04", "M11-2.05")
async def test_registration_life(mep: Mep, root: str) -> None:
    info = {"appName": "cse", "appCategory": CATEGORY, "endpoint": ENDPOINT, "appServiceOptional": DEPENDENCY}
    created = await mep.post(f"{root}/registrations", info)
    assert created.status == 201
    app_id = created.body["appInstanceId"]
    assert created.headers["Location"] == f"{mep.url}{root}/registrations/{app_id}"
    assert created.body == {**info, "appInstanceId": app_id, "isInsByMec": False}
    own = created.headers["Location"]
    read = await mep.get(own)
    assert (read.status, read.body) == (200, created.body)
    changed = await mep.put(own, {"appName": "cse", "endpoint": {"fqdn": ["a.example"]}})
    assert (changed.status, changed.body) == (204, b"")
    assert (await mep.get(own)).body["endpoint"] == {"fqdn": ["a.example"]}
    gone = await mep.delete(own)
    assert (gone.status, gone.body) == (204, b"")
    assert (await mep.get(own)).status == 404


@pytest.mark.behaviour("M11-2.02")
async def test_given_ids_are_echoed(mep: Mep, root: str) -> None:
    info = {"appName": "x", "appInstanceId": "my-id", "appDId": "my-appd", "isInsByMec": True}
    answer = await mep.post(f"{root}/registrations", info)
    assert (answer.status, answer.body) == (201, info)


@pytest.mark.behaviour("M11-2.06")
async def test_unknown_registration_is_404_on_each_method(mep: Mep, root: str) -> None:
    body = {"appName": "x", "endpoint": ENDPOINT}
    for method, sent in (("GET", None), ("PUT", body), ("DELETE", None)):
        answer = await mep.call(method, f"{root}/registrations/nobody", sent)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("info", "hint"),
    [
        ({"endpoint": ENDPOINT}, "appName"),
        ({"appName": "x"}, "endpoint"),
        ({"appName": "x", "isInsByMec": False}, "endpoint"),
        ({"appName": "x", "isInsByMec": True, "appDId": "d"}, "appInstanceId"),
        ({"appName": "x", "isInsByMec": True, "appInstanceId": "i"}, "appDId"),
        ({"appName": "x", "endpoint": ENDPOINT, "appDId": "d", "appServiceRequired": DEPENDENCY}, "appServiceRequired"),
        ({"appName": "x", "endpoint": ENDPOINT, "appDId": "d", "appServiceOptional": DEPENDENCY}, "appServiceOptional"),
        (
            {
                "appName": "x",
                "endpoint": ENDPOINT,
                "appDId": "d",
                "appFeatureRequired": [{"featureName": "f", "version": "1"}],
            },
            "appFeatureRequired",
        ),
        (
            {
                "appName": "x",
                "isInsByMec": True,
                "appDId": "d",
                "appInstanceId": "i",
                "appFeatureOptional": [{"featureName": "f", "version": "1"}],
            },
            "appFeatureOptional",
        ),
        ({"appName": "x", "endpoint": {**ENDPOINT, "fqdn": ["a"]}}, "exactly one"),
        ({"appName": "x", "endpoint": ENDPOINT, "appInstanceId": "a/b"}, "appInstanceId"),
        (
            {"appName": "x", "endpoint": ENDPOINT, "appServiceRequired": [{"serName": "s"}]},
            "appServiceRequired[0].version",
        ),
    ],
)
@pytest.mark.behaviour("M11-5.04", "M11-5.05")
async def test_wrong_registration_is_400(mep: Mep, root: str, info: dict[str, Any], hint: str) -> None:
    answer = await mep.post(f"{root}/registrations", info)
    assert answer.status == 400
    assert hint in answer.detail
    own = f"{root}/registrations/{await mep.app()}"
    assert (await mep.put(own, info)).status == 400


@pytest.mark.behaviour("M11-9.01")
async def test_wrapped_registration_is_taken(mep: Mep) -> None:
    answer = await mep.post(f"{ROOT}/registrations", {"AppInfo": {"appName": "x", "endpoint": ENDPOINT}})
    assert (answer.status, answer.body["appName"]) == (201, "x")


@pytest.mark.behaviour("M11-8.10")
async def test_put_with_another_id_is_400_and_an_old_etag_412(mep: Mep) -> None:
    own = f"{ROOT}/registrations/{await mep.app()}"
    body = {"appName": "x", "endpoint": ENDPOINT}
    assert (await mep.put(own, {**body, "appInstanceId": "other"})).status == 400
    assert (await mep.put(own, body, headers={"If-Match": '"old"'})).status == 412
    tag = (await mep.get(own)).headers["ETag"]
    assert (await mep.put(own, body, headers={"If-Match": tag})).status == 204


@pytest.mark.behaviour("M11-2.26")
async def test_newest_registration_wins_and_the_older_ones_services_go(mep: Mep, subscriber: Subscriber) -> None:
    watcher = await mep.app()
    await mep.post(
        f"/mec_service_mgmt/v1/applications/{watcher}/subscriptions",
        {"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": subscriber.url},
    )
    await mep.app(appInstanceId="ae-1")
    info = await mep.service("ae-1")
    again = await mep.post(
        f"{ROOT}/registrations", {"appName": "new side", "appInstanceId": "ae-1", "endpoint": ENDPOINT}
    )
    assert again.status == 201
    assert (await mep.get(f"{ROOT}/registrations/ae-1")).body["appName"] == "new side"
    assert (await mep.get(f"/mec_service_mgmt/v1/services/{info['serInstanceId']}")).status == 404
    received = await subscriber.wait_for(2)
    assert [entry["serviceReferences"][0]["changeType"] for entry in received] == ["ADDED", "REMOVED"]
    listed = (await mep.get("/mep/v1/app_instances")).body
    assert [entry["appInstanceId"] for entry in listed] == [watcher, "ae-1"]


@pytest.mark.behaviour("M11-2.05", "M11-7.05")
async def test_deregistration_takes_services_and_subscriptions_along(mep: Mep, subscriber: Subscriber) -> None:
    watcher, app_id = await mep.app(), await mep.app()
    body = {"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": subscriber.url}
    await mep.post(f"/mec_service_mgmt/v1/applications/{watcher}/subscriptions", body)
    own = (await mep.post(f"/mec_service_mgmt/v1/applications/{app_id}/subscriptions", body)).headers["Location"]
    for name in ("a", "b"):
        await mep.service(app_id, serName=name)
    assert (await mep.delete(f"{ROOT}/registrations/{app_id}")).status == 204
    assert (await mep.get("/mec_service_mgmt/v1/services")).body == []
    assert (await mep.get(own)).status == 404
    while not subscriber.received or len(subscriber.received[-1]["serviceReferences"]) != 2:
        await subscriber.wait_for(len(subscriber.received) + 1)
    removed = subscriber.received[-1]["serviceReferences"]
    assert [(entry["serName"], entry["changeType"]) for entry in removed] == [("a", "REMOVED"), ("b", "REMOVED")]


@pytest.mark.behaviour("M11-2.27")
async def test_registration_has_to_agree_with_the_descriptor(mep: Mep) -> None:
    app_id = await managed(mep, appDId="appd-7")
    info = {"appName": "managed", "appDId": "appd-7", "appInstanceId": app_id, "isInsByMec": True}
    assert (await mep.post(f"{ROOT}/registrations", {**info, "appName": "other"})).status == 400
    assert (await mep.post(f"{ROOT}/registrations", {**info, "appDId": "other"})).status == 400
    assert (await mep.post(f"{ROOT}/registrations", {**info, "appProvider": "other"})).status == 400
    assert (await mep.post(f"{ROOT}/registrations", info)).status == 201
    assert (await mep.delete(f"{ROOT}/registrations/{app_id}")).status == 204
    assert (await mep.get(f"/mep/v1/app_instances/{app_id}")).body["registered"] is False


# --- readiness ---------------------------------------------------------------------------------------


@pytest.mark.behaviour("M11-2.07", "M11-5.01")
async def test_confirm_ready(mep: Mep, root: str) -> None:
    app_id = await managed(mep)
    path = f"{root}/applications/{app_id}/confirm_ready"
    assert (await mep.get(f"/mep/v1/app_instances/{app_id}")).body["ready"] is False
    answer = await mep.post(path, {"indication": "READY"})
    assert (answer.status, answer.body) == (204, b"")
    assert (await mep.get(f"/mep/v1/app_instances/{app_id}")).body["ready"] is True
    assert (await mep.post(path, {"AppReadyConfirmation": {"indication": "READY"}})).status == 204
    assert (await mep.post(path, {"indication": "STEADY"})).status == 400
    assert (await mep.post(path, {})).status == 400
    assert (await mep.post(f"{root}/applications/nobody/confirm_ready", {"indication": "READY"})).status == 404


@pytest.mark.behaviour("M11-2.08")
async def test_confirm_ready_before_configuration_is_409(mep: Mep) -> None:
    app_id = await managed(mep, configured=False)
    path = f"{ROOT}/applications/{app_id}/confirm_ready"
    assert (await mep.post(path, {"indication": "READY"})).status == 409
    assert (await mep.post(f"/mep/v1/app_instances/{app_id}/configure")).status == 204
    assert (await mep.post(path, {"indication": "READY"})).status == 204


@pytest.mark.behaviour("M11-2.08")
async def test_confirm_ready_of_a_terminated_instance_is_409(mep: Mep) -> None:
    app_id = await managed(mep)
    await mep.post(f"/mep/v1/app_instances/{app_id}/terminate", {"gracefulTimeoutS": 0})
    answer = await mep.post(f"{ROOT}/applications/{app_id}/confirm_ready", {"indication": "READY"})
    assert answer.status == 409


@pytest.mark.behaviour("M11-9.05")
async def test_sandbox_profile_refuses_app_scoped_calls_before_confirm_ready(start_mep: StartMep) -> None:
    async with start_mep(require_ready=True) as mep:
        app_id = await managed(mep)
        path = f"/mec_service_mgmt/v1/applications/{app_id}/services"
        answer = await mep.post(path, service_info())
        assert answer.status == 403
        assert "not ready" in answer.detail
        assert (await mep.get(f"{ROOT}/applications/{app_id}/traffic_rules")).status == 403
        await mep.post(f"{ROOT}/applications/{app_id}/confirm_ready", {"indication": "READY"})
        assert (await mep.post(path, service_info())).status == 201


@pytest.mark.behaviour("M11-2.09", "M11-8.12")
async def test_too_many_requests_are_429(start_mep: StartMep, clock: Clock) -> None:
    async with start_mep(clock, requests_per_s=2.0, request_burst=3) as mep:
        app_id = await mep.app()  # two requests
        path = f"{ROOT}/applications/{app_id}/confirm_ready"
        assert (await mep.post(path, {"indication": "READY"})).status == 204
        refused = await mep.post(path, {"indication": "READY"})
        assert (refused.status, refused.body["status"]) == (429, 429)
        assert int(refused.headers["Retry-After"]) >= 1
        clock.now += 0.5
        assert (await mep.post(path, {"indication": "READY"})).status == 204


# --- termination -------------------------------------------------------------------------------------


def termination_subscription(app_id: str, callback: str) -> dict[str, Any]:
    return {
        "subscriptionType": "AppTerminationNotificationSubscription",
        "callbackReference": callback,
        "appInstanceId": app_id,
    }


@pytest.mark.behaviour("M11-1.01", "M11-2.12", "M11-2.13", "M11-2.14", "M11-4.13")
async def test_subscription_life(mep: Mep, root: str, subscriber: Subscriber) -> None:
    app_id = await mep.app()
    path = f"{root}/applications/{app_id}/subscriptions"
    body = termination_subscription(app_id, subscriber.url)
    created = await mep.post(path, body)
    assert created.status == 201
    href = created.headers["Location"]
    assert href.startswith(f"{mep.url}{path}/")
    assert created.body == {**body, "_links": {"self": {"href": href}}}
    assert (await mep.get(href)).body == created.body
    listed = await mep.get(path)
    assert listed.body == {
        "_links": {
            "self": {"href": mep.url + path},
            "subscriptions": [{"href": href, "subscriptionType": "AppTerminationNotificationSubscription"}],
        }
    }
    assert (await mep.put(href, body)).status == 405
    assert (await mep.delete(href)).status == 204
    assert (await mep.get(href)).status == 404
    assert (await mep.delete(href)).status == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"appInstanceId": "another"},
        {"appInstanceId": None},
        {"callbackReference": None},
        {"callbackReference": "mailto:a@b"},
        {"subscriptionType": "SerAvailabilityNotificationSubscription"},
    ],
)
@pytest.mark.behaviour("M11-2.15")
async def test_wrong_subscription_is_400(mep: Mep, root: str, changes: dict[str, Any]) -> None:
    app_id = await mep.app()
    body = {**termination_subscription(app_id, "http://127.0.0.1:9/"), **changes}
    sent = {name: value for name, value in body.items() if value is not None}
    assert (await mep.post(f"{root}/applications/{app_id}/subscriptions", sent)).status == 400


@pytest.mark.parametrize("action", ["STOPPING", "TERMINATING"])
@pytest.mark.behaviour("M11-2.10", "M11-2.11", "M11-2.23", "M11-5.02", "M11-5.03")
async def test_graceful_termination(mep: Mep, root: str, subscriber: Subscriber, action: str) -> None:
    app_id = await managed(mep, appTrafficRule=[{**RULE, "state": "ACTIVE"}])
    subscription = await mep.post(
        f"{root}/applications/{app_id}/subscriptions", termination_subscription(app_id, subscriber.url)
    )
    info = await mep.service(app_id)
    asked = await mep.post(
        f"/mep/v1/app_instances/{app_id}/terminate", {"operationAction": action, "gracefulTimeoutS": 60}
    )
    assert asked.status == 202
    notification = (await subscriber.wait_for(1))[0]
    confirm = f"{mep.url}{root}/applications/{app_id}/confirm_termination"
    assert notification == {
        "notificationType": "AppTerminationNotification",
        "operationAction": action,
        "maxGracefulTimeout": 60,
        "_links": {
            "subscription": {"href": subscription.headers["Location"]},
            "confirmTermination": {"href": confirm},
        },
    }
    assert (await mep.get(f"/mec_service_mgmt/v1/services/{info['serInstanceId']}")).status == 200
    wrong = "STOPPING" if action == "TERMINATING" else "TERMINATING"
    assert (await mep.post(confirm, {"operationAction": wrong})).status == 409
    confirmed = await mep.post(confirm, {"operationAction": action})
    assert (confirmed.status, confirmed.body) == (204, b"")
    assert (await mep.get(f"/mec_service_mgmt/v1/services/{info['serInstanceId']}")).status == 404
    state = (await mep.get(f"/mep/v1/app_instances/{app_id}")).body
    assert state["operationalState"] == "STOPPED"
    assert state["instantiationState"] == ("INSTANTIATED" if action == "STOPPING" else "NOT_INSTANTIATED")
    assert mep.platform.registry.apps.find(app_id)["trafficRules"][0]["state"] == "INACTIVE"
    assert (await mep.post(confirm, {"operationAction": action})).status == 409


@pytest.mark.behaviour("M11-2.11")
async def test_confirm_termination_without_one_is_409_and_wrong_ones_400_404(mep: Mep, root: str) -> None:
    app_id = await mep.app()
    path = f"{root}/applications/{app_id}/confirm_termination"
    assert (await mep.post(path, {"operationAction": "TERMINATING"})).status == 409
    assert (await mep.post(path, {"operationAction": "RESTING"})).status == 400
    assert (await mep.post(path, {})).status == 400
    nobody = f"{root}/applications/nobody/confirm_termination"
    assert (await mep.post(nobody, {"operationAction": "TERMINATING"})).status == 404


@pytest.mark.behaviour("M11-5.02")
async def test_the_misprint_of_the_standard_is_understood(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await managed(mep)
    await mep.post(f"{ROOT}/applications/{app_id}/subscriptions", termination_subscription(app_id, subscriber.url))
    await mep.post(f"/mep/v1/app_instances/{app_id}/terminate", {"operationAction": "STOPPING"})
    path = f"{ROOT}/applications/{app_id}/confirm_termination"
    assert (await mep.post(path, {"operationAction": "STOPPPING"})).status == 204


@pytest.mark.behaviour("M11-2.24")
async def test_when_nobody_confirms_the_platform_proceeds(
    start_mep: StartMep, clock: Clock, subscriber: Subscriber
) -> None:
    async with start_mep(clock) as mep:
        app_id = await managed(mep)
        await mep.post(f"{ROOT}/applications/{app_id}/subscriptions", termination_subscription(app_id, subscriber.url))
        info = await mep.service(app_id)
        await mep.post(f"/mep/v1/app_instances/{app_id}/terminate", {"gracefulTimeoutS": 10})
        clock.now += 9.9
        await mep.platform.tick()
        own = f"/mec_service_mgmt/v1/services/{info['serInstanceId']}"
        assert (await mep.get(own)).status == 200
        assert (await mep.get(f"/mep/v1/app_instances/{app_id}")).body["termination"]["remainingS"] == pytest.approx(
            0.1
        )
        clock.now += 0.2
        await mep.platform.tick()
        assert (await mep.get(own)).status == 404
        assert (await mep.get(f"/mep/v1/app_instances/{app_id}")).body["instantiationState"] == "NOT_INSTANTIATED"


@pytest.mark.behaviour("M11-2.24")
async def test_the_running_platform_ends_a_termination_by_itself(mep: Mep, subscriber: Subscriber) -> None:
    watcher, app_id = await mep.app(), await managed(mep)
    await mep.post(
        f"{ROOT}/applications/{app_id}/subscriptions", termination_subscription(app_id, "http://127.0.0.1:9/")
    )
    await mep.service(app_id)
    await mep.post(
        f"/mec_service_mgmt/v1/applications/{watcher}/subscriptions",
        {"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": subscriber.url},
    )
    await mep.post(f"/mep/v1/app_instances/{app_id}/terminate", {"gracefulTimeoutS": 1})
    received = await subscriber.wait_for(1)
    assert received[0]["serviceReferences"][0]["changeType"] == "REMOVED"


@pytest.mark.behaviour("M11-2.25")
async def test_immediate_termination_asks_nobody(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await mep.app()
    await mep.post(f"{ROOT}/applications/{app_id}/subscriptions", termination_subscription(app_id, subscriber.url))
    await mep.service(app_id)
    assert (await mep.post(f"/mep/v1/app_instances/{app_id}/terminate", {"gracefulTimeoutS": 0})).status == 202
    assert (await mep.get("/mec_service_mgmt/v1/services")).body == []
    assert (await mep.get(f"/mep/v1/app_instances/{app_id}")).status == 404
    assert subscriber.received == []


@pytest.mark.behaviour("M11-2.08")
async def test_a_second_termination_is_409(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await managed(mep)
    await mep.post(f"{ROOT}/applications/{app_id}/subscriptions", termination_subscription(app_id, subscriber.url))
    path = f"/mep/v1/app_instances/{app_id}/terminate"
    assert (await mep.post(path, {"gracefulTimeoutS": 60})).status == 202
    assert (await mep.post(path, {"gracefulTimeoutS": 60})).status == 409
    ready = await mep.post(f"{ROOT}/applications/{app_id}/confirm_ready", {"indication": "READY"})
    assert ready.status == 409


# --- rules -------------------------------------------------------------------------------------------


@pytest.mark.behaviour("M11-2.16", "M11-2.17", "M11-2.20")
async def test_traffic_rules(mep: Mep, root: str) -> None:
    app_id = await managed(mep, appTrafficRule=[RULE, {**RULE, "trafficRuleId": "t2", "state": "ACTIVE"}])
    path = f"{root}/applications/{app_id}/traffic_rules"
    listed = await mep.get(path)
    assert listed.status == 200
    assert [(rule["trafficRuleId"], rule["state"]) for rule in listed.body] == [("t1", "INACTIVE"), ("t2", "ACTIVE")]
    read = await mep.get(f"{path}/t1")
    assert (read.status, read.body) == (200, {**RULE, "state": "INACTIVE"})
    active = {**RULE, "state": "ACTIVE"}
    changed = await mep.put(f"{path}/t1", active, headers={"If-Match": read.headers["ETag"]})
    assert (changed.status, changed.body) == (200, active)
    assert (await mep.get(f"{path}/t1")).body == active
    assert (await mep.put(f"{path}/t1", active, headers={"If-Match": read.headers["ETag"]})).status == 412
    assert (await mep.put(f"{path}/t1", {"TrafficRule": active})).status == 200
    assert (await mep.get(f"{path}/t9")).status == 404
    assert (await mep.put(f"{path}/t9", {**active, "trafficRuleId": "t9"})).status == 404
    assert (await mep.put(f"{path}/t1", {**active, "trafficRuleId": "t2"})).status == 400
    assert (await mep.post(path, active)).status == 405
    assert (await mep.delete(f"{path}/t1")).status == 405


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"priority": 256}, "priority"),
        ({"priority": -1}, "priority"),
        ({"filterType": "BOTH"}, "FLOW"),
        ({"trafficFilter": []}, "trafficFilter"),
        ({"action": "EAT"}, "action"),
        ({"state": "IDLE"}, "state"),
        ({"dstInterface": [INTERFACE]}, "send 0"),
        ({"action": "PASSTHROUGH"}, "send 1"),
        ({"action": "FORWARD_ENCAPSULATED", "dstInterface": [INTERFACE, INTERFACE]}, "send 1"),
        ({"action": "DUPLICATE_DECAPSULATED", "dstInterface": [INTERFACE]}, "send 2"),
        ({"action": "PASSTHROUGH", "dstInterface": [{"interfaceType": "AIR"}]}, "interfaceType"),
    ],
)
@pytest.mark.behaviour("M11-5.06")
async def test_wrong_traffic_rule_is_400(mep: Mep, changes: dict[str, Any], hint: str) -> None:
    app_id = await managed(mep, appTrafficRule=[RULE])
    sent = {**RULE, "state": "ACTIVE", **changes}
    answer = await mep.put(f"{ROOT}/applications/{app_id}/traffic_rules/t1", sent)
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("M11-5.06", "M11-9.06")
async def test_destination_interfaces(mep: Mep) -> None:
    app_id = await managed(mep, appTrafficRule=[RULE])
    path = f"{ROOT}/applications/{app_id}/traffic_rules/t1"
    forward = {**RULE, "state": "ACTIVE", "action": "FORWARD_DECAPSULATED", "dstInterface": INTERFACE}
    assert (await mep.put(path, forward)).body["dstInterface"] == [INTERFACE]
    twice = {**forward, "action": "DUPLICATE_ENCAPSULATED", "dstInterface": [INTERFACE, INTERFACE]}
    assert (await mep.put(path, twice)).body["dstInterface"] == [INTERFACE, INTERFACE]


@pytest.mark.behaviour("M11-2.18", "M11-2.19", "M11-2.20", "M11-5.07")
async def test_dns_rules(mep: Mep, root: str) -> None:
    app_id = await managed(mep, appDNSRule=[{**DNS, "ttl": 60}])
    path = f"{root}/applications/{app_id}/dns_rules"
    assert (await mep.get(path)).body == [{**DNS, "ttl": 60, "state": "INACTIVE"}]
    read = await mep.get(f"{path}/d1")
    active = {**DNS, "state": "ACTIVE"}
    assert (await mep.put(f"{path}/d1", active, headers={"If-Match": '"old"'})).status == 412
    changed = await mep.put(f"{path}/d1", active, headers={"If-Match": read.headers["ETag"]})
    assert (changed.status, changed.body) == (200, active)
    assert (await mep.get(path)).body == [active]
    assert (await mep.get(f"{path}/d9")).status == 404
    assert (await mep.put(f"{path}/d9", {**active, "dnsRuleId": "d9"})).status == 404
    assert (await mep.put(f"{path}/d1", {**active, "dnsRuleId": "d2"})).status == 400
    assert (await mep.put(f"{path}/d1", {**active, "ipAddressType": "IP_V9"})).status == 400
    assert (await mep.put(f"{path}/d1", {**active, "ttl": -1})).status == 400
    assert (await mep.delete(f"{path}/d1")).status == 405


@pytest.mark.behaviour("M11-2.16", "M11-2.18")
async def test_rules_of_an_instance_without_any_and_of_nobody(mep: Mep, root: str) -> None:
    app_id = await mep.app()
    for kind in ("traffic_rules", "dns_rules"):
        assert (await mep.get(f"{root}/applications/{app_id}/{kind}")).body == []
        assert (await mep.get(f"{root}/applications/nobody/{kind}")).status == 404
        assert (await mep.get(f"{root}/applications/{app_id}/{kind}?x=1")).status == 400


# --- timing ------------------------------------------------------------------------------------------


@pytest.mark.behaviour("M11-2.21", "M11-2.22", "M11-5.08", "M11-5.09")
async def test_timing(start_mep: StartMep, root: str) -> None:
    import time

    from mec_adapter.platform.config import NtpServer, PtpMaster

    clocks = {"ntp_servers": (NtpServer("ntp.example"),), "ptp_masters": (PtpMaster("192.0.2.5"),)}
    async with start_mep(**clocks, time_traceable=True) as mep:
        caps = await mep.get(f"{root}/timing/timing_caps")
        now = await mep.get(f"{root}/timing/current_time")
        assert (await mep.get(f"{root}/timing/current_time?x=1")).status == 400
    assert caps.status == now.status == 200
    assert caps.body["ntpServers"] == [
        {
            "ntpServerAddrType": "DNS_NAME",
            "ntpServerAddr": "ntp.example",
            "minPollingInterval": 6,
            "maxPollingInterval": 10,
            "localPriority": 0,
            "authenticationOption": "NONE",
        }
    ]
    assert caps.body["ptpMasters"] == [
        {"ptpMasterIpAddress": "192.0.2.5", "ptpMasterLocalPriority": 0, "delayReqMaxRate": 1}
    ]
    assert abs(caps.body["timeStamp"]["seconds"] - time.time()) < 10
    assert abs(now.body["seconds"] - time.time()) < 10
    assert 0 <= now.body["nanoSeconds"] < 1_000_000_000
    assert now.body["timeSourceStatus"] == "TRACEABLE"


@pytest.mark.behaviour("M11-2.22", "M11-5.08")
async def test_clock_that_is_not_locked_says_so(mep: Mep) -> None:
    assert (await mep.get(f"{ROOT}/timing/current_time")).body["timeSourceStatus"] == "NONTRACEABLE"
    assert "ntpServers" not in (await mep.get(f"{ROOT}/timing/timing_caps")).body
