"""mgmtCmd and execInstance: commands to the devices of nodes (TS-0001 clause 9.6.16, 9.6.17; procedures 8)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from tests.core.world import World

RESET, REBOOT, UPLOAD, SOFTWARE_UPDATE = 1, 2, 3, 7
UPLOADS = {"uld": [{"ftyp": "log", "url": "http://192.0.2.1/x", "unm": "u", "pwd": "p"}]}


@pytest.fixture(autouse=True)
def _nodes(world: World) -> None:
    for name in ("one", "two"):
        world.create("cse-in", 14, {"m2m:nod": {"rn": name, "ni": f"n-{name}"}})


def command(world: World, **attributes: Any) -> Response:
    return world.create("cse-in", 12, {"m2m:mgc": {"rn": "cmd", "cmt": REBOOT, "ext": "n-one", **attributes}})


def change(world: World, **attributes: Any) -> Response:
    return world.update("cse-in/cmd", {"m2m:mgc": attributes})


def executions(world: World) -> list[dict[str, Any]]:
    shown = world.retrieve("cse-in/cmd", result_content=8).content["m2m:mgc"]
    return list(shown.get("m2m:exin", ()))


def report(world: World, **attributes: Any) -> Status:
    return world.update(f"cse-in/cmd/{executions(world)[0]['rn']}", {"m2m:exin": attributes}).status


@pytest.mark.behaviour("PR-08.15")
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"cmt": 99}, Status.INVALID_CMDTYPE),
        ({"cmt": 0}, Status.INVALID_CMDTYPE),
        ({"cmt": "reboot"}, Status.BAD_REQUEST),
        ({"exra": {"rst": [{}]}}, Status.INVALID_ARGUMENTS),
        ({"cmt": UPLOAD, "exra": {**UPLOADS, "rst": [{}]}}, Status.INVALID_ARGUMENTS),
        ({"cmt": UPLOAD}, Status.INSUFFICIENT_ARGUMENTS),
        ({"cmt": UPLOAD, "exra": {"uld": []}}, Status.INSUFFICIENT_ARGUMENTS),
        ({"cmt": SOFTWARE_UPDATE, "exra": {}}, Status.INSUFFICIENT_ARGUMENTS),
        ({"cmt": UPLOAD, "exra": UPLOADS}, Status.CREATED),
        ({"cmt": RESET}, Status.CREATED),
    ],
)
def test_arguments_fit_the_kind_of_command(world: World, attributes: dict[str, Any], expected: Status) -> None:
    assert command(world, **attributes).status is expected


@pytest.mark.behaviour("PR-08.15")
def test_arguments_fit_after_an_update_too(world: World) -> None:
    command(world, cmt=UPLOAD, exra=UPLOADS)
    assert change(world, exra={"dld": []}).status is Status.INVALID_ARGUMENTS
    assert change(world, exra=None).status is Status.INSUFFICIENT_ARGUMENTS
    assert change(world, cmt=REBOOT).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-08.16")
def test_enabling_executes_the_command_each_time(world: World) -> None:
    made = command(world, exe=True, exm=1, exy="PT5S", exn=2)
    assert "exe" not in made.content["m2m:mgc"]
    assert executions(world) == []
    changed = change(world, exe=True)
    assert changed.status is Status.UPDATED, changed.content
    assert "exe" not in changed.content["m2m:mgc"]
    (execution,) = executions(world)
    assert (execution["exs"], execution["exr"], execution["ext"]) == (1, 31, "n-one")
    assert (execution["exm"], execution["exy"], execution["exn"]) == (1, "PT5S", 2)
    change(world, exe=True)
    assert len(executions(world)) == 2
    change(world, exe=False)
    assert len(executions(world)) == 2


@pytest.mark.behaviour("PR-08.16")
def test_a_group_of_nodes_gets_one_execution_each(world: World) -> None:
    world.create("cse-in", 9, {"m2m:grp": {"rn": "g", "mnm": 5, "mid": ["cse-in/one", "cse-in/two"]}})
    command(world, ext="cse-in/g")
    change(world, exe=True)
    assert [execution["ext"] for execution in executions(world)] == ["n-one", "n-two"]


def test_a_command_for_no_node_is_not_executed(world: World) -> None:
    command(world, ext="n-three")
    assert change(world, exe=True).status is Status.EXTERNAL_OBJECT_NOT_FOUND
    assert executions(world) == []


def test_executions_tell_subscribers(world: World) -> None:
    command(world)
    world.create("cse-in/cmd", 23, {"m2m:sub": {"nu": ["http://192.0.2.1/n"], "enc": {"net": [3]}}})
    change(world, exe=True)
    (event,) = world.notifications()
    assert event["nev"]["rep"]["m2m:exin"]["ext"] == "n-one"


@pytest.mark.behaviour("PR-08.17")
def test_target_and_mode_are_fixed_while_there_are_executions(world: World) -> None:
    command(world)
    change(world, exe=True)
    for attributes in ({"ext": "n-two"}, {"exm": 2}):
        assert change(world, **attributes).status is Status.OPERATION_NOT_ALLOWED
    assert change(world, dc="text").status is Status.UPDATED
    world.delete(f"cse-in/cmd/{executions(world)[0]['rn']}")
    assert change(world, ext="n-two").status is Status.UPDATED


@pytest.mark.behaviour("PR-08.18")
def test_an_execution_is_reported_and_then_over(world: World) -> None:
    command(world)
    change(world, exe=True)
    assert report(world, exs=2) is Status.UPDATED
    assert report(world, exs=3, exr=0) is Status.UPDATED
    assert report(world, exd=True) is Status.ALREADY_COMPLETE
    assert report(world, exs=1) is Status.ALREADY_COMPLETE
    assert report(world, exs=77) is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-08.18")
def test_an_execution_is_cancelled_while_it_can_be(world: World) -> None:
    command(world)
    change(world, exe=True)
    assert report(world, exd=True, exs=2) is Status.BAD_REQUEST
    assert report(world, exd=True) is Status.UPDATED
    assert executions(world)[0]["exs"] == 5
    assert report(world, exd=True) is Status.ALREADY_COMPLETE


@pytest.mark.behaviour("PR-08.19")
def test_what_cannot_be_cancelled_keeps_its_command(world: World) -> None:
    command(world)
    change(world, exe=True)
    report(world, exs=6)
    assert report(world, exd=True) is Status.MGMT_COMMAND_NOT_CANCELLABLE
    assert world.delete("cse-in/cmd").status is Status.MGMT_COMMAND_NOT_CANCELLABLE
    execution = f"cse-in/cmd/{executions(world)[0]['rn']}"
    assert world.delete(execution).status is Status.MGMT_COMMAND_NOT_CANCELLABLE
    report(world, exs=3, exr=0)
    assert world.delete("cse-in/cmd").status is Status.DELETED
    assert world.retrieve(execution).status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-08.18")
def test_an_execution_is_not_made_by_request(world: World) -> None:
    command(world)
    assert world.create("cse-in/cmd", 8, {"m2m:exin": {"ext": "n-one"}}).status is Status.OPERATION_NOT_ALLOWED
