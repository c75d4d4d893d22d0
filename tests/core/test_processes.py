"""processManagement and state (TS-0001 clause 9.6.63, 9.6.64)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.core.timers import rebuild
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from tests.core.world import World

PROCESS, SUBJECT, OBJECT = "cse-in/ae/prc", "cse-in/ae/subject", "cse-in/ae/object"
ENABLE, DISABLE, PAUSE, REACTIVATE = 1, 2, 3, 4
DISABLED, ENABLED, ACTIVATED, PAUSED, COMPLETED = 1, 2, 3, 4, 5


@pytest.fixture
def codec() -> str:
    """Processes do not depend on the codec."""
    return "mqtt"


@pytest.fixture(autouse=True)
def _tree(world: World) -> None:
    world.ae()
    world.container(name="subject")
    world.container(name="object")
    assert world.create("cse-in/ae", 63, {"m2m:prmr": {"rn": "prc"}}, "Cae").status is Status.CREATED


def label(value: str) -> dict[str, Any]:
    """Criteria: the label of the subject."""
    return {"optr": 1, "sbjt": "lbl", "thld": [value]}


def change(world: World, **attributes: Any) -> Response:
    """UPDATE the process."""
    response = world.update(PROCESS, {"m2m:prmr": attributes}, "Cae")
    world.advance(0.001)
    return response


def state(world: World, name: str, **attributes: Any) -> Response:
    """Create a state."""
    return world.create(PROCESS, 64, {"m2m:stte": {"rn": name, **attributes}}, "Cae")


def say(world: World, value: str, path: str = SUBJECT) -> None:
    """Label a container."""
    world.update(path, {"m2m:cnt": {"lbl": [value]}}, "Cae")
    world.advance(0.001)


def now(world: World) -> tuple[int, list[str]]:
    """The status, and the names of the active states."""
    process = world.retrieve(PROCESS).content["m2m:prmr"]
    active = [
        name
        for name in ("one", "two")
        if (found := world.retrieve(f"{PROCESS}/{name}")).status is Status.OK and found.content["m2m:stte"]["sact"]
    ]
    return process["prst"], active


def build(world: World) -> None:
    """Two states; one leads to two when the AE is labelled so, two ends the process."""
    assert state(world, "two", sttrs=[{"evc": label("end")}]).status is Status.CREATED
    assert state(world, "one", sttrs=[{"evc": label("on"), "nxst": f"{PROCESS}/two"}]).status is Status.CREATED
    configured = change(
        world,
        inst=f"{PROCESS}/one",
        atcos=[{"evc": label("start"), "sri": SUBJECT}],
        encos=[{"evc": label("stop"), "sri": SUBJECT}],
    )
    assert configured.status is Status.UPDATED, configured.content


@pytest.mark.behaviour("PR-16.01")
def test_a_process_begins_disabled(world: World) -> None:
    made = world.retrieve(PROCESS).content["m2m:prmr"]
    assert (made["prst"], made["prct"]) == (DISABLED, DISABLE)
    assert world.create("cse-in/ae", 63, {"m2m:prmr": {"prst": 2}}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-16.02")
def test_the_way_of_a_process(world: World) -> None:
    build(world)
    assert change(world, prct=ENABLE).status is Status.UPDATED
    assert now(world) == (ENABLED, [])
    say(world, "start")
    assert now(world) == (ACTIVATED, ["one"])
    rebuild(world.cse, world.env())
    world.update("cse-in/ae", {"m2m:ae": {"lbl": ["on"]}}, "Cae")
    world.advance(0.001)
    assert now(world) == (ACTIVATED, ["two"])
    assert (
        world.retrieve(PROCESS).content["m2m:prmr"]["cust"]
        == world.retrieve(f"{PROCESS}/two").content["m2m:stte"]["ri"]
    )
    world.update("cse-in/ae", {"m2m:ae": {"lbl": ["end"]}}, "Cae")
    world.advance(0.001)
    assert now(world) == (COMPLETED, [])
    assert change(world, prct=DISABLE).status is Status.UPDATED
    assert now(world) == (DISABLED, [])


@pytest.mark.behaviour("PR-16.02")
def test_end_conditions_complete_it(world: World) -> None:
    build(world)
    say(world, "start")
    change(world, prct=ENABLE)
    assert now(world) == (ACTIVATED, ["one"])
    say(world, "stop")
    assert now(world) == (COMPLETED, [])


@pytest.mark.behaviour("PR-16.03")
def test_a_paused_process_stands_still(world: World) -> None:
    build(world)
    say(world, "start")
    change(world, prct=ENABLE)
    assert change(world, prct=PAUSE).status is Status.UPDATED
    say(world, "stop")
    assert now(world) == (PAUSED, ["one"])
    assert change(world, prct=REACTIVATE).status is Status.UPDATED
    assert now(world) == (COMPLETED, [])


@pytest.mark.behaviour("PR-16.03")
@pytest.mark.parametrize("control", [DISABLE, PAUSE, REACTIVATE])
def test_a_disabled_process_can_only_be_enabled(world: World, control: int) -> None:
    build(world)
    assert change(world, prct=control).status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("PR-16.03")
@pytest.mark.parametrize("control", [ENABLE, REACTIVATE])
def test_an_activated_process_can_be_paused_or_disabled(world: World, control: int) -> None:
    build(world)
    say(world, "start")
    change(world, prct=ENABLE)
    assert change(world, prct=control).status is Status.OPERATION_NOT_ALLOWED
    assert change(world, prct=DISABLE).status is Status.UPDATED


@pytest.mark.behaviour("PR-16.04")
def test_configuration_needs_a_disabled_process(world: World) -> None:
    build(world)
    change(world, prct=ENABLE)
    for changes in ({"inst": f"{PROCESS}/two"}, {"atcos": None}, {"encos": None}):
        assert change(world, **changes).status is Status.OPERATION_NOT_ALLOWED
    assert state(world, "three").status is Status.OPERATION_NOT_ALLOWED
    update = world.update(f"{PROCESS}/one", {"m2m:stte": {"sttrs": None}}, "Cae")
    assert update.status is Status.OPERATION_NOT_ALLOWED
    assert world.delete(f"{PROCESS}/one", "Cae").status is Status.OPERATION_NOT_ALLOWED
    change(world, prct=DISABLE)
    assert world.delete(f"{PROCESS}/one", "Cae").status is Status.DELETED


@pytest.mark.behaviour("PR-16.05")
def test_references_must_fit(world: World) -> None:
    build(world)
    wrong = Status.INVALID_PROCESS_CONFIGURATION
    assert change(world, inst=SUBJECT).status is wrong
    assert change(world, atcos=[{"evc": label("x"), "sri": "cse-in/nothing"}]).status is wrong
    assert change(world, atcos=[{"evc": {"optr": 1, "sbjt": "nonsense", "thld": 1}, "sri": SUBJECT}]).status is wrong
    assert state(world, "bad", sttrs=[{"evc": label("x"), "nxst": SUBJECT}]).status is wrong
    assert world.update(f"{PROCESS}/one", {"m2m:stte": {"stac": SUBJECT}}, "Cae").status is wrong


@pytest.mark.behaviour("PR-16.05")
def test_a_process_without_initial_state_is_not_enabled(world: World) -> None:
    assert change(world, prct=ENABLE).status is Status.INVALID_PROCESS_CONFIGURATION


@pytest.mark.behaviour("PR-16.06")
def test_the_action_of_a_state_runs_when_it_is_entered(world: World) -> None:
    build(world)
    action = {
        "rn": "act",
        "sri": SUBJECT,
        "evc": label("start"),
        "evm": 1,
        "orc": OBJECT,
        "apv": {"op": 3, "fr": "Cae", "pc": {"m2m:cnt": {"lbl": ["done"]}}},
    }
    assert world.create(f"{PROCESS}/one", 65, {"m2m:actr": action}, "Cae").status is Status.CREATED
    linked = world.update(f"{PROCESS}/one", {"m2m:stte": {"stac": f"{PROCESS}/one/act"}}, "Cae")
    assert linked.status is Status.UPDATED, linked.content
    say(world, "start")
    assert "lbl" not in world.retrieve(OBJECT).content["m2m:cnt"]
    change(world, prct=ENABLE)
    assert world.retrieve(OBJECT).content["m2m:cnt"]["lbl"] == ["done"]
    say(world, "on")
    assert now(world) == (ACTIVATED, ["two"])
