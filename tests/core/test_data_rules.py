"""Rules of containers, flexContainers and timeSeries that other tests leave open (procedures 4 to 6)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Engine
from tests.core.world import START_S, World

PATH = "cse-in/ae/cnt"
TS = "cse-in/ae/ts"
FLEX = "cse-in/ae/t"
ROOT = "cod:tempe"
CND = "org.onem2m.common.moduleclass.temperature"
URL = "http://127.0.0.1:9999/notify"


@pytest.fixture
def world(store: Engine) -> World:
    """An AE; data does not depend on the codec."""
    made = World(store, "mqtt")
    made.ae()
    return made


def shown(world: World, path: str = PATH) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(world.retrieve(path).content.values()))
    return found


def change(world: World, path: str = PATH, root: str = "m2m:cnt", **attributes: Any) -> Response:
    return world.update(path, {root: attributes}, "Cae")


# --- container and contentInstance ------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-04.1.01")
def test_a_container_begins_with_its_limits_and_nothing_in_it(world: World) -> None:
    made = world.create("cse-in/ae", 3, {"m2m:cnt": {"mni": 0, "mbs": 0, "mia": 0}}, "Cae").content["m2m:cnt"]
    assert (made["mni"], made["mbs"], made["mia"], made["cni"], made["cbs"], made["st"]) == (0, 0, 0, 0, 0, 0)
    assert not made.get("disr")
    refused = world.create("cse-in/ae", 3, {"m2m:cnt": {"li": "x"}}, "Cae")
    assert refused.status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-04.1.03")
def test_lower_limits_take_the_oldest(world: World) -> None:
    world.container()
    for content in ("aa", "bb", "cc", "dd"):
        world.post(PATH, content)
    change(world, mni=3)
    assert (shown(world)["cni"], shown(world)["cbs"]) == (3, 6)
    change(world, mbs=5)
    assert (shown(world)["cni"], shown(world)["cbs"]) == (2, 4)
    assert world.retrieve(f"{PATH}/ol").content["m2m:cin"]["con"] == "cc"


@pytest.mark.behaviour("PR-04.2.03")
@pytest.mark.parametrize("limit", [{"mni": 0}, {"mbs": 0}])
def test_where_nothing_can_be_kept_nothing_is(world: World, limit: dict[str, int]) -> None:
    world.container(**limit)
    assert world.post(PATH, "").status is Status.CREATED
    if "mni" in limit:
        assert world.post(PATH, "x").status is Status.CREATED
        assert world.retrieve(f"{PATH}/la").status is Status.NOT_FOUND
        assert (shown(world)["cni"], shown(world)["cbs"]) == (0, 0)
    else:
        assert world.post(PATH, "x").status is Status.NOT_ACCEPTABLE


@pytest.mark.behaviour("PR-04.2.01")
@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({}, Status.BAD_REQUEST),
        ({"con": None}, Status.BAD_REQUEST),
        ({"con": "x", "cs": 1}, Status.BAD_REQUEST),
        ({"con": "x", "st": 1}, Status.BAD_REQUEST),
        ({"con": "x", "acpi": []}, Status.BAD_REQUEST),
        ({"con": "x", "dcnt": 0}, Status.BAD_REQUEST),
        ({"con": "x", "dcnt": -1}, Status.BAD_REQUEST),
        ({"con": "x", "dcnt": 1, "dgt": "20260101T000000"}, Status.CREATED),
        ({"con": base64.b64encode(b"data").decode(), "cnf": "text/plain:1"}, Status.CREATED),
    ],
)
def test_what_an_instance_must_and_may_hold(world: World, content: dict[str, Any], status: Status) -> None:
    world.container()
    assert world.create(PATH, 4, {"m2m:cin": content}, "Cae").status is status
    assert shown(world)["cni"] == (status is Status.CREATED)


@pytest.mark.behaviour("PR-04.2.04")
def test_the_oldest_goes_silently_until_the_new_one_fits(world: World) -> None:
    world.container(mbs=10)
    for name, event in (("gone", 4), ("made", 3)):
        body = {"rn": name, "nu": [URL], "enc": {"net": [event]}}
        assert world.create(PATH, 23, {"m2m:sub": body}, "Cae").status is Status.CREATED
    for content in ("1234", "5678", "123456789"):
        assert world.post(PATH, content).status is Status.CREATED
    assert [body["nev"]["net"] for body in world.notifications()] == [3, 3, 3]
    assert (shown(world)["cni"], shown(world)["cbs"]) == (1, 9)


@pytest.mark.behaviour("PR-04.2.05")
def test_an_instance_lives_no_longer_than_mia(world: World) -> None:
    world.container(mia=60)
    latest = format_timestamp(world.now + 61)
    for expiry in (None, "20300101T000000"):
        more = {} if expiry is None else {"et": expiry}
        assert world.post(PATH, "x", **more).content["m2m:cin"]["et"] <= latest
    sooner = format_timestamp(world.now + 10)
    assert world.post(PATH, "x", et=sooner).content["m2m:cin"]["et"] == sooner


@pytest.mark.behaviour("PR-04.2.08")
def test_the_last_permitted_read_takes_the_instance(world: World) -> None:
    world.container()
    rn = world.post(PATH, "x", dcnt=1).content["m2m:cin"]["rn"]
    assert world.retrieve(f"{PATH}/{rn}").content["m2m:cin"]["con"] == "x"
    assert world.retrieve(f"{PATH}/{rn}").status is Status.NOT_FOUND
    assert shown(world)["cni"] == 0
    rn = world.post(PATH, "y", dcnt=3).content["m2m:cin"]["rn"]
    assert world.update(f"{PATH}/{rn}", {"m2m:cin": {"dcnt": 9}}, "Cae").status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("PR-04.3.01")
def test_latest_and_oldest_are_by_creation(world: World) -> None:
    world.container()
    names = [world.post(PATH, content, rn=name).content["m2m:cin"]["rn"] for name, content in (("z", "1"), ("a", "2"))]
    assert world.retrieve(f"{PATH}/ol").content["m2m:cin"]["rn"] == names[0]
    assert world.retrieve(f"{PATH}/la").content["m2m:cin"]["rn"] == names[1]


@pytest.mark.behaviour("PR-04.3.04")
def test_latest_answers_as_the_instance_does(world: World) -> None:
    world.container()
    rn = world.post(PATH, "x", lbl=["l"]).content["m2m:cin"]["rn"]
    for fields in ({}, {"result_content": 1}, {"attribute_list": ["con"]}, {"result_content": 0}):
        latest, direct = (world.retrieve(f"{PATH}/{name}", "Cae", **fields) for name in ("la", rn))
        assert (latest.status, latest.content if latest.status is Status.OK else 0) == (
            direct.status,
            direct.content if direct.status is Status.OK else 0,
        )


# --- flexContainer ----------------------------------------------------------------------------------------------


def flex(world: World, **attributes: Any) -> Response:
    return world.create("cse-in/ae", 28, {ROOT: {"rn": "t", "cnd": CND, "curT0": 20.5, **attributes}}, "Cae")


@pytest.mark.behaviour("PR-05.02")
def test_a_flex_container_is_exactly_its_specialisation(world: World) -> None:
    for changes in (
        {"cnd": "org.onem2m.common.moduleclass.battery"},
        {"cnd": None},
        {"curT0": None},
        {"curT0": "20"},
        {"curT0": [20.5]},
        {"nonsense": 1},
        {"cs": 1},
        {"st": 1},
    ):
        assert flex(world, **changes).status is Status.BAD_REQUEST, changes
    assert flex(world).status is Status.CREATED


@pytest.mark.behaviour("PR-05.03")
def test_the_content_size_is_that_of_the_custom_attributes(world: World) -> None:
    first = flex(world).content[ROOT]["cs"]
    after = change(world, FLEX, ROOT, lbl=["label"]).content[ROOT]
    assert (after["cs"], after["st"]) == (first, 1)
    after = change(world, FLEX, ROOT, curT0=-100.125).content[ROOT]
    assert after["cs"] > first
    assert after["st"] == 2


@pytest.mark.behaviour("PR-05.08")
def test_an_instance_shows_who_made_it_and_what_was_then(world: World) -> None:
    flex(world, fcied=True, mni=3, lbl=["l"])
    policy = world.policy("acp", ["Cother", "Cae"], 63)
    change(world, FLEX, ROOT, acpi=[policy])
    assert world.update(FLEX, {ROOT: {"curT0": 30.5}}, "Cother").status is Status.UPDATED
    latest, oldest = (world.retrieve(f"{FLEX}/{name}").content[f"{ROOT}Inst"] for name in ("la", "ol"))
    assert (oldest["org"], oldest["curT0"], latest["org"], latest["curT0"]) == ("Cae", 20.5, "Cother", 30.5)
    assert latest["lbl"] == ["l"]


# --- timeSeries -------------------------------------------------------------------------------------------------


def series(world: World, **attributes: Any) -> Response:
    return world.create("cse-in/ae", 29, {"m2m:ts": {"rn": "ts", **attributes}}, "Cae")


def point(world: World, second: float, content: Any = "x") -> Response:
    body = {"dgt": format_timestamp(START_S + second), "con": content}
    return world.create(TS, 30, {"m2m:tsi": body}, "Cae")


@pytest.mark.behaviour("PR-06.1.03")
@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"mdd": True, "pei": 1000}, Status.BAD_REQUEST),
        ({"mdd": True, "pei": 1000, "peid": 500, "mdt": 500}, Status.BAD_REQUEST),
        ({"mdd": True, "pei": 1000, "peid": 500, "mdt": 501}, Status.CREATED),
        ({"mdd": False, "pei": 1000}, Status.CREATED),
        ({"mdd": True, "pei": 1000, "mdt": 501, "mdlt": []}, Status.BAD_REQUEST),
        ({"mdd": True, "pei": 1000, "mdt": 501, "mdc": 0}, Status.BAD_REQUEST),
    ],
)
def test_detection_needs_a_patience_beyond_the_tolerance(
    world: World, attributes: dict[str, Any], status: Status
) -> None:
    assert series(world, **attributes).status is status


@pytest.mark.behaviour("PR-06.4.01")
def test_an_instance_needs_its_time_and_content(world: World) -> None:
    series(world, mbs=3)
    for body in ({"con": "x"}, {"dgt": "20300101T000000"}, {"dgt": "tomorrow", "con": "x"}, {"dgt": None, "con": "x"}):
        assert world.create(TS, 30, {"m2m:tsi": body}, "Cae").status is Status.BAD_REQUEST
    assert point(world, 0, "xxxx").status is Status.NOT_ACCEPTABLE
    assert point(world, 0, "xxx").status is Status.CREATED
    assert point(world, 0).status is Status.CONFLICT
    assert "st" not in world.retrieve(f"{TS}/la").content["m2m:tsi"]


@pytest.mark.behaviour("PR-06.4.03")
def test_latest_of_a_series_is_by_creation(world: World) -> None:
    series(world)
    for second in (10, 30, 20):
        point(world, second, str(second))
    assert world.retrieve(f"{TS}/la").content["m2m:tsi"]["con"] == "20"
    assert world.retrieve(f"{TS}/ol").content["m2m:tsi"]["con"] == "10"
    for name in ("la", "ol"):
        assert change(world, f"{TS}/{name}", "m2m:tsi", lbl=["x"]).status is Status.OPERATION_NOT_ALLOWED
        assert world.delete(f"{TS}/{name}", "Cae").status is Status.DELETED
    assert shown(world, TS)["cni"] == 1
