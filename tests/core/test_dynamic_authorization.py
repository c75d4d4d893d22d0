"""Asking an authorization system when no policy grants access; roles and tokens (procedures 1.2, 1.7)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from cse.core import temporary_rules
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Send
from tests.core.world import World

DAS = "http://192.0.2.7/das"
SECOND = "http://192.0.2.8/das"


def rules(operations: int = 63, originator: str = "Cother") -> dict[str, Any]:
    return {"acr": [{"acor": [originator], "acop": operations}]}


def das(world: World, dres: Any, status: Status = Status.OK) -> None:
    """Let the authorization system answer."""
    content = {"m2m:seci": {"sit": 2, "dres": dres}}
    world.answers = lambda send: Response(status, send.request.request_id, content)


def token(world: World, **claims: Any) -> str:
    """A signed token whose signature nobody here looks at."""
    body = {
        "vr": "1.0.0", "tkid": "t@example.org", "tkhd": "/id-in/Cother", "tkis": "/id-das",
        "tknb": format_timestamp(world.now - 60), "tkna": format_timestamp(world.now + 600),
        "tkps": {"pm": [{"ris": ["cse-in/ae/cnt"], "pv": rules(2)}]}, **claims,
    }  # fmt: skip
    return ".".join(urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in ("{}", json.dumps(body), "s"))


@pytest.fixture(autouse=True)
def _tree(world: World) -> None:
    world.ae()
    world.ae("Cother", "other")
    body = {"rn": "dac", "dae": True, "dap": [DAS]}
    assert world.create("cse-in", 34, {"m2m:dac": body}).status is Status.CREATED
    world.container(daci=["cse-in/dac"])
    world.sent.clear()


def read(world: World, to: str = "cse-in/ae/cnt", **fields: Any) -> Status:
    return world.retrieve(to, "Cother", **fields).status


def asked(world: World) -> list[Send]:
    sent = [send for send in world.sent if "m2m:seci" in (send.request.content or {})]
    world.sent.clear()
    return sent


@pytest.mark.behaviour("PR-01.7.01")
def test_a_denial_is_put_to_the_authorization_system(world: World) -> None:
    das(world, {"dai": {"gp": rules(2), "pl": 60_000}})
    assert read(world) is Status.OK
    (send,) = asked(world)
    assert send.urls == (DAS,)
    question = send.request.content["m2m:seci"]
    assert question["sit"] == 1
    assert question["dreq"]["op"] == 2
    assert question["dreq"]["or"] == "/id-in/Cother"
    assert question["dreq"]["trt"] == 3
    assert question["dreq"]["trid"].startswith("/id-in/")


@pytest.mark.behaviour("PR-01.7.01")
def test_what_is_granted_holds_for_its_lifetime_without_asking_again(world: World) -> None:
    das(world, {"dai": {"gp": rules(2), "pl": 60_000}})
    for _ in range(3):
        assert read(world) is Status.OK
    assert len(asked(world)) == 1
    das(world, {})
    world.advance(61)
    assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert len(asked(world)) == 1


def test_what_is_granted_is_what_was_granted(world: World) -> None:
    das(world, {"dai": {"gp": rules(2), "pl": 60_000}})
    assert read(world) is Status.OK
    das(world, {})
    assert world.delete("cse-in/ae/cnt", "Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    world.ae("Cthird", "third")
    assert world.retrieve("cse-in/ae/cnt", "Cthird").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    world.container(name="else")
    assert read(world, "cse-in/ae/else") is Status.ORIGINATOR_HAS_NO_PRIVILEGE


def test_a_creation_may_be_granted(world: World) -> None:
    das(world, {"dai": {"gp": rules(1), "pl": 60_000}})
    assert world.post(originator="Cother").status is Status.CREATED
    assert world.retrieve("cse-in/ae/cnt", "Cae").content["m2m:cnt"]["cni"] == 1


@pytest.mark.behaviour("PR-01.7.01")
def test_children_ask_the_authorization_system_of_their_ancestor(world: World) -> None:
    world.post()
    das(world, {"dai": {"gp": rules(2), "pl": 60_000}})
    assert read(world, "cse-in/ae/cnt/la") is Status.OK
    assert len(asked(world)) == 1


def test_the_consultation_bounds_the_lifetime(world: World) -> None:
    world.update("cse-in/dac", {"m2m:dac": {"dal": format_timestamp(world.now + 30)}})
    das(world, {"dai": {"gp": rules(2), "pl": 3_600_000}})
    assert read(world) is Status.OK
    assert "ppl" in asked(world)[0].request.content["m2m:seci"]["dreq"]
    das(world, {})
    world.advance(31)
    assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.parametrize(
    "dres",
    [
        {},
        {"dai": {}},
        {"dai": {"gp": rules(1), "pl": 60_000}},
        {"dai": {"gp": rules(2, "Cnobody"), "pl": 60_000}},
        {"dai": {"gp": rules(2), "pl": "20200101T000000"}},
        {"dai": {"gp": {"acr": [{"acor": "all", "acop": 2}]}, "pl": 60_000}},
        {"dai": {"gp": {"acr": [7]}}},
        {"dai": "all"},
        "granted",
        {"tkns": ["nonsense", 5]},
        {"tkns": ["a.b.c"]},
    ],
)
@pytest.mark.behaviour("PR-01.7.02")
def test_an_answer_that_grants_nothing_leaves_the_denial(world: World, dres: Any) -> None:
    das(world, dres)
    assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PR-01.7.02")
def test_losing_the_authorization_system_leaves_the_denial(world: World) -> None:
    world.answers = lambda send: None
    assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    world.advance(6)
    das(world, {"dai": {"gp": rules()}}, Status.INTERNAL_SERVER_ERROR)
    assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE


def test_the_next_point_of_access_is_asked_when_one_is_silent(world: World) -> None:
    world.update("cse-in/dac", {"m2m:dac": {"dap": [DAS, SECOND]}})
    content = {"m2m:seci": {"sit": 2, "dres": {"dai": {"gp": rules(), "pl": 60_000}}}}
    world.answers = lambda send: (
        Response(Status.OK, send.request.request_id, content) if send.urls == (SECOND,) else None
    )
    assert read(world) is Status.OK
    assert [send.urls for send in asked(world)] == [(DAS,), (SECOND,)]


def test_a_denial_is_not_questioned_at_every_request(world: World) -> None:
    das(world, {})
    for _ in range(5):
        assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert len(asked(world)) == 1
    das(world, {"dai": {"gp": rules(2), "pl": 60_000}})
    world.advance(6)
    assert read(world) is Status.OK


def test_an_authorization_system_that_is_denied_itself_makes_no_loop(world: World) -> None:
    def answer(send: Send) -> Response:
        # It asks the same, of all things, before it answers.
        assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
        content = {"m2m:seci": {"sit": 2, "dres": {"dai": {"gp": rules(), "pl": 60_000}}}}
        return Response(Status.OK, send.request.request_id, content)

    world.answers = answer
    assert read(world) is Status.OK
    assert len(asked(world)) == 1


@pytest.mark.parametrize("how", ["disabled", "gone", "none"])
@pytest.mark.behaviour("PR-01.7.02")
def test_without_an_enabled_consultation_nobody_is_asked(world: World, how: str) -> None:
    if how == "disabled":
        world.update("cse-in/dac", {"m2m:dac": {"dae": False}})
    elif how == "gone":
        world.delete("cse-in/dac")
    else:
        world.update("cse-in/ae/cnt", {"m2m:cnt": {"daci": None}}, "Cae")
    world.sent.clear()
    das(world, {"dai": {"gp": rules(), "pl": 60_000}})
    assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert asked(world) == []


def test_what_is_remembered_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_rules, "_MOST_KEPT", 3)
    das(world, {"dai": {"gp": {"acr": [{"acor": ["all"], "acop": 2}]}, "pl": 60_000}})
    for number in range(6):
        world.ae(f"Cn{number}", f"n{number}")
        assert world.retrieve("cse-in/ae/cnt", f"Cn{number}").status is Status.OK
    assert len(world.cse.temporary._granted) == 3


class TestTokens:
    def test_a_token_in_the_answer_grants_what_it_permits(self, world: World) -> None:
        das(world, {"tkns": [token(world)]})
        assert read(world) is Status.OK
        world.advance(601)
        das(world, {})
        assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE

    @pytest.mark.parametrize(
        "claims",
        [
            {"tkhd": "/id-in/Celse"},
            {"tkna": "20200101T000000"},
            {"tknb": "20300101T000000"},
            {"tkau": ["/id-elsewhere"]},
            {"tkps": {"pm": [{"ris": ["cse-in/ae"], "pv": rules(2)}]}},
        ],
    )
    def test_a_token_that_is_not_for_this_grants_nothing(self, world: World, claims: dict[str, Any]) -> None:
        das(world, {"tkns": [token(world, **claims)]})
        assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE


class TestRoles:
    ROLE = "reader@example.org"

    @pytest.fixture(autouse=True)
    def _policy(self, world: World) -> None:
        policy = world.policy("by-role", [self.ROLE], 2)
        assert world.update("cse-in/ae/cnt", {"m2m:cnt": {"acpi": [policy]}}, "Cae").status is Status.UPDATED
        das(world, {})

    def role(self, world: World, **attributes: Any) -> None:
        body = {
            "rlid": self.ROLE, "tkis": "/id-in", "tkhd": "/id-in/Cother",
            "tknb": format_timestamp(world.now - 60), "tkna": format_timestamp(world.now + 60), **attributes,
        }  # fmt: skip
        assert world.create("cse-in", 31, {"m2m:rol": body}).status is Status.CREATED

    @pytest.mark.behaviour("PR-01.2.04")
    def test_the_holder_of_a_role_may_claim_it(self, world: World) -> None:
        self.role(world)
        assert read(world, role_ids=[self.ROLE]) is Status.OK
        assert read(world) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
        world.advance(61)
        assert read(world, role_ids=[self.ROLE]) is Status.ORIGINATOR_HAS_NO_PRIVILEGE

    @pytest.mark.behaviour("PR-01.2.04")
    def test_a_role_that_nobody_gave_is_not_believed(self, world: World) -> None:
        assert read(world, role_ids=[self.ROLE]) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
        self.role(world, tkhd="/id-in/Celse")
        assert read(world, role_ids=[self.ROLE]) is Status.ORIGINATOR_HAS_NO_PRIVILEGE

    @pytest.mark.behaviour("PR-01.2.04")
    def test_a_token_kept_here_gives_its_roles_to_its_holder(self, world: World) -> None:
        body = {
            "tkid": "t@example.org", "tkob": "a.b.c", "tkhd": "/id-in/Cother",
            "tkna": format_timestamp(world.now + 60), "tkps": {"pm": [{"rids": [self.ROLE]}]},
        }  # fmt: skip
        assert world.create("cse-in", 32, {"m2m:tk": body}).status is Status.CREATED
        assert read(world, token_ids=["t@example.org"]) is Status.OK
        assert read(world, token_ids=["other@example.org"]) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
        world.ae("Cthird", "third")
        third = world.retrieve("cse-in/ae/cnt", "Cthird", token_ids=["t@example.org"])
        assert third.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
        world.advance(61)
        assert read(world, token_ids=["t@example.org"]) is Status.ORIGINATOR_HAS_NO_PRIVILEGE
