"""Resource type numbers and the root elements of their representations (TS-0004 clauses 6.3.4.2.1, 6.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cse.onem2m.errors import BadRequest

ACP, AE, CONTAINER, CONTENT_INSTANCE, CSE_BASE, SUBSCRIPTION, FLEX_CONTAINER = 1, 2, 3, 4, 5, 23, 28

_SHORT_NAMES = {
    1: "acp", 2: "ae", 3: "cnt", 4: "cin", 5: "cb", 9: "grp", 10: "lcp", 14: "nod", 15: "pch", 16: "csr", 17: "req",
    18: "sch", 23: "sub", 24: "smd", 26: "ntp", 29: "ts", 30: "tsi", 31: "rol", 32: "tk", 34: "dac", 38: "ontr",
    39: "ont", 40: "smjp", 41: "smi", 42: "smr", 47: "tgr", 48: "crs", 50: "tram", 51: "trac", 60: "tsb", 62: "prp",
    63: "prmr", 64: "stte", 65: "actr", 66: "depr",
}  # fmt: skip
#: type numbers with one root element each; mgmtObj (13) and flexContainer (28) have many
ROOTS = {number: f"m2m:{name}" for number, name in _SHORT_NAMES.items()}
NUMBERS = {root: number for number, root in ROOTS.items()}


def content_of(type_or_root: int | str, attributes: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The type number and the primitive content of a CREATE.

    Args:
        type_or_root: a type number (3), or a root element (``m2m:cnt``, ``cod:binSh``). A root outside the namespace
            ``m2m`` is that of a flexContainer. For a type with many roots, give the number, and the attributes
            inside the root: ``28, {"cod:binSh": {...}}``.
        attributes: by short names.

    Raises:
        BadRequest: the root or the number says not enough.
    """
    if isinstance(type_or_root, str):
        number = NUMBERS.get(type_or_root)
        if number is None:
            if type_or_root.startswith("m2m:") or ":" not in type_or_root:
                raise BadRequest(f"{type_or_root!r} names no type: give its number, and the attributes inside the root")
            number = FLEX_CONTAINER
        return number, {type_or_root: dict(attributes)}
    if len(attributes) == 1:
        root, inner = next(iter(attributes.items()))
        if ":" in root and isinstance(inner, Mapping):
            return type_or_root, {root: dict(inner)}
    if type_or_root not in ROOTS:
        raise BadRequest(
            f"resource type {type_or_root} has no root of its own: give the attributes inside it, "
            'e.g. {"cod:binSh": {...}}'
        )
    return type_or_root, {ROOTS[type_or_root]: dict(attributes)}
