"""locationPolicy (TS-0001 clause 9.6.10, 10.2.5; procedures 13; expected-behaviours 18)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from tests.core.world import World

SQUARE = '{"type": "Polygon", "coordinates": [[[0.0,0.0],[10.0,0.0],[10.0,10.0],[0.0,10.0],[0.0,0.0]]]}'
IN, OUT = [5.0, 5.0], [20.0, 5.0]


@pytest.fixture(autouse=True)
def _ae(world: World) -> None:
    world.ae()


def make(world: World, **attributes: Any) -> Response:
    """CREATE a policy."""
    return world.create("cse-in/ae", 10, {"m2m:lcp": {"rn": "lcp", "lon": "positions", **attributes}}, "Cae")


def move(world: World, position: list[float]) -> None:
    """The device writes where it is."""
    shape = f'{{"type": "Point", "coordinates": {position}}}'
    assert world.post("cse-in/ae/positions", shape).status is Status.CREATED


def contents(world: World) -> list[str]:
    """What the container holds that is no position."""
    shown = world.retrieve("cse-in/ae/positions", "Cae", result_content=8).content["m2m:cnt"]
    return [one["con"] for one in shown.get("m2m:cin", ()) if "Point" not in one["con"]]


@pytest.mark.behaviour("EB-18.04", "PR-13.03")
def test_a_policy_brings_and_takes_its_container(world: World) -> None:
    created = make(world, los=2)
    assert created.status is Status.CREATED, created.content
    policy = created.content["m2m:lcp"]
    container = world.retrieve("cse-in/ae/positions", "Cae").content["m2m:cnt"]
    assert (policy["loi"], container["li"]) == (container["ri"], policy["ri"])
    assert (policy["lost"], policy["lit"]) == ("", 1)
    move(world, IN)
    assert contents(world) == []
    assert world.delete("cse-in/ae/lcp", "Cae").status is Status.DELETED
    assert world.retrieve("cse-in/ae/positions", "Cae").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-13.03")
def test_deleting_the_parent_takes_both(world: World) -> None:
    make(world, los=2)
    assert world.delete("cse-in/ae", "Cae").status is Status.DELETED
    assert world.discover("cse-in", ty=[3, 10]) == []


@pytest.mark.behaviour("EB-18.04", "PR-13.04")
def test_the_name_of_the_container_must_be_free(world: World) -> None:
    world.container(name="positions")
    assert make(world, los=2).status is Status.BAD_REQUEST
    assert make(world, los=2, lon="lcp").status is Status.BAD_REQUEST
    assert world.retrieve("cse-in/ae/lcp", "Cae").status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-18.03", "PR-13.01", "PR-13.02", "PR-13.05")
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"los": 9},
        {"los": 1},
        {"los": 1, "lot": "x"},
        {"los": 1, "lor": "http://192.0.2.1"},
        {"los": 2, "lot": "x"},
        {"los": 2, "lor": "http://192.0.2.1"},
        {"los": 2, "aid": "x"},
        {"los": 2, "rlkl": True},
        {"los": 2, "luec": 0},
        {"los": 2, "loi": "x"},
        {"los": 2, "gta": "nowhere"},
        {"los": 2, "gta": '{"type": "Point", "coordinates": [1.0, 2.0]}'},
        {"los": 2, "gta": "[[[0.0,0.0],[10.0,0.0],[10.0,10.0],[0.0,10.0]]]"},
        {"los": 2, "gta": "[[[0.0,0.0],[10.0,0.0],[0.0,0.0]]]"},
    ],
)
def test_what_does_not_fit_the_source_is_4000(world: World, attributes: Any) -> None:
    assert make(world, **attributes).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-13.01")
@pytest.mark.parametrize("attributes", [{"los": 1, "lot": "x", "lor": "http://192.0.2.1"}, {"los": 3}])
def test_positions_from_elsewhere_are_not_supported(world: World, attributes: Any) -> None:
    assert make(world, **attributes).status is Status.NOT_IMPLEMENTED


@pytest.mark.behaviour("EB-18.05", "PR-13.06")
@pytest.mark.parametrize(
    ("criterion", "expected"), [(1, ["1", "1"]), (2, ["2"]), (3, ["3", "3", "3"]), (4, ["4", "4"])]
)
def test_geofence_events_follow_the_positions(world: World, criterion: int, expected: list[str]) -> None:
    make(world, los=2, lit=2, gta=SQUARE, gec=criterion)
    for position in (OUT, IN, IN, OUT, IN):
        move(world, position)
    assert contents(world) == expected
    shown = world.retrieve("cse-in/ae/positions", "Cae").content["m2m:cnt"]
    assert shown["cni"] == 5 + len(expected)


@pytest.mark.behaviour("PR-13.06")
def test_what_is_no_position_causes_no_event(world: World) -> None:
    make(world, los=2, lit=2, gta=SQUARE, gec=4)
    for content in ("hello", '{"type": "Point"}', '{"type": "Point", "coordinates": ["a", 1]}'):
        assert world.post("cse-in/ae/positions", content).status is Status.CREATED
    assert world.retrieve("cse-in/ae/positions", "Cae").content["m2m:cnt"]["cni"] == 3


@pytest.mark.behaviour("PR-13.02")
def test_updates_keep_to_the_source(world: World) -> None:
    make(world, los=2)
    for refused in ({"gta": "x"}, {"loi": "x"}, {"los": 1}, {"rlkl": True}, {"lost": "x"}):
        assert world.update("cse-in/ae/lcp", {"m2m:lcp": refused}, "Cae").status is Status.BAD_REQUEST
    assert world.update("cse-in/ae/lcp", {"m2m:lcp": {"gta": SQUARE}}, "Cae").status is Status.UPDATED
