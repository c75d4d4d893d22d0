"""How many subscriptions one resource and one originator may have (trust.md R12)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Engine, Send
from tests.core.world import ADMIN, World

URL = "http://127.0.0.1:9999/notify"
FULL = Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE


@pytest.fixture
def world(store: Engine) -> World:
    """Two containers that take three subscriptions each, of originators that may have four."""
    made = World(store, "mqtt", max_subscriptions=4, max_subscriptions_per_resource=3)
    made.ae()
    everybody = made.policy("all", ["all"], 63)
    for name in ("one", "two"):
        made.container(name=name, acpi=[everybody])
    return made


def subscribe(world: World, container: str, name: str, originator: str = "Cae", **attributes: Any) -> Response:
    """A subscription with a URL."""
    body = {"rn": name, "nu": [URL], "enc": {"net": [3]}, **attributes}
    return world.create(f"cse-in/ae/{container}", 23, {"m2m:sub": body}, originator)


def test_a_resource_takes_so_many_subscriptions(world: World) -> None:
    for number in range(3):
        assert subscribe(world, "one", f"s{number}").status is Status.CREATED
    world.sent.clear()
    refused = subscribe(world, "one", "s3", ADMIN)
    assert refused.status is FULL
    assert "'cse-in/ae/one' has 3 subscriptions" in refused.content["m2m:dbg"]
    assert world.sent == [], "nobody is asked for a subscription that is refused"
    assert world.retrieve("cse-in/ae/one/s3").status is Status.NOT_FOUND
    assert world.delete("cse-in/ae/one/s0", "Cae").status is Status.DELETED
    assert subscribe(world, "one", "s3").status is Status.CREATED


def test_an_originator_has_so_many_wherever_they_are(world: World) -> None:
    for number in range(4):
        container = ("one", "two")[number % 2]
        assert subscribe(world, container, f"s{number}", "Cother").status is Status.CREATED
    refused = subscribe(world, "two", "s4", "Cother")
    assert refused.status is FULL
    assert "'Cother' has 4 subscriptions" in refused.content["m2m:dbg"]
    assert subscribe(world, "two", "s4", "Cthird").status is Status.CREATED
    assert world.delete("cse-in/ae/one/s0", ADMIN).status is Status.DELETED
    assert subscribe(world, "one", "s4", "Cother").status is Status.CREATED


def test_administrators_may_have_any_number(world: World) -> None:
    for container in ("one", "two"):
        for number in range(3):
            assert subscribe(world, container, f"s{number}", ADMIN).status is Status.CREATED


def test_those_that_are_made_while_a_target_is_asked_count(world: World) -> None:
    """The limit holds in the transaction: nobody slips through between the check and the write."""

    def meanwhile(send: Send) -> Response:
        world.answers = lambda again: Response(Status.OK, request_id=again.request.request_id)
        for number in range(3):
            assert subscribe(world, "one", f"quick{number}", "Cquick").status is Status.CREATED
        return Response(Status.OK, request_id=send.request.request_id)

    world.answers = meanwhile
    assert subscribe(world, "one", "slow").status is FULL
    assert world.retrieve("cse-in/ae/one/slow").status is Status.NOT_FOUND


def test_what_an_earlier_start_counted_is_counted_again(world: World) -> None:
    for number in range(4):
        subscribe(world, ("one", "two")[number % 2], f"s{number}", "Cother")
    again = World(world.store, "mqtt", max_subscriptions=4, max_subscriptions_per_resource=3)
    request = Request(Operation.CREATE, "cse-in/ae/two", "Cother", "r", 23, release="3")
    request.content = {"m2m:sub": {"nu": [URL]}}
    assert again.serve(request).status is FULL
