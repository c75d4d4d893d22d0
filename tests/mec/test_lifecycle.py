"""The state table of an application instance on Mp1: events in, actions out, time passed in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mec_adapter.lifecycle import (
    Beat,
    Beaten,
    BeatFailed,
    Changed,
    ConfirmReady,
    Done,
    Event,
    Failed,
    Lifecycle,
    Phase,
    Ready,
    Reconcile,
    Reconciled,
    Register,
    Registered,
    Service,
    Started,
    StopRequested,
    Superseded,
    TerminationRequested,
    Tick,
    Wind,
    due,
    step,
)

SERVICE = Service("t1", "onem2m-cse", "s1", "ACTIVE", "http://mep/liveness", 10.0)
SILENT = Service("t2", "onem2m-cse-mqtt", "s2", "ACTIVE")


def run(*events: Event, state: Lifecycle | None = None, now: float = 100.0) -> tuple[Lifecycle, list[Any]]:
    actions: list[Any] = []
    state = state or Lifecycle()
    for event in events:
        state, given_actions = step(state, event, now)
        actions += given_actions
    return state, actions


def serving(*services: Service, now: float = 100.0) -> Lifecycle:
    state, _ = run(Started(), Registered("app-1"), Ready(), Reconciled(services), now=now)
    assert state.phase is Phase.SERVING
    return state


def kinds(actions: list[Any]) -> list[type]:
    return [type(action) for action in actions]


def test_the_way_to_serving() -> None:
    state, actions = run(Started(), Registered("app-1"), Ready(), Reconciled((SERVICE,)))
    assert kinds(actions) == [Register, ConfirmReady, Reconcile]
    assert (state.phase, state.app_id) == (Phase.SERVING, "app-1")


def test_an_unreachable_platform_is_tried_again_ever_more_slowly_up_to_a_minute() -> None:
    state, now, pauses = Lifecycle(), 0.0, []
    state, _ = step(state, Started(), now)
    for _ in range(12):
        state, actions = step(state, Failed("no connection"), now, 1.0)
        assert actions == ()
        at = due(state)
        assert at is not None
        pauses.append(at - now)
        now = at
        state, actions = step(state, Tick(), now)
        assert kinds(list(actions)) == [Register]
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0


def test_retry_after_is_kept() -> None:
    state, _ = run(Started(), Failed("429", 429, 17.0))
    assert due(state) == 117.0


@pytest.mark.behaviour("MAP-6.02")
def test_not_instantiated_yet_is_tried_again() -> None:
    state, _ = run(Started(), Registered("app-1"), Failed("not instantiated", 409))
    assert state.phase is Phase.REGISTERED
    state, actions = run(Tick(), state=state)
    assert kinds(actions) == [ConfirmReady]


@pytest.mark.behaviour("MAP-6.02")
def test_not_ready_means_confirm_again_once() -> None:
    state, actions = run(Started(), Registered("app-1"), Ready(), Failed("not ready", 403))
    assert kinds(actions)[-1] is ConfirmReady
    state, actions = run(Ready(), Failed("still not", 403), state=state)
    assert kinds(actions) == [Reconcile]
    assert due(state) is not None


def test_readiness_is_confirmed_again_also_after_an_outage() -> None:
    state, actions = run(Failed("down"), Failed("down"), Failed("not ready", 403), state=serving(SERVICE))
    assert actions == []
    at = due(state)
    assert at is not None
    state, tried = step(state, Tick(), at)
    assert kinds(list(tried)) == [ConfirmReady]


def test_pauses_grow_up_to_what_the_heartbeat_interval_allows() -> None:
    state, now = Lifecycle(longest_pause_s=15.0), 0.0
    state, _ = step(state, Started(), now)
    for _ in range(10):
        state, _ = step(state, Failed("no connection"), now, 1.0)
        at = due(state)
        assert at is not None
        assert at - now <= 15.0
        now = at
        state, _ = step(state, Tick(), now)
    state, _ = step(state, Registered("app-1"), now)
    state, _ = step(state, Failed("unknown", 404), now, 1.0)
    assert (state.phase, state.longest_pause_s) == (Phase.INIT, 15.0)


@pytest.mark.parametrize("before", [Lifecycle(), serving(SERVICE)])
def test_a_superseded_instance_waits_and_tries_again_and_leaves_nothing(before: Lifecycle) -> None:
    state, actions = run(Superseded("/id-b"), state=before)
    assert (state.phase, state.app_id, state.services, actions) == (Phase.YIELDED, "", (), [])
    assert due(state) == 100.0 + state.audit_s
    again, tried = run(Tick(), state=state)
    assert (again.phase, kinds(tried)) == (Phase.INIT, [Register])
    ended, done = run(StopRequested(), state=state)
    assert (ended.phase, done) == (Phase.STOPPED, [])


@pytest.mark.parametrize("status", [401, 404, 410])
def test_a_platform_that_forgot_us_is_registered_with_again(status: int) -> None:
    state, actions = run(Failed("unknown", status), state=serving(SERVICE))
    assert (state.phase, state.app_id, state.services) == (Phase.INIT, "", ())
    assert kinds(actions) == [Register]


def test_a_platform_that_forgets_again_and_again_is_not_hammered() -> None:
    state = serving(SERVICE)
    state, actions = run(Failed("unknown", 404), Registered("app-1"), Failed("unknown", 404), state=state)
    assert kinds(actions) == [Register, ConfirmReady]
    assert due(state) is not None


def test_trouble_while_serving_changes_nothing_but_the_next_try() -> None:
    before = serving(SERVICE)
    state, actions = run(Failed("500", 500), state=before)
    assert state.phase is Phase.SERVING
    assert state.services == before.services
    assert actions == []


@pytest.mark.behaviour("MAP-6.05")
def test_first_heartbeat_at_once_then_at_six_tenths_of_the_interval() -> None:
    state = serving(SERVICE, SILENT)
    assert due(state) == 100.0
    state, actions = run(Tick(), state=state)
    assert [[service.key for service in action.services] for action in actions if isinstance(action, Beat)] == [["t1"]]
    state, _ = step(state, Beaten("t1"), 100.0, 0.5)
    assert due(state) == 106.0


@pytest.mark.behaviour("MAP-6.05")
def test_heartbeats_adopt_a_new_interval() -> None:
    state, _ = step(serving(SERVICE), Beaten("t1", 20.0), 100.0, 0.5)
    assert state.services[0].interval_s == 20.0
    assert due(state) == 112.0


def test_a_heartbeat_nobody_answered_comes_again_before_the_interval_ends() -> None:
    state, _ = run(Tick(), BeatFailed("t1", "no answer"), state=serving(SERVICE))
    at = due(state)
    assert at is not None
    assert 100.0 < at <= 104.0


@pytest.mark.parametrize("status", [404, 409, 403])
def test_a_refused_heartbeat_compares_the_registry(status: int) -> None:
    _, actions = run(BeatFailed("t1", "refused", status), state=serving(SERVICE))
    assert kinds(actions) == [Reconcile]


def test_inactive_services_have_no_heartbeats() -> None:
    state = serving(replace(SERVICE, state="INACTIVE"))
    assert due(state) == state.next_at
    _, actions = run(Tick(), state=state)
    assert not [action for action in actions if isinstance(action, Beat)]


def test_the_registry_is_compared_now_and_then_and_on_change() -> None:
    state = serving(SILENT)
    assert due(state) == 130.0
    _, actions = run(Tick(), state=state, now=130.0)
    assert kinds(actions) == [Reconcile]
    _, actions = run(Changed(), state=state)
    assert kinds(actions) == [Reconcile]


def test_termination_is_wound_up_and_confirmed() -> None:
    state, actions = run(TerminationRequested("TERMINATING", 10.0, "link"), state=serving(SERVICE))
    assert actions == [Wind(10.0, "TERMINATING", "link")]
    state, actions = run(Done(), Tick(), Changed(), state=state)
    assert (state.phase, state.services, actions, due(state)) == (Phase.TERMINATED, (), [], None)


def test_stopping_deregisters_only_what_is_registered() -> None:
    state, actions = run(StopRequested(), state=serving(SERVICE))
    assert actions == [Wind(5.0)]
    state, _ = run(Done(), state=state)
    assert state.phase is Phase.STOPPED
    state, actions = run(Started(), StopRequested())
    assert (state.phase, kinds(actions)) == (Phase.STOPPED, [Register])


OUTCOMES: dict[type, list[Event]] = {
    Register: [Registered("app-1"), Failed("down"), Failed("401", 401), Superseded("/id-b")],
    ConfirmReady: [Ready(), Failed("down"), Failed("gone", 404), Failed("too early", 409)],
    Reconcile: [Reconciled((SERVICE, SILENT)), Superseded("/id-b"), Failed("gone", 404), Failed("not ready", 403)],
    Beat: [Beaten("t1"), BeatFailed("t1", "down"), BeatFailed("t1", "gone", 404), BeatFailed("t1", "409", 409)],
}


@given(st.lists(st.integers(0, 3), max_size=60))
def test_whatever_the_platform_answers_there_is_a_next_step_and_no_hammering(answers: list[int]) -> None:
    """Every action is answered somehow; when none is open a time is due. Ten actions never share one moment."""
    state, actions = step(Lifecycle(), Started(), 0.0)
    now, at_once = 0.0, 0
    for answer in answers:
        if not actions:
            at = due(state)
            assert at is not None
            at_once = at_once if at <= now else 0
            now = max(now, at)
            state, actions = step(state, Tick(), now)
            continue
        at_once += 1
        assert at_once < 10
        state, more = step(state, OUTCOMES[type(actions[0])][answer], now)
        actions = (*actions[1:], *more)
    state, _ = step(state, StopRequested(), now)
    assert state.phase in (Phase.STOPPING, Phase.STOPPED)
    assert step(state, Done(), now)[0].phase is Phase.STOPPED
