"""Whole primitives as JSON or CBOR maps with short names, for MQTT and WebSocket (TS-0004 clauses 8.3, 8.4).

Pure: values in, values out. What a sender wrote in an older or looser way is coerced when ``lenient`` is set, and each
such dialect is told to ``note`` so that it can be counted; otherwise it is refused in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NoReturn

from cse.onem2m import errors
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status

#: told the name of each dialect a sender used
Note = Callable[[str], None]

_DIGITS = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_RQI_IN_JSON = re.compile(rb'"rqi"\s*:\s*"([^"\\\x00-\x1f]{1,256})"')
_OPERATIONS = {int(operation): operation for operation in Operation}
_MATCHES = {"c.": "catr", "p.": "patr"}


def silent(_dialect: str) -> None:
    """Forget a dialect."""


def _refuse(name: str, value: Any, want: str) -> NoReturn:
    shown = repr(value)
    raise BadRequest(f"'{name}' is {shown if len(shown) <= 80 else shown[:77] + '...'}: send {want}")


# --- readers: (short name, value, lenient, note) -> the value as Request holds it ------------------------------


def _integer(name: str, value: Any, lenient: bool, note: Note) -> int:
    if type(value) is int:
        return value
    if lenient and isinstance(value, str) and _DIGITS.fullmatch(value):
        note("number as string")
        return int(value)
    _refuse(name, value, f'a number, e.g. {{"{name}": 1}}')


def _count(name: str, value: Any, lenient: bool, note: Note) -> int:
    number = _integer(name, value, lenient, note)
    if number < 0:
        _refuse(name, value, "a number that is not negative")
    return number


def _boolean(name: str, value: Any, lenient: bool, note: Note) -> bool:
    if isinstance(value, bool):
        return value
    if lenient and isinstance(value, str) and value.lower() in _BOOLEANS:
        note("boolean as string")
        return _BOOLEANS[value.lower()]
    _refuse(name, value, "true or false")


def _text(name: str, value: Any, lenient: bool, note: Note) -> str:
    if isinstance(value, str):
        return value
    if lenient and type(value) in (int, float):
        note("text as number")
        return str(value)
    _refuse(name, value, "a text")


def _words(name: str, value: Any, lenient: bool, note: Note) -> str:
    if isinstance(value, str) and value:
        return value
    _refuse(name, value, "a text that is not empty")


def _time(name: str, value: Any, lenient: bool, note: Note) -> str | int:
    if type(value) is int:
        return value
    if isinstance(value, str) and value:
        return int(value) if _DIGITS.fullmatch(value) else value
    _refuse(name, value, "a timestamp such as 20301231T235959, or a number of milliseconds")


def _listed(name: str, value: Any, lenient: bool, note: Note) -> list[Any]:
    if isinstance(value, list):
        return value
    if lenient and value is not None:
        note("single value for a list")
        return [value]
    _refuse(name, value, f'a list, e.g. {{"{name}": [...]}}')


def _texts(name: str, value: Any, lenient: bool, note: Note) -> list[str]:
    return [_text(name, entry, lenient, note) for entry in _listed(name, value, lenient, note)]


def _integers(name: str, value: Any, lenient: bool, note: Note) -> list[int]:
    return [_integer(name, entry, lenient, note) for entry in _listed(name, value, lenient, note)]


def _attribute_matches(name: str, value: Any, lenient: bool, note: Note) -> list[dict[str, Any]]:
    matches = []
    for entry in _listed(name, value, lenient, note):
        if not isinstance(entry, dict) or not isinstance(entry.get("nm"), str) or "val" not in entry or len(entry) != 2:
            _refuse(name, entry, '[{"nm": "<attribute short name>", "val": <value>}]')
        matches.append({"nm": entry["nm"], "val": entry["val"]})
    return matches


def _content(name: str, value: Any, lenient: bool, note: Note) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    _refuse(name, value, 'an object with one member, e.g. {"m2m:cnt": {...}}')


def _assigned_tokens(name: str, value: Any, lenient: bool, note: Note) -> list[dict[str, Any]]:
    entries = value.get("ltia") if isinstance(value, dict) else value
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        _refuse(name, value, '{"ltia": [{"lti": ..., "tkid": ...}]}')
    return entries


_Reader = Callable[[str, Any, bool, Note], Any]

#: request parameters other than op, to, rqi, rt and fc: short name -> (field of Request, reader)
_REQUEST: dict[str, tuple[str, _Reader]] = {
    "fr": ("originator", _text),
    "ty": ("resource_type", _integer),
    "pc": ("content", _content),
    "rvi": ("release", _text),
    "rcn": ("result_content", _integer),
    "drt": ("desired_identifier", _integer),
    "rp": ("result_persistence", _time),
    "ot": ("originating_time", _text),
    "rqet": ("request_expiration", _time),
    "rset": ("result_expiration", _time),
    "oet": ("execution_time", _time),
    "ec": ("event_category", _integer),
    "da": ("delivery_aggregation", _boolean),
    "gid": ("group_request_id", _words),
    "grtm": ("group_targets", _texts),
    "rids": ("role_ids", _texts),
    "tkns": ("tokens", _texts),
    "tids": ("token_ids", _texts),
    "ltids": ("local_token_ids", _texts),
    "tqi": ("token_request", _boolean),
    "aus": ("authorization_signatures", _texts),
    "asi": ("authorization_signature_request", _boolean),
    "auri": ("authorization_relationship", _boolean),
    "sqi": ("semantic_query", _boolean),
    "vsi": ("vendor", _text),
}
#: readers that give a value of this type back as it is, so that they need not be called for one
_AS_IT_IS: dict[_Reader, type] = {_text: str, _integer: int, _boolean: bool, _content: dict}
#: the same as _REQUEST: short name -> (field of Request, type of values to be taken as they are, reader of others)
_REQUEST_FIELDS = {name: (field, _AS_IT_IS.get(reader), reader) for name, (field, reader) in _REQUEST.items()}
#: response parameters other than rsc: short name -> (field of Response, reader)
_RESPONSE: dict[str, tuple[str, _Reader]] = {
    "rqi": ("request_id", _text),
    "pc": ("content", _content),
    "rvi": ("release", _text),
    "to": ("to", _text),
    "fr": ("originator", _text),
    "ot": ("originating_time", _text),
    "rset": ("result_expiration", _time),
    "ec": ("event_category", _integer),
    "cnst": ("content_status", _integer),
    "cnot": ("content_offset", _integer),
    "ati": ("assigned_tokens", _assigned_tokens),
    "vsi": ("vendor", _text),
}
#: those that most responses do not have, and what reads their values off a response
_RARE = tuple(name for name in _RESPONSE if name not in ("rqi", "pc", "rvi"))
_RARE_VALUES = attrgetter(*(_RESPONSE[name][0] for name in _RARE))
_NONE_OF_THEM = (None,) * len(_RARE)
#: filter criteria: short name -> reader
_FILTER: dict[str, _Reader] = {
    **dict.fromkeys(("crb", "cra", "ms", "us", "exb", "exa"), _words),
    **dict.fromkeys(("arp", "cfq", "lbq"), _words),
    **dict.fromkeys(("sts", "stb", "sza", "szb", "lim", "lvl", "ofst", "ops"), _count),
    **dict.fromkeys(("fu", "fo", "cfs", "gmty", "gsf"), _integer),
    **dict.fromkeys(("ty", "chty", "pty"), _integers),
    **dict.fromkeys(("lbl", "clbl", "palb", "cty", "smf"), _texts),
    **dict.fromkeys(("atr", "catr", "patr"), _attribute_matches),
    "geom": _words,
}


def unwrap(value: Any, member: str, *, lenient: bool, note: Note = silent) -> tuple[Any, bool]:
    """A primitive without the wrapper object some senders put around it, and whether it had one.

    Args:
        value: a decoded body.
        member: ``m2m:rqp`` for requests, ``m2m:rsp`` for responses.
        lenient: take the wrapper; otherwise it is refused.
        note: told of the dialect.

    Raises:
        BadRequest: a wrapper, and not ``lenient``. ``request_id`` is the one inside when there is one.
    """
    if isinstance(value, dict) and len(value) == 1 and member in value:
        inner = value[member]
        if not lenient:
            raise BadRequest(f"the primitive is wrapped in '{member}': send its members directly", request_id(inner))
        note(f"{member} wrapper")
        return inner, True
    return value, False


def request_id(value: Any) -> str:
    """The request identifier of a decoded primitive, wrapped or not, that may be wrong in all else; "" without one."""
    if isinstance(value, dict):
        for member in ("m2m:rqp", "m2m:rsp"):
            if "rqi" not in value and isinstance(value.get(member), dict):
                value = value[member]
        found = value.get("rqi")
        if isinstance(found, str):
            return found
        if type(found) is int:
            return str(found)
    return ""


def find_request_id(body: bytes) -> str:
    """The request identifier in a body that is no valid JSON or CBOR as a whole, "" when none can be read.

    A body that breaks off or breaks a limit still deserves an answer when it says which request it was.
    """
    found = _RQI_IN_JSON.search(body)
    if found:
        return found[1].decode(errors="replace")
    start = body.find(b"\x63rqi")  # CBOR: a text of three characters, then the text that is its value
    if start < 0 or start + 5 > len(body):
        return ""
    head, at = body[start + 4], start + 5
    if 0x61 <= head <= 0x77:
        size = head - 0x60
    elif head == 0x78 and at < len(body):
        size, at = body[at], at + 1
    else:
        return ""
    text = body[at : at + size]
    try:
        return text.decode() if size and len(text) == size and b"\x00" not in text else ""
    except UnicodeDecodeError:
        return ""


def decode_request(value: Any, *, lenient: bool, note: Note = silent) -> Request:
    """The request in a bare map of short names (no ``m2m:rqp`` around it: see ``unwrap``).

    Args:
        value: a decoded JSON or CBOR body.
        lenient: numbers and booleans may be strings, one value may stand for a list, unknown parameters are ignored.
        note: told of each dialect.

    Raises:
        BadRequest: a parameter is missing or has the wrong form; ``request_id`` is set when it could be read.
        NotImplemented: a parameter this CSE does not know, and not ``lenient``.
    """
    try:
        return _decode_request(value, lenient, note)
    except (BadRequest, errors.NotImplemented) as error:
        error.request_id = error.request_id or request_id(value)
        raise


def _decode_request(value: Any, lenient: bool, note: Note) -> Request:
    if not isinstance(value, dict):
        _refuse("request", value, 'one object, e.g. {"op": 2, "to": "cse-in", "fr": "Cae", "rqi": "1", "rvi": "3"}')
    # Request defaults apply to what is absent; the four below must be there
    rqi = value.get("rqi")
    if rqi is None or rqi == "":
        raise BadRequest("'rqi' is missing: send a request identifier, a text that is new for each request")
    if not isinstance(rqi, str):
        rqi = _text("rqi", rqi, lenient, note)
    if "op" not in value:
        raise BadRequest("'op' is missing: send 1 (create), 2 (retrieve), 3 (update), 4 (delete) or 5 (notify)")
    op = value["op"]
    operation = _OPERATIONS.get(op if type(op) is int else _integer("op", op, lenient, note))
    if operation is None:
        _refuse("op", value["op"], "1 (create), 2 (retrieve), 3 (update), 4 (delete) or 5 (notify)")
    to = value.get("to")
    if not isinstance(to, str) or not to:
        _refuse("to", to, "the address of a resource, e.g. cse-in/my-ae")
    request = Request(operation, to, request_id=rqi)
    for name, given in value.items():
        known = _REQUEST_FIELDS.get(name)
        if known is not None:
            if given is not None:
                field, kind, reader = known
                setattr(request, field, given if type(given) is kind else reader(name, given, lenient, note))
        elif name not in _MANDATORY:
            _decode_structured(request, name, given, lenient, note)
    if operation in _WITHOUT_RESOURCE:
        _separate_attribute_list(request, lenient, note)
    if lenient and request.release is None:
        note("no rvi")
    return request


def _decode_structured(request: Request, name: str, given: Any, lenient: bool, note: Note) -> None:
    if name == "fc":
        request.filter = _decode_filter(given, lenient, note)
    elif name == "rt":
        _decode_response_type(request, given, lenient, note)
    elif lenient:
        note("unknown parameter")
    else:
        raise errors.NotImplemented(f"'{name}' is no request parameter this CSE knows: leave it out")


def _decode_response_type(request: Request, given: Any, lenient: bool, note: Note) -> None:
    if not isinstance(given, dict):
        if not lenient:
            _refuse("rt", given, 'an object, e.g. {"rt": {"rtv": 3}}')
        request.response_type = _integer("rt", given, lenient, note)
        note("rt as number")
        return
    if "rtv" in given:
        request.response_type = _integer("rt.rtv", given["rtv"], lenient, note)
    if "nu" in given:
        request.response_targets = _texts("rt.nu", given["nu"], lenient, note)
    unknown = given.keys() - {"rtv", "nu"}
    if unknown or not given:
        _refuse("rt", given, 'only rtv and nu in it, e.g. {"rt": {"rtv": 2, "nu": ["http://host/"]}}')


def _decode_filter(given: Any, lenient: bool, note: Note) -> dict[str, Any]:
    if not isinstance(given, dict):
        _refuse("fc", given, 'an object, e.g. {"fc": {"fu": 1, "ty": [3]}}')
    criteria: dict[str, Any] = {}
    loose: list[tuple[str, Any]] = []
    for name, value in given.items():
        reader = _FILTER.get(name)
        if reader is not None:
            if name == "geom" and lenient and isinstance(value, list):
                _refuse("geom", value, "the coordinates as a text that holds a JSON array")
            criteria[name] = reader(f"fc.{name}", value, lenient, note)
        elif lenient and name and isinstance(value, str | int | float):
            loose.append((name, value))
        else:
            raise BadRequest(f"'fc' has {name!r}, which is no filter tag: send attributes as atr, [{{nm, val}}]")
    for name, value in loose:  # after the tags, so that they add to an atr wherever it stood
        note("attribute in fc")
        tag = _MATCHES.get(name[:2], "atr")
        criteria.setdefault(tag, []).append({"nm": name if tag == "atr" else name[2:], "val": value})
    return criteria


#: parameters every request has, read before the others
_MANDATORY = ("op", "to", "rqi")
#: operations whose content is no resource; the core says what an attribute list in a DELETE is
_WITHOUT_RESOURCE = (Operation.RETRIEVE, Operation.DELETE)


def _separate_attribute_list(request: Request, lenient: bool, note: Note) -> None:
    """The content of a RETRIEVE is the list of the attributes wanted (TS-0004 clause 7.2.2.1)."""
    content = request.content
    if content is not None and content.keys() == {"m2m:atrl"}:
        request.attribute_list = _texts("m2m:atrl", content["m2m:atrl"], lenient, note)
        request.content = None


def encode_request(request: Request) -> dict[str, Any]:
    """The map of short names that carries a request; inverse of ``decode_request``."""
    value: dict[str, Any] = {"op": int(request.operation), "to": request.to, "rqi": request.request_id}
    for name, (field, _) in _REQUEST.items():
        given = getattr(request, field)
        if given is not None and given != "":
            value[name] = given
    if request.response_type is not None or request.response_targets is not None:
        value["rt"] = {}
        if request.response_type is not None:
            value["rt"]["rtv"] = int(request.response_type)
        if request.response_targets is not None:
            value["rt"]["nu"] = request.response_targets
    if request.filter is not None:
        value["fc"] = request.filter
    if request.attribute_list is not None and request.content is None:
        value["pc"] = {"m2m:atrl": request.attribute_list}
    return value


def decode_response(value: Any, *, lenient: bool = True, note: Note = silent) -> Response:
    """The response in a bare map of short names (no ``m2m:rsp`` around it: see ``unwrap``).

    A status code this CSE does not know becomes the general one of its class.

    Raises:
        BadRequest: it is no response primitive.
    """
    if not isinstance(value, dict):
        _refuse("response", value, 'one object, e.g. {"rsc": 2000, "rqi": "1"}')
    code = _integer("rsc", value.get("rsc"), lenient, note)
    response = Response(_status(code))
    for name, given in value.items():
        known = _RESPONSE.get(name)
        if known is not None and given is not None:
            setattr(response, known[0], known[1](name, given, lenient, note))
    if not response.request_id:
        raise BadRequest("'rqi' is missing in a response: send the one of the request")
    return response


def _status(code: int) -> Status:
    try:
        return Status(code)
    except ValueError:
        general = {1: Status.ACCEPTED, 2: Status.OK, 4: Status.BAD_REQUEST, 5: Status.INTERNAL_SERVER_ERROR}
        general[6] = Status.INTERNAL_SERVER_ERROR
        if code // 1000 not in general:
            _refuse("rsc", code, "a response status code such as 2000")
        return general[code // 1000]


def encode_response(response: Response) -> dict[str, Any]:
    """The map of short names that carries a response; inverse of ``decode_response``."""
    value: dict[str, Any] = {"rsc": response.status._value_, "rqi": response.request_id}
    if response.content is not None:
        value["pc"] = response.content
    if response.release is not None:
        value["rvi"] = response.release
    rare = _RARE_VALUES(response)
    if rare != _NONE_OF_THEM:
        value.update((name, given) for name, given in zip(_RARE, rare, strict=True) if given is not None)
    if response.assigned_tokens is not None:
        value["ati"] = {"ltia": response.assigned_tokens}
    return value
