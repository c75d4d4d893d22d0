"""Announcements between two CSEs (TS-0001 clause 9.6.26, 10.2.9; procedures 20, expected-behaviours 17)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cse.onem2m.primitives import Operation
from cse.onem2m.status import Status
from cse.resources.registry import load_registry
from tests.core.test_federation import Federation

ADMIN_ONLY = {"acr": [{"acor": ["CAdmin"], "acop": 63}]}


@pytest.fixture(params=["http", "mqtt", "coap"])
def two(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """An IN-CSE and an MN-CSE; the MN-CSE has an AE ``dev`` of Cdev."""
    made = Federation(request.param)
    body = {"m2m:ae": {"rn": "dev", "api": "Ndev", "rr": True, "srv": ["3"], "lbl": ["device"]}}
    assert made.middle.create("cse-mn", 2, body, "Cdev").status is Status.CREATED
    yield made
    for world in (made.infra, made.middle):
        asyncio.run(world.store.close())


def announce(
    two: Federation, ty: int = 3, root: str = "m2m:cnt", parent: str = "cse-mn/dev", **attributes: Any
) -> dict[str, Any]:
    """Create a resource at the MN-CSE with ``at`` naming the IN-CSE; gives what the response shows."""
    created = two.middle.create(parent, ty, {root: {"at": ["/id-in"], **attributes}}, "Cdev")
    assert created.status is Status.CREATED, created.content
    shown: dict[str, Any] = created.content[root]
    return shown


def seen(two: Federation, address: str) -> dict[str, Any]:
    """The announced resource at the IN-CSE."""
    answer = two.infra.retrieve(address)
    assert answer.status is Status.OK, answer.content
    found: dict[str, Any] = next(iter(answer.content.values()))
    return found


def change(two: Federation, address: str, **attributes: Any) -> dict[str, Any]:
    answer = two.middle.update(address, {"m2m:cnt": attributes}, "Cdev")
    assert answer.status is Status.UPDATED, answer.content
    shown: dict[str, Any] = answer.content["m2m:cnt"]
    return shown


@pytest.mark.behaviour("EB-17.01")
@pytest.mark.behaviour("PR-20.1.01", "PR-22.04")
def test_the_response_shows_where_it_is_announced(two: Federation) -> None:
    original = announce(two, rn="c", lbl=["x"], mni=5)
    (address,) = original["at"]
    assert address.startswith("/id-in/")
    found = seen(two, address)
    assert found["ty"] == 10003
    assert found["lnk"] == f"/id-mn/{original['ri']}"
    assert (found["lbl"], found["et"]) == (["x"], original["et"])
    assert "mni" not in found
    assert "at" not in found


@pytest.mark.behaviour("EB-17.01")
@pytest.mark.behaviour("PR-20.1.03")
def test_it_lies_below_the_announced_csebase(two: Federation) -> None:
    found = seen(two, announce(two)["at"][0])
    base = two.infra.store.get(found["pi"])
    assert base is not None
    assert (base.ty, base.attributes["lnk"]) == (10005, "/id-mn/id-mn")
    announce(two)
    assert len(two.infra.discover("cse-in", ty=[10005])) == 1


@pytest.mark.behaviour("EB-17.01")
@pytest.mark.behaviour("PR-20.1.03")
def test_below_an_announced_parent_when_there_is_one(two: Federation) -> None:
    outer = announce(two, rn="outer")
    inner = announce(two, parent="cse-mn/dev/outer", rn="inner")
    assert seen(two, inner["at"][0])["pi"] == seen(two, outer["at"][0])["ri"]


@pytest.mark.behaviour("PR-20.1.04")
def test_instances_are_announced_below_their_announced_parent_only(two: Federation) -> None:
    announce(two, rn="c")
    first = announce(two, 4, "m2m:cin", "cse-mn/dev/c", con="1", aa=["con"])
    found = seen(two, first["at"][0])
    assert (found["ty"], found["con"]) == (10004, "1")
    latest = two.middle.retrieve("cse-mn/dev/c/la", "Cdev").content["m2m:cin"]
    assert latest["at"] == first["at"]
    assert two.middle.create("cse-mn/dev", 3, {"m2m:cnt": {"rn": "plain"}}, "Cdev").status is Status.CREATED
    alone = announce(two, 4, "m2m:cin", "cse-mn/dev/plain", con="1")
    assert alone["at"] == []


def test_a_purged_instance_is_withdrawn(two: Federation) -> None:
    announce(two, rn="c", mni=1)
    first = announce(two, 4, "m2m:cin", "cse-mn/dev/c", con="1")
    announce(two, 4, "m2m:cin", "cse-mn/dev/c", con="2")
    assert two.infra.retrieve(first["at"][0]).status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-17.02")
@pytest.mark.behaviour("PR-20.1.05")
def test_optional_attributes_are_announced_when_named(two: Federation) -> None:
    original = announce(two, rn="c", mni=5, mbs=100, aa=["mni"])
    found = seen(two, original["at"][0])
    assert found["mni"] == 5
    assert "mbs" not in found


@pytest.mark.behaviour("EB-17.03")
@pytest.mark.behaviour("PR-20.1.07")
def test_adding_and_removing_announced_attributes(two: Federation) -> None:
    (address,) = announce(two, rn="c", mni=5, mbs=100, aa=["mni"])["at"]
    change(two, "cse-mn/dev/c", aa=["mni", "mbs"])
    assert seen(two, address)["mbs"] == 100
    change(two, "cse-mn/dev/c", aa=["mbs"])
    found = seen(two, address)
    assert "mni" not in found
    assert found["mbs"] == 100
    change(two, "cse-mn/dev/c", aa=None)
    assert "mbs" not in seen(two, address)


@pytest.mark.behaviour("EB-17.04")
@pytest.mark.behaviour("PR-20.1.02")
def test_unknown_announced_attributes_are_4000(two: Federation) -> None:
    for names in (["nonsense"], ["mni", "bad name"], ["mni/"]):
        answer = two.middle.create("cse-mn/dev", 3, {"m2m:cnt": {"at": ["/id-in"], "aa": names}}, "Cdev")
        assert answer.status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-17.04")
@pytest.mark.behaviour("PR-20.1.02")
def test_names_that_cannot_be_announced_are_dropped(two: Federation) -> None:
    original = announce(two, rn="c", mni=5, aa=["mni", "cni", "at", "mbs"])
    assert original["aa"] == ["mni"]
    assert "aa" not in announce(two, rn="d", aa=["cni"])


@pytest.mark.behaviour("PR-20.1.07")
def test_changes_follow(two: Federation) -> None:
    (address,) = announce(two, rn="c", lbl=["old"], mni=5, aa=["mni"])["at"]
    assert change(two, "cse-mn/dev/c", lbl=["new"], mni=7)["at"] == [address]
    found = seen(two, address)
    assert (found["lbl"], found["mni"]) == (["new"], 7)
    change(two, "cse-mn/dev/c", lbl=None)
    assert "lbl" not in seen(two, address)


@pytest.mark.behaviour("EB-17.01", "EB-17.05")
@pytest.mark.behaviour("PR-20.1.08")
def test_announcing_later_and_to_nobody(two: Federation) -> None:
    two.middle.create("cse-mn/dev", 3, {"m2m:cnt": {"rn": "c"}}, "Cdev")
    (address,) = change(two, "cse-mn/dev/c", at=["/id-in"])["at"]
    assert seen(two, address)["ty"] == 10003
    assert "at" not in change(two, "cse-mn/dev/c", at=None)
    assert two.infra.retrieve(address).status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-17.05")
@pytest.mark.parametrize("at", [["/id-mn"], []])
@pytest.mark.behaviour("PR-20.1.08")
def test_a_cse_taken_out_of_at_loses_it(two: Federation, at: list[str]) -> None:
    (address,) = announce(two, rn="c")["at"]
    change(two, "cse-mn/dev/c", at=at)
    assert two.infra.retrieve(address).status is Status.NOT_FOUND


def test_naming_the_cse_again_changes_nothing(two: Federation) -> None:
    (address,) = announce(two, rn="c")["at"]
    assert change(two, "cse-mn/dev/c", at=["/id-in"])["at"] == [address]
    assert change(two, "cse-mn/dev/c", at=[address])["at"] == [address]


@pytest.mark.behaviour("EB-17.06")
@pytest.mark.behaviour("PR-00.5.04", "PR-20.1.08")
def test_the_announced_goes_with_its_original(two: Federation) -> None:
    (outer,) = announce(two, rn="outer")["at"]
    (inner,) = announce(two, parent="cse-mn/dev/outer", rn="inner")["at"]
    assert two.middle.delete("cse-mn/dev", "Cdev").status is Status.DELETED
    assert two.infra.retrieve(outer).status is Status.NOT_FOUND
    assert two.infra.retrieve(inner).status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-17.11")
def test_announcing_to_the_own_cse(two: Federation) -> None:
    original = announce(two, rn="c", at=["/id-mn"])
    answer = two.middle.retrieve(original["at"][0])
    assert answer.content["m2m:cntA"]["lnk"] == f"/id-mn/{original['ri']}"


def test_a_target_below_which_to_announce_may_be_named(two: Federation) -> None:
    (outer,) = announce(two, rn="outer")["at"]
    original = announce(two, rn="c", at=[outer])
    assert seen(two, original["at"][0])["pi"] == seen(two, outer)["ri"]


@pytest.mark.parametrize("target", ["id-in", "Cdev", "http://127.0.0.1:9", "/id-in/"])
@pytest.mark.behaviour("PR-20.1.01")
def test_a_target_that_is_no_cse_is_4000(two: Federation, target: str) -> None:
    answer = two.middle.create("cse-mn/dev", 3, {"m2m:cnt": {"at": [target]}}, "Cdev")
    assert answer.status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-20.1.01")
def test_what_cannot_be_reached_is_not_in_at(two: Federation) -> None:
    two.cut = True
    original = announce(two, rn="c", at=["/id-in", "/id-mn"])
    assert [entry.rpartition("/")[0] for entry in original["at"]] == ["/id-mn"]
    assert "at" not in announce(two, rn="d")


@pytest.mark.behaviour("PR-20.1.09")
def test_it_is_announced_when_the_cse_registers(two: Federation) -> None:
    created = two.infra.create("cse-in", 3, {"m2m:cnt": {"rn": "c", "at": ["/id-new", "/id-mn"]}})
    assert len(created.content["m2m:cnt"]["at"]) == 1
    two.cut = True
    assert two.infra.create("cse-in", 3, {"m2m:cnt": {"rn": "d", "at": ["/id-mn"]}}).status is Status.CREATED
    two.cut = False
    assert two.infra.delete("cse-in/id-mn", "/id-mn").status is Status.DELETED
    own = {"rn": "id-mn", "cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"], "poa": ["http://mn"]}
    assert two.infra.create("cse-in", 16, {"m2m:csr": own}, "/id-mn").status is Status.CREATED
    two.infra.advance(0)
    (address,) = two.infra.retrieve("cse-in/d").content["m2m:cnt"]["at"]
    assert two.middle.retrieve(address).status is Status.OK


def test_what_could_not_be_announced_can_be_called_off(two: Federation) -> None:
    two.cut = True
    announce(two, rn="c")
    assert "at" not in change(two, "cse-mn/dev/c", at=None)
    two.cut = False
    two.middle.itself(Operation.DELETE, "cse-mn/id-in")
    mirror = {"rn": "id-in", "cb": "/id-in/cse-in", "csi": "/id-in", "rr": True, "srv": ["3"], "poa": ["http://in"]}
    made = two.middle.itself(Operation.CREATE, "cse-mn", resource_type=16, content={"m2m:csr": mirror})
    assert made.status is Status.CREATED
    two.middle.advance(0)
    assert "at" not in two.middle.retrieve("cse-mn/dev/c", "Cdev").content["m2m:cnt"]


def test_changes_by_the_cse_itself_follow(two: Federation) -> None:
    two.middle.create("cse-mn/dev", 3, {"m2m:cnt": {"rn": "c"}}, "Cdev")
    original = announce(two, 9, "m2m:grp", rn="g", mnm=2, mid=["cse-mn/dev/c"], aa=["mid"])
    assert two.middle.delete("cse-mn/dev/c", "Cdev").status is Status.DELETED
    assert seen(two, original["at"][0])["mid"] == []


def test_an_announced_resource_that_was_lost_comes_back(two: Federation) -> None:
    (address,) = announce(two, rn="c", lbl=["a"])["at"]
    assert two.infra.delete(address).status is Status.DELETED
    (again,) = change(two, "cse-mn/dev/c", lbl=["b"])["at"]
    assert again != address
    assert seen(two, again)["lbl"] == ["b"]


@pytest.mark.behaviour("PR-01.4.11", "PR-20.2.02")
def test_only_the_hosting_cse_of_the_original_changes_it(two: Federation) -> None:
    (address,) = announce(two, rn="c", lbl=["a"])["at"]
    assert two.infra.update(address, {"m2m:cntA": {"lbl": ["b"]}}, "/id-mn").status is Status.UPDATED
    assert two.infra.update(address, {"m2m:cntA": {"lbl": ["b"]}}, "Cx").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    body = {"m2m:cntA": {"lnk": "/id-mn/other", "et": "20991231T000000"}}
    base = two.infra.discover("cse-in", ty=[10005])[0]
    answer = two.infra.create(base, 10003, body, "/id-other")
    assert answer.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-17.07", "EB-17.08")
@pytest.mark.behaviour("PR-01.4.11", "PR-20.1.06")
def test_identifiers_become_sp_relative_and_policies_apply_when_announced(two: Federation) -> None:
    pv = {"acr": [{"acor": ["/id-in/Capp"], "acop": 34}]}
    pvs = {"acr": [{"acor": ["Cdev"], "acop": 63}]}
    policy = announce(two, 1, "m2m:acp", rn="acp", pv=pv, pvs=pvs)
    original = announce(two, rn="c", acpi=["cse-mn/dev/acp"])
    (address,) = original["at"]
    assert seen(two, address)["acpi"] == [f"/id-mn/{policy['ri']}"]
    found = seen(two, policy["at"][0])
    assert (found["ty"], found["pv"], found["pvs"]) == (10001, pv, pvs)
    two.infra.ae("Capp", "app")
    assert two.infra.retrieve(address, "/id-in/Capp").status is Status.OK
    two.infra.ae("Cother", "other")
    assert two.infra.retrieve(address, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-01.5.03")
def test_changing_the_policies_follows(two: Federation) -> None:
    pvs = {"acr": [{"acor": ["Cdev"], "acop": 63}]}
    two.middle.create("cse-mn/dev", 1, {"m2m:acp": {"rn": "acp", "pv": {}, "pvs": pvs}}, "Cdev")
    (address,) = announce(two, rn="c")["at"]
    change(two, "cse-mn/dev/c", acpi=["cse-mn/dev/acp"])
    assert len(seen(two, address)["acpi"]) == 1
    change(two, "cse-mn/dev/c", acpi=None)
    assert "acpi" not in seen(two, address)


@pytest.mark.behaviour("EB-17.09")
@pytest.mark.behaviour("PR-20.2.03", "PM-05.07")
def test_rcn_7_gives_the_original(two: Federation) -> None:
    pv = {"acr": [{"acor": ["/id-in/CAdmin"], "acop": 63}]}
    pvs = {"acr": [{"acor": ["Cdev"], "acop": 63}]}
    two.middle.create("cse-mn/dev", 1, {"m2m:acp": {"rn": "acp", "pv": pv, "pvs": pvs}}, "Cdev")
    original = announce(two, rn="c", mni=5, acpi=["cse-mn/dev/acp"])
    answer = two.infra.retrieve(original["at"][0], result_content=7)
    assert answer.status is Status.OK, answer.content
    assert answer.content["m2m:cnt"]["mni"] == 5
    assert two.infra.retrieve("cse-in", result_content=7).status is Status.BAD_REQUEST
    assert two.infra.delete(original["at"][0], result_content=7).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-20.2.03")
def test_rcn_7_asks_in_the_name_of_the_originator(two: Federation) -> None:
    original = announce(two, rn="c")
    answer = two.infra.retrieve(original["at"][0], result_content=7)
    assert answer.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-17.10")
@pytest.mark.behaviour("PR-20.2.04")
def test_bi_directional_changes_flow_back(two: Federation) -> None:
    (address,) = announce(two, rn="c", lbl=["a"], ast=2)["at"]
    answer = two.infra.update(address, {"m2m:cntA": {"lbl": ["b"]}})
    assert answer.status is Status.UPDATED, answer.content
    assert two.middle.retrieve("cse-mn/dev/c", "Cdev").content["m2m:cnt"]["lbl"] == ["b"]
    assert seen(two, address)["lbl"] == ["b"]


@pytest.mark.behaviour("PR-20.2.04")
def test_uni_directional_changes_are_refused_by_the_original(two: Federation) -> None:
    announce(two, rn="c", lbl=["a"])
    answer = two.middle.update("cse-mn/dev/c", {"m2m:cnt": {"lbl": ["b"]}}, "/id-in")
    assert answer.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


def test_bi_directional_change_while_the_original_is_away_is_refused(two: Federation) -> None:
    (address,) = announce(two, rn="c", lbl=["a"], ast=2)["at"]
    two.cut = True
    assert two.infra.update(address, {"m2m:cntA": {"lbl": ["b"]}}).status is Status.REMOTE_ENTITY_NOT_REACHABLE
    assert seen(two, address)["lbl"] == ["a"]


def test_an_ae_is_announced(two: Federation) -> None:
    answer = two.middle.update("cse-mn/dev", {"m2m:ae": {"at": ["/id-in"], "aa": ["api", "aei"]}}, "Cdev")
    assert answer.status is Status.UPDATED, answer.content
    found = seen(two, answer.content["m2m:ae"]["at"][0])
    assert (found["ty"], found["api"], found["srv"], found["lbl"]) == (10002, "Ndev", ["3"], ["device"])


@pytest.mark.behaviour("EB-17.07")
@pytest.mark.behaviour("PR-20.1.06")
def test_a_group_is_announced_with_sp_relative_members(two: Federation) -> None:
    two.middle.create("cse-mn/dev", 3, {"m2m:cnt": {"rn": "c"}}, "Cdev")
    original = announce(two, 9, "m2m:grp", rn="g", mnm=2, mid=["cse-mn/dev/c"], aa=["mid"])
    (member,) = seen(two, original["at"][0])["mid"]
    assert two.middle.retrieve(member, "Cdev").status is Status.OK
    assert member.startswith("/id-mn/")


@pytest.mark.behaviour("EB-17.12")
def test_a_specialisation_is_announced_with_its_custom_attributes(two: Federation) -> None:
    content = {"cnd": "org.onem2m.common.moduleclass.temperature", "curT0": 21.5, "aa": ["curT0"]}
    original = announce(two, 28, "cod:tempe", rn="t", **content)
    (address,) = original["at"]
    answer = two.infra.retrieve(address)
    assert answer.content["cod:tempeAnnc"]["curT0"] == 21.5
    two.middle.update("cse-mn/dev/t", {"cod:tempe": {"curT0": 22.5}}, "Cdev")
    assert seen(two, address)["curT0"] == 22.5


@pytest.mark.behaviour("PR-20.2.02")
def test_ordinary_children_may_be_made_below_an_announced_resource(two: Federation) -> None:
    (address,) = announce(two, rn="c")["at"]
    assert two.infra.create(address, 3, {"m2m:cnt": {"rn": "own"}}).status is Status.CREATED
    assert two.infra.create(address, 4, {"m2m:cin": {"con": "1"}}).status is Status.INVALID_CHILD_RESOURCE_TYPE


@pytest.mark.behaviour("PR-20.2.06")
def test_an_announced_resource_ends_with_its_original(two: Federation) -> None:
    (address,) = announce(two, rn="c")["at"]
    change(two, "cse-mn/dev/c", et="20261122T130000")
    assert seen(two, address)["et"] == "20261122T130000"
    two.infra.advance(2 * 3600)
    assert two.infra.retrieve(address).status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-22.04")
def test_a_refused_change_announces_nothing(two: Federation) -> None:
    announce(two, rn="c")
    sent = len(two.middle.sent)
    assert (
        two.middle.create("cse-mn/dev", 3, {"m2m:cnt": {"rn": "c", "at": ["/id-in"]}}, "Cdev").status is Status.CONFLICT
    )
    assert two.middle.ask(Operation.DELETE, "cse-mn/dev", "Cx").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert len(two.middle.sent) == sent


def test_every_type_with_an_announced_variant_can_be_told_apart() -> None:
    registry = load_registry()
    for kind in registry:
        if kind.announced is not None:
            variant = registry[kind.announced]
            assert variant.original == kind.number
            assert set(kind.counterparts) == set(variant.counterparts.values())
            assert all("lnk" in table.attributes for table in variant.tables.values())
