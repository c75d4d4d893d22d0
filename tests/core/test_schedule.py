"""schedule (TS-0001 clause 9.6.9; procedures 11; expected-behaviours 18)."""

from __future__ import annotations

import pytest

from cse.onem2m.status import Status
from tests.core.world import World

ALWAYS = {"sce": ["* * * * * * *"]}
#: the world begins at 12:00
AT_NOON = {"sce": ["* * 12 * * * *"]}


@pytest.mark.behaviour("EB-18.02")
@pytest.mark.behaviour("PR-11.02")
def test_a_schedule_below_the_cse_base_is_the_only_one(world: World) -> None:
    assert world.create("cse-in", 18, {"m2m:sch": {"rn": "s", "se": ALWAYS}}).status is Status.CREATED
    assert world.create("cse-in", 18, {"m2m:sch": {"se": ALWAYS}}).status is Status.BAD_REQUEST
    assert world.update("cse-in/s", {"m2m:sch": {"se": AT_NOON}}).content["m2m:sch"]["se"] == AT_NOON
    assert world.delete("cse-in/s").status is Status.DELETED
    assert world.create("cse-in", 18, {"m2m:sch": {"se": ALWAYS}}).status is Status.CREATED


@pytest.mark.parametrize(
    ("entry", "valid"),
    [
        ("0-59/15 */2 0,23 1-31 12 0-6 2027", True),
        ("5/10 * * * * * *", True),
        ("60 * * * * * *", False),
        ("* 60 * * * * *", False),
        ("* * 24 * * * *", False),
        ("* * * 0 * * *", False),
        ("* * * 32 * * *", False),
        ("* * * * 13 * *", False),
        ("* * * * * 7 *", False),
        ("* * * * * * 20270", False),
        ("30-10 * * * * * *", False),
        ("*/0 * * * * * *", False),
        ("1, * * * * * *", False),
        ("9" * 5000 + " * * * * * *", False),
        ("* * * * * *", False),
    ],
)
def test_fields_of_an_entry_keep_to_their_ranges(world: World, entry: str, valid: bool) -> None:
    created = world.create("cse-in", 18, {"m2m:sch": {"se": {"sce": [entry]}}})
    assert created.status is (Status.CREATED if valid else Status.BAD_REQUEST)


@pytest.mark.parametrize("element", [None, {}, {"sce": []}, {"sce": ["* * *"]}, {"sce": ["x * * * * * *"]}, "* * * *"])
@pytest.mark.behaviour("PR-11.01")
def test_what_is_no_schedule_is_4000(world: World, element: object) -> None:
    assert world.create("cse-in", 18, {"m2m:sch": {"se": element}}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-18.01", "EB-18.02")
@pytest.mark.behaviour("PR-11.03")
def test_network_coordination_goes_with_nodes_and_is_not_supported(world: World) -> None:
    assert world.create("cse-in", 18, {"m2m:sch": {"se": ALWAYS, "nco": True}}).status is Status.CONTENTS_UNACCEPTABLE
    world.create("cse-in", 18, {"m2m:sch": {"rn": "s", "se": ALWAYS}})
    assert world.update("cse-in/s", {"m2m:sch": {"nco": False}}).status is Status.CONTENTS_UNACCEPTABLE
    world.create("cse-in", 14, {"m2m:nod": {"rn": "n", "ni": "n"}})
    assert world.create("cse-in/n", 18, {"m2m:sch": {"se": ALWAYS, "nco": True}}).status is Status.NOT_IMPLEMENTED
    created = world.create("cse-in/n", 18, {"m2m:sch": {"rn": "s", "se": ALWAYS, "nco": False}})
    assert created.status is Status.CREATED, created.content
    assert world.update("cse-in/n/s", {"m2m:sch": {"nco": True}}).status is Status.NOT_IMPLEMENTED


@pytest.mark.behaviour("PR-11.04")
def test_the_schedule_of_a_subscription_has_a_fixed_name(world: World) -> None:
    world.ae()
    world.create("cse-in/ae", 23, {"m2m:sub": {"rn": "sub", "nu": ["http://127.0.0.1:1/n"]}}, "Cae")
    refused = world.create("cse-in/ae/sub", 18, {"m2m:sch": {"rn": "other", "se": ALWAYS}}, "Cae")
    assert refused.status is Status.BAD_REQUEST
    body = {"rn": "notificationSchedule", "se": ALWAYS}
    assert world.create("cse-in/ae/sub", 18, {"m2m:sch": body}, "Cae").status is Status.CREATED


@pytest.mark.behaviour("PR-00.1.02", "PR-11.05")
def test_a_cse_that_is_inactive_refuses_all_but_its_administrators(world: World) -> None:
    world.ae()
    world.create("cse-in", 18, {"m2m:sch": {"rn": "s", "se": AT_NOON}})
    assert world.retrieve("cse-in/ae", "Cae").status is Status.OK
    world.advance(3600)
    assert world.retrieve("cse-in/ae", "Cae").status is Status.TARGET_NOT_REACHABLE
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {}}, "Cae").status is Status.TARGET_NOT_REACHABLE
    assert world.update("cse-in/s", {"m2m:sch": {"se": ALWAYS}}).status is Status.UPDATED
    assert world.retrieve("cse-in/ae", "Cae").status is Status.OK
