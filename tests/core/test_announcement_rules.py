"""Rules of announced resources and of crossResourceSubscriptions that other tests leave open (procedures 10 and 20)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.ports import Engine
from tests.core.test_federation import Federation
from tests.core.world import World

URL = "http://127.0.0.1:9999/notify"
ONE, TWO, CRS = "cse-in/ae/one", "cse-in/ae/two", "cse-in/ae/crs"


@pytest.fixture
def two() -> Iterator[Federation]:
    """An IN-CSE and an MN-CSE with an AE ``dev`` of Cdev."""
    made = Federation("mqtt")
    body = {"m2m:ae": {"rn": "dev", "api": "Ndev", "rr": True, "srv": ["3"]}}
    assert made.middle.create("cse-mn", 2, body, "Cdev").status is Status.CREATED
    yield made
    for world in (made.infra, made.middle):
        asyncio.run(world.store.close())


def announce(two: Federation, **attributes: Any) -> str:
    """Announce a container of the AE to the IN-CSE; gives the address there."""
    created = two.middle.create("cse-mn/dev", 3, {"m2m:cnt": {"at": ["/id-in"], **attributes}}, "Cdev")
    assert created.status is Status.CREATED, created.content
    address: str = created.content["m2m:cnt"]["at"][0]
    return address


@pytest.mark.behaviour("PR-20.1.05")
def test_the_original_host_announces_in_its_own_name(two: Federation) -> None:
    two.middle.sent.clear()
    announce(two, rn="c", lbl=["x"])
    requests = [send.request for send in two.middle.sent]
    assert {request.originator for request in requests} == {"/id-mn"}
    made = [request for request in requests if request.operation is Operation.CREATE]
    assert [request.resource_type for request in made][-1] == 10003
    body = made[-1].content["m2m:cntA"]
    assert body["lnk"].startswith("/id-mn/")
    assert {"lnk", "et", "lbl"} <= set(body)


@pytest.mark.behaviour("PR-20.2.01")
@pytest.mark.parametrize("missing", ["lnk", "et"])
def test_an_announced_resource_links_to_its_original(two: Federation, missing: str) -> None:
    announce(two, rn="c")
    (base,) = two.infra.discover("cse-in", ty=[10005])
    whole = {"lnk": "/id-mn/other", "et": "20300101T000000", "rn": "x"}
    body = {name: value for name, value in whole.items() if name != missing}
    refused = two.infra.create(base, 10003, {"m2m:cntA": body}, "/id-mn")
    assert refused.status is (Status.BAD_REQUEST if missing == "lnk" else refused.status)
    made = two.infra.create(base, 10003, {"m2m:cntA": {**whole, "rn": "y"}}, "/id-mn")
    assert made.status is Status.CREATED, made.content
    shown = made.content["m2m:cntA"]
    assert shown["pi"] == two.infra.retrieve(base).content["m2m:cbA"]["ri"]
    assert shown["et"] <= whole["et"]
    for originator in ("CAdmin", "/id-mn"):
        wrong = two.infra.update(f"{base}/y", {"m2m:cntA": {"ri": "z"}}, originator)
        assert wrong.status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-20.2.04")
def test_changes_at_the_announced_resource_flow_back_only_where_asked(two: Federation) -> None:
    one_way = announce(two, rn="one", lbl=["a"])
    both_ways = announce(two, rn="both", lbl=["a"], ast=2)
    assert two.infra.update(one_way, {"m2m:cntA": {"lbl": ["b"]}}, "/id-mn").status is Status.UPDATED
    assert two.middle.retrieve("cse-mn/dev/one", "Cdev").content["m2m:cnt"]["lbl"] == ["a"]
    assert two.infra.update(both_ways, {"m2m:cntA": {"lbl": ["b"]}}).status is Status.UPDATED
    assert two.middle.retrieve("cse-mn/dev/both", "Cdev").content["m2m:cnt"]["lbl"] == ["b"]


# --- crossResourceSubscription ----------------------------------------------------------------------------------


@pytest.fixture
def world(store: Engine) -> World:
    """An AE with two containers."""
    made = World(store, "mqtt")
    made.ae()
    made.container(name="one")
    made.container(name="two")
    return made


def cross(world: World, **attributes: Any) -> Response:
    body = {"rn": "crs", "nu": [URL], "twt": 1, "tws": "PT10S", "rrat": [ONE, TWO], "encs": {"enc": [{"net": [3]}]}}
    return world.create("cse-in/ae", 48, {"m2m:crs": {**body, **attributes}}, "Cae")


@pytest.mark.behaviour("PR-10.02")
def test_one_criterion_for_all_or_one_for_each(world: World) -> None:
    assert cross(world, encs={"enc": [{"net": [3]}, {"net": [1]}]}, nec=3).status is Status.CREATED
    members = [world.retrieve(ri).content["m2m:sub"] for ri in world.retrieve(CRS).content["m2m:crs"]["rrats"]]
    assert [member["enc"] for member in members] == [{"net": [3]}, {"net": [1]}]
    assert [member["nec"] for member in members] == [3, 3]


@pytest.mark.behaviour("PR-10.03")
def test_what_was_made_is_taken_back_when_a_member_fails(world: World) -> None:
    world.ae("Cother", "other")
    world.container("cse-in/other", "closed", "Cother")
    refused = cross(world, rrat=[ONE, "cse-in/other/closed"])
    assert refused.status is Status.CROSS_RESOURCE_OPERATION_FAILURE
    assert world.discover("cse-in", ty=[23]) == []
    assert world.retrieve(CRS).status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-10.07")
@pytest.mark.parametrize(
    "changes",
    [{"rrat": [ONE]}, {"srat": [ONE]}, {"rrats": ["x"]}, {"encs": {"enc": []}}, {"nec": 2}, {"su": URL}],
)
def test_members_and_criteria_do_not_change(world: World, changes: dict[str, Any]) -> None:
    cross(world)
    assert world.update(CRS, {"m2m:crs": changes}, "Cae").status is Status.BAD_REQUEST
    assert world.update(CRS, {"m2m:crs": {"twt": 2, "tws": "PT5S"}}, "Cae").status is Status.UPDATED


@pytest.mark.behaviour("PR-10.09")
def test_children_of_a_cross_resource_subscription(world: World) -> None:
    cross(world)
    schedule = {"se": {"sce": ["* * * * * * *"]}}
    assert world.create(CRS, 18, {"m2m:sch": {**schedule, "rn": "other"}}, "Cae").status is Status.BAD_REQUEST
    made = world.create(CRS, 18, {"m2m:sch": schedule}, "Cae")
    assert made.content["m2m:sch"]["rn"] == "notificationSchedule"
    assert world.create(CRS, 25, {"m2m:ntpr": {"ntu": [URL]}}, "Cae").status is Status.CREATED
    assert world.retrieve(f"{CRS}/ntsr", "Cae").status is Status.OPERATION_NOT_ALLOWED
