"""Checks of a request's content against the attribute table of a type (TS-0004 clause 7.4, 7.3.3.4, 7.3.3.5)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import BadRequest
from cse.onem2m.serialisation import dump_json
from cse.resources.declare import AttributeTable, Presence

_SHOWN = 60


def root_and_attributes(content: Any, what: str) -> tuple[str, dict[str, Any]]:
    """The root element and the attributes of a request's content.

    Raises:
        BadRequest: no content, or not one root element that is an object.
    """
    if not isinstance(content, dict) or len(content) != 1:
        raise BadRequest(f'{what} needs a content of one root element: send e.g. {{"m2m:cnt": {{...}}}}')
    root, attributes = next(iter(content.items()))
    if not isinstance(attributes, dict):
        raise BadRequest(f"the root element {root!r} must be an object: send {{{root!r}: {{...}}}}")
    return root, attributes


def check_create(table: AttributeTable, attributes: dict[str, Any]) -> None:
    """Refuse attributes that a CREATE may not carry, lacks, or carries with a wrong value.

    ``cr`` may be null only: the CSE fills in the originator (TS-0001 clause 9.6.1.3).

    Raises:
        BadRequest: with the attribute's name and what to send.
    """
    rows = table.attributes
    for name, value in attributes.items():
        row = rows.get(name)
        if row is None:
            raise BadRequest(unknown_attribute(table, name))
        if row.create is Presence.NOT_PRESENT:
            raise BadRequest(f"attribute {name!r} ({row.long_name}) is assigned by the CSE: leave it out of the CREATE")
        if value is None:
            if name == "cr" or row.assigned:
                continue
            raise BadRequest(f"attribute {name!r} ({row.long_name}) is null: give a value or leave it out")
        if name == "cr":
            raise BadRequest("attribute 'cr' (creator) takes no value: send null and the CSE fills in the originator")
        expected = row.check(value)
        if expected is not None:
            raise BadRequest(wrong_value(name, row.long_name, expected, value))
    for name in table.required:
        if name not in attributes:
            raise BadRequest(f"attribute {name!r} ({rows[name].long_name}) is mandatory for {table.root}: add it")


def check_update(table: AttributeTable, changes: dict[str, Any]) -> None:
    """Refuse attributes that an UPDATE may not carry, or carries with a wrong value; null removes.

    Raises:
        BadRequest: with the attribute's name and what to send.
    """
    rows = table.attributes
    for name, value in changes.items():
        row = rows.get(name)
        if row is None:
            raise BadRequest(unknown_attribute(table, name))
        if row.update is Presence.NOT_PRESENT:
            raise BadRequest(f"attribute {name!r} ({row.long_name}) cannot be changed: leave it out of the UPDATE")
        if value is None:
            if row.removable or row.assigned:
                continue
            raise BadRequest(f"attribute {name!r} ({row.long_name}) is mandatory and cannot be removed: give a value")
        expected = row.check(value)
        if expected is not None:
            raise BadRequest(wrong_value(name, row.long_name, expected, value))


def unknown_attribute(table: AttributeTable, name: str) -> str:
    """The sentence for an attribute a type does not have."""
    near = [known for known in table.attributes if known.lower() == name.lower()]
    by_long_name = [row.name for row in table.attributes.values() if row.long_name == name]
    hint = near or by_long_name
    advice = f"did you mean {hint[0]!r}?" if hint else "use short names; 'onemec types' lists them"
    return f"{table.root} has no attribute {name!r}: {advice}"


def wrong_value(name: str, long_name: str, expected: str, value: Any) -> str:
    """The sentence for a value that does not fit its data type."""
    shown = dump_json(value).decode()
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "..."
    return f"attribute {name!r} ({long_name}) must be {expected}, not {shown}"
