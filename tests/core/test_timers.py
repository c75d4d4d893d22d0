"""Timers of resources: the queue, and when hooks are called (``cse.core.timers``)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.core.context import RequestContext
from cse.core.pipeline import serve
from cse.core.timer_queue import TimerQueue
from cse.core.timers import run_due
from cse.onem2m.primitives import Operation, Request, Response
from cse.ports import Resource, Send
from cse.resources.container import ContainerHooks
from cse.resources.declare import Context, Hooks
from cse.resources.registry import Registry
from cse.storage.memory import MemoryStore
from tests.core.world import World


def test_one_timer_for_each_resource_and_kind() -> None:
    queue = TimerQueue()
    queue.set("a", "x", 5.0)
    queue.set("a", "x", 3.0)
    queue.set("a", "y", 4.0)
    assert queue.next_due() == 3.0
    assert queue.take(2.9) is None
    assert queue.take(10.0) == ("a", "x")
    assert queue.take(10.0) == ("a", "y")
    assert queue.take(10.0) is None
    assert (queue.next_due(), len(queue)) == (None, 0)


def test_a_cancelled_timer_never_comes() -> None:
    queue = TimerQueue()
    queue.set("a", "x", 5.0)
    queue.set("b", "x", 6.0)
    queue.set("a", "x", None)
    assert queue.take(10.0) == ("b", "x")
    assert queue.take(10.0) is None


def test_timers_set_again_and_again_do_not_pile_up() -> None:
    queue = TimerQueue()
    for index in range(10_000):
        queue.set("a", "x", float(index))
    assert len(queue._heap) < 200
    assert queue.take(9_998.0) is None
    assert queue.take(9_999.0) == ("a", "x")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 20)), max_size=40), st.integers(0, 20))
def test_the_queue_agrees_with_a_dictionary(steps: list[tuple[str, int | None]], now: int) -> None:
    queue, model = TimerQueue(), dict[str, int]()
    for ri, due in steps:
        queue.set(ri, "k", due)
        model.pop(ri, None)
        if due is not None:
            model[ri] = due
    earliest = queue.next_due()
    assert (earliest is None) == (not model) or not model
    if model:
        assert earliest is not None
        assert earliest <= min(model.values())
    taken = []
    while (found := queue.take(now)) is not None:
        taken.append(found[0])
    assert sorted(taken) == sorted(ri for ri, due in model.items() if due <= now)
    assert [model[ri] for ri in taken] == sorted(model[ri] for ri in taken)


class _InTransaction(ContainerHooks):
    """Labels the container when its timer comes, and sets the next one."""

    def timer_due(self, ctx: Context, resource: Resource, kind: str) -> None:
        ctx.modify(resource, {"lbl": [*resource.attributes.get("lbl", ()), kind]})
        ctx.set_timer(resource.ri, kind, ctx.env.now + 10)


class _AskingOthers(ContainerHooks):
    """Asks somebody, then performs a request."""

    def timer_steps(self, ctx: Context, resource: Resource, kind: str) -> Generator[Send, Response | None, None]:
        asked = ctx.notification("http://127.0.0.1:1/n", {"m2m:sgn": {}})
        assert asked is not None
        answer = yield asked
        label = "answered" if answer is not None else "nobody"
        own = ctx.settings.cse_id
        content = {"m2m:cnt": {"lbl": [label]}}
        update = Request(Operation.UPDATE, resource.ri, own, ctx.env.new_id(), content=content, release="3")
        yield from ctx.perform(update)


def _world(hooks: Hooks) -> tuple[World, str]:
    """A world whose containers have other hooks, and a container in it."""
    world = World(MemoryStore(), "http")
    known = world.cse.registry
    types = {**known.types, 3: replace(known[3], hooks=hooks)}
    world.cse.registry = Registry(types, known.known_numbers, known.known_attributes)
    created = world.create("cse-in", 3, {"m2m:cnt": {"rn": "c"}})
    ri: str = created.content["m2m:cnt"]["ri"]
    return world, ri


def _labels(world: World) -> Any:
    return world.retrieve("cse-in/c").content["m2m:cnt"].get("lbl")


def test_a_timer_calls_its_hook_until_the_resource_is_gone() -> None:
    world, ri = _world(_InTransaction())
    world.cse.timers.set(ri, "tick", world.now + 5)
    world.advance(4)
    assert _labels(world) is None
    world.advance(22)
    assert _labels(world) == ["tick", "tick", "tick"]
    world.delete("cse-in/c")
    world.advance(20)
    assert world.cse.timers.next_due() is None


def test_work_of_a_timer_may_ask_others_and_perform_requests() -> None:
    world, ri = _world(_AskingOthers())
    world.cse.timers.set(ri, "ask", world.now + 5)
    world.advance(6)
    assert [send.urls for send in world.sent] == [("http://127.0.0.1:1/n",)]
    assert _labels(world) == ["answered"]


def test_a_transaction_that_fails_leaves_no_timer() -> None:
    world, ri = _world(_InTransaction())
    request = Request(Operation.UPDATE, "cse-in", "CAdmin", "r", release="3")
    ctx = RequestContext(world.cse, world.env(), request, serve)

    def fail() -> None:
        with ctx.transaction():
            ctx.set_timer(ri, "tick", world.now + 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert world.cse.timers.next_due() is None
    with ctx.transaction():
        ctx.set_timer(ri, "tick", world.now + 1)
        assert world.cse.timers.next_due() is None
    assert world.cse.timers.next_due() is not None
    assert run_due(world.cse, world.env()) is None
