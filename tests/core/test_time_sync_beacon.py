"""timeSyncBeacon (TS-0001 clause 9.6.60)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.core.timers import rebuild
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from tests.core.world import World

URL = "http://127.0.0.1:9999/time"
BEACON = "cse-in/ae/tsb"


@pytest.fixture
def codec() -> str:
    """Beacons do not depend on the codec."""
    return "http"


@pytest.fixture(autouse=True)
def _ae(world: World) -> None:
    world.ae()


def beacon(world: World, **attributes: Any) -> Response:
    """Create a beacon."""
    return world.create("cse-in/ae", 60, {"m2m:tsb": {"rn": "tsb", "bcnu": [URL], **attributes}}, "Cae")


def beacons(world: World) -> list[dict[str, Any]]:
    """What was told since the last call."""
    told = [send.request.content["m2m:tsbn"] for send in world.outbox]
    world.outbox.clear()
    return told


@pytest.mark.behaviour("EB-18.15", "PR-17.01")
@pytest.mark.parametrize(
    "attributes",
    [
        {"bcnu": []},
        {"bcnc": 3},
        {"bcnc": 1, "bcnt": "PT1S"},
        {"bcnc": 1, "bcnr": "Cae"},
        {"bcnc": 2, "bcnr": "Cae", "bcni": "PT1S"},
        {"bcnc": 2},
        {"bcnc": 1, "bcni": "PT0S"},
    ],
)
def test_what_does_not_go_together(world: World, attributes: dict[str, Any]) -> None:
    assert beacon(world, **attributes).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-18.15", "PR-17.01")
def test_defaults(world: World) -> None:
    made = beacon(world).content["m2m:tsb"]
    assert (made["bcnc"], made["bcni"]) == (1, "PT1H")
    assert beacon(world, rn="other", bcnc=2, bcnr="Cae").content["m2m:tsb"]["bcnt"] == "PT1M"


@pytest.mark.behaviour("EB-18.16", "PR-17.02")
def test_periodic_beacons(world: World) -> None:
    ri = beacon(world, bcnc=1, bcni="PT10S").content["m2m:tsb"]["ri"]
    world.advance(9)
    assert beacons(world) == []
    rebuild(world.cse, world.env())
    world.advance(1.1)
    (told,) = beacons(world)
    assert told["tbr"] == f"/id-in/{ri}"
    assert told["ctm"] == format_timestamp(world.now)[:14] + told["ctm"][14:]
    world.advance(20.1)
    assert len(beacons(world)) == 2
    world.update(BEACON, {"m2m:tsb": {"bcni": "PT1M"}}, "Cae")
    world.advance(30)
    assert beacons(world) == []
    world.delete(BEACON, "Cae")
    world.advance(60)
    assert beacons(world) == []


@pytest.mark.behaviour("PR-17.03")
def test_loss_of_synchronisation(world: World) -> None:
    beacon(world, bcnc=2, bcnt="PT5S", bcnr="Cae")
    world.retrieve("cse-in/ae", "Cae", originating_time=format_timestamp(world.now - 4))
    world.retrieve("cse-in/ae", originating_time=format_timestamp(world.now - 100))
    world.retrieve("cse-in/ae", "Cae")
    assert beacons(world) == []
    world.retrieve("cse-in/ae", "Cae", originating_time=format_timestamp(world.now - 6))
    assert len(beacons(world)) == 1


@pytest.mark.behaviour("PR-17.01")
def test_update_of_the_criteria(world: World) -> None:
    beacon(world, bcnc=2, bcnt="PT5S", bcnr="Cae")
    assert world.update(BEACON, {"m2m:tsb": {"bcni": "PT5S"}}, "Cae").status is Status.BAD_REQUEST
    changed = world.update(BEACON, {"m2m:tsb": {"bcnc": 1}}, "Cae").content["m2m:tsb"]
    assert (changed["bcni"], "bcnt" in changed, "bcnr" in changed) == ("PT1H", False, False)
    assert world.update(BEACON, {"m2m:tsb": {"bcnc": 2}}, "Cae").status is Status.BAD_REQUEST
