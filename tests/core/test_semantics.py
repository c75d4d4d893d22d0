"""SPARQL: semantic discovery, queries, updates and validation, and who may hear the answer (procedures 18, 7.2)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pytest

from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.resources import semantics
from tests.core.world import ADMIN, World

SENSORS = "SELECT ?x WHERE { ?x a <http://onto.example/#Sensor> }"
ONTOLOGY = """@prefix o: <http://onto.example/#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
o:Sensor a owl:Class . o:unit a owl:DatatypeProperty ."""


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def thing(name: str, kind: str = "Sensor", more: str = "") -> str:
    """Turtle that says that a thing is of a class of the example ontology."""
    return b64(f"@prefix o: <http://onto.example/#> . <http://things.example/{name}> a o:{kind} {more}.")


def describe(world: World, parent: str, descriptor: str, originator: str = "Cae", **attributes: Any) -> Response:
    body = {"rn": "d", "dcrp": 5, "dsp": descriptor, **attributes}
    return world.create(parent, 24, {"m2m:smd": body}, originator)


def query(world: World, to: str, text: str = SENSORS, originator: str = "Cae", **criteria: Any) -> Response:
    return world.retrieve(to, originator, semantic_query=True, result_content=10, filter={"smf": [text], **criteria})


@pytest.fixture(autouse=True)
def _tree(world: World) -> None:
    world.ae()
    for name, kind in (("a", "Sensor"), ("b", "Actuator"), ("c", "Sensor")):
        world.container(name=name, lbl=[f"is-{name}"])
        assert describe(world, f"cse-in/ae/{name}", thing(name, kind)).status is Status.CREATED


class TestDiscovery:
    @pytest.mark.behaviour("EB-18.10", "PR-18.06")
    def test_it_finds_the_resources_whose_descriptors_match(self, world: World) -> None:
        assert world.discover("cse-in/ae", "Cae", smf=[SENSORS]) == ["cse-in/ae/a", "cse-in/ae/c"]

    @pytest.mark.behaviour("PR-18.06")
    def test_without_filter_usage_and_with_sqi_false_it_is_a_discovery(self, world: World) -> None:
        for extra in ({}, {"semantic_query": False}):
            answer = world.retrieve("cse-in/ae", "Cae", filter={"smf": [SENSORS]}, **extra)
            assert answer.content == {"m2m:uril": ["cse-in/ae/a", "cse-in/ae/c"]}

    def test_other_conditions_narrow_it(self, world: World) -> None:
        assert world.discover("cse-in/ae", "Cae", smf=[SENSORS], lbl=["is-c", "is-b"]) == ["cse-in/ae/c"]
        assert world.discover("cse-in/ae", "Cae", smf=[SENSORS], ty=[24]) == ["cse-in/ae/a/d", "cse-in/ae/c/d"]
        assert world.discover("cse-in/ae", "Cae", smf=[SENSORS], lim=1) == ["cse-in/ae/a"]
        assert world.discover("cse-in", "Cae", smf=[SENSORS], lvl=1) == []
        assert world.discover("cse-in/ae/b", "Cae", smf=[SENSORS]) == []

    def test_several_queries_are_alternatives(self, world: World) -> None:
        actuators = "ASK { ?x a <http://onto.example/#Actuator> }"
        assert len(world.discover("cse-in/ae", "Cae", smf=[SENSORS, actuators])) == 3

    def test_references_are_given_for_rcn_6(self, world: World) -> None:
        answer = world.retrieve("cse-in/ae", "Cae", result_content=6, filter={"fu": 1, "smf": [SENSORS]})
        assert [entry["nm"] for entry in answer.content["m2m:rrl"]["rrf"]] == ["a", "c"]

    def test_a_query_that_is_no_sparql_is_4143(self, world: World) -> None:
        answer = world.retrieve("cse-in/ae", "Cae", filter={"fu": 1, "smf": ["FIND sensors"]})
        assert answer.status is Status.INVALID_SPARQL_QUERY

    def test_or_with_other_conditions_is_5001(self, world: World) -> None:
        criteria = {"fu": 1, "fo": 2, "smf": [SENSORS], "ty": [3]}
        assert world.retrieve("cse-in/ae", "Cae", filter=criteria).status is Status.NOT_IMPLEMENTED

    def test_a_conditional_request_is_5001(self, world: World) -> None:
        criteria = {"fu": 2, "smf": [SENSORS]}
        assert world.retrieve("cse-in/ae/a", "Cae", filter=criteria).status is Status.NOT_IMPLEMENTED
        assert world.delete("cse-in/ae/a", "Cae", filter=criteria).status is Status.NOT_IMPLEMENTED
        assert world.retrieve("cse-in/ae/a", "Cae").status is Status.OK

    @pytest.mark.behaviour("PR-18.07")
    def test_related_descriptors_are_read_together(self, world: World) -> None:
        both = "SELECT ?x WHERE { ?x a <http://onto.example/#Sensor> . ?y a <http://onto.example/#Actuator> }"
        assert world.discover("cse-in/ae", "Cae", smf=[both]) == []
        world.update("cse-in/ae/a/d", {"m2m:smd": {"rels": ["cse-in/ae/b/d"]}}, "Cae")
        assert world.discover("cse-in/ae", "Cae", smf=[both]) == ["cse-in/ae/a"]


class TestQuery:
    @pytest.mark.behaviour("EB-18.10", "PR-18.05")
    def test_it_answers_over_all_descriptors_below_the_target(self, world: World) -> None:
        answer = query(world, "cse-in/ae")
        assert answer.status is Status.OK
        assert "things.example/a" in answer.content["m2m:qres"]
        assert "things.example/c" in answer.content["m2m:qres"]
        assert "things.example/b" not in answer.content["m2m:qres"]

    @pytest.mark.behaviour("PR-18.05")
    def test_it_answers_over_one_descriptor(self, world: World) -> None:
        result = query(world, "cse-in/ae/a/d").content["m2m:qres"]
        assert "things.example/a" in result
        assert "things.example/c" not in result

    def test_a_graph_is_given_as_rdf(self, world: World) -> None:
        text = "CONSTRUCT { ?x <http://x.example/is> ?k } WHERE { ?x a ?k }"
        assert "rdf:RDF" in query(world, "cse-in/ae", text).content["m2m:qres"]

    def test_wrong_sparql_is_4143(self, world: World) -> None:
        assert query(world, "cse-in/ae", "nonsense").status is Status.INVALID_SPARQL_QUERY

    @pytest.mark.behaviour("PR-18.10")
    @pytest.mark.parametrize(
        "text",
        [
            "SELECT * FROM <http://127.0.0.1:1/x> WHERE { ?a ?b ?c }",
            "SELECT * WHERE { SERVICE <http://127.0.0.1:1/x> { ?a ?b ?c } }",
            "SELECT * WHERE { ?a ?b ?c FILTER EXISTS { SERVICE <http://127.0.0.1:1/x> { ?a ?b ?c } } }",
        ],
    )
    def test_what_would_ask_others_is_5001(self, world: World, text: str) -> None:
        assert query(world, "cse-in/ae", text).status is Status.NOT_IMPLEMENTED

    def test_an_update_is_no_query(self, world: World) -> None:
        assert query(world, "cse-in/ae", "INSERT DATA { <a:a> <a:b> 1 }").status is Status.INVALID_SPARQL_QUERY

    def test_it_takes_one_query_and_no_other_condition(self, world: World) -> None:
        many = world.retrieve("cse-in/ae", "Cae", semantic_query=True, result_content=10, filter={"smf": [SENSORS] * 2})
        assert many.status is Status.BAD_REQUEST
        assert query(world, "cse-in/ae", ty=[3]).status is Status.NOT_IMPLEMENTED

    def test_rcn_10_without_a_query_is_4000(self, world: World) -> None:
        answer = world.retrieve("cse-in/ae", "Cae", semantic_query=False, result_content=10, filter={"smf": [SENSORS]})
        assert answer.status is Status.BAD_REQUEST

    @pytest.mark.behaviour("PR-18.10")
    def test_what_covers_too_much_is_4137(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(semantics, "MOST_DESCRIPTORS", 2)
        assert query(world, "cse-in/ae").status is Status.DISCOVERY_LIMIT_EXCEEDED
        assert query(world, "cse-in/ae/a").status is Status.OK
        monkeypatch.setattr(semantics, "MOST_BYTES", 10)
        assert query(world, "cse-in/ae/a").status is Status.DISCOVERY_LIMIT_EXCEEDED


class TestAccess:
    """A descriptor says nothing to an originator that may not RETRIEVE it."""

    @pytest.fixture(autouse=True)
    def _stranger(self, world: World) -> None:
        world.ae("Cother", "other")
        policy = world.policy("everyone", ["Cae", "Cother"], 63)
        world.update("cse-in/ae", {"m2m:ae": {"acpi": [policy]}}, "Cae")
        for name in "ac":
            assert world.update(f"cse-in/ae/{name}", {"m2m:cnt": {"acpi": [policy]}}, "Cae").status is Status.UPDATED

    @pytest.mark.behaviour("PR-18.08")
    def test_a_query_leaves_out_descriptors_without_retrieve(self, world: World) -> None:
        assert "things.example" not in query(world, "cse-in/ae", originator="Cother").content["m2m:qres"]
        policy = world.policy("one", ["Cother"], 2)
        world.update("cse-in/ae/a/d", {"m2m:smd": {"acpi": [policy]}}, "Cae")
        result = query(world, "cse-in/ae", originator="Cother").content["m2m:qres"]
        assert "things.example/a" in result
        assert "things.example/c" not in result

    @pytest.mark.behaviour("PR-18.08")
    def test_a_discovery_does_not_tell_by_what_it_finds(self, world: World) -> None:
        assert world.discover("cse-in/ae", "Cother", smf=[SENSORS]) == []
        world.update("cse-in/ae/a/d", {"m2m:smd": {"acpi": [world.policy("one", ["Cother"], 2)]}}, "Cae")
        assert world.discover("cse-in/ae", "Cother", smf=[SENSORS]) == ["cse-in/ae/a"]

    def test_a_described_resource_needs_discovery(self, world: World) -> None:
        for name in "ac":
            policy = world.policy(f"read{name}", ["Cother"], 2)
            world.update(f"cse-in/ae/{name}/d", {"m2m:smd": {"acpi": [policy]}}, "Cae")
        world.update("cse-in/ae/c", {"m2m:cnt": {"acpi": [world.policy("nodisc", ["Cother"], 2)]}}, ADMIN)
        assert world.discover("cse-in/ae", "Cother", smf=[SENSORS]) == ["cse-in/ae/a"]

    @pytest.mark.behaviour("PR-18.08")
    def test_a_relation_leads_to_readable_descriptors_only(self, world: World) -> None:
        world.update("cse-in/ae/a/d", {"m2m:smd": {"rels": ["cse-in/ae/c/d"]}}, "Cae")
        world.update("cse-in/ae/a/d", {"m2m:smd": {"acpi": [world.policy("one", ["Cother"], 2)]}}, "Cae")
        assert "things.example/c" not in query(world, "cse-in/ae/a", originator="Cother").content["m2m:qres"]

    def test_a_group_reads_with_the_rights_of_the_originator(self, world: World) -> None:
        body = {"rn": "g", "mnm": 5, "mid": ["cse-in/ae/a", "cse-in/ae/c/d"]}
        assert world.create("cse-in", 9, {"m2m:grp": body}).status is Status.CREATED
        assert query(world, "cse-in/g/sfop", originator="Cother").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
        world.update("cse-in/g", {"m2m:grp": {"macp": [world.policy("fan", ["Cother"], 63)]}})
        assert "things.example" not in query(world, "cse-in/g/sfop", originator="Cother").content["m2m:qres"]
        assert "things.example/c" in query(world, "cse-in/g/sfop", originator=ADMIN).content["m2m:qres"]


class TestGroup:
    def test_a_query_covers_the_members_here_and_elsewhere(self, world: World) -> None:
        remote = {"m2m:smd": {"ty": 24, "dcrp": 5, "dsp": thing("far")}}
        world.create("cse-in", 16, {"m2m:csr": {"csi": "/id-far", "cb": "/id-far/cse", "rr": True, "srv": ["3"],
                                                "poa": ["http://127.0.0.1:1/"]}}, "/id-far")  # fmt: skip
        world.answers = lambda send: Response(Status.OK, send.request.request_id, remote)
        body = {"rn": "g", "mnm": 5, "mid": ["cse-in/ae/a", "/id-far/cse/d"]}
        assert world.create("cse-in", 9, {"m2m:grp": body}).status is Status.CREATED
        result = query(world, "cse-in/g/sfop", originator=ADMIN).content["m2m:qres"]
        assert "things.example/a" in result
        assert "things.example/far" in result
        assert "things.example/c" not in result

    def test_it_needs_a_query_and_members(self, world: World) -> None:
        world.create("cse-in", 9, {"m2m:grp": {"rn": "g", "mnm": 5, "mid": []}})
        assert world.retrieve("cse-in/g/sfop").status is Status.BAD_REQUEST
        assert query(world, "cse-in/g/sfop", originator=ADMIN).status is Status.NO_MEMBERS
        assert world.delete("cse-in/g/sfop").status is Status.OPERATION_NOT_ALLOWED


class TestUpdate:
    @pytest.mark.behaviour("PR-18.02")
    def test_a_sparql_update_changes_the_descriptor(self, world: World) -> None:
        soe = "INSERT { ?x <http://onto.example/#unit> 'K' } WHERE { ?x a <http://onto.example/#Sensor> }"
        answer = world.update("cse-in/ae/a/d", {"m2m:smd": {"soe": soe}}, "Cae")
        assert answer.status is Status.UPDATED, answer.content
        assert "soe" not in answer.content["m2m:smd"]
        shown = world.retrieve("cse-in/ae/a/d", "Cae").content["m2m:smd"]
        assert "soe" not in shown
        assert '"K"' in b64decode(shown["dsp"]).decode()
        assert world.discover("cse-in/ae", "Cae", smf=["ASK { ?x <http://onto.example/#unit> 'K' }"]) == ["cse-in/ae/a"]

    @pytest.mark.behaviour("PR-18.03")
    @pytest.mark.parametrize(
        ("soe", "expected"),
        [
            ("INSERT nonsense", Status.INVALID_SPARQL_QUERY),
            ("", Status.INVALID_SPARQL_QUERY),
            ("# nothing", Status.INVALID_SPARQL_QUERY),
            ("SELECT ?a WHERE { ?a ?b ?c }", Status.INVALID_SPARQL_QUERY),
            ("LOAD <file:///etc/hostname>", Status.NOT_IMPLEMENTED),
            ("CLEAR ALL", Status.NOT_IMPLEMENTED),
            ("INSERT DATA { GRAPH <a:g> { <a:a> <a:b> 1 } }", Status.SPARQL_UPDATE_ERROR),
        ],
    )
    def test_an_update_that_cannot_be_done_leaves_all_as_it_was(self, world: World, soe: str, expected: Status) -> None:
        before = world.retrieve("cse-in/ae/a/d", "Cae").content
        assert world.update("cse-in/ae/a/d", {"m2m:smd": {"soe": soe}}, "Cae").status is expected
        assert world.retrieve("cse-in/ae/a/d", "Cae").content == before

    def test_a_change_meanwhile_is_not_lost(self, world: World) -> None:
        evaluate, later = world.evaluate, [thing("a", "Actuator")]

        def with_another(work: Any) -> Response | None:
            if work.kind == "update" and later:
                world.update("cse-in/ae/a/d", {"m2m:smd": {"dsp": later.pop()}}, "Cae")
            return evaluate(work)

        world.evaluate = with_another
        soe = "INSERT DATA { <http://things.example/a> <http://onto.example/#unit> 'K' }"
        assert world.update("cse-in/ae/a/d", {"m2m:smd": {"soe": soe}}, "Cae").status is Status.UPDATED
        text = b64decode(world.retrieve("cse-in/ae/a/d", "Cae").content["m2m:smd"]["dsp"]).decode()
        assert "Actuator" in text
        assert '"K"' in text

    @pytest.mark.behaviour("PR-19.10")
    def test_an_ontology_is_updated_too(self, world: World) -> None:
        world.create("cse-in", 38, {"m2m:ontr": {"rn": "r"}})
        world.create("cse-in/r", 39, {"m2m:ont": {"rn": "o", "ontf": 5, "ontc": b64(ONTOLOGY)}})
        soe = "INSERT DATA { <http://onto.example/#Valve> a <http://www.w3.org/2002/07/owl#Class> }"
        assert world.update("cse-in/r/o", {"m2m:ont": {"soe": soe, "ontc": "YQ=="}}).status is Status.BAD_REQUEST
        assert world.update("cse-in/r/o", {"m2m:ont": {"soe": soe}}).status is Status.UPDATED
        shown = world.retrieve("cse-in/r/o").content["m2m:ont"]
        assert "soe" not in shown
        assert "Valve" in b64decode(shown["ontc"]).decode()


class TestValidation:
    @pytest.fixture(autouse=True)
    def _ontology(self, world: World) -> None:
        policy = world.policy("readers", ["Cae"], 2)
        world.create("cse-in", 38, {"m2m:ontr": {"rn": "r"}})
        body = {"rn": "o", "ontf": 5, "ontc": b64(ONTOLOGY), "acpi": [policy]}
        assert world.create("cse-in/r", 39, {"m2m:ont": body}).status is Status.CREATED

    @pytest.mark.behaviour("PR-18.01")
    def test_text_that_is_not_of_its_form_is_4000(self, world: World) -> None:
        assert describe(world, "cse-in/ae", b64("no turtle")).status is Status.BAD_REQUEST
        assert world.update("cse-in/ae/a/d", {"m2m:smd": {"dsp": b64("no")}}, "Cae").status is Status.BAD_REQUEST

    @pytest.mark.behaviour("PR-18.04")
    def test_what_the_ontology_declares_is_valid(self, world: World) -> None:
        text = thing("v", more="; o:unit 'K' ; <http://other.example/#p> 1 ")
        made = describe(world, "cse-in/ae", text, vlde=True, **{"or": "cse-in/r/o"})
        assert made.status is Status.CREATED, made.content
        assert made.content["m2m:smd"]["svd"] is True

    @pytest.mark.behaviour("PR-18.04")
    def test_what_it_does_not_declare_is_4120(self, world: World) -> None:
        reference = {"or": "cse-in/r/o"}
        answer = describe(world, "cse-in/ae", thing("v", "Actuator"), vlde=True, **reference)
        assert answer.status is Status.INVALID_SEMANTICS
        assert "Actuator" in answer.content["m2m:dbg"]
        assert describe(world, "cse-in/ae", thing("v", "Actuator"), **reference).status is Status.CREATED
        assert world.update("cse-in/ae/d", {"m2m:smd": {"vlde": True}}, "Cae").status is Status.INVALID_SEMANTICS

    @pytest.mark.behaviour("PR-18.04")
    @pytest.mark.parametrize("reference", ["cse-in/r/none", "cse-in/ae", "http://127.0.0.1:1/ontology"])
    def test_an_ontology_that_cannot_be_had_is_4118(self, world: World, reference: str) -> None:
        answer = describe(world, "cse-in/ae", thing("v"), vlde=True, **{"or": reference})
        assert answer.status is Status.ONTOLOGY_NOT_AVAILABLE

    @pytest.mark.behaviour("PR-18.04")
    def test_a_relation_that_cannot_be_had_is_4119(self, world: World) -> None:
        answer = describe(world, "cse-in/ae", thing("v"), vlde=True, rels=["cse-in/ae/x/d"], **{"or": "cse-in/r/o"})
        assert answer.status is Status.LINKED_SEMANTICS_NOT_AVAILABLE

    def test_without_an_ontology_nothing_claims_to_be_validated(self, world: World) -> None:
        made = describe(world, "cse-in/ae", thing("v"), vlde=True)
        assert made.content["m2m:smd"]["svd"] is False
        assert world.update("cse-in/ae/d", {"m2m:smd": {"vlde": False}}, "Cae").content["m2m:smd"]["svd"] is False
        assert "svd" not in world.update("cse-in/ae/d", {"m2m:smd": {"vlde": None}}, "Cae").content["m2m:smd"]

    @pytest.mark.behaviour("PR-18.09")
    def test_a_repository_validates_on_request(self, world: World) -> None:
        smd = {"dcrp": 5, "dsp": thing("v")}
        assert world.update("cse-in/r/smv", {"m2m:smd": smd}).status is Status.UPDATED
        wrong = {"dcrp": 5, "dsp": thing("v", "Actuator")}
        assert world.update("cse-in/r/smv", {"m2m:smd": wrong}).status is Status.INVALID_SEMANTICS
        assert world.update("cse-in/r/smv", {"m2m:smd": {"dcrp": 5}}).status is Status.BAD_REQUEST
        assert world.update("cse-in/r/smv", {"m2m:smd": smd}, "Cae").status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
        assert world.retrieve("cse-in/r/smv").status is Status.OPERATION_NOT_ALLOWED
        world.delete("cse-in/r/o")
        assert world.update("cse-in/r/smv", {"m2m:smd": smd}).status is Status.ONTOLOGY_NOT_AVAILABLE


class TestWithoutTheExtra:
    """What an operator who installed no RDF library gets (ADR 0013)."""

    @pytest.fixture(autouse=True)
    def _no_rdf(self, world: World) -> None:
        world.evaluate = lambda work: Response(Status.NOT_IMPLEMENTED, content={"m2m:dbg": "no rdflib"})

    def test_what_needs_sparql_is_5001(self, world: World) -> None:
        assert query(world, "cse-in/ae").status is Status.NOT_IMPLEMENTED
        discovery = world.retrieve("cse-in/ae", "Cae", filter={"fu": 1, "smf": [SENSORS]})
        assert discovery.status is Status.NOT_IMPLEMENTED
        update = world.update("cse-in/ae/a/d", {"m2m:smd": {"soe": "INSERT DATA { <a:a> <a:b> 1 }"}}, "Cae")
        assert update.status is Status.NOT_IMPLEMENTED

    def test_descriptors_are_kept_and_never_claimed_to_be_valid(self, world: World) -> None:
        world.create("cse-in", 38, {"m2m:ontr": {"rn": "r"}})
        body = {"rn": "o", "ontf": 5, "ontc": b64(ONTOLOGY), "acpi": [world.policy("readers", ["Cae"], 2)]}
        assert world.create("cse-in/r", 39, {"m2m:ont": body}).status is Status.CREATED
        made = describe(world, "cse-in/ae", thing("v"), vlde=True, **{"or": "cse-in/r/o"})
        assert made.status is Status.CREATED
        assert made.content["m2m:smd"]["svd"] is False


def test_a_request_without_semantics_evaluates_nothing(world: World) -> None:
    def never(work: Any) -> Response | None:
        raise AssertionError(work)

    world.evaluate = never
    assert world.discover("cse-in/ae", "Cae", ty=[3])
    assert world.retrieve("cse-in/ae/a/d", "Cae").status is Status.OK
    assert world.update("cse-in/ae/a/d", {"m2m:smd": {"lbl": ["x"]}}, "Cae").status is Status.UPDATED
