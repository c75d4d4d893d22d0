"""Attribute filters and selectors of MEC 009, as pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mec_adapter.platform.problems import BadRequest
from mec_adapter.platform.selectors import matching, only, parse_filter, without

DOCUMENT = {"name": "a,b", "size": 7, "on": True, "in": {"deep": [{"x": 1}, {"x": 2}]}, "quote": "it's"}


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("(eq,size,7)", True),
        ("(eq,size,7.0)", True),
        ("(eq,size,seven)", False),
        ("(neq,size,7)", False),
        ("(neq,size,8)", True),
        ("(eq,on,TRUE)", True),
        ("(eq,on,true)", True),
        ("(eq,on,1)", False),
        ("(in,size,1,7)", True),
        ("(nin,size,1,7)", False),
        ("(nin,size,1,2)", True),
        ("(gt,size,6)", True),
        ("(gt,size,7)", False),
        ("(gte,size,7)", True),
        ("(lt,size,7)", False),
        ("(lte,size,7)", True),
        ("(lt,name,b)", True),
        ("(gt,on,0)", False),
        ("(cont,name,z,a)", True),
        ("(cont,name,z)", False),
        ("(ncont,name,z)", True),
        ("(ncont,name,z,a)", False),
        ("(eq,name,'a,b')", True),
        ("(eq,quote,'it''s')", True),
        ("(eq,in/deep/x,2)", True),
        ("(eq,in/deep/x,3)", False),
        ("(neq,in/deep/x,2)", False),
        ("(eq,nothing,1)", False),
        ("(neq,nothing,1)", True),
        ("(eq,size,7);(eq,on,TRUE)", True),
        ("(eq,size,7);(eq,on,FALSE)", False),
    ],
)
@pytest.mark.behaviour("M11-8.09")
def test_filter(expression: str, holds: bool) -> None:
    assert matching([DOCUMENT], parse_filter(expression)) == ([DOCUMENT] if holds else [])


def test_no_filter_matches_everything() -> None:
    assert matching([DOCUMENT, {}], parse_filter(None)) == [DOCUMENT, {}]


@pytest.mark.parametrize(
    "expression",
    ["", "eq,a,b", "(eq,a)", "(equals,a,b)", "(eq,a,b", "(eq,a,b,c)", "(eq,,b)", "(eq,a,b);", "(eq,a//b,c)"],
)
@pytest.mark.behaviour("M11-8.09")
def test_wrong_filter(expression: str) -> None:
    with pytest.raises(BadRequest):
        parse_filter(expression)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_bad_request(text: str) -> None:
    try:
        conditions = parse_filter(text)
    except BadRequest:
        return
    assert conditions


@pytest.mark.behaviour("M11-8.08")
def test_only_and_without() -> None:
    assert only(DOCUMENT, ["size", "in/deep/x", "nothing"]) == {"size": 7, "in": {"deep": [{"x": 1}, {"x": 2}]}}
    assert only({"a": {"b": 1, "c": 2, "d": 3}}, ["a/b", "a/c"]) == {"a": {"b": 1, "c": 2}}
    assert without({"a": {"b": 1, "c": 2}, "d": [{"e": 1, "f": 2}], "g": 1}, ["a/b", "d/e", "g", "h"]) == {
        "a": {"c": 2},
        "d": [{"f": 2}],
    }
