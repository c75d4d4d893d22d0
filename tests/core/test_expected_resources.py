"""Registration, policies, containers and groups as independent suites check them (TS-0001 clause 9.6, 10.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from tests.core.test_federation import Federation
from tests.core.world import ADMIN, World

CNT = "cse-in/ae/cnt"
EVERYTHING = {"acr": [{"acor": [ADMIN], "acop": 63}]}


@pytest.fixture(autouse=True)
def _tree(request: pytest.FixtureRequest) -> None:
    if "world" in request.fixturenames:
        world = request.getfixturevalue("world")
        world.ae()
        world.container()


# --- 5 registration -------------------------------------------------------------------------------------------------


def register(world: World, originator: str = "Cnew", **attributes: Any) -> Response:
    """Create an AE."""
    body = {"rn": "new", "api": "Nx", "rr": True, "srv": ["3"], **attributes}
    return world.create("cse-in", 2, {"m2m:ae": body}, originator)


@pytest.mark.behaviour("EB-5.09")
def test_serialisations_of_an_ae_are_known_ones(world: World) -> None:
    for wrong in (["wrong"], ["application/wrong"], "application/json"):
        assert register(world, csz=wrong).status is Status.BAD_REQUEST, wrong
    both = ["application/cbor", "application/json"]
    assert register(world, csz=both).content["m2m:ae"]["csz"] == both
    assert world.update("cse-in/new", {"m2m:ae": {"csz": ["wrong"]}}, "Cnew").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-5.15")
def test_the_cse_base_says_what_the_cse_is(world: World) -> None:
    shown = world.retrieve("cse-in", "Cae").content["m2m:cb"]
    assert (shown["ty"], shown["rn"], shown["csi"], shown["pi"], shown["cst"]) == (5, "cse-in", "/id-in", "", 1)
    assert shown["ri"]
    assert {"2a", "3", "4", "5"} <= set(shown["srv"])
    assert {1, 2, 3, 4, 5, 9, 13, 14, 15, 16, 17, 18, 23, 28, 29, 30, 48, 58, 10002, 10003} <= set(shown["srt"])
    assert shown["ctm"][:13] == "20261122T1200"
    assert "et" not in shown
    assert world.retrieve("cse-in", "Cstranger").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


# --- 6 access control -----------------------------------------------------------------------------------------------


@pytest.mark.behaviour("EB-6.03")
def test_several_rules_are_kept_as_they_are(world: World) -> None:
    rules = {"acr": [{"acor": ["Cae"], "acop": 2}, {"acor": ["Cx", "Cy"], "acop": 63}]}
    own = {"acr": [{"acor": [ADMIN], "acop": 63}, {"acor": ["Cboss"], "acop": 6}]}
    created = world.create("cse-in", 1, {"m2m:acp": {"rn": "acp", "pv": rules, "pvs": own}})
    assert created.status is Status.CREATED
    assert (created.content["m2m:acp"]["pv"], created.content["m2m:acp"]["pvs"]) == (rules, own)
    assert world.retrieve("cse-in/acp", "Cboss").content["m2m:acp"]["pv"] == rules
    more = {"acr": [*rules["acr"], {"acor": ["Cz"], "acop": 1}]}
    assert world.update("cse-in/acp", {"m2m:acp": {"pv": more}}, "Cboss").content["m2m:acp"]["pv"] == more


@pytest.mark.behaviour("EB-6.10")
@pytest.mark.parametrize(
    "details", [[{}], [{"ty": 3}], [{"chty": 3}], [{"chty": ["x"]}], {"chty": [3]}, [{"chty": [3], "ty": "x"}]]
)
def test_object_details_of_a_rule_that_mean_nothing_are_4000(world: World, details: Any) -> None:
    rules = {"acr": [{"acor": ["Cae"], "acop": 1, "acod": details}]}
    answer = world.create("cse-in", 1, {"m2m:acp": {"pv": rules, "pvs": EVERYTHING}})
    assert answer.status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-6.10")
def test_child_types_are_for_parents_of_the_type_named(world: World) -> None:
    only = world.policy("acp", ["Cother"], 63, acod=[{"ty": 3, "chty": [3, 4]}])
    world.update(CNT, {"m2m:cnt": {"acpi": [only]}}, "Cae")
    assert world.create(CNT, 3, {"m2m:cnt": {}}, "Cother").status is Status.CREATED
    assert world.create(CNT, 4, {"m2m:cin": {"con": "x"}}, "Cother").status is Status.CREATED
    denied = world.create(CNT, 23, {"m2m:sub": {"nu": ["Cother"]}}, "Cother")
    assert denied.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-6.11")
def test_rules_for_single_attributes(world: World) -> None:
    some = world.policy("some", ["Cother"], 63, aca=["rn", "lbl", "mni"])
    path = world.container(name="c", acpi=[some], lbl=["a"])
    assert world.retrieve(path, "Cother", attribute_list=["lbl"]).content == {"m2m:cnt": {"lbl": ["a"]}}
    assert world.retrieve(path, "Cother", attribute_list=["lbl", "rn"]).status is Status.OK
    denied = Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve(path, "Cother", attribute_list=["ct"]).status is denied
    assert world.retrieve(path, "Cother").status is denied
    assert world.update(path, {"m2m:cnt": {"mni": 5}}, "Cother").status is Status.UPDATED
    assert world.update(path, {"m2m:cnt": {"mni": 5, "mbs": 9}}, "Cother").status is denied
    assert world.create(path, 3, {"m2m:cnt": {"rn": "x", "lbl": ["b"]}}, "Cother").status is Status.CREATED
    assert world.create(path, 3, {"m2m:cnt": {"rn": "y", "mbs": 5}}, "Cother").status is denied
    assert world.delete(path, "Cother").status is denied
    general = world.policy("general", ["Cother"], 63)
    assert world.update(path, {"m2m:cnt": {"acpi": [some, general]}}).status is Status.UPDATED
    assert world.retrieve(path, "Cother").status is Status.OK
    assert world.delete(path, "Cother").status is Status.DELETED


@pytest.mark.behaviour("EB-6.13")
@pytest.mark.parametrize(
    ("context", "granted"),
    [
        ({"actw": ["* * 12 * * * *"]}, True),
        ({"actw": ["* * 11 * * * *"]}, False),
        ({"actw": ["* * 11 * * * *", "* * 12 * * * *"]}, True),
        ({"aclr": {"accc": ["DE"]}}, False),
        ({"acip": {"ipv4": ["192.0.2.0/24"]}}, False),
        ({"actw": ["* * 12 * * * *"], "aclr": {"accc": ["DE"]}}, False),
    ],
)
def test_the_context_of_a_rule(world: World, context: dict[str, Any], granted: bool) -> None:
    path = world.container(name="c", acpi=[world.policy("acp", ["Cother"], 2, acco=[context])])
    assert (world.retrieve(path, "Cother").status is Status.OK) is granted


# --- 7 container and contentInstance --------------------------------------------------------------------------------


@pytest.mark.behaviour("EB-7.08", "EB-7.18")
def test_an_instance_has_a_time_of_generation_and_no_policy(world: World) -> None:
    policy = world.policy("acp", ["Cae"], 63)
    assert world.post(CNT, "x", acpi=[policy]).status is Status.BAD_REQUEST
    assert world.post(CNT, "x", dgt="20261122T115500").content["m2m:cin"]["dgt"] == "20261122T115500"
    assert world.retrieve(f"{CNT}/la", "Cae").content["m2m:cin"]["dgt"] == "20261122T115500"


@pytest.mark.behaviour("EB-7.10")
def test_the_state_tag_grows(world: World) -> None:
    def state() -> int:
        tag: int = world.retrieve(CNT, "Cae").content["m2m:cnt"]["st"]
        return tag

    assert state() == 0
    world.update(CNT, {"m2m:cnt": {"lbl": ["a"]}}, "Cae")
    assert state() == 1
    world.post(CNT)
    assert state() == 2
    world.delete(f"{CNT}/la", "Cae")
    assert state() == 3
    world.retrieve(CNT, "Cae")
    assert state() == 3


@pytest.mark.behaviour("EB-7.15")
def test_a_container_with_disabled_retrieval_can_be_deleted(world: World) -> None:
    world.post(CNT)
    assert world.update(CNT, {"m2m:cnt": {"disr": True}}, "Cae").status is Status.UPDATED
    assert world.retrieve(CNT, "Cae").content["m2m:cnt"]["disr"] is True
    assert world.delete(CNT, "Cae").status is Status.DELETED


@pytest.mark.behaviour("EB-7.13")
@pytest.mark.parametrize("age_s", [10**9, 10**15, 2**53])
def test_an_age_beyond_every_life_time_is_the_maximum(world: World, age_s: int) -> None:
    path = world.container(name="old", mia=age_s)
    shown = world.post(path).content["m2m:cin"]
    assert shown["et"] <= world.retrieve(path, "Cae").content["m2m:cnt"]["et"]
    assert world.retrieve(f"{path}/la", "Cae").status is Status.OK
    assert world.update(CNT, {"m2m:cnt": {"mia": age_s}}, "Cae").status is Status.UPDATED


# --- 10 groups ------------------------------------------------------------------------------------------------------


def group(world: World, **attributes: Any) -> Response:
    """Create cse-in/ae/grp of the container."""
    body = {"rn": "grp", "mnm": 10, "mid": [CNT], **attributes}
    return world.create("cse-in/ae", 9, {"m2m:grp": body}, "Cae")


@pytest.mark.behaviour("EB-10.05")
def test_the_consistency_strategy_holds_for_updates_too(world: World) -> None:
    world.container(name="two")
    for strategy, expected in ((1, Status.UPDATED), (2, Status.GROUP_MEMBER_TYPE_INCONSISTENT), (3, Status.UPDATED)):
        assert group(world, mt=3, csy=strategy, mid=[CNT]).status is Status.CREATED
        changed = world.update("cse-in/ae/grp", {"m2m:grp": {"mid": [CNT, "cse-in/ae/two", "cse-in/ae"]}}, "Cae")
        assert changed.status is expected
        shown = world.retrieve("cse-in/ae/grp", "Cae").content["m2m:grp"]
        assert (shown["cnm"], shown["mt"]) == {1: (2, 3), 2: (1, 3), 3: (3, 0)}[strategy]
        assert shown["cnm"] == len(shown["mid"])
        world.delete("cse-in/ae/grp", "Cae")


@pytest.mark.behaviour("EB-10.07")
def test_the_answers_of_members_are_responses(world: World) -> None:
    world.container(name="two")
    world.post(CNT, "here")
    group(world, mid=[CNT, "cse-in/ae/two"])
    fan = "cse-in/ae/grp/fopt"
    answer = world.retrieve(f"{fan}/la", "Cae")
    assert answer.status is Status.OK
    one, two = answer.content["m2m:agr"]["m2m:rsp"]
    assert (one["rsc"], one["pc"]["m2m:cin"]["con"], two["rsc"]) == (2000, "here", 4004)
    assert one["fr"].endswith(CNT)
    assert one["rqi"] != two["rqi"]
    posted = world.create(fan, 4, {"m2m:cin": {"con": "all"}}, "Cae").content["m2m:agr"]["m2m:rsp"]
    assert [entry["pc"]["m2m:cin"]["con"] for entry in posted] == ["all", "all"]
    wrong = world.update(fan, {"m2m:cnt": {"nonsense": 1}}, "Cae").content["m2m:agr"]["m2m:rsp"]
    assert [entry["rsc"] for entry in wrong] == [4000, 4000]
    notified = world.notify(fan, {"m2m:sgn": {}}, "Cae")
    assert [entry["rsc"] for entry in notified.content["m2m:agr"]["m2m:rsp"]] == [4000, 4000]


@pytest.mark.behaviour("EB-10.10", "EB-10.11")
def test_a_group_is_its_creators_and_updated_by_its_own_root(world: World) -> None:
    group(world)
    path = "cse-in/ae/grp"
    assert world.update(path, {"m2m:cnt": {"mnm": 5}}, "Cae").status is Status.BAD_REQUEST
    for operation in (Operation.RETRIEVE, Operation.DELETE):
        assert world.ask(operation, path, "Cstranger").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
        fan = world.ask(operation, f"{path}/fopt", "Cstranger")
        assert fan.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.fixture(params=["http", "mqtt", "coap"])
def two(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """An IN-CSE and an MN-CSE."""
    made = Federation(request.param)
    yield made
    for world in (made.infra, made.middle):
        asyncio.run(world.store.close())


def readable(two: Federation, reader: str) -> None:
    """A container cse-mn/far and a group cse-mn/sub of it, which ``reader`` may use."""
    policy = {"rn": "acp", "pv": {"acr": [{"acor": [reader], "acop": 63}]}, "pvs": EVERYTHING}
    middle = two.middle
    assert middle.create("cse-mn", 1, {"m2m:acp": policy}).status is Status.CREATED
    linked = {"acpi": ["cse-mn/acp"]}
    far = {"rn": "far", "lbl": ["far"], **linked}
    assert middle.create("cse-mn", 3, {"m2m:cnt": far}).status is Status.CREATED
    members = {"rn": "sub", "mnm": 5, "mid": ["cse-mn/far"], "mt": 3, **linked}
    assert middle.create("cse-mn", 9, {"m2m:grp": members}).status is Status.CREATED


@pytest.mark.behaviour("EB-10.06")
def test_a_sub_group_out_of_reach_is_validated_later(two: Federation) -> None:
    readable(two, f"/id-in/{ADMIN}")
    infra = two.infra
    assert infra.create("cse-in", 3, {"m2m:cnt": {"rn": "near"}}).status is Status.CREATED
    assert infra.create("cse-in", 9, {"m2m:grp": {"rn": "g", "mnm": 5, "mid": ["cse-in/near"], "mt": 3}}).status
    two.cut = True
    members = ["cse-in/near", "/id-mn/cse-mn/sub/fopt"]
    assert infra.update("cse-in/g", {"m2m:grp": {"mid": members}}).status is Status.UPDATED
    assert infra.retrieve("cse-in/g").content["m2m:grp"]["mtv"] is False
    two.cut = False
    infra.advance(600)
    shown = infra.retrieve("cse-in/g").content["m2m:grp"]
    assert (shown["mtv"], shown["mid"], shown["cnm"]) == (True, members, 2)


@pytest.mark.behaviour("EB-17.14")
def test_discovery_at_another_cse_finds_what_its_policies_permit(two: Federation) -> None:
    readable(two, "/id-in/Capp")
    two.infra.ae("Capp", "app")
    found = two.infra.retrieve("/id-mn/cse-mn", "Capp", filter={"fu": 1, "lbl": ["far"]})
    assert (found.status, found.content) == (Status.OK, {"m2m:uril": ["/id-mn/cse-mn/far"]})
    other = two.infra.retrieve("/id-mn/cse-mn", "Cother", filter={"fu": 1, "lbl": ["far"]})
    assert other.content.get("m2m:uril", []) == []
    here = {"m2m:ae": {"rn": "local", "api": "Nx", "rr": True, "srv": ["3"]}}
    assert two.middle.create("cse-mn", 2, here, "Clocal").status is Status.CREATED
    assert two.middle.discover("cse-mn", "Clocal", lbl=["far"]) == []


# --- what a suite does besides --------------------------------------------------------------------------------------


@pytest.mark.behaviour("EB-5.01")
def test_an_ae_may_register_again_after_it_left(world: World) -> None:
    assert register(world).status is Status.CREATED
    assert register(world, rn="again").status is Status.ORIGINATOR_HAS_ALREADY_REGISTERED
    assert world.delete("cse-in/new", "Cnew").status is Status.DELETED
    assert register(world).content["m2m:ae"]["aei"] == "Cnew"


@pytest.mark.behaviour("EB-6.06")
def test_who_locked_himself_out_needs_the_self_privileges(make_world: Callable[..., World], world: World) -> None:
    own = {"acr": [{"acor": ["Cboss"], "acop": 4}]}
    nobody = {"rn": "acp", "pv": {"acr": [{"acor": ["Cnobody"], "acop": 63}]}, "pvs": own}
    assert world.create("cse-in", 1, {"m2m:acp": nobody}, "Cae").status is Status.CREATED
    assert world.update(CNT, {"m2m:cnt": {"acpi": ["cse-in/acp"]}}, "Cae").status is Status.UPDATED
    denied = Status.ORIGINATOR_HAS_NO_PRIVILEGE
    for answer in (
        world.retrieve(CNT, "Cae"),
        world.update(CNT, {"m2m:cnt": {"lbl": ["x"]}}, "Cae"),
        world.update(CNT, {"m2m:cnt": {"acpi": None}}, "Cae"),
        world.delete(CNT, "Cae"),
    ):
        assert answer.status is denied
    assert world.update(CNT, {"m2m:cnt": {"acpi": None}}, "Cboss").status is Status.UPDATED
    assert world.retrieve(CNT, "Cae").status is Status.OK
