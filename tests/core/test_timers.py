"""Timers of resources: the queue, and when hooks are called (``cse.core.timers``)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cse.core.timer_queue import TimerQueue


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
