"""node and the entities it hosts (TS-0001 clause 9.6.18; procedures 8; expected-behaviours 16)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.status import Status
from tests.core.world import World


def node(world: World, name: str, **attributes: Any) -> str:
    """Create a node; gives its resource-ID."""
    created = world.create("cse-in", 14, {"m2m:nod": {"rn": name, "ni": name, **attributes}})
    assert created.status is Status.CREATED, created.content
    ri: str = created.content["m2m:nod"]["ri"]
    return ri


def hosted(world: World, name: str) -> list[str] | None:
    """The AEs a node lists."""
    found: list[str] | None = world.retrieve(f"cse-in/{name}").content["m2m:nod"].get("hael")
    return found


@pytest.mark.behaviour("EB-16.01", "PR-08.01")
def test_a_node_is_created_read_updated_and_deleted(world: World) -> None:
    node(world, "n1", mgca=["192.0.2.1"])
    assert world.retrieve("cse-in/n1").content["m2m:nod"]["ni"] == "n1"
    assert world.update("cse-in/n1", {"m2m:nod": {"ni": "other"}}).status is Status.UPDATED
    for refused in ({"rms": True}, {"nid": "x"}, {"hael": []}, {"ni": None}):
        assert world.update("cse-in/n1", {"m2m:nod": refused}).status is Status.BAD_REQUEST
    assert world.create("cse-in", 14, {"m2m:nod": {"ni": "x", "hael": []}}).status is Status.BAD_REQUEST
    assert world.create("cse-in", 14, {"m2m:nod": {}}).status is Status.BAD_REQUEST
    assert world.delete("cse-in/n1").status is Status.DELETED


@pytest.mark.behaviour("EB-16.02", "PR-08.02")
@pytest.mark.parametrize("form", ["{ri}", "cse-in/n1", "/id-in/{ri}", "/id-in/cse-in/n1"])
@pytest.mark.behaviour("PR-02.11")
def test_an_ae_enters_and_leaves_the_list_of_its_node(world: World, form: str) -> None:
    ri = node(world, "n1")
    world.ae(nl=form.format(ri=ri))
    world.ae("Cother", "other", nl=ri)
    assert hosted(world, "n1") == ["Cae", "Cother"]
    world.delete("cse-in/ae", "Cae")
    assert hosted(world, "n1") == ["Cother"]
    world.update("cse-in/other", {"m2m:ae": {"nl": None}}, "Cother")
    assert hosted(world, "n1") is None


@pytest.mark.behaviour("EB-16.02", "PR-08.02")
@pytest.mark.behaviour("PR-02.11")
def test_an_ae_moves_to_another_node(world: World) -> None:
    first, second = node(world, "n1"), node(world, "n2")
    world.ae(nl=first)
    assert world.update("cse-in/ae", {"m2m:ae": {"nl": second}}, "Cae").status is Status.UPDATED
    assert (hosted(world, "n1"), hosted(world, "n2")) == (None, ["Cae"])


@pytest.mark.behaviour("EB-16.02", "PR-08.03")
@pytest.mark.parametrize("form", ["{ri}", "cse-in/n1"])
def test_deleting_a_node_ends_the_links_to_it(world: World, form: str) -> None:
    world.ae(nl=form.format(ri=node(world, "n1")))
    world.delete("cse-in/n1")
    assert "nl" not in world.retrieve("cse-in/ae", "Cae").content["m2m:ae"]


def test_a_link_to_a_node_elsewhere_is_kept_as_it_is(world: World) -> None:
    world.ae(nl="/id-other/node1")
    assert world.retrieve("cse-in/ae", "Cae").content["m2m:ae"]["nl"] == "/id-other/node1"
    assert world.delete("cse-in/ae", "Cae").status is Status.DELETED
