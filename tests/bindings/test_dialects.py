"""The lenient profile: requests of older clients reach the core in the standard's form, each mend is counted."""

from __future__ import annotations

from typing import Any

import pytest

from cse.bindings.dialects import Dialects
from cse.onem2m.primitives import Operation, Request


def mended(request: Request) -> tuple[Request, dict[str, int]]:
    dialects = Dialects("cse-in")
    result = dialects.mend(request)
    return result, dict(dialects.uses)


@pytest.mark.parametrize(
    ("attributes", "expected", "use"),
    [
        ({"rr": "true", "srv": ["3"]}, {"rr": True, "srv": ["3"]}, "boolean as text"),
        ({"rr": "False", "srv": ["3"]}, {"rr": False, "srv": ["3"]}, "boolean as text"),
        ({"rr": True}, {"rr": True, "srv": ["2a"]}, "AE without srv"),
        ({"aei": "Cme", "srv": ["3"]}, {"srv": ["3"]}, "aei in a registration"),
    ],
)
def test_registrations(attributes: dict[str, Any], expected: dict[str, Any], use: str) -> None:
    request = Request(Operation.CREATE, "cse-in", "Cme", "1", 2, {"m2m:ae": attributes}, "2a")
    result, uses = mended(request)
    assert result.content == {"m2m:ae": expected}
    assert uses == {use: 1}
    assert request.content == {"m2m:ae": attributes}


def test_an_aei_that_is_not_the_originators_is_left_for_the_core_to_refuse() -> None:
    request = Request(Operation.CREATE, "cse-in", "Cme", "1", 2, {"m2m:ae": {"aei": "Cother", "srv": ["3"]}}, "3")
    assert mended(request) == (request, {})


@pytest.mark.parametrize(
    ("ty", "content", "expected"),
    [
        (3, {"m2m:cnt": {"mni": "10", "lbl": ["10"]}}, {"m2m:cnt": {"mni": 10, "lbl": ["10"]}}),
        (
            4,
            {"m2m:cin": {"con": "10", "cnf": "application/json"}},
            {"m2m:cin": {"con": "10", "cnf": "application/json:0"}},
        ),
        (23, {"m2m:sub": {"enc": {"net": ["3", 4]}, "nct": "1"}}, {"m2m:sub": {"enc": {"net": [3, 4]}, "nct": 1}}),
        (1, {"m2m:acp": {"pv": {"acr": [{"acop": "63"}]}}}, {"m2m:acp": {"pv": {"acr": [{"acop": 63}]}}}),
    ],
)
def test_values_as_text(ty: int, content: Any, expected: Any) -> None:
    result, uses = mended(Request(Operation.CREATE, "cse-in/ae", "Cme", "1", ty, content, "3"))
    assert result.content == expected
    assert sum(uses.values()) >= 1


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("cse-in/ae/", "cse-in/ae"),
        ("/cse-in/ae", "cse-in/ae"),
        ("/cse-in", "cse-in"),
        ("/id-in/cse-in/", "/id-in/cse-in"),
    ],
)
def test_addresses(to: str, expected: str) -> None:
    result, uses = mended(Request(Operation.RETRIEVE, to, "Cme", "1"))
    assert result.to == expected
    assert uses


@pytest.mark.parametrize(
    "request_",
    [
        Request(Operation.RETRIEVE, "cse-in/ae", "Cme", "1"),
        Request(Operation.CREATE, "cse-in/ae", "Cme", "1", 4, {"m2m:cin": {"con": "true", "cnf": "text/plain:0"}}, "3"),
        Request(Operation.UPDATE, "cse-in/ae", "Cme", "1", content={"m2m:ae": {"rr": True}}),
        Request(Operation.CREATE, "cse-in/ae", "Cme", "1", 3, [1]),
    ],
)
def test_requests_by_the_book_are_not_touched(request_: Request) -> None:
    result, uses = mended(request_)
    assert result is request_
    assert uses == {}
