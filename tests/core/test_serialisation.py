"""What JSON and CBOR bodies may hold: limits, duplicates, NUL; short bodies are looked at less, and refused alike."""

from __future__ import annotations

import cbor2
import orjson
import pytest

from cse.onem2m.errors import BadRequest
from cse.onem2m.serialisation import MAX_DEPTH, MAX_ITEMS, MAX_MEMBERS, load_cbor, load_json

REFUSED = [
    (b'{"a": {"b": 1, "b": 2}}', "'b' stands twice"),
    (b'{"a": 1, "a" : 2}', "'a' stands twice"),
    (b'{"a"\n:1,"a"\t:2}', "'a' stands twice"),
    (b'{"a":1,"b":":","a":2}', "'a' stands twice"),
    (b'[{"a":1,"a":1}]', "'a' stands twice"),
    (b'{"m2m:cin":{"con":1,"con":2}}', "'con' stands twice"),
    (b'{"m2m:cin" :{"con":1,"con" :2}}', "'con' stands twice"),
    (b'{"m2m:cin":1,"m2m:cin":1}', "'m2m:cin' stands twice"),
    (b'{"a":"x\\u0000y"}', "NUL character"),
    (b'{"x\\u0000y":1}', "NUL character"),
    (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
    (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested deeper"),
    (orjson.dumps({str(number): number for number in range(MAX_MEMBERS + 1)}), "members"),
    (orjson.dumps([0] * (MAX_ITEMS + 1)), "entries"),
    (b'{"a":1e999}', "not JSON"),
    (b'{"a":NaN}', "not JSON"),
]
TAKEN = [
    {"a": {"b": "1:2", "c": '"x":1', "d": "\\u0000"}},
    {"a:b": [{"a:b": 1}, {"a:b": 2}]},
    {"m2m:cin": {"con": '"con":1', "lbl": ["m2m:"]}},
    {str(number): number for number in range(MAX_MEMBERS)},
    [0] * MAX_ITEMS,
    {"deep": orjson.loads(b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1))},
    {"n": [0, -1, 1.5, 2**63, None, True, "{[{["]},
    [],
    {},
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_json_that_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        load_json(body)


@pytest.mark.parametrize("value", TAKEN, ids=lambda value: str(value)[:20])
def test_what_is_written_is_read(value: object) -> None:
    assert load_json(orjson.dumps(value)) == value
    assert load_json(orjson.dumps(value, option=orjson.OPT_INDENT_2)) == value
    assert load_cbor(cbor2.dumps(value)) == value
