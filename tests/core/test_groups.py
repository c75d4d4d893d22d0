"""Groups and their fan-out point (TS-0001 clause 9.6.13, 10.2.7; expected-behaviours 10)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from tests.core.world import World


@pytest.fixture(autouse=True)
def _members(world: World) -> None:
    world.ae()
    world.container(name="a")
    world.container(name="b")


A, B = "cse-in/ae/a", "cse-in/ae/b"


def group(world: World, originator: str = "Cae", **attributes: Any) -> Response:
    """Create cse-in/ae/grp."""
    body = {"rn": "grp", "mnm": 10, "mid": [A, B], **attributes}
    return world.create("cse-in/ae", 9, {"m2m:grp": body}, originator)


def statuses(response: Response) -> list[int]:
    """The members' status codes of a fan-out."""
    assert response.status is Status.OK, response.content
    return [answer["rsc"] for answer in response.content["m2m:agr"]["m2m:rsp"]]


@pytest.mark.behaviour("EB-10.01", "EB-10.02")
@pytest.mark.behaviour("PR-07.1.01")
def test_members_are_counted_and_validated(world: World) -> None:
    shown = group(world, mid=[A, B, A, "/id-in/" + A]).content["m2m:grp"]
    assert shown["mid"] == [A, B]
    assert (shown["cnm"], shown["mtv"], shown["mt"]) == (2, True, 0)


@pytest.mark.behaviour("EB-10.03", "EB-10.05")
@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"mnm": 1}, Status.MAX_NUMBER_OF_MEMBER_EXCEEDED),
        ({"mnm": 0}, Status.BAD_REQUEST),
        ({"mid": ["cse-in/no"]}, Status.NOT_FOUND),
        ({"mt": 2, "csy": 2}, Status.GROUP_MEMBER_TYPE_INCONSISTENT),
        ({"cnm": 2}, Status.BAD_REQUEST),
    ],
)
@pytest.mark.behaviour("PR-07.1.03", "PR-07.1.08")
def test_groups_that_are_refused(world: World, attributes: dict[str, Any], status: Status) -> None:
    assert group(world, **attributes).status is status


@pytest.mark.behaviour("EB-10.04")
@pytest.mark.behaviour("PR-07.1.04")
def test_member_the_originator_may_not_read_is_5105(world: World) -> None:
    world.ae("Cother", "other")
    body = {"m2m:grp": {"rn": "g", "mnm": 5, "mid": [A]}}
    assert world.create("cse-in/other", 9, body, "Cother").status is Status.RECEIVER_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-10.05")
@pytest.mark.parametrize(("strategy", "members", "member_type"), [(1, [A], 3), (3, ["cse-in/ae", A], 0)])
@pytest.mark.behaviour("PR-07.1.06", "PR-07.1.08")
def test_members_of_another_type_by_strategy(world: World, strategy: int, members: list[str], member_type: int) -> None:
    shown = group(world, mid=["cse-in/ae", A], mt=3, csy=strategy).content["m2m:grp"]
    assert (shown["mid"], shown["mt"]) == (members, member_type)


@pytest.mark.behaviour("EB-10.01", "EB-10.03")
@pytest.mark.behaviour("PR-07.1.02", "PR-07.1.09")
def test_update_of_members_and_limits(world: World) -> None:
    group(world)
    path = "cse-in/ae/grp"
    assert world.update(path, {"m2m:grp": {"mnm": 1}}, "Cae").status is Status.MAX_NUMBER_OF_MEMBER_EXCEEDED
    assert world.retrieve(path).content["m2m:grp"]["cnm"] == 2
    assert world.update(path, {"m2m:grp": {"mid": [B]}}, "Cae").status is Status.UPDATED
    shown = world.retrieve(path).content["m2m:grp"]
    assert (shown["mid"], shown["cnm"]) == ([B], 1)
    assert world.update(path, {"m2m:grp": {"mt": 3}}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-10.09")
@pytest.mark.behaviour("PR-00.5.04", "PR-07.1.12")
def test_deleted_member_vanishes(world: World) -> None:
    group(world)
    world.delete(A, "Cae")
    shown = world.retrieve("cse-in/ae/grp").content["m2m:grp"]
    assert (shown["mid"], shown["cnm"]) == ([B], 1)


@pytest.mark.behaviour("EB-10.07")
@pytest.mark.behaviour("PR-00.7.06", "PR-07.2.01", "PR-07.2.07")
def test_fan_out_of_every_operation(world: World) -> None:
    group(world)
    fan = "cse-in/ae/grp/fopt"
    assert statuses(world.create(fan, 4, {"m2m:cin": {"con": "x"}}, "Cae")) == [2001, 2001]
    assert statuses(world.retrieve(f"{fan}/la", "Cae")) == [2000, 2000]
    assert statuses(world.update(fan, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")) == [2004, 2004]
    assert statuses(world.notify(fan, {"m2m:sgn": {}}, "Cae")) == [4000, 4000]
    assert statuses(world.delete(f"{fan}/la", "Cae")) == [2002, 2002]
    assert statuses(world.retrieve(f"{fan}/la", "Cae")) == [4004, 4004]
    assert statuses(world.delete(fan, "Cae")) == [2002, 2002]
    assert world.retrieve(fan, "Cae").status is Status.NO_MEMBERS


@pytest.mark.behaviour("PR-01.4.06", "PR-07.2.05")
def test_members_answer_for_themselves(world: World) -> None:
    world.update(A, {"m2m:cnt": {"acpi": [world.policy("acp", ["Cother"], 2)]}}, "Cae")
    world.create("cse-in/ae", 9, {"m2m:grp": {"rn": "g", "mnm": 5, "mid": [A, B], "macp": ["cse-in/acp"]}})
    assert statuses(world.retrieve("cse-in/ae/g/fopt", "Cother")) == [2000, 4103]


@pytest.mark.behaviour("EB-10.08")
@pytest.mark.behaviour("PR-01.4.06", "PR-07.2.02")
def test_fan_out_needs_the_members_policy(world: World) -> None:
    policy = world.policy("acp", ["Cother"], 2)
    group(world, macp=[policy])
    fan = "cse-in/ae/grp/fopt"
    assert world.retrieve(fan, "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert statuses(world.retrieve(fan, "Cother")) == [4103, 4103]
    assert world.update(fan, {"m2m:cnt": {}}, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-07.2.03")
def test_target_members(world: World) -> None:
    group(world)
    fan = "cse-in/ae/grp/fopt"
    assert statuses(world.ask(Operation.RETRIEVE, fan, "Cae", group_targets=[B])) == [2000]
    assert world.ask(Operation.RETRIEVE, fan, "Cae", group_targets=["cse-in/x"]).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-00.1.07", "PR-07.2.04")
def test_group_request_identifier_seen_before_is_4104(world: World) -> None:
    group(world)
    fan = "cse-in/ae/grp/fopt"
    assert statuses(world.retrieve(fan, "Cae", group_request_id="g1")) == [2000, 2000]
    assert world.retrieve(fan, "Cae", group_request_id="g1").status is Status.GROUP_REQUEST_IDENTIFIER_EXISTS


@pytest.mark.behaviour("PR-00.1.07", "PR-07.2.04")
def test_group_of_groups_and_loops(world: World) -> None:
    group(world)
    nested = {"m2m:grp": {"rn": "outer", "mnm": 5, "mid": ["cse-in/ae/grp/fopt", A]}}
    assert world.create("cse-in/ae", 9, nested, "Cae").status is Status.CREATED
    outer = world.retrieve("cse-in/ae/outer/fopt", "Cae").content["m2m:agr"]["m2m:rsp"]
    assert outer[0]["rsc"] == 2000
    assert [inner["rsc"] for inner in outer[0]["pc"]["m2m:agr"]["m2m:rsp"]] == [2000, 2000]
    world.update("cse-in/ae/grp", {"m2m:grp": {"mid": ["cse-in/ae/outer/fopt", A]}}, "Cae")
    looped = world.retrieve("cse-in/ae/outer/fopt", "Cae")
    assert looped.status is Status.OK
    assert "4104" in str(looped.content)


@pytest.mark.behaviour("PR-07.2.05")
def test_wrong_member_type_for_a_child_is_in_the_members_answer(world: World) -> None:
    group(world)
    answers = world.create("cse-in/ae/grp/fopt", 2, {"m2m:ae": {"api": "Nx", "rr": True, "srv": ["3"]}}, "Cae")
    assert statuses(answers) == [4108, 4108]
