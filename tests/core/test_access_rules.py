"""Conditions of access control rules, one by one (procedures 1; TS-0001 clause 9.6.2, TS-0003 clause 7.1.3)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status
from cse.ports import Engine
from tests.core.world import World

PATH = "cse-in/ae/cnt"
NOON, NIGHT = "* * 12 * * * *", "* * 3 * * * *"


@pytest.fixture
def world(store: Engine) -> World:
    """An AE; rules do not depend on the codec."""
    made = World(store, "mqtt")
    made.ae()
    return made


def serve(world: World, operation: Operation = Operation.RETRIEVE, to: str = PATH, **fields: Any) -> Status:
    """A request of Cother with what only a binding knows: credential, address."""
    return world.serve(Request(operation, to, "Cother", "r", release="3", **fields)).status


def governed(world: World, **rule: Any) -> None:
    """A container that one rule opens to Cother."""
    rule = {"originators": ["Cother"], "operations": 2, **rule}
    policy = world.policy("acp", rule.pop("originators"), rule.pop("operations"), **rule)
    world.container(acpi=[policy], mni=5, lbl=["x"])


@pytest.mark.behaviour("EB-6.12")
@pytest.mark.behaviour("PR-01.1.03")
@pytest.mark.parametrize(("credential", "status"), [("", Status.ORIGINATOR_HAS_NO_PRIVILEGE), ("Cother", Status.OK)])
def test_a_rule_for_authenticated_originators(world: World, credential: str, status: Status) -> None:
    governed(world, acaf=True)
    assert serve(world, credential=credential) is status


@pytest.mark.behaviour("EB-6.08")
@pytest.mark.behaviour("PR-01.2.05")
@pytest.mark.parametrize(
    ("domain", "originator", "granted"),
    [
        ("onemec.local", "Cother", True),
        ("onemec.local", "/id-mn/Cother", True),
        ("onemec.local", "//far.example/id-mn/Cother", False),
        ("far.example", "//far.example/id-mn/Cother", True),
        ("far.example", "Cother", False),
    ],
)
def test_a_domain_stands_for_all_of_a_service_provider(
    world: World, domain: str, originator: str, granted: bool
) -> None:
    governed(world, originators=[domain])
    answer = world.serve(Request(Operation.RETRIEVE, PATH, originator, "r", release="3"))
    assert answer.status is (Status.OK if granted else Status.ORIGINATOR_HAS_NO_PRIVILEGE)


@pytest.mark.behaviour("EB-6.13")
@pytest.mark.behaviour("PR-01.3.02")
@pytest.mark.parametrize(
    ("allowed", "peer", "granted"),
    [
        ({"ipv4": ["192.0.2.7"]}, "192.0.2.7", True),
        ({"ipv4": ["192.0.2.0/24"]}, "192.0.2.200", True),
        ({"ipv4": ["192.0.2.0/24"]}, "198.51.100.1", False),
        ({"ipv4": ["192.0.2.0/24"]}, "::ffff:192.0.2.9", True),
        ({"ipv6": ["2001:db8::/32"]}, "2001:db8::5", True),
        ({"ipv6": ["2001:db8::/32"]}, "192.0.2.7", False),
        ({"ipv4": ["192.0.2.7"]}, "", False),
    ],
)
def test_address_of_the_originator(world: World, allowed: dict[str, Any], peer: str, granted: bool) -> None:
    governed(world, acco=[{"acip": allowed}])
    assert serve(world, peer_address=peer) is (Status.OK if granted else Status.ORIGINATOR_HAS_NO_PRIVILEGE)


@pytest.mark.behaviour("PR-01.3.03")
@pytest.mark.parametrize(
    ("contexts", "granted"),
    [
        ([{"actw": [NOON], "acip": {"ipv4": ["192.0.2.7"]}}], True),
        ([{"actw": [NIGHT], "acip": {"ipv4": ["192.0.2.7"]}}], False),
        ([{"actw": [NIGHT]}, {"acip": {"ipv4": ["192.0.2.7"]}}], True),
        ([{"actw": [NIGHT, NOON]}], True),
        ([{"actw": [NIGHT]}, {"acip": {"ipv4": ["198.51.100.1"]}}], False),
    ],
)
def test_one_context_suffices_and_all_of_it_must_hold(
    world: World, contexts: list[dict[str, Any]], granted: bool
) -> None:
    governed(world, acco=contexts)
    assert serve(world, peer_address="192.0.2.7") is (Status.OK if granted else Status.ORIGINATOR_HAS_NO_PRIVILEGE)


@pytest.mark.behaviour("PR-01.3.05")
@pytest.mark.parametrize(
    ("detail", "child", "granted"),
    [
        ({"ty": 3, "chty": [4]}, 4, True),
        ({"ty": 3, "chty": [4]}, 3, False),
        ({"ty": 2, "chty": [4]}, 4, False),
        ({"ty": 3, "chty": [3, 4]}, 3, True),
    ],
)
def test_types_of_parent_and_child(world: World, detail: dict[str, Any], child: int, granted: bool) -> None:
    governed(world, operations=63, acod=[detail])
    body = {4: {"m2m:cin": {"con": "1"}}, 3: {"m2m:cnt": {}}}[child]
    answer = world.create(PATH, child, body, "Cother")
    assert answer.status is (Status.CREATED if granted else Status.ORIGINATOR_HAS_NO_PRIVILEGE)
    if detail["ty"] == 3:
        assert world.retrieve(PATH, "Cother").status is Status.OK


@pytest.mark.behaviour("PR-01.3.06")
def test_attributes_of_a_rule(world: World) -> None:
    governed(world, operations=15, aca=["mni", "mbs"])
    assert world.retrieve(PATH, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve(PATH, "Cother", attribute_list=["mni"]).content == {"m2m:cnt": {"mni": 5}}
    assert world.retrieve(f"{PATH}#mni", "Cother").content == {"m2m:cnt": {"mni": 5}}
    refused = world.retrieve(PATH, "Cother", attribute_list=["mni", "lbl"])
    assert refused.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.update(PATH, {"m2m:cnt": {"mni": 6, "mbs": 9}}, "Cother").status is Status.UPDATED
    refused = world.update(PATH, {"m2m:cnt": {"mni": 6, "lbl": ["y"]}}, "Cother")
    assert refused.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.update(PATH, {"m2m:cnt": {"lbl": None}}, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.create(PATH, 3, {"m2m:cnt": {"mni": 1}}, "Cother").status is Status.CREATED
    assert world.create(PATH, 3, {"m2m:cnt": {"mia": 1}}, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.delete(PATH, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-01.3.06")
def test_attributes_of_several_rules_add_up(world: World) -> None:
    one = world.policy("one", ["Cother"], 2, aca=["mni"])
    two = world.policy("two", ["Cother"], 2, aca=["lbl"])
    world.container(acpi=[one, two], mni=5, lbl=["x"])
    both = world.retrieve(PATH, "Cother", attribute_list=["mni", "lbl"])
    assert both.content == {"m2m:cnt": {"mni": 5, "lbl": ["x"]}}
    assert world.retrieve(PATH, "Cother", attribute_list=["mni", "ri"]).status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    whole = world.policy("whole", ["Cother"], 2)
    world.update(PATH, {"m2m:cnt": {"acpi": [one, whole]}})
    assert world.retrieve(PATH, "Cother").status is Status.OK


@pytest.mark.behaviour("PR-01.4.01")
def test_policies_that_cannot_be_looked_at_grant_nothing(world: World) -> None:
    world.container(acpi=["/id-far/acp"])
    for originator in ("Cae", "Cother"):
        assert world.retrieve(PATH, originator).status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve(PATH).status is Status.OK


@pytest.mark.behaviour("PR-01.4.09")
@pytest.mark.parametrize("itself", [True, False])
def test_administrators_and_the_cse_itself_may_do_everything(world: World, itself: bool) -> None:
    world.container(acpi=[world.policy("acp", ["Cnobody"], 2)])
    ask = world.itself if itself else world.ask
    for operation, fields in (
        (Operation.CREATE, {"resource_type": 3, "content": {"m2m:cnt": {}}}),
        (Operation.RETRIEVE, {}),
        (Operation.UPDATE, {"content": {"m2m:cnt": {"mni": 1}}}),
        (Operation.DELETE, {}),
    ):
        answer = ask(operation, PATH, **fields)
        assert answer.status.is_success, answer.content


@pytest.mark.behaviour("PR-01.4.10")
def test_children_of_a_type_without_policies_follow_their_parent(world: World) -> None:
    world.ae("Cother", "other")
    world.create("cse-in/ae", 15, {"m2m:pch": {"rn": "pch"}}, "Cae")
    governed(world, operations=1)
    assert world.create(PATH, 4, {"m2m:cin": {"con": "1"}}, "Cother").status is Status.CREATED
    assert world.retrieve(f"{PATH}/la", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    rn = world.retrieve(f"{PATH}/la").content["m2m:cin"]["rn"]
    assert world.retrieve(f"{PATH}/{rn}", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-01.5.05")
def test_policies_of_other_cses_are_taken_as_they_are(world: World) -> None:
    world.container(acpi=["/id-far/acp"])
    assert world.retrieve(PATH).content["m2m:cnt"]["acpi"] == ["/id-far/acp"]
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {"acpi": ["/id-in/none"]}}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-01.6.02")
def test_a_policy_has_no_policies_and_few_parents(world: World) -> None:
    other = world.policy("other", ["Cae"], 63)
    body = {"pv": {}, "pvs": {"acr": [{"acor": ["Cae"], "acop": 63}]}}
    assert world.create("cse-in", 1, {"m2m:acp": {**body, "acpi": [other]}}, "Cae").status is Status.BAD_REQUEST
    assert world.create("cse-in/ae", 1, {"m2m:acp": body}, "Cae").status is Status.CREATED
    world.container()
    refused = world.create(PATH, 1, {"m2m:acp": body}, "Cae")
    assert refused.status is Status.INVALID_CHILD_RESOURCE_TYPE
