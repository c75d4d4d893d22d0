"""semanticDescriptor: forms and exclusions (procedures 18; expected-behaviours 18); SPARQL is in test_semantics."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from cse.onem2m.status import Status
from tests.core.world import World

RDF = b64encode(b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>').decode()
TURTLE = b64encode(b"@prefix a: <http://a/> . a:x a:y a:z .").decode()
JSON_LD = b64encode(b'{"@id": "http://a/x"}').decode()
BROKEN = b64encode(b"<rdf:RDF").decode()


@pytest.fixture(autouse=True)
def _ae(world: World) -> None:
    world.ae()


def descriptor(world: World, parent: str = "cse-in/ae", **attributes: Any) -> Any:
    return world.create(parent, 24, {"m2m:smd": {"rn": "d", "dcrp": 4, "dsp": RDF, **attributes}}, "Cae")


@pytest.mark.parametrize(("form", "text"), [(4, RDF), (3, RDF), (5, TURTLE), (7, JSON_LD), (2, TURTLE)])
def test_a_descriptor_is_kept(world: World, form: int, text: str) -> None:
    answer = descriptor(world, dcrp=form, dsp=text)
    assert answer.status is Status.CREATED, answer.content
    shown = world.retrieve("cse-in/ae/d", "Cae").content["m2m:smd"]
    assert (shown["dcrp"], shown["dsp"]) == (form, text)
    assert "soe" not in shown
    assert "svd" not in shown


@pytest.mark.behaviour("EB-18.08", "PR-18.01")
@pytest.mark.parametrize(
    "attributes",
    [
        {"dcrp": 1},
        {"dcrp": 99},
        {"dsp": "not base64!"},
        {"dsp": BROKEN},
        {"dcrp": 7},
        {"soe": "INSERT DATA {}"},
        {"svd": True},
    ],
)
def test_a_wrong_descriptor_is_4000(world: World, attributes: dict[str, Any]) -> None:
    assert descriptor(world, **attributes).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-18.08", "PR-18.01", "PR-18.02")
def test_an_update_is_checked_against_what_is_kept(world: World) -> None:
    descriptor(world)
    for changes in ({"dsp": BROKEN}, {"dcrp": 7}, {"dcrp": 1}, {"soe": "X", "dsp": RDF}, {"dsp": None}):
        assert world.update("cse-in/ae/d", {"m2m:smd": changes}, "Cae").status is Status.BAD_REQUEST
    answer = world.update("cse-in/ae/d", {"m2m:smd": {"dcrp": 7, "dsp": JSON_LD}}, "Cae")
    assert answer.status is Status.UPDATED


@pytest.mark.behaviour("EB-18.08")
def test_below_a_policy_is_4108(world: World) -> None:
    policy = world.policy("acp", ["Cae"], 63)
    answer = world.create(policy, 24, {"m2m:smd": {"dcrp": 4, "dsp": RDF}})
    assert answer.status is Status.INVALID_CHILD_RESOURCE_TYPE


@pytest.mark.behaviour("EB-18.09")
def test_semantic_parameters_that_do_not_go_together_are_4000(world: World) -> None:
    query = {"smf": ["SELECT ?x WHERE { ?x ?y ?z }"]}
    assert world.retrieve("cse-in", result_content=10).status is Status.BAD_REQUEST
    assert world.retrieve("cse-in", semantic_query=True, filter=query).status is Status.BAD_REQUEST
    assert world.retrieve("cse-in", semantic_query=True, result_content=10).status is Status.BAD_REQUEST
