"""Two CSEs: registration, forwarding over Mcc, notifications across (TS-0001 10.2.2.7; expected-behaviours 17)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.ports import CseType, Send
from cse.storage import open_store
from tests.core.world import World


class Federation:
    """An IN-CSE and an MN-CSE that reach each other, and AEs behind both."""

    def __init__(self, codec: str) -> None:
        self.cut = False
        self.to_aes: list[Send] = []
        self.infra = World(open_store("memory"), codec)
        self.middle = World(
            open_store("memory"),
            codec,
            cse_type=CseType.MN,
            cse_id="/id-mn",
            cse_name="cse-mn",
            registrar="/id-in",
        )
        self.infra.answers = self.carry
        self.middle.answers = self.carry
        own = {"rn": "id-mn", "cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"], "poa": ["http://mn"]}
        assert self.infra.create("cse-in", 16, {"m2m:csr": own}, "/id-mn").status is Status.CREATED
        mirror = {"rn": "id-in", "cb": "/id-in/cse-in", "csi": "/id-in", "rr": True, "srv": ["3"], "poa": ["http://in"]}
        made = self.middle.itself(Operation.CREATE, "cse-mn", resource_type=16, content={"m2m:csr": mirror})
        assert made.status is Status.CREATED

    def carry(self, send: Send) -> Response | None:
        """Deliver between the CSEs; AEs answer 2000."""
        worlds = {"/id-in": self.infra, "/id-mn": self.middle}
        if send.receiver in worlds:
            assert not send.exact_url
            return None if self.cut else worlds[send.receiver].serve(send.request)
        self.to_aes.append(send)
        return Response(Status.OK, request_id=send.request.request_id)


@pytest.fixture(params=["http", "mqtt", "coap"])
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Two registered CSEs on each codec."""
    made = Federation(request.param)
    yield made
    for world in (made.infra, made.middle):
        asyncio.run(world.store.close())


@pytest.mark.behaviour("EB-17.13")
@pytest.mark.parametrize("prefix", ["/id-mn/", "//onemec.local/id-mn/"])
@pytest.mark.behaviour("PR-00.1.04")
def test_every_operation_is_forwarded(federation: Federation, prefix: str) -> None:
    infra, middle = federation.infra, federation.middle
    base = f"{prefix}cse-mn"
    body = {"m2m:ae": {"rn": "ae", "api": "Nx", "rr": True, "srv": ["3"]}}
    assert middle.create("cse-mn", 2, body, "Cdev").status is Status.CREATED
    policy = {
        "rn": "acp",
        "pv": {"acr": [{"acor": ["/id-in/Capp"], "acop": 63}]},
        "pvs": {"acr": [{"acor": ["Cdev"], "acop": 63}]},
    }
    assert middle.create("cse-mn", 1, {"m2m:acp": policy}, "Cdev").status is Status.CREATED
    container = {"m2m:cnt": {"rn": "c", "acpi": ["cse-mn/acp"]}}
    assert middle.create("cse-mn/ae", 3, container, "Cdev").status is Status.CREATED
    created = infra.create(f"{base}/ae/c", 4, {"m2m:cin": {"con": "21"}}, "Capp")
    assert created.status is Status.CREATED, created.content
    assert infra.retrieve(f"{base}/ae/c/la", "Capp").content["m2m:cin"]["con"] == "21"
    assert infra.update(f"{base}/ae/c", {"m2m:cnt": {"lbl": ["x"]}}, "Capp").status is Status.UPDATED
    found = infra.retrieve(f"{base}/ae/c", "Capp", filter={"fu": 1, "ty": [4]})
    assert len(found.content["m2m:uril"]) == 1
    assert infra.retrieve(f"{base}/ae/c", "Cstranger").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert infra.delete(f"{base}/ae/c", "Capp").status is Status.DELETED


@pytest.mark.behaviour("EB-17.13")
@pytest.mark.behaviour("PR-00.1.04")
def test_a_registree_sends_upwards(federation: Federation) -> None:
    infra, middle = federation.infra, federation.middle
    infra.ae("Capp", "app")
    policy = infra.policy("acp", ["/id-mn/Cdev"], 63)
    infra.container("cse-in/app", "c", "Capp", acpi=[policy])
    body = {"m2m:cin": {"con": "1"}}
    assert middle.create("/id-in/cse-in/app/c", 4, body, "Cdev").status is Status.CREATED
    assert middle.create("/id-in/cse-in/app/c", 4, body, "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-14.05")
def test_a_non_blocking_request_is_kept_by_the_cse_it_is_for(federation: Federation) -> None:
    infra, middle = federation.infra, federation.middle
    infra.ae("Capp", "app")
    waiting = infra.retrieve("/id-mn/cse-mn", "Capp", response_type=1)
    assert waiting.status is Status.ACCEPTED_NONBLOCKING_SYNC
    assert not infra.store.of_type(17)
    middle.advance(0)
    (kept,) = middle.store.of_type(17)
    assert kept.attributes["rs"] in (1, 2)
    address = waiting.content["m2m:uri"]
    assert address.startswith("/id-mn/")
    assert infra.retrieve(address, "Capp").content["m2m:req"]["ors"]["rqi"] == waiting.request_id


def test_unreachable_next_hop_is_5103(federation: Federation) -> None:
    federation.cut = True
    assert federation.infra.retrieve("/id-mn/cse-mn").status is Status.TARGET_NOT_REACHABLE


@pytest.mark.behaviour("PR-00.1.05")
def test_registrations_are_not_forwarded(federation: Federation) -> None:
    body = {"m2m:ae": {"api": "Nx", "rr": True, "srv": ["3"]}}
    assert federation.infra.create("/id-mn/cse-mn", 2, body, "Cx").status is Status.BAD_REQUEST


def test_requests_do_not_run_in_circles(federation: Federation) -> None:
    assert federation.middle.retrieve("/id-elsewhere/cse-x", "Cdev").status is Status.NOT_FOUND


@pytest.mark.behaviour("PR-09.5.01")
def test_subscription_notifies_an_ae_of_another_cse(federation: Federation) -> None:
    infra, middle = federation.infra, federation.middle
    middle_ae = {"m2m:ae": {"rn": "app", "api": "Nx", "rr": True, "srv": ["3"], "poa": ["http://127.0.0.1:9/app"]}}
    assert middle.create("cse-mn", 2, middle_ae, "Capp").status is Status.CREATED
    infra.ae("Cdev", "dev")
    policy = infra.policy("acp", ["/id-mn/Capp"], 63)
    infra.container("cse-in/dev", "c", "Cdev", acpi=[policy])
    subscription = {"m2m:sub": {"rn": "s", "nu": ["/id-mn/Capp"], "enc": {"net": [3]}}}
    created = middle.create("/id-in/cse-in/dev/c", 23, subscription, "Capp")
    assert created.status is Status.CREATED, created.content
    infra.create("cse-in/dev/c", 4, {"m2m:cin": {"con": "5"}}, "/id-mn/Capp")
    (send,) = infra.outbox
    assert (send.receiver, send.request.to) == ("/id-mn", "/id-mn/Capp")
    answer = middle.serve(send.request)
    assert answer.status is Status.OK
    (delivered,) = federation.to_aes
    assert delivered.urls == ("http://127.0.0.1:9/app",)
    assert delivered.request.content["m2m:sgn"]["nev"]["rep"]["m2m:cin"]["con"] == "5"


def test_entities_are_named_to_another_cse_as_it_can_find_them(federation: Federation) -> None:
    infra, middle = federation.infra, federation.middle
    # A policy for everybody, or nobody could notify the AE.
    policy = {"rn": "acp", "pv": {"acr": [{"acor": ["all"], "acop": 63}]}, "pvs": {"acr": [{"acor": ["x"], "acop": 1}]}}
    assert middle.create("cse-mn", 1, {"m2m:acp": policy}).status is Status.CREATED
    body = {"rn": "app", "api": "Nx", "rr": True, "srv": ["3"], "poa": ["http://127.0.0.1:9/"], "acpi": ["cse-mn/acp"]}
    assert middle.create("cse-mn", 2, {"m2m:ae": body}, "Capp").status is Status.CREATED
    infra.ae()
    subscription = {"nu": ["/id-mn/Capp", "http://127.0.0.1:9/n"], "enc": {"om": [{"ops": 2}]}, "cr": None}
    created = infra.create("cse-in/ae", 23, {"m2m:sub": subscription}, "Cae")
    assert created.status is Status.CREATED, created.content
    infra.outbox.clear()
    assert infra.retrieve("cse-in/ae", "Cae").status is Status.OK
    far, near = (send.request.content["m2m:sgn"] for send in infra.outbox)
    assert (far["cr"], far["nev"]["om"]["or"]) == ("/id-in/Cae", "/id-in/Cae")
    assert (near["cr"], near["nev"]["om"]["or"]) == ("Cae", "Cae")


@pytest.mark.behaviour("EB-10.12")
@pytest.mark.behaviour("PR-07.2.01")
def test_group_fans_out_across_cses(federation: Federation) -> None:
    infra, middle = federation.infra, federation.middle
    middle.create("cse-mn", 3, {"m2m:cnt": {"rn": "far"}})
    middle.create("cse-mn/far", 1, {"m2m:acp": {}})
    infra.create("cse-in", 3, {"m2m:cnt": {"rn": "near"}})
    policy = {
        "rn": "acp",
        "pv": {"acr": [{"acor": ["/id-in/CAdmin"], "acop": 63}]},
        "pvs": {"acr": [{"acor": ["CAdmin"], "acop": 63}]},
    }
    middle.create("cse-mn", 1, {"m2m:acp": policy})
    middle.update("cse-mn/far", {"m2m:cnt": {"acpi": ["cse-mn/acp"]}})
    members = {"m2m:grp": {"rn": "g", "mnm": 5, "mid": ["cse-in/near", "/id-mn/cse-mn/far"]}}
    created = infra.create("cse-in", 9, members)
    assert created.status is Status.CREATED, created.content
    answers = infra.create("cse-in/g/fopt", 4, {"m2m:cin": {"con": "x"}}).content["m2m:agr"]["m2m:rsp"]
    assert [(answer["rsc"], answer["fr"]) for answer in answers] == [
        (2001, "/id-in/cse-in/near"),
        (2001, "/id-mn/cse-mn/far"),
    ]
    latest = infra.retrieve("cse-in/g/fopt/la").content["m2m:agr"]["m2m:rsp"]
    assert [answer["pc"]["m2m:cin"]["con"] for answer in latest] == ["x", "x"]
