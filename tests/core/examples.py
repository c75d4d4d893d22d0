"""Examples for tests over the registry: a valid value for every attribute row, a parent and a body for every type."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cse.onem2m.status import Status
from cse.resources.registry import read_table
from tests.core.world import ADMIN, World

TABLES = read_table("attributes.json")
URL = "http://127.0.0.1:1/n"
#: a value of every simple data type
_SIMPLE: dict[str, Any] = {
    "ID": "Cexample",
    "IDCSR": "example",
    "AEID": "Cexample",
    "CSEID": "/id-example",
    "SPID": "//sp.example.org",
    "anyURI": "http://192.0.2.1/example",
    "timestamp": "20300101T000000",
    "absRelTimestamp": "20300101T000000",
    "dateTime": "20300101T000000",
    "date": "20300101",
    "time": "120000",
    "duration": "PT10S",
    "ncname": "lbl",
    "token": "label",
    "base64": "YQ==",
    "string": "text",
    "boolean": False,
    "integer": 1,
    "float": 1.5,
    "nonNegInteger": 1,
    "positiveInteger": 1,
    "unsignedInt": 1,
    "unsignedLong": 1,
    "any": "anything",
    "object": {},
    "geoJsonCoordinate": "[8.0, 49.0]",
    "m2m:roleID": "role@example.org",
    "m2m:tokenID": "token@example.org",
    "m2m:triggerRecipientID": 1,
    "m2m:scheduleEntry": "* * * * * * *",
    "schedule": "* * * * * * *",
    "m2m:serializations": ["application/json"],
    "m2m:poaList": [URL],
    "imsi": "262011234567890",
    "iccid": "89490200001234567890",
    "ipv4Address": "192.0.2.1",
    "ipv6Address": "2001:db8::1",
}
_BY_NAME: dict[str, Any] = {
    "acpi": ["cse-in/policy"],
    "cnf": "text/plain:0",
    "at": ["/id-other"],
    "aa": ["lbl"],
    "daci": ["cse-in/dac"],
    "csz": ["application/json"],
    "poa": [URL],
    "wcrds": {"enct": 1},
    "chty": [3],
}


def value_for(row: Mapping[str, Any]) -> Any:
    """A valid value of a table row."""
    if row["type"] == "m2m:geoCoordinates":
        return {"typ": 1, "crd": "[8.0, 49.0]"}
    if row.get("sname") in _BY_NAME:
        return _BY_NAME[row["sname"]]
    name = row["type"]
    if name == "constant":
        return row["value"]
    if name == "enum":
        return _enum(row["enum"])
    if name == "list":
        items = row.get("items")
        return [_enum(row["enum"]) if items == "enum" else _named(items) if items else "text"]
    return _named(name)


def _named(name: str) -> Any:
    if name in _SIMPLE:
        return _SIMPLE[name]
    if name.startswith("list of "):
        return [_named(name.removeprefix("list of "))]
    if name.startswith("enum "):
        return _enum(name.removeprefix("enum "))
    members = TABLES["complexTypes"].get(name, {}).get("members")
    if not members:
        return {} if name.startswith("object") else "text"
    return {member["sname"]: value_for(member) for member in members if member["card"].startswith("1")}


def _enum(name: str) -> int:
    declared = TABLES["enums"].get(name, {})
    if "bitmask" in declared:
        return 1
    return int(next(iter(declared.get("values", {"1": ""}))).partition("..")[0])


@dataclass(frozen=True)
class Example:
    """How one type is created.

    Attributes:
        body: attributes beyond the generated values of the mandatory ones, given a running number.
        originator: who creates it, given the same number.
        parent: where; "" for the first parent of the prepared tree.
        values: for single attributes, what to send in place of the generated value (with companions).
        refused: attributes this CSE refuses, and the status.
        update_values: like ``values`` for UPDATE.
        update_refused: like ``refused`` for UPDATE.
        fleeting: attributes that an UPDATE may carry and that no answer shows.
        kept: attributes that null gives their default again.
        single: there is one at a time.
    """

    body: Callable[[int], dict[str, Any]] = lambda number: {}
    originator: Callable[[int], str] = lambda number: ADMIN
    parent: str = ""
    values: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    refused: Mapping[str, Status] = field(default_factory=dict)
    update_values: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    update_refused: Mapping[str, Status] = field(default_factory=dict)
    fleeting: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    single: bool = False


_EVALUATED = {"optr": 3, "sbjt": "cni", "thld": 2}
_ACTION: dict[str, Any] = {
    "evc": _EVALUATED,
    "evm": 1,
    "orc": "cse-in/container",
    "apv": {"op": 3, "fr": ADMIN, "to": "cse-in/container", "rqi": "1", "rvi": "4", "pc": {"m2m:cnt": {}}},
}

#: paths of the prepared tree by type number, and how it is made
_TREE: tuple[tuple[str, int, str, dict[str, Any]], ...] = (
    ("cse-in", 3, "m2m:cnt", {"rn": "container"}),
    ("cse-in", 14, "m2m:nod", {"rn": "node", "ni": "n"}),
    ("cse-in", 29, "m2m:ts", {"rn": "series"}),
    ("cse-in", 9, "m2m:grp", {"rn": "group", "mnm": 5, "mid": []}),
    ("cse-in", 11, "m2m:mssp", {"rn": "profile"}),
    ("cse-in", 22, "m2m:stcg", {"rn": "stats"}),
    ("cse-in", 38, "m2m:ontr", {"rn": "ontologies"}),
    ("cse-in", 34, "m2m:dac", {"rn": "dac", "dae": False, "dap": [URL]}),
    ("cse-in/ae", 23, "m2m:sub", {"rn": "subscription", "nu": [URL]}),
    ("cse-in", 26, "m2m:ntp", {"rn": "targetpolicy", "acn": 1, "plbl": "tree"}),
    ("cse-in", 63, "m2m:prmr", {"rn": "process"}),
    ("cse-in/container", 65, "m2m:actr", {"rn": "action", **_ACTION}),
)


def prepare_tree(world: World) -> dict[int, str]:
    """Create one parent of every type that can be one; gives their paths by type number."""
    world.ae(scp=["text"])
    world.policy("policy", [ADMIN], 63)
    paths = {5: "cse-in", 2: "cse-in/ae"}
    for parent, number, root, attributes in _TREE:
        if number in world.cse.registry.types and "rn" in attributes:
            created = world.create(parent, number, {root: attributes})
            if created.status is Status.CREATED:
                paths[number] = f"{parent}/{attributes['rn']}"
    return paths


#: parents of announced resources: another CSE, and what it announced
_ANNOUNCED_TREE: tuple[tuple[str, int, str, str], ...] = (
    ("cse-in", 10005, "m2m:cbA", "base"),
    ("cse-in/base", 10003, "m2m:cntA", "container"),
    ("cse-in/base", 10029, "m2m:tsA", "series"),
)


def prepare_announced(world: World, number: int) -> str:
    """Announce a CSE and what can be a parent, as its own CSE does; gives the parent for a type."""
    for parent, kind, root, name in _ANNOUNCED_TREE:
        base = {"srv": ["3"]} if kind == 10005 else {}
        made = world.create(parent, kind, {root: {"rn": name, "lnk": f"/id-other/{name}", **base}})
        assert made.status is Status.CREATED, made.content
    return {10005: "cse-in", 10004: "cse-in/base/container", 10030: "cse-in/base/series"}.get(number, "cse-in/base")


def numbers() -> Iterator[int]:
    """Running numbers for names and identifiers."""
    return itertools.count(1)


_CSE = Example(body=lambda number: {"csi": f"/id-x{number}"}, originator=lambda number: f"/id-x{number}")
_NOT_YET = Status.NOT_IMPLEMENTED
_CONTROL = {"acr": [{"acor": [ADMIN], "acop": 63}]}
_BATCH = {"bn": {"bn": {"num": 5, "dur": "PT1M"}}, "rl": {"rl": {"mnn": 5, "tww": "PT1S"}}}

#: what the generated values do not cover, by long name
EXAMPLES: dict[str, Example] = {
    "AE": Example(body=lambda number: {"api": "Nexample", "srv": ["3"]}, originator=lambda number: f"Cex{number}"),
    "accessControlPolicy": Example(body=lambda number: {"pvs": _CONTROL}, update_values={"pvs": {"pvs": _CONTROL}}),
    "action": Example(
        parent="cse-in/container",
        body=lambda number: dict(_ACTION),
        values={"ecp": {"ecp": 1, "evm": 3}, "sri": {"sri": "cse-in/container"}},
        refused={"ipu": _NOT_YET},
        update_values={**{name: {name: value} for name, value in _ACTION.items()}, "sri": {"sri": "cse-in/container"}},
        update_refused={"ipu": _NOT_YET, "ecp": Status.BAD_REQUEST, "dep": Status.BAD_REQUEST},
    ),
    "container": Example(parent="cse-in/ae"),
    "crossResourceSubscription": Example(
        parent="cse-in/ae",
        body=lambda number: {
            "nu": [URL],
            "rrat": ["cse-in/container"],
            "encs": {"enc": [{"net": [3]}]},
            "twt": 1,
            "tws": "PT10S",
        },
        values={"srat": {"srat": ["cse-in/ae/subscription"]}},
    ),
    "dependency": Example(
        body=lambda number: {"evc": _EVALUATED, "rri": "cse-in/container"},
        update_values={"evc": {"evc": _EVALUATED}, "rri": {"rri": "cse-in/container"}},
    ),
    "dynamicAuthorizationConsultation": Example(body=lambda number: {"dap": [URL]}),
    "flexContainer": Example(
        parent="cse-in/ae",
        values={name: {name: 1000, "fcied": True} for name in ("mni", "mbs", "mia")},
        update_values={name: {name: 1000, "fcied": True} for name in ("mni", "mbs", "mia")},
    ),
    "group": Example(
        body=lambda number: {"mnm": 5, "mid": ["cse-in/container"]},
        values={"mt": {"mt": 3}, "macp": {"macp": ["cse-in/policy"]}},
        update_values={"mnm": {"mnm": 6}, "mid": {"mid": ["cse-in/node"]}, "macp": {"macp": ["cse-in/policy"]}},
    ),
    "locationPolicy": Example(
        body=lambda number: {"los": 2},
        values={"gta": {"gta": "[[[0.0,0.0],[1.0,0.0],[1.0,1.0],[0.0,0.0]]]"}},
        refused=dict.fromkeys(("lot", "lor", "aid", "rlkl", "luec"), Status.BAD_REQUEST),
        update_values={"gta": {"gta": "[[[0.0,0.0],[1.0,0.0],[1.0,1.0],[0.0,0.0]]]"}},
        update_refused=dict.fromkeys(("rlkl", "luec"), Status.BAD_REQUEST),
    ),
    "mgmtCmd": Example(
        body=lambda number: {"cmt": 2, "ext": "n"},
        values={"exra": {"exra": {"rbo": [{}]}}},
        update_values={"exra": {"exra": {"rbo": [{}]}}, "ext": {"ext": "other"}},
        fleeting=frozenset({"exe"}),
    ),
    "notificationTargetMgmtPolicyRef": Example(body=lambda number: {"ntu": [f"http://127.0.0.1:1/{number}"]}),
    "notificationTargetPolicy": Example(
        body=lambda number: {"plbl": f"label{number}"}, update_values={"plbl": {"plbl": "another"}}
    ),
    "ontology": Example(
        body=lambda number: {"ontf": 2, "ontc": "YQ=="},
        update_values={"ontf": {"ontf": 3}},
        update_refused={"soe": _NOT_YET},
    ),
    "pollingChannel": Example(single=True, originator=lambda number: "Cae", parent="cse-in/ae"),
    "policyDeletionRules": Example(single=True),
    # Without states there is nothing to enable or to begin with.
    "processManagement": Example(
        update_values={name: {name: [{"evc": _EVALUATED, "sri": "cse-in/container"}]} for name in ("atcos", "encos")},
        update_refused=dict.fromkeys(("prct", "inst"), Status.INVALID_PROCESS_CONFIGURATION),
    ),
    "remoteCSE": _CSE,
    # There is no other state to go to, and no action below it.
    "semanticDescriptor": Example(
        body=lambda number: {"dcrp": 7, "dsp": "e30="},
        values={"dcrp": {"dcrp": 5, "dsp": "IyE="}},
        update_values={
            "dcrp": {"dcrp": 5, "dsp": "IyE="},
            "dsp": {"dsp": "W10="},
            "soe": {"soe": "INSERT DATA { <a:a> <a:b> 1 }"},
        },
        fleeting=frozenset({"soe"}),
    ),
    "state": Example(
        refused={"sttrs": Status.INVALID_PROCESS_CONFIGURATION},
        update_refused=dict.fromkeys(("sttrs", "stac"), Status.INVALID_PROCESS_CONFIGURATION),
    ),
    "timeSyncBeacon": Example(
        body=lambda number: {"bcnc": 1, "bcnu": [URL]},
        refused=dict.fromkeys(("bcnr", "bcnt"), Status.BAD_REQUEST),
        update_values={"bcnu": {"bcnu": [URL]}},
        update_refused={"bcnt": Status.BAD_REQUEST},
        kept=frozenset({"bcni"}),
    ),
    "schedule": Example(parent="cse-in/node", body=lambda number: {"se": {"sce": ["* * * * * * *"]}}),
    "serviceSubscribedAppRule": Example(values={"aai": {"aai": ["Rx*"]}}, update_values={"aai": {"aai": ["Rx*"]}}),
    "serviceSubscribedNode": Example(
        values={"rlk": {"rlk": ["cse-in/rule"], "csi": "/id-example"}},
        update_refused={"rlk": Status.BAD_REQUEST},
    ),
    "subscription": Example(
        parent="cse-in/container",
        body=lambda number: {"nu": [URL]},
        values=_BATCH,
        refused={"ma": _NOT_YET},
        update_values=_BATCH,
        update_refused={"ma": _NOT_YET},
    ),
    "timeSeries": Example(parent="cse-in/ae", update_values={"peid": {"peid": 1}}),
    "timeSeriesInstance": Example(body=lambda number: {"dgt": f"20300101T{number:06d}"[:15]}),
}

NONE = Example()
#: every announced resource has an original
ANNOUNCED = Example(body=lambda number: {"lnk": f"/id-other/original{number}"})
