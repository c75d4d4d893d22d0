"""pollingChannel: who may have one, and what goes through it (TS-0001 clause 9.6.21, 10.2.5.13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cse.app import Cse
from cse.delivery_log import Result
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.polling import MOST_HELD, MOST_POLLS, MOST_WAITING
from cse.ports import Send, Unreachable
from cse.storage.memory import MemoryStore
from tests.client.running import running_cse
from tests.core.world import World

CHANNEL = "cse-in/ae/pch"


def channel(world: World, originator: str = "Cae", parent: str = "cse-in/ae", **attributes: Any) -> Response:
    """Create a polling channel."""
    return world.create(parent, 15, {"m2m:pch": {"rn": "pch", **attributes}}, originator)


@pytest.mark.behaviour("EB-14.01")
@pytest.mark.behaviour("PR-12.01")
def test_only_the_entity_itself_has_a_channel_and_one(world: World) -> None:
    world.ae(rr=False)
    assert channel(world, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert channel(world, parent="cse-in", originator="CAdmin").status is Status.INVALID_CHILD_RESOURCE_TYPE
    assert channel(world).content["m2m:pch"]["rqag"] is False
    assert channel(world, rn="second").status is Status.BAD_REQUEST
    for ask in (world.retrieve, world.delete):
        assert ask(CHANNEL, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.retrieve(f"{CHANNEL}/pcu", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.update(CHANNEL, {"m2m:pch": {"rqag": True}}, "Cae").status is Status.UPDATED
    assert world.delete(CHANNEL, "Cae").status is Status.DELETED
    assert world.retrieve(f"{CHANNEL}/pcu", "Cae").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-12.02", "PR-12.05")
def test_pcu_can_be_retrieved_and_notified_only(world: World) -> None:
    world.ae(rr=False)
    channel(world)
    assert world.delete(f"{CHANNEL}/pcu", "Cae").status is Status.OPERATION_NOT_ALLOWED
    assert world.update(f"{CHANNEL}/pcu", {"m2m:pch": {}}, "Cae").status is Status.OPERATION_NOT_ALLOWED
    assert world.notify(f"{CHANNEL}/pcu", {"m2m:sgn": {}}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-00.7.02", "PR-12.06")
def test_requests_for_an_entity_without_point_of_access_go_to_its_channel(world: World) -> None:
    world.ae(rr=False, poa=["http://127.0.0.1:9999/"])
    ri = channel(world).content["m2m:pch"]["ri"]
    world.notify("cse-in/ae", {"m2m:sgn": {"sur": "x"}}, "Cae")
    assert (world.sent[-1].urls, world.sent[-1].channel) == ((), ri)
    world.update("cse-in/ae", {"m2m:ae": {"rr": True}}, "Cae")
    world.notify("cse-in/ae", {"m2m:sgn": {"sur": "x"}}, "Cae")
    assert (world.sent[-1].urls, world.sent[-1].channel) == (("http://127.0.0.1:9999/",), "")


# --- held for real: the shell -----------------------------------------------------------------------------------


@pytest.fixture
async def cse() -> AsyncIterator[Cse]:
    """A running CSE with an AE that cannot be reached, its channel, and another AE."""
    async with running_cse(MemoryStore(), coap="off") as running:
        for originator, name in (("Cae", "ae"), ("Cother", "other")):
            body = {"m2m:ae": {"rn": name, "api": "Ntest", "rr": False, "srv": ["3"]}}
            created = await ask(running, Operation.CREATE, "cse-in", originator, resource_type=2, content=body)
            assert created.status is Status.CREATED
        made = await ask(running, Operation.CREATE, "cse-in/ae", resource_type=15, content={"m2m:pch": {"rn": "pch"}})
        assert made.status is Status.CREATED
        yield running


async def ask(cse: Cse, operation: Operation, to: str, originator: str = "Cae", **fields: Any) -> Response:
    """Serve a request as if it had come over a binding."""
    ask.number = getattr(ask, "number", 0) + 1  # type: ignore[attr-defined]
    request = Request(operation, to, originator, f"p{ask.number}", release="3", **fields)  # type: ignore[attr-defined]
    return await cse.serve(request)


async def poll(cse: Cse, milliseconds: int = 5000, originator: str = "Cae") -> Response:
    """Poll for a while."""
    return await ask(cse, Operation.RETRIEVE, f"{CHANNEL}/pcu", originator, request_expiration=milliseconds)


async def answer(cse: Cse, primitive: dict[str, Any], status: int = 2000, **more: Any) -> Response:
    """Answer what a poll brought."""
    content = {"m2m:rsp": {"rsc": status, "rqi": primitive["rqi"], **more}}
    return await ask(cse, Operation.NOTIFY, f"{CHANNEL}/pcu", content=content)


@pytest.mark.behaviour("EB-14.02")
@pytest.mark.behaviour("PR-12.03")
async def test_empty_poll_ends_when_its_time_is_up(cse: Cse) -> None:
    assert (await poll(cse, 50)).status is Status.REQUEST_TIMEOUT


@pytest.mark.behaviour("EB-14.03")
@pytest.mark.behaviour("PR-12.05")
async def test_verification_through_the_channel(cse: Cse) -> None:
    body = {
        "m2m:acp": {
            "rn": "acp",
            "pv": {"acr": [{"acor": ["Cother"], "acop": 16}]},
            "pvs": {"acr": [{"acor": ["CAdmin"], "acop": 63}]},
        }
    }
    assert (await ask(cse, Operation.CREATE, "cse-in", "CAdmin", resource_type=1, content=body)).status.is_success
    allow = {"m2m:ae": {"acpi": ["cse-in/acp"]}}
    assert (await ask(cse, Operation.UPDATE, "cse-in/ae", content=allow)).status is Status.UPDATED
    for status, expected in ((4103, Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED), (2000, Status.CREATED)):
        polling = asyncio.create_task(poll(cse))
        creating = asyncio.create_task(
            ask(
                cse,
                Operation.CREATE,
                "cse-in/other",
                "Cother",
                resource_type=23,
                content={"m2m:sub": {"nu": ["Cae"], "enc": {"net": [1]}}},
            )
        )
        fetched = (await polling).content["m2m:rqp"]
        assert fetched["op"] == 5
        assert fetched["to"] == "/id-in/Cae"
        assert fetched["pc"]["m2m:sgn"]["vrq"] is True
        assert (await answer(cse, fetched, status)).status is Status.OK
        assert (await creating).status is expected


@pytest.mark.behaviour("EB-14.05")
@pytest.mark.behaviour("PR-12.04")
async def test_notifications_wait_until_they_are_fetched_in_order(cse: Cse) -> None:
    content = {"m2m:sub": {"rn": "sub", "nu": ["Cae"], "enc": {"net": [3]}}}
    await ask(cse, Operation.CREATE, "cse-in/ae", resource_type=23, content=content)
    for name in ("one", "two", "three"):
        body = {"m2m:cnt": {"rn": name}}
        assert (await ask(cse, Operation.CREATE, "cse-in/ae", resource_type=3, content=body)).status is Status.CREATED
    first = (await poll(cse)).content["m2m:rqp"]
    assert first["pc"]["m2m:sgn"]["nev"]["rep"]["m2m:cnt"]["rn"] == "one"
    assert (await answer(cse, first)).status is Status.OK
    assert (await answer(cse, first)).status is Status.BAD_REQUEST  # nobody waits any more
    await ask(cse, Operation.UPDATE, CHANNEL, content={"m2m:pch": {"rqag": True}})
    rest = (await poll(cse)).content["m2m:agrp"]["m2m:rqp"]
    assert [one["pc"]["m2m:sgn"]["nev"]["rep"]["m2m:cnt"]["rn"] for one in rest] == ["two", "three"]
    assert (await poll(cse, 50)).status is Status.REQUEST_TIMEOUT


async def test_answers_are_counted(cse: Cse) -> None:
    content = {"m2m:sub": {"rn": "sub", "nu": ["Cae"], "enc": {"net": [3]}, "nse": True}}
    await ask(cse, Operation.CREATE, "cse-in/ae", resource_type=23, content=content)
    await ask(cse, Operation.CREATE, "cse-in/ae", resource_type=3, content={"m2m:cnt": {}})
    await answer(cse, (await poll(cse)).content["m2m:rqp"])
    for _ in range(100):
        counted = (await ask(cse, Operation.RETRIEVE, "cse-in/ae/sub")).content["m2m:sub"]["nsi"]
        if counted[0]["rsr"]:
            break
        await asyncio.sleep(0)
    assert counted == [{"tg": "Cae", "rqs": 1, "rsr": 1, "noec": 1}]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 (nothing there tells)
            await asyncio.sleep(0)


async def held(cse: Cse, count: int = 1) -> None:
    """Wait until so many polls are held."""
    await until(lambda: len(cse.delivery.channels._held) == count)


@pytest.mark.behaviour("PR-12.04")
async def test_parallel_polls_are_served_in_their_order(cse: Cse) -> None:
    first = asyncio.create_task(poll(cse, 30_000))
    await held(cse)
    second = asyncio.create_task(poll(cse, 30_000))
    await held(cse, 2)
    notes = [
        asyncio.create_task(ask(cse, Operation.NOTIFY, "cse-in/ae", content={"m2m:sgn": {"sur": str(number)}}))
        for number in range(2)
    ]
    fetched = [response.content["m2m:rqp"] for response in await asyncio.wait_for(asyncio.gather(first, second), 15)]
    assert [one["pc"]["m2m:sgn"]["sur"] for one in fetched] == ["0", "1"]
    for one in fetched:
        await answer(cse, one, pc={"m2m:dbg": one["rqi"]})
    assert [response.status for response in await asyncio.gather(*notes)] == [Status.OK, Status.OK]
    assert (await notes[0]).content == {"m2m:dbg": fetched[0]["rqi"]}
    assert not cse.delivery.channels._polls


async def test_a_poll_that_another_left_nothing_for_goes_on_waiting(cse: Cse) -> None:
    await ask(cse, Operation.UPDATE, CHANNEL, content={"m2m:pch": {"rqag": True}})
    polls = [asyncio.create_task(poll(cse, 30_000)) for _ in range(2)]
    await held(cse, 2)
    notes = []
    for number in range(2):
        content = {"m2m:sgn": {"sur": str(number)}}
        notes.append(asyncio.create_task(ask(cse, Operation.NOTIFY, "cse-in/ae", content=content)))
    done, waiting = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
    assert [len(one.result().content["m2m:agrp"]["m2m:rqp"]) for one in done] == [2]
    (last,) = waiting
    assert not last.done()
    for one in (*notes, last):
        one.cancel()


async def test_too_many_polls_end_the_one_held_longest(cse: Cse) -> None:
    polls = []
    for number in range(MOST_POLLS + 1):
        polls.append(asyncio.create_task(poll(cse, 30_000)))
        await held(cse, min(number + 1, MOST_POLLS))
    ended = await asyncio.wait_for(polls[0], 15)
    assert ended.status is Status.REQUEST_TIMEOUT
    assert "newer polls" in ended.content["m2m:dbg"]
    assert not any(one.done() for one in polls[1:])
    for one in polls:
        one.cancel()


async def test_equal_request_identifiers_are_kept_apart(cse: Cse) -> None:
    channels = cse.delivery.channels
    request = Request(Operation.NOTIFY, "/id-in/Cae", "Cother", "same", content={"m2m:sgn": {}})
    asking = [asyncio.create_task(channels.ask("c", request, 15)) for _ in range(2)]
    retrieve = Request(Operation.RETRIEVE, "c/pcu", "/id-in", "1")
    for number in range(2):
        fetched = (await channels.serve(Send(retrieve, channel="c", timeout_s=15))).content["m2m:rqp"]
        response = {"m2m:rsp": {"rsc": 2000, "rqi": fetched["rqi"], "pc": {"m2m:dbg": str(number)}}}
        notify = Request(Operation.NOTIFY, "c/pcu", "/id-in", "2", content=response)
        assert (await channels.serve(Send(notify, channel="c"))).status is Status.OK
    answers = await asyncio.gather(*asking)
    assert [one.content["m2m:dbg"] for one in answers] == ["0", "1"]
    assert [one.request_id for one in answers] == ["same", "same"]
    assert not channels._channels


async def test_a_hundred_requests_wait_and_what_does_not_fit_is_answered_and_logged(
    cse: Cse, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"m2m:sub": {"rn": "sub", "nu": ["Cae"], "enc": {"net": [3]}}}
    await ask(cse, Operation.CREATE, "cse-in/ae", resource_type=23, content=body)
    for number in range(MOST_WAITING + 5):
        body = {"m2m:cnt": {"rn": f"c{number}"}}
        assert (await ask(cse, Operation.CREATE, "cse-in/ae", resource_type=3, content=body)).status is Status.CREATED
    late = await ask(cse, Operation.NOTIFY, "cse-in/ae", content={"m2m:sgn": {"sur": "late"}})
    assert late.status is Status.TARGET_NOT_REACHABLE
    await until(lambda: cse.delivery.counts.dropped == 5)
    assert caplog.text.count("is full") == 1
    assert [letter.record.result for letter in cse.delivery.log.dead_letters()] == [Result.DROPPED] * 5
    failed = [one for one in cse.delivery.log.since(0) if one.result is Result.FAILED]
    assert ["wait in its polling channel" in one.reason for one in failed] == [True]
    await ask(cse, Operation.UPDATE, CHANNEL, content={"m2m:pch": {"rqag": True}})
    fetched = (await poll(cse)).content["m2m:agrp"]["m2m:rqp"]
    names = [one["pc"]["m2m:sgn"]["nev"]["rep"]["m2m:cnt"]["rn"] for one in fetched]
    assert names == [f"c{number}" for number in range(MOST_WAITING)]


async def test_what_is_fetched_and_never_answered_is_bounded(cse: Cse) -> None:
    channels = cse.delivery.channels
    retrieve = Request(Operation.RETRIEVE, "c/pcu", "/id-in", "1")
    asking = []
    for number in range(MOST_WAITING + 1):
        request = Request(Operation.NOTIFY, "/id-in/Cae", "Cother", str(number), content={"m2m:sgn": {}})
        asking.append(asyncio.create_task(channels.ask("c", request, 30)))
        assert (await channels.serve(Send(retrieve, channel="c", timeout_s=15))).status is Status.OK
    with pytest.raises(Unreachable, match="answered none"):
        await asyncio.wait_for(asking[0], 15)
    assert not any(task.done() for task in asking[1:])
    for task in asking[1:]:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert not channels._channels


async def test_polls_held_are_bounded_in_all(cse: Cse) -> None:
    channels = cse.delivery.channels
    retrieve = Request(Operation.RETRIEVE, "c/pcu", "/id-in", "1")
    polls = [
        asyncio.create_task(channels.serve(Send(retrieve, channel=str(number), timeout_s=60)))
        for number in range(MOST_HELD + 1)
    ]
    assert (await asyncio.wait_for(polls[0], 15)).status is Status.REQUEST_TIMEOUT
    assert not any(task.done() for task in polls[1:])
    for task in polls[1:]:
        task.cancel()
    await asyncio.gather(*polls, return_exceptions=True)
    assert not channels._polls


async def test_the_end_of_a_channel_ends_its_poll_and_what_waits(cse: Cse) -> None:
    polling = asyncio.create_task(poll(cse, 60_000))
    await held(cse)
    assert (await ask(cse, Operation.DELETE, "cse-in/ae")).status is Status.DELETED
    ended = await asyncio.wait_for(polling, 15)
    assert ended.status is Status.NOT_FOUND
    request = Request(Operation.NOTIFY, "/id-in/Cgone", "Cother", "1", content={"m2m:sgn": {}})
    waiting = asyncio.create_task(cse.delivery.channels.ask("gone", request, 60))
    await asyncio.sleep(0)
    assert (await ask(cse, Operation.DELETE, "cse-in/other", "Cother")).status is Status.DELETED
    with pytest.raises(Unreachable, match="deleted"):
        await asyncio.wait_for(waiting, 15)


@pytest.mark.behaviour("EB-14.04")
@pytest.mark.behaviour("PR-12.02")
async def test_strangers_cannot_poll_or_answer(cse: Cse) -> None:
    assert (await poll(cse, 50, "Cother")).status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    content = {"m2m:rsp": {"rsc": 2000, "rqi": "x"}}
    stranger = await ask(cse, Operation.NOTIFY, f"{CHANNEL}/pcu", "Cother", content=content)
    assert stranger.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-12.07")
async def test_requests_whose_time_is_up_are_not_fetched(cse: Cse) -> None:
    content = {"m2m:sgn": {"sur": "late"}}
    waited = await ask(cse, Operation.NOTIFY, "cse-in/ae", content=content, request_expiration=100)
    assert waited.status is Status.REQUEST_TIMEOUT
    assert (await poll(cse, 50)).status is Status.REQUEST_TIMEOUT
