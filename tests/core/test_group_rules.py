"""Groups: specialisations, members out of reach, fan-out of subscriptions (procedures 7; TS-0001 clause 10.2.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cse.core.timers import rebuild
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Engine, Send
from tests.core.test_federation import Federation
from tests.core.world import World

A, B = "cse-in/ae/a", "cse-in/ae/b"
GROUP, FAN = "cse-in/ae/grp", "cse-in/ae/grp/fopt"
FORWARD = "http://127.0.0.1:9999/aggregated"
TEMPERATURE = "org.onem2m.common.moduleclass.temperature"
BATTERY = "org.onem2m.common.moduleclass.battery"


@pytest.fixture
def world(store: Engine) -> World:
    """An AE with two containers; groups do not depend on the codec."""
    made = World(store, "mqtt")
    made.ae()
    made.container(name="a")
    made.container(name="b")
    return made


@pytest.fixture
def two() -> Iterator[Federation]:
    """An IN-CSE and an MN-CSE; everybody may read ``far`` at the MN-CSE and all below."""
    made = Federation("mqtt")
    rules = {"pv": {"acr": [{"acor": ["all"], "acop": 63}]}, "pvs": {"acr": [{"acor": ["CAdmin"], "acop": 63}]}}
    assert made.middle.create("cse-mn", 1, {"m2m:acp": {"rn": "acp", **rules}}).status is Status.CREATED
    far = {"m2m:cnt": {"rn": "far", "acpi": ["cse-mn/acp"]}}
    assert made.middle.create("cse-mn", 3, far).status is Status.CREATED
    made.infra.ae()
    made.infra.container(name="a")
    yield made
    for world in (made.infra, made.middle):
        asyncio.run(world.store.close())


def group(world: World, originator: str = "Cae", **attributes: Any) -> Response:
    body = {"rn": "grp", "mnm": 10, "mid": [A, B], **attributes}
    return world.create("cse-in/ae", 9, {"m2m:grp": body}, originator)


def shown(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.retrieve(GROUP).content["m2m:grp"]
    return found


def flex(world: World, name: str, root: str, definition: str, **data: Any) -> str:
    made = world.create("cse-in/ae", 28, {root: {"rn": name, "cnd": definition, **data}}, "Cae")
    assert made.status is Status.CREATED, made.content
    return f"cse-in/ae/{name}"


# --- members ----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-07.1.01")
def test_a_group_may_be_empty_and_names_a_resource_once(world: World) -> None:
    made = group(world, mid=[]).content["m2m:grp"]
    assert (made["mid"], made["cnm"], made["mtv"]) == ([], 0, True)
    ri = world.retrieve(A).content["m2m:cnt"]["ri"]
    answer = world.update(GROUP, {"m2m:grp": {"mid": [A, ri, f"/id-in/{A}", B]}}, "Cae")
    assert (answer.content["m2m:grp"]["mid"], answer.content["m2m:grp"]["cnm"]) == ([A, B], 2)


@pytest.mark.behaviour("PR-07.1.02")
def test_more_members_than_allowed_is_6010_and_changes_nothing(world: World) -> None:
    assert group(world, mnm=1).status is Status.MAX_NUMBER_OF_MEMBER_EXCEEDED
    assert group(world, mnm=2).status is Status.CREATED
    world.container(name="c")
    for changes in ({"mid": [A, B, "cse-in/ae/c"]}, {"mnm": 1}):
        refused = world.update(GROUP, {"m2m:grp": changes}, "Cae")
        assert refused.status is Status.MAX_NUMBER_OF_MEMBER_EXCEEDED
    assert (shown(world)["mid"], shown(world)["mnm"]) == ([A, B], 2)


@pytest.mark.behaviour("PR-07.1.06")
@pytest.mark.parametrize("virtual", ["la", "ol"])
def test_latest_and_oldest_are_members_of_types_of_their_own(world: World, virtual: str) -> None:
    number = {"la": 20002, "ol": 20001}[virtual]
    made = group(world, mid=[f"{A}/{virtual}", f"{B}/{virtual}"], mt=number, csy=2)
    assert made.status is Status.CREATED, made.content
    assert group(world, rn="g2", mid=[f"{A}/{virtual}", B], mt=number, csy=2).status is (
        Status.GROUP_MEMBER_TYPE_INCONSISTENT
    )


@pytest.mark.behaviour("PR-07.1.06")
def test_a_group_within_a_group_counts_as_its_member_type(world: World) -> None:
    group(world, rn="inner", mt=3)
    nested = "cse-in/ae/inner/fopt"
    assert group(world, mid=[nested, A], mt=3, csy=2).status is Status.CREATED
    assert group(world, rn="g2", mid=[nested], mt=2, csy=2).status is Status.GROUP_MEMBER_TYPE_INCONSISTENT


@pytest.mark.behaviour("PR-07.1.07")
def test_members_are_of_the_specialisation_of_the_group(world: World) -> None:
    warm = flex(world, "t", "cod:tempe", TEMPERATURE, curT0=1.0)
    power = flex(world, "p", "cod:bat", BATTERY, lvl=50)
    made = group(world, mid=[warm, power], mt=28, spty=TEMPERATURE)
    assert made.content["m2m:grp"]["mid"] == [warm]
    refused = group(world, rn="g2", mid=[warm, power], mt=28, spty=TEMPERATURE, csy=2)
    assert refused.status is Status.GROUP_MEMBER_TYPE_INCONSISTENT
    mixed = group(world, rn="g3", mid=[warm, power], mt=28, spty=TEMPERATURE, csy=3).content["m2m:grp"]
    assert (mixed["mid"], mixed["mt"]) == ([warm, power], 0)
    world.create("cse-in", 14, {"m2m:nod": {"rn": "n", "ni": "n"}})
    for name, root, content in (
        ("bat", "m2m:bat", {"mgd": 1006, "btl": 50, "bts": 1}),
        ("mem", "m2m:mem", {"mgd": 1003, "mma": 1, "mmt": 2}),
    ):
        answer = world.create("cse-in/n", 13, {root: {"rn": name, **content}})
        assert answer.status is Status.CREATED, answer.content
    made = world.create(
        "cse-in", 9, {"m2m:grp": {"mnm": 5, "mid": ["cse-in/n/bat", "cse-in/n/mem"], "mt": 13, "spty": 1006}}
    )
    assert made.content["m2m:grp"]["mid"] == ["cse-in/n/bat"]


@pytest.mark.behaviour("PR-07.1.08")
@pytest.mark.parametrize(("strategy", "status"), [(1, 2004), (2, 4110), (3, 2004)])
def test_the_strategy_also_holds_for_updates(world: World, strategy: int, status: int) -> None:
    group(world, mid=[A], mt=3, csy=strategy)
    answer = world.update(GROUP, {"m2m:grp": {"mid": [A, "cse-in/ae"]}}, "Cae")
    assert int(answer.status) == status
    assert (shown(world)["mid"], shown(world)["mt"]) == (([A, "cse-in/ae"], 0) if strategy == 3 else ([A], 3))


@pytest.mark.behaviour("PR-07.1.09")
@pytest.mark.parametrize("changes", [{"mt": 3}, {"csy": 2}, {"spty": 1}, {"cnm": 2}, {"mtv": True}, {"ssi": True}])
def test_what_a_group_is_does_not_change_by_request(world: World, changes: dict[str, Any]) -> None:
    group(world)
    assert world.update(GROUP, {"m2m:grp": changes}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-07.1.10")
def test_a_semantic_member_is_told(world: World) -> None:
    assert "ssi" not in group(world).content["m2m:grp"]
    body = {
        "m2m:smd": {
            "dcrp": 2,
            "dsp": "PHJkZjpSREYgeG1sbnM6cmRmPSJodHRwOi8vd3d3LnczLm9yZy8xOTk5LzAyLzIyLXJkZi1zeW50YXgtbnMjIi8+",
        }
    }
    made = world.create(A, 24, body, "Cae")
    assert made.status is Status.CREATED, made.content
    assert group(world, rn="g2").content["m2m:grp"]["ssi"] is True


@pytest.mark.behaviour("PR-07.1.05")
def test_a_remote_member_is_read_for_the_originator(two: Federation) -> None:
    infra = two.infra
    assert group(infra, mid=[A, "/id-mn/cse-mn/far"], mt=3, csy=2).status is Status.CREATED
    closed = two.middle.create("cse-mn", 3, {"m2m:cnt": {"rn": "closed"}})
    assert closed.status is Status.CREATED
    refused = group(infra, rn="g2", mid=["/id-mn/cse-mn/closed"])
    assert refused.status is Status.RECEIVER_HAS_NO_PRIVILEGE
    wrong = group(infra, rn="g2", mid=["/id-mn/cse-mn/far"], mt=2, csy=2)
    assert wrong.status is Status.GROUP_MEMBER_TYPE_INCONSISTENT


@pytest.mark.behaviour("PR-07.1.11")
@pytest.mark.parametrize(
    ("strategy", "members", "member_type"), [(1, [A], 3), (2, None, None), (3, [A, "/id-mn/cse-mn/sub/fopt"], 0)]
)
def test_members_out_of_reach_are_looked_at_later(
    two: Federation, strategy: int, members: list[str] | None, member_type: int | None
) -> None:
    infra = two.infra
    body = {"rn": "sub", "mnm": 5, "mid": ["cse-mn/acp"], "mt": 1, "acpi": ["cse-mn/acp"]}
    assert two.middle.create("cse-mn", 9, {"m2m:grp": body}).status is Status.CREATED
    two.cut = True
    made = group(infra, mid=[A, "/id-mn/cse-mn/sub/fopt"], mt=3, csy=strategy).content["m2m:grp"]
    assert (made["mtv"], made["cnm"]) == (False, 2)
    infra.advance(31)
    assert shown(infra)["mtv"] is False
    two.cut = False
    rebuild(infra.cse, infra.env())
    infra.advance(31)
    if members is None:
        assert infra.retrieve(GROUP).status is Status.NOT_FOUND
        return
    after = shown(infra)
    assert (after["mtv"], after["mid"], after["cnm"], after["mt"]) == (True, members, len(members), member_type)


# --- fan-out ----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-07.2.02")
def test_order_of_the_checks_of_a_fan_out(world: World) -> None:
    group(world, mid=[])
    assert world.retrieve(FAN, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve(FAN, "Cae").status is Status.NO_MEMBERS


@pytest.mark.behaviour("PR-07.2.05")
def test_every_member_answers_with_a_primitive_of_its_own(world: World) -> None:
    group(world)
    answers = world.retrieve(FAN, "Cae").content["m2m:agr"]["m2m:rsp"]
    assert [(one["rsc"], one["fr"], one["rvi"]) for one in answers] == [
        (2000, f"/id-in/{A}", "3"),
        (2000, f"/id-in/{B}", "3"),
    ]
    assert len({one["rqi"] for one in answers}) == 2
    assert [one["pc"]["m2m:cnt"]["rn"] for one in answers] == ["a", "b"]


@pytest.mark.behaviour("PR-07.2.06")
def test_members_that_do_not_answer(two: Federation) -> None:
    infra = two.infra
    group(infra, mid=[A, "/id-mn/cse-mn/far"])
    two.cut = True
    answers = infra.retrieve(FAN, "Cae").content["m2m:agr"]["m2m:rsp"]
    assert [one["rsc"] for one in answers] == [2000, 5103]
    alone = infra.retrieve(FAN, "Cae", group_targets=["/id-mn/cse-mn/far"])
    assert alone.status is Status.GROUP_MEMBERS_NOT_RESPONDED


@pytest.mark.behaviour("PR-07.2.07")
def test_members_deleted_through_the_group_leave_it(world: World) -> None:
    group(world)
    world.delete(FAN, "Cae", group_targets=[A])
    assert (shown(world)["mid"], shown(world)["cnm"]) == ([B], 1)


# --- subscriptions through the fan-out point ------------------------------------------------------------------------


def subscribe(world: World, **attributes: Any) -> list[dict[str, Any]]:
    """Subscribe to all members, notifications to be forwarded; gives the subscriptions made."""
    body = {"rn": "s", "nu": ["http://127.0.0.1:9999/own"], "nfu": FORWARD, "enc": {"net": [3]}, **attributes}
    made = world.create(FAN, 23, {"m2m:sub": body}, "Cae").content["m2m:agr"]["m2m:rsp"]
    assert [one["rsc"] for one in made] == [2001] * len(made), made
    return [one["pc"]["m2m:sub"] for one in made]


def itself(world: World, send: Send) -> Response:
    """What a CSE sends to itself goes over no binding."""
    return world.itself(send.request.operation, send.request.to, content=send.request.content)


def deliver(world: World) -> list[Send]:
    """Give this CSE what is for itself, until only what is for others is left."""
    outside: list[Send] = []
    while world.outbox:
        sends, world.outbox = world.outbox, []
        for send in sends:
            if send.receiver == world.settings.cse_id and not send.urls:
                assert itself(world, send).status is Status.OK
            else:
                outside.append(send)
    return outside


def own_answers(world: World) -> None:
    """Have the CSE answer what it sends to itself."""
    plain = world.answers
    world.answers = lambda send: itself(world, send) if send.receiver == "/id-in" else plain(send)


@pytest.mark.behaviour("PR-07.2.08")
def test_members_of_a_fan_out_subscription_notify_the_group(world: World) -> None:
    own_answers(world)
    ri = group(world).content["m2m:grp"]["ri"]
    for made in subscribe(world):
        assert made["nu"] == [f"/id-in/{ri}/fopt"]
        assert (made["gpi"], made["nfu"]) == (f"/id-in/{ri}", FORWARD)
    plain = {"m2m:sub": {"rn": "plain", "nu": ["http://127.0.0.1:9999/own"]}}
    answers = world.create(FAN, 23, plain, "Cae").content["m2m:agr"]["m2m:rsp"]
    assert [one["pc"]["m2m:sub"]["nu"] for one in answers] == [["http://127.0.0.1:9999/own"]] * 2


@pytest.mark.behaviour("PR-07.2.09")
def test_without_aggregation_every_notification_is_forwarded(world: World) -> None:
    own_answers(world)
    group(world)
    made = subscribe(world)
    world.post(A, "1")
    world.post(B, "2")
    sent = deliver(world)
    assert [send.urls for send in sent] == [(FORWARD,), (FORWARD,)]
    bodies = [send.request.content["m2m:sgn"] for send in sent]
    assert [body["sur"] for body in bodies] == [f"/id-in/{one['ri']}" for one in made]
    assert [body["nev"]["rep"]["m2m:cin"]["con"] for body in bodies] == ["1", "2"]


@pytest.mark.behaviour("PR-07.2.10")
def test_notifications_of_the_members_are_put_together(world: World) -> None:
    own_answers(world)
    group(world, nar={"num": 3, "dur": "PT10S"})
    subscribe(world)
    for number, path in enumerate((A, B, A, B)):
        world.post(path, str(number))
    (full,) = deliver(world)
    assert full.urls == (FORWARD,)
    contents = [body["nev"]["rep"]["m2m:cin"]["con"] for body in full.request.content["m2m:agn"]["m2m:sgn"]]
    assert contents == ["0", "1", "2"]
    rebuild(world.cse, world.env())
    world.advance(10.1)
    (late,) = deliver(world)
    (body,) = late.request.content["m2m:agn"]["m2m:sgn"]
    assert body["nev"]["rep"]["m2m:cin"]["con"] == "3"
    world.post(A, "4")
    assert deliver(world) == []
    world.update(GROUP, {"m2m:grp": {"nar": None}}, "Cae")
    assert len(deliver(world)) == 1
    world.post(A, "5")
    (single,) = deliver(world)
    assert "m2m:sgn" in single.request.content


@pytest.mark.behaviour("PR-07.2.10")
def test_members_at_other_cses_notify_the_group_too(two: Federation) -> None:
    infra, middle = two.infra, two.middle
    own_answers(infra)
    group(infra, mid=[A, "/id-mn/cse-mn/far"], nar={"num": 2})
    subscribe(infra)
    infra.post(A, "near")
    assert deliver(infra) == []
    middle.create("cse-mn/far", 4, {"m2m:cin": {"con": "far"}})
    for send in middle.outbox:
        assert send.receiver == "/id-in"
        assert infra.serve(send.request).status is Status.OK
    (sent,) = deliver(infra)
    bodies = sent.request.content["m2m:agn"]["m2m:sgn"]
    assert [body["nev"]["rep"]["m2m:cin"]["con"] for body in bodies] == ["near", "far"]
    stranger = Request(
        Operation.NOTIFY, FAN, "/id-other", "x", content={"m2m:sgn": {"nfu": FORWARD, "nev": {}}}, release="3"
    )
    assert infra.serve(stranger).status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-07.2.11")
def test_notifications_without_a_forwarding_address_reach_every_member(world: World) -> None:
    for number in (1, 2):
        world.ae(f"Capp{number}", f"app{number}", poa=[f"http://127.0.0.1:9/{number}"], acpi=[_open(world, number)])
    group(world, mid=["cse-in/app1", "cse-in/app2"])
    world.sent.clear()
    answer = world.notify(FAN, {"m2m:sgn": {"sur": "x", "vrq": True}}, "Cae")
    assert [one["rsc"] for one in answer.content["m2m:agr"]["m2m:rsp"]] == [2000, 2000]
    assert [send.urls for send in world.sent] == [("http://127.0.0.1:9/1",), ("http://127.0.0.1:9/2",)]


def _open(world: World, number: int) -> str:
    return world.policy(f"acp{number}", ["all"], 63)
