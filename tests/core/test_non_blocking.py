"""Requests served later: rt 1 and 2, result persistence, execution time (TS-0001 8.2.2; expected-behaviours 13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from tests.core.world import World


@pytest.fixture
def ready(world: World) -> World:
    world.ae(poa=["http://127.0.0.1:9/ae"])
    world.container()
    return world


def acknowledged(
    world: World, operation: Operation = Operation.RETRIEVE, to: str = "cse-in/ae/cnt", **fields: Any
) -> str:
    """The address of the ``<request>`` that an rt=1 request of the AE gets."""
    answer = world.ask(operation, to, "Cae", **{"response_type": 1, **fields})
    assert answer.status is Status.ACCEPTED_NONBLOCKING_SYNC, answer.content
    address: str = answer.content["m2m:uri"]
    return address


def result(world: World, address: str) -> dict[str, Any]:
    answer = world.retrieve(address, "Cae")
    assert answer.status is Status.OK, answer.content
    shown: dict[str, Any] = answer.content["m2m:req"]
    return shown


@pytest.mark.behaviour("EB-13.01")
@pytest.mark.behaviour("PR-00.1.03", "PM-07.01")
def test_rt_1_keeps_the_result_for_the_originator(ready: World) -> None:
    address = acknowledged(ready, request_expiration=20_000)
    pending = result(ready, address)
    assert (pending["rs"], pending["ors"]["rsc"]) == (3, 1000)
    ready.advance(0)
    done = result(ready, address)
    assert (done["rs"], done["op"], done["tg"], done["org"]) == (1, 2, "cse-in/ae/cnt", "Cae")
    assert done["lbl"] == ["Cae"]
    assert done["ors"]["rsc"] == 2000
    assert done["ors"]["pc"]["m2m:cnt"]["rn"] == "cnt"
    assert done["mi"]["rt"] == {"rtv": 1}
    assert done["mi"]["rvi"] == "3"
    assert done["et"] == done["mi"]["rqet"]


@pytest.mark.behaviour("EB-13.01")
@pytest.mark.parametrize(
    ("operation", "to", "fields", "expected"),
    [
        (Operation.CREATE, "cse-in/ae/cnt", {"resource_type": 4, "content": {"m2m:cin": {"con": "1"}}}, 2001),
        (Operation.UPDATE, "cse-in/ae/cnt", {"content": {"m2m:cnt": {"lbl": ["x"]}}}, 2004),
        (Operation.DELETE, "cse-in/ae/cnt", {}, 2002),
        (Operation.RETRIEVE, "cse-in/ae/none", {}, 4004),
        (Operation.RETRIEVE, "cse-in/ae/cnt", {"result_content": 2}, 4000),
    ],
)
@pytest.mark.behaviour("PM-07.04")
def test_the_inner_status_is_in_the_result(
    ready: World, operation: Operation, to: str, fields: dict[str, Any], expected: int
) -> None:
    address = acknowledged(ready, operation, to, **fields)
    ready.advance(0)
    done = result(ready, address)
    assert done["ors"]["rsc"] == expected
    assert done["rs"] == (1 if expected < 3000 else 2)


@pytest.mark.behaviour("PM-07.01")
def test_rt_1_operation_is_really_performed(ready: World) -> None:
    acknowledged(ready, Operation.CREATE, resource_type=4, content={"m2m:cin": {"con": "later"}})
    assert ready.retrieve("cse-in/ae/cnt/la", "Cae").status is Status.NOT_FOUND
    ready.advance(0)
    assert ready.retrieve("cse-in/ae/cnt/la", "Cae").content["m2m:cin"]["con"] == "later"


def delivered(world: World) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    world.advance(0)
    found = [(send.urls, send.request.content["m2m:rsp"]) for send in world.outbox if "m2m:rsp" in send.request.content]
    world.outbox.clear()
    return found


@pytest.mark.behaviour("EB-13.05")
@pytest.mark.parametrize(
    ("targets", "urls"),
    [
        (["http://127.0.0.1:9/a"], [("http://127.0.0.1:9/a",)]),
        (["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"], [("http://127.0.0.1:9/a",), ("http://127.0.0.1:9/b",)]),
        (["Cae"], [("http://127.0.0.1:9/ae",)]),
        (None, [("http://127.0.0.1:9/ae",)]),
    ],
)
@pytest.mark.behaviour("PM-07.02")
def test_rt_2_notifies_the_result(ready: World, targets: list[str] | None, urls: list[tuple[str, ...]]) -> None:
    answer = ready.retrieve("cse-in/ae/cnt", "Cae", response_type=2, response_targets=targets)
    assert answer.status is Status.ACCEPTED_NONBLOCKING_ASYNC
    assert not ready.outbox
    found = delivered(ready)
    assert [where for where, _ in found] == urls
    assert all(body["rsc"] == 2000 and body["rqi"] == answer.request_id for _, body in found)
    assert found[0][1]["pc"]["m2m:cnt"]["rn"] == "cnt"


@pytest.mark.behaviour("EB-13.05")
@pytest.mark.behaviour("PM-07.02")
def test_rt_2_with_an_empty_list_notifies_nobody(ready: World) -> None:
    answer = ready.retrieve("cse-in/ae/cnt", "Cae", response_type=2, response_targets=[])
    assert answer.status is Status.ACCEPTED_NONBLOCKING_ASYNC
    assert delivered(ready) == []


@pytest.mark.behaviour("EB-13.05")
@pytest.mark.behaviour("PM-07.02")
def test_rt_2_notifies_failures_too(ready: World) -> None:
    ready.retrieve("cse-in/ae/none", "Cae", response_type=2)
    ((_, body),) = delivered(ready)
    assert body["rsc"] == 4004


@pytest.mark.behaviour("EB-13.04")
@pytest.mark.behaviour("PM-07.03")
def test_flex_blocking_is_answered_at_once(ready: World) -> None:
    assert ready.retrieve("cse-in/ae/cnt", "Cae", response_type=4).status is Status.OK


@pytest.mark.behaviour("EB-13.08")
@pytest.mark.parametrize("operation", list(Operation)[:4])
@pytest.mark.behaviour("PM-07.03")
def test_rt_5_is_performed_in_silence(ready: World, operation: Operation) -> None:
    fields: dict[Operation, dict[str, Any]] = {
        Operation.CREATE: {"resource_type": 4, "content": {"m2m:cin": {"con": "1"}}},
        Operation.UPDATE: {"content": {"m2m:cnt": {"lbl": ["x"]}}},
    }
    answer = ready.ask(operation, "cse-in/ae/cnt", "Cae", response_type=5, **fields.get(operation, {}))
    assert answer.silent
    after = ready.retrieve("cse-in/ae/cnt", "Cae")
    assert (after.status is Status.NOT_FOUND) == (operation is Operation.DELETE)
    if operation is Operation.CREATE:
        assert after.content["m2m:cnt"]["cni"] == 1
    if operation is Operation.UPDATE:
        assert after.content["m2m:cnt"]["lbl"] == ["x"]


@pytest.mark.behaviour("EB-13.03")
@pytest.mark.parametrize("kind", [0, 6, 99])
def test_unknown_response_type_is_4000(ready: World, kind: int) -> None:
    assert ready.retrieve("cse-in/ae/cnt", "Cae", response_type=kind).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-13.06", "PR-14.01")
@pytest.mark.behaviour("PM-07.05")
def test_requests_cannot_be_made_by_hand(ready: World) -> None:
    answer = ready.create("cse-in", 17, {"m2m:req": {}})
    assert answer.status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("PR-14.02")
@pytest.mark.behaviour("PM-07.05")
def test_only_the_originator_sees_its_request(ready: World) -> None:
    ready.ae("Cother", "other")
    address = acknowledged(ready)
    assert ready.retrieve(address, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert ready.retrieve("cse-in/ae/cnt", "Cstranger", response_type=1).status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("EB-13.07", "PR-14.03")
@pytest.mark.behaviour("PM-07.06")
def test_deleting_a_pending_request_is_5220(ready: World) -> None:
    address = acknowledged(ready, execution_time=5_000)
    assert ready.delete(address, "Cae").status is Status.UNABLE_TO_RECALL_REQUEST
    ready.advance(6)
    assert ready.delete(address, "Cae").status is Status.DELETED
    assert ready.retrieve(address, "Cae").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-14.02")
def test_of_a_kept_request_only_its_policies_can_change(ready: World) -> None:
    address = acknowledged(ready)
    assert ready.update(address, {"m2m:req": {"lbl": ["x"]}}, "Cae").status is Status.BAD_REQUEST
    assert ready.update(address, {"m2m:req": {"rs": 1}}, "Cae").status is Status.BAD_REQUEST
    ready.ae("Cother", "other")
    policies = [ready.policy("shared", ["Cae", "Cother"], 2)]
    changed = ready.update(address, {"m2m:req": {"acpi": policies}}, "Cae")
    assert changed.status is Status.UPDATED, changed.content


@pytest.mark.behaviour("PR-14.06")
@pytest.mark.behaviour("PM-07.06")
def test_a_request_resource_is_addressed_blocking_only(ready: World) -> None:
    address = acknowledged(ready)
    assert ready.retrieve(address, "Cae", response_type=1).status is Status.BAD_REQUEST
    assert ready.retrieve(address, "Cae", response_type=2).status is Status.BAD_REQUEST
    assert ready.retrieve(address, "Cae", response_type=4).status is Status.OK


@pytest.mark.behaviour("EB-13.02", "EB-13.11")
@pytest.mark.parametrize("name", ["result_persistence", "request_expiration", "result_expiration"])
@pytest.mark.behaviour("PM-07.05")
def test_the_result_is_kept_as_long_as_asked(ready: World, name: str) -> None:
    address = acknowledged(ready, **{name: 10_000})
    ready.advance(9)
    assert result(ready, address)["rs"] == 1
    ready.advance(2)
    assert ready.retrieve(address, "Cae").status is Status.NOT_FOUND


def test_the_result_persistence_goes_before_the_request_expiration(ready: World) -> None:
    address = acknowledged(ready, result_persistence="PT60S", request_expiration=1_000)
    ready.advance(30)
    assert result(ready, address)["rs"] == 1


@pytest.mark.behaviour("EB-13.03")
def test_malformed_result_persistence_is_4000(ready: World) -> None:
    answer = ready.retrieve("cse-in/ae/cnt", "Cae", response_type=1, result_persistence="tomorrow")
    assert answer.status is Status.BAD_REQUEST


def instant(world: World, form: str, seconds: float) -> str | int:
    if form == "duration":
        return f"PT{seconds:g}S"
    return format_timestamp(world.now + seconds) if form == "absolute" else int(seconds * 1000)


@pytest.mark.behaviour("EB-13.09")
@pytest.mark.parametrize("form", ["absolute", "duration", "ms"])
@pytest.mark.behaviour("PM-02.07", "PM-07.07")
def test_blocking_waits_for_the_execution_time(ready: World, form: str) -> None:
    before = ready.now
    answer = ready.ask(
        Operation.CREATE,
        "cse-in/ae/cnt",
        "Cae",
        resource_type=4,
        content={"m2m:cin": {"con": "1"}},
        execution_time=instant(ready, form, 5),
    )
    assert answer.status is Status.CREATED, answer.content
    assert ready.now >= before + 5
    assert answer.content["m2m:cin"]["ct"] >= format_timestamp(before + 5)


@pytest.mark.behaviour("PM-07.07")
def test_non_blocking_waits_for_the_execution_time(ready: World) -> None:
    address = acknowledged(ready, execution_time=5_000)
    ready.advance(4)
    assert result(ready, address)["rs"] == 3
    ready.advance(2)
    assert result(ready, address)["rs"] == 1


@pytest.mark.behaviour("EB-13.09")
@pytest.mark.behaviour("PM-02.08")
def test_past_execution_time_means_now(ready: World) -> None:
    past = format_timestamp(ready.now - 60)
    assert ready.retrieve("cse-in/ae/cnt", "Cae", execution_time=past).status is Status.OK


@pytest.mark.behaviour("EB-13.09")
@pytest.mark.parametrize("limit", ["request_expiration", "result_expiration"])
@pytest.mark.behaviour("PM-02.08")
def test_execution_after_the_expiration_is_4000(ready: World, limit: str) -> None:
    answer = ready.retrieve("cse-in/ae/cnt", "Cae", execution_time=5_000, **{limit: 4_000})  # type: ignore[arg-type]
    assert answer.status is Status.BAD_REQUEST


def test_a_blocking_request_cannot_be_held_for_ever(ready: World) -> None:
    answer = ready.retrieve("cse-in/ae/cnt", "Cae", execution_time="PT2H")
    assert answer.status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-14.07")
def test_a_pending_request_survives_a_restart(ready: World, make_world: Callable[..., World]) -> None:
    address = acknowledged(
        ready, Operation.CREATE, resource_type=4, content={"m2m:cin": {"con": "kept"}}, execution_time=5_000
    )
    again = make_world()
    again.now = ready.now
    again.advance(6)
    assert again.retrieve("cse-in/ae/cnt/la", "Cae").content["m2m:cin"]["con"] == "kept"
    assert result(again, address)["ors"]["rsc"] == 2001


@pytest.mark.behaviour("PR-14.04")
def test_a_fan_out_may_be_asked_for_later(ready: World) -> None:
    ready.create("cse-in/ae", 9, {"m2m:grp": {"rn": "g", "mnm": 2, "mid": ["cse-in/ae/cnt"]}}, "Cae")
    address = acknowledged(ready, to="cse-in/ae/g/fopt")
    ready.advance(0)
    (answer,) = result(ready, address)["ors"]["pc"]["m2m:agr"]["m2m:rsp"]
    assert answer["rsc"] == 2000


def test_what_was_asked_is_forgotten_when_it_is_done(ready: World) -> None:
    address = acknowledged(ready)
    ready.advance(0)
    stored = ready.store.get(result(ready, address)["ri"])
    assert stored is not None
    assert stored.internal["pending"] is None
    assert isinstance(ready.retrieve(address, "Cae"), Response)
