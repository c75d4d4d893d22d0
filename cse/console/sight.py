"""What a person may see of requests, changes and deliveries: never more than access control would let him RETRIEVE."""

from __future__ import annotations

from typing import Any

from cse.console.house import House, may_see
from cse.console.inspector import Inspected
from cse.console.people import Person, Role
from cse.onem2m.primitives import Operation, ResultContent
from cse.resources.declare import Privilege

#: virtual children whose content is that of instances, which have the rights of their parent
_OF_INSTANCES = frozenset({"la", "ol"})
_OF_TARGET = (None, int(ResultContent.NOTHING), int(ResultContent.ATTRIBUTES))


def sees(house: House, person: Person, record: Inspected) -> bool:
    """Whether a person may know of a request: an administrator, who sent it, and who may RETRIEVE what it is about."""
    if person.role is Role.ADMIN or record.originator == person.originator:
        return True
    return may_see(house, person, Privilege.RETRIEVE, str(record.primitive.get("to", "")))


def sees_contents(house: House, person: Person, record: Inspected) -> bool:
    """Whether a person who may know of a request may see what it and its answer hold.

    Others than administrators and its originator see contents that are the target's own attributes only: children,
    and members of groups, have rights of their own.
    """
    if person.role is Role.ADMIN or record.originator == person.originator:
        return True
    primitive = record.primitive
    to, operation = str(primitive.get("to", "")), primitive["op"]
    last = to.rpartition("/")[2]
    registry = house.hosting.registry
    virtual = last not in _OF_INSTANCES and any(last in one.virtual for one in registry.types.values())
    if virtual or primitive.get("fc"):
        return False
    if operation == Operation.CREATE:
        made = registry.types.get(primitive.get("ty", 0))
        return made is not None and made.is_instance and primitive.get("rcn") in _OF_TARGET
    if operation == Operation.UPDATE:
        return True
    return operation in (Operation.RETRIEVE, Operation.DELETE) and primitive.get("rcn") in _OF_TARGET


def shown(house: House, person: Person, record: Inspected) -> dict[str, Any]:
    """A request as a person may see it, who may know of it."""
    found = record.as_json()
    return found if sees_contents(house, person, record) else without_contents(found)


def without_contents(found: dict[str, Any]) -> dict[str, Any]:
    """A request as JSON, without what it and its answer hold."""
    bare = {name: {key: value for key, value in found[name].items() if key != "pc"} for name in ("request", "response")}
    return {**found, **bare, "whole": False}


__all__ = ["sees", "sees_contents", "shown", "without_contents"]
