"""Announced variants derived from the tables: one type for every declared type that can be announced.

What an announced resource may hold comes from its row in ``attributes.json`` where there is one, and from the announce
column of its original for the rest (specialisations of flexContainer and mgmtObj have no rows of their own).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cse.resources.announced import AnnouncedHooks
from cse.resources.declare import Attribute, AttributeTable, Declaration, ResourceType, Specialisation

#: builds a table: root, rows, definition, rows compiled before by id
BuildTable = Callable[[str, Sequence[dict[str, Any]], "str | int | None", dict[int, Attribute]], AttributeTable]

#: attributes every announced resource has, for types whose own row lists none
_UNIVERSAL = ("rn", "ty", "ri", "pi", "ct", "lt", "et", "lbl", "acpi", "daci", "ast", "loc", "lnk")
_CONTAINER = 10003
_BASE = 10005


def announced_variant(
    declaration: Declaration,
    row: Mapping[str, Any],
    roots: Sequence[Specialisation],
    rows: Mapping[int, Mapping[str, Any]],
    build: BuildTable,
) -> ResourceType | None:
    """The announced variant of a type, without its parents and children; None when the tables know none.

    Args:
        declaration: of the original.
        row: of the original.
        roots: root elements of the original with their rows.
        rows: all rows by type number.
        build: compiles a table.
    """
    own = rows.get(row.get("announcedTy") or 0)
    if own is None:
        return None
    common = own["attributes"] or [
        attribute for attribute in rows[_CONTAINER]["attributes"] if attribute["sname"] in _UNIVERSAL
    ]
    known = {attribute["sname"]: attribute["type"] for attribute in common}
    optional: dict[int, dict[str, Any]] = {}
    compiled: dict[int, Attribute] = {}
    tables: dict[str, AttributeTable] = {}
    counterparts: dict[str, str] = {}
    for one in roots:
        root = one.announced_root or (own["root"] if len(roots) == 1 or one.root == row["root"] else "")
        if not root:
            continue
        further = []
        for attribute in one.rows if declaration.specialise else ():
            # Later rows win: what a specialisation means by a common name, as ``loc`` of a deviceInfo, is its own.
            common_type = known.get(attribute["sname"])
            own_meaning = common_type is None or attribute["type"] not in (common_type, "constant")
            if attribute["announce"] != "NA" and own_meaning:
                further.append(optional.setdefault(id(attribute), _optional(attribute)))
        tables[root] = build(root, [*common, *further], one.definition, compiled)
        counterparts[root] = one.root
    return ResourceType(
        number=own["ty"],
        long_name=own["long"],
        short_name=own["short"],
        parents=frozenset(),
        tables=tables,
        hooks=AnnouncedHooks(),
        virtual={},
        is_instance=False,
        in_cse_only=False,
        creatable=True,
        updatable=True,
        deletable=True,
        inherits_access=own["inheritsParentACP"],
        has_state_tag=False,
        original=row["ty"],
        counterparts=counterparts,
    )


def announced_parents(number: int, row: Mapping[str, Any], original: Mapping[str, Any]) -> frozenset[int]:
    """Where an announced resource may be: as its row says, below its announced parent, or the announced CSEBase.

    Args:
        number: of the announced type.
        row: its row.
        original: the row of its original.
    """
    below = {parent + 10000 for parent in original["parents"] if parent < 10000}
    base = {_BASE} if number != _BASE and not original["inheritsParentACP"] else set()
    return frozenset({*row["parents"], *below, *base})


def _optional(attribute: Mapping[str, Any]) -> dict[str, Any]:
    card = attribute["card"]
    return {**attribute, "card": "01L" if card.endswith("L") else "01", "create": "O", "update": "O"}
