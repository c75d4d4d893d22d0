"""How and when subscribers are told: batches, rates, schedules, pending, statistics (TS-0001 clause 10.2.10)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.core.feedback import delivered
from cse.core.pipeline import handle
from cse.core.timers import rebuild
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from tests.core.world import ADMIN, World

URL = "http://127.0.0.1:9999/notify"
PATH = "cse-in/ae/cnt"
LABELLED = {"m2m:cnt": {"lbl": ["x"]}}


@pytest.fixture
def codec() -> str:
    """Policies do not depend on the codec."""
    return "mqtt"


@pytest.fixture(autouse=True)
def _ae(world: World) -> None:
    world.ae(poa=["http://127.0.0.1:9999/ae"])
    world.container()


def subscribe(world: World, to: str = PATH, originator: str = "Cae", **attributes: Any) -> Response:
    """Create a subscription to child creations that notifies a URL."""
    body = {"rn": "sub", "nu": [URL], "enc": {"net": [3]}, **attributes}
    return world.create(to, 23, {"m2m:sub": body}, originator)


def shown(world: World, name: str = "sub") -> dict[str, Any]:
    """The subscription as it is now."""
    content: dict[str, Any] = world.retrieve(f"{PATH}/{name}").content["m2m:sub"]
    return content


def batches(world: World) -> list[list[str]]:
    """The contents of the instances in each batch that was sent since the last call."""
    found = []
    for send in world.outbox:
        body = send.request.content
        single = body["m2m:agn"]["m2m:sgn"] if "m2m:agn" in body else [body["m2m:sgn"]]
        found.append([entry["nev"]["rep"]["m2m:cin"]["con"] for entry in single if "nev" in entry])
    world.outbox.clear()
    return found


def feed_back(world: World, answer: Response | None) -> None:
    """Let everything sent be answered (or not), and tell the CSE so."""
    sent = list(world.outbox)
    world.outbox.clear()
    for send in sent:
        steps = delivered(world.cse, world.env(), send, answer)
        if steps is not None:
            world.outbox.extend(world._finish(steps).outbox)


# --- batch ------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("EB-11.11")
@pytest.mark.behaviour("PR-09.6.01")
def test_batch_is_sent_when_its_number_is_reached(world: World) -> None:
    subscribe(world, bn={"num": 3})
    assert shown(world)["bn"] == {"num": 3, "dur": "PT1M"}
    for content in "abcd":
        world.post(PATH, content)
    assert batches(world) == [["a", "b", "c"]]
    world.delete(f"{PATH}/sub", "Cae")
    assert batches(world) == [["d"]]


@pytest.mark.behaviour("EB-11.11")
@pytest.mark.behaviour("PR-09.6.01")
def test_batch_is_sent_when_its_duration_is_over(world: World) -> None:
    subscribe(world, bn={"dur": "PT10S"})
    world.post(PATH, "a")
    world.advance(5)
    world.post(PATH, "b")
    assert batches(world) == []
    world.advance(5.1)
    assert batches(world) == [["a", "b"]]
    world.advance(60)
    assert batches(world) == []


@pytest.mark.behaviour("EB-11.11")
@pytest.mark.behaviour("PR-09.6.04")
def test_latest_only_of_a_batch(world: World) -> None:
    subscribe(world, bn={"num": 2}, ln=True)
    world.post(PATH, "a")
    world.post(PATH, "b")
    assert [send.request.event_category for send in world.outbox] == [4]
    assert batches(world) == [["b"]]


def test_batch_survives_a_restart(world: World) -> None:
    subscribe(world, bn={"dur": "PT10S"})
    world.post(PATH, "a")
    rebuild(world.cse, world.env())
    world.advance(11)
    assert batches(world) == [["a"]]


@pytest.mark.behaviour("PR-09.6.01")
def test_batch_removed_by_update_goes_out(world: World) -> None:
    subscribe(world, bn={"num": 5})
    world.post(PATH, "a")
    world.update(f"{PATH}/sub", {"m2m:sub": {"bn": None}}, "Cae")
    assert batches(world) == [["a"]]
    world.post(PATH, "b")
    assert batches(world) == [["b"]]


@pytest.mark.behaviour("PR-09.5.02")
def test_expiration_counter_counts_batches(world: World) -> None:
    subscribe(world, bn={"num": 2}, exc=1)
    world.post(PATH, "a")
    world.post(PATH, "b")
    assert batches(world) == [["a", "b"]]
    assert world.retrieve(f"{PATH}/sub").status is Status.NOT_FOUND


# --- rate limit -------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.6.02")
def test_rate_limit_holds_what_is_too_much_for_the_next_windows(world: World) -> None:
    subscribe(world, rl={"mnn": 2, "tww": "PT10S"})
    for content in "abcde":
        world.post(PATH, content)
    assert batches(world) == [["a"], ["b"]]
    world.advance(10.1)
    assert batches(world) == [["c"], ["d"]]
    rebuild(world.cse, world.env())
    world.advance(10)
    assert batches(world) == [["e"]]
    world.post(PATH, "f")
    assert batches(world) == [["f"]]


@pytest.mark.behaviour("PR-09.6.04")
def test_rate_limit_with_latest_keeps_the_newest_only(world: World) -> None:
    subscribe(world, rl={"mnn": 1, "tww": "PT10S"}, ln=True)
    for content in "abc":
        world.post(PATH, content)
    assert batches(world) == [["a"]]
    world.advance(10.1)
    assert batches(world) == [["c"]]


def test_rate_limit_removed_lets_everything_go(world: World) -> None:
    subscribe(world, rl={"mnn": 1, "tww": "PT10S"})
    for content in "abc":
        world.post(PATH, content)
    world.update(f"{PATH}/sub", {"m2m:sub": {"rl": None}}, "Cae")
    assert batches(world) == [["a"], ["b"], ["c"]]


# --- category, schedule -----------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.6.08")
def test_event_category(world: World) -> None:
    subscribe(world, nec=2)
    world.post(PATH)
    assert world.outbox[0].request.event_category == 2


def _schedule(world: World, entry: str, **fields: Any) -> Response:
    return world.create(f"{PATH}/sub", 18, {"m2m:sch": {"se": {"sce": [entry]}, **fields}}, "Cae")


@pytest.mark.behaviour("EB-11.22")
@pytest.mark.behaviour("PR-09.6.07")
def test_schedule_must_have_its_name(world: World) -> None:
    subscribe(world)
    assert _schedule(world, "* * 12 * * * *", rn="other").status is Status.BAD_REQUEST
    assert _schedule(world, "* * 12 * * * *").content["m2m:sch"]["rn"] == "notificationSchedule"


@pytest.mark.behaviour("EB-11.22")
@pytest.mark.behaviour("PR-09.6.07")
def test_outside_of_the_schedule_nothing_is_sent(world: World) -> None:
    subscribe(world)
    _schedule(world, "* * 13 * * * *")
    world.post(PATH, "a")
    assert batches(world) == []
    world.advance(3600)
    assert batches(world) == []
    world.post(PATH, "b")
    assert batches(world) == [["b"]]


@pytest.mark.behaviour("EB-11.22", "PR-21.03")
@pytest.mark.behaviour("PR-09.6.08")
def test_immediate_notifications_ignore_the_schedule(world: World) -> None:
    subscribe(world, nec=2)
    _schedule(world, "* * 13 * * * *")
    world.post(PATH, "a")
    assert batches(world) == [["a"]]


@pytest.mark.parametrize(("policy", "expected"), [(1, [["b"]]), (2, [["a"], ["b"]])])
@pytest.mark.behaviour("PR-09.6.03")
def test_pending_notifications_wait_for_the_schedule(world: World, policy: int, expected: list[list[str]]) -> None:
    subscribe(world, pn=policy)
    _schedule(world, "* * 13 * * * *")
    world.post(PATH, "a")
    world.post(PATH, "b")
    assert batches(world) == []
    rebuild(world.cse, world.env())
    world.advance(3601)
    if policy == 1:
        assert world.outbox[0].request.event_category == 4
    assert batches(world) == expected


# --- delivery and what follows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "expected"), [(1, [["b"]]), (2, [["a"], ["b"]])])
@pytest.mark.behaviour("PR-09.6.03")
def test_undelivered_notifications_are_pending(world: World, policy: int, expected: list[list[str]]) -> None:
    subscribe(world, pn=policy)
    world.post(PATH, "a")
    feed_back(world, None)
    assert batches(world) == []
    world.post(PATH, "b")
    sent = batches(world)
    assert sent == expected
    world.advance(60)
    assert batches(world) == []


def test_pending_notifications_are_tried_again(world: World) -> None:
    subscribe(world, pn=2)
    world.post(PATH, "a")
    feed_back(world, None)
    world.advance(31)
    assert batches(world) == [["a"]]


@pytest.mark.behaviour("PR-09.6.03")
def test_removing_the_policy_forgets_what_is_pending(world: World) -> None:
    subscribe(world, pn=2)
    world.post(PATH, "a")
    feed_back(world, None)
    world.update(f"{PATH}/sub", {"m2m:sub": {"pn": None}}, "Cae")
    world.advance(60)
    assert batches(world) == []


def test_what_was_sent_and_not_answered_goes_out_again_after_a_restart(world: World) -> None:
    """The shell had them in hand when the CSE was killed; with the policy nothing is lost, and the order stays."""
    subscribe(world, pn=2)
    for content in "abc":
        world.post(PATH, content)
    answered, *_ = sent = list(world.outbox)
    world.outbox[:] = [answered]
    feed_back(world, Response(Status.OK))
    world.outbox.clear()
    rebuild(world.cse, world.env())
    world.advance(1)
    assert batches(world) == [["b"], ["c"]]
    assert len(sent) == 3


def test_without_the_policy_a_restart_repeats_nothing(world: World) -> None:
    subscribe(world)
    world.post(PATH, "a")
    world.outbox.clear()
    rebuild(world.cse, world.env())
    world.advance(60)
    assert batches(world) == []


def test_what_comes_back_undelivered_takes_its_old_place(world: World) -> None:
    subscribe(world, pn=2)
    for content in "abc":
        world.post(PATH, content)
    world.outbox.reverse()
    feed_back(world, None)
    world.advance(31)
    assert batches(world) == [["a"], ["b"], ["c"]]


def test_a_long_backlog_goes_out_in_portions_and_new_events_wait_behind_it(world: World) -> None:
    subscribe(world, pn=2)
    numbers = [f"{number:03}" for number in range(120)]
    for content in numbers:
        world.post(PATH, content)
    feed_back(world, None)
    world.outbox.clear()
    world.post(PATH, "new")
    assert batches(world) == []
    world.advance(31)
    seen: list[str] = []
    while world.outbox:
        assert len(world.outbox) <= 50
        seen += [entry for (entry,) in _contents(world)]
        feed_back(world, Response(Status.OK))
    assert seen == [*numbers, "new"]
    world.post(PATH, "after")
    assert batches(world) == [["after"]]


def _contents(world: World) -> list[list[str]]:
    kept = list(world.outbox)
    found = batches(world)
    world.outbox.extend(kept)
    return found


def test_a_dead_target_does_not_hold_back_a_living_one(world: World) -> None:
    dead, alive = "http://127.0.0.1:9999/dead", "http://127.0.0.1:9999/alive"
    subscribe(world, pn=2, nu=[dead, alive])
    for content in range(20):
        world.post(PATH, str(content))
        for send in list(world.outbox):
            world.outbox[:] = [send]
            feed_back(world, None if send.target == dead else Response(Status.OK))
            world.outbox.clear()
    world.post(PATH, "now")
    assert [send.target for send in world.outbox] == [alive]
    world.outbox.clear()
    world.advance(31)
    assert {send.target for send in world.outbox} == {dead}
    assert len(world.outbox) == 21


def test_without_the_policy_undelivered_notifications_are_lost(world: World) -> None:
    subscribe(world)
    world.post(PATH, "a")
    feed_back(world, None)
    world.advance(60)
    assert batches(world) == []


@pytest.mark.behaviour("EB-11.19")
@pytest.mark.behaviour("PR-09.6.09")
def test_statistics(world: World) -> None:
    subscribe(world, nse=True, bn={"num": 2})
    assert shown(world)["nsi"] == [{"tg": URL, "rqs": 0, "rsr": 0, "noec": 0}]
    for content in "abc":
        world.post(PATH, content)
    feed_back(world, Response(Status.OK))
    assert shown(world)["nsi"] == [{"tg": URL, "rqs": 1, "rsr": 1, "noec": 3}]
    world.update(f"{PATH}/sub", {"m2m:sub": {"nse": False}}, "Cae")
    world.post(PATH, "d")
    assert shown(world)["nsi"] == [{"tg": URL, "rqs": 1, "rsr": 1, "noec": 3}]
    world.update(f"{PATH}/sub", {"m2m:sub": {"nse": True}}, "Cae")
    assert shown(world)["nsi"] == [{"tg": URL, "rqs": 0, "rsr": 0, "noec": 0}]
    world.update(f"{PATH}/sub", {"m2m:sub": {"nse": None}}, "Cae")
    assert "nsi" not in shown(world)


@pytest.mark.behaviour("EB-11.19")
@pytest.mark.behaviour("PR-09.6.09")
def test_statistics_follow_the_targets(world: World) -> None:
    subscribe(world, nse=True)
    world.post(PATH)
    feed_back(world, None)
    other = "http://127.0.0.1:9999/other"
    world.update(f"{PATH}/sub", {"m2m:sub": {"nu": [URL, other]}}, "Cae")
    assert shown(world)["nsi"] == [
        {"tg": URL, "rqs": 1, "rsr": 0, "noec": 1},
        {"tg": other, "rqs": 0, "rsr": 0, "noec": 0},
    ]


@pytest.mark.behaviour("PR-09.6.06")
def test_prior_events_are_told(world: World) -> None:
    for content in "abc":
        world.post(PATH, content)
    subscribe(world, psn=2)
    world.post(PATH, "d")
    assert batches(world) == [["b"], ["c"], ["d"]]


@pytest.mark.behaviour("EB-11.20")
@pytest.mark.behaviour("PR-09.4.02")
def test_event_originator(world: World) -> None:
    subscribe(world, eeno=True, cr=None)
    world.post(PATH, originator=ADMIN)
    assert world.notifications()[0]["cr"] == ADMIN


# --- conditions and event types ---------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.3.10")
def test_conditions_are_joined_by_the_filter_operation(world: World) -> None:
    subscribe(world, enc={"net": [3], "sza": 5, "crb": "20200101T000000", "fo": 2})
    world.post(PATH, "small")
    assert len(world.notifications()) == 1
    subscribe(world, rn="both", enc={"net": [3], "sza": 5, "crb": "20200101T000000"})
    world.post(PATH, "again")
    assert len(world.notifications()) == 1


@pytest.mark.behaviour("EB-11.18")
@pytest.mark.behaviour("PR-09.3.11")
def test_operations_are_monitored(world: World) -> None:
    subscribe(world, enc={"om": [{"ops": 2}, {"ops": 1, "or": "Cother"}]})
    assert shown(world)["nct"] == 1
    world.retrieve(PATH, "Cae")
    (body,) = world.notifications()
    assert body["nev"]["om"] == {"op": 2, "or": "Cae"}
    assert "net" not in body["nev"]
    assert body["nev"]["rep"]["m2m:cnt"]["rn"] == "cnt"
    world.post(PATH)
    world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")
    assert world.notifications() == []
    world.retrieve(PATH, "Cstranger")
    assert world.notifications() == []


@pytest.mark.behaviour("EB-11.18")
@pytest.mark.behaviour("PR-09.3.11")
def test_deletion_is_monitored(world: World) -> None:
    subscribe(world, enc={"om": [{"ops": 8}]})
    world.delete(PATH, "Cae")
    assert [body["nev"]["om"]["op"] for body in world.notifications()] == [4]


@pytest.mark.behaviour("EB-11.16", "EB-11.18")
@pytest.mark.parametrize(
    "criteria",
    [
        {"net": [1], "om": [{"ops": 2}]},
        {"om": [{}]},
        {"om": []},
        {"net": [5, 7]},
        {"net": [6]},
        {"net": [8], "md": {"num": 1, "dur": "PT1M"}},
        {"net": [3], "md": {"num": 1, "dur": "PT1M"}},
        {"net": [1, 7]},
    ],
)
@pytest.mark.behaviour("PR-09.1.07", "PR-09.1.09", "PR-09.1.13")
def test_criteria_that_make_no_sense(world: World, criteria: dict[str, Any]) -> None:
    assert subscribe(world, enc=criteria).status is Status.BAD_REQUEST


@pytest.mark.parametrize(
    "policy",
    [{"bn": {}}, {"bn": {"num": 0}}, {"bn": {"dur": "PT0S"}}, {"rl": {"mnn": 0, "tww": "PT1S"}}, {"rl": {"mnn": 1}}],
)
@pytest.mark.behaviour("PR-09.1.08")
def test_policies_that_make_no_sense(world: World, policy: dict[str, Any]) -> None:
    assert subscribe(world, **policy).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-09.3.05")
def test_retrieve_of_a_container_without_child(world: World) -> None:
    subscribe(world, enc={"net": [5]})
    world.sent.clear()
    asked = []

    def bring(send: Any) -> Response:
        asked.append(send.request.content["m2m:sgn"]["nev"]["net"])
        world.answers = lambda send: Response(Status.OK)
        world.post(PATH, "fresh")
        return Response(Status.OK)

    world.answers = bring
    listed = world.retrieve(PATH, "Cae", result_content=4).content["m2m:cnt"]
    assert asked == [5]
    assert listed["m2m:cin"][0]["con"] == "fresh"
    world.sent.clear()
    world.retrieve(PATH, "Cae", result_content=4)
    assert world.sent == []


@pytest.mark.behaviour("PR-09.3.06")
def test_trigger_for_an_ae(world: World) -> None:
    assert subscribe(world, "cse-in/ae", enc={"net": [6]}).content["m2m:sub"]["nct"] == 4
    world.notify("cse-in/ae", {"m2m:tgp": {"trpu": 1}}, ADMIN)
    (body,) = world.notifications()
    assert body["nev"] == {"rep": {"m2m:tgp": {"trpu": 1}}, "net": 6}


# --- blocking update --------------------------------------------------------------------------------------------


def block(world: World, **attributes: Any) -> Response:
    """Create a blocking subscription to the labels of the container."""
    return subscribe(world, **{"nu": ["Cae"], "enc": {"net": [7], "atr": ["lbl"]}, **attributes})


@pytest.mark.behaviour("EB-11.17")
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Status.OK, Status.UPDATED),
        (Status.BAD_REQUEST, Status.OPERATION_DENIED_BY_REMOTE_ENTITY),
        (None, Status.REMOTE_ENTITY_NOT_REACHABLE),
    ],
)
@pytest.mark.behaviour("PR-09.3.07", "PR-09.8.02")
def test_blocking_update(world: World, answer: Status | None, status: Status) -> None:
    assert block(world).content["m2m:sub"]["nct"] == 2
    world.answers = lambda send: None if answer is None else Response(answer)
    assert world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae").status is status
    (send,) = world.sent
    assert send.request.content["m2m:sgn"]["nev"] == {"rep": {"m2m:cnt": {"lbl": ["x"]}}, "net": 7}
    labels = world.retrieve(PATH).content["m2m:cnt"].get("lbl")
    assert labels == (["x"] if status is Status.UPDATED else None)


@pytest.mark.behaviour("EB-11.17")
@pytest.mark.behaviour("PR-09.8.02")
def test_other_attributes_are_not_blocked(world: World) -> None:
    block(world)
    world.answers = lambda send: None
    assert world.update(PATH, {"m2m:cnt": {"mni": 5}}, "Cae").status is Status.UPDATED
    assert world.sent == []


@pytest.mark.behaviour("PR-09.8.04")
def test_other_changes_wait_for_a_blocking_update(world: World) -> None:
    block(world)
    blocked = handle(
        Request(Operation.UPDATE, PATH, "Cae", "u1", content=LABELLED, release="3"), world.cse, world.env()
    )
    send = next(blocked)
    other = handle(Request(Operation.DELETE, PATH, "Cae", "d1", release="3"), world.cse, world.env())
    assert next(other).resume_at_s > world.now
    assert other.send(None).resume_at_s > world.now
    assert send.request.content["m2m:sgn"]["nev"]["net"] == 7
    with pytest.raises(StopIteration) as done:
        blocked.send(Response(Status.OK))
    assert done.value.value.response.status is Status.UPDATED
    with pytest.raises(StopIteration) as done:
        other.send(None)
    assert done.value.value.response.status is Status.DELETED


@pytest.mark.behaviour("PR-09.8.02")
def test_blocking_update_waits_no_longer_than_the_request(world: World) -> None:
    block(world)
    world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae", request_expiration=2000)
    assert world.sent[0].timeout_s == pytest.approx(2.0, abs=0.01)


@pytest.mark.behaviour("EB-11.17")
@pytest.mark.parametrize(
    "attributes",
    [
        {"nu": ["Cae", URL]},
        {"nct": 1},
        {"bn": {"num": 2}},
        {"enc": {"net": [7], "cra": "20200101T000000"}},
        {"pn": 1},
    ],
)
@pytest.mark.behaviour("PR-09.8.03")
def test_blocking_subscriptions_allow_little_else(world: World, attributes: dict[str, Any]) -> None:
    assert block(world, **attributes).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-11.17")
@pytest.mark.behaviour("PR-09.8.03")
def test_there_is_one_blocking_subscription_and_none_by_update(world: World) -> None:
    block(world)
    assert block(world, rn="second").status is Status.BLOCKING_SUBSCRIPTION_ALREADY_EXISTS
    subscribe(world, rn="plain", nct=1, nu=["Cae"])
    changed = world.update(f"{PATH}/plain", {"m2m:sub": {"enc": {"net": [7]}, "nct": 2}}, "Cae")
    assert changed.status is Status.BAD_REQUEST
    assert world.update(f"{PATH}/sub", {"m2m:sub": {"exc": 5}}, "Cae").status is Status.UPDATED


# --- what comes again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
def test_what_comes_again_has_the_request_identifier_it_had(world: World, restarted: bool) -> None:
    """A target may have taken it though its answer was lost: it can tell."""
    subscribe(world, pn=2)
    world.post()
    world.post()
    first = [send.request.request_id for send in world.outbox]
    assert len(set(first)) == 2
    if restarted:  # nobody answered before the CSE was killed
        world.outbox.clear()
        rebuild(world.cse, world.env())
    else:
        feed_back(world, None)
    world.advance(31)
    assert [send.request.request_id for send in world.outbox] == first
    feed_back(world, Response(Status.OK))
    world.post()
    assert world.outbox[-1].request.request_id not in first


def test_only_what_nobody_else_keeps_is_for_the_store(world: World) -> None:
    subscribe(world, pn=2)
    subscribe(world, "cse-in/ae", rn="other")
    world.post()
    assert [send.kept for send in world.outbox] == [False]
    world.outbox.clear()
    world.container(name="seen")
    assert [send.kept for send in world.outbox] == [True]
