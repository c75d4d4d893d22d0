"""Reads the rows of claimed behaviours, and finds the tests marked with them, without importing the tests."""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
TABLES = {
    "expected_behaviours.json": "oneM2M: behaviours that independent suites check",
    "procedures.json": "oneM2M: procedures of the hosting CSE",
    "mec.json": "ETSI MEC",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One claimed behaviour: what happens, where it is written, and why it is not done where it is not."""

    id: str
    behaviour: str
    clause: str
    unsupported: str = ""


def rows(table: str) -> list[Row]:
    """Return the rows of one table in its order; empty when there is no such file.

    Raises:
        TypeError: a row has a member that rows do not have, or lacks one.
    """
    path = HERE / table
    return [Row(**row) for row in json.loads(path.read_text())] if path.exists() else []


def marked_tests() -> dict[str, list[str]]:
    """Return, for each row id, the tests marked with it as `path::name` below tests/, in alphabetical order."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, ids in _marks(ast.parse(path.read_text())):
            for row_id in ids:
                found[row_id].append(f"{path.relative_to(TESTS)}::{name}")
    return dict(found)


def _marks(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, _ids(node.decorator_list)
        elif isinstance(node, ast.ClassDef):
            shared = _ids(node.decorator_list)
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name.startswith("test"):
                    yield f"{node.name}::{method.name}", shared + _ids(method.decorator_list)


def _ids(expressions: list[ast.expr]) -> list[str]:
    return [
        constant.value
        for expression in expressions
        if isinstance(expression, ast.Call) and ast.unparse(expression.func) == "pytest.mark.behaviour"
        for constant in expression.args
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    ]


def page() -> str:
    """Return docs/conformance.md: every row with its clause and the number and place of its tests."""
    tests = marked_tests()
    lines = [
        "# Conformance: what is claimed, and the tests that prove it",
        "",
        "Made by `python -m tests.conformance > docs/conformance.md`; `tests/test_conformance.py` keeps it true.",
    ]
    for table, title in TABLES.items():
        found = rows(table)
        done = sum(not row.unsupported for row in found)
        lines += ["", f"## {title}", "", f"{len(found)} behaviours, {done} done.", ""]
        lines += ["| Row | Behaviour | Clause | Proved by |", "|---|---|---|---|"]
        for row in found:
            proof = f"not done: {row.unsupported}" if row.unsupported else _places(tests.get(row.id, []))
            lines.append(
                "| "
                + " | ".join(cell.replace("|", "\\|") for cell in (row.id, row.behaviour, row.clause, proof))
                + " |"
            )
    return "\n".join(lines) + "\n"


def _places(names: list[str]) -> str:
    first = f"`{names[0]}`" if names else "nothing"
    return first if len(names) < 2 else f"{first} and {len(names) - 1} more"
