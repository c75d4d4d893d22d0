"""What happens to every request, whatever its type (procedures 0 and 22; TS-0004 clause 7.3.2, 7.3.3)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import CseType, Engine
from tests.core.world import ADMIN, World

URL = "http://127.0.0.1:9999/notify"
SU = "http://127.0.0.1:9999/su"
PATH = "cse-in/ae/cnt"


@pytest.fixture
def world(store: Engine) -> World:
    """An AE with a container; the procedure does not depend on the codec."""
    made = World(store, "mqtt")
    made.ae()
    made.container()
    return made


def subscribe(world: World, to: str, *events: int, name: str = "sub", **more: Any) -> str:
    """Subscribe a URL to events of a resource; gives the SP-relative address that notifications show."""
    body = {"rn": name, "nu": [URL], "enc": {"net": list(events)}, **more}
    answer = world.create(to, 23, {"m2m:sub": body}, "Cae")
    assert answer.status is Status.CREATED, answer.content
    return f"/id-in/{answer.content['m2m:sub']['ri']}"


def shown(world: World, path: str = PATH) -> dict[str, Any]:
    """The attributes of a resource."""
    found: dict[str, Any] = next(iter(world.retrieve(path).content.values()))
    return found


# --- the common pipeline ----------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-00.1.09")
def test_creation_and_modification_times(world: World) -> None:
    first = shown(world)
    assert first["ct"] == first["lt"]
    world.now += 5
    world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")
    updated = shown(world)
    assert updated["ct"] == first["ct"]
    assert updated["lt"] > first["lt"]
    world.now += 5
    world.post(PATH)
    assert shown(world)["lt"] > updated["lt"]


@pytest.mark.behaviour("PR-00.1.10")
def test_the_state_tag_counts_modifications(world: World) -> None:
    assert shown(world)["st"] == 0
    world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae")
    assert shown(world)["st"] == 1
    assert world.update(PATH, {"m2m:cnt": {"lbl": "x"}}, "Cae").status is Status.BAD_REQUEST
    assert shown(world)["st"] == 1
    assert world.post(PATH).content["m2m:cin"]["st"] == 2
    assert shown(world)["st"] == 2


# --- CREATE -----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-00.2.02")
@pytest.mark.parametrize("number", [5, 17, 43, 44, 58])
def test_types_never_created_by_request_are_4005_even_for_strangers(world: World, number: int) -> None:
    answer = world.create("cse-in", number, {"m2m:x": {}}, "Cstranger")
    assert answer.status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("PR-00.2.03", "PR-00.2.04", "PR-00.2.05")
def test_order_of_the_checks_of_a_create(store: Engine) -> None:
    world = World(store, "mqtt", cse_type=CseType.MN)
    world.ae()
    rule = {"m2m:asar": {"nonsense": 1}}
    assert world.create("cse-in/none", 19, rule, "Cstranger").status is Status.NOT_FOUND
    assert world.create("cse-in/ae", 19, rule, "Cstranger").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.create("cse-in/ae", 19, rule, "Cae").status is Status.OPERATION_NOT_ALLOWED  # an IN-CSE only
    assert world.create("cse-in/ae", 50, {"m2m:x": {}}, "Cae").status is Status.NOT_IMPLEMENTED
    assert world.create("cse-in/ae", 4, {"m2m:nonsense": {}}, "Cae").status is Status.INVALID_CHILD_RESOURCE_TYPE
    world.container()
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {"rn": "cnt", "mni": "x"}}, "Cae").status is Status.BAD_REQUEST
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {"rn": "cnt"}}, "Cae").status is Status.CONFLICT


@pytest.mark.behaviour("PR-00.2.09")
def test_a_known_attribute_that_is_not_supported_is_5001(world: World) -> None:
    answer = world.create(PATH, 23, {"m2m:sub": {"nu": [URL], "ma": "PT1H"}}, "Cae")
    assert answer.status is Status.NOT_IMPLEMENTED
    assert "'ma'" in answer.content["m2m:dbg"]


@pytest.mark.behaviour("PR-00.2.15")
def test_the_cse_assigns_what_it_must(world: World) -> None:
    made = world.create("cse-in/ae", 3, {"m2m:cnt": {}}, "Cae").content["m2m:cnt"]
    assert made["ri"]
    assert "/" not in made["ri"]
    assert (made["ty"], made["pi"]) == (3, "Cae")
    assert made["rn"]
    assert made["ct"] == made["lt"]
    assert made["et"] == shown(world, "cse-in/ae")["et"]
    assert "acpi" not in made
    assert "cr" not in made
    assert world.create("cse-in/ae", 3, {"m2m:cnt": {}}, "Cae").content["m2m:cnt"]["ri"] != made["ri"]


@pytest.mark.behaviour("PR-00.2.17")
def test_a_refused_create_leaves_nothing(world: World) -> None:
    subscribe(world, "cse-in/ae", 3)
    before = (world.store.plain_count(), shown(world, "cse-in/ae"))
    for body in ({"rn": "cnt"}, {"mni": -1}, {"acpi": ["cse-in/none"]}, {"et": "20200101T000000"}):
        assert not world.create("cse-in/ae", 3, {"m2m:cnt": body}, "Cae").status.is_success
    assert (world.store.plain_count(), shown(world, "cse-in/ae")) == before
    assert world.notifications() == []


# --- UPDATE -----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-00.4.06")
def test_an_update_to_a_life_time_in_the_past_is_4000(world: World) -> None:
    for expiry in ("20200101T000000", format_timestamp(world.now - 1)):
        assert world.update(PATH, {"m2m:cnt": {"et": expiry}}, "Cae").status is Status.BAD_REQUEST
    assert shown(world)["et"] > "2027"


@pytest.mark.behaviour("PR-00.4.08")
@pytest.mark.behaviour("PM-02.06")
def test_an_update_without_content_is_4000(world: World) -> None:
    assert world.ask(Operation.UPDATE, PATH, "Cae").status is Status.BAD_REQUEST
    assert world.update(PATH, {}, "Cae").status is Status.BAD_REQUEST
    assert world.update(PATH, {"m2m:cnt": {}}, "Cae").status is Status.UPDATED


@pytest.mark.behaviour("PR-00.4.09")
def test_an_update_is_applied_whole_or_not_at_all_and_told(world: World) -> None:
    subscribe(world, PATH, 1)
    before = shown(world)["st"]
    assert world.update(PATH, {"m2m:cnt": {"mni": 4, "mbs": -1}}, "Cae").status is Status.BAD_REQUEST
    assert "mni" not in shown(world)
    assert world.notifications() == []
    world.update(PATH, {"m2m:cnt": {"mni": 4, "mbs": 10}}, "Cae")
    (event,) = world.notifications()
    told = event["nev"]["rep"]["m2m:cnt"]
    assert (told["mni"], told["mbs"], told["st"]) == (4, 10, before + 1)


@pytest.mark.behaviour("PR-00.4.02")
def test_order_of_the_checks_of_an_update(world: World) -> None:
    wrong = {"m2m:wrong": {"nonsense": 1}}
    assert world.update("cse-in/none", wrong, "Cstranger").status is Status.NOT_FOUND
    assert world.update("cse-in", wrong, "Cstranger").status is Status.OPERATION_NOT_ALLOWED
    assert world.update(PATH, wrong, "Cstranger").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.update(PATH, wrong, "Cae").status is Status.BAD_REQUEST


# --- DELETE -----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-00.5.01")
def test_children_go_without_a_right_of_their_own(world: World) -> None:
    world.container(PATH, "inner", acpi=[world.policy("acp", ["Cboss"], 63)])
    assert world.delete(f"{PATH}/inner", "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.delete(PATH, "Cae").status is Status.DELETED
    assert world.retrieve(f"{PATH}/inner").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-00.5.03")
def test_order_of_what_a_deletion_tells(world: World) -> None:
    above = subscribe(world, "cse-in/ae", 4)
    own = subscribe(world, PATH, 2, su=SU)
    world.delete(PATH, "Cae")
    told = [(body["sur"], body.get("nev", {}).get("net"), body.get("sud")) for body in world.notifications()]
    assert told == [(own, 2, None), (own, None, True), (above, 4, None)]


# --- expiration -------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-00.6.02")
def test_expiry_is_told_as_a_deletion_is(world: World) -> None:
    above = subscribe(world, "cse-in/ae", 4)
    world.container(name="short", et=format_timestamp(world.now + 10))
    own = subscribe(world, "cse-in/ae/short", 2, su=SU)
    world.container("cse-in/ae/short", "inner")
    world.outbox.clear()
    world.advance(11)
    told = [(body["sur"], body.get("nev", {}).get("net"), body.get("sud")) for body in world.notifications()]
    assert told == [(own, 2, None), (own, None, True), (above, 4, None)]


@pytest.mark.behaviour("PR-00.6.02")
def test_a_subscription_that_ended_before_is_not_told(world: World) -> None:
    world.container(name="short", et=format_timestamp(world.now + 10))
    subscribe(world, "cse-in/ae/short", 2, et=format_timestamp(world.now + 5))
    world.outbox.clear()
    world.now += 6
    world.advance(5)
    assert world.notifications() == []


@pytest.mark.behaviour("PR-00.6.04")
def test_an_ae_that_expires_is_deregistered(world: World) -> None:
    made = world.create(
        "cse-in",
        2,
        {"m2m:ae": {"rn": "gone", "api": "Nx", "rr": True, "srv": ["3"], "et": format_timestamp(world.now + 10)}},
        "Cgone",
    )
    assert made.status is Status.CREATED
    world.create("cse-in/gone", 15, {"m2m:pch": {"rn": "pch"}}, "Cgone")
    world.advance(11)
    assert world.retrieve("cse-in", "Cgone").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve("cse-in/gone/pch/pcu", "Cgone").status is Status.NOT_FOUND
    world.ae("Cgone", "gone")


# --- NOTIFY -----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-00.7.01")
def test_a_notification_for_an_ae_needs_the_right_and_keeps_its_sender(world: World) -> None:
    world.ae("Cother", "other", poa=[URL], acpi=[world.policy("acp", ["Cae"], 16)])
    content = {"m2m:sgn": {"sur": "x"}}
    assert world.notify("cse-in/other", content, "Cstranger").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    world.answers = lambda send: Response(Status.OK, content={"m2m:any": "answer"})
    for target in ("cse-in/other", "Cother", "/id-in/Cother"):
        answer = world.notify(target, content, "Cae")
        assert (answer.status, answer.content) == (Status.OK, {"m2m:any": "answer"})
        sent = world.sent[-1].request
        assert (sent.originator, sent.content, sent.to) == ("/id-in/Cae", content, "/id-in/Cother")


@pytest.mark.behaviour("PR-00.7.02")
def test_an_ae_that_cannot_be_reached_is_5103(world: World) -> None:
    world.answers = lambda send: None
    for originator, more in (("Cone", {"poa": [URL]}), ("Ctwo", {}), ("Cthree", {"rr": False, "poa": [URL]})):
        world.ae(originator, originator, **more)
        answer = world.notify(f"cse-in/{originator}", {"m2m:sgn": {"sur": "x"}}, originator)
        assert answer.status is Status.TARGET_NOT_REACHABLE


@pytest.mark.behaviour("PR-00.7.03")
@pytest.mark.parametrize("target", ["cse-in/mn", "/id-mn"])
def test_a_notification_for_another_cse_is_passed_on(world: World, target: str) -> None:
    own = {"rn": "mn", "cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"], "poa": ["http://mn"]}
    assert world.create("cse-in", 16, {"m2m:csr": own}, "/id-mn").status is Status.CREATED
    world.sent.clear()
    assert world.notify(target, {"m2m:sgn": {"sur": "x"}}).status is Status.OK
    (send,) = world.sent
    assert (send.receiver, send.request.to, send.urls) == ("/id-mn", "/id-mn", ("http://mn",))
    assert send.request.originator == f"/id-in/{ADMIN}"


@pytest.mark.behaviour("PR-00.7.05")
def test_other_resources_take_no_notifications(world: World) -> None:
    subscribe(world, PATH, 1)
    for target in (PATH, f"{PATH}/sub"):
        assert world.notify(target, {"m2m:sgn": {"sur": "x"}}, "Cae").status is Status.BAD_REQUEST
    assert world.notify("cse-in/ae", {}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-00.7.07")
def test_the_cse_itself_may_always_notify(world: World) -> None:
    world.ae("Cshy", "shy", poa=[URL], acpi=[world.policy("acp", ["Cnobody"], 63)])
    answer = world.itself(Operation.NOTIFY, "cse-in/shy", content={"m2m:sgn": {"sur": "x"}})
    assert answer.status is Status.OK


# --- the order of events ----------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-22.01", "PR-22.02")
def test_counters_come_first_and_what_an_action_does_is_told_after_what_caused_it(world: World) -> None:
    subscribe(world, PATH, 3, name="children")
    subscribe(world, PATH, 1, name="updates")
    action = {
        "rn": "act",
        "evm": 1,
        "sri": shown(world)["ri"],
        "evc": {"sbjt": "cni", "optr": 1, "thld": 1},
        "apv": {"op": 3, "fr": "Cae", "rqi": "1", "rvi": "4", "pc": {"m2m:cnt": {"lbl": ["acted"]}}},
        "orc": shown(world)["ri"],
        "apy": 1,
    }
    made = world.create("cse-in/ae", 65, {"m2m:actr": action}, "Cae", release="4")
    assert made.status is Status.CREATED, made.content
    world.outbox.clear()
    world.post(PATH)
    assert shown(world)["cni"] == 1
    (created,) = world.notifications()
    assert created["nev"]["net"] == 3
    assert created["nev"]["rep"]["m2m:cin"]["st"] == shown(world)["st"]
    world.advance(0)
    (updated,) = world.notifications()
    assert updated["nev"]["net"] == 1
    assert updated["nev"]["rep"]["m2m:cnt"]["lbl"] == ["acted"]


@pytest.mark.behaviour("PR-22.03")
def test_notifications_leave_after_the_change_is_stored_and_verification_before(world: World) -> None:
    seen: list[tuple[bool, Status]] = []

    def look(send: Any) -> Response:
        asked = "vrq" in send.request.content["m2m:sgn"]
        answers, world.answers = world.answers, lambda send: Response(Status.OK)
        seen.append((asked, world.retrieve(f"{PATH}/sub").status))
        world.answers = answers
        return Response(Status.OK)

    world.answers = look
    subscribe(world, PATH, 3)
    assert seen == [(True, Status.NOT_FOUND)]
    world.post(PATH, "new")
    assert len(world.outbox) == 1
    (event,) = world.notifications()
    assert event["nev"]["rep"]["m2m:cin"]["st"] == shown(world)["st"]
