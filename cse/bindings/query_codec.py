"""Request parameters and filter criteria as name=value pairs of HTTP and CoAP queries (TS-0009 6.2.2, TS-0008 6.2.2).

A name that is no request parameter and no filter tag is an attribute match (``atr``), with the prefix ``c.`` one on a
child (``catr``), with ``p.`` one on the parent (``patr``). Whether such an attribute exists is the core's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from cse.bindings.primitive_codec import Note, silent
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Request

_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BOOLEANS = {"true": True, "false": False}
_LENIENT_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

# How the value of a parameter is written. Text and time stand once; the lists may be repeated. The entries of WORDS
# and INTEGERS may also be joined by '+', those of MEDIA too, where a '+' with a '/' behind it ends an entry; those of
# TEXTS hold blanks and operators, so they can only be repeated.
_INTEGER_KIND, _BOOLEAN, _TEXT, _TIME, _INTEGERS, _WORDS, _MEDIA, _TEXTS = range(8)

#: request parameters: short name -> (field of Request, kind of value)
_PARAMETERS: dict[str, tuple[str, int]] = {
    "rt": ("response_type", _INTEGER_KIND),
    "rp": ("result_persistence", _TIME),
    "rcn": ("result_content", _INTEGER_KIND),
    "da": ("delivery_aggregation", _BOOLEAN),
    "drt": ("desired_identifier", _INTEGER_KIND),
    "rids": ("role_ids", _WORDS),
    "tids": ("token_ids", _WORDS),
    "ltids": ("local_token_ids", _WORDS),
    "tqi": ("token_request", _BOOLEAN),
    "asi": ("authorization_signature_request", _BOOLEAN),
    "auri": ("authorization_relationship", _BOOLEAN),
    "sqi": ("semantic_query", _BOOLEAN),
    "atrl": ("attribute_list", _WORDS),
}
#: filter criteria: short name -> kind of value
_FILTER: dict[str, int] = {
    **dict.fromkeys(("crb", "cra", "ms", "us", "exb", "exa"), _TEXT),
    **dict.fromkeys(("arp", "cfq", "geom", "lbq"), _TEXT),
    **dict.fromkeys(("sts", "stb", "sza", "szb", "lim", "fu", "fo", "cfs", "lvl", "ofst"), _INTEGER_KIND),
    **dict.fromkeys(("gmty", "gsf", "ops"), _INTEGER_KIND),
    **dict.fromkeys(("ty", "chty", "pty"), _INTEGERS),
    **dict.fromkeys(("lbl", "clbl", "palb"), _WORDS),
    "cty": _MEDIA,
    "smf": _TEXTS,
}
_MATCHES = {"c.": "catr", "p.": "patr"}
_LISTS = (_INTEGERS, _WORDS, _MEDIA, _TEXTS)
_NEXT_MEDIA_TYPE = re.compile(r"\+(?=[^+/]*/)")
#: names whose values may be several, joined by '+'
JOINED_NAMES = frozenset(
    [name for name, (_, kind) in _PARAMETERS.items() if kind in (_INTEGERS, _WORDS)]
    + [name for name, kind in _FILTER.items() if kind in (_INTEGERS, _WORDS)]
)


def split_query(query: str) -> list[tuple[str, str]]:
    """The decoded name=value pairs of a URI query.

    A bare '+' separates the values of a parameter that may have several and is a blank in all others, which is how
    HTTP libraries write blanks. ``%20`` is always a blank, so labels with a blank can be asked for.

    Args:
        query: what follows the '?', still percent-encoded.

    Raises:
        BadRequest: a percent sign without two hex digits, not UTF-8, or a control character.
    """
    pairs = []
    for part in query.split("&"):
        if not part:
            continue
        raw_name, _, raw_value = part.partition("=")
        name = _unquote(raw_name.replace("+", " "))
        if "+" not in raw_value or name == "cty":
            pairs.append((name, _unquote(raw_value)))
        elif name in JOINED_NAMES:
            pairs.extend((name, _unquote(entry)) for entry in raw_value.split("+"))
        else:
            pairs.append((name, _unquote(raw_value.replace("+", " "))))
    return pairs


def _unquote(text: str) -> str:
    if "%" in text:
        if _BAD_ESCAPE.search(text):
            raise BadRequest(f"the query has a '%' that is not followed by two hex digits in {text!r}: write it as %25")
        try:
            text = unquote_to_bytes(text).decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the query is not UTF-8 after percent-decoding: {text!r}") from error
    if _CONTROL.search(text):
        raise BadRequest("the query holds a control character: remove it")
    return text


def apply_query(pairs: Iterable[tuple[str, str]], request: Request, *, lenient: bool, note: Note = silent) -> None:
    """Set the request parameters and the filter of a request from name=value pairs.

    Args:
        pairs: decoded names and values in the order they came. Values of a parameter that may have several are
            repeated, or joined by '+'.
        request: is changed: its fields, and ``filter`` (which stays as it is when no filter tag comes).
        lenient: booleans may be written 1 and 0.
        note: told of each dialect.

    Raises:
        BadRequest: a value of the wrong kind, a parameter twice that may stand once, or no name before '='.
    """
    criteria: dict[str, Any] = request.filter if request.filter is not None else {}
    for name, value in pairs:
        if name in _PARAMETERS:
            field, kind = _PARAMETERS[name]
            known = getattr(request, field)
            setattr(request, field, _combined(name, kind, known, value, lenient, note))
        elif name in _FILTER:
            criteria[name] = _combined(name, _FILTER[name], criteria.get(name), value, lenient, note)
        else:
            tag = _MATCHES.get(name[:2], "atr")
            attribute = name if tag == "atr" else name[2:]
            if not attribute:
                raise BadRequest(f"the query has {name + '=' + value!r}: send <attribute short name>=<value>")
            criteria.setdefault(tag, []).append({"nm": attribute, "val": value})
    if criteria:
        request.filter = criteria


def _combined(name: str, kind: int, known: Any, value: str, lenient: bool, note: Note) -> Any:
    """The value of a parameter after one more pair of it."""
    if kind in _LISTS:
        return (known or []) + _READERS[kind](name, value, lenient, note)
    if known is not None:
        raise BadRequest(f"the parameter '{name}' stands twice: send it once")
    return _READERS[kind](name, value, lenient, note)


def _integer(name: str, value: str, lenient: bool, note: Note) -> int:
    if not _INTEGER.fullmatch(value):
        raise BadRequest(f"the parameter '{name}' is {value!r}: send a decimal integer, e.g. {name}=1")
    return int(value)


def _boolean(name: str, value: str, lenient: bool, note: Note) -> bool:
    known = _BOOLEANS.get(value)
    if known is None and lenient:
        known = _LENIENT_BOOLEANS.get(value.lower())
        if known is not None:
            note("boolean of the query in another form")
    if known is None:
        raise BadRequest(f"the parameter '{name}' is {value!r}: send true or false")
    return known


def _text(name: str, value: str, lenient: bool, note: Note) -> str:
    if not value:
        raise BadRequest(f"the parameter '{name}' has no value: send {name}=<value>, or leave it out")
    return value


def _time(name: str, value: str, lenient: bool, note: Note) -> str | int:
    # An absRelTimestamp of digits alone is a number of milliseconds from reception.
    return int(value) if _INTEGER.fullmatch(value) else _text(name, value, lenient, note)


def _integers(name: str, value: str, lenient: bool, note: Note) -> list[int]:
    return [_integer(name, entry, lenient, note) for entry in value.replace(" ", "+").split("+")]


def _words(name: str, value: str, lenient: bool, note: Note) -> list[str]:
    return [_text(name, entry, lenient, note) for entry in value.split("+")]


def _media(name: str, value: str, lenient: bool, note: Note) -> list[str]:
    return [_text(name, entry, lenient, note) for entry in _NEXT_MEDIA_TYPE.split(value)]


def _texts(name: str, value: str, lenient: bool, note: Note) -> list[str]:
    return [_text(name, value, lenient, note)]


_READERS: dict[int, Callable[[str, str, bool, Note], Any]] = {
    _INTEGER_KIND: _integer,
    _BOOLEAN: _boolean,
    _TEXT: _text,
    _TIME: _time,
    _INTEGERS: _integers,
    _WORDS: _words,
    _MEDIA: _media,
    _TEXTS: _texts,
}


def query_pairs(request: Request) -> list[tuple[str, str]]:
    """The name=value pairs that carry the request parameters and the filter of a request; inverse of ``apply_query``.

    Lists give one pair per entry. Values are not percent-encoded yet.
    """
    pairs: list[tuple[str, str]] = []
    for name, (field, _) in _PARAMETERS.items():
        value = getattr(request, field)
        if value is not None:
            _append(pairs, name, value)
    for name, value in (request.filter or {}).items():
        prefix = {"atr": "", "catr": "c.", "patr": "p."}.get(name)
        if prefix is None:
            _append(pairs, name, value)
        else:
            for match in value if isinstance(value, list) else [value]:
                pairs.append((prefix + str(match.get("nm", "")), _written(match.get("val", ""))))
    return pairs


def _append(pairs: list[tuple[str, str]], name: str, value: Any) -> None:
    if isinstance(value, list):
        pairs.extend((name, _written(entry)) for entry in value)
    else:
        pairs.append((name, _written(value)))


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
