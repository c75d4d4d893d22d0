"""Types that are mostly kept and handed out, with their few rules (procedures 19)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cse.onem2m.status import Status
from cse.ports import CseType
from tests.core.world import World


def made(world: World, to: str, ty: int, root: str, **attributes: Any) -> Status:
    """The status of a CREATE."""
    return world.create(to, ty, {root: attributes}).status


@pytest.mark.behaviour("PR-19.07")
@pytest.mark.behaviour("PR-02.05")
def test_app_rules_hold_patterns_of_app_ids(world: World) -> None:
    assert made(world, "cse-in", 19, "m2m:asar", rn="r", aai=["*", "Rcompany*", "Nx"]) is Status.CREATED
    assert made(world, "cse-in", 19, "m2m:asar", aai=["company"]) is Status.BAD_REQUEST
    assert world.update("cse-in/r", {"m2m:asar": {"aai": ["x"]}}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-19.08")
def test_rules_of_a_subscribed_node_need_its_cse(world: World) -> None:
    assert made(world, "cse-in", 11, "m2m:mssp", rn="p") is Status.CREATED
    assert made(world, "cse-in/p", 20, "m2m:svsn", ni="n", rlk=["cse-in/r"]) is Status.BAD_REQUEST
    assert made(world, "cse-in/p", 20, "m2m:svsn", ni="n", rlk=["cse-in/r"], csi="/id-mn") is Status.CREATED
    assert made(world, "cse-in/p", 20, "m2m:svsn", rn="n", ni="n") is Status.CREATED
    assert world.update("cse-in/p/n", {"m2m:svsn": {"rlk": ["cse-in/r"]}}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-19.15")
@pytest.mark.parametrize("number", [7, 11, 19, 20, 21, 22, 43, 44])
@pytest.mark.behaviour("PR-00.2.04")
def test_types_of_the_infrastructure_exist_at_an_in_cse_only(make_world: Any, number: int) -> None:
    world = make_world(cse_type=CseType.MN)
    created = world.create("cse-in", number, {"m2m:x": {}})
    assert created.status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("PR-19.05")
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"evt": 1}, Status.CREATED),
        ({"evt": 2}, Status.BAD_REQUEST),
        ({"evt": 2, "ds": 100}, Status.CREATED),
        ({"evt": 1, "erts": [3], "eris": ["cse-in/ae"]}, Status.BAD_REQUEST),
        ({"evt": 3, "evs": "20270101T000000", "eve": "20260101T000000"}, Status.BAD_REQUEST),
        ({"evt": 3, "evs": "20260101T000000", "eve": "20270101T000000"}, Status.CREATED),
    ],
)
def test_events_to_count_must_be_able_to_happen(world: World, attributes: Any, expected: Status) -> None:
    made(world, "cse-in", 22, "m2m:stcg", rn="c")
    assert made(world, "cse-in/c", 7, "m2m:evcg", **attributes) is expected


@pytest.mark.behaviour("PR-19.06")
def test_the_cse_names_events_and_collections(world: World) -> None:
    made(world, "cse-in", 22, "m2m:stcg", rn="c")
    event = world.create("cse-in/c", 7, {"m2m:evcg": {"evt": 1}}).content["m2m:evcg"]
    collection = world.create("cse-in", 21, {"m2m:stcl": {"cei": "Cx", "srs": 1, "sm": 1}}).content["m2m:stcl"]
    assert event["evi"]
    assert collection["sci"]


@pytest.mark.behaviour("EB-6.15")
def test_dynamic_authorization_needs_a_point_of_access(world: World) -> None:
    world.ae()
    good = {"dae": True, "dap": ["http://192.0.2.1/das"]}
    for to in ("cse-in", "cse-in/ae"):
        assert made(world, to, 34, "m2m:dac", rn="d", **good) is Status.CREATED
        for name in good:
            assert world.update(f"{to}/d", {"m2m:dac": {name: None}}).status is Status.BAD_REQUEST
        assert world.delete(f"{to}/d").status is Status.DELETED
    for bad in ({"dae": True}, {"dap": good["dap"]}, {"dae": True, "dap": []}):
        assert made(world, "cse-in", 34, "m2m:dac", **bad) is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-19.03")
def test_a_session_needs_the_capability_and_is_fixed_while_online(world: World) -> None:
    world.ae()
    description = {"sdc": ["v=0"]}
    body = {"soi": "Cother", "osd": description}
    assert made(world, "cse-in/ae", 46, "m2m:mms", **body) is Status.TARGET_HAS_NO_SESSION_CAPABILITY
    world.update("cse-in/ae", {"m2m:ae": {"scp": ["v=0"]}}, "Cae")
    created = world.create("cse-in/ae", 46, {"m2m:mms": {"rn": "s", **body}})
    assert created.status is Status.CREATED, created.content
    assert created.content["m2m:mms"]["sst"] == 1
    assert world.update("cse-in/ae/s", {"m2m:mms": {"asd": description, "sst": 2}}).status is Status.UPDATED
    assert world.update("cse-in/ae/s", {"m2m:mms": {"osd": description}}).status is Status.SESSION_IS_ONLINE
    assert world.update("cse-in/ae/s", {"m2m:mms": {"sst": 1}}).status is Status.UPDATED


@pytest.mark.behaviour("EB-5.16", "PR-19.02")
def test_contact_lists_are_not_written_by_request(world: World) -> None:
    assert made(world, "cse-in", 43, "m2m:alst") is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("PR-19.10")
def test_an_ontology_is_an_address_or_base64(world: World) -> None:
    assert made(world, "cse-in", 38, "m2m:ontr", rn="o") is Status.CREATED
    text = base64.b64encode(b"<rdf/>").decode()
    assert made(world, "cse-in/o", 39, "m2m:ont", rn="a", ontf=2, ontc=text) is Status.CREATED
    assert made(world, "cse-in/o", 39, "m2m:ont", ontf=1, ontc="http://example.org/o") is Status.CREATED
    for kind, content in ((1, "no address"), (2, "not base64!"), (2, 5)):
        assert made(world, "cse-in/o", 39, "m2m:ont", ontf=kind, ontc=content) is Status.BAD_REQUEST
    assert world.update("cse-in/o/a", {"m2m:ont": {"soe": "DELETE WHERE {}"}}).status is Status.NOT_IMPLEMENTED
    assert world.update("cse-in/o/smv", {"m2m:smv": {}}).status is Status.BAD_REQUEST
    assert world.retrieve("cse-in/o/smv").status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("PR-19.14")
def test_a_background_data_transfer_is_kept(world: World) -> None:
    body = {"rn": "b", "vpn": 1000, "non": 5, "dtw": "* * 2 * * * *"}
    assert made(world, "cse-in", 49, "m2m:bdt", **body) is Status.CREATED
    assert world.update("cse-in/b", {"m2m:bdt": {"non": 6}}).status is Status.UPDATED
    assert world.retrieve("cse-in/b").content["m2m:bdt"]["non"] == 6
