"""crossResourceSubscription: several events in one window (TS-0001 clause 9.6.58, 10.2.12)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.core.timers import rebuild
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.ports import Send
from tests.core.world import World

URL = "http://127.0.0.1:9999/notify"
ONE, TWO = "cse-in/ae/one", "cse-in/ae/two"
CRS = "cse-in/ae/crs"


@pytest.fixture
def codec() -> str:
    """Windows do not depend on the codec."""
    return "mqtt"


@pytest.fixture(autouse=True)
def _tree(world: World) -> None:
    world.ae()
    world.container(name="one")
    world.container(name="two")


def cross(world: World, parent: str = "cse-in/ae", **attributes: Any) -> Response:
    """Create a crossResourceSubscription to child creations of both containers; None leaves an attribute out."""
    body = {
        "rn": "crs",
        "nu": [URL],
        "twt": 1,
        "tws": "PT10S",
        "rrat": [ONE, TWO],
        "encs": {"enc": [{"net": [3]}]},
        **attributes,
    }
    present = {name: value for name, value in body.items() if value is not None}
    return world.create(parent, 48, {"m2m:crs": present}, "Cae")


def itself(world: World, send: Send) -> Response:
    """What a CSE sends to itself goes over no binding."""
    return world.itself(send.request.operation, send.request.to, content=send.request.content)


def settle(world: World) -> list[dict[str, Any]]:
    """Deliver what is for this CSE itself; gives the notifications to others."""
    outside = []
    while world.outbox:
        sends = list(world.outbox)
        world.outbox.clear()
        for send in sends:
            if send.receiver == "/id-in" and not send.urls:
                itself(world, send)
            else:
                outside.append(send.request.content["m2m:sgn"])
    return outside


def event(world: World, path: str) -> None:
    """Something happens to a container."""
    world.post(path)
    assert settle(world) == []


@pytest.mark.behaviour("EB-12.01", "EB-12.03", "EB-12.09")
@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"rrat": None}, Status.BAD_REQUEST),
        ({"nu": None}, Status.BAD_REQUEST),
        ({"twt": None}, Status.BAD_REQUEST),
        ({"twt": 3}, Status.BAD_REQUEST),
        ({"tws": None}, Status.BAD_REQUEST),
        ({"encs": None}, Status.BAD_REQUEST),
        ({"encs": {"enc": []}}, Status.BAD_REQUEST),
        ({"rrat": [ONE] * 3, "encs": {"enc": [{"net": [1]}, {"net": [2]}]}}, Status.BAD_REQUEST),
        ({"rrats": ["x"]}, Status.BAD_REQUEST),
        ({"twt": 2, "eem": 3}, Status.BAD_REQUEST),
        ({"twt": 2, "eem": 4}, Status.BAD_REQUEST),
        ({"eem": 6}, Status.BAD_REQUEST),
        ({"rrat": [ONE, "cse-in/nothing"]}, Status.CROSS_RESOURCE_OPERATION_FAILURE),
        ({"rrat": None, "srat": [ONE]}, Status.BAD_REQUEST),
    ],
)
@pytest.mark.behaviour("PR-10.01", "PR-10.03")
def test_what_does_not_fit_creates_nothing(world: World, attributes: dict[str, Any], status: Status) -> None:
    assert cross(world, **attributes).status is status
    assert settle(world) == []
    assert world.retrieve(CRS).status is Status.NOT_FOUND
    assert world.discover("cse-in", ty=[23]) == []


@pytest.mark.behaviour("EB-12.02", "EB-12.06")
@pytest.mark.behaviour("PR-10.03")
def test_member_subscriptions_are_made_and_go_with_it(world: World) -> None:
    made = cross(world).content["m2m:crs"]
    assert len(made["rrats"]) == 2
    for ri in made["rrats"]:
        member = world.retrieve(ri).content["m2m:sub"]
        assert member["nu"] == member["acrs"] == [f"/id-in/{made['ri']}"]
        assert member["enc"] == {"net": [3]}
        assert member["et"] == made["et"]
    assert world.delete(CRS, "Cae").status is Status.DELETED
    assert settle(world) == []
    assert world.discover("cse-in", ty=[23]) == []


@pytest.mark.behaviour("PR-00.7.07")
def test_below_the_cse_base_the_members_verify_it(world: World) -> None:
    world.answers = lambda send: itself(world, send)
    body = {"nu": [URL], "twt": 1, "tws": "PT10S", "rrat": [ONE], "encs": {"enc": [{"net": [3]}]}}
    made = world.create("cse-in", 48, {"m2m:crs": {"rn": "top", **body}}, "CAdmin")
    assert made.status is Status.CREATED, made.content


@pytest.mark.behaviour("EB-12.06")
@pytest.mark.behaviour("PR-10.04")
def test_existing_subscriptions_are_joined_and_let_go(world: World) -> None:
    world.create(ONE, 23, {"m2m:sub": {"rn": "sub", "nu": [URL], "enc": {"net": [3]}}}, "Cae")
    own = cross(world, rrat=None, encs=None, srat=[f"{ONE}/sub"]).content["m2m:crs"]["ri"]
    assert world.retrieve(f"{ONE}/sub").content["m2m:sub"]["nu"] == [URL, f"/id-in/{own}"]
    world.delete(CRS, "Cae")
    member = world.retrieve(f"{ONE}/sub").content["m2m:sub"]
    assert member["nu"] == [URL]
    assert "acrs" not in member


@pytest.mark.behaviour("EB-12.05")
@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.behaviour("PR-10.05")
def test_all_events_in_a_window_give_one_notification(world: World, window: int) -> None:
    ri = cross(world, twt=window).content["m2m:crs"]["ri"]
    event(world, ONE)
    world.advance(10.1)
    assert settle(world) == []
    event(world, ONE)
    event(world, ONE)
    world.post(TWO)
    sent = settle(world)
    rebuild(world.cse, world.env())
    world.advance(10.1)
    assert [*sent, *settle(world)] == [{"sur": f"/id-in/{ri}"}]
    world.advance(30)
    assert settle(world) == []


@pytest.mark.behaviour("EB-12.09")
@pytest.mark.parametrize(
    ("mode", "nothing", "some", "everything"),
    [(1, 0, 0, 1), (2, 0, 1, 1), (3, 1, 1, 0), (4, 1, 0, 0), (5, 0, 1, 0)],
)
@pytest.mark.behaviour("PR-10.06")
def test_evaluation_modes(world: World, mode: int, nothing: int, some: int, everything: int) -> None:
    cross(world, eem=mode)
    found = []
    for happening in ([], [ONE], [ONE, TWO]):
        for path in happening:
            event(world, path)
        world.advance(10.1)
        found.append(len(settle(world)))
    assert found == [nothing, some, everything]


@pytest.mark.behaviour("PR-10.06")
def test_sliding_window_of_some_missing(world: World) -> None:
    cross(world, twt=2, eem=5)
    event(world, ONE)
    world.advance(10.1)
    assert len(settle(world)) == 1


@pytest.mark.behaviour("EB-12.04")
@pytest.mark.behaviour("PR-10.07")
def test_update_of_the_window_starts_it_anew(world: World) -> None:
    cross(world)
    event(world, ONE)
    world.advance(9)
    assert world.update(CRS, {"m2m:crs": {"tws": "PT20S"}}, "Cae").status is Status.UPDATED
    event(world, TWO)
    world.advance(20.1)
    assert settle(world) == []
    for name, value in (("rrat", [ONE]), ("srat", [ONE]), ("rrats", ["x"]), ("encs", {"enc": []}), ("nec", 2)):
        assert world.update(CRS, {"m2m:crs": {name: value}}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-12.07")
@pytest.mark.parametrize("way", ["delete", "clear"])
@pytest.mark.behaviour("PR-10.08")
def test_it_ends_with_a_member(world: World, way: str) -> None:
    member = cross(world, su="http://127.0.0.1:9999/su").content["m2m:crs"]["rrats"][0]
    if way == "delete":
        world.delete(member, "Cae")
    else:
        world.update(member, {"m2m:sub": {"acrs": None}}, "Cae")
    (farewell,) = settle(world)
    assert farewell["sud"] is True
    assert world.retrieve(CRS).status is Status.NOT_FOUND
    assert world.discover("cse-in", ty=[23]) == []


@pytest.mark.behaviour("EB-12.08")
@pytest.mark.behaviour("PR-10.10")
def test_expiration_counter_and_statistics(world: World) -> None:
    cross(world, exc=2, nse=True)
    for _ in range(2):
        event(world, ONE)
        event(world, TWO)
        world.advance(10.1)
        assert len(settle(world)) == 1
    assert world.retrieve(CRS).status is Status.NOT_FOUND
    assert world.discover("cse-in", ty=[23]) == []


def test_notifications_of_strangers_are_refused(world: World) -> None:
    cross(world)
    response = world.notify(CRS, {"m2m:sgn": {"sur": "/id-in/other"}}, "Cae")
    assert response.status is Status.BAD_REQUEST
