"""Federation enablement (MEC 040) and the lifecycle façade (MEC 010-2) of the embedded platform."""

from typing import Any

import pytest

from tests.mec.conftest import Mep, StartMep

SYSTEMS = "/fed_enablement/v1/fed_resources/system_info"
APPS = "/app_lcm/v1/app_instances"


async def test_system_life(start_mep: StartMep) -> None:
    async with start_mep(platform_name="site-1", provider="us") as mep:
        own = (await mep.get(SYSTEMS)).body
        assert [(system["systemName"], system["systemProvider"]) for system in own] == [("site-1", "us")]
        created = await mep.post(SYSTEMS, {"systemName": "site-2", "systemProvider": "them", "systemId": "ignored"})
        assert created.status == 201
        system_id = created.body["systemId"]
        assert system_id != "ignored"
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
    assert (await mep.get(f"{SYSTEMS}?name=a")).status == 400


@pytest.mark.parametrize(
    "body", [{}, {"systemName": "x"}, {"systemProvider": "x"}, {"systemName": "", "systemProvider": "x"}]
)
async def test_wrong_system_is_400(mep: Mep, body: dict[str, Any]) -> None:
    assert (await mep.post(SYSTEMS, body)).status == 400


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
        ("GET", "/subscriptions", 501),
        ("POST", "/subscriptions", 501),
        ("GET", "/subscriptions/x", 404),
        ("DELETE", "/subscriptions/x", 404),
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
