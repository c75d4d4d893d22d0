"""Subscriptions to application instances at the lifecycle façade of the embedded platform [MEC 010-2]."""

from pathlib import Path
from typing import Any

import pytest

from tests.mec.conftest import Mep, StartMep, Subscriber
from tests.mec.test_platform_security import APP, SECURE, client

SUBSCRIPTIONS = "/app_lcm/v1/subscriptions"
STATE = "AppInstanceStateChangeSubscription"
CREATION = "AppIdentifierCreationSubscription"
DELETION = "AppIdentifierDeletionSubscription"
APPS = "/mep/v1/app_instances"


async def subscribe(mep: Mep, callback: str, kind: str = STATE, **attributes: Any) -> str:
    answer = await mep.post(SUBSCRIPTIONS, {"subscriptionType": kind, "callbackUri": callback, **attributes})
    assert answer.status == 201, answer.body
    return str(answer.headers["Location"])


@pytest.mark.behaviour("OTH-3.07")
async def test_life_of_a_subscription_to_application_instances(mep: Mep, subscriber: Subscriber) -> None:
    body = {"subscriptionType": STATE, "callbackUri": subscriber.url, "appInstanceState": "STARTED"}
    created = await mep.post(SUBSCRIPTIONS, {"AppInstSubscriptionRequest": body})
    assert created.status == 201
    own = created.headers["Location"]
    sub_id = own.rpartition("/")[2]
    assert own == f"{mep.url}{SUBSCRIPTIONS}/{sub_id}"
    assert created.body == {"id": sub_id, **body, "_links": {"self": {"href": own}}}
    read = await mep.get(own)
    assert (read.status, read.body, read.headers["ETag"]) == (200, created.body, created.headers["ETag"])
    other = await subscribe(mep, subscriber.url, DELETION)

    async def listed(query: str) -> list[str]:
        answer = await mep.get(f"{SUBSCRIPTIONS}{query}")
        assert answer.body["_links"]["self"] == {"href": mep.url + SUBSCRIPTIONS}
        return [entry["href"] for entry in answer.body["_links"]["subscriptions"]]

    assert await listed("") == [own, other]
    assert await listed(f"?subscriptionType={DELETION}") == [other]
    assert (await mep.get(f"{SUBSCRIPTIONS}?subscriptionType=Other")).status == 400
    assert (await mep.put(own, body)).status == 405
    assert (await mep.delete(own)).status == 204
    assert (await mep.get(own)).status == 404
    assert (await mep.delete(own)).status == 404


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"subscriptionType": "AppLcmOpOccStateChangeSubscription"}, STATE),
        ({"subscriptionType": None}, "subscriptionType"),
        ({"callbackUri": None}, "callbackUri"),
        ({"callbackUri": "http://169.254.169.254/"}, "callbackUri"),
        ({"appInstanceState": "RESTING"}, "appInstanceState"),
        ({"appInstanceSubscriptionFilter": {}}, "appInstSelectorType"),
        ({"appInstanceSubscriptionFilter": {"appInstSelectorType": 5}}, "appInstSelectorType"),
    ],
)
@pytest.mark.behaviour("OTH-3.07")
async def test_wrong_subscription_to_application_instances_is_400(mep: Mep, changes: dict[str, Any], hint: str) -> None:
    body = {"subscriptionType": STATE, "callbackUri": "http://127.0.0.1:9/", **changes}
    answer = await mep.post(SUBSCRIPTIONS, {name: value for name, value in body.items() if value is not None})
    assert answer.status == 400
    assert hint in answer.detail


@pytest.mark.behaviour("OTH-3.08")
async def test_instances_that_start_stop_and_go_are_notified(mep: Mep, subscriber: Subscriber) -> None:
    own = await subscribe(mep, subscriber.url)
    await mep.post(APPS, {"appName": "m", "appInstanceId": "app-1", "appDId": "d"})
    first = (await subscriber.wait_for(1))[0]
    assert set(first["timeStamp"]) == {"seconds", "nanoSeconds"}
    assert {name: value for name, value in first.items() if name not in ("id", "timeStamp")} == {
        "notificationType": STATE,
        "subscriptionId": own.rpartition("/")[2],
        "appInstanceId": "app-1",
        "appInstanceState": "STARTED",
        "appPkgId": "pkg-d",
        "appDId": "d",
        "_links": {
            "subscription": {"href": own},
            "appInstance": {"href": f"{mep.url}/app_lcm/v1/app_instances/app-1"},
        },
    }
    end = {"operationAction": "STOPPING", "gracefulTimeoutS": 0}
    assert (await mep.post(f"{APPS}/app-1/terminate", end)).status == 202
    ready = "/mec_app_support/v2/applications/app-1/confirm_ready"
    assert (await mep.post(ready, {"indication": "READY"})).status == 204
    assert (await mep.post(f"{APPS}/app-1/terminate", {"gracefulTimeoutS": 0})).status == 202
    assert (await mep.delete(f"{APPS}/app-1")).status == 204  # no change of its state any more
    await mep.app(appInstanceId="app-2")
    received = await subscriber.wait_for(5)
    assert [(entry["appInstanceId"], entry["appInstanceState"]) for entry in received] == [
        ("app-1", "STARTED"),
        ("app-1", "STOPPED"),
        ("app-1", "STARTED"),
        ("app-1", "NOT_INSTANTIATED"),
        ("app-2", "STARTED"),
    ]
    assert len({entry["id"] for entry in received}) == 5


@pytest.mark.parametrize(
    ("kind", "attributes", "wanted"),
    [
        (CREATION, {}, ["app-1", "app-2"]),
        (DELETION, {}, ["app-1", "app-2"]),
        (STATE, {"appInstanceState": "STOPPED"}, []),
        (STATE, {"appInstanceState": "NOT_INSTANTIATED"}, ["app-1", "app-2"]),
        (CREATION, {"appInstSelectorType": 0}, ["app-1", "app-2"]),
        (CREATION, {"appInstSelectorType": 1, "appInstances": ["app-2"]}, ["app-2"]),
        (CREATION, {"appInstSelectorType": 2, "appInstances": ["one"]}, ["app-1"]),
        (CREATION, {"appInstSelectorType": 3, "appInstances": ["d2"]}, ["app-2"]),
        (CREATION, {"appInstSelectorType": 4, "appInstances": ["p1"]}, ["app-1"]),
        (CREATION, {"appInstSelectorType": 4, "appsFromProviders": [{"appProvider": "p2"}]}, ["app-2"]),
    ],
)
@pytest.mark.behaviour("OTH-3.08")
async def test_notifications_are_about_what_was_subscribed_to(
    mep: Mep, subscriber: Subscriber, kind: str, attributes: dict[str, Any], wanted: list[str]
) -> None:
    criteria = {"appInstanceSubscriptionFilter": attributes} if "appInstSelectorType" in attributes else attributes
    await subscribe(mep, subscriber.url, kind, **criteria)
    for number, name in ((1, "one"), (2, "two")):
        app = {"appName": name, "appProvider": f"p{number}", "appDId": f"d{number}"}
        await mep.post(APPS, {**app, "appInstanceId": f"app-{number}"})
        assert (await mep.delete(f"{APPS}/app-{number}")).status == 204
    await subscriber.wait_for(len(wanted))
    await subscribe(mep, f"{subscriber.url}/end", CREATION)
    await mep.post(APPS, {"appName": "end", "appInstanceId": "end"})
    received = await subscriber.wait_for(len(wanted) + 1)
    assert [entry["appInstanceId"] for entry in received if entry["appInstanceId"] != "end"] == wanted


@pytest.mark.behaviour("OTH-3.08")
async def test_clients_hear_of_their_own_instances_only(start_mep: StartMep, subscriber: Subscriber) -> None:
    async with start_mep(**SECURE) as mep:
        mine, other = await client(mep), await client(mep)
        body = {"subscriptionType": CREATION, "callbackUri": subscriber.url}
        own = (await mep.post(SUBSCRIPTIONS, body, headers=mine)).headers["Location"]
        for name, headers in (("others", other), ("mine", mine)):
            await mep.post("/mec_app_support/v2/registrations", {**APP, "appInstanceId": name}, headers=headers)
        assert [entry["appInstanceId"] for entry in await subscriber.wait_for(1)] == ["mine"]
        assert (await mep.get(own, headers=other)).status == 403
        assert (await mep.delete(own, headers=other)).status == 403
        assert (await mep.get(SUBSCRIPTIONS, headers=other)).body["_links"]["subscriptions"] == []


async def test_subscription_and_known_instances_survive_a_restart(
    start_mep: StartMep, tmp_path: Path, subscriber: Subscriber
) -> None:
    store = f"sqlite:///{tmp_path}/mep.db"
    async with start_mep(store=store) as mep:
        await mep.app(appInstanceId="app-1")
        await subscribe(mep, subscriber.url)
    async with start_mep(store=store) as mep:
        await mep.post(f"{APPS}/app-1/terminate", {"gracefulTimeoutS": 0})
        assert [entry["appInstanceState"] for entry in await subscriber.wait_for(1)] == ["NOT_INSTANTIATED"]
