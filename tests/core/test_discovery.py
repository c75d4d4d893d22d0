"""Discovery, filters and conditional operations (TS-0001 clause 10.2.6; expected-behaviours 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cse.onem2m.primitives import Operation
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from tests.core.world import World


@pytest.fixture(autouse=True)
def _tree(world: World) -> None:
    """cse-in/ae: a [red], a/b [red, blue] with two instances (one labelled red), c [blue]."""
    world.ae()
    world.container(name="a", lbl=["red"])
    world.advance(10)
    world.container("cse-in/ae/a", "b", lbl=["red", "blue"], mni=5)
    world.post("cse-in/ae/a/b", "short", lbl=["red"], cnf="text/plain:0")
    world.post("cse-in/ae/a/b", "x" * 100, cnf="application/json:0")
    world.advance(10)
    world.container(name="c", lbl=["blue", "key:value"])


A, B, C = "cse-in/ae/a", "cse-in/ae/a/b", "cse-in/ae/c"


def names(found: list[str]) -> set[str]:
    """The last parts of addresses; instances as 'cin'."""
    return {"cin" if entry.rpartition("/")[2].startswith("i") else entry.rpartition("/")[2] for entry in found}


@pytest.mark.behaviour("EB-4.07", "EB-4.11")
@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"ty": [3]}, {"a", "b", "c"}),
        ({"ty": [2]}, {"ae"}),
        ({"ty": [2, 3]}, {"ae", "a", "b", "c"}),
        ({"ty": [4]}, {"cin"}),
        ({"lbl": ["red"]}, {"a", "b", "cin"}),
        ({"lbl": ["red", "blue"]}, {"a", "b", "c", "cin"}),
        ({"lbl": ["key:value"]}, {"c"}),
        ({"lbl": ["r*"]}, {"a", "b", "cin"}),
        ({"lbl": ["none"]}, set()),
        ({"lbl": ["blue"], "ty": [4]}, set()),
        ({"lbl": ["blue"], "ty": [4], "fo": 2}, {"b", "c", "cin"}),
        ({"lbl": ["red"], "ty": [3]}, {"a", "b"}),
        ({"lbl": ["red"], "ty": [3], "fo": 3}, {"c", "cin"}),
        ({"ty": [3], "lvl": 2}, {"a", "c"}),
        ({"lbl": ["red"], "lvl": 2}, {"a"}),
        ({"ty": [3], "atr": [{"nm": "mni", "val": "5"}]}, {"b"}),
        ({"ty": [3], "atr": [{"nm": "cni", "val": "2"}]}, {"b"}),
        ({"atr": [{"nm": "api", "val": "N*"}]}, {"ae"}),
        ({"ty": [3], "pty": [3]}, {"b"}),
        ({"chty": [4]}, {"b"}),
        ({"ty": [3], "palb": ["red"]}, {"b"}),
        ({"ty": [3], "clbl": ["blue"]}, {"a"}),
        ({"sza": 50}, {"cin"}),
        ({"szb": 50, "ty": [4]}, {"cin"}),
        ({"szb": 3}, set()),
        ({"cty": ["text/plain"]}, {"cin"}),
        ({"stb": 2, "ty": [3]}, {"b"}),
        ({"sts": 1, "ty": [3]}, {"c"}),
    ],
)
@pytest.mark.behaviour("PM-06.02", "PM-06.03", "PM-06.05", "PM-06.06", "PM-06.07", "PM-06.11")
def test_filters(world: World, criteria: dict[str, Any], expected: set[str]) -> None:
    assert names(world.discover("cse-in", **criteria)) == expected


@pytest.mark.behaviour("EB-4.08")
@pytest.mark.parametrize(
    ("tag", "offset_s", "expected"),
    [
        ("crb", -15.0, {"a"}),
        ("cra", -15.0, {"b", "c"}),
        ("us", 100.0, {"a", "b", "c"}),
        ("ms", 100.0, set()),
        ("exa", 0.0, {"a", "b", "c"}),
        ("exb", 0.0, set()),
    ],
)
@pytest.mark.behaviour("PM-06.01")
def test_times(world: World, tag: str, offset_s: float, expected: set[str]) -> None:
    criteria = {tag: format_timestamp(world.now + offset_s)}
    assert names(world.discover("cse-in", ty=[3], **criteria)) == expected


@pytest.mark.behaviour("PM-06.16")
def test_the_target_itself_is_not_reported(world: World) -> None:
    assert names(world.discover(A, lbl=["red"])) == {"b", "cin"}


@pytest.mark.behaviour("EB-4.14")
@pytest.mark.behaviour("PM-02.11")
def test_unstructured_addresses(world: World) -> None:
    found = world.retrieve("cse-in", filter={"fu": 1, "ty": [3]}, desired_identifier=2).content["m2m:uril"]
    assert all("/" not in entry for entry in found)
    assert world.retrieve(found[0]).status is Status.OK


@pytest.mark.behaviour("EB-4.12")
@pytest.mark.behaviour("PM-06.12")
def test_limit_and_offset(world: World) -> None:
    everything = world.discover("cse-in", ty=[3])
    response = world.retrieve("cse-in", filter={"fu": 1, "ty": [3], "lim": 2})
    assert response.content["m2m:uril"] == everything[:2]
    assert (response.content_status, response.content_offset) == (1, 3)
    rest = world.retrieve("cse-in", filter={"fu": 1, "ty": [3], "lim": 2, "ofst": 3})
    assert rest.content["m2m:uril"] == everything[2:]
    assert rest.content_status is None
    assert world.discover("cse-in", ty=[3], lim=0) == []


@pytest.mark.behaviour("PM-06.12")
def test_results_are_bounded_without_a_limit(make_world: Callable[..., World], world: World) -> None:
    world.cse.settings = type(world.settings)(**{**_as_dict(world), "max_results": 2})
    response = world.retrieve("cse-in", filter={"fu": 1, "ty": [3]})
    assert len(response.content["m2m:uril"]) == 2
    assert response.content_status == 1


def _as_dict(world: World) -> dict[str, Any]:
    return {name: getattr(world.settings, name) for name in world.settings.__dataclass_fields__}


@pytest.mark.behaviour("EB-4.02")
@pytest.mark.behaviour("PM-05.05")
def test_references(world: World) -> None:
    response = world.retrieve("cse-in", filter={"fu": 1, "ty": [3], "lbl": ["blue"]}, result_content=6)
    entries = response.content["m2m:rrl"]["rrf"]
    assert [(entry["nm"], entry["typ"], entry["val"]) for entry in entries] == [("b", 3, B), ("c", 3, C)]
    assert world.retrieve("cse-in", filter={"fu": 1, "lbl": ["x"]}, result_content=6).content == {
        "m2m:rrl": {"rrf": []}
    }


@pytest.mark.behaviour("EB-4.13")
@pytest.mark.behaviour("PM-06.12")
def test_relative_path_is_appended_where_it_exists(world: World) -> None:
    assert world.discover("cse-in", ty=[3], arp="b") == [B]
    assert world.discover("cse-in", ty=[3], arp="la") == [f"{B}/la"]


@pytest.mark.behaviour("EB-4.03")
@pytest.mark.parametrize("rcn", [1, 4, 5, 8, 9])
@pytest.mark.behaviour("PM-05.05")
def test_other_result_contents_with_discovery_are_4000(world: World, rcn: int) -> None:
    assert world.retrieve("cse-in", filter={"fu": 1}, result_content=rcn).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-4.09")
@pytest.mark.parametrize(
    "criteria",
    [
        {"szb": -1},
        {"fo": 9},
        {"fu": 9},
        {"ty": [99999]},
        {"lvl": 0},
        {"ofst": 0},
        {"crb": "yesterday"},
        {"atr": [{"nm": "nonsense", "val": "x"}]},
    ],
)
@pytest.mark.behaviour("PM-06.14")
def test_bad_criteria_are_4000(world: World, criteria: dict[str, Any]) -> None:
    assert world.retrieve("cse-in", filter={"fu": 1, **criteria}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-4.04")
def test_unknown_target_is_4004(world: World) -> None:
    assert world.retrieve("cse-in/no", filter={"fu": 1}).status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-00.3.03", "PM-06.17")
def test_conditions_of_other_operations(world: World) -> None:
    assert world.retrieve(A, filter={"lbl": ["red"]}).status is Status.OK
    assert world.retrieve(A, filter={"lbl": ["blue"]}).status is Status.NOT_FOUND
    changed = {"m2m:cnt": {"mni": 3}}
    assert world.ask(Operation.UPDATE, A, content=changed, filter={"lbl": ["blue"]}).status is Status.NOT_FOUND
    assert world.ask(Operation.UPDATE, A, content=changed, filter={"lbl": ["red"]}).status is Status.UPDATED
    assert world.ask(Operation.DELETE, C, filter={"lbl": ["red"]}).status is Status.NOT_FOUND
    assert world.ask(Operation.DELETE, C, filter={"lbl": ["blue"]}).status is Status.DELETED
    children = world.retrieve(B, filter={"ty": [4], "lbl": ["red"]}, result_content=4).content["m2m:cnt"]
    assert [child["con"] for child in children["m2m:cin"]] == ["short"]


def test_labels_follow_updates_and_deletes(world: World) -> None:
    world.update(A, {"m2m:cnt": {"lbl": ["green"]}})
    assert names(world.discover("cse-in", lbl=["green"])) == {"a"}
    assert names(world.discover("cse-in", lbl=["red"])) == {"b", "cin"}
    world.delete(A)
    assert world.discover("cse-in", lbl=["green", "red"]) == []
