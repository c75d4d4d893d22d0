"""MEC services mirrored into the oneM2M tree: the plan, the loop guard, and the real tree against the real platform."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.app import Cse
from cse.client import Client, RequestFailed
from mec_adapter.ipe import Mirrored, Plan, apps_of, devices_of, is_own, is_peer, labels_of, name_of, plan, services_of
from tests.mec.adapter_fixtures import ADMIN, running_adapter, running_cse, until
from tests.mec.conftest import CATEGORY, Mep, service_info, transport


def shown(service_id: str, **attributes: Any) -> dict[str, Any]:
    return {**service_info(**attributes), "serInstanceId": service_id, "isLocal": True}


def of_cse(service_id: str, cse_id: str) -> dict[str, Any]:
    told = {"onem2m": {"cseId": cse_id, "poa": ["http://192.0.2.9:8080"]}}
    return shown(service_id, serCategory=CATEGORY, transportInfo=transport(implSpecificInfo=told))


BROKER = transport(
    type="MB_TOPIC_BASED",
    protocol="MQTT",
    version="3.1.1",
    endpoint={"addresses": [{"host": "192.0.2.7", "port": 1883}]},
    implSpecificInfo={"uplinkTopics": [], "downlinkTopics": [], "eventTopics": []},
)


# --- pure -----------------------------------------------------------------------------------------------------------


def test_labels_tell_name_category_state_and_place() -> None:
    info = shown("s1", serName="mec013-1", serCategory={**CATEGORY, "id": "Location"})
    assert labels_of(info) == (
        "mec:service",
        "mec:serName=mec013-1",
        "mec:cat=Location",
        "mec:state=ACTIVE",
        "mec:local=true",
    )


@pytest.mark.behaviour("MAP-7.07")
def test_own_services_never_come_back() -> None:
    own, peer, other = of_cse("s1", "/id-edge"), of_cse("s2", "/id-other"), shown("s3")
    of_ae = shown("s4", transportInfo=transport(implSpecificInfo={"onem2m": {"csi": "/id-edge", "aeId": "C1"}}))
    assert (is_own(own, "/id-edge"), is_own(of_ae, "/id-edge"), is_own(peer, "/id-edge")) == (True, True, False)
    assert (is_peer(own, "/id-edge"), is_peer(peer, "/id-edge"), is_peer(other, "/id-edge")) == (False, True, False)
    assert set(services_of([own, of_ae, peer, other], "/id-edge")) == {"s2", "s3"}


def test_names_fit_into_a_path() -> None:
    assert name_of("a-1") == "a-1"
    odd = name_of("a/b c")
    assert "/" not in odd
    assert odd == name_of("a/b c")


IDS = st.sampled_from(["s1", "s2", "s3", "s4"])
STATES = st.sampled_from(["ACTIVE", "INACTIVE", "SUSPENDED"])


@given(st.dictionaries(IDS, STATES), st.dictionaries(IDS, STATES))
def test_carrying_out_a_plan_leaves_nothing_to_do(before: dict[str, str], after: dict[str, str]) -> None:
    def services(states: dict[str, str]) -> dict[str, Mirrored]:
        return services_of([shown(name, state=state) for name, state in states.items()], "/id-edge")

    tree = services(before)
    todo = plan(tree, services(after))
    for name in todo.remove:
        del tree[name]
    tree.update(todo.create)
    for name, labels in todo.relabel.items():
        tree[name] = Mirrored(labels, tree[name].content)
    for name, content in todo.add.items():
        tree[name] = Mirrored(tree[name].labels, content)
    assert plan(tree, services(after)) == Plan({}, {}, {}, ())
    assert tree.keys() == after.keys()


@pytest.mark.behaviour("MAP-7.07")
def test_own_applications_and_devices_never_come_back() -> None:
    apps = {"a-1": {"id": "a-1", "appName": "x", "instantiatedAppState": {"operationalState": "STARTED"}}, "own": {}}
    (entry,) = apps_of(apps, {"own"}).values()
    assert entry.labels == ("mec:app", "mec:appName=x", "mec:state=STARTED")
    devices = [{"deviceId": name, "requestedIotPlatformId": name, "enabled": True} for name in ("ours", "theirs")]
    assert {name: entry.labels for name, entry in devices_of(devices, "ours").items()} == {
        "theirs": ("mec:device", "mec:deviceId=theirs", "mec:platform=theirs", "mec:enabled=true")
    }


# --- real -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def edge() -> AsyncIterator[Cse]:
    """An edge CSE."""
    async with running_cse("MN") as cse:
        yield cse


@pytest.fixture
async def admin(edge: Cse) -> AsyncIterator[Client]:
    """A client with full access to it."""
    async with Client(edge.addresses()["http"], cse_id="/id-edge", originator=ADMIN) as client:
        yield client


async def labelled(client: Client, label: str) -> list[str]:
    return await client.discover(labels=[label])


async def latest(client: Client, place: str) -> Any:
    return json.loads((await client.latest(f"-/mec/{place}"))["con"])


async def gone(client: Client, address: str) -> bool:
    try:
        await client.retrieve(address)
    except RequestFailed:
        return True
    return False


@pytest.mark.behaviour("MAP-7.02", "MAP-7.04")
async def test_services_come_change_and_go_in_the_tree(mep: Mep, edge: Cse, admin: Client) -> None:
    # The poll is far too slow to help: what is seen here came by notifications.
    async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url, poll_s=60.0) as adapter:
        await until(lambda: adapter.status().mp1 == "SERVING")
        app_id = await mep.app()
        service = await mep.service(app_id, serName="mec013-1")
        place = f"services/{service['serInstanceId']}"
        await until(lambda: labelled(admin, "mec:serName=mec013-1"))
        await until(lambda: shows(admin, place, "ACTIVE"))
        changed = {**service_info(serName="mec013-1"), "state": "INACTIVE"}
        path = f"/mec_service_mgmt/v1/applications/{app_id}/services/{service['serInstanceId']}"
        assert (await mep.put(path, changed)).status == 200
        await until(lambda: labelled(admin, "mec:state=INACTIVE"))
        await until(lambda: shows(admin, place, "INACTIVE"))
        assert (await mep.delete(path)).status == 204
        await until(lambda: gone(admin, f"-/mec/{place}"))
        events = await admin.retrieve("-/mec/events", rcn=8, filter={"ty": [4], "lvl": 1})
        changes = [
            reference["changeType"]
            for entry in events["m2m:cin"]
            for reference in json.loads(entry["con"])["serviceReferences"]
            if reference["serName"] == "mec013-1"
        ]
        assert changes == ["ADDED", "STATE_CHANGED", "REMOVED"]


async def shows(client: Client, place: str, state: str) -> bool:
    try:
        return bool((await latest(client, place))["state"] == state)
    except RequestFailed:
        return False


@pytest.mark.behaviour("MAP-6.04")
async def test_polling_is_enough_where_nobody_can_call_back(mep: Mep, edge: Cse, admin: Client) -> None:
    async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url, callbacks=False) as adapter:
        await until(lambda: adapter.status().mp1 == "SERVING")
        assert mep.platform.documents.every("service_subscription") == []
        app_id = await mep.app()
        service = await mep.service(app_id, serName="polled")
        await until(lambda: labelled(admin, "mec:serName=polled"))
        await mep.delete(f"/mec_service_mgmt/v1/applications/{app_id}/services/{service['serInstanceId']}")
        await until(lambda: gone(admin, f"-/mec/services/{service['serInstanceId']}"))


@pytest.mark.behaviour("MAP-7.01", "MAP-7.06", "MAP-7.07")
async def test_own_services_are_not_mirrored_and_peers_are_named(mep: Mep, edge: Cse, admin: Client) -> None:
    app_id = await mep.app()
    told = {"onem2m": {"cseId": "/id-other", "poa": ["http://192.0.2.9:8080"]}}
    peer = await mep.service(app_id, serCategory=CATEGORY, transportInfo=transport(implSpecificInfo=told))
    async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url) as adapter:
        await until(lambda: adapter.status().mp1 == "SERVING" and adapter.status().mirrored == 1)
        (found,) = await labelled(admin, "mec:service")
        assert found.endswith(peer["serInstanceId"])
        await until(lambda: peers(admin))
        assert await latest(admin, "platform/peers") == [
            {
                "cseId": "/id-other",
                "poa": ["http://192.0.2.9:8080"],
                "serInstanceId": peer["serInstanceId"],
                "state": "ACTIVE",
            }
        ]
        await until(lambda: platform_is_serving(admin))
        assert (await latest(admin, "platform"))["apiRoot"] == mep.url


async def peers(client: Client) -> bool:
    try:
        return bool(await latest(client, "platform/peers"))
    except RequestFailed:
        return False


async def platform_is_serving(client: Client) -> bool:
    try:
        return bool((await latest(client, "platform"))["state"] == "SERVING")
    except RequestFailed:
        return False


@pytest.mark.behaviour("MAP-7.02")
async def test_what_went_while_the_adapter_was_away_is_gone_after_its_return(
    mep: Mep, edge: Cse, admin: Client
) -> None:
    app_id = await mep.app()
    kept, lost = await mep.service(app_id, serName="kept"), await mep.service(app_id, serName="lost")
    async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url) as adapter:
        await until(lambda: adapter.status().mirrored == 2)
    await mep.delete(f"/mec_service_mgmt/v1/applications/{app_id}/services/{lost['serInstanceId']}")
    async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url) as adapter:
        await until(lambda: gone(admin, f"-/mec/services/{lost['serInstanceId']}"))
        assert (await labelled(admin, "mec:service"))[0].endswith(kept["serInstanceId"])
        assert adapter.status().mirrored == 1


@pytest.mark.behaviour("MAP-7.02")
async def test_a_tree_that_was_deleted_is_built_again(mep: Mep, edge: Cse, admin: Client) -> None:
    app_id = await mep.app()
    await mep.service(app_id, serName="mec013-1")
    async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url) as adapter:
        await until(lambda: adapter.status().mirrored == 1)
        await admin.delete("-/mec/services")
        await mep.service(app_id, serName="mec021-1")
        await until(lambda: labelled(admin, "mec:serName=mec021-1"))
        await until(lambda: labelled(admin, "mec:serName=mec013-1"))


@pytest.mark.behaviour("MAP-7.03", "MAP-7.05", "MAP-7.07")
async def test_applications_and_devices_of_others_come_and_go_in_the_tree(mep: Mep, admin: Client, edge: Cse) -> None:
    gateway = await mep.app(appName="video", appProvider="Acme")
    platform = {"iotPlatformId": "their-platform", "enabled": True, "userTransportInfo": [BROKER]}
    assert (await mep.post("/iots/v1/registered_iot_platforms", platform)).status == 201
    device = {"deviceAuthenticationInfo": "x", "deviceId": "cam-1", "enabled": True}
    device["requestedIotPlatformId"] = "their-platform"
    assert (await mep.post("/iots/v1/registered_devices", device)).status == 201
    async with running_adapter(cse_url=edge.addresses()["http"], mep_url=mep.url) as adapter:
        await until(lambda: labelled(admin, "mec:device"))
        assert await labelled(admin, "mec:deviceId=cam-1") == await labelled(admin, "mec:device")
        (found,) = await labelled(admin, "mec:app")  # not our own CSE, which is an application instance too
        assert found.endswith(f"/apps/{gateway}")
        assert await labelled(admin, "mec:appName=video") == [found]
        assert (await latest(admin, f"apps/{gateway}"))["appProvider"] == "Acme"
        assert (await latest(admin, "devices/cam-1"))["deviceAuthenticationInfo"] == "x"
        assert (await mep.delete("/iots/v1/registered_devices/cam-1")).status == 204
        assert (await mep.delete(f"/mec_app_support/v2/registrations/{gateway}")).status == 204
        await until(lambda: gone(admin, "-/mec/devices/cam-1"))
        await until(lambda: gone(admin, f"-/mec/apps/{gateway}"))
        assert adapter.status().mirrored == 0
