"""The header fields of the HTTP binding and how their values are read (TS-0009 clause 6.4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cse.onem2m.errors import BadRequest
from cse.tracing import read_trace_parent

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
#: what ends or garbles a header
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def field_text(value: bytes, what: str) -> str:
    """The text of a header value or a piece of the request target.

    Args:
        value: the bytes as received.
        what: names the piece in the error.

    Raises:
        BadRequest: not UTF-8, or a control character in it.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{what} is not UTF-8: {value!r}") from error
    if not text.isprintable() and CONTROL.search(text):
        raise BadRequest(f"{what} holds a control character: {text!r}")
    return text


def _as_text(name: bytes, value: str) -> str | None:
    return value or None


def as_integer(name: bytes, value: str) -> int:
    """The integer in a header.

    Raises:
        BadRequest: none there; the message names the header.
    """
    if not _INTEGER.fullmatch(value):
        raise BadRequest(f"the header {name.decode('ascii', 'replace')} is {value!r}: send a decimal integer")
    return int(value)


def _as_time(name: bytes, value: str) -> str | int | None:
    # An absRelTimestamp of digits alone is a number of milliseconds from reception.
    return int(value) if _INTEGER.fullmatch(value) else value or None


def _as_targets(name: bytes, value: str) -> list[str]:
    # Present but empty is the empty list: the originator wants no notification.
    return [target.strip() for target in value.split("&") if target.strip()]


def _as_list(name: bytes, value: str) -> list[str] | None:
    return [entry for entry in value.split("+") if entry] or None


def _as_tokens(name: bytes, value: str) -> list[str] | None:
    # "Basic ..." and "Bearer ..." prove who connects; oneM2M tokens come without a scheme.
    return None if " " in value else _as_list(name, value)


def _as_assigned_tokens(name: bytes, value: str) -> list[dict[str, Any]] | None:
    pairs = (entry.partition(":") for entry in value.replace(" ", "+").split("+") if entry)
    return [{"lti": local, "tkid": token} for local, _, token in pairs] or None


def _as_trace_parent(name: bytes, value: str) -> str | None:
    # What makes no sense is ignored, as the Recommendation wants: a new trace begins.
    return read_trace_parent(value)


_Reader = Callable[[bytes, str], Any]
#: optional request fields: header -> (field of Request, reader)
REQUEST_FIELDS: dict[bytes, tuple[str, _Reader]] = {
    b"x-m2m-ot": ("originating_time", _as_text),
    b"x-m2m-ret": ("request_expiration", _as_time),
    b"x-m2m-rst": ("result_expiration", _as_time),
    b"x-m2m-oet": ("execution_time", _as_time),
    b"x-m2m-rtu": ("response_targets", _as_targets),
    b"x-m2m-ec": ("event_category", as_integer),
    b"x-m2m-gid": ("group_request_id", _as_text),
    b"x-m2m-gtm": ("group_targets", _as_list),
    b"x-m2m-aus": ("authorization_signatures", _as_list),
    b"x-m2m-vsi": ("vendor", _as_text),
    b"authorization": ("tokens", _as_tokens),
    b"traceparent": ("trace_parent", _as_trace_parent),
}
#: optional response fields: header -> (field of Response, reader)
RESPONSE_FIELDS: dict[bytes, tuple[str, _Reader]] = {
    b"x-m2m-ri": ("request_id", lambda name, value: value),
    b"x-m2m-rvi": ("release", _as_text),
    b"x-m2m-origin": ("originator", _as_text),
    b"x-m2m-ot": ("originating_time", _as_text),
    b"x-m2m-rst": ("result_expiration", _as_time),
    b"x-m2m-ec": ("event_category", as_integer),
    b"x-m2m-cts": ("content_status", as_integer),
    b"x-m2m-cto": ("content_offset", as_integer),
    b"x-m2m-ati": ("assigned_tokens", _as_assigned_tokens),
    b"x-m2m-vsi": ("vendor", _as_text),
}
