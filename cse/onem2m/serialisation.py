"""JSON and CBOR bodies with the limits that keep a hostile body cheap (TS-0004 clause 8.3, 8.4; trust.md R5, R6)."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import orjson

from cse.onem2m.errors import BadRequest

#: nesting allowed in a body (trust.md C)
MAX_DEPTH = 32
MAX_MEMBERS = 1024
MAX_ITEMS = 10_000
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


def dump_json(value: Any) -> bytes:
    """UTF-8 JSON of a value made of plain types."""
    return orjson.dumps(value)


def dump_cbor(value: Any) -> bytes:
    """CBOR of a value made of plain types (RFC 8949)."""
    return cbor2.dumps(value)


def load_json(body: bytes) -> Any:
    """The value of a JSON body.

    Raises:
        BadRequest: not JSON, a duplicate member, nested too deep, or a number or text JSON peers cannot hold.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON ({error}): send one JSON object") from error
    if isinstance(value, dict | list):
        # A body with few commas and brackets is within the limits, and JSON has no NUL but this one. Numbers beyond
        # 64 bits and infinities are refused or rounded by orjson itself.
        short = body.count(b",") < MAX_MEMBERS and body.count(b"{") + body.count(b"[") <= MAX_DEPTH
        members = _members(value) if short and b"\\u0000" not in body else _check(value, 1)
        # orjson keeps the last of duplicate members without a word. Without duplicates there are as many colons as
        # members, besides those in texts, such as a first "m2m:"; then as many closing quotes followed by a colon. A
        # body with more of them, or with blanks before a colon (which hide one), is read again the slow way.
        if body.count(b":") - body.startswith(b'{"m2m:') != members and (
            body.count(b'":') > members or b" :" in body or b"\n:" in body or b"\t:" in body or b"\r:" in body
        ):
            _refuse_duplicates(body)
    return value


def load_cbor(body: bytes) -> Any:
    """The value of a CBOR body.

    Raises:
        BadRequest: not CBOR, a duplicate member, tags or byte strings where text belongs, trailing bytes, nested too
            deep.
    """
    try:
        value = cbor2.loads(body)
    except Exception as error:  # cbor2 raises many kinds for hostile input (RecursionError, OverflowError, ...)
        raise BadRequest(f"the body is not CBOR ({type(error).__name__}): send one CBOR map") from error
    if isinstance(value, dict | list):
        _check(value, 1)
        # cbor2 keeps the last of duplicate members without a word. It writes everything as short as can be, but for
        # floats: a body of just that length, without short floats, has none; any other is read again the slow way.
        if len(cbor2.dumps(value)) != len(body) or b"\xf9" in body or b"\xfa" in body:
            _refuse_cbor_duplicates(body, 0)
    else:
        _check_scalar(value)
    return value


def _members(value: Any) -> int:
    """How many members the objects in a value have in all."""
    members = 0
    if type(value) is dict:
        members = len(value)
        value = value.values()
    for child in value:
        kind = type(child)
        if kind is dict or kind is list:
            members += _members(child)
    return members


def _check(value: Any, depth: int) -> int:
    """Walk containers once; returns how many members their objects have in all."""
    if depth > MAX_DEPTH:
        raise BadRequest(f"the body is nested deeper than {MAX_DEPTH} levels")
    members = 0
    if isinstance(value, dict):
        if len(value) > MAX_MEMBERS:
            raise BadRequest(f"an object in the body has more than {MAX_MEMBERS} members")
        members = len(value)
        children: Any = value.values()
        for key in value:
            if not isinstance(key, str):
                raise BadRequest("member names must be text strings")
            if "\x00" in key:
                raise BadRequest("a member name holds a NUL character")
    else:
        if len(value) > MAX_ITEMS:
            raise BadRequest(f"a list in the body has more than {MAX_ITEMS} entries")
        children = value
    for child in children:
        if isinstance(child, dict | list):
            members += _check(child, depth + 1)
        else:
            _check_scalar(child)
    return members


def _check_scalar(value: Any) -> None:
    kind = type(value)
    if kind is str:
        if "\x00" in value:
            raise BadRequest("a text in the body holds a NUL character")
    elif kind is int:
        if not _INT_MIN <= value <= _INT_MAX:
            raise BadRequest("an integer in the body is beyond 64 bits")
    elif kind is float:
        if value != value or value in (float("inf"), float("-inf")):
            raise BadRequest("a number in the body is not finite")
    elif value is not None and kind is not bool:
        raise BadRequest(f"the body holds a {kind.__name__}, which oneM2M content cannot carry: send text or numbers")


def _refuse_cbor_duplicates(body: bytes, at: int) -> int:
    """Look for duplicate members in the item at an offset of well-formed CBOR; returns where the item ends."""
    kind, detail = body[at] >> 5, body[at] & 31
    at += 1
    count = detail
    if 24 <= detail <= 27:
        size = 1 << (detail - 24)
        count = int.from_bytes(body[at : at + size], "big")
        at += size
    endless = detail == 31
    if kind in (2, 3) and not endless:
        return at + count
    if kind in (0, 1, 7):
        return at
    if kind == 6:
        return _refuse_cbor_duplicates(body, at)
    names: set[Any] = set()
    while body[at] != 0xFF if endless else count > 0:
        start, count = at, count - 1
        at = _refuse_cbor_duplicates(body, at)
        if kind == 5:
            name = cbor2.loads(body[start:at])
            if name in names:
                raise BadRequest(f"the member {name!r} stands twice in one object: send it once")
            names.add(name)
            at = _refuse_cbor_duplicates(body, at)
    return at + 1 if endless else at


def _refuse_duplicates(body: bytes) -> None:
    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        unique = dict(members)
        if len(unique) != len(members):
            names = [name for name, _ in members]
            twice = next(name for name in names if names.count(name) > 1)
            raise BadRequest(f"the member {twice!r} stands twice in one object: send it once")
        return unique

    try:
        json.loads(body, object_pairs_hook=pairs)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON ({error}): send one JSON object") from error
    except RecursionError as error:
        raise BadRequest(f"the body is nested deeper than {MAX_DEPTH} levels") from error
