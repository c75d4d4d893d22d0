"""The resource types of a CSE: every module of this package that declares ``TYPES``, joined with the data tables.

Adding a type means adding one file: nothing here or in the core names a type.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from typing import Any

import cse.resources
from cse.resources.announced_types import BuildTable, announced_parents, announced_variant
from cse.resources.datatypes import DataTypes, content_info
from cse.resources.declare import Attribute, AttributeTable, Declaration, Presence, ResourceType, Specialisation


class Registry:
    """All resource types by number.

    Args:
        types: what ``build`` joined.
        known_numbers: every type number the standard defines, supported or not.
        known_attributes: short names of every attribute of every table, for filters.
    """

    def __init__(
        self, types: Mapping[int, ResourceType], known_numbers: frozenset[int], known_attributes: frozenset[str]
    ) -> None:
        self.types = types
        self.known_numbers = known_numbers
        self.known_attributes = known_attributes
        #: the type that keeps non-blocking requests, None when there is none
        self.acceptor = next((known for known in types.values() if known.hooks.accept is not None), None)
        #: the type that asks for access that no policy grants, None when there is none
        self.consultant = next((known for known in types.values() if known.hooks.consult is not None), None)
        self.role_attesters = tuple(
            kind.hooks.attests_role for kind in types.values() if kind.hooks.attests_role is not None
        )
        #: answers semantic filters, None when nobody can
        self.semantics = next((one.hooks.semantics for one in types.values() if one.hooks.semantics is not None), None)
        #: types that watch the changes of other resources, by number: while there is none of them, none is called
        self.change_observers = tuple(
            (number, kind.hooks.resource_changed)
            for number, kind in types.items()
            if kind.hooks.resource_changed is not None
        )
        self.request_observers = tuple(
            kind.hooks.request_seen for kind in types.values() if kind.hooks.request_seen is not None
        )
        self.holding_requests = tuple(number for number, kind in types.items() if kind.hooks.holds_requests)
        self.by_root = {root: resource_type for resource_type in types.values() for root in resource_type.tables}

    def __getitem__(self, number: int) -> ResourceType:
        return self.types[number]

    def get(self, number: int) -> ResourceType | None:
        """The type with this number, None when it is not supported."""
        return self.types.get(number)

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(self.types.values())


@lru_cache(maxsize=1)
def load_registry() -> Registry:
    """Join declarations and tables; done once, the result never changes."""
    declarations: list[Declaration] = []
    for module_info in sorted(pkgutil.iter_modules(cse.resources.__path__), key=lambda module: module.name):
        module = importlib.import_module(f"cse.resources.{module_info.name}")
        declarations.extend(getattr(module, "TYPES", ()))
    tables = read_table("attributes.json")
    return _build(declarations, tables)


def read_table(name: str) -> dict[str, Any]:
    """A JSON table of ``cse/resources/data``."""
    table: dict[str, Any] = json.loads(resources.files("cse.resources").joinpath("data", name).read_text("utf-8"))
    return table


def _build(declarations: list[Declaration], tables: dict[str, Any]) -> Registry:
    rows = {row["long"]: row for row in tables["resourceTypes"]}
    data_types = DataTypes(tables["enums"], tables["complexTypes"])
    children: dict[int, set[int]] = {}
    for row in rows.values():
        listed = set(row["children"]) | set(row.get("childrenTS0004R3") or ()) | set(row.get("childrenTS0001R3") or ())
        children.setdefault(row["ty"], set()).update(listed)
        for parent in row["parents"]:
            children.setdefault(parent, set()).add(row["ty"])
    types: dict[int, ResourceType] = {}
    by_number = {row["ty"]: row for row in rows.values()}
    supported = {rows[declaration.long_name]["ty"] for declaration in declarations}
    announced_numbers = {row.get("announcedTy") for row in rows.values() if row["ty"] in supported} & set(by_number)
    for number in announced_numbers:
        for parent in announced_parents(number, by_number[number], by_number[number - 10000]):
            children.setdefault(parent, set()).add(number)
    supported |= announced_numbers
    for declaration in declarations:
        row = rows[declaration.long_name]
        number = row["ty"]
        attribute_rows = row["attributes"]
        specialise = declaration.specialise
        roots = list(specialise(row, read_table)) if specialise else [Specialisation(row["root"], attribute_rows)]
        announced = announced_variant(declaration, row, roots, by_number, _table_builder(data_types))
        if announced is not None:
            types[announced.number] = _placed(announced, children, supported)
        compiled: dict[int, Attribute] = {}  # by id: only while the rows of this type are held
        types[number] = ResourceType(
            number=number,
            long_name=declaration.long_name,
            short_name=row["short"],
            # Instances live below the originals only: announced parents count and keep nothing.
            parents=frozenset(
                parent
                for parent, listed in children.items()
                if number in listed and not (declaration.is_instance and parent > 10000)
            ),
            tables={
                one.root: attribute_table(one.root, one.rows, data_types, one.definition, compiled) for one in roots
            },
            hooks=declaration.hooks,
            virtual={child.name: child for child in declaration.virtual},
            is_instance=declaration.is_instance,
            in_cse_only=declaration.in_cse_only,
            creatable=row["requestCreatable"],
            updatable=row["requestUpdatable"],
            deletable=row["requestDeletable"],
            inherits_access=row["inheritsParentACP"],
            has_state_tag=any(attribute["sname"] == "st" for attribute in attribute_rows),
            children=frozenset(children.get(number, set()) & supported),
            announced=announced.number if announced is not None else None,
            counterparts={} if announced is None else {own: root for root, own in announced.counterparts.items()},
        )
    numbers = frozenset(row["ty"] for row in rows.values()) | frozenset(
        int(key) for key in tables["enums"]["m2m:resourceType"]["values"] if key.isdigit()
    )
    names = frozenset(attribute["sname"] for row in rows.values() for attribute in row["attributes"]) | frozenset(
        name for built in types.values() for table in built.tables.values() for name in table.attributes
    )
    return Registry(types, numbers, names)


def _table_builder(data_types: DataTypes) -> BuildTable:
    return lambda root, rows, definition, compiled: attribute_table(root, rows, data_types, definition, compiled)


def _placed(announced: ResourceType, children: Mapping[int, set[int]], supported: set[int]) -> ResourceType:
    return replace(
        announced,
        parents=frozenset(parent for parent, listed in children.items() if announced.number in listed),
        children=frozenset(children.get(announced.number, set()) & supported),
    )


def attribute_table(
    root: str,
    rows: Sequence[dict[str, Any]],
    data_types: DataTypes,
    definition: str | int | None = None,
    compiled: dict[int, Attribute] | None = None,
) -> AttributeTable:
    """Compile the rows of a table.

    Args:
        root: root element they belong to.
        rows: attribute rows of a JSON table.
        data_types: where checks come from.
        definition: containerDefinition or mgmtDefinition of a specialisation.
        compiled: rows compiled before, by their ``id``; hundreds of specialisations share their common rows.
    """
    compiled = {} if compiled is None else compiled
    attributes: dict[str, Attribute] = {}
    for row in rows:
        attribute = compiled.get(id(row))
        if attribute is None:
            attribute = compiled[id(row)] = _attribute(row, data_types)
        attributes[attribute.name] = attribute
    required = tuple(name for name, row in attributes.items() if row.create is Presence.MANDATORY)
    return AttributeTable(root, attributes, required, definition)


def _attribute(row: Mapping[str, Any], data_types: DataTypes) -> Attribute:
    name = row["sname"]
    check = content_info if name == "cnf" else data_types.check_for(row)
    return Attribute(
        name=name,
        long_name=row["lname"],
        check=check,
        create=Presence(row["create"]),
        update=Presence(row["update"]),
        removable=row["card"].startswith("0") or (row["card"] == "1" and row["create"] == "O"),
        assigned=row["card"] == "1N",
        is_list=row["type"] == "list",
        announce=row["announce"],
        type_name=row.get("items") or row["type"],
    )
