"""``onemec types``: the resource types this CSE knows, as its registry has them, and what it does not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cse.resources.declare import ResourceType
    from cse.resources.registry import Registry

#: what is answered 5001 in words though the standard has it, by where it would stand in a request
UNSUPPORTED = {
    "filter smf with fo=2 or 3": "semantic discovery combined with other conditions by OR or XOR",
    "filter smf with fu=2": "semantic filters as conditions of a request",
    "AE trps": "tracking of registration points (AEContactList)",
    "filter aq": "advanced queries",
    "filter fu=4": "discovery-based operations",
    "da": "delivery aggregation",
    "locationPolicy los 1, 3": "positions from the network or shared by others",
    "mgmtObj mgd 1020, 1022, 1024 to 1027": "objects of TS-0022 for which there is no attribute table",
    "action ipu": "input of an action from elsewhere",
    "SPARQL FROM, SERVICE, LOAD": "queries and updates that reach beyond the descriptors of this CSE",
}
#: what is kept, checked and handed out, and changes nothing else here: somebody else acts on it
KEPT = {
    "statsCollect, statsConfig, eventConfig": "nothing is counted; an AE that collects reads what is wanted",
    "backgroundDataTransfer": "no network is asked; an AE at the IN-CSE sees to it",
    "cmdhPolicy and the other CMDH objects": "event categories 2, 3 and 4 are treated as they are by default",
    "multimediaSession": "the session itself is between the AEs",
    "mgmtObj, mgmtCmd": "the device is managed by an AE that subscribes, not by a protocol of this CSE",
    "semanticDescriptor dcrp 2, 3, 6": "OWL functional style, OWL/XML and Manchester syntax are not searched",
    "tkns, ltids, tqi, asi, aus, auri": "tokens and signatures in a request prove nothing to this CSE",
}
#: what is done where the operator installed an extra of the package, and answered 5001 elsewhere
OPTIONAL = {
    "semantic": "filter smf, rcn 10, sqi, sfop, smv, semanticDescriptor soe and vlde, ontology soe",
}


def types(
    names: Annotated[
        list[str] | None, typer.Argument(help="Types to show: number, long or short name, or root, e.g. cnt.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    capabilities: Annotated[
        bool, typer.Option("--capabilities", help="Print docs/capabilities.json: everything, and what is unsupported.")
    ] = False,
) -> None:
    """Print type, parents, children, virtual children and attributes of the resource types.

    Examples: onemec types; onemec types container --json
    """
    from cse.resources.registry import load_registry

    registry = load_registry()
    if capabilities:
        print(_as_json(describe_capabilities(registry)))
        return
    chosen = [kind for kind in sorted(registry, key=lambda kind: kind.number) if not names or _is_named(kind, names)]
    if not chosen:
        raise typer.BadParameter(f"no type is called {', '.join(names or ())}: 'onemec types' lists all")
    if json:
        print(_as_json([describe(registry, kind) for kind in chosen]))
        return
    for kind in chosen:
        _print(registry, kind, with_attributes=bool(names))
    if not names:
        print("\nAttributes: onemec types NAME, e.g. onemec types container")


def describe_capabilities(registry: Registry) -> dict[str, Any]:
    """Everything the CSE can do with resources, and what it refuses with 5001, as JSON has it."""
    from cse.resources.registry import read_table
    from mec_adapter.platform.unsupported import UNSUPPORTED as MEC_UNSUPPORTED

    rows = {row["ty"]: row["long"] for row in read_table("attributes.json")["resourceTypes"]}
    missing = sorted(number for number in rows if registry.get(number) is None)
    return {
        "resourceTypes": [describe(registry, kind) for kind in sorted(registry, key=lambda kind: kind.number)],
        "unsupported": {
            "resourceTypes": [{"ty": number, "name": rows[number]} for number in missing],
            "features": UNSUPPORTED,
        },
        "optional": OPTIONAL,
        "keptWithoutEffect": KEPT,
        "mec": {"unsupported": list(MEC_UNSUPPORTED)},
    }


def describe(registry: Registry, kind: ResourceType) -> dict[str, Any]:
    """A resource type as JSON has it; of specialisations only the attributes that all of them have are listed."""
    tables = list(kind.tables.values())
    shared = [row for row in tables[0].attributes.values() if all(row.name in table.attributes for table in tables)]
    shown: dict[str, Any] = {
        "ty": kind.number,
        "name": kind.long_name,
        "roots": sorted(kind.tables),
        "parents": [_name(registry, number) for number in sorted(kind.parents) if registry.get(number)],
        "children": [_name(registry, number) for number in sorted(kind.children)],
        "virtualChildren": sorted(kind.virtual),
        "operations": _operations(kind),
        "attributes": [
            {
                "name": row.name,
                "longName": row.long_name,
                "type": f"list of {row.type_name}" if row.is_list else row.type_name,
                "create": row.create.value,
                "update": row.update.value,
                "announce": row.announce,
            }
            for row in shared
        ],
    }
    if kind.announced is not None:
        shown["announced"] = _name(registry, kind.announced)
    return shown


def _operations(kind: ResourceType) -> list[str]:
    allowed = {"CREATE": kind.creatable, "RETRIEVE": True, "UPDATE": kind.updatable, "DELETE": kind.deletable}
    if kind.is_instance:
        allowed["UPDATE"] = False
    return [name for name, is_allowed in allowed.items() if is_allowed]


def _name(registry: Registry, number: int) -> str:
    return registry[number].long_name


def _is_named(kind: ResourceType, names: list[str]) -> bool:
    known = {str(kind.number), kind.long_name.lower(), kind.short_name.lower(), *(root.lower() for root in kind.tables)}
    return any(name.lower() in known for name in names)


def _as_json(value: Any) -> str:
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _print(registry: Registry, kind: ResourceType, *, with_attributes: bool) -> None:
    shown = describe(registry, kind)
    roots = shown["roots"] if len(shown["roots"]) < 4 else [*shown["roots"][:3], f"and {len(shown['roots']) - 3} more"]
    print(f"{kind.number:>5}  {kind.long_name} ({', '.join(roots)})")
    for title, key in (("parents", "parents"), ("children", "children"), ("virtual", "virtualChildren")):
        if shown[key]:
            print(f"       {title + ':':<10}{', '.join(shown[key])}")
    if with_attributes:
        print("       attribute  create update announce  type, long name")
        for row in shown["attributes"]:
            print(
                f"       {row['name']:<11}{row['create']:<7}{row['update']:<7}{row['announce']:<10}"
                f"{row['type']}, {row['longName']}"
            )
