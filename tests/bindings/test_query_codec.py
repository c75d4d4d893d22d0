"""Request parameters and filter criteria as name=value pairs, both ways."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.bindings.query_codec import apply_query, query_pairs, split_query
from cse.onem2m.errors import BadRequest, CseError
from cse.onem2m.primitives import Operation, Request


def decoded(query: str, *, lenient: bool = False) -> Request:
    request = Request(Operation.RETRIEVE, "cse-in")
    apply_query(split_query(query), request, lenient=lenient)
    return request


#: query -> filter
FILTERS: list[tuple[str, dict[str, Any]]] = [
    ("fu=1&ty=3", {"fu": 1, "ty": [3]}),
    ("ty=3+4", {"ty": [3, 4]}),
    ("ty=3%204", {"ty": [3, 4]}),
    ("ty=3%2B4", {"ty": [3, 4]}),
    ("ty=3&ty=4", {"ty": [3, 4]}),
    ("lbl=a+b&lbl=c", {"lbl": ["a", "b", "c"]}),
    ("lbl=key%3Avalue", {"lbl": ["key:value"]}),
    ("lbl=two%20words", {"lbl": ["two words"]}),
    ("lbl=K%C3%BCche", {"lbl": ["Küche"]}),
    ("clbl=a&palb=b&chty=4&pty=5", {"clbl": ["a"], "palb": ["b"], "chty": [4], "pty": [5]}),
    ("crb=20250101T000000&cra=20240101T000000,5", {"crb": "20250101T000000", "cra": "20240101T000000,5"}),
    ("stb=0&sts=5&sza=1&szb=-1", {"stb": 0, "sts": 5, "sza": 1, "szb": -1}),
    ("cty=application/json+text/plain", {"cty": ["application/json", "text/plain"]}),
    ("cty=application/vnd.onem2m-res+json", {"cty": ["application/vnd.onem2m-res+json"]}),
    ("cty=image%2Fsvg%2Bxml+text%2Fplain", {"cty": ["image/svg+xml", "text/plain"]}),
    ("lbq=place+EQ+hall", {"lbq": "place EQ hall"}),
    ("arp=cnt/la&lvl=2&ofst=3&lim=0&fo=2", {"arp": "cnt/la", "lvl": 2, "ofst": 3, "lim": 0, "fo": 2}),
    ("gmty=1&gsf=1&geom=%5B1.0,2.0%5D", {"gmty": 1, "gsf": 1, "geom": "[1.0,2.0]"}),
    ("cfs=1&cfq=$.a%3D1", {"cfs": 1, "cfq": "$.a=1"}),
    ("apn=meter&apn=lamp", {"atr": [{"nm": "apn", "val": "meter"}, {"nm": "apn", "val": "lamp"}]}),
    ("apn=my+app", {"atr": [{"nm": "apn", "val": "my app"}]}),
    ("apn=1%2B1%3D2", {"atr": [{"nm": "apn", "val": "1+1=2"}]}),
    ("apn", {"atr": [{"nm": "apn", "val": ""}]}),
    ("c.con=1&p.api=N.x", {"catr": [{"nm": "con", "val": "1"}], "patr": [{"nm": "api", "val": "N.x"}]}),
    ("&&fu=1&", {"fu": 1}),
]


@pytest.mark.parametrize(("query", "criteria"), FILTERS, ids=[query for query, _ in FILTERS])
def test_filter_criteria(query: str, criteria: dict[str, Any]) -> None:
    assert decoded(query).filter == criteria


PARAMETERS: list[tuple[str, str, Any]] = [
    ("rt=2", "response_type", 2),
    ("rp=20300101T000000", "result_persistence", "20300101T000000"),
    ("rp=5000", "result_persistence", 5000),
    ("rcn=0", "result_content", 0),
    ("da=true", "delivery_aggregation", True),
    ("drt=2", "desired_identifier", 2),
    ("rids=a@x+b@y", "role_ids", ["a@x", "b@y"]),
    ("tids=t1&tids=t2", "token_ids", ["t1", "t2"]),
    ("ltids=1", "local_token_ids", ["1"]),
    ("tqi=false", "token_request", False),
    ("asi=true", "authorization_signature_request", True),
    ("auri=true", "authorization_relationship", True),
    ("sqi=false", "semantic_query", False),
    ("atrl=lbl+con", "attribute_list", ["lbl", "con"]),
]


@pytest.mark.parametrize(("query", "field", "value"), PARAMETERS, ids=[row[0] for row in PARAMETERS])
def test_request_parameters(query: str, field: str, value: Any) -> None:
    request = decoded(query)
    assert getattr(request, field) == value
    assert request.filter is None


BAD = [
    ("rcn=one", "rcn"),
    ("rcn=", "rcn"),
    ("rcn=1.0", "rcn"),
    ("rcn=٣", "rcn"),
    ("rcn=1&rcn=1", "rcn"),
    ("lim=99999999999999999999", "lim"),
    ("ty=3++4", "ty"),
    ("ty=3,4", "ty"),
    ("fu", "fu"),
    ("fu=1&fu=2", "fu"),
    ("lbl=", "lbl"),
    ("lbl=a++b", "lbl"),
    ("crb=", "crb"),
    ("rp=", "rp"),
    ("sqi=yes", "sqi"),
    ("c.=1", "attribute"),
    ("=1", "attribute"),
    ("lbl=%zz", "%25"),
    ("lbl=%e9", "UTF-8"),
    ("lbl=%00", "control"),
    ("lb%0Al=x", "control"),
]


@pytest.mark.parametrize(("query", "hint"), BAD, ids=[query for query, _ in BAD])
@pytest.mark.parametrize("lenient", [False, True])
def test_bad_queries_name_what_is_wrong(query: str, hint: str, lenient: bool) -> None:
    with pytest.raises(BadRequest) as caught:
        decoded(query, lenient=lenient)
    assert hint in caught.value.debug


def test_lenient_booleans() -> None:
    assert decoded("sqi=1&da=True", lenient=True).semantic_query is True
    with pytest.raises(BadRequest):
        decoded("sqi=1")


def test_filter_set_before_is_kept() -> None:
    request = Request(Operation.RETRIEVE, "cse-in", filter={"fu": 1})
    apply_query([("ty", "3")], request, lenient=False)
    assert request.filter == {"fu": 1, "ty": [3]}


_text = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"], exclude_characters="+\x7f"), min_size=1)
_integer = st.integers(-(10**18) + 1, 10**18 - 1)
_media = st.sampled_from(["application/json", "application/vnd.onem2m-res+json", "text/plain", "image/svg+xml"])
_known = {pair.split("=")[0] for pair in "&".join(query for query, *_ in [*FILTERS, *PARAMETERS]).split("&")}
_attribute = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6).filter(lambda name: name not in _known)
_matches = st.lists(
    st.fixed_dictionaries(
        {
            "nm": _attribute,
            "val": st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f")),
        }
    ),
    min_size=1,
)
_filters = st.fixed_dictionaries(
    {},
    optional={
        "lbl": st.lists(_text, min_size=1),
        "ty": st.lists(_integer, min_size=1),
        "cty": st.lists(_media, min_size=1),
        "smf": st.lists(_text, min_size=1),
        "lbq": _text,
        "geom": _text,
        "crb": _text,
        "lim": _integer,
        "fu": _integer,
        "atr": _matches,
        "catr": _matches,
        "patr": _matches,
    },
)


@given(
    filter=_filters,
    result_content=st.none() | _integer,
    semantic_query=st.none() | st.booleans(),
    result_persistence=st.none() | _integer | st.just("20300101T000000"),
    attribute_list=st.none() | st.lists(_text, min_size=1),
)
def test_round_trip(filter: dict[str, Any], **fields: Any) -> None:
    request = Request(Operation.RETRIEVE, "cse-in", filter=filter or None, **fields)
    again = Request(Operation.RETRIEVE, "cse-in")
    apply_query(query_pairs(request), again, lenient=False)
    assert again == request


@given(st.text(st.characters(max_codepoint=127)), st.booleans())
def test_garbage_raises_nothing_but_cse_errors(query: str, lenient: bool) -> None:
    with contextlib.suppress(CseError):
        decoded(query, lenient=lenient)
