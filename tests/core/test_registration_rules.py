"""Registration of AEs and CSEs, and the CSEBase (procedures 2 and 3; TS-0001 clause 10.2.2; TS-0004 7.4.3 to 7.4.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import CseType, Engine, Send
from cse.storage import open_store
from tests.core.world import World

AE = {"api": "Nx", "rr": True, "srv": ["3"]}
CSR = {"rn": "mn", "cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"], "poa": ["http://mn"]}


@pytest.fixture
def world(store: Engine) -> World:
    """An empty IN-CSE; registration does not depend on the codec."""
    return World(store, "mqtt")


def register(world: World, originator: str, **attributes: Any) -> Response:
    return world.create("cse-in", 2, {"m2m:ae": {**AE, **attributes}}, originator)


# --- AEs --------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-02.03")
def test_an_ae_registers_without_any_right_given_before(world: World) -> None:
    assert world.retrieve("cse-in", "Cnew").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    made = register(world, "Cnew")
    assert made.status is Status.CREATED
    assert {"ri", "pi", "ct", "lt", "et", "aei", "api", "rr", "srv", "rn", "ty"} <= set(made.content["m2m:ae"])
    assert world.retrieve("cse-in", "Cnew").status is Status.OK


@pytest.mark.behaviour("PR-02.09")
@pytest.mark.parametrize("form", ["Cnew", "/id-in/Cnew", "//onemec.local/id-in/Cnew"])
def test_every_form_of_an_ae_id_is_that_ae_id(world: World, form: str) -> None:
    made = register(world, form, rn="new")
    assert made.content["m2m:ae"]["aei"] == made.content["m2m:ae"]["ri"] == "Cnew"
    assert register(world, "Cnew").status is Status.ORIGINATOR_HAS_ALREADY_REGISTERED
    assert world.delete("cse-in/new", form).status is Status.DELETED
    assert register(world, form).content["m2m:ae"]["aei"] == "Cnew"


@pytest.mark.behaviour("PR-02.10")
@pytest.mark.parametrize("changes", [{"api": "Ny"}, {"aei": "Cother"}, {"ri": "Cother"}, {"rr": None}])
def test_what_an_ae_is_does_not_change(world: World, changes: dict[str, Any]) -> None:
    register(world, "Cnew", rn="new")
    assert world.update("cse-in/new", {"m2m:ae": changes}, "Cnew").status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-02.08")
def test_ae_ids_that_are_given_are_unique(world: World) -> None:
    made = [register(world, originator).content["m2m:ae"]["aei"] for originator in ("C", "", "C", "S", "S")]
    assert len(set(made)) == 5
    assert [stem[0] for stem in made] == ["C", "C", "C", "S", "S"]


@pytest.mark.behaviour("PR-02.05")
def test_rules_of_a_service_subscription(world: World) -> None:
    world.create("cse-in", 11, {"m2m:mssp": {"rn": "profile"}})
    node = {"rn": "node", "ni": "n1", "csi": "/id-in"}
    made = world.create("cse-in/profile", 20, {"m2m:svsn": node})
    assert made.status is Status.CREATED, made.content
    assert register(world, "Cnew").status is Status.SERVICE_SUBSCRIPTION_NOT_ESTABLISHED
    rule = {"rn": "rule", "aai": ["Nmeter*"], "aae": ["Cmeter*", "C"]}
    assert world.create("cse-in", 19, {"m2m:asar": rule}).status is Status.CREATED
    assert world.update("cse-in/profile/node", {"m2m:svsn": {"rlk": ["cse-in/rule"]}}).status is Status.UPDATED
    assert register(world, "Cmeter1", api="Nother").status is Status.APP_RULE_VALIDATION_FAILED
    assert register(world, "Cother", api="Nmeter").status is Status.APP_RULE_VALIDATION_FAILED
    assert register(world, "Cmeter1", api="Nmeter").status is Status.CREATED
    assert register(world, "C", api="Nmeter").status is Status.CREATED


@pytest.mark.behaviour("PR-02.05")
def test_a_rule_may_ask_for_a_credential(world: World) -> None:
    world.create("cse-in", 11, {"m2m:mssp": {"rn": "profile"}})
    world.create("cse-in", 19, {"m2m:asar": {"rn": "rule", "apci": ["key-*"]}})
    node = {"rn": "node", "ni": "n1", "csi": "/id-in", "rlk": ["cse-in/rule"]}
    assert world.create("cse-in/profile", 20, {"m2m:svsn": node}).status is Status.CREATED
    assert register(world, "Cnew").status is Status.APP_RULE_VALIDATION_FAILED
    request = Request(
        Operation.CREATE,
        "cse-in",
        "Cnew",
        "r",
        resource_type=2,
        content={"m2m:ae": AE},
        release="3",
        credential_id="key-7",
    )
    assert world.serve(request).status is Status.CREATED


@pytest.mark.behaviour("PR-02.12")
@pytest.mark.behaviour("PR-01.4.08")
def test_deregistration_takes_the_channel_along(world: World) -> None:
    register(world, "Cnew", rn="new", rr=False)
    world.create("cse-in/new", 15, {"m2m:pch": {"rn": "pch"}}, "Cnew")
    world.container("cse-in/new", "cnt", "Cnew")
    assert world.delete("cse-in/new", "Cnew").status is Status.DELETED
    assert world.store.plain_count() == len(world.discover("cse-in", "CAdmin")) + 1
    assert world.retrieve("cse-in", "Cnew").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-02.16")
def test_tracking_of_registration_points_is_refused_in_words(world: World) -> None:
    assert register(world, "Cnew", trps=True).status is Status.NOT_IMPLEMENTED
    assert register(world, "Cnew", rn="new", trps=False).status is Status.CREATED
    assert world.update("cse-in/new", {"m2m:ae": {"trps": True}}, "Cnew").status is Status.NOT_IMPLEMENTED


# --- CSEBase ----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-03.1.01")
def test_the_cse_base_shows_what_the_cse_is(world: World) -> None:
    world.ae()
    shown = world.retrieve("cse-in", "Cae", release="4").content["m2m:cb"]
    assert (shown["csi"], shown["cst"], shown["pi"], shown["rn"], shown["ty"]) == ("/id-in", 1, "", "cse-in", 5)
    assert "et" not in shown
    assert shown["ri"]
    assert set(shown["srt"]) == set(world.cse.registry.types)
    assert 50 not in shown["srt"]
    assert set(shown["srv"]) == set(world.settings.releases)
    assert len(shown["ctm"]) >= 15
    assert "application/json" in shown["csz"]


@pytest.mark.behaviour("PR-03.1.02")
@pytest.mark.parametrize("originator", ["CAdmin", "Cae", "Cstranger"])
def test_the_cse_base_is_made_changed_and_removed_by_nobody(world: World, originator: str) -> None:
    world.ae()
    for answer in (
        world.create("cse-in", 5, {"m2m:cb": {}}, originator),
        world.update("cse-in", {"m2m:cb": {"lbl": ["x"]}}, originator),
        world.delete("cse-in", originator),
    ):
        assert answer.status is Status.OPERATION_NOT_ALLOWED


# --- CSEs -------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PR-03.2.02")
@pytest.mark.parametrize("missing", ["cb", "csi", "rr", "srv"])
def test_a_cse_says_who_it_is(world: World, missing: str) -> None:
    body = {name: value for name, value in CSR.items() if name != missing}
    assert world.create("cse-in", 16, {"m2m:csr": body}, "/id-mn").status is Status.BAD_REQUEST


@pytest.mark.behaviour("PR-03.2.03")
def test_a_cse_registers_as_itself_and_below_the_cse_base(world: World) -> None:
    world.ae()
    other = {**CSR, "csi": "/id-other"}
    assert world.create("cse-in", 16, {"m2m:csr": other}, "/id-mn").status is Status.BAD_REQUEST
    below = world.create("cse-in/ae", 16, {"m2m:csr": CSR}, "CAdmin")
    assert below.status is Status.INVALID_CHILD_RESOURCE_TYPE
    made = world.create("cse-in", 16, {"m2m:csr": CSR}, "//onemec.local/id-mn")
    assert made.status is Status.CREATED, made.content
    assert made.content["m2m:csr"]["csi"] == "/id-mn"
    again = world.create("cse-in", 16, {"m2m:csr": {**CSR, "rn": "again"}}, "/id-mn")
    assert again.status is Status.ORIGINATOR_HAS_ALREADY_REGISTERED


@pytest.mark.behaviour("PR-03.2.06")
def test_a_registered_cse_changes_and_ends_its_registration(world: World) -> None:
    world.ae()
    world.create("cse-in", 16, {"m2m:csr": CSR}, "/id-mn")
    for originator, updated, deleted in (
        ("Cae", Status.ORIGINATOR_HAS_NO_PRIVILEGE, Status.ORIGINATOR_HAS_NO_PRIVILEGE),
        ("/id-other", Status.ORIGINATOR_HAS_NO_PRIVILEGE, Status.ORIGINATOR_HAS_NO_PRIVILEGE),
        ("/id-mn", Status.UPDATED, Status.DELETED),
    ):
        changed = world.update("cse-in/mn", {"m2m:csr": {"poa": ["http://new"]}}, originator)
        assert changed.status is updated
        assert world.delete("cse-in/mn", originator).status is deleted
    assert world.retrieve("/id-mn/cse-mn").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-03.2.06")
def test_an_ae_with_every_right_still_cannot_update_a_remote_cse(world: World) -> None:
    world.ae()
    policy = world.policy("acp", ["Cae"], 63)
    world.create("cse-in", 16, {"m2m:csr": {**CSR, "acpi": [policy]}}, "/id-mn")
    assert world.update("cse-in/mn", {"m2m:csr": {"lbl": ["x"]}}, "Cae").status is Status.OPERATION_NOT_ALLOWED


@pytest.mark.behaviour("PR-03.2.04")
def test_an_asn_cse_refuses_other_cses_and_aes_register_no_cses(store: Engine) -> None:
    world = World(store, "mqtt", cse_type=CseType.ASN)
    world.ae()
    for originator in ("/id-mn", "Cae"):
        assert world.create("cse-in", 16, {"m2m:csr": CSR}, originator).status is Status.OPERATION_NOT_ALLOWED


# --- two service providers --------------------------------------------------------------------------------------


class Providers:
    """The IN-CSEs of two service providers, registered with each other, and an MN-CSE of the first."""

    def __init__(self) -> None:
        self.sent: list[Send] = []
        here = {"sp_id": "//here.example", "cse_id": "/id-in", "cse_name": "cse-in"}
        there = {"sp_id": "//there.example", "cse_id": "/id-in", "cse_name": "cse-there"}
        middle = {"sp_id": "//here.example", "cse_id": "/id-mn", "cse_name": "cse-mn", "cse_type": CseType.MN}
        self.here = World(open_store("memory"), "mqtt", **here)
        self.there = World(open_store("memory"), "mqtt", **there)
        self.middle = World(open_store("memory"), "mqtt", registrar="/id-in", in_cse_id="/id-in", **middle)
        for world in (self.here, self.there, self.middle):
            world.answers = lambda send, world=world: self.carry(world, send)  # type: ignore[misc]
        for host, guest, base in (
            (self.here, "//there.example/id-in", "cse-there"),
            (self.there, "//here.example/id-in", "cse-in"),
        ):
            body = {"rn": "far", "cb": f"{guest}/{base}", "csi": guest, "rr": True, "srv": ["3"], "poa": ["http://far"]}
            made = host.create("-", 16, {"m2m:csr": body}, guest)
            assert made.status is Status.CREATED, made.content
        body = {"rr": True, "srv": ["3"], "poa": ["http://near"]}
        up = {"m2m:csr": {**body, "rn": "near", "cb": "/id-in/cse-in", "csi": "/id-in"}}
        down = {"m2m:csr": {**body, "rn": "near", "cb": "/id-mn/cse-mn", "csi": "/id-mn"}}
        assert self.here.create("-", 16, down, "/id-mn").status is Status.CREATED
        assert self.middle.itself(Operation.CREATE, "-", resource_type=16, content=up).status is Status.CREATED

    def carry(self, sender: World, send: Send) -> Response | None:
        self.sent.append(send)
        if send.receiver.startswith("//"):
            return (self.there if sender is self.here else self.here).serve(send.request)
        return (self.here if sender is self.middle else self.middle).serve(send.request)


@pytest.fixture
def providers() -> Iterator[Providers]:
    made = Providers()
    yield made
    for world in (made.here, made.there, made.middle):
        asyncio.run(world.store.close())


@pytest.mark.behaviour("PR-03.2.08")
def test_requests_pass_between_service_providers(providers: Providers) -> None:
    there = providers.there
    rules = {"pv": {"acr": [{"acor": ["//here.example/id-mn/Capp"], "acop": 63}]}}
    rules["pvs"] = {"acr": [{"acor": ["CAdmin"], "acop": 63}]}
    assert there.create("-", 1, {"m2m:acp": {"rn": "acp", **rules}}).status is Status.CREATED
    assert there.create("-", 3, {"m2m:cnt": {"rn": "c", "acpi": ["cse-there/acp"]}}).status is Status.CREATED
    target = "//there.example/id-in/cse-there/c"
    middle = providers.middle
    created = middle.create(target, 4, {"m2m:cin": {"con": "abroad"}}, "Capp")
    assert created.status is Status.CREATED, created.content
    first, second = (send.request.originator for send in providers.sent[-2:])
    assert (first, second) == ("/id-mn/Capp", "//here.example/id-mn/Capp")
    assert middle.retrieve(f"{target}/la", "Capp").content["m2m:cin"]["con"] == "abroad"
    assert middle.retrieve(target, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert middle.retrieve("//nowhere.example/id-in/x", "Capp").status is Status.NOT_FOUND
    assert middle.retrieve("//there.example/id-none/x", "Capp").status is Status.NOT_FOUND
