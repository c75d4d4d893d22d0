"""Location API of the embedded platform, from its simulated map: MEC 013 queries and event subscriptions."""

from typing import Any

import pytest

from tests.mec.conftest import Clock, Mep, StartMep, Subscriber

ROOT = "/location/v2"
QUERIES = f"{ROOT}/queries"


async def put(mep: Mep, address: str, point: str) -> None:
    answer = await mep.put(f"/mep/v1/location_users/{address}", {"accessPointId": point})
    assert answer.status == 204, answer.body


@pytest.mark.behaviour("OTH-6.01")
async def test_zones_and_access_points(mep: Mep) -> None:
    await put(mep, "acr:10.0.0.1", "ap-a1")
    zones = await mep.get(f"{QUERIES}/zones")
    assert zones.headers["X-Location-Source"] == "simulated"
    assert zones.body == {
        "zoneList": {
            "zone": [
                {
                    "zoneId": zone,
                    "numberOfAccessPoints": points,
                    "numberOfUnserviceableAccessPoints": 0,
                    "numberOfUsers": users,
                    "resourceURL": f"{mep.url}{QUERIES}/zones/{zone}",
                }
                for zone, points, users in (("zone-a", 2, 1), ("zone-b", 1, 0))
            ],
            "resourceURL": f"{mep.url}{QUERIES}/zones",
        }
    }
    one = await mep.get(zones.body["zoneList"]["zone"][0]["resourceURL"])
    assert one.body == {"zoneInfo": zones.body["zoneList"]["zone"][0]}
    only_b = (await mep.get(f"{QUERIES}/zones?zoneId=zone-b")).body["zoneList"]["zone"]
    assert [zone["zoneId"] for zone in only_b] == ["zone-b"]
    points = (await mep.get(f"{QUERIES}/zones/zone-a/accessPoints")).body["accessPointList"]
    assert points["zoneId"] == "zone-a"
    assert [(point["accessPointId"], point["numberOfUsers"]) for point in points["accessPoint"]] == [
        ("ap-a1", 1),
        ("ap-a2", 0),
    ]
    chosen = await mep.get(f"{QUERIES}/zones/zone-a/accessPoints?accessPointId=ap-a2")
    assert chosen.body["accessPointList"]["accessPoint"] == points["accessPoint"][1:]
    point = await mep.get(points["accessPoint"][0]["resourceURL"])
    assert point.body == {"accessPointInfo": points["accessPoint"][0]}
    for path in ("/zones/zone-x", "/zones/zone-x/accessPoints", "/zones/zone-a/accessPoints/ap-b1"):
        assert (await mep.get(QUERIES + path)).status == 404
    assert (await mep.get(f"{QUERIES}/zones?zone=x")).status == 400


@pytest.mark.behaviour("OTH-6.02")
async def test_users(start_mep: StartMep, clock: Clock) -> None:
    async with start_mep(clock) as mep:
        await put(mep, "acr:10.0.0.1", "ap-a1")
        await put(mep, "acr:10.0.0.2", "ap-b1")
        users = (await mep.get(f"{QUERIES}/users")).body["userList"]["user"]
        assert users[0] == {
            "address": "acr:10.0.0.1",
            "accessPointId": "ap-a1",
            "zoneId": "zone-a",
            "resourceURL": f"{mep.url}{QUERIES}/users?address=acr%3A10.0.0.1",
            "timestamp": {"seconds": int(clock.now), "nanoSeconds": 0},
            "locationInfo": {"latitude": [43.738], "longitude": [7.424], "shape": 7},
            "ancillaryInfo": "simulated",
        }

        async def addresses(query: str) -> list[str]:
            answer = await mep.get(f"{QUERIES}/users?{query}")
            return [user["address"] for user in answer.body["userList"]["user"]]

        assert await addresses("") == ["acr:10.0.0.1", "acr:10.0.0.2"]
        assert await addresses("zoneId=zone-b") == ["acr:10.0.0.2"]
        assert await addresses("accessPointId=ap-a1") == ["acr:10.0.0.1"]
        assert await addresses("address=acr:10.0.0.2") == ["acr:10.0.0.2"]
        assert await addresses("address=acr:10.0.0.2&zoneId=zone-a") == []
        assert (await mep.delete("/mep/v1/location_users/acr:10.0.0.1")).status == 204
        assert (await mep.delete("/mep/v1/location_users/acr:10.0.0.1")).status == 404
        assert await addresses("") == ["acr:10.0.0.2"]
        nowhere = await mep.put("/mep/v1/location_users/x", {"accessPointId": "ap-x"})
        assert nowhere.status == 400
        assert "ap-a1" in nowhere.detail


@pytest.mark.behaviour("OTH-6.03")
async def test_distance(mep: Mep) -> None:
    await put(mep, "u1", "ap-a1")
    await put(mep, "u2", "ap-a2")
    path = f"{QUERIES}/distance"
    answer = await mep.get(f"{path}?address=u1&address=u2")
    # 0.0015 degrees north and 0.0025 degrees east at 43.74 degrees: 166.8 m and 200.9 m
    assert answer.body["terminalDistance"]["distance"] == pytest.approx(261, abs=1)
    assert (await mep.get(f"{path}?address=u1&location=43.7380,7.4240")).body["terminalDistance"]["distance"] == 0
    # a degree of latitude is 111.195 km on this globe
    far = await mep.get(f"{path}?address=u1&location=44.7380,7.4240")
    assert far.body["terminalDistance"]["distance"] == pytest.approx(111_195, abs=1)
    for wrong in ("", "?address=u1", "?address=u1&address=u2&location=1,2", "?address=u1&location=1"):
        assert (await mep.get(path + wrong)).status == 400, wrong
    assert (await mep.get(f"{path}?address=u1&location=91,0")).status == 400
    assert (await mep.get(f"{path}?address=u1&location=a,b")).status == 400
    assert (await mep.get(f"{path}?address=u1&address=nobody")).status == 404


KINDS = [
    ("users", "userLocationEventSubscription", {"subscriptionType": "UserLocationEventSubscription", "address": "u1"}),
    (
        "zones",
        "zoneLocationEventSubscription",
        {"subscriptionType": "ZoneLocationEventSubscription", "zoneId": "zone-a"},
    ),
    (
        "area",
        "userAreaSubscription",
        {
            "subscriptionType": "UserAreaSubscription",
            "addressList": ["u1"],
            "trackingAccuracy": 10.0,
            "areaDefine": {"shape": 1, "points": [{"latitude": 43.738, "longitude": 7.424}], "radius": 100},
        },
    ),
    (
        "distance",
        "userDistanceSubscription",
        {
            "subscriptionType": "UserDistanceSubscription",
            "monitoredAddress": ["u1", "u2"],
            "distance": 300.5,
            "trackingAccuracy": 1.0,
            "criteria": "AnyWithinDistance",
            "checkImmediate": False,
        },
    ),
]


@pytest.mark.parametrize(("path", "wrapper", "body"), KINDS)
@pytest.mark.behaviour("OTH-6.04")
async def test_subscription_life(
    mep: Mep, subscriber: Subscriber, path: str, wrapper: str, body: dict[str, Any]
) -> None:
    many = f"{ROOT}/subscriptions/{path}"
    sent = {**body, "callbackReference": subscriber.url}
    created = await mep.post(many, {wrapper: sent})
    assert created.status == 201
    own = created.headers["Location"]
    assert created.body == {wrapper: {**sent, "_links": {"self": {"href": own}}}}
    read = await mep.get(own)
    assert (read.status, read.body) == (200, created.body)
    listed = (await mep.get(many)).body["notificationSubscriptionList"]
    assert listed["resourceURL"] == {"href": mep.url + many}
    assert listed["subscription"] == [{"href": own, "subscriptionType": body["subscriptionType"]}]
    for query, found in (
        ("subscription_type=event", 1),
        ("address=u1", 0 if path == "zones" else 1),
        ("address=u9", 0),
        ("zoneId=zone-a", 1 if path == "zones" else 0),
    ):
        chosen = (await mep.get(f"{many}?{query}")).body["notificationSubscriptionList"]["subscription"]
        assert len(chosen) == found, query
    assert (await mep.get(f"{many}?subscription_type=other")).status == 400
    assert (await mep.get(f"{many}?type=event")).status == 400
    changed = {**sent, "clientCorrelator": "again"}
    assert (await mep.put(own, changed, headers={"If-Match": '"old"'})).status == 412
    answer = await mep.put(own, changed, headers={"If-Match": read.headers["ETag"]})
    assert (answer.status, answer.body[wrapper]["clientCorrelator"]) == (200, "again")
    assert (await mep.get(own)).headers["ETag"] == answer.headers["ETag"]
    assert (await mep.post(many, {**sent, "subscriptionType": "Other"})).status == 400
    assert (await mep.post(many, body)).status == 400
    assert (await mep.delete(own)).status == 204
    for method, again in (("GET", None), ("PUT", changed), ("DELETE", None)):
        assert (await mep.call(method, own, again)).status == 404


async def subscribe(mep: Mep, path: str, callback: str, **body: Any) -> str:
    answer = await mep.post(f"{ROOT}/subscriptions/{path}", {**body, "callbackReference": callback})
    assert answer.status == 201, answer.body
    return str(answer.headers["Location"])


@pytest.mark.behaviour("OTH-6.07")
async def test_moves_are_notified(mep: Mep, subscriber: Subscriber) -> None:
    own = await subscribe(mep, "users", subscriber.url, subscriptionType="UserLocationEventSubscription", address="u1")
    for point in ("ap-a1", "ap-a2", "ap-b1"):  # within a zone nobody hears of it
        await put(mep, "u1", point)
    await put(mep, "u2", "ap-a1")
    received = [entry["userLocationEventNotification"] for entry in await subscriber.wait_for(3)]
    assert [(entry["userLocationEvent"], entry["zoneId"], entry["accessPointId"]) for entry in received] == [
        ("ENTERING_AREA_EVENT", "zone-a", "ap-a1"),
        ("LEAVING_AREA_EVENT", "zone-a", "ap-a2"),
        ("ENTERING_AREA_EVENT", "zone-b", "ap-b1"),
    ]
    assert received[0]["notificationType"] == "UserLocationEventNotification"
    assert received[0]["address"] == "u1"
    assert received[0]["_links"] == {"subscription": {"href": own}}


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        (
            "users",
            {
                "subscriptionType": "UserLocationEventSubscription",
                "address": "u1",
                "userEventPara": {"zoneId": "zone-b"},
            },
            [("ENTERING_AREA_EVENT", "zone-b")],
        ),
        (
            "users",
            {
                "subscriptionType": "UserLocationEventSubscription",
                "address": "u1",
                "userEventPara": {"accessPointList": ["ap-a1"], "reportingLocationReq": True},
            },
            [("ENTERING_AREA_EVENT", "zone-a"), ("LEAVING_AREA_EVENT", "zone-a")],
        ),
        (
            "zones",
            {"subscriptionType": "ZoneLocationEventSubscription", "zoneId": "zone-a"},
            [("ENTERING_AREA_EVENT", "zone-a"), ("LEAVING_AREA_EVENT", "zone-a")],
        ),
        (
            "zones",
            {
                "subscriptionType": "ZoneLocationEventSubscription",
                "zoneId": "zone-a",
                "locationEventCriteria": ["LEAVING_AREA_EVENT"],
            },
            [("LEAVING_AREA_EVENT", "zone-a")],
        ),
        (
            "zones",
            {"subscriptionType": "ZoneLocationEventSubscription", "zoneId": "zone-a", "addressList": ["u9"]},
            [],
        ),
    ],
)
@pytest.mark.behaviour("OTH-6.07")
async def test_criteria(
    mep: Mep, subscriber: Subscriber, path: str, body: dict[str, Any], wanted: list[tuple[str, str]]
) -> None:
    await subscribe(mep, path, subscriber.url, **body)
    await subscribe(
        mep, "users", f"{subscriber.url}/end", subscriptionType="UserLocationEventSubscription", address="end"
    )
    await put(mep, "u1", "ap-a1")
    await put(mep, "u1", "ap-b1")
    await subscriber.wait_for(len(wanted))
    await put(mep, "end", "ap-b1")
    received = [next(iter(entry.values())) for entry in await subscriber.wait_for(len(wanted) + 1)]
    found = [(entry["userLocationEvent"], entry["zoneId"]) for entry in received if entry["address"] != "end"]
    assert found == wanted
    asked = body.get("userEventPara", {}).get("reportingLocationReq", False)
    assert all(("locationInfo" in entry) == asked for entry in received if entry["address"] != "end")


@pytest.mark.behaviour("OTH-6.07")
async def test_user_taken_off_the_map_leaves(mep: Mep, subscriber: Subscriber) -> None:
    await put(mep, "u1", "ap-a1")
    await subscribe(mep, "zones", subscriber.url, subscriptionType="ZoneLocationEventSubscription", zoneId="zone-a")
    await mep.delete("/mep/v1/location_users/u1")
    (notification,) = await subscriber.wait_for(1)
    assert notification["zoneLocationEventNotification"]["userLocationEvent"] == "LEAVING_AREA_EVENT"


@pytest.mark.behaviour("M11-8.13")
async def test_subscriptions_expire(start_mep: StartMep, clock: Clock, subscriber: Subscriber) -> None:
    deadline = {"seconds": int(clock.now) + 5, "nanoSeconds": 0}
    async with start_mep(clock) as mep:
        own = await subscribe(
            mep,
            "zones",
            subscriber.url,
            subscriptionType="ZoneLocationEventSubscription",
            zoneId="zone-a",
            expiryDeadline=deadline,
        )
        clock.now += 5
        await mep.platform.tick()
        assert (await mep.get(own)).status == 404
        assert (await subscriber.wait_for(1))[0]["expiryNotification"]["notificationType"] == "ExpiryNotification"


CIRCLE = {"shape": 1, "points": [{"latitude": 43.738, "longitude": 7.424}], "radius": 100}
# around ap-b1, by its corners
SQUARE = {
    "shape": 2,
    "points": [
        {"latitude": 43.741, "longitude": 7.428},
        {"latitude": 43.743, "longitude": 7.428},
        {"latitude": 43.743, "longitude": 7.430},
        {"latitude": 43.741, "longitude": 7.430},
    ],
}
AREA = {"subscriptionType": "UserAreaSubscription", "addressList": ["u1"], "trackingAccuracy": 5, "areaDefine": CIRCLE}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, ["ENTERING_AREA_EVENT", "LEAVING_AREA_EVENT"]),
        ({"areaDefine": SQUARE}, ["ENTERING_AREA_EVENT"]),
        ({"locationEventCriteria": ["LEAVING_AREA_EVENT"]}, ["LEAVING_AREA_EVENT"]),
        ({"addressList": ["somebody"]}, []),
    ],
)
@pytest.mark.behaviour("OTH-6.05")
async def test_users_that_enter_or_leave_an_area_are_notified(
    mep: Mep, subscriber: Subscriber, changes: dict[str, Any], wanted: list[str]
) -> None:
    own = await subscribe(mep, "area", subscriber.url, **{**AREA, **changes, "reportingLocationReq": True})
    for point in ("ap-a1", "ap-b1"):
        await put(mep, "u1", point)
    end = {**AREA, "addressList": ["end"]}
    await subscribe(mep, "area", f"{subscriber.url}/end", **end)
    await subscriber.wait_for(len(wanted))
    await put(mep, "end", "ap-a1")
    received = [entry["userAreaNotification"] for entry in await subscriber.wait_for(len(wanted) + 1)][: len(wanted)]
    assert [entry["userLocationEvent"] for entry in received] == wanted
    for entry in received:
        assert entry["notificationType"] == "UserAreaNotification"
        assert entry["address"] == "u1"
        assert entry["_links"] == {"subscription": {"href": own}}
        assert set(entry["locationInfo"]) == {"latitude", "longitude", "shape"}


DISTANCE = {
    "subscriptionType": "UserDistanceSubscription",
    "monitoredAddress": ["u1", "u2"],
    "distance": 300,
    "trackingAccuracy": 1,
    "criteria": "AllWithinDistance",
    "checkImmediate": False,
}


@pytest.mark.behaviour("OTH-6.06")
async def test_distance_between_users_is_notified_when_the_criterion_becomes_true(
    mep: Mep, subscriber: Subscriber
) -> None:
    own = await subscribe(mep, "distance", subscriber.url, **DISTANCE)
    beyond = {**DISTANCE, "criteria": "AnyBeyondDistance", "referenceAddress": ["u2"], "monitoredAddress": ["u1"]}
    await subscribe(mep, "distance", f"{subscriber.url}/2", **beyond)
    for user, point in (("u1", "ap-a1"), ("u2", "ap-a2"), ("u2", "ap-a1"), ("u2", "ap-b1")):
        await put(mep, user, point)
    received = [entry["userDistanceNotification"] for entry in await subscriber.wait_for(2)]
    by_event = {entry["distanceEvent"]: entry for entry in received}
    assert len(received) == 2
    assert set(by_event) == {"AllWithinDistance", "AnyBeyondDistance"}
    first = by_event["AllWithinDistance"]
    assert first["_links"] == {"subscription": {"href": own}}
    assert [user["address"] for user in first["monitoredUsers"]["user"]] == ["u1", "u2"]
    assert first["monitoredUsers"]["resourceURL"] == f"{mep.url}{QUERIES}/users"


@pytest.mark.behaviour("OTH-6.06")
async def test_distance_is_checked_at_once_when_asked_for(mep: Mep, subscriber: Subscriber) -> None:
    await put(mep, "u1", "ap-a1")
    await put(mep, "u2", "ap-a2")
    await subscribe(mep, "distance", f"{subscriber.url}/not-yet", **{**DISTANCE, "criteria": "AllBeyondDistance"})
    await subscribe(mep, "distance", subscriber.url, **{**DISTANCE, "checkImmediate": True})
    (notification,) = await subscriber.wait_for(1)
    assert notification["userDistanceNotification"]["distanceEvent"] == "AllWithinDistance"


@pytest.mark.parametrize(
    ("path", "body", "hint"),
    [
        ("area", {**AREA, "areaDefine": {**CIRCLE, "radius": None}}, "radius"),
        ("area", {**AREA, "areaDefine": {**CIRCLE, "points": CIRCLE["points"] * 2}}, "one point"),
        ("area", {**AREA, "areaDefine": {**SQUARE, "points": SQUARE["points"][:2]}}, "3 to 15"),
        ("area", {**AREA, "areaDefine": {**CIRCLE, "shape": 3}}, "shape"),
        ("area", {**AREA, "areaDefine": {**CIRCLE, "points": [{"latitude": 91, "longitude": 0}]}}, "latitude"),
        ("area", {**AREA, "addressList": []}, "addressList"),
        ("area", {**AREA, "trackingAccuracy": None}, "trackingAccuracy"),
        ("distance", {**DISTANCE, "monitoredAddress": ["u1"]}, "two users"),
        ("distance", {**DISTANCE, "criteria": "Near"}, "AllWithinDistance"),
        ("distance", {**DISTANCE, "distance": -1}, "distance"),
        ("distance", {**DISTANCE, "checkImmediate": None}, "checkImmediate"),
        (
            "users",
            {
                "subscriptionType": "UserLocationEventSubscription",
                "address": "u1",
                "userEventPara": {"zoneId": "zone-a", "accessPointList": ["ap-a1"]},
            },
            "one of them",
        ),
    ],
)
@pytest.mark.behaviour("OTH-6.08")
async def test_wrong_location_subscription_is_400(mep: Mep, path: str, body: dict[str, Any], hint: str) -> None:
    sent = {name: value for name, value in body.items() if value is not None}
    sent["callbackReference"] = "http://127.0.0.1:9/"
    answer = await mep.post(f"{ROOT}/subscriptions/{path}", sent)
    assert answer.status == 400
    assert hint in answer.detail
