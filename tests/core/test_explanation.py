"""Explanations: the decision is the one a request gets, and the words name the policy, the rule and the condition."""

from __future__ import annotations

from typing import Any

import pytest

from cse.core.explanation import Explanation, explain
from cse.onem2m.errors import BadRequest, NotFound
from cse.onem2m.status import Status
from cse.resources.declare import Privilege
from tests.core.world import World

READ, ALL = 2, 63


@pytest.fixture(autouse=True)
def _site(world: World) -> None:
    world.ae("Cowner", "owner")
    world.ae("CViewer", "viewer")


def explained(world: World, who: str, privilege: str, to: str, **more: Any) -> Explanation:
    return explain(world.cse, world.env(), who, Privilege[privilege], to, **more)


def ruled(world: World, *rules: dict[str, Any]) -> str:
    """A container of Cowner under a policy with these rules; gives its address."""
    body = {"m2m:acp": {"rn": "pol", "pv": {"acr": list(rules)}, "pvs": {"acr": [{"acor": ["Cowner"], "acop": ALL}]}}}
    policy = world.create("cse-in", 1, body).content["m2m:acp"]["ri"]
    made = world.create("cse-in/owner", 3, {"m2m:cnt": {"rn": "data", "acpi": [policy]}}, "Cowner")
    assert made.status is Status.CREATED, made.content
    return "cse-in/owner/data"


def test_the_rule_that_grants_is_named(world: World) -> None:
    to = ruled(world, {"acor": ["Cowner"], "acop": ALL}, {"acor": ["CViewer"], "acop": READ})
    found = explained(world, "CViewer", "RETRIEVE", to)
    assert found.granted
    assert found.because == "rule 2 of cse-in/pol decides: it allows RETRIEVE to CViewer"
    assert [rule.grants for rule in found.rules] == [False, True]
    assert found.ruled_by == to


def test_a_denial_names_the_nearest_rule_and_what_it_allows(world: World) -> None:
    to = ruled(world, {"acor": ["Cowner"], "acop": ALL}, {"acor": ["CViewer"], "acop": READ})
    found = explained(world, "CViewer", "UPDATE", to)
    assert not found.granted
    assert "rule 2 of cse-in/pol: it is for CViewer and allows RETRIEVE, not UPDATE" in found.because
    assert found.rules[0].reason == "it is for Cowner, not for CViewer"


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"acco": [{"acip": {"ipv4": ["192.0.2.0/24"]}}]}, "acco"),
        ({"acod": [{"chty": [23]}]}, "acod"),
        ({"acaf": True}, "acaf"),
        ({"aca": ["lbl"]}, "lbl"),
    ],
)
def test_the_condition_that_fails_is_named(world: World, condition: dict[str, Any], says: str) -> None:
    to = ruled(world, {"acor": ["CViewer"], "acop": ALL} | condition)
    found = explained(world, "CViewer", "CREATE", to, child_type=3, content={"m2m:cnt": {"mni": 1}})
    assert not found.granted
    assert says in found.because


def test_the_address_a_request_comes_from_counts(world: World) -> None:
    to = ruled(world, {"acor": ["CViewer"], "acop": READ, "acco": [{"acip": {"ipv4": ["192.0.2.0/24"]}}]})
    assert not explained(world, "CViewer", "RETRIEVE", to, peer_address="198.51.100.1").granted
    assert explained(world, "CViewer", "RETRIEVE", to, peer_address="192.0.2.9").granted


def test_without_policies_it_is_the_creator_and_instances_follow_their_container(world: World) -> None:
    path = world.container("cse-in/owner", originator="Cowner")
    world.post(path, "1", originator="Cowner")
    denied = explained(world, "CViewer", "RETRIEVE", f"{path}/la")
    assert not denied.granted
    assert denied.because == "there is no acpi: only the creator may; CViewer did not create it (Cowner did)"
    assert denied.ruled_by == path
    assert explained(world, "Cowner", "RETRIEVE", f"{path}/la").granted


def test_administrators_the_cse_itself_and_policies_are_explained(world: World) -> None:
    to = ruled(world, {"acor": ["CViewer"], "acop": READ})
    assert "administrator" in explained(world, "CAdmin", "DELETE", to).because
    assert "this CSE itself" in explained(world, "/id-in", "DELETE", to).because
    own = explained(world, "CViewer", "UPDATE", "cse-in/pol")
    assert not own.granted
    assert "selfPrivileges" in own.because
    assert explained(world, "Cowner", "UPDATE", "cse-in/pol").because.startswith("rule 1 of cse-in/pol decides")


def test_a_role_that_is_held_counts_when_it_is_claimed(world: World) -> None:
    role = "admin@role-issuer.com"
    to = ruled(world, {"acor": ["Cowner"], "acop": ALL}, {"acor": [role], "acop": 4})
    body = {
        "m2m:rol": {
            "rlid": role, "tkis": "/id-in", "tkhd": "CViewer", "tknb": "20200101T000000", "tkna": "20990101T000000"
        }
    }  # fmt: skip
    assert world.create("cse-in", 31, body).status is Status.CREATED
    unclaimed = explained(world, "CViewer", "UPDATE", to)
    assert not unclaimed.granted
    assert (
        unclaimed.rules[1].reason
        == f"it is for the role {role}, which CViewer holds but the request does not claim: send rids"
    )
    claimed = explained(world, "CViewer", "UPDATE", to, role_ids=[role])
    assert claimed.granted
    assert claimed.because == f"rule 2 of cse-in/pol decides: it allows UPDATE to {role}"
    assert not explained(world, "Cother", "UPDATE", to, role_ids=[role]).granted
    assert "is for admin@role-issuer.com, not for Cother" in explained(world, "Cother", "UPDATE", to).rules[1].reason


def test_the_holder_of_a_resource_is_named(world: World) -> None:
    assert world.create("cse-in/owner", 3, {"m2m:cnt": {"rn": "held", "cstn": "CViewer"}}).status is Status.CREATED
    found = explained(world, "CViewer", "DELETE", "cse-in/owner/held")
    assert (found.granted, "CViewer is its custodian" in found.because) == (True, True)


def test_a_policy_that_is_elsewhere_is_named(world: World) -> None:
    body = {"m2m:cnt": {"rn": "data", "acpi": ["/id-away/cse-away/pol"]}}
    assert world.create("cse-in/owner", 3, body, "Cowner").status is Status.CREATED
    found = explained(world, "CViewer", "RETRIEVE", "cse-in/owner/data")
    assert not found.granted
    assert "/id-away/cse-away/pol: not at this CSE" in found.because


def test_questions_that_make_no_sense_are_refused(world: World) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        explained(world, "CViewer", "UPDATE", "cse-in/nowhere")
    with pytest.raises(BadRequest, match="child"):
        explained(world, "CViewer", "CREATE", "cse-in/owner")


def test_every_explanation_is_what_the_request_itself_gets(world: World) -> None:
    to = ruled(world, {"acor": ["C*er"], "acop": READ}, {"acor": ["cse-in/friends"], "acop": 4})
    world.create("cse-in", 9, {"m2m:grp": {"rn": "friends", "mid": ["cse-in/viewer"], "mnm": 2}})
    for who in ("Cowner", "CViewer", "Cother"):
        read, update = world.retrieve(to, who).status, world.update(to, {"m2m:cnt": {"mni": 3}}, who).status
        assert explained(world, who, "RETRIEVE", to).granted is (read is Status.OK)
        assert explained(world, who, "UPDATE", to).granted is (update is Status.UPDATED)
