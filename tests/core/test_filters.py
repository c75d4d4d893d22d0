"""Label queries, content filters, geo queries, ops, pages (TS-0001 clause 8.1.2; expected-behaviours 4, 18 geo)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cse.core.json_path import compile_json_path
from cse.core.label_query import compile_label_query
from cse.onem2m import geometry
from cse.onem2m.errors import BadRequest
from cse.onem2m.geometry import parse_geometry
from cse.onem2m.status import Status
from cse.storage import open_store
from tests.core.world import World


@pytest.fixture(params=["http", "mqtt", "coap"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One store is enough: filters see resources only."""
    store = open_store("memory")
    yield World(store, request.param)
    asyncio.run(store.close())


# --- label queries ----------------------------------------------------------------------------------------------------

LABELS = ["red", "room:kitchen", "floor:2"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("red", True),
        ("room", True),
        ("blue", False),
        ("NT blue", True),
        ("NT room", False),
        ("room:kitchen", True),
        ("room EQ kitchen", True),
        ("room EQ hall", False),
        ("room NE hall", True),
        ("room NE kitchen", False),
        ("garden NE hall", False),
        ("room IN(hall, kitchen)", True),
        ("room IN (hall)", False),
        ("room NI(hall,bath)", True),
        ("room NI(kitchen)", False),
        ("red AND floor:2", True),
        ("red AND blue", False),
        ("blue OR red", True),
        ("blue OR green", False),
        ("red OR blue AND blue", True),
        ("(red OR blue) AND blue", False),
        ('room EQ "kitchen"', True),
    ],
)
@pytest.mark.behaviour("PM-06.04")
def test_label_query(query: str, expected: bool) -> None:
    assert compile_label_query(query)(LABELS) is expected


@pytest.mark.parametrize("query", ["", "AND", "red AND", "room IN", "room IN(", "(red", "red blue", "NT", "(" * 100])
@pytest.mark.behaviour("PM-06.04")
def test_malformed_label_query(query: str) -> None:
    with pytest.raises(BadRequest):
        compile_label_query(query)


# --- content filters --------------------------------------------------------------------------------------------------

CONTENT = {
    "t": 21.5,
    "unit": "C",
    "on": True,
    "none": None,
    "v": [1, 2, 3],
    "s": [{"n": "a", "x": 1}, {"n": "b", "x": 9}],
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", True),
        ("$.t", True),
        ("$.none", True),
        ("$.missing", False),
        ("$['unit']", True),
        ("$.v[0]", True),
        ("$.v[-1]", True),
        ("$.v[3]", False),
        ("$.v[1:]", True),
        ("$.v[3:]", False),
        ("$.*", True),
        ("$.s[*].n", True),
        ("$..x", True),
        ("$..y", False),
        ("$.s[?(@.x > 5)]", True),
        ("$.s[?(@.x > 9)]", False),
        ("$.s[?(@.n == 'a' && @.x == 1)]", True),
        ("$.s[?(@.n == 'a' && @.x == 9)]", False),
        ("$.s[?(@.n == 'z' || @.x == 9)]", True),
        ("$.s[?(!@.y)]", True),
        ("$.s[?(@.y)]", False),
        ("$.v[?(@ >= 3)]", True),
        ("$.s[?(@.n != 'a')].x", True),
        ("$.s[?(@.n > 1)]", False),
        ("$[?(@ == true)]", True),
        ("$.v[?(@ == true)]", False),
        ("$..[?(@.n == 'b')]", True),
    ],
)
def test_json_path(path: str, expected: bool) -> None:
    assert compile_json_path(path)(CONTENT) is expected


@pytest.mark.parametrize(
    "path", ["", "t", "$.", "$[", "$[?(@.x ==)]", "$.s[(@.length-1)]", "$x", "$.v[::0]", "$[?" + "(" * 99]
)
def test_malformed_json_path(path: str) -> None:
    with pytest.raises(BadRequest):
        compile_json_path(path)


@pytest.mark.behaviour("PM-06.08")
def test_content_filter_finds_instances(world: World) -> None:
    world.ae()
    world.container()
    for content in ('{"t": 10}', '{"t": 30}', "no json", {"t": 50}):
        world.post(content=content)
    assert len(world.discover("cse-in", cfs=1, cfq="$[?(@ > 20)]")) == 2
    assert len(world.discover("cse-in", cfs=1, cfq="$.t")) == 3


@pytest.mark.parametrize("criteria", [{"cfs": 1}, {"cfq": "$.t"}, {"cfs": 2, "cfq": "$.t"}, {"cfs": 1, "cfq": "t"}])
@pytest.mark.behaviour("PM-06.08")
def test_content_filter_needs_both_parts(world: World, criteria: dict[str, Any]) -> None:
    assert world.retrieve("cse-in", filter={"fu": 1, **criteria}).status is Status.BAD_REQUEST


# --- geometry ---------------------------------------------------------------------------------------------------------

SQUARE = "[[[0,0],[10,0],[10,10],[0,10],[0,0]]]"
HOLED = "[[[0,0],[10,0],[10,10],[0,10],[0,0]],[[4,4],[6,4],[6,6],[4,6],[4,4]]]"


@pytest.mark.behaviour("EB-18.07")
@pytest.mark.parametrize(
    ("one", "other", "inside", "touches"),
    [
        ((1, "[5,5]"), (3, SQUARE), True, True),
        ((1, "[0,5]"), (3, SQUARE), False, True),
        ((1, "[11,5]"), (3, SQUARE), False, False),
        ((1, "[5,5]"), (3, HOLED), False, False),
        ((1, "[5,5]"), (1, "[5.0,5.0]"), True, True),
        ((1, "[5,5]"), (2, "[[0,0],[10,10]]"), True, True),
        ((1, "[0,0]"), (2, "[[0,0],[10,10]]"), False, True),
        ((2, "[[1,1],[9,9]]"), (3, SQUARE), True, True),
        ((2, "[[1,1],[9,9]]"), (3, HOLED), False, True),
        ((2, "[[1,1],[19,19]]"), (3, SQUARE), False, True),
        ((2, "[[0,0],[10,0]]"), (3, SQUARE), False, True),
        ((2, "[[-5,5],[15,5]]"), (3, SQUARE), False, True),
        ((2, "[[1,1],[2,2]]"), (2, "[[0,0],[10,10]]"), True, True),
        ((2, "[[0,10],[10,0]]"), (2, "[[0,0],[10,10]]"), False, True),
        ((3, "[[[1,1],[2,1],[2,2],[1,2],[1,1]]]"), (3, SQUARE), True, True),
        ((3, SQUARE), (3, SQUARE), True, True),
        ((3, SQUARE), (3, HOLED), False, True),
        ((3, HOLED), (3, SQUARE), True, True),
        ((3, "[[[4.5,4.5],[5,4.5],[5,5],[4.5,4.5]]]"), (3, HOLED), False, False),
        ((3, "[[[8,8],[12,8],[12,12],[8,8]]]"), (3, SQUARE), False, True),
        ((3, SQUARE), (1, "[5,5]"), False, True),
        ((4, "[[1,1],[2,2]]"), (3, SQUARE), True, True),
        ((4, "[[1,1],[12,2]]"), (3, SQUARE), False, True),
        ((5, "[[[1,1],[2,2]],[[3,3],[4,3]]]"), (3, SQUARE), True, True),
        ((6, "[[[[1,1],[2,1],[2,2],[1,1]]],[[[7,7],[8,7],[8,8],[7,7]]]]"), (3, SQUARE), True, True),
        ((3, "[[[1,1],[2,1],[2,2],[1,1]]]"), (6, f"[{SQUARE},[[[20,20],[30,20],[30,30],[20,20]]]]"), True, True),
        ((2, "[[5,5],[25,22]]"), (6, f"[{SQUARE},[[[20,20],[30,20],[30,30],[20,20]]]]"), False, True),
    ],
)
def test_geometries(one: tuple[int, str], other: tuple[int, str], inside: bool, touches: bool) -> None:
    first, second = parse_geometry(*one), parse_geometry(*other)
    assert geometry.within(first, second) is inside
    assert geometry.contains(second, first) is inside
    assert geometry.intersects(first, second) is touches
    assert geometry.intersects(second, first) is touches


@pytest.mark.behaviour("EB-18.06")
@pytest.mark.parametrize(
    "location",
    [
        {"typ": 1},
        {"crd": "[1.0, 2.0]"},
        {"typ": 7, "crd": "[1.0, 2.0]"},
        {"typ": 0, "crd": "[1.0, 2.0]"},
        {"typ": 1, "crd": "[1, 2]"},
        {"typ": 1, "crd": "[1.0]"},
        {"typ": 1, "crd": "nowhere"},
        {"typ": 1, "crd": [1.0, 2.0]},
        {"typ": 1, "crd": "[[1.0, 2.0]]"},
        {"typ": 2, "crd": "[[1.0, 2.0]]"},
        {"typ": 3, "crd": "[[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]"},
        {"typ": 3, "crd": "[[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]"},
        {"typ": 4, "crd": "[]"},
        {"typ": 5, "crd": "[[1.0, 2.0], [2.0, 3.0]]"},
        {"typ": 6, "crd": "[[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]"},
        {"typ": 1, "crd": "[1.0, 2.0]", "more": 1},
        [],
    ],
)
def test_invalid_location_is_4000(world: World, location: Any) -> None:
    body = {"m2m:ae": {"rn": "ae", "api": "Nx", "rr": True, "srv": ["3"], "loc": location}}
    assert world.create("cse-in", 2, body, "Cae").status is Status.BAD_REQUEST


def place(world: World, name: str, kind: int, coordinates: str) -> None:
    world.container(name=name, loc={"typ": kind, "crd": coordinates})


@pytest.mark.behaviour("EB-18.07")
@pytest.mark.parametrize(
    ("kind", "area", "function", "expected"),
    [
        (3, SQUARE, 1, {"point", "line"}),
        (3, SQUARE, 3, {"point", "line", "area"}),
        (1, "[15.0,15.0]", 2, {"area"}),
        (1, "[15.0,15.0]", 3, {"area"}),
        (2, "[[0.0,0.0],[30.0,30.0]]", 3, {"point", "line", "area"}),
        (4, "[[5.0,5.0],[100.0,100.0]]", 3, {"point", "line"}),
        (5, "[[[5.0,0.0],[5.0,10.0]]]", 1, {"point"}),
        (6, f"[{SQUARE}]", 1, {"point", "line"}),
    ],
)
@pytest.mark.behaviour("PM-06.09")
def test_geo_query(world: World, kind: int, area: str, function: int, expected: set[str]) -> None:
    world.ae()
    place(world, "point", 1, "[5.0,5.0]")
    place(world, "line", 2, "[[1.0,1.0],[9.0,9.0]]")
    place(world, "area", 3, "[[[8.0,8.0],[20.0,8.0],[20.0,20.0],[8.0,20.0],[8.0,8.0]]]")
    world.container(name="nowhere")
    found = world.discover("cse-in", gmty=kind, geom=area, gsf=function)
    assert {entry.rpartition("/")[2] for entry in found} == expected


@pytest.mark.behaviour("EB-18.07")
@pytest.mark.parametrize(
    "criteria",
    [
        {"gmty": 1},
        {"geom": "[1.0,1.0]"},
        {"gsf": 1},
        {"gmty": 1, "geom": "[1.0,1.0]"},
        {"gmty": 1, "geom": "[1.0,1.0]", "gsf": 4},
        {"gmty": 9, "geom": "[1.0,1.0]", "gsf": 1},
        {"gmty": 3, "geom": "[[[0.0,0.0],[1.0,0.0],[1.0,1.0],[0.0,1.0]]]", "gsf": 1},
        {"gmty": 1, "geom": "x", "gsf": 1},
    ],
)
@pytest.mark.behaviour("PM-06.09")
def test_incomplete_or_invalid_geo_query_is_4000(world: World, criteria: dict[str, Any]) -> None:
    assert world.retrieve("cse-in", filter={"fu": 1, **criteria}).status is Status.BAD_REQUEST


# --- in discovery -----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PM-06.04")
def test_label_query_in_discovery(world: World) -> None:
    world.ae()
    world.container(name="a", lbl=["room:kitchen", "wet"])
    world.container(name="b", lbl=["room:hall"])
    assert world.discover("cse-in", lbq="room NE hall AND wet") == ["cse-in/ae/a"]
    assert world.retrieve("cse-in", filter={"fu": 1, "lbq": "room IN"}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PM-06.10")
def test_ops_finds_what_the_originator_may_do(world: World) -> None:
    world.ae()
    world.ae("Creader", "reader")
    policy = world.policy("see", ["Creader"], 2 + 32)
    other = world.policy("change", ["Creader"], 2 + 4 + 32)
    world.container(name="a", acpi=[policy])
    world.container(name="b", acpi=[other])
    assert world.discover("cse-in", "Creader", ty=[3]) == ["cse-in/ae/a", "cse-in/ae/b"]
    assert world.discover("cse-in", "Creader", ty=[3], ops=4) == ["cse-in/ae/b"]
    assert world.retrieve("cse-in", filter={"fu": 1, "ops": 64}).status is Status.BAD_REQUEST
    assert world.retrieve("cse-in/ae/a", "Creader", filter={"ops": 4}).status is Status.NOT_IMPLEMENTED


@pytest.mark.behaviour("PM-05.14")
def test_pages_of_children_skip_whole_children(world: World) -> None:
    world.ae()
    for name in ("a", "b", "c"):
        world.container(name=name)
        world.container(f"cse-in/ae/{name}", f"{name}1")
    seen: list[str] = []
    offset: int | None = 1
    while offset:
        page = world.retrieve("cse-in/ae", "Cae", result_content=4, filter={"lim": 2, "ofst": offset, "ty": [3]})
        children = page.content["m2m:ae"].get("m2m:cnt", [])
        assert [len(child["m2m:cnt"]) for child in children] == [1] * len(children)
        seen += [child["rn"] for child in children]
        offset = page.content_offset
        assert (page.content_status == 1) == (offset is not None)
    assert seen == ["a", "b", "c"]


@pytest.mark.behaviour("EB-3.11")
@pytest.mark.behaviour("PM-05.08")
def test_rcn_12_gives_the_permissions_of_the_originator(world: World) -> None:
    world.ae()
    world.container(acpi=[world.policy("acp", ["Cother"], 2 + 4 + 32), world.policy("more", ["Cother"], 1)])
    answer = world.retrieve("cse-in/ae/cnt", "Cother", result_content=12)
    assert (answer.status, answer.content) == (Status.OK, {"m2m:cnt": {"acop": 1 + 2 + 4 + 32}})
    assert world.retrieve("cse-in/ae", "Cae", result_content=12).content == {"m2m:ae": {"acop": 63}}
    stranger = world.retrieve("cse-in/ae", "Cother", result_content=12)
    assert stranger.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
