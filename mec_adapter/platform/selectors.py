"""Attribute-based filters and attribute selectors of MEC list queries; pure [MEC 009 6.18, 6.19]."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.problems import BadRequest

_OPERATORS = ("eq", "neq", "in", "nin", "gt", "gte", "lt", "lte", "cont", "ncont")
_MANY = ("in", "nin", "cont", "ncont")
_ONE = f"\\(({'|'.join(_OPERATORS)}),[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*,[A-Za-z0-9_.-]+\\)"
FILTER_PATTERN = f"^{_ONE}(;{_ONE})*$"
"""For descriptions: filters that every API takes (values without quotes)."""

_VALUE = re.compile(r"'((?:[^']|'')*)'|([^,()';]*)")


@dataclass(frozen=True, slots=True)
class Condition:
    """One `(op,attribute,value,...)` of a filter."""

    operator: str
    path: tuple[str, ...]
    values: tuple[str, ...]

    def holds(self, document: JsonObject) -> bool:
        """Whether the condition is true of a document; of an array, one element is enough."""
        found = list(_reach(document, self.path))
        if self.operator in ("neq", "nin", "ncont"):
            return all(not _compare(_POSITIVE[self.operator], value, self.values) for value in found)
        return any(_compare(self.operator, value, self.values) for value in found)


_POSITIVE = {"neq": "eq", "nin": "in", "ncont": "cont"}


def parse_filter(text: str | None) -> list[Condition]:
    """Return the conditions of a filter, which are ANDed; none for None.

    Args:
        text: `(op,attribute,value[,value])` joined by `;`; attribute paths use `/`, strings with commas or
            parentheses stand in single quotes.

    Raises:
        BadRequest: says where the expression is wrong.
    """
    if text is None:
        return []
    conditions = []
    for part in _split(text):
        pieces = _pieces(part)
        if len(pieces) < 3 or pieces[0] not in _OPERATORS:
            raise BadRequest(
                f"query parameter filter: {part[:80]!r} is no condition; write (op,attribute,value) with op one of "
                f"{', '.join(_OPERATORS)}"
            )
        if len(pieces) > 3 and pieces[0] not in _MANY:
            raise BadRequest(f"query parameter filter: {pieces[0]} takes one value; use in for several")
        path = tuple(pieces[1].split("/"))
        if not all(path):
            raise BadRequest(f"query parameter filter: {pieces[1][:80]!r} is no attribute path; write e.g. a or a/b")
        conditions.append(Condition(pieces[0], path, tuple(pieces[2:])))
    return conditions


def matching(documents: Iterable[JsonObject], conditions: Sequence[Condition]) -> list[JsonObject]:
    """Return the documents that all conditions hold for."""
    return [document for document in documents if all(condition.holds(document) for condition in conditions)]


def _split(text: str) -> list[str]:
    parts, start, quoted = [], 0, False
    for index, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif character == ";" and not quoted:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _pieces(part: str) -> list[str]:
    part = part.strip()
    if len(part) < 2 or part[0] != "(" or part[-1] != ")":
        return []
    inner, pieces, position = part[1:-1], [], 0
    while True:
        match = _VALUE.match(inner, position)
        if match is None:
            return []
        pieces.append(match[1].replace("''", "'") if match[1] is not None else match[2].strip())
        position = match.end()
        if position == len(inner):
            return pieces
        if inner[position] != ",":
            return []
        position += 1


def _reach(value: Any, path: Sequence[str]) -> Iterable[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _reach(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _reach(value[path[0]], path[1:])


def _compare(operator: str, value: Any, wanted: Sequence[str]) -> bool:
    if operator in ("eq", "in"):
        return any(_equal(value, text) for text in wanted)
    if operator == "cont":
        return isinstance(value, str) and any(text in value for text in wanted)
    left, right = _ordered(value, wanted[0])
    if left is None or right is None:
        return False
    return bool({"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[operator])


def _equal(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() == ("true" if value else "false")
    if isinstance(value, (int, float)):
        number = _number(text)
        return number is not None and number == value
    return bool(value == text)


def _ordered(value: Any, text: str) -> tuple[Any, Any]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None, None
    return (value, text) if isinstance(value, str) else (value, _number(text))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def only(document: JsonObject, paths: Sequence[str]) -> JsonObject:
    """Return the document reduced to some attributes, given as paths with `/`."""
    reduced: JsonObject = {}
    for path in paths:
        head, _, rest = path.partition("/")
        if head not in document:
            continue
        value = document[head]
        if rest and isinstance(value, dict):
            value = {**reduced.get(head, {}), **only(value, [rest])}
        elif rest and isinstance(value, list):
            value = [only(item, [rest]) if isinstance(item, dict) else item for item in value]
        reduced[head] = value
    return reduced


def without(document: JsonObject, paths: Sequence[str]) -> JsonObject:
    """Return the document without some attributes, given as paths with `/`."""
    reduced = dict(document)
    for path in paths:
        head, _, rest = path.partition("/")
        if head not in reduced:
            continue
        value = reduced[head]
        if not rest:
            del reduced[head]
        elif isinstance(value, dict):
            reduced[head] = without(value, [rest])
        elif isinstance(value, list):
            reduced[head] = [without(item, [rest]) if isinstance(item, dict) else item for item in value]
    return reduced
