"""Announcements that are still due: tried again now and then, and after a restart (TS-0001 clause 10.2.9)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cse.core.timers import next_due, rebuild
from cse.onem2m.primitives import Operation
from cse.onem2m.status import Status
from tests.core.test_federation import Federation

MN = {"rn": "id-mn", "cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"], "poa": ["http://mn"]}


@pytest.fixture
def two() -> Iterator[Federation]:
    """An IN-CSE that cannot reach its MN-CSE just now."""
    made = Federation("mqtt")
    made.cut = True
    yield made
    for world in (made.infra, made.middle):
        asyncio.run(world.store.close())


def make(two: Federation, to: str = "cse-in", ty: int = 3, root: str = "m2m:cnt", **attributes: Any) -> None:
    created = two.infra.create(to, ty, {root: {"at": ["/id-mn"], **attributes}})
    assert created.status is Status.CREATED, created.content


def announced(two: Federation, name: str) -> list[str]:
    shown = two.infra.retrieve(f"cse-in/{name}").content
    found: list[str] = next(iter(shown.values())).get("at", [])
    return found


def restart(two: Federation) -> None:
    """What a start does with what is stored."""
    two.infra.cse.unannounced.clear()
    two.infra.cse.retry_pauses.clear()
    rebuild(two.infra.cse, two.infra.env())


def test_it_is_tried_again_when_the_cse_is_back(two: Federation) -> None:
    make(two, rn="c")
    two.cut = False
    assert announced(two, "c") == []
    two.infra.advance(31)
    (address,) = announced(two, "c")
    assert two.middle.retrieve(address).status is Status.OK
    assert two.infra.cse.unannounced == {}


def test_the_pauses_grow(two: Federation) -> None:
    make(two, rn="c")
    two.infra.sent.clear()
    two.infra.advance(30 * 2**8)
    assert 0 < len(two.infra.sent) < 20
    two.cut = False
    two.infra.advance(30 * 2**9)
    assert len(announced(two, "c")) == 1


@pytest.mark.behaviour("PR-20.90")
def test_what_is_due_is_tried_again_after_a_restart(two: Federation) -> None:
    make(two, rn="c")
    make(two, rn="d")
    two.cut = False
    restart(two)
    two.infra.advance(0.01)
    assert len(announced(two, "c")) == len(announced(two, "d")) == 1
    assert two.infra.cse.unannounced == {}


@pytest.mark.behaviour("PR-20.90")
def test_a_restart_with_the_cse_still_away_goes_on_trying(two: Federation) -> None:
    make(two, rn="c")
    restart(two)
    two.infra.advance(1)
    assert announced(two, "c") == []
    two.cut = False
    two.infra.advance(60)
    assert len(announced(two, "c")) == 1


def test_a_cse_that_registers_after_the_restart_gets_what_is_due(two: Federation) -> None:
    two.infra.delete("cse-in/id-mn", "/id-mn")
    make(two, rn="c")
    restart(two)
    assert two.infra.cse.unannounced.keys() == {"/id-mn"}
    two.cut = False
    assert two.infra.create("cse-in", 16, {"m2m:csr": MN}, "/id-mn").status is Status.CREATED
    two.infra.advance(0.01)
    assert len(announced(two, "c")) == 1


def test_a_restart_forgets_what_was_called_off_and_what_is_done(two: Federation) -> None:
    make(two, rn="c")
    two.infra.update("cse-in/c", {"m2m:cnt": {"at": None}})
    two.cut = False
    make(two, rn="d")
    restart(two)
    assert two.infra.cse.unannounced == {}
    assert next_due(two.infra.cse) is None


@pytest.mark.behaviour("PR-20.90")
def test_instances_are_announced_after_a_restart_too(two: Federation) -> None:
    make(two, rn="c", mni=100)
    for number in range(3):
        make(two, "cse-in/c", 4, "m2m:cin", con=str(number))
    two.cut = False
    restart(two)
    two.infra.advance(0.01)
    (parent,) = announced(two, "c")
    children = two.middle.retrieve(parent, result_content=8).content["m2m:cntA"]["m2m:cinA"]
    assert len(children) == 3
    base = two.infra.store.get(two.infra.retrieve("cse-in/c").content["m2m:cnt"]["ri"])
    assert base is not None
    assert "unannounced_instances" not in base.internal


def test_a_start_looks_at_no_instance(two: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    make(two, rn="c")
    make(two, "cse-in/c", 4, "m2m:cin", con="1")

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("an instance was read")

    monkeypatch.setattr(two.infra.store, "instances", never)
    restart(two)
    assert len(two.infra.cse.unannounced["/id-mn"]) == 1


def test_what_is_refused_for_ever_holds_up_nothing(two: Federation) -> None:
    for number in range(6):
        make(two, rn=f"c{number}")
    two.cut = False
    carry, refused = (
        two.carry,
        {f"/id-in/{two.infra.retrieve(f'cse-in/c{n}').content['m2m:cnt']['ri']}" for n in range(4)},
    )

    def picky(send: Any) -> Any:
        content = send.request.content
        if send.request.operation is Operation.CREATE and next(iter(content.values())).get("lnk") in refused:
            return None
        return carry(send)

    two.infra.answers = picky
    two.infra.advance(500)
    assert [len(announced(two, f"c{number}")) for number in range(6)] == [0, 0, 0, 0, 1, 1]


def test_what_lies_behind_the_registrar_is_tried_through_it(two: Federation) -> None:
    two.cut = False
    far = {"rn": "id-far", "cb": "/id-far/cse", "csi": "/id-far", "rr": True, "srv": ["3"], "poa": ["http://far"]}
    assert two.infra.create("cse-in", 16, {"m2m:csr": far}, "/id-far").status is Status.CREATED
    two.cut = True
    made = two.middle.itself(
        Operation.CREATE, "cse-mn", resource_type=3, content={"m2m:cnt": {"rn": "c", "at": ["/id-far"]}}
    )
    assert made.status is Status.CREATED
    asked = len(two.middle.sent)
    two.middle.advance(31)
    assert [send.receiver for send in two.middle.sent[asked:]] == ["/id-in"]
