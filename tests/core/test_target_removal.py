"""Notification targets that remove themselves, and the policies that decide (TS-0001 clause 10.2.10.15)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.core.feedback import delivered
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from tests.core.world import World

PATH = "cse-in/ae/cnt"
POA = "http://127.0.0.1:9999/"
ACCEPT, REJECT, SEEK, INFORM = 1, 2, 3, 4


@pytest.fixture
def codec() -> str:
    """Policies do not depend on the codec."""
    return "http"


@pytest.fixture(autouse=True)
def _aes(world: World) -> None:
    open_policy = [world.policy("acp", ["Cae", "Ctarget"], 63)]
    world.ae(poa=[POA + "creator"], acpi=open_policy)
    world.ae("Ctarget", "target", poa=[POA + "target"], acpi=open_policy)
    world.container(acpi=open_policy)


def subscribe(world: World, **attributes: Any) -> None:
    """Subscribe Ctarget and the creator to child creations."""
    body = {"rn": "sub", "nu": ["Ctarget", "Cae"], "enc": {"net": [3]}, **attributes}
    assert world.create(PATH, 23, {"m2m:sub": body}, "Cae").status is Status.CREATED
    world.sent.clear()


def policy(world: World, action: int, label: str = "Default", originator: str = "Cae", **attributes: Any) -> str:
    """Create a notificationTargetPolicy; gives its address."""
    body = {"rn": f"{originator}-{label}", "acn": action, "plbl": label, **attributes}
    response = world.create("cse-in", 26, {"m2m:ntp": body}, originator)
    assert response.status is Status.CREATED, response.content
    return f"cse-in/{originator}-{label}"


def leave(world: World, originator: str = "Ctarget") -> Status:
    """DELETE ntsr."""
    return world.delete(f"{PATH}/sub/ntsr", originator).status


def targets(world: World) -> list[str]:
    """The notification targets now."""
    found: list[str] = world.retrieve(f"{PATH}/sub").content["m2m:sub"]["nu"]
    return found


@pytest.mark.behaviour("EB-11.23")
@pytest.mark.behaviour("PR-09.9.02")
def test_ntsr_can_only_be_deleted(world: World) -> None:
    subscribe(world)
    assert world.retrieve(f"{PATH}/sub/ntsr", "Ctarget").status is Status.OPERATION_NOT_ALLOWED
    assert world.update(f"{PATH}/sub/ntsr", {"m2m:sub": {}}, "Ctarget").status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("EB-11.24", "EB-11.27")
@pytest.mark.behaviour("PR-09.9.03", "PR-09.10.01")
def test_the_system_default_policy_refuses_and_stays(world: World) -> None:
    subscribe(world)
    assert leave(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert targets(world) == ["Ctarget", "Cae"]
    (found,) = world.discover("cse-in", ty=[26])
    assert "cr" not in world.retrieve(found).content["m2m:ntp"]
    assert world.delete(found).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-09.9.01")
def test_only_targets_may_leave(world: World) -> None:
    subscribe(world, nu=["Cae"])
    policy(world, ACCEPT)
    assert leave(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-11.24")
@pytest.mark.parametrize("action", [ACCEPT, REJECT, INFORM])
@pytest.mark.behaviour("PR-09.9.01", "PR-09.9.04")
def test_default_policy_of_the_creator(world: World, action: int) -> None:
    subscribe(world)
    policy(world, action)
    expected = Status.DELETED if action == ACCEPT else Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert leave(world) is expected
    assert targets(world) == (["Cae"] if action == ACCEPT else ["Ctarget", "Cae"])
    told = [send.request.content["m2m:sgn"] for send in world.sent]
    assert [(body["trr"], body["ntt"]) for body in told] == ([(True, "Ctarget")] if action == INFORM else [])


@pytest.mark.behaviour("EB-11.24")
@pytest.mark.parametrize("agrees", [True, False])
@pytest.mark.behaviour("PR-09.9.04")
def test_the_creator_is_asked(world: World, agrees: bool) -> None:
    subscribe(world)
    policy(world, SEEK)
    world.answers = lambda send: Response(Status.OK, content={"m2m:sgn": {"tra": agrees}})
    assert leave(world) is (Status.DELETED if agrees else Status.ORIGINATOR_HAS_NO_PRIVILEGE)
    assert world.sent[0].urls == (POA + "creator",)


@pytest.mark.behaviour("EB-11.25")
@pytest.mark.behaviour("PR-09.9.03")
def test_a_policy_reference_comes_before_the_default(world: World) -> None:
    subscribe(world)
    policy(world, REJECT)
    special = policy(world, ACCEPT, "special")
    body = {"rn": "ref", "ntu": ["Ctarget"], "npi": special}
    assert world.create(f"{PATH}/sub", 25, {"m2m:ntpr": body}, "Cae").status is Status.CREATED
    assert leave(world, "Cae") is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    world.update(f"{PATH}/sub/ref", {"m2m:ntpr": {"npi": "cse-in/nothing"}}, "Cae")
    assert leave(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    world.update(f"{PATH}/sub/ref", {"m2m:ntpr": {"npi": special}}, "Cae")
    assert leave(world) is Status.DELETED


@pytest.mark.behaviour("PR-09.9.06")
def test_the_last_target_takes_the_subscription_along(world: World) -> None:
    subscribe(world, nu=["Ctarget"])
    policy(world, ACCEPT)
    assert leave(world) is Status.DELETED
    assert world.retrieve(f"{PATH}/sub").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-09.9.01")
def test_removal_asked_in_the_answer_to_a_notification(world: World) -> None:
    subscribe(world)
    policy(world, ACCEPT)
    world.post(PATH)
    send = next(send for send in world.outbox if send.target == "Ctarget")
    steps = delivered(world.cse, world.env(), send, Response(Status.OK, content={"m2m:sgn": {"trr": True}}))
    assert steps is not None
    world._finish(steps)
    assert targets(world) == ["Cae"]


NOON, NIGHT = "* * 12 * * * *", "* * 3 * * * *"


@pytest.mark.behaviour("EB-11.26")
@pytest.mark.parametrize(
    ("rules", "join", "leaves"),
    [
        ([{"dr": {"tod": [NOON]}}], None, True),
        ([{"dr": {"tod": [NIGHT]}}], None, False),
        ([{"dr": {"tod": [NOON]}}, {"dr": {"tod": [NIGHT]}}], 1, False),
        ([{"dr": {"tod": [NOON]}}, {"dr": {"tod": [NIGHT]}}], 2, True),
        ([{"dr": {"tod": [NOON], "lr": {"accc": ["DE"]}}, "drr": 1}], None, False),
        ([{"dr": {"tod": [NOON], "lr": {"accc": ["DE"]}}, "drr": 2}], None, True),
    ],
)
@pytest.mark.behaviour("PR-09.9.05")
def test_deletion_rules(world: World, rules: list[dict[str, Any]], join: int | None, leaves: bool) -> None:
    subscribe(world)
    address = policy(world, ACCEPT, **({"rrs": join} if join else {}))
    for number, rule in enumerate(rules):
        made = world.create(address, 27, {"m2m:pdr": {"rn": f"r{number}", **rule}}, "Cae")
        assert made.status is Status.CREATED, made.content
    assert leave(world) is (Status.DELETED if leaves else Status.ORIGINATOR_HAS_NO_PRIVILEGE)


@pytest.mark.behaviour("EB-11.26")
@pytest.mark.behaviour("PR-09.10.02")
def test_there_are_two_deletion_rules_at_most(world: World) -> None:
    address = policy(world, ACCEPT)
    made = [world.create(address, 27, {"m2m:pdr": {}}, "Cae").status for _ in range(3)]
    assert made == [Status.CREATED, Status.CREATED, Status.CONFLICT]


@pytest.mark.behaviour("EB-11.27")
@pytest.mark.behaviour("PR-09.10.01")
def test_labels_are_unique_for_each_creator(world: World) -> None:
    policy(world, ACCEPT)
    policy(world, ACCEPT, originator="Ctarget")
    twice = world.create("cse-in", 26, {"m2m:ntp": {"acn": 1, "plbl": "Default"}}, "Cae")
    assert twice.status is Status.BAD_REQUEST
    other = policy(world, ACCEPT, "other")
    assert world.update(other, {"m2m:ntp": {"plbl": "Default"}}, "Cae").status is Status.BAD_REQUEST
    assert world.update(other, {"m2m:ntp": {"plbl": "third"}}, "Cae").status is Status.UPDATED
    assert world.delete(other, "Ctarget").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.delete(other, "Cae").status is Status.DELETED


@pytest.mark.behaviour("EB-11.28")
@pytest.mark.behaviour("PR-09.10.03")
def test_references_share_no_target(world: World) -> None:
    subscribe(world)
    for name, target in (("one", "Ctarget"), ("two", "Cae")):
        made = world.create(f"{PATH}/sub", 25, {"m2m:ntpr": {"rn": name, "ntu": [target]}}, "Cae")
        assert made.status is Status.CREATED
    overlap = {"m2m:ntpr": {"ntu": ["Ctarget", "Cae"]}}
    assert world.create(f"{PATH}/sub", 25, overlap, "Cae").status is Status.CONFLICT
    assert world.update(f"{PATH}/sub/two", overlap, "Cae").status is Status.CONFLICT
    empty = world.create(f"{PATH}/sub", 25, {"m2m:ntpr": {"ntu": []}}, "Cae")
    assert empty.status is Status.BAD_REQUEST
