"""mgmtObj and its specialisations (TS-0001 annex D, TS-0022; procedures 8; expected-behaviours 16)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from tests.core.world import World

NODE = "cse-in/node"
LINKS = [{"nm": "limits", "typ": 1016, "val": "cse-in/node/limits"}]


@pytest.fixture(autouse=True)
def _node(world: World) -> None:
    world.create("cse-in", 14, {"m2m:nod": {"rn": "node", "ni": "n"}})


def make(world: World, root: str, mgd: int, name: str = "obj", **attributes: Any) -> Response:
    """CREATE an object below the node."""
    return world.create(NODE, 13, {root: {"rn": name, "mgd": mgd, **attributes}})


def change(world: World, root: str, **attributes: Any) -> Response:
    """UPDATE it."""
    return world.update(f"{NODE}/obj", {root: attributes})


@pytest.mark.behaviour("EB-16.03", "EB-16.04", "PR-08.04")
def test_the_definition_must_be_that_of_the_root_and_never_changes(world: World) -> None:
    battery = {"btl": 50, "bts": 1}
    assert make(world, "m2m:bat", 1007, **battery).status is Status.BAD_REQUEST
    assert make(world, "m2m:mgo", 1006, **battery).status is Status.BAD_REQUEST
    assert world.create(NODE, 13, {"m2m:bat": battery}).status is Status.BAD_REQUEST
    assert make(world, "m2m:bat", 1006, btl=50, bts=99).status is Status.BAD_REQUEST
    assert make(world, "m2m:bat", 1006, obis=["urn:x"], **battery).status is Status.CREATED
    for name, value in (("mgd", 1006), ("obis", ["urn:y"]), ("obps", ["/a"]), ("mgs", "urn:z")):
        assert change(world, "m2m:bat", **{name: value}).status is Status.BAD_REQUEST
    assert change(world, "m2m:bat", btl=40).content["m2m:bat"]["btl"] == 40


@pytest.mark.behaviour("PR-08.04")
def test_an_object_is_below_a_node_only(world: World) -> None:
    body = {"m2m:bat": {"mgd": 1006, "btl": 1, "bts": 1}}
    assert world.create("cse-in", 13, body).status is Status.INVALID_CHILD_RESOURCE_TYPE


@pytest.mark.behaviour("PR-08.08")
def test_device_information_is_partly_fixed(world: World) -> None:
    fixed = {"man": "m", "mod": "x"}
    assert make(world, "m2m:dvi", 1007, dlb="a|b", dty="t", **fixed).status is Status.CREATED
    for name in ("man", "mod", "smod", "hwv", "cnty"):
        assert change(world, "m2m:dvi", **{name: "other"}).status is Status.BAD_REQUEST
    assert change(world, "m2m:dvi", fwv="2").status is Status.UPDATED


@pytest.mark.behaviour("EB-16.05", "PR-08.09")
def test_a_capability_is_enabled_or_disabled_not_both(world: World) -> None:
    status = {"acn": "a", "sus": 1}
    base = {"can": "camera", "att": True, "cas": status, "cus": False}
    assert make(world, "m2m:dvc", 1008, ena=True, dis=True, **base).status is Status.BAD_REQUEST
    assert make(world, "m2m:dvc", 1008, **base).status is Status.CREATED
    assert change(world, "m2m:dvc", ena=True, dis=True).status is Status.BAD_REQUEST
    assert change(world, "m2m:dvc", ena=True).content["m2m:dvc"]["cus"] is True
    assert change(world, "m2m:dvc", dis=True).content["m2m:dvc"]["cus"] is False
    assert change(world, "m2m:dvc", ena=False, dis=False).content["m2m:dvc"]["cus"] is False


@pytest.mark.behaviour("EB-16.06", "PR-08.10")
def test_reboot_flags_tell_subscribers_and_fall_back(world: World) -> None:
    assert make(world, "m2m:rbo", 1009, rbo=True, far=True).status is Status.BAD_REQUEST
    assert make(world, "m2m:rbo", 1009, rbo=True).content["m2m:rbo"]["rbo"] is False
    body = {"nu": ["http://127.0.0.1:1/n"], "nct": 2, "enc": {"net": [1]}}
    assert world.create(f"{NODE}/obj", 23, {"m2m:sub": body}).status is Status.CREATED
    assert change(world, "m2m:rbo", rbo=True, far=True).status is Status.BAD_REQUEST
    assert change(world, "m2m:rbo", far=True).content["m2m:rbo"]["far"] is False
    (event,) = world.notifications()
    assert event["nev"]["rep"]["m2m:rbo"]["far"] is True


@pytest.mark.behaviour("PR-08.05")
def test_a_firmware_update_shows_as_in_process_until_the_device_reports(world: World) -> None:
    base = {"vr": "1", "fwn": "fw", "url": "http://192.0.2.1/fw", "ud": False}
    assert make(world, "m2m:fwr", 1001, vr="1", ud=False).status is Status.BAD_REQUEST
    assert make(world, "m2m:fwr", 1001, **base).status is Status.CREATED
    assert change(world, "m2m:fwr", ud=True).content["m2m:fwr"]["uds"] == {"acn": "update", "sus": 3}
    reported = {"acn": "update", "sus": 1}
    assert change(world, "m2m:fwr", uds=reported, vr="2").content["m2m:fwr"]["uds"] == reported


@pytest.mark.behaviour("PR-08.14")
def test_command_handling_policies_link_to_what_they_consist_of(world: World) -> None:
    policy = make(world, "m2m:cmp", 1011, "policy", cpn="standard", cmlk=LINKS)
    assert policy.status is Status.CREATED, policy.content
    active = make(world, "m2m:acmp", 1012, "active", acmlk=policy.content["m2m:cmp"]["ri"])
    assert active.status is Status.CREATED, active.content
    assert world.retrieve(f"{NODE}/policy").content["m2m:cmp"]["cmlk"] == LINKS


def test_an_object_of_the_standard_without_a_table_is_5001_and_any_other_4000(world: World) -> None:
    for number in (1020, 1022, 1024, 1025, 1026, 1027):
        answer = world.create(NODE, 13, {"dcfg:x": {"rn": "x", "mgd": number}})
        assert answer.status is Status.NOT_IMPLEMENTED
        assert str(number) in answer.content["m2m:dbg"]
    for body in ({"mgd": 1099}, {"mgd": 1006}, {"mgd": [1020]}, {}):
        assert world.create(NODE, 13, {"dcfg:x": body}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-08.06")
def test_software_actions_come_one_at_a_time_and_show_as_in_process(world: World) -> None:
    base = {"vr": "1", "swn": "app", "url": "http://192.0.2.1/app"}
    assert make(world, "m2m:swr", 1002, **{"in": True}, **base).status is Status.BAD_REQUEST
    assert make(world, "m2m:swr", 1002, **base).status is Status.CREATED
    assert change(world, "m2m:swr", **{"in": True, "un": True}).status is Status.BAD_REQUEST
    assert change(world, "m2m:swr", act=True, dea=True).status is Status.BAD_REQUEST
    assert change(world, "m2m:swr", **{"in": True}).content["m2m:swr"]["ins"] == {"acn": "install", "sus": 3}
    reported = {"acn": "install", "sus": 1}
    assert change(world, "m2m:swr", ins=reported).content["m2m:swr"]["ins"] == reported


@pytest.mark.behaviour("PR-08.11")
def test_an_event_log_starts_and_stops(world: World) -> None:
    base = {"lgt": 1, "lgd": "x", "lgst": 3}
    assert make(world, "m2m:evl", 1010, **base).status is Status.CREATED
    assert change(world, "m2m:evl", lga=True, lgo=True).status is Status.BAD_REQUEST
    assert change(world, "m2m:evl", lga=True).content["m2m:evl"]["lgst"] == 1
    assert change(world, "m2m:evl", lgo=True).content["m2m:evl"]["lgst"] == 2


@pytest.mark.behaviour("EB-16.07", "EB-16.08", "PR-08.12")
def test_data_collection_has_a_schedule_or_an_interval(world: World) -> None:
    schedule = [{"sce": ["* * * * * * *"]}]
    assert make(world, "dcfg:datc", 1021, cntp="c", mesc=schedule, meil=5).status is Status.BAD_REQUEST
    assert make(world, "dcfg:datc", 1021, cntp="c", mesc=[{"sce": ["often"]}]).status is Status.BAD_REQUEST
    assert make(world, "dcfg:datc", 1021, cntp="c", mesc=schedule).status is Status.CREATED
    assert change(world, "dcfg:datc", meil=5).status is Status.BAD_REQUEST
    assert change(world, "dcfg:datc", meil=5, mesc=None).status is Status.UPDATED


@pytest.mark.behaviour("EB-16.07", "PR-08.13")
@pytest.mark.parametrize(
    ("credentials", "fits"),
    [
        ({"enct": 1}, True),
        ({"enct": 1, "pwd": "x"}, False),
        ({"enct": 2, "wepk": "k"}, True),
        ({"enct": 2, "wpap": "k"}, False),
        ({"enct": 4, "wpap": "k"}, True),
        ({"enct": 4}, False),
        ({"enct": 7, "unm": "u", "pwd": "p"}, True),
        ({"enct": 7, "unm": "u"}, False),
        ({"enct": 99}, False),
        ({"wpap": "k"}, False),
    ],
)
def test_wifi_credentials_fit_the_encryption(world: World, credentials: Any, fits: bool) -> None:
    created = make(world, "dcfg:wific", 1028, ssid="net", scan=False, scanr=[], wcrds=credentials)
    assert (created.status is Status.CREATED) is fits, created.content
    assert fits or created.status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-08.07")
def test_a_device_is_listed_by_its_area_network(world: World) -> None:
    ids = {}
    for name in ("one", "two"):
        ids[name] = make(world, "m2m:ani", 1004, name, ant="zigbee").content["m2m:ani"]["ri"]
    device = make(world, "m2m:andi", 1005, dvd="d", dvt="t", awi=ids["one"]).content["m2m:andi"]["ri"]

    def listed(name: str) -> Any:
        return world.retrieve(f"{NODE}/{name}").content["m2m:ani"].get("ldv", [])

    assert (listed("one"), listed("two")) == ([device], [])
    change(world, "m2m:andi", awi=ids["two"])
    assert (listed("one"), listed("two")) == ([], [device])
    world.delete(f"{NODE}/obj")
    assert listed("two") == []
