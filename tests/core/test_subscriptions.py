"""Subscriptions and notifications (TS-0001 clause 9.6.8, 10.2.10; expected-behaviours 11)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from tests.core.world import World

URL = "http://127.0.0.1:9999/notify"


@pytest.fixture(autouse=True)
def _ae(world: World) -> None:
    world.ae()
    world.container()


PATH = "cse-in/ae/cnt"


def subscribe(world: World, to: str = PATH, originator: str = "Cae", **attributes: Any) -> Response:
    """Create a subscription that notifies a URL."""
    return world.create(to, 23, {"m2m:sub": {"rn": "sub", "nu": [URL], **attributes}}, originator)


@pytest.mark.behaviour("EB-11.03")
@pytest.mark.behaviour("PR-09.2.01", "PR-09.4.03")
def test_target_is_asked_before_anything_is_stored(world: World) -> None:
    response = subscribe(world)
    assert response.status is Status.CREATED
    (send,) = world.sent
    assert send.urls == (URL,)
    body = send.request.content["m2m:sgn"]
    assert body["vrq"] is True
    assert body["sur"] == f"/id-in/{response.content['m2m:sub']['ri']}"
    assert body["cr"] == "Cae"
    assert "nev" not in body
    assert response.content["m2m:sub"]["nct"] == 1


@pytest.mark.behaviour("EB-11.04")
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (None, Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED),
        (Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE, Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE),
        (Status.SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE, Status.SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE),
        (Status.BAD_REQUEST, Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED),
    ],
)
@pytest.mark.behaviour("PR-09.2.01", "PR-09.2.02", "PR-09.2.03")
def test_refused_verification_creates_nothing(world: World, answer: Status | None, status: Status) -> None:
    world.answers = lambda send: None if answer is None else Response(answer, request_id=send.request.request_id)
    assert subscribe(world).status is status
    assert world.retrieve(f"{PATH}/sub").status is Status.NOT_FOUND


def test_parent_deleted_during_verification_is_4004(world: World) -> None:
    def delete_meanwhile(send: Any) -> Response:
        world.answers = lambda send: Response(Status.OK)
        world.delete(PATH)
        return Response(Status.OK, request_id=send.request.request_id)

    world.answers = delete_meanwhile
    assert subscribe(world).status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-11.03")
@pytest.mark.behaviour("PR-09.1.04")
def test_the_originator_itself_is_not_asked(world: World) -> None:
    assert subscribe(world, nu=["Cae"]).status is Status.CREATED
    assert subscribe(world, rn="s2", nu=["/id-in/Cae"]).status is Status.CREATED
    assert world.sent == []


@pytest.mark.behaviour("PR-09.2.02")
def test_another_ae_needs_the_right_to_be_notified(world: World) -> None:
    world.ae("Cother", "other", poa=[URL])
    assert subscribe(world, nu=["Cother"]).status is Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE
    world.ae("Copen", "open", poa=[URL], acpi=[world.policy("acp", ["Cae"], 16)])
    assert subscribe(world, nu=["Copen"]).status is Status.CREATED


@pytest.mark.behaviour("EB-11.05", "EB-11.07")
@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"nu": []}, Status.BAD_REQUEST),
        ({"nu": None}, Status.BAD_REQUEST),
        ({"nu": ["ftp://127.0.0.1/x"]}, Status.BAD_REQUEST),
        ({"enc": {"net": [3]}, "nct": 2}, Status.BAD_REQUEST),
        ({"enc": {"net": [99]}}, Status.BAD_REQUEST),
        ({"enc": {"net": [1], "atr": ["nonsense"]}}, Status.BAD_REQUEST),
        ({"enc": {"net": [3], "chty": [2]}}, Status.BAD_REQUEST),
        ({"enc": {"nonsense": 1}}, Status.BAD_REQUEST),
        ({"exc": 0}, Status.BAD_REQUEST),
        ({"nct": 9}, Status.BAD_REQUEST),
    ],
)
@pytest.mark.behaviour("PR-09.1.03", "PR-09.1.06", "PR-09.3.09")
def test_subscriptions_that_make_no_sense(world: World, attributes: dict[str, Any], status: Status) -> None:
    assert subscribe(world, **attributes).status is status
    assert world.sent == []


@pytest.mark.behaviour("EB-11.02")
@pytest.mark.behaviour("PR-01.4.12", "PR-09.1.02")
def test_subscription_needs_create_and_retrieve_on_the_parent(world: World) -> None:
    path = world.container(name="shared", acpi=[world.policy("acp", ["Cother"], 1)])
    assert subscribe(world, path, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-11.01")
@pytest.mark.behaviour("PR-00.2.05", "PR-09.1.01")
def test_instances_and_subscriptions_cannot_be_subscribed_to(world: World) -> None:
    rn = world.post(PATH).content["m2m:cin"]["rn"]
    assert subscribe(world, f"{PATH}/{rn}").status is Status.TARGET_NOT_SUBSCRIBABLE
    subscribe(world)
    assert subscribe(world, f"{PATH}/sub").status is Status.TARGET_NOT_SUBSCRIBABLE


@pytest.mark.behaviour("EB-11.06")
@pytest.mark.behaviour("PR-04.2.07", "PR-09.3.01", "PR-09.3.02", "PR-09.3.03", "PR-09.3.04")
def test_event_types(world: World) -> None:
    subscribe(world, enc={"net": [1, 2, 3, 4]})
    world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")
    (updated,) = world.notifications()
    assert updated["nev"]["net"] == 1
    assert updated["nev"]["rep"]["m2m:cnt"]["lbl"] == ["x"]
    world.post(PATH, "new")
    (created,) = world.notifications()
    assert (created["nev"]["net"], created["nev"]["rep"]["m2m:cin"]["con"]) == (3, "new")
    world.delete(f"{PATH}/la", "Cae")
    (removed,) = world.notifications()
    assert (removed["nev"]["net"], removed["nev"]["rep"]["m2m:cin"]["con"]) == (4, "new")
    world.delete(PATH, "Cae")
    (deleted,) = world.notifications()
    assert (deleted["nev"]["net"], deleted["nev"]["rep"]["m2m:cnt"]["rn"]) == (2, "cnt")


@pytest.mark.behaviour("EB-7.14")
@pytest.mark.behaviour("PR-04.2.04", "PR-09.1.11", "PR-09.3.04")
def test_default_event_is_update_and_purges_are_silent(world: World) -> None:
    subscribe(world)
    world.update(PATH, {"m2m:cnt": {"mni": 1}}, "Cae")
    assert len(world.notifications()) == 1
    subscribe(world, rn="deletions", enc={"net": [4]})
    world.post(PATH, "a")
    world.post(PATH, "b")
    assert world.notifications() == []


@pytest.mark.behaviour("EB-11.07")
@pytest.mark.behaviour("PR-09.3.01")
def test_content_types(world: World) -> None:
    ri = world.retrieve(PATH).content["m2m:cnt"]["ri"]
    subscribe(world, rn="all", enc={"net": [1]}, nct=1)
    subscribe(world, rn="modified", enc={"net": [1]}, nct=2)
    subscribe(world, rn="id", enc={"net": [1]}, nct=3)
    world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")
    whole, modified, identifier = (body["nev"]["rep"] for body in world.notifications())
    assert whole["m2m:cnt"]["ri"] == ri
    assert modified == {"m2m:cnt": {"lbl": ["x"]}}
    assert identifier == {"m2m:uri": f"/id-in/{ri}"}


@pytest.mark.behaviour("EB-11.09", "EB-11.10")
@pytest.mark.behaviour("PR-09.3.01", "PR-09.3.03")
def test_attribute_and_child_type_conditions(world: World) -> None:
    subscribe(world, rn="labels", enc={"net": [1], "atr": ["lbl"]})
    world.update(PATH, {"m2m:cnt": {"mni": 7}}, "Cae")
    assert world.notifications() == []
    world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")
    assert len(world.notifications()) == 1
    subscribe(world, rn="containers", enc={"net": [3], "chty": [3]})
    world.post(PATH)
    assert world.notifications() == []
    world.container(PATH, "inner")
    assert len(world.notifications()) == 1


@pytest.mark.behaviour("EB-11.12")
@pytest.mark.behaviour("PR-09.5.02")
def test_expiration_counter(world: World) -> None:
    subscribe(world, enc={"net": [3]}, exc=2, su="http://127.0.0.1:9999/su")
    world.post(PATH, "a")
    assert world.retrieve(f"{PATH}/sub").content["m2m:sub"]["exc"] == 1
    world.post(PATH, "b")
    bodies = world.notifications()
    assert [("nev" in body, body.get("sud")) for body in bodies] == [(True, None), (True, None), (False, True)]
    assert world.retrieve(f"{PATH}/sub").status is Status.NOT_FOUND
    world.post(PATH, "c")
    assert world.notifications() == []


@pytest.mark.behaviour("EB-11.13")
@pytest.mark.behaviour("PR-09.4.03", "PR-09.7.01")
def test_deletion_is_told_to_the_subscriber_uri(world: World) -> None:
    for deleted in (f"{PATH}/sub", PATH):
        ri = subscribe(world, su="http://127.0.0.1:9999/su", cr=None).content["m2m:sub"]["ri"]
        world.outbox.clear()
        world.delete(deleted, "Cae")
        (body,) = world.notifications()
        assert body == {"sud": True, "sur": f"/id-in/{ri}", "cr": "Cae"}


@pytest.mark.behaviour("EB-11.14")
@pytest.mark.behaviour("PR-09.5.01")
def test_notification_to_an_ae_goes_to_its_points_of_access(world: World) -> None:
    world.update(
        "cse-in/ae",
        {"m2m:ae": {"poa": ["http://127.0.0.1:1/a", "mqtt://127.0.0.1:1883"], "csz": ["application/cbor"]}},
        "Cae",
    )
    subscribe(world, nu=["Cae"], enc={"net": [3]})
    world.post(PATH)
    (send,) = world.outbox
    assert send.urls == ("http://127.0.0.1:1/a", "mqtt://127.0.0.1:1883")
    assert (send.receiver, send.request.to) == ("Cae", "/id-in/Cae")
    assert send.serialisation == "cbor"
    assert send.request.release == "3"


@pytest.mark.behaviour("EB-11.14")
@pytest.mark.behaviour("PR-09.5.01")
def test_serialisation_of_a_url(world: World) -> None:
    subscribe(world, nu=[URL + "?ct=cbor"], enc={"net": [3]})
    world.post(PATH)
    assert world.outbox[0].serialisation == "cbor"


@pytest.mark.behaviour("PR-09.2.04")
def test_update_asks_new_targets_only(world: World) -> None:
    subscribe(world)
    world.sent.clear()
    other = "http://127.0.0.1:9999/other"
    assert world.update(f"{PATH}/sub", {"m2m:sub": {"nu": [URL, other]}}, "Cae").status is Status.UPDATED
    assert [send.urls for send in world.sent] == [(other,)]
    world.answers = lambda send: None
    third = world.update(f"{PATH}/sub", {"m2m:sub": {"nu": ["http://127.0.0.1:9999/third"]}}, "Cae")
    assert third.status is Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED
    assert world.retrieve(f"{PATH}/sub", "Cae").content["m2m:sub"]["nu"] == [URL, other]


def test_expired_subscriptions_notify_no_more(world: World) -> None:
    from cse.onem2m.timestamps import format_timestamp

    subscribe(world, enc={"net": [3]}, et=format_timestamp(world.now + 5))
    world.now += 6
    world.post(PATH)
    assert world.notifications() == []


@pytest.mark.behaviour("EB-11.21")
def test_strangers_may_not_read_or_delete_a_subscription(world: World) -> None:
    subscribe(world)
    assert world.retrieve(f"{PATH}/sub", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.delete(f"{PATH}/sub", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-00.2.17")
def test_rolled_back_change_notifies_nobody(world: World) -> None:
    subscribe(world, enc={"net": [3]})
    assert world.create(PATH, 3, {"m2m:cnt": {"rn": "sub"}}, "Cae").status is Status.CONFLICT
    assert world.notifications() == []
