"""Subscriptions and notifications as independent suites check them (TS-0001 clause 9.6.8, 10.2.10)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from tests.core.world import World

CNT = "cse-in/ae/cnt"
SUB = f"{CNT}/sub"
URL = "http://127.0.0.1:9999/notify"
OTHER = "http://127.0.0.1:9999/other"


@pytest.fixture(autouse=True)
def _tree(world: World) -> None:
    world.ae(poa=["http://127.0.0.1:9999/ae"])
    world.container()


def subscribe(world: World, to: str = CNT, originator: str = "Cae", **attributes: Any) -> Response:
    """Create a subscription; None leaves an attribute out."""
    body = {"rn": "sub", "nu": [URL], **attributes}
    return world.create(to, 23, {"m2m:sub": {k: v for k, v in body.items() if v is not None}}, originator)


def change(world: World, **attributes: Any) -> Response:
    """UPDATE the subscription."""
    return world.update(SUB, {"m2m:sub": attributes}, "Cae")


@pytest.mark.behaviour("EB-11.03")
def test_every_target_is_asked_in_the_name_of_the_creator(world: World) -> None:
    created = subscribe(world, nu=[URL, OTHER, "Cae"], cr=None)
    assert created.status is Status.CREATED
    assert [send.urls for send in world.sent] == [(URL,), (OTHER,)]
    for send in world.sent:
        assert send.request.operation is Operation.NOTIFY
        assert set(send.request.content) == {"m2m:sgn"}
        body = send.request.content["m2m:sgn"]
        assert (body["vrq"], body["sur"]) == (True, f"/id-in/{created.content['m2m:sub']['ri']}")
        assert body["cr"] == "Cae"
        assert send.request.originator == "/id-in"


@pytest.mark.behaviour("EB-11.04")
@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (Status.OK, None, Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED),
        (Status.OK, Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE, Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE),
        (Status.SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE, Status.OK, Status.SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE),
    ],
)
def test_one_target_that_refuses_is_enough(
    world: World, first: Status | None, second: Status | None, status: Status
) -> None:
    answers = iter([first, second])

    def answer(send: Any) -> Response | None:
        given = next(answers)
        return None if given is None else Response(given, request_id=send.request.request_id)

    world.answers = answer
    refused = subscribe(world, nu=[URL, OTHER])
    assert refused.status is status
    assert refused.content["m2m:dbg"]
    assert world.retrieve(SUB, "Cae").status is Status.NOT_FOUND
    world.answers = lambda send: Response(Status.OK, request_id=send.request.request_id)
    assert subscribe(world).status is Status.CREATED


@pytest.mark.behaviour("EB-11.05")
def test_a_subscription_keeps_a_target(world: World) -> None:
    assert subscribe(world, nu=None).status is Status.BAD_REQUEST
    assert subscribe(world).status is Status.CREATED
    empty: list[str] = []
    for nothing in (None, empty, "x"):
        assert change(world, nu=nothing).status is Status.BAD_REQUEST, nothing
    assert world.retrieve(SUB, "Cae").content["m2m:sub"]["nu"] == [URL]


@pytest.mark.behaviour("EB-11.05")
@pytest.mark.parametrize("url", ["http://[", "http://[::1", "http://host:99999", "http://host:port", "http://h:0"])
def test_addresses_that_cannot_be_read_are_4000(world: World, url: str) -> None:
    for wrong in ({"nu": [url]}, {"su": url}, {"nfu": url}):
        assert subscribe(world, **wrong).status is Status.BAD_REQUEST
    assert world.update("cse-in/ae", {"m2m:ae": {"poa": [url]}}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-11.07")
def test_modified_attributes_are_told_each_time(world: World) -> None:
    assert subscribe(world, nct=2, enc={"net": [1]}).status is Status.CREATED
    for labels in (["a"], ["a"], ["b"]):
        world.update(CNT, {"m2m:cnt": {"lbl": labels}}, "Cae")
        (told,) = world.notifications()
        assert told["nev"] == {"rep": {"m2m:cnt": {"lbl": labels}}, "net": 1}
    for event in (2, 3, 4):
        assert subscribe(world, rn="wrong", nct=2, enc={"net": [event]}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-11.06", "EB-11.07")
def test_identifiers_alone(world: World) -> None:
    assert subscribe(world, nct=3, enc={"net": [3, 4]}).status is Status.CREATED
    instance = world.post(CNT).content["m2m:cin"]
    (told,) = world.notifications()
    assert told["nev"] == {"rep": {"m2m:uri": f"/id-in/{instance['ri']}"}, "net": 3}
    assert "cr" not in told
    world.delete(f"{CNT}/la", "Cae")
    (told,) = world.notifications()
    assert told["nev"] == {"rep": {"m2m:uri": f"/id-in/{instance['ri']}"}, "net": 4}


@pytest.mark.behaviour("EB-11.08")
@pytest.mark.parametrize("events", [[1, 7], [3, 8], [1, 8]])
def test_event_types_of_different_contents_need_one_that_fits_all(world: World, events: list[int]) -> None:
    assert subscribe(world, enc={"net": events}).status is Status.BAD_REQUEST
    assert world.sent == []


@pytest.mark.behaviour("EB-11.09")
def test_the_list_of_attributes_can_be_removed(world: World) -> None:
    assert subscribe(world, enc={"net": [1], "atr": ["lbl"]}).status is Status.CREATED
    world.update(CNT, {"m2m:cnt": {"mni": 5}}, "Cae")
    assert world.notifications() == []
    assert change(world, enc={"net": [1]}).status is Status.UPDATED
    world.update(CNT, {"m2m:cnt": {"mni": 6}}, "Cae")
    assert len(world.notifications()) == 1
    assert change(world, enc=None).status is Status.UPDATED
    world.update(CNT, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")
    assert [told["nev"]["net"] for told in world.notifications()] == [1]


@pytest.mark.behaviour("EB-11.10")
def test_child_types_are_checked_in_updates_too(world: World) -> None:
    for events in ({"net": [1]}, {"net": [5]}, {}):
        assert subscribe(world, enc={**events, "chty": [3]}).status is Status.BAD_REQUEST
    for kinds in ([2], [999], ["3"], 3, [5]):
        assert subscribe(world, enc={"net": [3], "chty": kinds}).status is Status.BAD_REQUEST
    assert subscribe(world, enc={"net": [3], "chty": [4]}).status is Status.CREATED
    for kinds in ([2], [999]):
        assert change(world, enc={"net": [3], "chty": kinds}).status is Status.BAD_REQUEST
    world.container(CNT, "inner")
    assert world.notifications() == []
    assert change(world, enc={"net": [3], "chty": [3]}).status is Status.UPDATED
    world.post(CNT)
    assert world.notifications() == []
    world.container(CNT, "another")
    assert len(world.notifications()) == 1


@pytest.mark.behaviour("EB-11.11")
def test_a_batch_has_exactly_its_number(world: World) -> None:
    assert subscribe(world, enc={"net": [3]}, bn={"num": 3}).status is Status.CREATED
    for _ in range(2):
        world.post(CNT)
    assert world.outbox == []
    world.post(CNT)
    (send,) = world.outbox
    assert set(send.request.content) == {"m2m:agn"}
    assert len(send.request.content["m2m:agn"]["m2m:sgn"]) == 3
    assert all({"nev", "sur"} <= set(one) for one in send.request.content["m2m:agn"]["m2m:sgn"])
    world.outbox.clear()
    world.post(CNT)
    assert change(world, bn={"num": 2}).status is Status.UPDATED
    world.post(CNT)
    world.post(CNT)
    told = [one for send in world.outbox for one in send.request.content["m2m:agn"]["m2m:sgn"]]
    assert len(told) >= 2


@pytest.mark.behaviour("EB-11.13")
def test_the_end_is_told_in_the_name_it_was_made_in(world: World) -> None:
    for creator in (True, False):
        fields: dict[str, Any] = {"su": "http://127.0.0.1:9999/su", "nu": [URL]}
        body = {"rn": "sub", **fields, **({"cr": None} if creator else {})}
        assert world.create(CNT, 23, {"m2m:sub": body}, "Cae").status is Status.CREATED
        world.outbox.clear()
        assert world.delete(SUB, "Cae").status is Status.DELETED
        (send,) = world.outbox
        told = send.request.content["m2m:sgn"]
        assert send.urls == ("http://127.0.0.1:9999/su",)
        assert told["sud"] is True
        assert told["sur"].startswith("/id-in/")
        assert ("cr" in told) is creator
        assert not {"nev", "vrq"} & set(told)
        world.outbox.clear()


@pytest.mark.behaviour("EB-11.14")
def test_a_new_serialisation_of_an_ae_counts_from_the_next_notification(world: World) -> None:
    assert subscribe(world, nu=["Cae"], enc={"net": [3]}).status is Status.CREATED
    for media_type, expected in (("application/cbor", "cbor"), ("application/json", "json")):
        assert world.update("cse-in/ae", {"m2m:ae": {"csz": [media_type]}}, "Cae").status is Status.UPDATED
        world.post(CNT)
        (send,) = world.outbox
        assert send.serialisation == expected
        world.outbox.clear()


@pytest.mark.behaviour("EB-11.15")
def test_an_ae_out_of_reach_may_subscribe_itself(world: World) -> None:
    world.ae("Cdeaf", "deaf", rr=False)
    world.container("cse-in/deaf", originator="Cdeaf")
    created = subscribe(world, "cse-in/deaf/cnt", "Cdeaf", nu=["Cdeaf"], enc={"net": [3]})
    assert created.status is Status.CREATED
    assert world.sent == []
    assert world.post("cse-in/deaf/cnt", originator="Cdeaf").status is Status.CREATED
    # There is nowhere to send it to: what the shell does with those counts as not delivered.
    assert [(send.urls, send.channel) for send in world.outbox] == [((), "")]


@pytest.mark.behaviour("EB-11.16")
def test_missing_data_criteria_belong_to_time_series(world: World) -> None:
    good = {"num": 3, "dur": "PT10S"}
    assert subscribe(world, enc={"net": [8], "md": good}).status is Status.BAD_REQUEST
    series = {"m2m:ts": {"rn": "ts", "pei": 1000, "mdt": 600, "mdd": True}}
    assert world.create("cse-in/ae", 29, series, "Cae").status is Status.CREATED
    path = "cse-in/ae/ts"
    for wrong in (
        None,
        {"num": 3},
        {"dur": "PT10S"},
        {"num": "3", "dur": "PT10S"},
        {"num": 3, "dur": "long"},
        {"num": 0, "dur": "PT10S"},
        {},
    ):
        criteria = {"net": [8], **({} if wrong is None else {"md": wrong})}
        assert subscribe(world, path, enc=criteria).status is Status.BAD_REQUEST, wrong
    assert subscribe(world, path, enc={"net": [8], "md": good}).content["m2m:sub"]["nct"] == 5
    changed = {"enc": {"net": [8], "md": {"num": 5, "dur": "PT20S"}}}
    assert world.update(f"{path}/sub", {"m2m:sub": changed}, "Cae").status is Status.UPDATED
    assert world.delete(f"{path}/sub", "Cae").status is Status.DELETED


@pytest.mark.behaviour("EB-11.17")
def test_blocking_subscriptions_are_strict(world: World) -> None:
    block: dict[str, Any] = {"nu": ["Cae"], "nct": 2, "enc": {"net": [7]}}
    for wrong in (
        {"nu": [URL, "Cae"]},
        {"nct": 1},
        {"nct": 3},
        {"enc": {"net": [1, 7]}},
        {"enc": {"net": [7], "crb": "20300101T000000"}},
        {"bn": {"num": 1}},
        {"ln": True},
        {"nec": 3},
    ):
        assert subscribe(world, **{**block, **wrong}).status is Status.BAD_REQUEST, wrong
    assert subscribe(world, enc={"net": [1]}).status is Status.CREATED
    assert change(world, enc={"net": [7]}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-11.19")
def test_statistics_begin_and_end_with_the_switch(world: World) -> None:
    assert "nsi" not in subscribe(world, enc={"net": [3]}).content["m2m:sub"]
    world.post(CNT)
    assert change(world, nse=True).content["m2m:sub"]["nsi"] == [{"tg": URL, "rqs": 0, "rsr": 0, "noec": 0}]
    world.post(CNT)
    assert world.retrieve(SUB, "Cae").content["m2m:sub"]["nsi"][0]["noec"] == 1
    assert change(world, nsi=[]).status is Status.BAD_REQUEST
    assert "nsi" not in change(world, nse=None).content["m2m:sub"]


@pytest.mark.behaviour("EB-11.12")
@pytest.mark.parametrize("wrong", [0, -1, "2", 1.5])
def test_the_expiration_counter_is_a_positive_number(world: World, wrong: Any) -> None:
    assert subscribe(world, exc=wrong).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-11.18")
@pytest.mark.parametrize("operation", [Operation.RETRIEVE, Operation.UPDATE, Operation.CREATE])
def test_an_operation_is_monitored_for_one_originator(world: World, operation: Operation) -> None:
    bits = {Operation.CREATE: 1, Operation.RETRIEVE: 2, Operation.UPDATE: 4}
    policy = world.policy("acp", ["Cae", "Cother"], 63)
    world.update(CNT, {"m2m:cnt": {"acpi": [policy]}}, "Cae")
    monitors = [{"ops": bits[operation], "or": "Cother"}]
    assert subscribe(world, enc={"om": monitors}).status is Status.CREATED
    fields: dict[Operation, dict[str, Any]] = {
        Operation.CREATE: {"resource_type": 4, "content": {"m2m:cin": {"con": "x"}}},
        Operation.UPDATE: {"content": {"m2m:cnt": {"lbl": ["x"]}}},
    }
    for originator, count in (("Cae", 0), ("Cother", 1)):
        assert world.ask(operation, CNT, originator, **fields.get(operation, {})).status.is_success
        told = world.notifications()
        assert len(told) == count
        if told:
            assert told[0]["nev"]["om"]["op"] == int(operation)
            assert told[0]["nev"]["om"]["or"] == "Cother"


@pytest.mark.behaviour("EB-11.20")
def test_the_originator_of_an_event_is_told_without_a_creator_too(world: World) -> None:
    policy = world.policy("acp", ["Cae", "Cother"], 63)
    world.update(CNT, {"m2m:cnt": {"acpi": [policy]}}, "Cae")
    assert subscribe(world, enc={"net": [3]}, eeno=True).status is Status.CREATED
    world.post(CNT, originator="Cother")
    assert [told["cr"] for told in world.notifications()] == ["Cother"]


@pytest.mark.behaviour("EB-11.22")
def test_a_schedule_holds_for_monitored_operations_too(world: World) -> None:
    assert subscribe(world, enc={"om": [{"ops": 2}]}).status is Status.CREATED
    body = {"rn": "notificationSchedule", "se": {"sce": ["* * 13 * * * *"]}}
    assert world.create(SUB, 18, {"m2m:sch": body}, "Cae").status is Status.CREATED
    world.retrieve(CNT, "Cae")
    assert world.notifications() == []
    world.advance(3600)
    world.retrieve(CNT, "Cae")
    assert [told["nev"]["om"]["op"] for told in world.notifications()] == [2]


@pytest.mark.behaviour("EB-11.22")
def test_a_schedule_holds_for_events_of_several_resources_too(world: World) -> None:
    body = {"rn": "crs", "nu": [URL], "twt": 1, "tws": "PT10S", "rrat": [CNT], "encs": {"enc": [{"net": [3]}]}}
    assert world.create("cse-in/ae", 48, {"m2m:crs": body}, "Cae").status is Status.CREATED
    schedule = {"se": {"sce": ["* * 13 * * * *"]}}
    wrong = world.create("cse-in/ae/crs", 18, {"m2m:sch": {"rn": "other", **schedule}}, "Cae")
    assert wrong.status is Status.BAD_REQUEST
    right = world.create("cse-in/ae/crs", 18, {"m2m:sch": {"rn": "notificationSchedule", **schedule}}, "Cae")
    assert right.status is Status.CREATED, right.content
    for expected in (0, 1):
        world.post(CNT)
        for send in [send for send in world.outbox if send.receiver == "/id-in"]:  # from the member subscription
            assert world.itself(Operation.NOTIFY, send.request.to, content=send.request.content).status is Status.OK
        world.advance(10.5)
        told = [send for send in world.outbox if send.urls]
        assert len(told) == expected
        world.outbox.clear()
        world.advance(3600)


@pytest.mark.behaviour("EB-13.05")
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE, Operation.DELETE])
def test_the_result_of_every_operation_is_notified(world: World, operation: Operation) -> None:
    fields: dict[Operation, dict[str, Any]] = {
        Operation.CREATE: {"resource_type": 4, "content": {"m2m:cin": {"con": "x"}}},
        Operation.UPDATE: {"content": {"m2m:cnt": {"lbl": ["x"]}}},
    }
    answer = world.ask(operation, CNT, "Cae", response_type=2, response_targets=[URL], **fields.get(operation, {}))
    assert answer.status is Status.ACCEPTED_NONBLOCKING_ASYNC
    world.advance(0)
    (send,) = [send for send in world.outbox if "m2m:rsp" in send.request.content]
    told = send.request.content["m2m:rsp"]
    expected = {Operation.CREATE: 2001, Operation.UPDATE: 2004, Operation.DELETE: 2002}[operation]
    assert (told["rsc"], told["rqi"], send.urls) == (expected, answer.request_id, (URL,))
    assert world.retrieve(CNT, "Cae").status is (Status.NOT_FOUND if operation is Operation.DELETE else Status.OK)
