"""container and contentInstance (TS-0001 clause 9.6.6, 9.6.7; expected-behaviours 7 and 8)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.serialisation import dump_json
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from tests.core.world import World


@pytest.fixture(autouse=True)
def _ae(world: World) -> None:
    world.ae()


def attributes(world: World, path: str) -> dict[str, Any]:
    """The container's attributes as the AE sees them."""
    found: dict[str, Any] = world.retrieve(path, "Cae").content["m2m:cnt"]
    return found


@pytest.mark.behaviour("EB-7.01")
@pytest.mark.behaviour("PR-04.1.01", "PR-04.3.02")
def test_a_new_container_is_empty_and_has_no_latest_or_oldest(world: World) -> None:
    path = world.container()
    shown = attributes(world, path)
    assert (shown["cni"], shown["cbs"], shown["st"]) == (0, 0, 0)
    for name in ("la", "ol"):
        assert world.retrieve(f"{path}/{name}").status is Status.NOT_FOUND
        assert world.delete(f"{path}/{name}").status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-7.02")
@pytest.mark.parametrize("name", ["mni", "mbs", "mia"])
@pytest.mark.parametrize("value", [-1, "5", 1.5, True, None])
@pytest.mark.behaviour("PR-04.1.02")
def test_limits_of_the_wrong_type_are_4000(world: World, name: str, value: Any) -> None:
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {name: value}}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-7.06")
@pytest.mark.parametrize("content", ["text", "", "ünïcode", 5, 2.5, True, [1, "a"], {"a": {"b": 1}}])
@pytest.mark.behaviour("PR-04.2.02")
def test_content_of_any_json_type_comes_back_as_it_was(world: World, content: Any) -> None:
    path = world.container()
    created = world.post(path, content)
    assert created.status is Status.CREATED, created.content
    shown = world.retrieve(f"{path}/la").content["m2m:cin"]
    assert shown["con"] == content
    assert type(shown["con"]) is type(content)
    expected = len(content.encode()) if isinstance(content, str) else len(dump_json(content))
    assert shown["cs"] == expected


@pytest.mark.behaviour("EB-7.07")
@pytest.mark.parametrize("info", ["text", "text:0", "text/plain", "text/plain:0:0:0", "text/plain:9", "/plain:0"])
@pytest.mark.behaviour("PR-04.2.01")
def test_content_info_without_media_type_or_encoding_is_4000(world: World, info: str) -> None:
    path = world.container()
    assert world.post(path, "x", cnf=info).status is Status.BAD_REQUEST
    assert world.post(path, "x", cnf="text/plain:0").status is Status.CREATED


@pytest.mark.behaviour("EB-7.03", "EB-7.04")
@pytest.mark.behaviour("PR-00.4.01", "PR-04.2.07", "PR-04.3.03")
def test_instances_are_below_containers_only_and_never_updated(world: World) -> None:
    path = world.container()
    assert world.create("cse-in/ae", 4, {"m2m:cin": {"con": "x"}}, "Cae").status is Status.INVALID_CHILD_RESOURCE_TYPE
    world.post(path)
    for name in ("la", "ol"):
        assert world.update(f"{path}/{name}", {"m2m:cin": {"con": "y"}}).status is Status.OPERATION_NOT_ALLOWED
        created = world.create(f"{path}/{name}", 4, {"m2m:cin": {"con": "y"}})
        assert created.status is Status.OPERATION_NOT_ALLOWED
    rn = world.retrieve(f"{path}/la").content["m2m:cin"]["rn"]
    assert world.update(f"{path}/{rn}", {"m2m:cin": {"con": "y"}}).status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("EB-7.05")
@pytest.mark.behaviour("PR-00.2.14")
def test_a_child_cannot_have_the_name_of_a_virtual_one(world: World) -> None:
    path = world.container()
    assert world.create(path, 3, {"m2m:cnt": {"rn": "la"}}).status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("EB-7.09")
@pytest.mark.behaviour("PR-00.1.10", "PR-04.2.06", "PR-04.3.01")
def test_counters_follow_every_instance(world: World) -> None:
    path = world.container()
    for index, content in enumerate(("1", "22", "333"), start=1):
        instance = world.post(path, content).content["m2m:cin"]
        shown = attributes(world, path)
        assert (shown["cni"], shown["st"]) == (index, index)
        assert instance["st"] == index
        assert shown["cbs"] == sum(range(1, index + 1))
    assert world.retrieve(f"{path}/la").content["m2m:cin"]["con"] == "333"
    assert world.retrieve(f"{path}/ol").content["m2m:cin"]["con"] == "1"


@pytest.mark.behaviour("EB-7.11")
@pytest.mark.behaviour("PR-04.1.03", "PR-04.2.04")
def test_mni_drops_the_oldest(world: World) -> None:
    path = world.container(mni=2)
    for content in "abc":
        assert world.post(path, content).status is Status.CREATED
    shown = attributes(world, path)
    assert (shown["cni"], shown["cbs"]) == (2, 2)
    assert world.retrieve(f"{path}/ol").content["m2m:cin"]["con"] == "b"
    assert world.retrieve(f"{path}/la").content["m2m:cin"]["con"] == "c"
    world.update(path, {"m2m:cnt": {"mni": 1}}, "Cae")
    assert world.retrieve(f"{path}/ol").content == world.retrieve(f"{path}/la").content
    assert attributes(world, path)["cni"] == 1


@pytest.mark.behaviour("EB-7.12")
@pytest.mark.behaviour("PR-04.2.02", "PR-04.2.04")
def test_mbs_refuses_what_can_never_fit_and_drops_the_oldest_for_the_rest(world: World) -> None:
    path = world.container(mbs=5)
    assert world.post(path, "123456").status is Status.NOT_ACCEPTABLE
    assert world.post(path, "12345").status is Status.CREATED
    assert world.post(path, "12").status is Status.CREATED
    shown = attributes(world, path)
    assert (shown["cni"], shown["cbs"]) == (1, 2)


@pytest.mark.behaviour("EB-7.13")
@pytest.mark.behaviour("PR-04.2.05")
def test_mia_bounds_the_life_time_of_instances(world: World) -> None:
    path = world.container(mia=10)
    world.post(path, "a")
    world.advance(5)
    world.post(path, "b")
    world.advance(6)
    assert world.retrieve(f"{path}/ol").content["m2m:cin"]["con"] == "b"
    assert attributes(world, path)["cni"] == 1
    world.advance(6)
    assert world.retrieve(f"{path}/la").status is Status.NOT_FOUND
    assert (attributes(world, path)["cni"], attributes(world, path)["cbs"]) == (0, 0)


@pytest.mark.behaviour("EB-7.15")
@pytest.mark.behaviour("PR-04.1.04", "PR-04.2.09")
def test_disabled_retrieval_hides_instances_and_enabling_forgets_them(world: World) -> None:
    path = world.container()
    rn = world.post(path, "a").content["m2m:cin"]["rn"]
    world.update(path, {"m2m:cnt": {"disr": True}}, "Cae")
    for name in ("la", "ol", rn):
        assert world.retrieve(f"{path}/{name}", "Cae").status is Status.OPERATION_NOT_ALLOWED
        assert world.delete(f"{path}/{name}", "Cae").status is Status.OPERATION_NOT_ALLOWED
    assert world.discover("cse-in", ty=[4]) == []
    assert "m2m:cin" not in world.retrieve(path, result_content=4).content["m2m:cnt"]
    assert world.post(path, "b").status is Status.CREATED
    world.update(path, {"m2m:cnt": {"disr": False}}, "Cae")
    assert world.retrieve(f"{path}/la").status is Status.NOT_FOUND
    assert attributes(world, path)["cni"] == 0
    world.post(path, "c")
    assert world.retrieve(f"{path}/la").content["m2m:cin"]["con"] == "c"


@pytest.mark.behaviour("EB-7.16")
@pytest.mark.behaviour("PR-00.5.05", "PR-04.2.10")
def test_deleting_latest_and_oldest_counts_down(world: World) -> None:
    path = world.container()
    for content in "abc":
        world.post(path, content)
    assert world.delete(f"{path}/la", "Cae").status is Status.DELETED
    assert world.delete(f"{path}/ol", "Cae").status is Status.DELETED
    assert world.retrieve(f"{path}/la").content["m2m:cin"]["con"] == "b"
    assert (attributes(world, path)["cni"], attributes(world, path)["cbs"]) == (1, 1)


@pytest.mark.behaviour("EB-7.17")
@pytest.mark.behaviour("PR-04.2.08")
def test_deletion_count_makes_an_instance_vanish_after_its_last_read(world: World) -> None:
    path = world.container()
    world.post(path, "a", dcnt=2)
    assert world.retrieve(f"{path}/la").content["m2m:cin"]["dcnt"] == 2
    assert world.retrieve(f"{path}/la").content["m2m:cin"]["dcnt"] == 1
    assert world.retrieve(f"{path}/la").status is Status.NOT_FOUND
    assert attributes(world, path)["cni"] == 0


def test_instance_with_a_name_of_its_own_is_found_by_it(world: World) -> None:
    path = world.container()
    assert world.post(path, "a", rn="first").status is Status.CREATED
    assert world.post(path, "b", rn="first").status is Status.CONFLICT
    assert world.retrieve(f"{path}/first").content["m2m:cin"]["con"] == "a"


@pytest.mark.behaviour("EB-8.01")
@pytest.mark.parametrize("expiry", ["20200101T000000", "20261122T115959"])
@pytest.mark.behaviour("PR-00.2.10")
def test_life_time_in_the_past_is_4000(world: World, expiry: str) -> None:
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {"et": expiry}}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-8.02")
@pytest.mark.behaviour("PR-00.2.16", "PR-00.6.03")
def test_life_time_is_cut_to_the_maximum_and_to_the_parents(world: World) -> None:
    limit = format_timestamp(world.now + 3600)
    path = world.container(et=limit)
    child = world.create(path, 3, {"m2m:cnt": {"rn": "inner", "et": "20991231T000000"}}, "Cae").content["m2m:cnt"]
    assert child["et"] == limit
    far = world.create("cse-in/ae", 3, {"m2m:cnt": {"et": "29991231T000000"}}, "Cae").content["m2m:cnt"]
    assert far["et"] < "20991231T000000"
    instance = world.post(path, "x").content["m2m:cin"]
    assert instance["et"] == limit


@pytest.mark.behaviour("EB-8.04")
@pytest.mark.behaviour("PR-00.6.01")
def test_expired_resources_and_their_children_are_gone_at_once_and_swept_later(world: World) -> None:
    before = world.store.plain_count()
    path = world.container(et=format_timestamp(world.now + 10))
    world.post(path, "a")
    world.container(path, "inner")
    world.now += 11
    assert world.retrieve(path).status is Status.NOT_FOUND
    assert world.discover("cse-in", ty=[3]) == []
    world.advance(0)
    assert world.store.plain_count() == before
    world.container()


@pytest.mark.behaviour("EB-8.03")
@pytest.mark.behaviour("PR-00.4.07")
def test_null_life_time_gives_the_default_again(world: World) -> None:
    path = world.container(et=format_timestamp(world.now + 10))
    assert world.update(path, {"m2m:cnt": {"et": None}}, "Cae").status is Status.UPDATED
    assert attributes(world, path)["et"] > "2030"


@pytest.mark.behaviour("PR-00.4.06")
def test_life_time_before_a_childs_is_4000(world: World) -> None:
    path = world.container()
    world.container(path, "inner")
    soon = format_timestamp(world.now + 100)
    assert world.update(path, {"m2m:cnt": {"et": soon}}, "Cae").status is Status.BAD_REQUEST


def test_the_name_of_what_has_expired_is_free_before_the_sweep(world: World) -> None:
    world.container(et=format_timestamp(world.now + 10))
    first = world.post(rn="one").content["m2m:cin"]["ri"]
    world.now += 11
    world.container()
    assert world.retrieve(f"cse-in/ae/cnt/{first}").status is Status.NOT_FOUND
    assert world.retrieve("cse-in/ae/cnt", "Cae").content["m2m:cnt"]["cni"] == 0
    world.post(rn="two", et=format_timestamp(world.now + 10))
    world.now += 11
    assert world.post(rn="two").status is Status.CREATED
    assert world.retrieve("cse-in/ae/cnt", "Cae").content["m2m:cnt"]["cni"] == 1
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {"rn": "cnt"}}, "Cae").status is Status.CONFLICT
