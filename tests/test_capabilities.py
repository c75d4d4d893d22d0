"""``onemec types`` and docs/capabilities.json: what they say is what the CSE does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cse.onem2m.status import Status
from cse.resources.registry import load_registry
from cse.storage import open_store
from onemec.cli import app
from onemec.types_command import UNSUPPORTED, describe_capabilities
from tests.core.world import World

CAPABILITIES = Path(__file__).parent.parent / "docs" / "capabilities.json"


@pytest.fixture
def world() -> Iterator[World]:
    store = open_store("memory")
    yield World(store, "http")
    asyncio.run(store.close())


def test_the_file_is_current() -> None:
    written = json.loads(CAPABILITIES.read_text("utf-8"))
    assert written == describe_capabilities(load_registry()), (
        "run: python -m onemec types --capabilities > docs/capabilities.json"
    )


#: a request that needs each feature
_SPARQL = ["SELECT ?x WHERE { ?x ?y ?z }"]
_REQUESTS: dict[str, dict[str, Any]] = {
    "filter smf with fo=2 or 3": {"filter": {"fu": 1, "fo": 2, "smf": _SPARQL, "ty": [3]}},
    "filter smf with fu=2": {"filter": {"fu": 2, "smf": _SPARQL}},
    "filter fu=4": {"filter": {"fu": 4}},
    "da": {"delivery_aggregation": True},
    "SPARQL FROM, SERVICE, LOAD": {
        "filter": {"fu": 1, "smf": ["SELECT * FROM <http://127.0.0.1:1/> WHERE { ?x ?y ?z }"]}
    },
}

_ACTION = {"orc": "cse-in", "evm": 1, "evc": {"optr": 1, "sbjt": "rn", "thld": "x"}, "apv": {"op": 2, "fr": "CAdmin"}}
_CREATIONS: dict[str, tuple[int, dict[str, Any]]] = {
    "AE trps": (2, {"m2m:ae": {"api": "Nx", "rr": True, "srv": ["3"], "trps": True}}),
    "locationPolicy los 1, 3": (10, {"m2m:lcp": {"los": 3}}),
    "mgmtObj mgd 1020, 1022, 1024 to 1027": (13, {"dcfg:x": {"mgd": 1022}}),
    "action ipu": (65, {"m2m:actr": {**_ACTION, "ipu": {"cstr": "x"}}}),
}


@pytest.mark.parametrize("feature", sorted(UNSUPPORTED))
def test_what_is_unsupported_is_answered_5001_in_words(world: World, feature: str) -> None:
    if feature == "filter aq":
        from cse.core.filtering import Filter
        from cse.onem2m.errors import NotImplemented as NotSupported

        with pytest.raises(NotSupported):  # no binding carries it
            Filter({"aq": "x"}, world.cse.registry, world.store)
        return
    if feature in _CREATIONS:
        number, content = _CREATIONS[feature]
        world.create("cse-in", 14, {"m2m:nod": {"rn": "node", "ni": "n"}})
        answer = world.create("cse-in/node" if number == 13 else "cse-in", number, content)
    else:
        answer = world.retrieve("cse-in", **_REQUESTS[feature])
    assert answer.status is Status.NOT_IMPLEMENTED, answer.content
    assert len(answer.content["m2m:dbg"]) > 20


def test_unsupported_types_are_answered_5001(world: World) -> None:
    for entry in describe_capabilities(load_registry())["unsupported"]["resourceTypes"]:
        answer = world.create("cse-in", entry["ty"], {"m2m:x": {}})
        assert answer.status is Status.NOT_IMPLEMENTED, (entry, answer.content)


def test_the_csebase_lists_the_same_types(world: World) -> None:
    listed = {kind["ty"] for kind in describe_capabilities(load_registry())["resourceTypes"]}
    assert set(world.retrieve("cse-in").content["m2m:cb"]["srt"]) == listed


def test_the_command_prints_one_type_with_its_attributes() -> None:
    result = CliRunner().invoke(app, ["types", "container"])
    assert result.exit_code == 0
    assert "m2m:cnt" in result.output
    assert "maxNrOfInstances" in result.output
    assert "la, ol" in result.output


def test_the_command_prints_json() -> None:
    result = CliRunner().invoke(app, ["types", "--json", "cnt", "23"])
    assert [kind["name"] for kind in json.loads(result.output)] == ["container", "subscription"]


def test_an_unknown_type_is_told() -> None:
    result = CliRunner().invoke(app, ["types", "nonsense"])
    assert result.exit_code != 0
    assert "nonsense" in result.output
