"""A search over many resources lets others in, and stands what they do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from cse.core.pipeline import handle
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Engine, Outcome, Send
from tests.core.world import ADMIN, World

MANY = 1000


@pytest.fixture
def world(store: Engine) -> World:
    """A container with a thousand instances, and one with three."""
    world = World(store, "http")
    world.ae()
    world.container()
    world.container(name="few")
    for number in range(MANY):
        world.post(content=str(number))
    for _ in range(3):
        world.post("cse-in/ae/few")
    return world


def interrupted(
    world: World, operation: Operation, to: str, meanwhile: Callable[[], Any] = lambda: None, **fields: Any
) -> tuple[Response, int]:
    """The answer to a request during which something happens once, when it first lets others in; and how often it does.

    Args:
        world: of the request.
        operation: of the request.
        to: its target.
        meanwhile: what happens.
        **fields: more of the request.
    """
    request = Request(operation, to, fields.pop("originator", ADMIN), "long", release="3", **fields)
    steps: Generator[Send, Response | None, Outcome] = handle(request, world.cse, world.env())
    breaths = 0
    try:
        send = next(steps)
        while True:
            assert 0 < send.resume_at_s < world.now, "it wants to go on at once"
            if not breaths:
                meanwhile()
            breaths += 1
            send = steps.send(None)
    except StopIteration as done:
        outcome: Outcome = done.value
        return outcome.response, breaths


def test_a_search_over_many_lets_others_in_and_one_over_few_does_not(world: World) -> None:
    nothing = {"fu": 1, "sza": 1000}
    response, breaths = interrupted(world, Operation.RETRIEVE, "cse-in", filter=nothing)
    assert (response.status, response.content) == (Status.OK, {"m2m:uril": []})
    assert breaths == 3
    assert interrupted(world, Operation.RETRIEVE, "cse-in/ae/few", filter=nothing)[1] == 0
    response, breaths = interrupted(world, Operation.RETRIEVE, "cse-in/ae/cnt", result_content=4)
    assert len(response.content["m2m:cnt"]["m2m:cin"]) == MANY
    assert breaths == 3


def test_so_does_a_search_for_what_has_such_children(world: World) -> None:
    world.post(content="last", lbl=["red"])
    where: dict[str, Any] = {"fu": 1, "ty": [3], "clbl": ["red"], "catr": [{"nm": "con", "val": "last"}]}
    response, breaths = interrupted(world, Operation.RETRIEVE, "cse-in", filter=where)
    assert (response.content, breaths) == ({"m2m:uril": ["cse-in/ae/cnt"]}, 7)
    other = {**where, "catr": [{"nm": "con", "val": "other"}]}
    assert interrupted(world, Operation.RETRIEVE, "cse-in", filter=other)[0].content == {"m2m:uril": []}
    response, _ = interrupted(world, Operation.RETRIEVE, "cse-in", lambda: world.delete("cse-in/ae/cnt"), filter=where)
    assert response.content == {"m2m:uril": []}


def test_what_is_deleted_meanwhile_is_not_found(world: World) -> None:
    where = {"fu": 1, "ty": [3, 4]}
    everything = world.discover("cse-in", ty=[3, 4], lim=MANY + 10)
    assert "cse-in/ae/cnt" in everything
    response, _ = interrupted(world, Operation.RETRIEVE, "cse-in", lambda: world.delete("cse-in/ae/cnt"), filter=where)
    found = response.content["m2m:uril"]
    assert len(found) == 4
    assert all(address.startswith("cse-in/ae/few") for address in found)


@pytest.mark.parametrize("operation", [Operation.RETRIEVE, Operation.DELETE])
def test_a_target_that_is_deleted_meanwhile_is_gone(world: World, operation: Operation) -> None:
    response, breaths = interrupted(
        world, operation, "cse-in/ae/cnt", lambda: world.delete("cse-in/ae"), result_content=4
    )
    assert (response.status, breaths) == (Status.NOT_FOUND, 1)
    assert "deleted while" in response.content["m2m:dbg"]


def test_a_right_that_is_taken_away_meanwhile_counts_from_then_on(world: World) -> None:
    policy = world.policy("readers", ["CReader"], 34)
    world.update("cse-in/ae/cnt", {"m2m:cnt": {"acpi": [policy]}}, "Cae")
    where = {"fu": 2, "lim": MANY}

    def listed(meanwhile: Callable[[], Any] = lambda: None) -> int:
        response, _ = interrupted(
            world, Operation.RETRIEVE, "cse-in/ae/cnt", meanwhile, originator="CReader", result_content=4, filter=where
        )
        return len(response.content["m2m:cnt"]["m2m:cin"])

    assert listed() == MANY
    assert listed(lambda: world.update(policy, {"m2m:acp": {"pv": {"acr": []}}})) < 300


def test_what_comes_and_goes_meanwhile_moves_nothing(world: World) -> None:
    def changes() -> None:
        world.post(content="new")
        world.delete("cse-in/ae/cnt/ol")

    response, _ = interrupted(
        world, Operation.RETRIEVE, "cse-in/ae/cnt", changes, result_content=8, filter={"ty": [4], "lim": MANY + 10}
    )
    contents = [one["con"] for one in response.content["m2m:cnt"]["m2m:cin"]]
    assert contents[1:MANY] == [str(number) for number in range(1, MANY)]
    assert len(contents) == len(set(contents))


def test_a_fan_out_to_many_lets_others_in(world: World) -> None:
    members = [f"cse-in/ae/few/{name}" for name in ("la", "ol")] + world.discover("cse-in/ae/cnt", ty=[4], lim=300)
    body = {"rn": "all", "mid": members, "mnm": 400}
    assert world.create("cse-in", 9, {"m2m:grp": body}).status is Status.CREATED
    response, breaths = interrupted(world, Operation.RETRIEVE, "cse-in/all/fopt")
    assert breaths == 2
    assert len(response.content["m2m:agr"]["m2m:rsp"]) == len(members)


def test_the_types_of_children_are_known_without_a_look_at_all_instances(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pi: str, **how: Any) -> Any:
        raise AssertionError("all instances are looked at")

    monkeypatch.setattr(world.store, "instances", refuse)
    assert world.discover("cse-in", ty=[2, 3], chty=[4]) == ["cse-in/ae/cnt", "cse-in/ae/few"]
    assert world.discover("cse-in", ty=[2, 3], chty=[3]) == ["cse-in/ae"]
