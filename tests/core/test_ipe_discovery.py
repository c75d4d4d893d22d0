"""IPE on-demand discovery: fu=3 (TS-0001 clause 10.2.6; primitives 6)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.ports import Send
from tests.core.world import World

POA = "http://192.0.2.5/ipe"


@pytest.fixture(autouse=True)
def _proxy(world: World) -> None:
    world.ae("Cipe", "ipe", poa=[POA], acpi=[world.policy("finders", ["Cae", "Cipe"], 63)])
    world.ae()


def ask(world: World, to: str = "cse-in/ipe", originator: str = "Cae", **criteria: Any) -> Response:
    return world.retrieve(to, originator, filter={"fu": 3, **criteria})


@pytest.mark.behaviour("PR-19.90")
def test_the_proxy_makes_what_is_then_found(world: World) -> None:
    def discover(send: Send) -> Response:
        world.container("cse-in/ipe", "lamp", "Cipe", lbl=["lamp"], acpi=["cse-in/finders"])
        world.container("cse-in/ipe", "door", "Cipe", lbl=["door"], acpi=["cse-in/finders"])
        return Response(Status.OK, send.request.request_id)

    world.answers = discover
    answer = ask(world, lbl=["lamp"])
    assert answer.content == {"m2m:uril": ["cse-in/ipe/lamp"]}
    (send,) = world.sent
    assert send.urls == (POA,)
    assert send.request.content == {"m2m:sgn": {"idr": {"or": "/id-in/Cae", "fc": {"lbl": ["lamp"]}}}}


@pytest.mark.behaviour("PR-19.91")
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.ORIGINATOR_HAS_NO_PRIVILEGE, Status.DISCOVERY_DENIED_BY_IPE),
        (None, Status.TARGET_NOT_REACHABLE),
    ],
)
def test_a_proxy_may_refuse_or_be_away(world: World, status: Status | None, expected: Status) -> None:
    world.answers = lambda send: None if status is None else Response(status, send.request.request_id)
    assert ask(world).status is expected


@pytest.mark.behaviour("PR-19.91")
def test_the_target_is_an_ae_that_the_originator_may_discover(world: World) -> None:
    assert ask(world, "cse-in").status is Status.BAD_REQUEST
    world.ae("Cother", "other")
    assert ask(world, originator="Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert world.sent == []
