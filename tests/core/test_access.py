"""Access control (TS-0001 clause 9.6.2, 11.3; TS-0003 clause 7.1; expected-behaviours 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cse.onem2m.primitives import Operation
from cse.onem2m.status import Status
from cse.ports import CseType
from tests.core.world import ADMIN, World


def attempt(world: World, operation: Operation, to: str, originator: str) -> Status:
    """One operation with a content that fits a container."""
    fields: dict[str, Any] = {}
    if operation is Operation.CREATE:
        fields = {"resource_type": 3, "content": {"m2m:cnt": {}}}
    if operation is Operation.UPDATE:
        fields = {"content": {"m2m:cnt": {"lbl": ["x"]}}}
    return world.ask(operation, to, originator, **fields).status


CRUD = {Operation.CREATE: 1, Operation.RETRIEVE: 2, Operation.UPDATE: 4, Operation.DELETE: 8}


@pytest.mark.behaviour("EB-1.13", "EB-6.09")
@pytest.mark.parametrize("operation", list(CRUD))
@pytest.mark.behaviour("PR-00.1.08", "PR-01.4.03")
def test_without_a_policy_only_the_creator_may(world: World, operation: Operation) -> None:
    world.ae()
    world.ae("Cother", "other")
    path = world.container()
    assert attempt(world, operation, path, "Cother") is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert attempt(world, operation, path, "Cunknown") is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert attempt(world, operation, path, "Cae").is_success


@pytest.mark.parametrize("operation", list(CRUD))
@pytest.mark.parametrize("granted", [0, 1, 2, 4, 8, 16, 32, 63])
@pytest.mark.behaviour("PR-00.1.08", "PR-00.3.01", "PR-01.1.01")
def test_each_bit_of_a_policy_grants_its_operation_only(world: World, operation: Operation, granted: int) -> None:
    world.ae()
    policy = world.policy("acp", ["Cother"], granted)
    path = world.container(acpi=[policy])
    status = attempt(world, operation, path, "Cother")
    if CRUD[operation] & granted:
        assert status.is_success
    else:
        assert status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    # with a policy linked, even the creator needs it
    if operation is Operation.RETRIEVE:
        assert attempt(world, operation, path, "Cae") is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-6.08")
@pytest.mark.parametrize(
    ("entry", "originator", "granted"),
    [
        ("all", "Canybody", True),
        ("Cother", "Cother", True),
        ("/id-in/Cother", "Cother", True),
        ("//onemec.local/id-in/Cother", "Cother", True),
        ("Cother", "/id-in/Cother", True),
        ("Coth*", "Cother", True),
        ("/id-in/*", "Cother", True),
        ("/id-mn/*", "Cother", False),
        ("Coth*", "Cae2", False),
        ("Cother2", "Cother", False),
        ("/id-mn/Cother", "Cother", False),
    ],
)
@pytest.mark.behaviour("PR-01.2.01", "PR-01.2.02")
def test_originators_of_a_rule(world: World, entry: str, originator: str, granted: bool) -> None:
    world.ae()
    path = world.container(acpi=[world.policy("acp", [entry], 2)])
    expected = Status.OK if granted else Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve(path, originator).status is expected


@pytest.mark.behaviour("EB-6.08")
@pytest.mark.behaviour("PR-01.2.03")
def test_group_in_a_rule_stands_for_its_members(world: World) -> None:
    world.ae()
    world.ae("Cother", "other")
    members = {"m2m:grp": {"rn": "grp", "mnm": 5, "mid": ["cse-in/other"]}}
    assert world.create("cse-in", 9, members).status is Status.CREATED
    path = world.container(acpi=[world.policy("acp", ["cse-in/grp"], 2)])
    assert world.retrieve(path, "Cother").status is Status.OK
    assert world.retrieve(path, "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-6.14")
@pytest.mark.behaviour("PR-01.4.04", "PR-04.3.04")
def test_instances_and_virtual_children_follow_the_container(world: World) -> None:
    world.ae()
    path = world.container(acpi=[world.policy("acp", ["Cother"], 2 + 32)])
    world.ask(Operation.CREATE, path, resource_type=4, content={"m2m:cin": {"con": "x"}})
    assert world.retrieve(f"{path}/la", "Cother").status is Status.OK
    assert world.retrieve(f"{path}/la", "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.delete(f"{path}/la", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-6.01")
@pytest.mark.behaviour("PR-01.4.05", "PR-01.6.01", "PR-01.6.03")
def test_policies_are_guarded_by_their_own_self_privileges(world: World) -> None:
    world.ae()
    own = {"pv": {"acr": []}, "pvs": {"acr": [{"acor": ["Cboss"], "acop": 63}]}}
    assert world.create("cse-in", 1, {"m2m:acp": {"rn": "acp", **own}}, "Cae").status is Status.CREATED
    assert world.retrieve("cse-in/acp", "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve("cse-in/acp", "Cboss").status is Status.OK
    assert world.update("cse-in/acp", {"m2m:acp": {"lbl": ["x"]}}, "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.update("cse-in/acp", {"m2m:acp": {"lbl": ["x"]}}, "Cboss").status is Status.UPDATED
    assert world.delete("cse-in/acp", "Cboss").status is Status.DELETED


@pytest.mark.behaviour("EB-6.02")
@pytest.mark.parametrize("rules", [None, {}, {"acr": []}, "absent"])
@pytest.mark.behaviour("PR-01.6.01")
def test_self_privileges_must_grant_something(world: World, rules: Any) -> None:
    body: dict[str, Any] = {"pv": {"acr": []}, "pvs": rules}
    if rules == "absent":
        del body["pvs"]
    assert world.create("cse-in", 1, {"m2m:acp": body}).status is Status.BAD_REQUEST
    world.policy("acp", ["all"], 2)
    if rules != "absent":
        assert world.update("cse-in/acp", {"m2m:acp": {"pvs": rules}}).status is Status.BAD_REQUEST


@pytest.mark.parametrize("operations", [-1, 64, "63"])
@pytest.mark.behaviour("PR-01.1.02")
def test_operations_beyond_the_bits_are_4000(world: World, operations: Any) -> None:
    rules = {"acr": [{"acor": ["all"], "acop": operations}]}
    body = {"pv": rules, "pvs": {"acr": [{"acor": [ADMIN], "acop": 63}]}}
    assert world.create("cse-in", 1, {"m2m:acp": body}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-6.04", "EB-6.05", "EB-6.06", "EB-6.07")
@pytest.mark.behaviour("PR-00.2.11", "PR-01.5.01", "PR-01.5.02", "PR-01.5.03")
def test_policy_links(world: World) -> None:
    world.ae()
    world.ae("Cother", "other")
    policy = world.policy("acp", ["Cae"], 63)
    path = world.container()
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {"acpi": ["cse-in/no"]}}, "Cae").status is Status.BAD_REQUEST
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {"acpi": []}}, "Cae").status is Status.BAD_REQUEST
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {"acpi": ["cse-in/ae"]}}, "Cae").status is Status.BAD_REQUEST
    both = {"m2m:cnt": {"acpi": [policy], "lbl": ["x"]}}
    assert world.update(path, both, "Cae").status is Status.BAD_REQUEST
    alone = {"m2m:cnt": {"acpi": [policy]}}
    assert world.update(path, alone, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.update(path, alone, "Cae").status is Status.UPDATED
    # from now on pvs of the linked policy decides, and it names the admin only
    assert world.update(path, {"m2m:cnt": {"acpi": None}}, "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.update(path, {"m2m:cnt": {"acpi": None}}).status is Status.UPDATED
    assert world.retrieve(path, "Cae").status is Status.OK


@pytest.mark.behaviour("PR-01.4.01", "PR-01.5.04")
def test_deleted_policy_leaves_the_links(world: World) -> None:
    world.ae()
    policy = world.policy("acp", ["Cother"], 63)
    path = world.container(acpi=[policy])
    assert world.delete(policy).status is Status.DELETED
    assert "acpi" not in world.retrieve(path).content["m2m:cnt"]
    assert world.retrieve(path, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve(path, "Cae").status is Status.OK


@pytest.mark.behaviour("EB-6.09")
@pytest.mark.behaviour("PR-01.4.02")
def test_custodian_alone_may_where_there_is_one(world: World) -> None:
    world.ae()
    path = world.container(cstn="Ckeeper")
    assert world.retrieve(path, "Ckeeper").status is Status.OK
    assert world.retrieve(path, "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-6.10")
@pytest.mark.behaviour("PR-01.3.05")
def test_child_types_of_a_rule(world: World) -> None:
    world.ae()
    path = world.container(acpi=[world.policy("acp", ["Cother"], 1, acod=[{"chty": [4]}])])
    assert world.create(path, 4, {"m2m:cin": {"con": "x"}}, "Cother").status is Status.CREATED
    assert world.create(path, 3, {"m2m:cnt": {}}, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-6.12", "EB-6.13")
@pytest.mark.behaviour("PR-01.1.03")
def test_rules_that_demand_authentication_or_a_place_do_not_apply(world: World) -> None:
    world.ae()
    authenticated = world.policy("a1", ["Cother"], 2, acaf=True)
    somewhere = world.policy("a2", ["Cother"], 2, acco=[{"aclr": {"accr": [1.0, 2.0, 3.0]}}])
    path = world.container(acpi=[authenticated, somewhere])
    assert world.retrieve(path, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.parametrize(("window", "granted"), [("* * 12 * * * *", True), ("* * 3 * * * *", False)])
@pytest.mark.behaviour("PR-01.3.01")
def test_time_windows(world: World, window: str, granted: bool) -> None:
    world.ae()
    path = world.container(acpi=[world.policy("acp", ["Cother"], 2, acco=[{"actw": [window]}])])
    assert (world.retrieve(path, "Cother").status is Status.OK) is granted


@pytest.mark.behaviour("EB-4.06")
@pytest.mark.behaviour("PR-00.3.01", "PM-06.15")
def test_discovery_leaves_out_what_may_not_be_seen(world: World) -> None:
    world.ae()
    world.ae("Cother", "other")
    world.container(lbl=["tag"])
    world.container(name="open", lbl=["tag"], acpi=[world.policy("acp", ["Cother"], 32)])
    assert world.discover("cse-in", "Cother", lbl=["tag"]) == ["cse-in/ae/open"]
    assert world.discover("cse-in", "Cother", ty=[3]) == ["cse-in/ae/open"]
    refused = world.retrieve("cse-in/ae", "Cother", filter={"fu": 1})
    assert refused.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-5.10")
@pytest.mark.behaviour("PR-01.4.07")
def test_registered_entities_see_the_cse_base_and_strangers_do_not(world: World) -> None:
    world.ae()
    assert world.retrieve("cse-in", "Cae").status is Status.OK
    assert world.retrieve("cse-in", "Cstranger").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-5.01")
@pytest.mark.parametrize(("originator", "first"), [("C", "C"), ("", "C"), ("S", "S"), ("Cmine", "C"), ("Smine", "S")])
@pytest.mark.behaviour("PR-02.08", "PR-02.09")
def test_registration_gives_an_ae_id(world: World, originator: str, first: str) -> None:
    response = world.create("cse-in", 2, {"m2m:ae": {"api": "Nx", "rr": False, "srv": ["3"]}}, originator)
    assert response.status is Status.CREATED, response.content
    shown = response.content["m2m:ae"]
    assert shown["aei"] == shown["ri"]
    assert shown["aei"].startswith(first)
    if len(originator) > 1:
        assert shown["aei"] == originator


@pytest.mark.behaviour("EB-5.03", "EB-5.04", "EB-5.05", "EB-5.07")
@pytest.mark.parametrize(
    ("changes", "originator", "status"),
    [
        ({"api": "x"}, "Cx", Status.BAD_REQUEST),
        ({"api": None}, "Cx", Status.BAD_REQUEST),
        ({"rr": "true"}, "Cx", Status.BAD_REQUEST),
        ({"cr": None}, "Cx", Status.BAD_REQUEST),
        ({"aei": "Cx"}, "Cx", Status.BAD_REQUEST),
        ({"csz": ["nonsense"]}, "Cx", Status.BAD_REQUEST),
        ({}, "Xx", Status.BAD_REQUEST),
        ({}, "/id-in", Status.SECURITY_ASSOCIATION_REQUIRED),
        ({}, "Cae", Status.ORIGINATOR_HAS_ALREADY_REGISTERED),
        ({"rn": "ae"}, "Cnew", Status.CONFLICT),
    ],
)
@pytest.mark.behaviour("PR-02.02", "PR-02.06", "PR-02.07", "PR-02.08")
def test_registrations_that_are_refused(world: World, changes: dict[str, Any], originator: str, status: Status) -> None:
    world.ae()
    body = {"api": "Nx", "rr": True, "srv": ["3"], **changes}
    assert world.create("cse-in", 2, {"m2m:ae": body}, originator).status is status


@pytest.mark.behaviour("EB-5.07", "EB-5.08")
@pytest.mark.parametrize("missing", ["api", "rr", "srv"])
@pytest.mark.behaviour("PR-02.06")
def test_registration_without_a_mandatory_attribute_is_4000(world: World, missing: str) -> None:
    body = {name: value for name, value in (("api", "Nx"), ("rr", True), ("srv", ["3"])) if name != missing}
    assert world.create("cse-in", 2, {"m2m:ae": body}, "Cx").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-5.07")
@pytest.mark.parametrize(("release", "status"), [("3", Status.CREATED), ("4", Status.BAD_REQUEST)])
@pytest.mark.behaviour("PR-02.06")
def test_small_r_app_ids_up_to_release_3(world: World, release: str, status: Status) -> None:
    body = {"api": "rx", "rr": True, "srv": ["3"]}
    assert world.create("cse-in", 2, {"m2m:ae": body}, "Cx", release=release).status is status


@pytest.mark.behaviour("EB-5.02")
@pytest.mark.behaviour("PR-00.2.05", "PR-02.01")
def test_ae_below_an_ae_is_4108(world: World) -> None:
    world.ae()
    body = {"m2m:ae": {"api": "Nx", "rr": True, "srv": ["3"]}}
    assert world.create("cse-in/ae", 2, body).status is Status.INVALID_CHILD_RESOURCE_TYPE


@pytest.mark.behaviour("EB-5.11")
@pytest.mark.behaviour("PR-00.5.04", "PR-01.4.08", "PR-02.12")
def test_deregistration_takes_everything_along(world: World) -> None:
    world.ae()
    world.ae("Cother", "other")
    path = world.container()
    world.post(path)
    assert world.delete("cse-in/ae", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.delete("cse-in/ae", "Cae").status is Status.DELETED
    assert world.retrieve(path).status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-5.06")
@pytest.mark.behaviour("PR-02.04")
def test_closed_registration_takes_listed_originators_only(make_world: Callable[..., World]) -> None:
    world = make_world(open_registration=False, allowed_originators=("Cgood*",))
    body = {"m2m:ae": {"api": "Nx", "rr": True, "srv": ["3"]}}
    assert world.create("cse-in", 2, body, "Cbad").status is Status.APP_RULE_VALIDATION_FAILED
    assert world.create("cse-in", 2, body, "Cgood1").status is Status.CREATED


@pytest.mark.behaviour("EB-5.13", "EB-5.14")
@pytest.mark.behaviour("PR-03.2.01", "PR-03.2.02", "PR-03.2.03", "PR-03.2.06")
def test_remote_cse_registration(world: World) -> None:
    body = {"cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"], "rn": "mn"}
    world.ae()
    assert world.create("cse-in", 16, {"m2m:csr": body}, "Cae").status is Status.OPERATION_NOT_ALLOWED
    for missing in ("cb", "csi", "rr"):
        part = {name: value for name, value in body.items() if name != missing}
        assert world.create("cse-in", 16, {"m2m:csr": part}, "/id-mn").status is Status.BAD_REQUEST
    assert world.create("cse-in", 16, {"m2m:csr": body}, "/id-mn").status is Status.CREATED
    again = world.create("cse-in", 16, {"m2m:csr": {**body, "rn": "mn2"}}, "/id-mn")
    assert again.status is Status.ORIGINATOR_HAS_ALREADY_REGISTERED
    assert world.retrieve("cse-in", "/id-mn").status is Status.OK
    assert world.update("cse-in/mn", {"m2m:csr": {"rr": False}}, "/id-mn").status is Status.UPDATED
    assert world.delete("cse-in/mn", "/id-mn").status is Status.DELETED


@pytest.mark.behaviour("EB-5.13")
@pytest.mark.behaviour("PR-03.2.04")
def test_an_asn_cse_takes_no_registrations_of_cses(make_world: Callable[..., World]) -> None:
    world = make_world(cse_type=CseType.ASN)
    body = {"cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"]}
    assert world.create("cse-in", 16, {"m2m:csr": body}, "/id-mn").status is Status.OPERATION_NOT_ALLOWED
