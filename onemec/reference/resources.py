"""Resource types and capabilities as pages, from the registry and the tables of what is left out."""

from __future__ import annotations

from typing import Any

from onemec.reference.markdown import code, page, table
from onemec.types_command import describe_capabilities

_ANNOUNCED = 10000
#: attributes that so many types have are explained once; roots beyond so many are counted
_SHARED = 15
_MANY = 6


def types_page(registry: Any) -> str:
    """``types.md``: every resource type, where it stands, what may be done with it, its attributes.

    Args:
        registry: of the resource types.
    """
    kinds = describe_capabilities(registry)["resourceTypes"]
    own = [kind for kind in kinds if kind["ty"] < _ANNOUNCED]
    common = _common(own)
    about = (
        "Names in requests are the short ones. *create* and *update* say whether an attribute may be there: M must, "
        "O may, NP must not. *announce* says whether it goes into announced copies: MA always, OA when `aa` names it, "
        "NA never. "
        "`onemec types container` prints the same."
    )
    index = table(("ty", "type", "root", "parents"), map(_line, own))
    shared = "## Attributes of many types\n\n" + _attributes(list(common.values()))
    announced = [kind for kind in kinds if kind["ty"] >= _ANNOUNCED]
    copies = (
        "## Announced types\n\n"
        "Made by the CSE of the original, with its attributes that are MA, and those OA that `aa` names.\n\n"
        + table(("ty", "type", "root"), ((kind["ty"], kind["name"], _roots(kind)) for kind in announced))
    )
    return page("Resource types", about, [index, shared, *(_type(kind, common) for kind in own), copies])


def _common(kinds: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The attributes that many types have, each as most of them have it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for kind in kinds:
        for row in kind["attributes"]:
            found.setdefault(row["name"], []).append(row)
    many = {name: rows for name, rows in found.items() if len(rows) >= _SHARED}
    return {name: max(rows, key=rows.count) for name, rows in many.items()}


def _line(kind: dict[str, Any]) -> tuple[object, ...]:
    link = f"[{kind['name']}](#{kind['ty']}-{kind['name'].lower()})"
    return kind["ty"], link, _roots(kind), ", ".join(kind["parents"])


def _type(kind: dict[str, Any], common: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"## {kind['ty']} {kind['name']}",
        f"{_roots(kind)}: {', '.join(kind['operations'])}.",
    ]
    for title, key in (("Below it", "children"), ("Virtual children", "virtualChildren")):
        if kind[key]:
            lines.append(f"{title}: {', '.join(kind[key])}.")
    has = [row["name"] for row in kind["attributes"] if common.get(row["name"]) == row]
    if has:
        lines.append(f"Attributes as [above](#attributes-of-many-types): {', '.join(map(code, has))}.")
    rows = [row for row in kind["attributes"] if common.get(row["name"]) != row]
    if rows:
        lines.append(_attributes(rows))
    return "\n\n".join(lines)


def _attributes(rows: list[dict[str, Any]]) -> str:
    head = ("attribute", "long name", "type", "create", "update", "announce")
    keys = ("longName", "type", "create", "update", "announce")
    return table(head, ((code(row["name"]), *(row[key] for key in keys)) for row in rows))


def _roots(kind: dict[str, Any]) -> str:
    roots = kind["roots"]
    shown = ", ".join(map(code, roots[:_MANY]))
    return shown if len(roots) <= _MANY else f"{shown} and {len(roots) - _MANY} more (`onemec types {kind['ty']}`)"


def capabilities_page(registry: Any) -> str:
    """``capabilities.md``: what is done, what needs an extra, what is kept without effect, what is refused.

    Args:
        registry: of the resource types.
    """
    can = describe_capabilities(registry)
    own = [kind for kind in can["resourceTypes"] if kind["ty"] < _ANNOUNCED]
    roots = sum(len(kind["roots"]) for kind in own)
    refused = can["unsupported"]
    parts = [
        f"## Resource types\n\n{len(own)} types with {roots} forms (root elements), and "
        f"{len(can['resourceTypes']) - len(own)} announced: [types](types.md).",
        "## With an extra of the package\n\nElsewhere answered 5001.\n\n"
        + table(("extra", "brings"), ((code(f"onemec[{name}]"), what) for name, what in can["optional"].items())),
        "## Kept, without effect here\n\nChecked, stored and handed out; somebody else acts on it.\n\n"
        + table(("what", "who acts"), can["keptWithoutEffect"].items()),
        "## Refused\n\nIn the standard, not done here, and answered 5001 with words.\n\n"
        + table(("where", "what"), refused["features"].items())
        + "\n\nResource types: "
        + (", ".join(f"{kind['name']} ({kind['ty']})" for kind in refused["resourceTypes"]) or "none")
        + ".",
        "## MEC platform: left out\n\n" + _mec(can["mec"]["unsupported"]),
    ]
    about = (
        "`docs/capabilities.json` says the same to programs, with every attribute; [conformance](../conformance.md) "
        "lists the behaviours and the tests that prove them."
    )
    return page("What it can do, and what not", about, parts)


def _mec(rows: list[Any]) -> str:
    head = list(dict.fromkeys(key for row in rows for key in row))
    return table(head, ([row.get(key, "") for key in head] for row in rows))
