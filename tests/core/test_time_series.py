"""timeSeries and timeSeriesInstance (TS-0001 clause 9.6.36, 10.2.4.27; procedures 6; expected-behaviours 15)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.core.timers import rebuild
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.resources.missing_data import Monitor
from tests.core.world import START_S, World

PATH = "cse-in/ae/ts"
PEI = {"pei": 10_000, "peid": 1_000, "mdt": 2_000}


@pytest.fixture(autouse=True)
def _ae(world: World) -> None:
    world.ae()


def make(world: World, **attributes: Any) -> Response:
    """CREATE a timeSeries."""
    return world.create("cse-in/ae", 29, {"m2m:ts": {"rn": "ts", **attributes}}, "Cae")


def change(world: World, **attributes: Any) -> Response:
    """UPDATE it."""
    return world.update(PATH, {"m2m:ts": attributes}, "Cae")


def shown(world: World) -> dict[str, Any]:
    """Its attributes."""
    found: dict[str, Any] = world.retrieve(PATH, "Cae").content["m2m:ts"]
    return found


def post(world: World, generated_s: float, content: Any = "x", **more: Any) -> Response:
    """CREATE an instance generated at an instant."""
    body = {"dgt": format_timestamp(generated_s), "con": content, **more}
    return world.create(PATH, 30, {"m2m:tsi": body}, "Cae")


@pytest.mark.behaviour("EB-15.02")
@pytest.mark.behaviour("PR-06.1.01", "PR-06.1.03")
def test_interval_parameters_must_fit_each_other(world: World) -> None:
    assert make(world, pei=1000, peid=501).status is Status.BAD_REQUEST
    assert make(world, mdd=True, pei=1000).status is Status.BAD_REQUEST
    assert make(world, mdd=True, pei=1000, mdt=500).status is Status.BAD_REQUEST
    created = make(world, mdd=True, pei=1000, peid=500, mdt=501)
    assert created.status is Status.CREATED, created.content
    assert "mdlt" not in created.content["m2m:ts"]


@pytest.mark.behaviour("EB-15.02", "EB-15.05")
@pytest.mark.behaviour("PR-06.1.01")
def test_the_tolerance_is_half_of_the_interval_unless_given(world: World) -> None:
    assert make(world, pei=1000).content["m2m:ts"]["peid"] == 500
    assert change(world, peid=100).status is Status.UPDATED
    assert change(world, pei=3000).content["m2m:ts"]["peid"] == 1500
    assert change(world, peid=1501).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-15.02")
@pytest.mark.parametrize("name", ["mdt", "mdn", "pei", "peid"])
@pytest.mark.behaviour("PR-06.2.01")
def test_parameters_change_only_while_detection_is_off_and_alone(world: World, name: str) -> None:
    make(world, mdn=5, **PEI)
    value = {"mdt": 3000, "mdn": 4, "pei": 3000, "peid": 500}[name]
    assert change(world, mdd=True, **{name: value}).status is Status.BAD_REQUEST
    assert change(world, **{name: value}).status is Status.UPDATED
    assert change(world, mdd=True).status is Status.UPDATED
    assert change(world, **{name: value}).status is Status.BAD_REQUEST
    assert change(world, mdd=False, **{name: value}).status is Status.BAD_REQUEST
    assert change(world, mdd=False).status is Status.UPDATED
    assert change(world, **{name: value}).status is Status.UPDATED


@pytest.mark.behaviour("EB-15.03")
@pytest.mark.parametrize("changes", [{"cnf": "text/plain:0"}, {"mdc": 1}, {"mdlt": []}, {"cni": 1}])
@pytest.mark.behaviour("PR-06.2.02")
def test_some_attributes_never_change_by_request(world: World, changes: Any) -> None:
    make(world, cnf="text/plain:0", **PEI)
    assert change(world, **changes).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-15.04")
def test_mdn_can_be_removed_while_detection_is_off(world: World) -> None:
    make(world, mdn=5, **PEI)
    assert "mdn" not in change(world, mdn=None).content["m2m:ts"]


@pytest.mark.behaviour("EB-15.06")
@pytest.mark.behaviour("PR-06.4.01")
def test_instances_have_a_time_of_generation_of_their_own(world: World) -> None:
    make(world)
    missing = world.create(PATH, 30, {"m2m:tsi": {"con": "x"}}, "Cae")
    assert missing.status is Status.BAD_REQUEST
    created = post(world, START_S, snr=7)
    assert created.status is Status.CREATED, created.content
    assert created.content["m2m:tsi"]["snr"] == 7
    assert post(world, START_S + 5).status is Status.CREATED
    for again in (0, 5):
        assert post(world, START_S + again).status is Status.CONFLICT
    assert post(world, START_S + 2).status is Status.CREATED
    rn = created.content["m2m:tsi"]["rn"]
    assert world.delete(f"{PATH}/{rn}", "Cae").status is Status.DELETED
    assert post(world, START_S).status is Status.CREATED


def test_a_relative_time_of_generation_counts_from_its_arrival(world: World) -> None:
    make(world)
    for _ in range(2):
        body = {"dgt": "-1000", "con": "x"}
        assert world.create(PATH, 30, {"m2m:tsi": body}, "Cae").status is Status.CREATED
    assert shown(world)["cni"] == 2


@pytest.mark.behaviour("EB-15.07")
@pytest.mark.behaviour("PR-06.4.02")
def test_limits_counters_latest_and_oldest_are_as_of_a_container(world: World) -> None:
    make(world, mni=2, mbs=5)
    assert post(world, START_S, "123456").status is Status.NOT_ACCEPTABLE
    for second, content in enumerate(("a", "bb", "cc")):
        assert post(world, START_S + second, content).status is Status.CREATED
    assert (shown(world)["cni"], shown(world)["cbs"]) == (2, 4)
    assert world.retrieve(f"{PATH}/ol", "Cae").content["m2m:tsi"]["con"] == "bb"
    latest = world.retrieve(f"{PATH}/la", "Cae").content["m2m:tsi"]
    assert (latest["con"], latest["cs"]) == ("cc", 2)
    assert "st" not in latest
    change(world, mni=1)
    assert (shown(world)["cni"], shown(world)["cbs"]) == (1, 2)
    assert world.delete(f"{PATH}/la", "Cae").status is Status.DELETED
    assert (shown(world)["cni"], shown(world)["cbs"]) == (0, 0)
    assert world.retrieve(f"{PATH}/la", "Cae").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-06.4.02")
def test_mia_bounds_the_life_of_instances(world: World) -> None:
    make(world, mia=10)
    post(world, START_S)
    world.advance(11)
    assert shown(world)["cni"] == 0


@pytest.mark.behaviour("EB-15.01")
@pytest.mark.behaviour("PR-06.4.03")
def test_a_time_series_is_not_below_another_and_instances_are_not_updated(world: World) -> None:
    make(world)
    assert world.create(PATH, 29, {"m2m:ts": {}}, "Cae").status is Status.INVALID_CHILD_RESOURCE_TYPE
    post(world, START_S)
    assert world.update(f"{PATH}/la", {"m2m:tsi": {"lbl": ["a"]}}, "Cae").status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("EB-15.08")
@pytest.mark.behaviour("PR-06.3.01")
def test_points_on_time_are_not_missing(world: World) -> None:
    make(world, mdd=True, **PEI)
    start = world.now
    for step, jitter in enumerate((0, 1, -1, 0.5, 0)):
        post(world, start + 10 * step + jitter)
        world.advance(10)
    assert not {"mdlt", "mdc"} & set(shown(world))


@pytest.mark.behaviour("EB-15.08")
@pytest.mark.parametrize("offset", [-3, 3, 1000, -100_000])
@pytest.mark.behaviour("PR-06.3.01")
def test_points_generated_at_the_wrong_time_are_missing(world: World, offset: float) -> None:
    make(world, mdd=True, mdn=3, **PEI)
    start = world.now
    post(world, start)
    for step in range(1, 5):
        world.advance(10)
        post(world, start + 10 * step + offset)
    world.advance(2.5)
    found = shown(world)
    assert (found["mdc"], len(found["mdlt"])) == (3, 3)
    assert found["mdlt"] == [format_timestamp(start + 10 * step) for step in (2, 3, 4)]


@pytest.mark.behaviour("PR-06.3.01")
def test_points_are_missing_when_the_detection_time_is_up_and_late_ones_stay_missing(world: World) -> None:
    make(world, mdd=True, **PEI)
    start = world.now
    post(world, start)
    world.advance(11.9)
    assert "mdc" not in shown(world)
    world.advance(0.2)
    assert shown(world)["mdlt"] == [format_timestamp(start + 10)]
    post(world, start + 10)
    assert shown(world)["mdc"] == 1


@pytest.mark.behaviour("PR-06.3.01")
def test_nothing_is_missing_before_the_first_instance(world: World) -> None:
    make(world, mdd=True, **PEI)
    world.advance(100)
    assert "mdc" not in shown(world)


@pytest.mark.behaviour("EB-15.09")
@pytest.mark.behaviour("PR-06.2.03")
def test_switching_detection_off_keeps_and_on_forgets_what_was_found(world: World) -> None:
    make(world, mdd=True, **PEI)
    post(world, world.now)
    world.advance(25)
    assert shown(world)["mdc"] == 2
    change(world, mdd=False)
    world.advance(50)
    assert shown(world)["mdc"] == 2
    change(world, mdd=True)
    assert not {"mdlt", "mdc"} & set(shown(world))
    world.advance(50)
    assert "mdc" not in shown(world)
    post(world, world.now)
    world.advance(12.5)
    assert shown(world)["mdc"] == 1


@pytest.mark.behaviour("PR-06.2.03")
def test_changing_a_parameter_forgets_what_was_found(world: World) -> None:
    make(world, mdd=True, **PEI)
    post(world, world.now)
    world.advance(25)
    change(world, mdd=False)
    change(world, mdn=3)
    assert "mdc" not in shown(world)


def test_detection_goes_on_after_a_restart(world: World) -> None:
    make(world, mdd=True, **PEI)
    post(world, world.now)
    world.cse.timers.clear()
    rebuild(world.cse, world.env())
    world.advance(12.5)
    assert shown(world)["mdc"] == 1


def test_a_first_point_of_long_ago_does_not_flood_the_list(world: World) -> None:
    make(world, mdd=True, mdn=4, pei=2, peid=1, mdt=5)
    post(world, START_S - 1_000_000)
    world.advance(0.2)
    assert shown(world)["mdc"] == 4


@pytest.mark.behaviour("EB-15.10")
@pytest.mark.behaviour("PR-06.3.02", "PR-09.3.08")
def test_subscribers_hear_of_missing_points_by_number_and_duration(world: World) -> None:
    make(world, mdd=True, **PEI)
    body = {"nu": ["http://127.0.0.1:1/n"], "enc": {"net": [8], "md": {"num": 2, "dur": "PT60S"}}}
    created = world.create(PATH, 23, {"m2m:sub": body}, "Cae")
    assert created.status is Status.CREATED, created.content
    post(world, world.now)
    world.advance(12.5)
    assert world.notifications() == []
    world.advance(20)
    events = [event["nev"] for event in world.notifications()]
    assert [event["rep"]["m2m:tsn"]["mdc"] for event in events] == [2, 3]
    assert [event["net"] for event in events] == [8, 8]


@given(st.lists(st.integers(0, 30), max_size=20, unique=True), st.lists(st.floats(0, 400), min_size=1, max_size=8))
def test_missing_points_are_those_that_never_came(came: list[int], looks: list[float]) -> None:
    monitor = Monitor(1000.0)
    for point in came:
        monitor.arrived(1000.0 + point * 10, 10.0, 1.0)
    missing = [instant for look in sorted(looks) for instant in monitor.overdue(1000.0 + look, 10.0, 2.0)]
    last = int((max(looks) - 2.0) // 10)
    assert missing == [1000.0 + 10 * n for n in range(1, last + 1) if n not in came]
