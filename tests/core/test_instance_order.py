"""Conditions on the order of instances, and late data of a timeSeries: the cost does not grow with the instances."""

from __future__ import annotations

from typing import Any

import pytest

from cse.core import filtering
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Engine, Resource
from tests.core.world import START_S, World

PATH = "cse-in/ae/cnt"
TS = "cse-in/ae/ts"
MANY = 1200


@pytest.fixture
def world(store: Engine) -> World:
    """What is read does not depend on the codec."""
    return World(store, "mqtt")


class Reads:
    """Counts the instances that conditions are tested on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        plain = filtering._condition

        def counted(*arguments: Any) -> Any:
            test = plain(*arguments)

            def asked(resource: Resource) -> bool:
                self.count += 1
                return test(resource)

            return asked

        monkeypatch.setattr(filtering, "_condition", counted)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


@pytest.fixture
def full(world: World) -> World:
    """A container with many instances, ten seconds apart."""
    world.ae()
    world.container()
    for number in range(MANY):
        world.post(PATH, str(number))
        world.now += 10
    return world


def contents(world: World, **criteria: Any) -> list[str]:
    answer = world.retrieve(PATH, "Cae", result_content=8, filter={"ty": [4], **criteria})
    assert answer.status is Status.OK, answer.content
    return [one["con"] for one in answer.content["m2m:cnt"].get("m2m:cin", ())]


@pytest.mark.behaviour("PM-06.20")
def test_pages_by_state_tag_and_time_of_creation_read_what_they_show(full: World, reads: Reads) -> None:
    begin = full.now - MANY * 10
    late, early = format_timestamp(begin + 11_000 - 5), format_timestamp(begin + 25)
    for criteria, expected in (
        ({"stb": 1001, "lim": 3}, ["1000", "1001", "1002"]),
        ({"cra": late, "lim": 2}, ["1100", "1101"]),
        ({"ms": late, "lim": 2}, ["1100", "1101"]),
        ({"stb": 601, "sts": 604}, ["600", "601", "602"]),
        ({"crb": early}, ["0", "1", "2"]),
        ({"us": early}, ["0", "1", "2"]),
        ({"stb": MANY + 1}, []),
    ):
        reads.count = 0
        assert contents(full, **criteria) == expected
        assert reads.count < 80, criteria


def test_joined_by_or_they_bound_nothing(full: World) -> None:
    found = contents(full, fo=2, stb=MANY, sts=2, ty=[3])
    assert found == ["0", str(MANY - 1)]


@pytest.mark.behaviour("PR-06.4.04")
def test_late_data_is_checked_without_reading_the_series(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ae()
    world.create("cse-in/ae", 29, {"m2m:ts": {"rn": "ts"}}, "Cae")

    def post(second: float) -> Status:
        body = {"m2m:tsi": {"dgt": format_timestamp(START_S + second), "con": "x"}}
        return world.create(TS, 30, body, "Cae").status

    for second in range(0, 1200, 2):
        assert post(second) is Status.CREATED
    monkeypatch.setattr(world.store, "instances", lambda *a, **k: pytest.fail("the series was read"))
    plain = world.store.instances_from
    asked = 0

    def counted(pi: str, reached: Any) -> Any:
        def asks(one: Resource) -> bool:
            nonlocal asked
            asked += 1
            return bool(reached(one))

        return plain(pi, asks)

    monkeypatch.setattr(world.store, "instances_from", counted)
    for second in (1, 601, 3, 599, 0.5):
        assert post(second) is Status.CREATED
        assert post(second) is Status.CONFLICT
    for second in (0, 600, 1198):
        assert post(second) is Status.CONFLICT
    assert asked < 13 * 20
    assert world.delete(f"{TS}/ol", "Cae").status is Status.DELETED
    assert post(0) is Status.CREATED
    assert post(0) is Status.CONFLICT
