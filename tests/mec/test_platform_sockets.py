"""Notifications of the embedded platform over WebSockets: negotiation, order, reconnects, whose they are [MEC 009]."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.mec.conftest import Clock, Mep, StartMep, Subscriber, until
from tests.mec.test_platform_security import SECURE, client

SUBSCRIPTIONS = "/amsi/v1/subscriptions"
EVENTS = "/mep/v1/mobility_events"
ASKED = {
    "subscriptionType": "MobilityProcedureSubscription",
    "filterCriteria": {},
    "websockNotifConfig": {"requestWebsocketUri": True},
}
LIMIT_S = 30


async def happen(mep: Mep, device: str) -> None:
    answer = await mep.post(EVENTS, {"associateId": [device], "mobilityStatus": 1})
    assert (answer.status, answer.body) == (202, {"notifications": 1})


async def subscribed(mep: Mep, **attributes: Any) -> tuple[str, str]:
    """Subscribe and return the URIs of the subscription and of its WebSocket."""
    answer = await mep.post(SUBSCRIPTIONS, {**ASKED, **attributes})
    assert answer.status == 201, answer.body
    return answer.headers["Location"], answer.body["websockNotifConfig"]["websocketUri"]


async def frame(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    body: dict[str, Any] = await socket.receive_json(timeout=LIMIT_S)
    return body


async def ended(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    message = await socket.receive(timeout=LIMIT_S)
    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
    return socket.close_code


@pytest.mark.behaviour("M11-8.14")
async def test_platform_names_a_websocket_and_sends_what_waited_and_what_comes_in_order(mep: Mep) -> None:
    own, uri = await subscribed(mep)
    assert uri.startswith(mep.url.replace("http", "ws") + "/notifications/")
    assert (await mep.get(own)).body["websockNotifConfig"] == {"requestWebsocketUri": True, "websocketUri": uri}
    await happen(mep, "first")
    await happen(mep, "second")
    assert (await mep.get("/mep/v1/status")).body["notificationsWaiting"] == 2
    async with mep.session.ws_connect(uri) as socket:
        received = [await frame(socket), await frame(socket)]
        await happen(mep, "third")
        received.append(await frame(socket))
    assert [entry["associateId"] for entry in received] == [["first"], ["second"], ["third"]]
    assert received[0]["notificationType"] == "MobilityProcedureNotification"
    assert received[0]["_links"] == {"subscription": {"href": own}}
    assert (await mep.get("/mep/v1/status")).body["notificationsDelivered"] == 3


@pytest.mark.behaviour("M11-8.14")
async def test_callback_wins_when_both_ways_are_given_and_is_the_only_one_returned(
    mep: Mep, subscriber: Subscriber
) -> None:
    answer = await mep.post(SUBSCRIPTIONS, {**ASKED, "callbackReference": subscriber.url})
    assert answer.status == 201
    assert answer.body["callbackReference"] == subscriber.url
    assert "websockNotifConfig" not in answer.body
    await happen(mep, "a")
    assert (await subscriber.wait_for(1))[0]["associateId"] == ["a"]


async def test_a_new_connection_takes_over_and_later_ones_get_what_the_lost_one_missed(mep: Mep) -> None:
    _, uri = await subscribed(mep)
    async with mep.session.ws_connect(uri) as older:
        await happen(mep, "a")
        assert (await frame(older))["associateId"] == ["a"]
        async with mep.session.ws_connect(uri) as newer:
            assert await ended(older) == 1000
            await happen(mep, "b")
            assert (await frame(newer))["associateId"] == ["b"]
    await until(lambda: not mep.platform.sockets._connections)
    await happen(mep, "c")
    async with mep.session.ws_connect(uri) as again:
        assert (await frame(again))["associateId"] == ["c"]


async def test_websocket_stays_the_same_when_the_subscription_is_replaced_and_ends_with_it(mep: Mep) -> None:
    own, uri = await subscribed(mep)
    body = (await mep.get(own)).body
    replaced = await mep.put(own, {**body, "filterCriteria": {"mobilityStatus": [1]}})
    assert (replaced.status, replaced.body["websockNotifConfig"]["websocketUri"]) == (200, uri)
    async with mep.session.ws_connect(uri) as socket:
        assert (await mep.delete(own)).status == 204
        assert await ended(socket) == 1000
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await mep.session.ws_connect(uri)
    assert refused.value.status == 404


async def test_expiry_is_told_over_the_websocket_which_then_ends(start_mep: StartMep, clock: Clock) -> None:
    deadline = {"seconds": int(clock.now) + 60, "nanoSeconds": 0}
    async with start_mep(clock) as mep:
        _, uri = await subscribed(mep, expiryDeadline=deadline)
        async with mep.session.ws_connect(uri) as socket:
            clock.now += 60
            await mep.platform.tick()
            assert (await frame(socket))["notificationType"] == "ExpiryNotification"
            assert await ended(socket) == 1000


async def test_what_waits_for_a_connection_is_bounded_and_what_is_given_up_is_on_record(start_mep: StartMep) -> None:
    from mec_adapter.platform.config import NotificationPolicy

    async with start_mep(notifications=NotificationPolicy(queue_length=2)) as mep:
        _, uri = await subscribed(mep)
        for device in ("a", "b", "c"):
            await happen(mep, device)
        (failure,) = (await mep.get("/mep/v1/notifications/failures")).body
        assert failure["callbackReference"] == uri
        assert "more than 2" in failure["reason"]
        async with mep.session.ws_connect(uri) as socket:
            assert [(await frame(socket))["associateId"] for _ in range(2)] == [["b"], ["c"]]


@pytest.mark.behaviour("M11-8.15")
async def test_websocket_opens_only_for_the_client_of_its_subscription(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        mine, other, elsewhere = await client(mep), await client(mep), await client(mep, ["iots"])
        answer = await mep.post(SUBSCRIPTIONS, ASKED, headers=mine)
        uri = answer.body["websockNotifConfig"]["websocketUri"]
        for headers, status in (({}, 401), (other, 403), (elsewhere, 403)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await mep.session.ws_connect(uri, headers=headers)
            assert refused.value.status == status
        async with mep.session.ws_connect(uri, headers=mine) as socket:
            assert not socket.closed


async def test_websocket_is_below_the_prefix_only(start_mep: StartMep) -> None:
    async with start_mep(prefix="/sbx1/mep1") as mep:
        _, uri = await subscribed(mep)
        assert uri.startswith(f"{mep.url.replace('http', 'ws')}/notifications/")
        async with mep.session.ws_connect(uri) as socket:
            await happen(mep, "a")
            assert (await frame(socket))["associateId"] == ["a"]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await mep.session.ws_connect(uri.replace("/sbx1/mep1", ""))


async def test_location_subscriptions_take_websockets_too(mep: Mep) -> None:
    body = {
        "subscriptionType": "UserLocationEventSubscription",
        "address": "u1",
        "websockNotifConfig": {"requestWebsocketUri": True},
    }
    answer = await mep.post("/location/v2/subscriptions/users", {"userLocationEventSubscription": body})
    uri = answer.body["userLocationEventSubscription"]["websockNotifConfig"]["websocketUri"]
    async with mep.session.ws_connect(uri) as socket:
        assert (await mep.put("/mep/v1/location_users/u1", {"accessPointId": "ap-a1"})).status == 204
        assert (await frame(socket))["userLocationEventNotification"]["address"] == "u1"


async def test_websocket_and_what_is_known_of_other_systems_survive_a_restart(
    start_mep: StartMep, tmp_path: Path, subscriber: Subscriber
) -> None:
    store = f"sqlite:///{tmp_path}/mep.db"
    peer = {"systemName": "n", "systemProvider": "p", "apiRoot": "http://127.0.0.1:9"}
    watched = {"subscriptionType": "SystemUpdateNotificationSubscription", "callbackReference": subscriber.url}
    async with start_mep(store=store) as mep:
        _, uri = await subscribed(mep)
        assert (await mep.post("/fed_enablement/v1/subscriptions", watched)).status == 201
        assert (await mep.put("/mep/v1/federation/site-2", peer)).status == 200
        await subscriber.wait_for(1)
    async with start_mep(store=store) as mep:
        known = (await mep.get("/mep/v1/federation")).body
        assert [entry.get("apiRoot") for entry in known] == [None, "http://127.0.0.1:9"]
        assert (await mep.put("/mep/v1/federation/site-2", {**peer, "systemName": "m"})).status == 200
        assert (await subscriber.wait_for(2))[1]["updatedSystemInfo"][0]["systemName"] == "m"
        here = f"{mep.url.replace('http', 'ws')}/notifications/{uri.rpartition('/')[2]}"
        async with mep.session.ws_connect(here) as socket:
            await happen(mep, "a")
            assert (await frame(socket))["associateId"] == ["a"]
