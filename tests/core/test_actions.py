"""action and dependency: requests that a change causes (TS-0001 clause 9.6.61, 9.6.62, 10.2.22)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.ports import Resource
from cse.resources import action
from tests.core.world import World

SUBJECT, OBJECT = "cse-in/ae/subject", "cse-in/ae/object"
ACTION = f"{SUBJECT}/act"
OFF, ONCE, PERIODIC, CONTINUOUS = 0, 1, 2, 3


@pytest.fixture
def codec() -> str:
    """Actions do not depend on the codec."""
    return "mqtt"


@pytest.fixture(autouse=True)
def _tree(world: World) -> None:
    world.ae()
    world.container(name="subject")
    world.container(name="object")
    world.container(name="gate")


def act(world: World, originator: str = "Cae", **attributes: Any) -> Response:
    """Create an action below the subject: a label on the object when the subject has more than two instances."""
    body = {
        "rn": "act",
        "evc": {"optr": 3, "sbjt": "cni", "thld": 2},
        "evm": ONCE,
        "orc": OBJECT,
        "apv": {"op": 3, "fr": "Cae", "to": OBJECT, "rqi": "1", "rvi": "4", "pc": {"m2m:cnt": {"lbl": ["done"]}}},
        **attributes,
    }
    present = {name: value for name, value in body.items() if value is not None}
    return world.create(SUBJECT, 65, {"m2m:actr": present}, originator)


def happened(world: World) -> int:
    """How often the action was executed."""
    world.advance(0)
    state: int = world.retrieve(OBJECT).content["m2m:cnt"]["st"]
    return state


def fill(world: World, count: int = 3) -> None:
    """Make the subject meet the criteria."""
    for _ in range(count):
        world.post(SUBJECT)
        world.advance(0)


@pytest.mark.behaviour("EB-18.11", "PR-15.01")
@pytest.mark.parametrize(
    "attributes",
    [
        {"orc": "cse-in/nothing"},
        {"orc": None},
        {"sri": "cse-in/nothing"},
        {"evc": {"optr": 3, "sbjt": "nonsense", "thld": 2}},
        {"evc": {"optr": 3, "sbjt": "cni", "thld": "two"}},
        {"evc": {"optr": 3, "sbjt": "rn", "thld": "x"}},
        {"evc": {"optr": 9, "sbjt": "cni", "thld": 2}},
        {"evc": {"optr": 3, "sbjt": "cni"}},
        {"apv": {"op": 3, "fr": "Cother", "rqi": "1", "pc": {"m2m:cnt": {}}}},
        {"apv": {"fr": "Cae", "rqi": "1"}},
        {"apv": {"op": 1, "fr": "Cae", "rqi": "1", "pc": {"m2m:cnt": {}}}},
        {"evm": 4},
        {"evm": OFF, "ecp": 5},
        {"evm": ONCE, "ecp": 5},
        {"evm": PERIODIC, "ecp": 0},
        {"dep": ["x"]},
    ],
)
def test_actions_that_could_never_run(world: World, attributes: dict[str, Any]) -> None:
    assert act(world, **attributes).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-18.11", "PR-15.02")
def test_the_originator_needs_its_rights(world: World) -> None:
    open_subject = world.policy("acp", ["Cother"], 63)
    world.update(SUBJECT, {"m2m:cnt": {"acpi": [open_subject]}}, "Cae")
    world.ae("Cother", "other")
    primitive = {"op": 3, "fr": "Cother", "pc": {"m2m:cnt": {"lbl": ["x"]}}}
    assert act(world, "Cother", apv=primitive).status is Status.BAD_REQUEST
    assert act(world, "Cother", apv=primitive, orc=SUBJECT, sri=OBJECT).status is Status.BAD_REQUEST


def test_action_input_is_not_supported(world: World) -> None:
    assert act(world, ipu={"cstr": "x"}).status is Status.NOT_IMPLEMENTED


@pytest.mark.behaviour("EB-18.12", "PR-15.03")
def test_once(world: World) -> None:
    assert act(world).status is Status.CREATED
    fill(world, 2)
    assert happened(world) == 0
    fill(world)
    assert happened(world) == 1
    assert world.retrieve(OBJECT).content["m2m:cnt"]["lbl"] == ["done"]
    assert world.retrieve(ACTION).content["m2m:actr"]["air"]["rsc"] == 2004


@pytest.mark.behaviour("EB-18.12", "PR-15.03")
def test_off(world: World) -> None:
    act(world, evm=OFF)
    fill(world)
    assert happened(world) == 0
    world.update(ACTION, {"m2m:actr": {"evm": ONCE}}, "Cae")
    assert happened(world) == 0
    fill(world)
    assert happened(world) == 1


@pytest.mark.behaviour("EB-18.12", "PR-15.03")
def test_continuous(world: World) -> None:
    assert act(world, evm=CONTINUOUS, ecp=2).content["m2m:actr"]["ecp"] == 2
    fill(world, 6)
    assert happened(world) == 2
    assert act(world, rn="second", evm=CONTINUOUS).content["m2m:actr"]["ecp"] == 1000


@pytest.mark.behaviour("EB-18.12", "PR-15.03")
def test_periodic(world: World) -> None:
    act(world, evm=PERIODIC, ecp=5000)
    fill(world, 5)
    assert happened(world) == 1
    world.advance(5)
    fill(world, 2)
    assert happened(world) == 2


@pytest.mark.behaviour("PR-15.04")
def test_another_subject(world: World) -> None:
    act(world, sri="cse-in/ae/gate", evc={"optr": 1, "sbjt": "lbl", "thld": ["go"]})
    fill(world)
    world.update("cse-in/ae/gate", {"m2m:cnt": {"lbl": ["stop"]}}, "Cae")
    assert happened(world) == 0
    world.update("cse-in/ae/gate", {"m2m:cnt": {"lbl": ["go"]}}, "Cae")
    assert happened(world) == 1


@pytest.mark.behaviour("PR-15.05")
def test_smaller_priority_comes_first(world: World) -> None:
    for rn, priority in (("late", None), ("second", 2), ("first", 1)):
        primitive = {"op": 3, "fr": "Cae", "pc": {"m2m:cnt": {"lbl": [rn]}}}
        assert act(world, rn=rn, apy=priority, apv=primitive).status is Status.CREATED
    world.create(OBJECT, 23, {"m2m:sub": {"nu": ["Cae"], "enc": {"net": [1]}}}, "Cae")
    fill(world)
    world.advance(1)
    labels = [body["nev"]["rep"]["m2m:cnt"]["lbl"] for body in world.notifications()]
    assert labels == [["first"], ["second"], ["late"]]


@pytest.mark.behaviour("EB-18.11", "EB-18.14", "PR-15.06")
def test_update_checks_and_control(world: World) -> None:
    act(world, evm=PERIODIC, ecp=5000)
    for changes in ({"orc": None}, {"evm": ONCE, "ecp": 7}, {"sri": "cse-in/nothing"}, {"dep": ["cse-in"]}):
        assert world.update(ACTION, {"m2m:actr": changes}, "Cae").status is Status.BAD_REQUEST
    assert world.update(ACTION, {"m2m:actr": {"evm": ONCE}}, "Cae").status is Status.UPDATED
    assert "ecp" not in world.retrieve(ACTION).content["m2m:actr"]


def depend(world: World, rn: str, label: str, sufficient: bool) -> Response:
    """Create a dependency on a label of the gate."""
    body = {"rn": rn, "evc": {"optr": 1, "sbjt": "lbl", "thld": [label]}, "rri": "cse-in/ae/gate", "sfc": sufficient}
    return world.create(ACTION, 66, {"m2m:depr": body}, "Cae")


@pytest.mark.behaviour("EB-18.14", "PR-15.07")
@pytest.mark.parametrize(
    ("dependencies", "runs"),
    [
        ([("a", True)], True),
        ([("b", True)], False),
        ([("a", False)], True),
        ([("b", False)], False),
        ([("b", True), ("a", False)], True),
        ([("a", True), ("b", False)], True),
        ([("a", False), ("b", False)], False),
        ([("b", False), ("a", True)], False),
    ],
)
def test_dependencies_gate_the_action(world: World, dependencies: list[tuple[str, bool]], runs: bool) -> None:
    world.update("cse-in/ae/gate", {"m2m:cnt": {"lbl": ["a"]}}, "Cae")
    act(world)
    names = []
    for number, (label, sufficient) in enumerate(dependencies):
        assert depend(world, f"d{number}", label, sufficient).status is Status.CREATED
        names.append(f"{ACTION}/d{number}")
    assert world.update(ACTION, {"m2m:actr": {"dep": names}}, "Cae").status is Status.UPDATED
    fill(world)
    assert happened(world) == int(runs)


@pytest.mark.behaviour("EB-18.13", "PR-15.08", "PR-15.10")
def test_dependencies_are_checked_and_forgotten(world: World) -> None:
    act(world)
    body = {"evc": {"optr": 1, "sbjt": "lbl", "thld": ["a"]}, "rri": "cse-in/nothing", "sfc": True}
    assert world.create(SUBJECT, 66, {"m2m:depr": body}, "Cae").status is Status.INVALID_CHILD_RESOURCE_TYPE
    assert world.create(ACTION, 66, {"m2m:depr": body}, "Cae").status is Status.BAD_REQUEST
    depend(world, "d", "a", True)
    other_root = world.update(f"{ACTION}/d", {"m2m:actr": {"lbl": ["x"]}}, "Cae")
    assert other_root.status is Status.CONTENTS_UNACCEPTABLE
    wrong = {"evc": {"optr": 1, "sbjt": "nonsense", "thld": 1}}
    assert world.update(f"{ACTION}/d", {"m2m:depr": wrong}, "Cae").status is Status.BAD_REQUEST
    world.update(ACTION, {"m2m:actr": {"dep": [f"{ACTION}/d"]}}, "Cae")
    world.delete(f"{ACTION}/d", "Cae")
    assert "dep" not in world.retrieve(ACTION).content["m2m:actr"]


def test_a_change_costs_the_same_however_many_actions_watch_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the actions of the changed resource are looked at; neither they nor the others are searched for."""
    looked_at: list[str] = []
    consider = action.consider

    def counting(ctx: Any, one: Resource, rank: int = 0) -> None:
        looked_at.append(one.ri)
        consider(ctx, one, rank)

    monkeypatch.setattr(action, "consider", counting)
    own = act(world).content["m2m:actr"]["ri"]
    for number in range(200):
        act(world, rn=f"other{number}", sri="cse-in/ae/gate")
    of_type = world.store.of_type

    def searching(ty: int) -> Any:
        assert ty != 65, "all actions are gone through"
        return of_type(ty)

    looked_at.clear()
    monkeypatch.setattr(world.store, "of_type", searching)
    world.post(SUBJECT)
    assert looked_at == [own]
    world.post("cse-in/ae/object")
    assert looked_at == [own]
    world.post("cse-in/ae/gate")
    assert len(looked_at) == 201
