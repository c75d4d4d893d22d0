"""Rules of subscriptions that other tests leave open (procedures 9; TS-0001 clause 9.6.8, 10.2.10; TS-0004 7.4.8)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.core.feedback import delivered
from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Engine
from tests.core.world import ADMIN, World

URL = "http://127.0.0.1:9999/notify"
OTHER = "http://127.0.0.1:9999/other"
SU = "http://127.0.0.1:9999/su"
PATH = "cse-in/ae/cnt"
TS = "cse-in/ae/ts"
SUB = f"{PATH}/sub"


@pytest.fixture
def world(store: Engine) -> World:
    """An AE with a container; subscriptions do not depend on the codec."""
    made = World(store, "mqtt")
    made.ae()
    made.container()
    return made


def subscribe(world: World, to: str = PATH, originator: str = "Cae", **attributes: Any) -> Response:
    """Create ``sub`` for a URL, without an attribute that is given as None."""
    body = {"rn": "sub", "nu": [URL], "enc": {"net": [3]}, **attributes}
    return world.create(to, 23, {"m2m:sub": {k: v for k, v in body.items() if v is not None}}, originator)


def change(world: World, **attributes: Any) -> Response:
    return world.update(SUB, {"m2m:sub": attributes}, "Cae")


def answer_with(world: World, answer: Response | None) -> None:
    """Feed an answer back for everything that was queued."""
    sent, world.outbox = world.outbox, []
    for send in sent:
        steps = delivered(world.cse, world.env(), send, answer)
        if steps is not None:
            world.outbox.extend(world._finish(steps).outbox)


# --- checks -----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.1.02")
@pytest.mark.parametrize("operations", [1, 2, 3])
def test_subscribing_needs_create_and_retrieve(world: World, operations: int) -> None:
    path = world.container(name="shared", acpi=[world.policy("acp", ["Cother"], operations)])
    expected = Status.CREATED if operations == 3 else Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert subscribe(world, path, "Cother").status is expected


@pytest.mark.behaviour("PR-09.1.03")
@pytest.mark.parametrize("targets", [[], None, ["ftp://127.0.0.1/x"], [""], "Cae", [5]])
def test_targets_that_name_nothing_are_4000(world: World, targets: Any) -> None:
    assert subscribe(world, nu=targets).status is Status.BAD_REQUEST
    assert subscribe(world).status is Status.CREATED
    assert change(world, nu=targets).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-09.1.04")
def test_the_originator_and_what_is_its_own_is_not_asked(world: World) -> None:
    world.create("cse-in/ae", 9, {"m2m:grp": {"rn": "grp", "mnm": 1, "mid": []}}, "Cae")
    for name, target in (("a", "Cae"), ("b", "//onemec.local/id-in/Cae"), ("c", "cse-in/ae/grp"), ("d", "cse-in/ae")):
        assert subscribe(world, rn=name, nu=[target]).status is Status.CREATED
    assert world.sent == []


@pytest.mark.behaviour("PR-09.1.06")
@pytest.mark.parametrize(
    ("criteria", "status"),
    [
        ({"net": [1], "atr": ["mni", "lbl"]}, Status.CREATED),
        ({"net": [1], "atr": ["con"]}, Status.BAD_REQUEST),
        ({"net": [3], "chty": [3, 4]}, Status.CREATED),
        ({"net": [4], "chty": [2]}, Status.BAD_REQUEST),
        ({"net": [3], "chty": [99999]}, Status.BAD_REQUEST),
    ],
)
def test_attributes_and_child_types_must_be_those_of_the_resource(world: World, criteria: Any, status: Status) -> None:
    assert subscribe(world, enc=criteria).status is status
    if status is not Status.CREATED:
        subscribe(world, enc={"net": [1]}, nct=1)
        assert change(world, enc=criteria).status is status


@pytest.mark.behaviour("PR-09.1.07")
@pytest.mark.parametrize(
    ("criteria", "status"),
    [
        ({"net": [8], "md": {"num": 1, "dur": "PT1M"}}, Status.CREATED),
        ({"net": [8]}, Status.BAD_REQUEST),
        ({"net": [8], "md": {"num": 1}}, Status.BAD_REQUEST),
        ({"net": [8], "md": {"dur": "PT1M"}}, Status.BAD_REQUEST),
        ({"net": [8], "md": {"num": "1", "dur": "PT1M"}}, Status.BAD_REQUEST),
        ({"net": [3], "md": {"num": 1, "dur": "PT1M"}}, Status.BAD_REQUEST),
    ],
)
def test_missing_data_criteria_are_whole_and_below_a_time_series(world: World, criteria: Any, status: Status) -> None:
    world.create("cse-in/ae", 29, {"m2m:ts": {"rn": "ts"}}, "Cae")
    assert subscribe(world, TS, enc=criteria).status is status
    assert subscribe(world, enc=criteria).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-09.1.08")
@pytest.mark.parametrize(
    "attributes",
    [
        {"exc": 0},
        {"exc": -1},
        {"exc": 1.5},
        {"bn": {"num": 0}},
        {"bn": {}},
        {"rl": {"mnn": 0, "tww": "PT1S"}},
        {"rl": {"tww": "PT1S"}},
        {"rl": {"mnn": 1}},
        {"psn": 0},
        {"nsp": 0},
    ],
)
def test_counts_are_positive(world: World, attributes: dict[str, Any]) -> None:
    assert subscribe(world, **attributes).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-09.1.09")
def test_a_trigger_is_subscribed_to_at_an_ae_only(world: World) -> None:
    assert subscribe(world, "cse-in/ae", enc={"net": [6]}).status is Status.CREATED
    assert subscribe(world, enc={"net": [6]}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-09.1.10")
def test_prior_events_are_asked_for_at_creation_only(world: World) -> None:
    assert subscribe(world, psn=2).status is Status.CREATED
    for value in (3, None):
        assert change(world, psn=value).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-09.1.11")
def test_defaults_of_a_subscription(world: World) -> None:
    made = subscribe(world, enc=None).content["m2m:sub"]
    assert made["nct"] == 1
    assert "enc" not in made
    world.post(PATH)
    assert world.notifications() == []
    world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")
    assert [body["nev"]["net"] for body in world.notifications()] == [1]


@pytest.mark.behaviour("PR-09.1.12")
@pytest.mark.parametrize("number", [9, 10, 99])
def test_event_types_that_are_not_done_are_refused(world: World, number: int) -> None:
    assert subscribe(world, enc={"net": [number]}).status in (Status.NOT_IMPLEMENTED, Status.BAD_REQUEST)
    assert world.sent == []


# --- verification -----------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.2.02")
def test_a_creator_that_may_not_notify_the_target_is_4101(world: World) -> None:
    world.ae("Cother", "other", poa=[OTHER])
    refused = subscribe(world, nu=["Cother"])
    assert refused.status is Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE
    assert world.retrieve(SUB).status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-09.2.03")
def test_one_target_that_refuses_is_enough(world: World) -> None:
    world.answers = lambda send: Response(Status.OK if send.urls == (URL,) else Status.NOT_ACCEPTABLE)
    assert subscribe(world, nu=[URL, OTHER]).status is Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED
    assert world.retrieve(SUB).status is Status.NOT_FOUND
    assert world.store.plain_count() == len(world.discover("cse-in", "CAdmin")) + 1


# --- events -----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.3.02")
@pytest.mark.parametrize("content_type", [1, 3])
def test_a_deletion_shows_the_resource_as_it_was(world: World, content_type: int) -> None:
    world.update(PATH, {"m2m:cnt": {"lbl": ["last"]}}, "Cae")
    ri = world.retrieve(PATH).content["m2m:cnt"]["ri"]
    subscribe(world, enc={"net": [2]}, nct=content_type)
    world.delete(PATH, "Cae")
    (body,) = world.notifications()
    if content_type == 1:
        assert body["nev"]["rep"]["m2m:cnt"]["lbl"] == ["last"]
    else:
        assert body["nev"]["rep"] == {"m2m:uri": f"/id-in/{ri}"}


@pytest.mark.behaviour("PR-09.3.03", "PR-09.3.04")
def test_children_are_told_by_type_and_identifier(world: World) -> None:
    subscribe(world, rn="made", enc={"net": [3], "chty": [3]}, nct=3)
    subscribe(world, rn="gone", enc={"net": [4], "chty": [3]}, nct=3)
    world.post(PATH)
    ri = world.create(PATH, 3, {"m2m:cnt": {"rn": "inner"}}, "Cae").content["m2m:cnt"]["ri"]
    world.delete(f"{PATH}/la", "Cae")
    world.delete(f"{PATH}/inner", "Cae")
    events = [body["nev"] for body in world.notifications()]
    expected = {"m2m:uri": f"/id-in/{ri}"}
    assert events == [{"rep": expected, "net": 3}, {"rep": expected, "net": 4}]


@pytest.mark.behaviour("PR-09.3.05")
def test_a_container_without_instance_is_told_for_listings_only(world: World) -> None:
    subscribe(world, enc={"net": [5]})
    world.sent.clear()
    world.retrieve(PATH, "Cae")
    world.retrieve(PATH, "Cae", result_content=5)
    assert world.sent == []
    for rcn in (4, 8):
        world.retrieve(PATH, "Cae", result_content=rcn)
    assert [send.request.content["m2m:sgn"]["nev"]["net"] for send in world.sent] == [5, 5]


@pytest.mark.behaviour("PR-09.3.09")
@pytest.mark.parametrize(
    ("events", "content_type", "status"),
    [
        ([1, 3], None, Status.CREATED),
        ([1, 2, 3, 4], 3, Status.CREATED),
        ([1, 3], 2, Status.BAD_REQUEST),
        ([3, 7], None, Status.BAD_REQUEST),
        ([2], 2, Status.BAD_REQUEST),
        ([4], 4, Status.BAD_REQUEST),
        ([1], 5, Status.BAD_REQUEST),
        ([5], 3, Status.BAD_REQUEST),
    ],
)
def test_event_types_share_a_content_type(
    world: World, events: list[int], content_type: int | None, status: Status
) -> None:
    assert subscribe(world, enc={"net": events}, nct=content_type).status is status


@pytest.mark.behaviour("PR-09.3.10")
@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({"crb": "20200101T000000"}, False),
        ({"cra": "20200101T000000"}, True),
        ({"us": "20200101T000000"}, False),
        ({"ms": "20200101T000000"}, True),
        ({"exb": "20200101T000000"}, False),
        ({"exa": "20200101T000000"}, True),
        ({"stb": 100}, False),
        ({"sts": 100}, True),
        ({"sza": 100}, False),
        ({"szb": 100}, True),
    ],
)
def test_conditions_look_at_the_resource_of_the_event(world: World, conditions: dict[str, Any], told: bool) -> None:
    made = subscribe(world, enc={"net": [3], **conditions})
    assert made.status is Status.CREATED, made.content
    world.post(PATH, "content")
    assert len(world.notifications()) == told


@pytest.mark.behaviour("PR-09.3.11")
def test_operations_are_told_even_when_nothing_changes(world: World) -> None:
    subscribe(world, enc={"om": [{"ops": 2}, {"or": ADMIN}, {"ops": 32}]})
    world.retrieve(PATH, "Cae")
    world.update(PATH, {"m2m:cnt": {}}, "Cae")
    world.update(PATH, {"m2m:cnt": {}})
    told = [body["nev"]["om"] for body in world.notifications()]
    assert told == [{"op": 2, "or": "Cae"}, {"op": 3, "or": ADMIN}]
    for monitors in ([], [{}], [{"ops": 64}]):
        assert subscribe(world, rn="bad", enc={"om": monitors}).status is Status.BAD_REQUEST
    assert subscribe(world, rn="bad", enc={"om": [{"ops": 2}], "net": [1]}).status is Status.BAD_REQUEST


# --- the message ------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.4.01")
def test_members_of_a_notification(world: World) -> None:
    plain = subscribe(world).content["m2m:sub"]["ri"]
    signed = subscribe(world, rn="signed", cr=None).content["m2m:sub"]["ri"]
    named = world.create(
        PATH, 23, {"m2m:sub": {"rn": "named", "nu": [URL], "enc": {"net": [3]}, "cr": None, "nfu": OTHER}}, "Cae"
    ).content["m2m:sub"]["ri"]
    world.post(PATH)
    bodies = {body["sur"]: body for body in world.notifications()}
    assert set(bodies[f"/id-in/{plain}"]) == {"nev", "sur"}
    assert set(bodies[f"/id-in/{signed}"]) == {"nev", "sur"}
    assert bodies[f"/id-in/{named}"]["cr"] == "Cae"
    assert bodies[f"/id-in/{named}"]["nfu"] == OTHER
    assert set(bodies[f"/id-in/{named}"]["nev"]) == {"rep", "net"}


# --- delivery ---------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.5.01")
def test_every_target_is_notified_and_what_cannot_be_reached_is_left_out(world: World) -> None:
    world.ae("Caway", "away", poa=[OTHER], acpi=[world.policy("acp", ["Cae"], 63)])
    subscribe(world, nu=[URL, "Caway", "Cae"])
    assert world.delete("cse-in/away", "Caway").status is Status.DELETED
    world.outbox.clear()
    assert world.post(PATH).status is Status.CREATED
    assert world.outbox[0].target == URL
    assert {send.target for send in world.outbox} <= {URL, "Cae", "Caway"}


@pytest.mark.behaviour("PR-09.5.02")
def test_the_expiration_counter_counts_notifications_and_ends_the_subscription(world: World) -> None:
    subscribe(world, nu=[URL, OTHER], exc=2, su=SU)
    world.post(PATH, "a")
    assert world.retrieve(SUB).content["m2m:sub"]["exc"] == 1
    world.post(PATH, "b")
    assert [send.urls[0] for send in world.outbox] == [URL, OTHER, URL, OTHER, SU]
    assert world.outbox[-1].request.content["m2m:sgn"]["sud"] is True
    assert world.retrieve(SUB).status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-09.5.03")
def test_a_target_that_fails_does_not_fail_the_request(world: World) -> None:
    subscribe(world)
    assert world.post(PATH).status is Status.CREATED
    answer_with(world, Response(Status.INTERNAL_SERVER_ERROR))
    assert world.post(PATH).status is Status.CREATED
    answer_with(world, None)
    assert world.retrieve(SUB).status is Status.OK
    assert world.retrieve(PATH).content["m2m:cnt"]["cni"] == 2


# --- policies ---------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.6.01")
def test_an_update_of_the_batch_restarts_it(world: World) -> None:
    subscribe(world, bn={"num": 5, "dur": "PT10S"})
    world.post(PATH, "a")
    world.advance(8)
    assert change(world, bn={"num": 5, "dur": "PT20S"}).status is Status.UPDATED
    world.advance(15)
    assert world.outbox == []
    world.advance(6)
    (send,) = world.outbox
    assert len(send.request.content["m2m:agn"]["m2m:sgn"]) == 1


@pytest.mark.behaviour("PR-09.6.05")
def test_a_storage_priority_is_kept(world: World) -> None:
    assert subscribe(world, nsp=3).content["m2m:sub"]["nsp"] == 3
    assert change(world, nsp=None).status is Status.UPDATED


@pytest.mark.behaviour("PR-09.6.07")
def test_the_schedule_holds_back_what_monitors_tell_too(world: World) -> None:
    subscribe(world, enc={"om": [{"ops": 2}]})
    body = {"m2m:sch": {"se": {"sce": ["* * 13 * * * *"]}}}
    assert world.create(SUB, 18, body, "Cae").status is Status.CREATED
    world.retrieve(PATH, "Cae")
    assert world.outbox == []
    world.advance(3600)
    world.retrieve(PATH, "Cae")
    assert len(world.notifications()) == 1


@pytest.mark.behaviour("PR-09.6.09")
def test_statistics_pause_resume_and_go(world: World) -> None:
    subscribe(world, nse=True)
    world.post(PATH)
    answer_with(world, Response(Status.OK))
    row = {"tg": URL, "rqs": 1, "rsr": 1, "noec": 1}
    assert world.retrieve(SUB).content["m2m:sub"]["nsi"] == [row]
    change(world, nse=False)
    world.post(PATH)
    answer_with(world, Response(Status.OK))
    assert world.retrieve(SUB).content["m2m:sub"]["nsi"] == [row]
    assert change(world, nse=True).content["m2m:sub"]["nsi"] == [{"tg": URL, "rqs": 0, "rsr": 0, "noec": 0}]
    assert "nsi" not in change(world, nse=None).content["m2m:sub"]
    assert change(world, nsi=[row]).status is Status.BAD_REQUEST


# --- the end ----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.7.02")
def test_a_subscriber_that_deletes_its_subscription_is_not_told(world: World) -> None:
    world.update("cse-in/ae", {"m2m:ae": {"poa": [OTHER]}}, "Cae")
    for deleter, told in (("Cae", 0), (ADMIN, 1)):
        subscribe(world, su="Cae")
        world.outbox.clear()
        assert world.delete(SUB, deleter).status is Status.DELETED
        assert len(world.notifications()) == told


@pytest.mark.behaviour("PR-09.7.03")
def test_a_subscription_that_expires_says_so(world: World) -> None:
    ri = subscribe(world, su=SU, cr=None, et=format_timestamp(world.now + 10)).content["m2m:sub"]["ri"]
    world.outbox.clear()
    world.advance(11)
    (body,) = world.notifications()
    assert (body["sud"], body["sur"]) == (True, f"/id-in/{ri}")


@pytest.mark.behaviour("PR-09.7.04")
def test_what_a_batch_or_a_limit_holds_goes_out_before_the_end_is_told(world: World) -> None:
    subscribe(world, bn={"num": 9}, su=SU)
    world.post(PATH, "a")
    world.delete(SUB, "Cae")
    first, last = (send.request.content for send in world.outbox)
    assert len(first["m2m:agn"]["m2m:sgn"]) == 1
    assert last["m2m:sgn"]["sud"] is True


# --- blocking update --------------------------------------------------------------------------------------------


def block(world: World, **attributes: Any) -> Response:
    return subscribe(world, **{"nu": ["Cae"], "enc": {"net": [7], "atr": ["lbl"]}, **attributes})


@pytest.mark.behaviour("PR-09.8.01")
def test_only_a_valid_and_permitted_update_is_asked_about(world: World) -> None:
    world.update("cse-in/ae", {"m2m:ae": {"poa": [OTHER]}}, "Cae")
    assert block(world).status is Status.CREATED
    for content, originator in (({"lbl": "x"}, "Cae"), ({"lbl": ["x"], "no": 1}, "Cae"), ({"lbl": ["x"]}, "Cother")):
        assert not world.update(PATH, {"m2m:cnt": content}, originator).status.is_success
    assert world.sent == []
    assert world.update(PATH, {"m2m:cnt": {"lbl": ["x"], "mni": 3}}, "Cae").status is Status.UPDATED
    (send,) = world.sent
    assert send.request.content["m2m:sgn"]["nev"]["rep"] == {"m2m:cnt": {"lbl": ["x"], "mni": 3}}


@pytest.mark.behaviour("PR-09.8.03")
def test_blocking_subscriptions_are_alone_and_made_so(world: World) -> None:
    for attributes in ({"nu": ["Cae", "Cae2"]}, {"nct": 1}, {"enc": {"net": [7, 1]}}, {"ln": True}):
        assert block(world, **attributes).status is Status.BAD_REQUEST, attributes
    assert block(world).status is Status.CREATED
    assert block(world, rn="second").status is Status.BLOCKING_SUBSCRIPTION_ALREADY_EXISTS


# --- target removal ---------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-09.9.02")
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.RETRIEVE, Operation.UPDATE])
def test_the_self_reference_can_only_be_deleted(world: World, operation: Operation) -> None:
    subscribe(world, nu=["Cae"])
    fields: dict[Operation, dict[str, Any]] = {
        Operation.CREATE: {"resource_type": 18, "content": {"m2m:sch": {"se": {"sce": ["* * * * * * *"]}}}},
        Operation.UPDATE: {"content": {"m2m:sub": {}}},
    }
    answer = world.ask(operation, f"{SUB}/ntsr", "Cae", **fields.get(operation, {}))
    assert answer.status is Status.OPERATION_NOT_ALLOWED


# --- missing data -----------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-06.3.02")
def test_the_count_of_missing_points_begins_anew_after_its_duration(world: World) -> None:
    world.create("cse-in/ae", 29, {"m2m:ts": {"rn": "ts", "mdd": True, "pei": 10_000, "mdt": 6_000}}, "Cae")
    subscribe(world, TS, enc={"net": [8], "md": {"num": 2, "dur": "PT15S"}})
    body = {"dgt": format_timestamp(world.now), "con": "x"}
    assert world.create(TS, 30, {"m2m:tsi": body}, "Cae").status is Status.CREATED
    world.outbox.clear()
    counts = []
    for _ in range(6):
        world.advance(10)
        counts.append([event["nev"]["rep"]["m2m:tsn"]["mdc"] for event in world.notifications()])
    assert counts == [[], [], [2], [], [2], []]


# --- the schedule of the CSE --------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-11.06")
@pytest.mark.parametrize("category", [None, 2])
def test_notifications_are_held_while_the_cse_is_inactive(world: World, category: int | None) -> None:
    subscribe(world, nec=category)
    body = {"m2m:sch": {"rn": "s", "se": {"sce": ["* * 12 * * * *"]}}}
    assert world.create("cse-in", 18, body).status is Status.CREATED
    world.outbox.clear()
    world.post(PATH, "open")
    assert len(world.notifications()) == 1
    world.advance(3600)
    for content in ("a", "b"):
        assert world.create(PATH, 4, {"m2m:cin": {"con": content}}).status is Status.CREATED
    assert world.outbox == []
    world.advance(23 * 3600)
    contents = [event["nev"]["rep"]["m2m:cin"]["con"] for event in world.notifications()]
    assert contents == ["a", "b"]
    world.advance(24 * 3600)
    assert world.outbox == []
