"""Nodes and management objects as independent suites check them (TS-0001 clause 9.6.18, annex D, TS-0022)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from tests.core.world import World

NODE = "cse-in/node"
OBJECT = f"{NODE}/obj"
STATUS = {"acn": "action", "sus": 1}
#: root, mgmtDefinition, attributes, one change
OBJECTS: tuple[tuple[str, int, dict[str, Any], dict[str, Any]], ...] = (
    ("m2m:fwr", 1001, {"vr": "1", "fwn": "fw", "url": "http://192.0.2.1", "ud": False}, {"vr": "2"}),
    ("m2m:swr", 1002, {"vr": "1", "swn": "sw", "url": "http://192.0.2.1"}, {"vr": "2"}),
    ("m2m:mem", 1003, {"mma": 1234, "mmt": 4321}, {"mma": 1000}),
    ("m2m:ani", 1004, {"ant": "type"}, {"ant": "other"}),
    ("m2m:andi", 1005, {"dvd": "id", "dvt": "type", "awi": "cse-in/ani", "sli": 5, "sld": 5}, {"sli": 6}),
    ("m2m:bat", 1006, {"btl": 23, "bts": 5}, {"btl": 99}),
    ("m2m:dvi", 1007, {"dlb": "a|b", "man": "m", "mod": "x", "dty": "t", "fwv": "1"}, {"fwv": "2"}),
    ("m2m:dvc", 1008, {"can": "c", "att": True, "cas": STATUS, "cus": True}, {"ena": True}),
    ("m2m:rbo", 1009, {"rbo": False, "far": False}, {"lbl": ["x"]}),
    ("m2m:evl", 1010, {"lgt": 1, "lgd": "data", "lgst": 1}, {"lgd": "more"}),
    ("dcfg:datc", 1021, {"cntp": "cse-in", "meil": 5}, {"meil": 6}),
    ("dcfg:wific", 1028, {"ssid": "net", "scan": False, "scanr": []}, {"ssid": "other"}),
)


@pytest.fixture(autouse=True)
def _node(world: World) -> None:
    assert world.create("cse-in", 14, {"m2m:nod": {"rn": "node", "ni": "n"}}).status is Status.CREATED


def make(world: World, root: str, mgd: int, **attributes: Any) -> Response:
    """CREATE an object below the node."""
    return world.create(NODE, 13, {root: {"rn": "obj", "mgd": mgd, **attributes}})


@pytest.mark.behaviour("EB-16.03")
def test_objects_show_what_they_were_made_of(world: World) -> None:
    for root, mgd, attributes, changes in OBJECTS:
        created = make(world, root, mgd, **attributes)
        assert created.status is Status.CREATED, (root, created.content)
        shown = world.retrieve(OBJECT).content[root]
        assert shown == created.content[root]
        assert (shown["ty"], shown["mgd"], shown["pi"]) == (13, mgd, world.retrieve(NODE).content["m2m:nod"]["ri"])
        assert {name: shown.get(name) for name in attributes} == attributes
        changed = world.update(OBJECT, {root: changes})
        assert changed.status is Status.UPDATED, (root, changed.content)
        for name, value in changes.items():
            assert changed.content[root][name] == value
        assert world.delete(OBJECT).status is Status.DELETED
        assert world.retrieve(OBJECT).status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-16.04")
@pytest.mark.parametrize(
    ("root", "mgd", "attributes"),
    [
        ("m2m:bat", 1006, {"btl": 1, "bts": 99}),
        ("m2m:evl", 1010, {"lgt": 99, "lgd": "x", "lgst": 1}),
        ("m2m:evl", 1010, {"lgt": 1, "lgd": "x", "lgst": 99}),
        ("m2m:dvc", 1008, {"can": "c", "att": True, "cas": {"acn": "a", "sus": 99}, "cus": True}),
        ("m2m:fwr", 1001, {"vr": "1", "fwn": "f", "url": "http://192.0.2.1", "ud": False, "uds": {"sus": 1}}),
        ("m2m:bat", 9999, {"btl": 1, "bts": 1}),
    ],
)
def test_values_out_of_range_are_4000(world: World, root: str, mgd: int, attributes: dict[str, Any]) -> None:
    assert make(world, root, mgd, **attributes).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-16.07")
@pytest.mark.parametrize(
    ("root", "mgd", "attributes"),
    [
        ("m2m:nycfc", 1023, {"suids": [9999], "mcff": "application/pkcs7", "mcfc": "x"}),
        ("m2m:nycfc", 1023, {"suids": "10", "mcff": "application/pkcs7", "mcfc": "x"}),
        ("m2m:nycfc", 1023, {"suids": [10], "mcff": "application/pkcs7"}),
        ("dcfg:datc", 1021, {"cntp": "cse-in", "rpsc": [{"sce": ["* * * * *"]}]}),
        ("dcfg:datc", 1021, {"cntp": "cse-in", "mesc": [{"sce": ["61 * * * * * *"]}]}),
        ("dcfg:datc", 1021, {"cntp": "cse-in", "mesc": {"sce": ["* * * * * * *"]}}),
    ],
)
def test_security_usages_and_schedules_are_checked(
    world: World, root: str, mgd: int, attributes: dict[str, Any]
) -> None:
    if root == "m2m:nycfc":
        root = next(name for name in world.cse.registry[13].tables if name.endswith(":nycfc"))
    assert make(world, root, mgd, **attributes).status is Status.BAD_REQUEST
    good = {"suids": [10], "mcff": "application/pkcs7", "mcfc": "x"} if root.endswith("nycfc") else {"cntp": "cse-in"}
    made = make(world, root, mgd, **good)
    assert made.status is Status.CREATED, made.content


@pytest.mark.behaviour("EB-16.02")
def test_the_list_of_hosted_entities_belongs_to_the_cse(world: World) -> None:
    assert world.create("cse-in", 14, {"m2m:nod": {"ni": "x", "hael": []}}).status is Status.BAD_REQUEST
    assert world.update(NODE, {"m2m:nod": {"hael": []}}).status is Status.BAD_REQUEST
    world.ae(nl=NODE)
    assert world.retrieve(NODE).content["m2m:nod"]["hael"] == ["Cae"]
    assert world.delete(NODE).status is Status.DELETED
    assert "nl" not in world.retrieve("cse-in/ae", "Cae").content["m2m:ae"]
