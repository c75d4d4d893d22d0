"""Service management API of the embedded platform: every row and rule of MEC 011 clause 8."""

from typing import Any

import pytest

from tests.mec.conftest import CATEGORY, Clock, Mep, StartMep, Subscriber, service_info, transport

ROOT = "/mec_service_mgmt/v1"


def services_of(app_id: str) -> str:
    return f"{ROOT}/applications/{app_id}/services"


def subscriptions_of(app_id: str) -> str:
    return f"{ROOT}/applications/{app_id}/subscriptions"


@pytest.mark.behaviour("M11-3.10", "M11-4.01", "M11-4.08", "M11-8.10")
async def test_post_service_gives_201_location_and_the_assigned_id(mep: Mep) -> None:
    app_id = await mep.app()
    answer = await mep.post(services_of(app_id), service_info(serCategory=CATEGORY))
    assert answer.status == 201
    body = answer.body
    assert answer.headers["Location"] == body["_links"]["self"]["href"]
    assert answer.headers["Location"] == f"{mep.url}{services_of(app_id)}/{body['serInstanceId']}"
    assert body["scopeOfLocality"] == "MEC_HOST"
    assert body["consumedLocalOnly"] is True
    assert body["isLocal"] is True
    assert body["serCategory"] == CATEGORY
    assert "liveness" not in body["_links"]
    assert "livenessInterval" not in body
    again = await mep.get(answer.headers["Location"])
    assert (again.status, again.body, again.headers["ETag"]) == (200, body, answer.headers["ETag"])


@pytest.mark.parametrize("missing", ["serName", "version", "state", "serializer", "transportInfo"])
@pytest.mark.behaviour("M11-3.11", "M11-4.02")
async def test_post_service_without_a_mandatory_attribute_is_400(mep: Mep, missing: str) -> None:
    answer = await mep.post(services_of(await mep.app()), service_info(**{missing: None}))
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["status"] == 400
    assert missing in answer.detail


@pytest.mark.parametrize(
    ("attributes", "hint"),
    [
        ({"transportId": "platform-rest"}, "both transportId and transportInfo"),
        ({"transportInfo": None, "transportId": "nothing"}, "platform-rest"),
        ({"state": "SUSPENDED"}, "'ACTIVE' or 'INACTIVE'"),
        ({"state": "active"}, "state"),
        ({"scopeOfLocality": "CITY"}, "MEC_SYSTEM"),
        ({"consumedLocalOnly": "yes"}, "true or false"),
        ({"livenessInterval": -1}, "livenessInterval"),
        ({"livenessInterval": "30"}, "integer"),
        ({"livenessInterval": True}, "integer"),
        ({"livenessInterval": 1.5}, "integer"),
        ({"livenessInterval": 4_294_967_296}, "livenessInterval"),
        ({"serName": ""}, "serName"),
        ({"serCategory": {"href": "x", "id": "y", "name": "z"}}, "serCategory.version"),
        ({"serCategory": {**CATEGORY, "id": ""}}, "serCategory.id"),
        ({"transportInfo": transport(security=None)}, "transportInfo.security"),
        ({"transportInfo": transport(endpoint={})}, "exactly one of uris"),
        ({"transportInfo": transport(endpoint={"uris": ["http://a/"], "fqdn": ["a"]})}, "uris and fqdn"),
        ({"transportInfo": transport(endpoint={"addresses": [{"host": "a", "port": 0}]})}, "port"),
        ({"transportInfo": transport(security={"oAuth2Info": {"grantTypes": []}})}, "grantTypes"),
        (
            {"transportInfo": transport(security={"oAuth2Info": {"grantTypes": ["OAUTH2_CLIENT_CREDENTIALS"]}})},
            "tokenEndpoint",
        ),
    ],
)
@pytest.mark.behaviour("M11-3.11", "M11-4.02", "M11-4.03", "M11-4.04", "M11-4.05", "M11-4.07")
async def test_post_service_with_a_wrong_attribute_is_400_and_says_what_to_send(
    mep: Mep, attributes: dict[str, Any], hint: str
) -> None:
    answer = await mep.post(services_of(await mep.app()), service_info(**attributes))
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.parametrize(
    "endpoint",
    [
        {"uris": ["http://a/"]},
        {"fqdn": ["a.example"]},
        {"addresses": [{"host": "a", "port": 1883}]},
        {"alternative": {"bus": 7}},
    ],
)
@pytest.mark.behaviour("M11-4.03")
async def test_each_form_of_endpoint_is_kept(mep: Mep, endpoint: dict[str, Any]) -> None:
    info = await mep.service(await mep.app(), transportInfo=transport(type="MB_TOPIC_BASED", endpoint=endpoint))
    assert info["transportInfo"]["endpoint"] == endpoint


@pytest.mark.behaviour("M11-4.02")
async def test_transport_id_gives_the_transport_of_the_platform(mep: Mep) -> None:
    listed = (await mep.get(f"{ROOT}/transports")).body
    info = await mep.service(await mep.app(), transportInfo=None, transportId=listed[0]["id"])
    assert info["transportInfo"] == listed[0]
    assert "transportId" not in info


@pytest.mark.behaviour("M11-3.08")
async def test_transports_lists_rest_and_the_broker(start_mep: StartMep) -> None:
    from mec_adapter.platform.config import MqttTransport

    async with start_mep(mqtt=MqttTransport("broker.example", 1884)) as mep:
        answer = await mep.get(f"{ROOT}/transports")
    assert answer.status == 200
    assert [entry["type"] for entry in answer.body] == ["REST_HTTP", "MB_TOPIC_BASED"]
    assert answer.body[0]["endpoint"]["uris"] == [f"{mep.url}{ROOT}"]
    assert answer.body[1]["endpoint"] == {"addresses": [{"host": "broker.example", "port": 1884}]}


@pytest.mark.behaviour("M11-9.04")
async def test_scalar_grant_type_is_understood_as_a_list(mep: Mep) -> None:
    security = {"oAuth2Info": {"grantTypes": "OAUTH2_CLIENT_CREDENTIALS", "tokenEndpoint": "https://a/token"}}
    info = await mep.service(await mep.app(), transportInfo=transport(security=security))
    assert info["transportInfo"]["security"]["oAuth2Info"]["grantTypes"] == ["OAUTH2_CLIENT_CREDENTIALS"]


@pytest.mark.behaviour("M11-3.17")
async def test_unknown_application_instance_is_404(mep: Mep) -> None:
    for method, path, body in (
        ("GET", services_of("nobody"), None),
        ("POST", services_of("nobody"), service_info()),
        ("GET", f"{services_of('nobody')}/x", None),
        ("PUT", f"{services_of('nobody')}/x", service_info()),
        ("DELETE", f"{services_of('nobody')}/x", None),
        ("GET", subscriptions_of("nobody"), None),
        ("DELETE", f"{subscriptions_of('nobody')}/x", None),
    ):
        answer = await mep.call(method, path, body)
        assert answer.status == 404, (method, path)
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.behaviour("M11-3.07", "M11-3.12")
async def test_unknown_service_is_404_and_so_is_that_of_another_app(mep: Mep) -> None:
    mine, other = await mep.app(), await mep.app()
    service_id = (await mep.service(mine))["serInstanceId"]
    assert (await mep.get(f"{ROOT}/services/{service_id}")).status == 200
    assert (await mep.get(f"{ROOT}/services/nothing")).status == 404
    for method, body in (("GET", None), ("PUT", service_info()), ("DELETE", None)):
        assert (await mep.call(method, f"{services_of(other)}/{service_id}", body)).status == 404
        assert (await mep.call(method, f"{services_of(mine)}/nothing", body)).status == 404


async def _names(mep: Mep, query: str) -> list[str]:
    answer = await mep.get(f"{ROOT}/services{query}")
    assert answer.status == 200, answer.body
    return [entry["serName"] for entry in answer.body]


@pytest.mark.behaviour("M11-3.01", "M11-3.02", "M11-3.05")
async def test_query_parameters_choose_services(mep: Mep) -> None:
    app_id = await mep.app()
    first = await mep.service(app_id, serName="a", serCategory=CATEGORY)
    await mep.service(app_id, serName="b", scopeOfLocality="MEC_SYSTEM")
    await mep.service(app_id, serName="c", consumedLocalOnly=False, serCategory={**CATEGORY, "id": "other"})
    assert await _names(mep, "") == ["a", "b", "c"]
    assert await _names(mep, "?ser_name=a&ser_name=c") == ["a", "c"]
    assert await _names(mep, "?ser_name=a,b") == ["a", "b"]
    assert await _names(mep, f"?ser_instance_id={first['serInstanceId']}") == ["a"]
    assert await _names(mep, "?ser_category_id=oneM2M-CSE") == ["a"]
    assert await _names(mep, "?ser_category_id=IoT") == ["a", "c"]
    assert await _names(mep, "?scope_of_locality=MEC_SYSTEM") == ["b"]
    assert await _names(mep, "?consumed_local_only=false") == ["c"]
    assert await _names(mep, "?consumed_local_only=true&ser_name=b&ser_name=c") == ["b"]
    assert await _names(mep, "?is_local=true") == ["a", "b", "c"]
    assert await _names(mep, "?is_local=false") == []
    assert await _names(mep, "?ser_name=nobody") == []
    assert await _names(mep, "?ser_name=") == []


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("ser_name=a&ser_instance_id=b", "ser_instance_id and ser_name"),
        ("ser_name=a&ser_category_id=b", "exclude each other"),
        ("ser_instance_id=a&ser_category_id=b", "exclude each other"),
        ("ser_category_id=a&ser_category_id=b", "once only"),
        ("instance_id=a", "'instance_id' is unknown"),
        ("is_local=maybe", "true or false"),
        ("consumed_local_only=1", "true or false"),
        ("scope_of_locality=CITY", "NFVI_NODE"),
    ],
)
@pytest.mark.parametrize("of_app", [False, True])
@pytest.mark.behaviour("M11-3.03", "M11-3.04", "M11-3.09")
async def test_wrong_query_is_400(mep: Mep, query: str, hint: str, of_app: bool) -> None:
    path = services_of(await mep.app()) if of_app else f"{ROOT}/services"
    answer = await mep.get(f"{path}?{query}")
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("M11-3.09")
async def test_list_of_an_app_holds_only_its_services(mep: Mep) -> None:
    mine, other = await mep.app(), await mep.app()
    await mep.service(mine, serName="mine")
    await mep.service(other, serName="other")
    assert [entry["serName"] for entry in (await mep.get(services_of(mine))).body] == ["mine"]
    assert (await mep.get(f"{services_of(mine)}?ser_name=other")).body == []


@pytest.mark.behaviour("M11-3.13", "M11-9.03")
async def test_put_replaces_and_ignores_id_and_links(mep: Mep) -> None:
    app_id = await mep.app()
    info = await mep.service(app_id, serCategory=CATEGORY)
    path = f"{services_of(app_id)}/{info['serInstanceId']}"
    sent = {**service_info(version="2.0.0"), "serInstanceId": "another", "_links": {"self": {"href": "x"}}}
    answer = await mep.put(path, sent)
    assert answer.status == 200
    assert answer.body["serInstanceId"] == info["serInstanceId"]
    assert answer.body["version"] == "2.0.0"
    assert "serCategory" not in answer.body
    assert (await mep.get(path)).body == answer.body


@pytest.mark.behaviour("M11-9.03")
async def test_put_takes_back_what_get_returned(mep: Mep) -> None:
    app_id = await mep.app()
    info = await mep.service(app_id, livenessInterval=10)
    answer = await mep.put(f"{services_of(app_id)}/{info['serInstanceId']}", {**info, "state": "INACTIVE"})
    assert answer.status == 200
    assert answer.body == {**info, "state": "INACTIVE"}


async def test_put_without_transport_info_is_400(mep: Mep) -> None:
    app_id = await mep.app()
    path = f"{services_of(app_id)}/{(await mep.service(app_id))['serInstanceId']}"
    assert "transportInfo" in (await mep.put(path, service_info(transportInfo=None))).detail
    assert "POST only" in (await mep.put(path, service_info(transportId="platform-rest"))).detail


@pytest.mark.behaviour("M11-3.14", "M11-8.10")
async def test_if_match_guards_put(mep: Mep) -> None:
    app_id = await mep.app()
    path = f"{services_of(app_id)}/{(await mep.service(app_id))['serInstanceId']}"
    old = (await mep.get(path)).headers["ETag"]
    assert (await mep.put(path, service_info(version="2"), headers={"If-Match": '"other"'})).status == 412
    changed = await mep.put(path, service_info(version="3"), headers={"If-Match": old})
    assert changed.status == 200
    assert changed.headers["ETag"] != old
    assert (await mep.put(path, service_info(version="4"), headers={"If-Match": old})).status == 412
    assert (await mep.put(path, service_info(version="5"), headers={"If-Match": "*"})).status == 200
    assert (await mep.put(path, service_info(version="6"))).status == 200


@pytest.mark.behaviour("M11-3.12")
async def test_delete_removes(mep: Mep) -> None:
    app_id = await mep.app()
    path = f"{services_of(app_id)}/{(await mep.service(app_id))['serInstanceId']}"
    answer = await mep.delete(path)
    assert (answer.status, answer.body) == (204, b"")
    assert (await mep.get(path)).status == 404
    assert (await mep.delete(path)).status == 404


@pytest.mark.behaviour("M11-9.01")
async def test_wrapped_bodies_are_taken_and_unwrapped_ones_given(mep: Mep) -> None:
    app_id = await mep.app()
    answer = await mep.post(services_of(app_id), {"ServiceInfo": service_info()})
    assert answer.status == 201
    assert answer.body["serName"] == "onem2m-cse"


@pytest.mark.behaviour("M11-9.02")
async def test_ser_instance_id_in_post_is_ignored_or_400_when_strict(mep: Mep, start_mep: StartMep) -> None:
    info = await mep.service(await mep.app(), serInstanceId="mine")
    assert info["serInstanceId"] != "mine"
    async with start_mep(strict=True) as strict:
        answer = await strict.post(services_of(await strict.app()), service_info(serInstanceId="mine"))
    assert answer.status == 400
    assert "serInstanceId" in answer.detail


@pytest.mark.behaviour("M11-4.06")
async def test_enumerations_are_open_unless_strict(mep: Mep, start_mep: StartMep) -> None:
    own = transport(type="REST_COAP", protocol="COAP")
    info = await mep.service(await mep.app(), serializer="CBOR", transportInfo=own)
    assert (info["serializer"], info["transportInfo"]["type"]) == ("CBOR", "REST_COAP")
    async with start_mep(strict=True) as strict:
        path = services_of(await strict.app())
        assert (await strict.post(path, service_info(serializer="CBOR"))).status == 400
        assert (await strict.post(path, service_info(transportInfo=own))).status == 400
        fqdn = transport(endpoint={"fqdn": ["a"]})
        assert (await strict.post(path, service_info(transportInfo=fqdn))).status == 400
        assert (await strict.post(path, service_info())).status == 201


# --- heartbeat ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("proposed", "chosen"), [(0, 30), (10, 10), (100_000, 3600)])
@pytest.mark.behaviour("M11-3.18", "M11-6.01")
async def test_offered_heartbeat_is_demanded_with_an_interval_of_the_platform(
    mep: Mep, proposed: int, chosen: int
) -> None:
    app_id = await mep.app()
    info = await mep.service(app_id, livenessInterval=proposed)
    assert info["livenessInterval"] == chosen
    liveness = await mep.get(info["_links"]["liveness"]["href"])
    assert liveness.status == 200
    assert (liveness.body["state"], liveness.body["interval"]) == ("ACTIVE", chosen)
    assert set(liveness.body["timeStamp"]) == {"seconds", "nanoSeconds"}


async def test_a_whole_number_may_be_written_with_a_point(mep: Mep) -> None:
    assert (await mep.service(await mep.app(), livenessInterval=12.0))["livenessInterval"] == 12


@pytest.mark.behaviour("M11-4.08")
async def test_heartbeats_not_demanded_by_policy(start_mep: StartMep) -> None:
    from mec_adapter.platform.config import HeartbeatPolicy

    async with start_mep(heartbeat=HeartbeatPolicy(demand=False)) as mep:
        app_id = await mep.app()
        info = await mep.service(app_id, livenessInterval=10)
        assert "livenessInterval" not in info
        assert "liveness" not in info["_links"]
        own = f"{services_of(app_id)}/{info['serInstanceId']}/liveness"
        assert (await mep.patch(own, {"state": "ACTIVE"})).status == 404


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/json"])
@pytest.mark.behaviour("M11-3.19", "M11-6.02")
async def test_heartbeat_is_204_and_moves_the_time_stamp(start_mep: StartMep, clock: Clock, content_type: str) -> None:
    async with start_mep(clock) as mep:
        href = (await mep.service(await mep.app(), livenessInterval=10))["_links"]["liveness"]["href"]
        clock.now += 7.5
        answer = await mep.patch(href, data=b'{"state":"ACTIVE"}', headers={"Content-Type": content_type})
        assert (answer.status, answer.body) == (204, b"")
        stamp = (await mep.get(href)).body["timeStamp"]
    assert stamp == {"seconds": 1_800_000_007, "nanoSeconds": 500_000_000}


@pytest.mark.behaviour("M11-3.19", "M11-6.03")
async def test_heartbeat_answers_200_when_the_platform_wants_another_interval(mep: Mep) -> None:
    href = (await mep.service(await mep.app(), livenessInterval=10))["_links"]["liveness"]["href"]
    policy = {"defaultIntervalS": 60, "minIntervalS": 40, "maxIntervalS": 100}
    assert (await mep.put("/mep/v1/heartbeat_policy", policy)).status == 200
    answer = await mep.patch(href, {"state": "ACTIVE"})
    assert (answer.status, answer.body["interval"]) == (200, 40)
    assert (await mep.patch(href, {"state": "ACTIVE"})).status == 204


@pytest.mark.parametrize("body", [{"state": "SUSPENDED"}, {"state": "INACTIVE"}, {}, {"state": None}])
@pytest.mark.behaviour("M11-6.07")
async def test_heartbeat_with_another_state_is_400(mep: Mep, body: dict[str, Any]) -> None:
    href = (await mep.service(await mep.app(), livenessInterval=10))["_links"]["liveness"]["href"]
    assert (await mep.patch(href, body)).status == 400


@pytest.mark.behaviour("M11-6.05")
async def test_heartbeat_of_an_inactive_service_is_409_until_put_revives_it(mep: Mep) -> None:
    app_id = await mep.app()
    info = await mep.service(app_id, livenessInterval=10)
    own, href = f"{services_of(app_id)}/{info['serInstanceId']}", info["_links"]["liveness"]["href"]
    assert (await mep.put(own, {**info, "state": "INACTIVE"})).status == 200
    assert (await mep.patch(href, {"state": "ACTIVE"})).status == 409
    assert (await mep.put(own, info)).status == 200
    assert (await mep.patch(href, {"state": "ACTIVE"})).status == 204


@pytest.mark.behaviour("M11-3.19")
async def test_heartbeat_with_an_old_etag_is_412(mep: Mep) -> None:
    href = (await mep.service(await mep.app(), livenessInterval=10))["_links"]["liveness"]["href"]
    assert (await mep.patch(href, {"state": "ACTIVE"}, headers={"If-Match": '"old"'})).status == 412
    tag = (await mep.get(href)).headers["ETag"]
    assert (await mep.patch(href, {"state": "ACTIVE"}, headers={"If-Match": tag})).status == 204


@pytest.mark.behaviour("M11-3.19")
async def test_heartbeat_without_a_service_is_404(mep: Mep) -> None:
    href = (await mep.service(await mep.app(), livenessInterval=10))["_links"]["liveness"]["href"]
    assert (await mep.delete(href.removesuffix("/liveness"))).status == 204
    assert (await mep.patch(href, {"state": "ACTIVE"})).status == 404
    assert (await mep.get(href)).status == 404


@pytest.mark.behaviour("M11-6.04", "M11-6.06")
async def test_silence_suspends_and_a_heartbeat_revives(
    start_mep: StartMep, clock: Clock, subscriber: Subscriber
) -> None:
    async with start_mep(clock) as mep:
        app_id = await mep.app()
        info = await mep.service(app_id, livenessInterval=10)
        own = f"{services_of(app_id)}/{info['serInstanceId']}"
        await _subscribe(mep, app_id, subscriber.url)
        clock.now += 24.9
        await mep.platform.tick()
        assert (await mep.get(own)).body["state"] == "ACTIVE"
        clock.now += 0.2
        await mep.platform.tick()
        assert (await mep.get(own)).body["state"] == "SUSPENDED"
        assert [entry["state"] for entry in (await mep.get(f"{ROOT}/services")).body] == ["SUSPENDED"]
        assert (await mep.patch(info["_links"]["liveness"]["href"], {"state": "ACTIVE"})).status == 204
        assert (await mep.get(own)).body["state"] == "ACTIVE"
        received = await subscriber.wait_for(2)
    references = [notification["serviceReferences"][0] for notification in received]
    assert [(entry["changeType"], entry["state"]) for entry in references] == [
        ("STATE_CHANGED", "SUSPENDED"),
        ("STATE_CHANGED", "ACTIVE"),
    ]


@pytest.mark.behaviour("M11-6.06")
async def test_the_running_platform_suspends_by_itself(start_mep: StartMep, subscriber: Subscriber) -> None:
    from mec_adapter.platform.config import HeartbeatPolicy

    async with start_mep(heartbeat=HeartbeatPolicy(missed_intervals=0.05)) as mep:
        app_id = await mep.app()
        await _subscribe(mep, app_id, subscriber.url, {"states": ["SUSPENDED"]})
        await mep.service(app_id, livenessInterval=1)
        received = await subscriber.wait_for(1)
    assert received[0]["serviceReferences"][0]["state"] == "SUSPENDED"


async def test_put_active_revives_a_suspended_service(start_mep: StartMep, clock: Clock) -> None:
    async with start_mep(clock) as mep:
        app_id = await mep.app()
        info = await mep.service(app_id, livenessInterval=10)
        clock.now += 100
        await mep.platform.tick()
        own = f"{services_of(app_id)}/{info['serInstanceId']}"
        assert (await mep.get(own)).body["state"] == "SUSPENDED"
        assert (await mep.put(own, info)).body["state"] == "ACTIVE"
        clock.now += 20
        await mep.platform.tick()
        assert (await mep.get(own)).body["state"] == "ACTIVE"


@pytest.mark.behaviour("M11-6.08")
async def test_services_without_heartbeat_and_inactive_ones_are_never_suspended(
    start_mep: StartMep, clock: Clock
) -> None:
    async with start_mep(clock) as mep:
        app_id = await mep.app()
        await mep.service(app_id, serName="silent")
        await mep.service(app_id, serName="off", state="INACTIVE", livenessInterval=5)
        clock.now += 10_000
        await mep.platform.tick()
        states = {entry["serName"]: entry["state"] for entry in (await mep.get(f"{ROOT}/services")).body}
    assert states == {"silent": "ACTIVE", "off": "INACTIVE"}


@pytest.mark.behaviour("M11-6.06")
async def test_suspended_services_can_be_hidden_from_lists(start_mep: StartMep, clock: Clock) -> None:
    from mec_adapter.platform.config import HeartbeatPolicy

    async with start_mep(clock, heartbeat=HeartbeatPolicy(hide_suspended=True)) as mep:
        info = await mep.service(await mep.app(), livenessInterval=10)
        clock.now += 100
        await mep.platform.tick()
        assert (await mep.get(f"{ROOT}/services")).body == []
        assert (await mep.get(f"{ROOT}/services/{info['serInstanceId']}")).body["state"] == "SUSPENDED"


# --- subscriptions and notifications ------------------------------------------------------------------


async def _subscribe(mep: Mep, app_id: str, callback: str, criteria: dict[str, Any] | None = None) -> str:
    body: dict[str, Any] = {
        "subscriptionType": "SerAvailabilityNotificationSubscription",
        "callbackReference": callback,
    }
    if criteria is not None:
        body["filteringCriteria"] = criteria
    answer = await mep.post(subscriptions_of(app_id), body)
    assert answer.status == 201, answer.body
    assert answer.body == {**body, "_links": {"self": {"href": answer.headers["Location"]}}}
    return str(answer.headers["Location"])


@pytest.mark.behaviour("M11-3.15", "M11-3.16", "M11-4.13")
async def test_subscription_life(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await mep.app()
    empty = await mep.get(subscriptions_of(app_id))
    assert empty.body == {"_links": {"self": {"href": mep.url + subscriptions_of(app_id)}, "subscriptions": []}}
    href = await _subscribe(mep, app_id, subscriber.url, {"serNames": ["a"]})
    listed = (await mep.get(subscriptions_of(app_id))).body["_links"]["subscriptions"]
    assert listed == [{"href": href, "subscriptionType": "SerAvailabilityNotificationSubscription"}]
    read = await mep.get(href)
    assert (read.status, read.body["filteringCriteria"]) == (200, {"serNames": ["a"]})
    assert (await mep.delete(href)).status == 204
    assert (await mep.get(href)).status == 404
    assert (await mep.delete(href)).status == 404


@pytest.mark.behaviour("M11-3.16")
async def test_subscription_of_another_app_is_404(mep: Mep, subscriber: Subscriber) -> None:
    mine, other = await mep.app(), await mep.app()
    name = (await _subscribe(mep, mine, subscriber.url)).rpartition("/")[2]
    assert (await mep.get(f"{subscriptions_of(other)}/{name}")).status == 404
    assert (await mep.delete(f"{subscriptions_of(other)}/{name}")).status == 404


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"subscriptionType": None}, "subscriptionType"),
        ({"subscriptionType": "Other"}, "SerAvailabilityNotificationSubscription"),
        ({"callbackReference": None}, "callbackReference"),
        ({"callbackReference": "not a uri"}, "http"),
        ({"callbackReference": "ftp://a/"}, "http"),
        ({"callbackReference": "http://user:pw@a/"}, "password"),
        ({"callbackReference": "https://\u00cf/"}, "ASCII"),
        ({"callbackReference": "http://a/b c"}, "percent-encode"),
        ({"callbackReference": "http://a:99999/"}, "port"),
        ({"callbackReference": "http://a:0/"}, "port"),
        ({"callbackReference": "http://169.254.169.254/latest"}, "callback"),
        ({"callbackReference": "http://0.0.0.0/"}, "callback"),
        ({"filteringCriteria": {"serNames": ["a"], "serInstanceIds": ["b"]}}, "at most one"),
        ({"filteringCriteria": {"serNames": ["a"], "serCategories": [CATEGORY]}}, "at most one"),
        ({"filteringCriteria": {"states": ["GONE"]}}, "states"),
        ({"filteringCriteria": {"isLocal": "true"}}, "isLocal"),
    ],
)
@pytest.mark.behaviour("M11-4.10")
async def test_wrong_subscription_is_400(mep: Mep, changes: dict[str, Any], hint: str) -> None:
    body = {
        "subscriptionType": "SerAvailabilityNotificationSubscription",
        "callbackReference": "http://127.0.0.1:9/callback",
        **changes,
    }
    answer = await mep.post(subscriptions_of(await mep.app()), {k: v for k, v in body.items() if v is not None})
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("M11-4.11", "M11-4.12")
async def test_every_change_is_notified_with_its_change_type(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await mep.app()
    href = await _subscribe(mep, app_id, subscriber.url)
    info = await mep.service(app_id)
    own = f"{services_of(app_id)}/{info['serInstanceId']}"
    await mep.put(own, {**info, "state": "INACTIVE"})
    await mep.put(own, {**info, "version": "2"})
    await mep.put(own, {**info, "version": "2"})  # nothing changes, nobody hears of it
    await mep.delete(own)
    received = await subscriber.wait_for(4)
    assert [entry["serviceReferences"][0]["changeType"] for entry in received] == [
        "ADDED",
        "STATE_CHANGED",
        "ATTRIBUTES_CHANGED",
        "REMOVED",
    ]
    first, last = received[0], received[-1]
    assert first["notificationType"] == "SerAvailabilityNotification"
    assert first["_links"] == {"subscription": {"href": href}}
    reference = first["serviceReferences"][0]
    assert (reference["serName"], reference["serInstanceId"]) == ("onem2m-cse", info["serInstanceId"])
    assert reference["link"] == {"href": f"{mep.url}{ROOT}/services/{info['serInstanceId']}"}
    assert "link" not in last["serviceReferences"][0]
    assert last["serviceReferences"][0]["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("criteria", "wanted"),
    [
        ({"serNames": ["b"]}, ["b"]),
        ({"serCategories": [CATEGORY]}, ["a"]),
        ({"states": ["INACTIVE"]}, ["c"]),
        ({"serNames": ["a", "c"], "states": ["INACTIVE"]}, ["c"]),
        ({"isLocal": True}, ["a", "b", "c"]),
        ({"serInstanceIds": [], "serNames": ["b"], "serCategories": [], "states": []}, ["b"]),
        ({}, ["a", "b", "c"]),
    ],
)
@pytest.mark.behaviour("M11-4.09")
async def test_filtering_criteria(
    mep: Mep, subscriber: Subscriber, criteria: dict[str, Any], wanted: list[str]
) -> None:
    app_id = await mep.app()
    await _subscribe(mep, app_id, subscriber.url, criteria)
    await mep.service(app_id, serName="a", serCategory=CATEGORY)
    await mep.service(app_id, serName="b")
    await mep.service(app_id, serName="c", state="INACTIVE")
    await _subscribe(mep, app_id, f"{subscriber.url}/end")
    await mep.service(app_id, serName="end", state="INACTIVE")
    received = await subscriber.wait_for(len(wanted) + 1)
    names = [entry["serviceReferences"][0]["serName"] for entry in received]
    assert [name for name in names if name != "end"] == wanted


@pytest.mark.behaviour("M11-4.09")
async def test_filter_on_not_local_services_matches_none_here(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await mep.app()
    await _subscribe(mep, app_id, subscriber.url, {"isLocal": False})
    await mep.service(app_id, serName="first")
    await _subscribe(mep, app_id, f"{subscriber.url}/end")
    await mep.service(app_id, serName="end")
    received = await subscriber.wait_for(1)
    assert [entry["serviceReferences"][0]["serName"] for entry in received] == ["end"]


@pytest.mark.behaviour("M11-4.09")
async def test_filter_by_instance_id(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await mep.app()
    first, second = await mep.service(app_id, serName="a"), await mep.service(app_id, serName="b")
    await _subscribe(mep, app_id, subscriber.url, {"serInstanceIds": [second["serInstanceId"]]})
    for info in (first, second):
        await mep.delete(f"{services_of(app_id)}/{info['serInstanceId']}")
    received = await subscriber.wait_for(1)
    assert [entry["serName"] for entry in received[0]["serviceReferences"]] == ["b"]
