"""flexContainer and flexContainerInstance (TS-0001 clause 9.6.35; procedures 5; expected-behaviours 9)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.resources.flex_container import GENERIC
from cse.resources.registry import load_registry, read_table
from tests.core.world import World

ROOT = "cod:tempe"
CND = "org.onem2m.common.moduleclass.temperature"


@pytest.fixture(autouse=True)
def _ae(world: World) -> None:
    world.ae()


def make(world: World, **attributes: Any) -> Response:
    """CREATE a temperature."""
    body = {"rn": "t", "cnd": CND, "curT0": 20.5, **attributes}
    return world.create("cse-in/ae", 28, {ROOT: body}, "Cae")


def change(world: World, **attributes: Any) -> Response:
    """UPDATE it."""
    return world.update("cse-in/ae/t", {ROOT: attributes}, "Cae")


def shown(world: World) -> dict[str, Any]:
    """Its attributes."""
    found: dict[str, Any] = world.retrieve("cse-in/ae/t", "Cae").content[ROOT]
    return found


def instances(world: World) -> list[Any]:
    """The temperatures of its instances, oldest first."""
    answer = world.retrieve("cse-in/ae/t", "Cae", result_content=8).content
    return [one["curT0"] for one in answer[ROOT].get(ROOT + "Inst", ())]


@pytest.mark.behaviour("EB-9.03")
@pytest.mark.behaviour("PR-05.03")
def test_state_and_size_follow_every_update(world: World) -> None:
    created = make(world)
    assert created.status is Status.CREATED, created.content
    first = created.content[ROOT]
    assert (first["cnd"], first["st"], first["cs"]) == (CND, 0, 4)
    updated = change(world, curT0=100.25, unit=1, lbl=["x"])
    assert updated.status is Status.UPDATED, updated.content
    assert (updated.content[ROOT]["st"], updated.content[ROOT]["cs"]) == (1, 7)
    assert "cni" not in shown(world)


@pytest.mark.behaviour("EB-9.01")
@pytest.mark.parametrize(
    "content",
    [
        {ROOT: {"cnd": "org.onem2m.common.moduleclass.battery", "curT0": 1.0}},
        {ROOT: {"cnd": "org.example.unknown", "curT0": 1.0}},
        {ROOT: {"curT0": 1.0}},
        {"cod:nothing": {"cnd": CND, "curT0": 1.0}},
        {"m2m:fcnt": {"cnd": CND}},
        {ROOT: {"cnd": CND}},
        {ROOT: {"cnd": CND, "curT0": "warm"}},
        {ROOT: {"cnd": CND, "curT0": 1.0, "colour": "red"}},
        {ROOT: {"cnd": CND, "curT0": 1.0, "cs": 4}},
        {ROOT: {"cnd": CND, "curT0": 1.0, "st": 4}},
    ],
)
@pytest.mark.behaviour("PR-00.2.06", "PR-05.01")
def test_what_does_not_fit_the_specialisation_is_4000(world: World, content: Any) -> None:
    assert world.create("cse-in/ae", 28, content, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-9.02")
@pytest.mark.parametrize("changes", [{"cnd": CND}, {"curT0": None}, {"curT0": "x"}, {"colour": 1}, {"cs": 1}])
@pytest.mark.behaviour("PR-00.4.03", "PR-05.02")
def test_an_update_keeps_to_the_specialisation(world: World, changes: Any) -> None:
    make(world)
    assert change(world, **changes).status is Status.BAD_REQUEST
    assert world.update("cse-in/ae/t", {"cod:bat": {}}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-9.04")
@pytest.mark.behaviour("PR-05.04")
def test_containers_and_flex_containers_may_be_below(world: World) -> None:
    make(world)
    assert world.create("cse-in/ae/t", 3, {"m2m:cnt": {}}, "Cae").status is Status.CREATED
    inner = {"cod:bat": {"cnd": "org.onem2m.common.moduleclass.battery", "lvl": 50}}
    created = world.create("cse-in/ae/t", 28, inner, "Cae")
    assert created.status is Status.CREATED, created.content
    assert shown(world)["st"] == 0


@pytest.mark.behaviour("EB-9.05")
@pytest.mark.parametrize("limit", ["mni", "mbs", "mia"])
@pytest.mark.behaviour("PR-05.05", "PR-05.09")
def test_limits_without_fcied_or_of_zero_are_4000(world: World, limit: str) -> None:
    assert make(world, **{limit: 10}).status is Status.BAD_REQUEST
    assert make(world, fcied=True, **{limit: 0}).status is Status.BAD_REQUEST
    make(world)
    assert change(world, **{limit: 10}).status is Status.BAD_REQUEST
    assert change(world, fcied=True, **{limit: 0}).status is Status.BAD_REQUEST
    assert change(world, fcied=True, **{limit: 10}).status is Status.UPDATED


@pytest.mark.behaviour("PR-05.05")
def test_without_fcied_there_is_no_latest_or_oldest(world: World) -> None:
    make(world)
    for name in ("la", "ol"):
        assert world.retrieve(f"cse-in/ae/t/{name}").status is Status.NOT_FOUND
        assert world.delete(f"cse-in/ae/t/{name}").status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-9.06")
@pytest.mark.behaviour("PR-05.06")
def test_with_fcied_every_change_of_the_content_is_kept(world: World) -> None:
    make(world, fcied=True, lbl=["a"])
    assert (shown(world)["cni"], shown(world)["cbs"]) == (1, 4)
    change(world, curT0=21.5)
    change(world, mni=10)
    assert instances(world) == [20.5, 21.5]
    change(world, lbl=["b"])
    change(world, loc={"typ": 1, "crd": "[50.0,8.0]"})
    assert instances(world) == [20.5, 21.5, 21.5, 21.5]
    assert (shown(world)["cni"], shown(world)["cbs"]) == (4, 16)
    latest = world.retrieve("cse-in/ae/t/la", "Cae").content[ROOT + "Inst"]
    assert (latest["ty"], latest["org"], latest["cs"], latest["lbl"]) == (58, "Cae", 4, ["b"])
    assert latest["loc"] == {"typ": 1, "crd": "[50.0,8.0]"}
    oldest = world.retrieve("cse-in/ae/t/ol", "Cae").content[ROOT + "Inst"]
    assert (oldest["curT0"], oldest["lbl"]) == (20.5, ["a"])
    assert "cnd" not in latest


@pytest.mark.behaviour("EB-9.09")
@pytest.mark.behaviour("PR-00.4.01", "PR-05.08")
def test_an_instance_is_read_and_deleted_but_never_written(world: World) -> None:
    make(world, fcied=True)
    body = {ROOT + "Inst": {"curT0": 1.0}}
    assert world.create("cse-in/ae/t", 58, body, "Cae").status is Status.OPERATION_NOT_ALLOWED
    rn = world.retrieve("cse-in/ae/t/la", "Cae").content[ROOT + "Inst"]["rn"]
    for name in ("la", rn):
        assert world.update(f"cse-in/ae/t/{name}", body, "Cae").status is Status.OPERATION_NOT_ALLOWED
    assert world.retrieve(f"cse-in/ae/t/{rn}", "Cae").status is Status.OK
    assert world.retrieve(f"cse-in/ae/t/{rn}", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.delete(f"cse-in/ae/t/{rn}", "Cae").status is Status.DELETED
    assert (shown(world)["cni"], shown(world)["cbs"]) == (0, 0)
    assert world.retrieve("cse-in/ae/t/la").status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-9.07")
@pytest.mark.behaviour("PR-05.10")
def test_limits_drop_the_oldest_instances(world: World) -> None:
    make(world, fcied=True, mni=2)
    for value in (21.5, 22.5):
        change(world, curT0=value)
    assert instances(world) == [21.5, 22.5]
    change(world, mni=1)
    assert instances(world) == [22.5]
    change(world, mni=None, mbs=8)
    for value in (23.5, 24.5):
        change(world, curT0=value)
    assert instances(world) == [23.5, 24.5]
    assert (shown(world)["cni"], shown(world)["cbs"]) == (2, 8)


@pytest.mark.behaviour("EB-9.07")
@pytest.mark.behaviour("PR-05.09")
def test_mbs_must_leave_room_for_the_content(world: World) -> None:
    assert make(world, fcied=True, mbs=3).status is Status.BAD_REQUEST
    assert make(world, fcied=True, mbs=4).status is Status.CREATED
    assert change(world, mbs=3).status is Status.BAD_REQUEST
    assert change(world, curT0=100.5).status is Status.BAD_REQUEST
    assert shown(world)["curT0"] == 20.5


@pytest.mark.behaviour("EB-8.05")
@pytest.mark.behaviour("PR-05.10")
def test_mia_bounds_the_life_of_instances(world: World) -> None:
    make(world, fcied=True, mia=10)
    world.advance(6)
    change(world, curT0=21.5)
    world.advance(6)
    assert instances(world) == [21.5]
    world.advance(6)
    assert world.retrieve("cse-in/ae/t/la").status is Status.NOT_FOUND
    assert shown(world)["cni"] == 0


@pytest.mark.behaviour("EB-9.08")
@pytest.mark.behaviour("PR-05.07")
def test_fcied_false_keeps_exactly_the_latest_and_null_nothing(world: World) -> None:
    make(world, fcied=True, mni=10)
    for value in (21.5, 22.5):
        change(world, curT0=value)
    change(world, fcied=False)
    assert instances(world) == [22.5]
    change(world, curT0=23.5)
    assert (instances(world), shown(world)["cni"]) == ([22.5], 1)
    change(world, fcied=True)
    assert instances(world) == [22.5, 23.5]
    assert change(world, fcied=None).status is Status.UPDATED
    assert instances(world) == []
    left = shown(world)
    assert not {"cni", "cbs", "mni", "mbs", "mia", "fcied"} & set(left)
    for name in ("la", "ol"):
        assert world.retrieve(f"cse-in/ae/t/{name}").status is Status.NOT_FOUND


def test_a_subscriber_to_new_children_hears_of_instances(world: World) -> None:
    make(world, fcied=True)
    body = {"nu": ["http://127.0.0.1:1/n"], "enc": {"net": [3]}}
    assert world.create("cse-in/ae/t", 23, {"m2m:sub": body}, "Cae").status is Status.CREATED
    change(world, curT0=21.5)
    (event,) = world.notifications()
    assert event["nev"]["rep"][ROOT + "Inst"]["curT0"] == 21.5


def test_discovery_finds_containers_and_instances_by_type_and_content(world: World) -> None:
    make(world, fcied=True)
    change(world, curT0=21.5)
    assert world.discover("cse-in", ty=[28]) == ["cse-in/ae/t"]
    assert len(world.discover("cse-in", ty=[58])) == 2
    assert world.discover("cse-in", ty=[28], atr=[{"nm": "curT0", "val": 21.5}]) == ["cse-in/ae/t"]


@pytest.mark.behaviour("PR-05.01")
def test_every_specialisation_of_the_table_is_known(world: World) -> None:
    registry = load_registry()
    rows = read_table("flexcontainers.json")["flexContainers"]
    assert set(registry[28].tables) == {row["root"] for row in rows}
    assert set(registry[58].tables) == {row["root"] + "Inst" for row in rows}
    (generic,) = (row for row in read_table("attributes.json")["resourceTypes"] if row["ty"] == 28)
    assert {row["sname"] for row in generic["attributes"]} == GENERIC
