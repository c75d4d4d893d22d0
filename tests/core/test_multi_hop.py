"""Chains of CSEs: descendants, transit over several hops, S-stems (TS-0001 clause 10.2.2.2, 10.2.2.7, 9.3.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.ports import CseType, Send
from cse.storage import open_store
from tests.core.world import World


class Chain:
    """An IN-CSE, MN-CSEs ``/id-a`` and ``/id-c`` registered with it, and ``/id-b`` registered with ``/id-a``."""

    def __init__(self, codec: str) -> None:
        self.cut: set[str] = set()
        self.to_aes: list[Send] = []
        self.worlds = {"/id-in": World(open_store("memory"), codec)}
        self.worlds["/id-in"].answers = self.carry
        for cse_id, registrar in (("/id-a", "/id-in"), ("/id-b", "/id-a"), ("/id-c", "/id-in")):
            self.add(codec, cse_id, registrar)

    def add(self, codec: str, cse_id: str, registrar: str) -> None:
        name = cse_id.lstrip("/")
        world = World(
            open_store("memory"),
            codec,
            cse_type=CseType.MN,
            cse_id=cse_id,
            cse_name=f"cse-{name}",
            registrar=registrar,
            in_cse_id="/id-in",
        )
        world.answers = self.carry
        self.worlds[cse_id] = world
        self.register(cse_id, registrar)
        base = self.worlds[registrar].settings.cse_name
        mirror = {"rn": registrar[1:], "cb": f"{registrar}/{base}", "csi": registrar, "rr": True, "srv": ["3"]}
        made = world.itself(Operation.CREATE, f"cse-{name}", resource_type=16, content={"m2m:csr": mirror})
        assert made.status is Status.CREATED

    def register(self, cse_id: str, registrar: str) -> None:
        name = cse_id.lstrip("/")
        own = {"rn": name, "cb": f"{cse_id}/cse-{name}", "csi": cse_id, "rr": True, "srv": ["3"], "poa": ["http://x"]}
        answer = self.worlds[registrar].create("-", 16, {"m2m:csr": own}, cse_id)
        assert answer.status is Status.CREATED, answer.content

    def carry(self, send: Send) -> Response | None:
        world = self.worlds.get(send.receiver)
        if world is not None:
            return None if send.receiver in self.cut else world.serve(send.request)
        self.to_aes.append(send)
        return Response(Status.OK, request_id=send.request.request_id)

    def descendants(self, cse_id: str, child: str) -> list[str]:
        found: list[str] = self.worlds[cse_id].retrieve(f"-/{child[1:]}").content["m2m:csr"].get("dcse", [])
        return found


@pytest.fixture(params=["http", "mqtt", "coap"])
def chain(request: pytest.FixtureRequest) -> Iterator[Chain]:
    made = Chain(request.param)
    yield made
    for world in made.worlds.values():
        asyncio.run(world.store.close())


def ae(world: World, originator: str, name: str = "ae", **attributes: Any) -> Response:
    body = {"m2m:ae": {"rn": name, "api": "Nx", "rr": True, "srv": ["3"], **attributes}}
    return world.create(world.settings.cse_name, 2, body, originator)


@pytest.mark.behaviour("EB-5.14")
@pytest.mark.behaviour("PR-03.2.05")
def test_descendants_are_told_upwards(chain: Chain) -> None:
    assert chain.descendants("/id-in", "/id-a") == ["/id-b"]
    assert chain.descendants("/id-in", "/id-c") == []


@pytest.mark.behaviour("PR-03.2.05")
def test_descendants_of_descendants_reach_the_top(chain: Chain) -> None:
    chain.add(chain.worlds["/id-in"].codec, "/id-d", "/id-b")
    assert chain.descendants("/id-a", "/id-b") == ["/id-d"]
    assert chain.descendants("/id-in", "/id-a") == ["/id-b", "/id-d"]


@pytest.mark.behaviour("EB-5.14")
@pytest.mark.behaviour("PR-03.2.05")
def test_a_cse_that_leaves_is_no_descendant_any_more(chain: Chain) -> None:
    assert chain.worlds["/id-a"].delete("-/id-b", "/id-b").status is Status.DELETED
    assert chain.descendants("/id-in", "/id-a") == []
    assert chain.worlds["/id-in"].retrieve("/id-b/cse-id-b").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-03.2.05")
def test_a_registration_that_expires_is_told_upwards_too(chain: Chain) -> None:
    middle = chain.worlds["/id-a"]
    assert middle.update("-/id-b", {"m2m:csr": {"et": "20261122T120100"}}, "/id-b").status is Status.UPDATED
    middle.advance(120)
    assert chain.descendants("/id-in", "/id-a") == []


def open_container(world: World, originator: str, reader: str) -> None:
    """A container ``ae/c`` that ``reader`` may use."""
    base = world.settings.cse_name
    assert ae(world, originator).status is Status.CREATED
    policy = {
        "rn": "acp",
        "pv": {"acr": [{"acor": [reader], "acop": 63}]},
        "pvs": {"acr": [{"acor": [originator], "acop": 63}]},
    }
    assert world.create(f"{base}/ae", 1, {"m2m:acp": policy}, originator).status is Status.CREATED
    container = {"rn": "c", "acpi": [f"{base}/ae/acp"]}
    assert world.create(f"{base}/ae", 3, {"m2m:cnt": container}, originator).status is Status.CREATED


@pytest.mark.behaviour("EB-17.13")
@pytest.mark.parametrize(
    ("start", "end"), [("/id-in", "/id-b"), ("/id-b", "/id-in"), ("/id-b", "/id-c"), ("/id-c", "/id-b")]
)
def test_requests_travel_over_several_hops(chain: Chain, start: str, end: str) -> None:
    there = chain.worlds[end]
    open_container(there, "Cowner", f"{start}/Capp")
    target = f"{end}/{there.settings.cse_name}/ae/c"
    here = chain.worlds[start]
    created = here.create(target, 4, {"m2m:cin": {"con": "far"}}, "Capp")
    assert created.status is Status.CREATED, created.content
    assert here.retrieve(f"{target}/la", "Capp").content["m2m:cin"]["con"] == "far"
    assert here.retrieve(target, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert here.delete(target, "Capp").status is Status.DELETED


def test_a_hop_that_does_not_answer_is_5103(chain: Chain) -> None:
    chain.cut.add("/id-b")
    assert chain.worlds["/id-c"].retrieve("/id-b/cse-id-b", "Capp").status is Status.TARGET_NOT_REACHABLE


def test_outdated_descendants_send_nothing_in_circles(chain: Chain) -> None:
    top = chain.worlds["/id-in"]
    assert top.update("-/id-a", {"m2m:csr": {"dcse": ["/id-b", "/id-gone"]}}, "/id-a").status is Status.UPDATED
    assert chain.worlds["/id-c"].retrieve("/id-gone/base", "Capp").status is Status.NOT_FOUND
    assert chain.worlds["/id-c"].cse.in_transit == set()


@pytest.mark.behaviour("EB-2.04")
def test_unknown_service_provider_is_4004(chain: Chain) -> None:
    assert chain.worlds["/id-b"].retrieve("//elsewhere.example/id-x/base").status is Status.NOT_FOUND


# --- S-stems ----------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("EB-5.12")
@pytest.mark.parametrize("registrar", ["/id-a", "/id-b"])
@pytest.mark.behaviour("PR-02.13")
def test_the_in_cse_gives_out_s_stems(chain: Chain, registrar: str) -> None:
    answer = ae(chain.worlds[registrar], "S")
    assert answer.status is Status.CREATED, answer.content
    shown = answer.content["m2m:ae"]
    assert shown["ri"].startswith("S")
    assert shown["aei"] == shown["ri"]
    announced = chain.worlds["/id-in"].retrieve(shown["ri"]).content["m2m:aeA"]
    assert announced["ty"] == 10002
    assert announced["lnk"] == f"{registrar}/cse{registrar.replace('/', '-')}/ae"
    assert announced["lbl"] == ["Credential-ID:"]
    assert announced["api"] == "Nx"


@pytest.mark.behaviour("PR-02.13")
def test_a_chosen_s_stem_is_kept(chain: Chain) -> None:
    assert ae(chain.worlds["/id-a"], "Sme").content["m2m:ae"]["aei"] == "Sme"
    assert chain.worlds["/id-in"].retrieve("Sme").status is Status.OK


@pytest.mark.behaviour("PR-02.14")
def test_an_s_stem_is_unique_in_the_service_provider(chain: Chain) -> None:
    assert ae(chain.worlds["/id-a"], "Sme").status is Status.CREATED
    again = ae(chain.worlds["/id-c"], "Sme")
    assert again.status is Status.ORIGINATOR_HAS_ALREADY_REGISTERED
    assert chain.worlds["/id-c"].retrieve("cse-id-c/ae").status is Status.NOT_FOUND


@pytest.mark.behaviour("EB-5.12")
@pytest.mark.behaviour("PR-02.15", "PR-20.2.05")
def test_deregistration_makes_it_inactive_and_another_cse_may_take_it(chain: Chain) -> None:
    assert ae(chain.worlds["/id-a"], "Sme").status is Status.CREATED
    assert chain.worlds["/id-a"].delete("Sme", "Sme").status is Status.DELETED
    assert chain.worlds["/id-in"].retrieve("Sme").content["m2m:aeA"]["lnk"] == "INACTIVE"
    assert chain.worlds["/id-in"].discover("cse-in", ty=[10002]) == []
    assert ae(chain.worlds["/id-b"], "Sme").status is Status.CREATED
    assert chain.worlds["/id-in"].retrieve("Sme").content["m2m:aeA"]["lnk"] == "/id-b/cse-id-b/ae"


@pytest.mark.behaviour("PR-02.14")
def test_no_s_stem_without_the_in_cse(chain: Chain) -> None:
    chain.cut.add("/id-in")
    assert ae(chain.worlds["/id-a"], "S").status is Status.TARGET_NOT_REACHABLE
    assert ae(chain.worlds["/id-a"], "Cae").status is Status.CREATED


def test_an_s_stem_is_reached_from_anywhere(chain: Chain) -> None:
    assert ae(chain.worlds["/id-b"], "Sme", poa=["http://127.0.0.1:9/me"]).status is Status.CREATED
    here = chain.worlds["/id-c"]
    open_container(here, "Cowner", "/Sme")
    subscription = {"m2m:sub": {"rn": "s", "nu": ["/Sme"], "enc": {"net": [3]}}}
    made = chain.worlds["/id-b"].create("/id-c/cse-id-c/ae/c", 23, subscription, "Sme")
    assert made.status is Status.CREATED, made.content
    here.create("cse-id-c/ae/c", 4, {"m2m:cin": {"con": "5"}}, "/Sme")
    (send,) = here.outbox
    answer = chain.carry(send)
    assert answer is not None
    assert answer.status is Status.OK, answer.content
    assert chain.to_aes[-1].urls == ("http://127.0.0.1:9/me",)
