"""Federation enablement (MEC 040) and the lifecycle façade (MEC 010-2) of the embedded platform."""

import socket
from typing import Any

import pytest
from aiohttp import web

from mec_adapter.platform.config import NotificationPolicy
from tests.mec.conftest import Answer, Clock, Mep, StartMep, Subscriber
from tests.mec.test_platform_security import OPERATOR, SECURE

SYSTEMS = "/fed_enablement/v1/fed_resources/system_info"
APPS = "/app_lcm/v1/app_instances"


@pytest.mark.behaviour("OTH-2.01", "OTH-2.02", "OTH-2.03")
async def test_system_life(start_mep: StartMep) -> None:
    async with start_mep(platform_name="site-1", provider="us") as mep:
        own = (await mep.get(SYSTEMS)).body
        assert [(system["systemName"], system["systemProvider"]) for system in own] == [("site-1", "us")]
        created = await mep.post(SYSTEMS, {"systemName": "site-2", "systemProvider": "them"})
        assert created.status == 201
        system_id = created.body["systemId"]
        href = created.headers["Location"]
        assert href == f"{mep.url}{SYSTEMS}/{system_id}"
        assert (await mep.get(href)).body == created.body
        changed = await mep.patch(href, {"systemName": "site-3"})
        assert (changed.status, changed.body) == (200, {**created.body, "systemName": "site-3"})
        assert (await mep.patch(href, {"endpoint": {"uris": ["http://a/"]}})).status == 200
        for wrong in ({}, {"endpoint": {}}, {"systemProvider": "x"}):
            assert (await mep.patch(href, wrong)).status == 400
        assert (await mep.delete(href)).status == 204
        for method, body in (("GET", None), ("PATCH", {"systemName": "x"}), ("DELETE", None)):
            assert (await mep.call(method, href, body)).status == 404
        itself = f"{SYSTEMS}/{own[0]['systemId']}"
        assert (await mep.get(itself)).status == 200
        assert (await mep.delete(itself)).status == 403
        assert (await mep.patch(itself, {"systemName": "x"})).status == 403


@pytest.mark.behaviour("OTH-2.01")
async def test_query_of_systems(mep: Mep) -> None:
    ids = []
    for name, provider in (("a", "p"), ("b", "p"), ("c", "q")):
        answer = await mep.post(SYSTEMS, {"SystemInfo": {"systemName": name, "systemProvider": provider}})
        ids.append(answer.body["systemId"])

    async def names(query: str) -> list[str]:
        return [system["systemName"] for system in (await mep.get(f"{SYSTEMS}?{query}")).body]

    assert await names("systemProvider=p") == ["a", "b"]
    assert await names("systemName=a&systemName=c") == ["a", "c"]
    assert await names("systemName=a,c&systemProvider=q") == ["c"]
    assert await names(f"systemId={ids[1]}") == ["b"]
    assert await names("systemId=nothing") == []
    assert await names("systemprovider=q") == ["c"]  # as the published description spells it
    assert (await mep.get(f"{SYSTEMS}?name=a")).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {"systemName": "x", "systemProvider": "y", "systemId": "z"},
        {},
        {"systemName": "x"},
        {"systemProvider": "x"},
        {"systemName": "", "systemProvider": "x"},
    ],
)
@pytest.mark.behaviour("OTH-2.02")
async def test_wrong_system_is_400(mep: Mep, body: dict[str, Any]) -> None:
    assert (await mep.post(SYSTEMS, body)).status == 400


@pytest.mark.behaviour("OTH-3.01", "OTH-3.02", "OTH-3.03")
async def test_app_instances_are_seen_by_the_management_plane(mep: Mep) -> None:
    descriptor = {"appName": "m", "appProvider": "us", "appDId": "d", "appSoftVersion": "2", "appDescription": "text"}
    made = (await mep.post("/mep/v1/app_instances", {**descriptor, "appInstanceId": "app-1"})).body
    await mep.app(appInstanceId="app-2", appName="cse")
    listed = await mep.get(APPS)
    assert listed.status == 200
    assert [entry["id"] for entry in listed.body] == ["app-1", "app-2"]
    assert listed.body[0] == {
        "id": made["appInstanceId"],
        "appDId": "d",
        "appProvider": "us",
        "appName": "m",
        "appSoftVersion": "2",
        "appDVersion": "1.0",
        "appPkgId": "pkg-d",
        "appInstanceDescription": "text",
        "instantiationState": "INSTANTIATED",
        "instantiatedAppState": {"operationalState": "STARTED"},
        "_links": {"self": {"href": f"{mep.url}{APPS}/app-1"}},
    }
    assert (await mep.get(f"{APPS}/app-2")).body == listed.body[1]
    assert (await mep.get(f"{APPS}/nobody")).status == 404
    assert [entry["id"] for entry in (await mep.get(f"{APPS}?filter=(eq,appName,cse)")).body] == ["app-2"]
    assert (await mep.get(f"{APPS}?fields=id,instantiatedAppState/operationalState")).body[0] == {
        "id": "app-1",
        "instantiatedAppState": {"operationalState": "STARTED"},
    }
    assert "appName" not in (await mep.get(f"{APPS}?exclude_fields=appName")).body[0]
    await mep.post("/mep/v1/app_instances/app-1/terminate", {"gracefulTimeoutS": 0})
    gone = (await mep.get(f"{APPS}/app-1")).body
    assert gone["instantiationState"] == "NOT_INSTANTIATED"
    assert "instantiatedAppState" not in gone


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/app_instances", 501),
        ("DELETE", "/app_instances/app-1", 501),
        ("DELETE", "/app_instances/nobody", 404),
        ("POST", "/app_instances/app-1/instantiate", 501),
        ("POST", "/app_instances/app-1/terminate", 501),
        ("POST", "/app_instances/app-1/operate", 501),
        ("POST", "/app_instances/app-1/configure_platform_for_app", 501),
        ("POST", "/app_instances/nobody/terminate", 404),
        ("GET", "/app_lcm_op_occs", 501),
        ("GET", "/app_lcm_op_occs/x", 404),
        ("POST", "/app_lcm_op_occs/x/cancel", 404),
        ("POST", "/app_lcm_op_occs/x/fail", 404),
        ("POST", "/app_lcm_op_occs/x/retry", 404),
        ("PUT", "/app_instances/app-1", 405),
    ],
)
@pytest.mark.behaviour("OTH-3.05")
async def test_lifecycle_operations_are_refused_with_a_problem_that_says_where_to_go(
    mep: Mep, method: str, path: str, status: int
) -> None:
    await mep.app(appInstanceId="app-1")
    answer = await mep.call(method, f"/app_lcm/v1{path}")
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.body["status"] == status
    assert status != 501 or "/mep/v1" in answer.detail


# --- subscriptions to system updates, and services of other systems ---------------------------------------

SUBSCRIPTIONS = "/fed_enablement/v1/subscriptions"


def updates(callback: str, **attributes: Any) -> dict[str, Any]:
    return {"subscriptionType": "SystemUpdateNotificationSubscription", "callbackReference": callback, **attributes}


@pytest.mark.behaviour("OTH-2.04")
async def test_life_of_a_subscription_to_system_updates(mep: Mep, subscriber: Subscriber) -> None:
    created = await mep.post(SUBSCRIPTIONS, updates(subscriber.url, systemId=["s"]))
    assert created.status == 201
    own = created.headers["Location"]
    assert own.startswith(f"{mep.url}{SUBSCRIPTIONS}/")
    assert created.body == {**updates(subscriber.url, systemId=["s"]), "_links": {"self": {"href": own}}}
    read = await mep.get(own)
    assert (read.status, read.body) == (200, created.body)
    assert (await mep.get(SUBSCRIPTIONS)).body == {
        "_links": {
            "self": {"href": mep.url + SUBSCRIPTIONS},
            "subscriptions": [{"href": own, "subscriptionType": "SystemUpdateNotificationSubscription"}],
        }
    }
    assert (await mep.put(own, updates(subscriber.url), headers={"If-Match": '"old"'})).status == 412
    changed = await mep.put(own, updates(subscriber.url), headers={"If-Match": read.headers["ETag"]})
    assert (changed.status, "systemId" in changed.body) == (200, False)
    assert (await mep.delete(own)).status == 204
    for method, body in (("GET", None), ("PUT", updates(subscriber.url)), ("DELETE", None)):
        assert (await mep.call(method, own, body)).status == 404


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"subscriptionType": "Other"}, "SystemUpdateNotificationSubscription"),
        ({"callbackReference": None}, "callbackReference"),
        ({"callbackReference": "http://169.254.169.254/"}, "callbackReference"),
        ({"systemId": "one"}, "systemId"),
        ({"expiryDeadline": {"seconds": 1, "nanoSeconds": 0}}, "past"),
    ],
)
@pytest.mark.behaviour("OTH-2.04")
async def test_wrong_subscription_to_system_updates_is_400(mep: Mep, changes: dict[str, Any], hint: str) -> None:
    body = {**updates("http://127.0.0.1:9/"), **changes}
    answer = await mep.post(SUBSCRIPTIONS, {name: value for name, value in body.items() if value is not None})
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("OTH-2.05")
async def test_system_that_comes_or_changes_is_notified(mep: Mep, subscriber: Subscriber) -> None:
    every = (await mep.post(SUBSCRIPTIONS, updates(f"{subscriber.url}/every"))).headers["Location"]
    first = await mep.post(SYSTEMS, {"systemName": "a", "systemProvider": "p"})
    await subscriber.wait_for(1)
    one = await mep.post(SUBSCRIPTIONS, updates(f"{subscriber.url}/one", systemId=[first.body["systemId"]]))
    await mep.post(SYSTEMS, {"systemName": "b", "systemProvider": "p"})
    await subscriber.wait_for(2)
    await mep.patch(first.headers["Location"], {"systemName": "c"})
    received = await subscriber.wait_for(4)
    assert received[0] == {
        "notificationType": "SystemUpdateNotification",
        "updatedSystemInfo": [first.body],
        "_links": {"subscription": {"href": every}},
    }
    assert [entry["updatedSystemInfo"][0]["systemName"] for entry in received] == ["a", "b", "c", "c"]
    links = {entry["_links"]["subscription"]["href"] for entry in received[2:]}
    assert links == {every, one.headers["Location"]}


async def test_subscription_to_system_updates_expires(
    start_mep: StartMep, clock: Clock, subscriber: Subscriber
) -> None:
    async with start_mep(clock) as mep:
        deadline = {"seconds": int(clock.now) + 5, "nanoSeconds": 0}
        own = (await mep.post(SUBSCRIPTIONS, updates(subscriber.url, expiryDeadline=deadline))).headers["Location"]
        clock.now += 5
        await mep.platform.tick()
        assert (await mep.get(own)).status == 404
        assert (await subscriber.wait_for(1))[0]["notificationType"] == "ExpiryNotification"


async def services_of(mep: Mep, system_id: str, rest: str = "") -> Answer:
    return await mep.get(f"/fed_enablement/v1/fed_resources/systems/{system_id}/services{rest}")


@pytest.mark.behaviour("OTH-2.06")
async def test_services_of_another_system_are_asked_of_its_platform(mep: Mep, start_mep: StartMep) -> None:
    async with start_mep(mec_host_id="other", prefix="/site2") as other:
        app_id = await other.app()
        info = await other.service(app_id, serName="metering", scopeOfLocality="MEC_SYSTEM")
        await other.service(app_id, serName="video")
        system = (await mep.post(SYSTEMS, {"systemName": "site-2", "systemProvider": "them"})).body["systemId"]
        await mep.patch(f"{SYSTEMS}/{system}", {"endpoint": {"uris": [other.url]}})
        found = await services_of(mep, system)
        assert (found.status, [entry["serName"] for entry in found.body]) == (200, ["metering", "video"])
        assert found.body[0] == {**info, "isLocal": False}
        assert [entry["serName"] for entry in (await services_of(mep, system, "?ser_name=video")).body] == ["video"]
        assert (await services_of(mep, system, "?is_local=true")).body == []
        assert (await services_of(mep, system, "?name=video")).status == 400
        one = await services_of(mep, system, f"/{info['serInstanceId']}")
        assert (one.status, one.body) == (200, found.body[0])
        assert (await services_of(mep, system, "/nothing")).status == 404
        await other.delete(f"/mec_service_mgmt/v1/applications/{app_id}/services/{info['serInstanceId']}")
        assert [entry["serName"] for entry in (await services_of(mep, system)).body] == ["video"]
        own_id = (await mep.get(SYSTEMS)).body[0]["systemId"]
        await mep.service(await mep.app(), serName="mine")
        own = await services_of(mep, own_id)
        assert [(entry["serName"], entry["isLocal"]) for entry in own.body] == [("mine", True)]


@pytest.mark.behaviour("OTH-2.06")
async def test_system_that_cannot_be_asked_is_a_problem_that_says_why(start_mep: StartMep) -> None:
    async def answers(_: web.Request) -> web.Response:
        return web.json_response([{"serName": "half a service"}])

    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    app = web.Application()
    app.router.add_get("/wrong/mec_service_mgmt/v1/services", answers)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with start_mep(notifications=NotificationPolicy(timeout_s=1.0)) as mep:
        system = (await mep.post(SYSTEMS, {"systemName": "s", "systemProvider": "p"})).body["systemId"]
        assert (await services_of(mep, "nobody")).status == 404
        assert "endpoint" in (await services_of(mep, system)).detail
        for uri, status, hint in (
            ("http://127.0.0.1:9", 502, "no platform answers"),
            (f"{root}/none", 502, "404"),
            (f"{root}/wrong", 502, "no list of ServiceInfo"),
            (f"http://127.0.0.1:{silent.getsockname()[1]}", 504, "no answer in 1 s"),
            ("http://169.254.169.254", 502, "callbacks may not go"),
        ):
            await mep.patch(f"{SYSTEMS}/{system}", {"endpoint": {"uris": [uri]}})
            answer = await services_of(mep, system)
            assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json"), uri
            assert hint in answer.detail
    silent.close()
    await runner.cleanup()


async def test_peer_of_the_operator_keeps_its_own_id_and_hides_its_credentials(mep: Mep) -> None:
    peers = "/mep/v1/federation"
    credentials = {"clientId": "c", "clientSecret": "secret-of-c", "tokenEndpoint": "http://127.0.0.1:9/token"}
    body = {"systemName": "n", "systemProvider": "p", "apiRoot": "http://127.0.0.1:9/", "credentials": credentials}
    made = await mep.put(f"{peers}/site-2", body)
    assert made.status == 200
    shown = {"systemId": "site-2", "systemName": "n", "systemProvider": "p", "own": False}
    assert made.body == {**shown, "apiRoot": "http://127.0.0.1:9"}
    assert "secret-of-c" not in str((await mep.get(peers)).body)
    assert [entry["own"] for entry in (await mep.get(peers)).body] == [True, False]
    assert (await mep.get(f"{SYSTEMS}/site-2")).body["systemName"] == "n"
    own_id = (await mep.get(SYSTEMS)).body[0]["systemId"]
    assert (await mep.put(f"{peers}/{own_id}", body)).status == 409
    assert (await mep.put(f"{peers}/site-3", {**body, "apiRoot": "http://169.254.169.254/"})).status == 400
    assert (await mep.delete(f"{peers}/site-2")).status == 204
    assert (await mep.delete(f"{peers}/site-2")).status == 404


async def test_tokens_of_a_peer_are_fetched_once_and_again_when_refused(start_mep: StartMep, clock: Clock) -> None:
    async with start_mep(clock, **SECURE, mec_host_id="other", token_lifetime_s=60) as other, start_mep() as mep:
        made = (await other.post("/mep/v1/clients", {"name": "mep"}, headers=OPERATOR)).body
        credentials = {name: made[name] for name in ("clientId", "clientSecret", "tokenEndpoint")}
        peer = {"systemName": "n", "systemProvider": "p", "apiRoot": other.url, "credentials": credentials}
        assert (await mep.put("/mep/v1/federation/site-2", peer)).status == 200
        assert (await services_of(mep, "site-2")).status == 200
        clock.now += 61  # its token is over: the platform gets another one by itself
        assert (await services_of(mep, "site-2")).status == 200
        await other.delete(f"/mep/v1/clients/{made['clientId']}", headers=OPERATOR)
        refused = await services_of(mep, "site-2")
        assert (refused.status, "401" in refused.detail) == (502, True)
