"""Values of the CoAP options that carry request and response parameters (TS-0008 clause 6.2.2.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from cse.bindings.coap_codes import NEW_NUMBERS, OLD_NUMBERS, Numbering
from cse.bindings.coap_message import code, uint
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Request, Response

#: longest value of a oneM2M, Uri-Path or Uri-Query option, in bytes (TS-0008 clause 6.2.2.2, RFC 7252 clause 5.10)
MAX_OPTION_BYTES = 255
MAX_UINT_BYTES = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MILLISECONDS = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_BAD_OPTION = code("4.02")


class BadOption(BadRequest):
    """4000 with a CoAP response code of its own, 4.02 unless the standard names another (RFC 7252 clause 5.4).

    Args:
        debug: what was wrong and what to send instead.
        coap_code: the response code as on the wire.
    """

    def __init__(self, debug: str, coap_code: int = _BAD_OPTION) -> None:
        super().__init__(debug)
        self.coap_code = coap_code


def readable(value: bytes) -> str:
    """The text of an option, "" where ``read_text`` would refuse it."""
    try:
        return read_text("", value)
    except BadRequest:
        return ""


def read_text(name: str, value: bytes) -> str:
    """The text of an option.

    Args:
        name: how the diagnostic calls the option.
        value: what it holds.

    Raises:
        BadOption: longer than 255 bytes.
        BadRequest: not UTF-8, or with control characters.
    """
    if len(value) > MAX_OPTION_BYTES:
        raise BadOption(f"the option {name} has {len(value)} bytes: send at most {MAX_OPTION_BYTES}")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the option {name} is not UTF-8: send text in UTF-8") from error
    if not text.isprintable() and _CONTROL.search(text):
        raise BadRequest(f"the option {name} holds a control character: remove it")
    return text


def write_text(name: str, text: str) -> bytes:
    """The value of an option that holds ``text``.

    Raises:
        BadRequest: longer than an option may be, or not encodable.
    """
    try:
        value = text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"{name} cannot be written in UTF-8") from error
    if len(value) > MAX_OPTION_BYTES:
        raise BadRequest(f"{name} has {len(value)} bytes, but a CoAP option holds at most {MAX_OPTION_BYTES}")
    return value


def _read_uint(name: str, value: bytes) -> int:
    if len(value) > MAX_UINT_BYTES:
        raise BadOption(
            f"the option {name} has {len(value)} bytes: send an unsigned integer of at most {MAX_UINT_BYTES} bytes"
        )
    return int.from_bytes(value, "big")


def _write_uint(name: str, value: int) -> bytes:
    if not 0 <= value < 1 << 8 * MAX_UINT_BYTES:
        raise BadRequest(f"{name} is {value}, but the CoAP option holds 0 to {(1 << 8 * MAX_UINT_BYTES) - 1}")
    return uint(value)


def _read_time(name: str, value: bytes) -> str | int:
    text = read_text(name, value)
    # An absRelTimestamp of digits alone is a number of milliseconds from reception.
    return int(text) if _MILLISECONDS.fullmatch(text) else text


def _write_time(name: str, value: str | int) -> bytes:
    return write_text(name, str(value))


def _read_targets(name: str, value: bytes) -> list[str]:
    text = read_text(name, value)
    return text.split("&") if text else []


def _write_targets(name: str, targets: list[str]) -> bytes:
    return write_text(name, "&".join(targets))


def _read_words(name: str, value: bytes) -> list[str]:
    return read_text(name, value).split()


def _write_words(name: str, words: list[str]) -> bytes:
    return write_text(name, " ".join(words))


def _read_tokens(name: str, value: bytes) -> list[dict[str, Any]]:
    pairs = [word.partition(":") for word in read_text(name, value).split()]
    return [{"lti": local, "tkid": token} for local, _, token in pairs]


def _write_tokens(name: str, tokens: list[dict[str, Any]]) -> bytes:
    return write_text(name, " ".join(f"{entry.get('lti', '')}:{entry.get('tkid', '')}" for entry in tokens))


class Kind(NamedTuple):
    """How the values of an option are read and written; both are given the name for diagnostics first."""

    read: Callable[[str, bytes], Any]
    write: Callable[[str, Any], bytes]


_TEXT = Kind(read_text, write_text)
_UINT = Kind(_read_uint, _write_uint)
_TIME = Kind(_read_time, _write_time)
_TARGETS = Kind(_read_targets, _write_targets)
_WORDS = Kind(_read_words, _write_words)
_TOKENS = Kind(_read_tokens, _write_tokens)


class Parameter(NamedTuple):
    """A parameter that travels in an option: its name in diagnostics, its field in the primitive, its values."""

    number: int
    name: str
    field: str
    read: Callable[[str, bytes], Any]
    write: Callable[[str, Any], bytes]


#: short name -> (field of Request, kind)
_REQUEST: dict[str, tuple[str, Kind]] = {
    "fr": ("originator", _TEXT),
    "rqi": ("request_id", _TEXT),
    "rvi": ("release", _TEXT),
    "ty": ("resource_type", _UINT),
    "ot": ("originating_time", _TEXT),
    "rqet": ("request_expiration", _TIME),
    "rset": ("result_expiration", _TIME),
    "oet": ("execution_time", _TIME),
    "rturi": ("response_targets", _TARGETS),
    "ec": ("event_category", _UINT),
    "gid": ("group_request_id", _TEXT),
    "vsi": ("vendor", _TEXT),
    "grtm": ("group_targets", _WORDS),
    "aus": ("authorization_signatures", _WORDS),
}
#: short name -> (field of Response, kind)
_RESPONSE: dict[str, tuple[str, Kind]] = {
    "fr": ("originator", _TEXT),
    "rqi": ("request_id", _TEXT),
    "rvi": ("release", _TEXT),
    "ot": ("originating_time", _TEXT),
    "rset": ("result_expiration", _TIME),
    "ec": ("event_category", _UINT),
    "vsi": ("vendor", _TEXT),
    "cnst": ("content_status", _UINT),
    "cnot": ("content_offset", _UINT),
    "ati": ("assigned_tokens", _TOKENS),
}


class Parameters(NamedTuple):
    """The parameters of a kind of primitive in one numbering.

    Attributes:
        by_number: option number -> parameter.
        values_of: the values of all of them in a primitive, in the same order.
    """

    by_number: dict[int, Parameter]
    values_of: Callable[[Any], tuple[Any, ...]]


def _numbered(parameters: dict[str, tuple[str, Kind]], numbers: Numbering) -> Parameters:
    table = {}
    for short, (field, kind) in parameters.items():
        number: int = getattr(numbers, short)
        if number:
            table[number] = Parameter(number, f"{number} (oneM2M-{short.upper()})", field, *kind)
    return Parameters(table, attrgetter(*(parameter.field for parameter in table.values())))


#: name of the numbering -> parameters
REQUEST_OPTIONS = {numbers.name: _numbered(_REQUEST, numbers) for numbers in (NEW_NUMBERS, OLD_NUMBERS)}
RESPONSE_OPTIONS = {numbers.name: _numbered(_RESPONSE, numbers) for numbers in (NEW_NUMBERS, OLD_NUMBERS)}
#: what only a response carries; in a request it is understood, says nothing and is passed over
ONLY_IN_RESPONSES = {
    numbers.name: frozenset(filter(None, (numbers.rsc, numbers.cnst, numbers.cnot, numbers.ati, numbers.asri)))
    for numbers in (NEW_NUMBERS, OLD_NUMBERS)
}


def append_parameters(options: list[tuple[int, bytes]], parameters: Parameters, primitive: Request | Response) -> None:
    """Add the options for all parameters a primitive has.

    Raises:
        BadRequest: a value that no option can hold.
    """
    for parameter, value in zip(parameters.by_number.values(), parameters.values_of(primitive), strict=False):
        if value is not None and value != "":
            options.append((parameter.number, parameter.write(parameter.name, value)))
