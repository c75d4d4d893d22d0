"""Checks of attribute values, built once from the data type names of the tables (TS-0004 clause 6.3).

A check takes a value and says in words what it must be when it is not; None means it fits.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import urlsplit

from cse.onem2m.addressing import MAX_ID_LENGTH, is_resource_name
from cse.onem2m.errors import BadRequest
from cse.onem2m.geometry import parse_geometry
from cse.onem2m.timestamps import absolute_time, is_timestamp, parse_duration
from cse.resources.declare import Check

_NCNAME = re.compile(r"[A-Za-z_][\w.\-]*(?::[A-Za-z_][\w.\-]*)?")
_ID = re.compile(r"[A-Za-z0-9\-._~/*@:#?=&%+$!,;()\[\]]+", re.ASCII)
_SP_ID = re.compile(r"//[A-Za-z0-9\-._~:]+", re.ASCII)
_CSE_ID = re.compile(r"(?://[A-Za-z0-9\-._~:]+)?/[A-Za-z0-9\-._~]+", re.ASCII)
_ROLE = re.compile(r"[^@\s]+@[^@\s]+")
_SCHEDULE_PART = re.compile(r"(?:\*|(\d{1,4})(?:-(\d{1,4}))?)(?:/(\d{1,4}))?", re.ASCII)
#: least and greatest value of second, minute, hour, day, month, weekday (0 = Sunday) and year
_SCHEDULE_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (1970, 9999))
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}", re.ASCII)
_TIME = re.compile(r"(?:T)?\d{2}:?\d{2}:?\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?", re.ASCII)
MAX_LABEL_LENGTH = 256


def _text(value: Any) -> str | None:
    return None if type(value) is str else "a text string"


def _identifier(value: Any) -> str | None:
    if type(value) is str and 0 < len(value) <= MAX_ID_LENGTH and _ID.fullmatch(value):
        return None
    return "an identifier such as 'Cmy-ae', 'cse-name/resource' or '/cse-id/resource'"


def _resource_name(value: Any) -> str | None:
    if type(value) is str and is_resource_name(value):
        return None
    return "a name of 1 to 128 letters, digits, '-', '.', '_'"


def _uri(value: Any) -> str | None:
    if (
        type(value) is str
        and 0 < len(value) <= 2048
        and not any(c.isspace() or ord(c) < 32 for c in value)
        and ("://" not in value or _can_be_read(value))
    ):
        return None
    return "a URI or resource identifier without blanks, with a host and port that can be read"


def _can_be_read(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:  # e.g. half an IPv6 address, a port beyond 65535
        return False


def _token(value: Any) -> str | None:
    if (
        type(value) is str
        and 0 < len(value) <= MAX_LABEL_LENGTH
        and not any(c in value for c in "\t\n\r")
        and "  " not in value
        and value.strip(" ") == value
    ):
        return None
    return "a text of 1 to 256 characters without tabs, line breaks, double, leading or trailing blanks"


def _ncname(value: Any) -> str | None:
    return None if type(value) is str and _NCNAME.fullmatch(value) else "an attribute name such as 'lbl'"


def _timestamp(value: Any) -> str | None:
    return None if type(value) is str and is_timestamp(value) else "a UTC timestamp YYYYMMDDThhmmss[,ffffff]"


def _relative_timestamp(value: Any) -> str | None:
    try:
        absolute_time(value, 0.0)
    except (BadRequest, OverflowError):
        return "a UTC timestamp YYYYMMDDThhmmss[,ffffff] or milliseconds from now as an integer"
    return None


def _duration(value: Any) -> str | None:
    try:
        if type(value) is str:
            parse_duration(value)
            return None
    except BadRequest:
        pass
    return "an ISO 8601 duration such as PT10S"


def _boolean(value: Any) -> str | None:
    return None if type(value) is bool else "true or false"


def _integer(value: Any) -> str | None:
    return None if type(value) is int else "an integer"


def _non_negative(value: Any) -> str | None:
    return None if type(value) is int and value >= 0 else "an integer >= 0"


def _positive(value: Any) -> str | None:
    return None if type(value) is int and value > 0 else "an integer > 0"


def _number(value: Any) -> str | None:
    return None if type(value) in (int, float) else "a number"


def _base64(value: Any) -> str | None:
    if type(value) is str:
        try:
            base64.b64decode(value, validate=True)
            return None
        except (binascii.Error, ValueError):
            pass
    return "base64 text"


def _object(value: Any) -> str | None:
    return None if type(value) is dict else "an object"


def _anything(value: Any) -> str | None:
    return None if value is not None else "any value but null"


def _list(value: Any) -> str | None:
    return None if type(value) is list else "a list"


def _constant(wanted: Any) -> Check:
    return lambda value: None if value == wanted and type(value) is type(wanted) else repr(wanted)


def _ip_address(parse: Callable[[str], object], expected: str) -> Check:
    def check(value: Any) -> str | None:
        try:
            if type(value) is str:
                parse(value)
                return None
        except ValueError:
            pass
        return expected

    return check


def _matching(pattern: re.Pattern[str], expected: str) -> Check:
    def check(value: Any) -> str | None:
        return None if type(value) is str and pattern.fullmatch(value) else expected

    return check


def schedule_entry(value: Any) -> str | None:
    """The check of a scheduleEntry: seven blank-separated fields (TS-0004 clause 6.3.3)."""
    if type(value) is str:
        fields = value.split(" ")
        if len(fields) == 7 and all(map(_schedule_field, fields, _SCHEDULE_RANGES)):
            return None
    return "a schedule of seven fields 'second minute hour day month weekday year', e.g. '* 0-5 2,6,10 * * * *'"


def _schedule_field(field: str, limits: tuple[int, int]) -> bool:
    for part in field.split(","):
        matched = _SCHEDULE_PART.fullmatch(part)
        if matched is None or (matched[3] is not None and int(matched[3]) == 0):
            return False
        if matched[1] is None:
            continue
        low = int(matched[1])
        high = low if matched[2] is None else int(matched[2])
        if not limits[0] <= low <= high <= limits[1]:
            return False
    return True


def location(value: Any) -> str | None:
    """The check of a location: geometry type and coordinates as a text (TS-0004 clause 6.3.5, m2m:geoCoordinates)."""
    if type(value) is not dict or set(value) != {"typ", "crd"} or type(value["crd"]) is not str:
        return "an object {typ, crd}, e.g. {'typ': 1, 'crd': '[8.4, 49.0]'}"
    if type(value["typ"]) is not int:
        return "an object whose 'typ' is 1 (Point) to 6 (MultiPolygon)"
    try:
        parse_geometry(value["typ"], value["crd"], decimals_only=True)
    except BadRequest as error:
        return f"a location: {error.debug}"
    return None


_SIMPLE: dict[str, Check] = {
    "m2m:geoCoordinates": location,
    "ID": _identifier,
    "IDCSR": _identifier,
    "AEID": _identifier,
    "CSEID": _matching(_CSE_ID, "a CSE-ID such as '/id-in'"),
    "SPID": _matching(_SP_ID, "an M2M-SP-ID such as '//sp.example.org'"),
    "anyURI": _uri,
    "timestamp": _timestamp,
    "absRelTimestamp": _relative_timestamp,
    "duration": _duration,
    "ncname": _ncname,
    "token": _token,
    "base64": _base64,
    "string": _text,
    "boolean": _boolean,
    "integer": _integer,
    "float": _number,
    "nonNegInteger": _non_negative,
    "positiveInteger": _positive,
    "unsignedInt": _non_negative,
    "unsignedLong": _non_negative,
    "any": _anything,
    "object": _object,
    "geoJsonCoordinate": _text,
    "dateTime": _timestamp,
    "date": _matching(_DATE, "a date YYYYMMDD"),
    "time": _matching(_TIME, "a time hhmmss"),
    "imsi": _matching(re.compile(r"\d{5,15}", re.ASCII), "an IMSI of up to 15 digits"),
    "iccid": _matching(re.compile(r"\d{10,22}", re.ASCII), "an ICCID of up to 22 digits"),
    "ipv4Address": _ip_address(IPv4Address, "an IPv4 address"),
    "ipv6Address": _ip_address(IPv6Address, "an IPv6 address"),
    "m2m:roleID": _matching(_ROLE, "a role such as 'name@domain'"),
    "m2m:tokenID": _matching(_ROLE, "a token-ID such as 'name@domain'"),
    "m2m:triggerRecipientID": _non_negative,
    "m2m:scheduleEntry": schedule_entry,
    "schedule": schedule_entry,
    "m2m:serializations": _list,
    "m2m:poaList": _list,
}


class DataTypes:
    """Builds checks from the names in the tables.

    Args:
        enums: the ``enums`` member of attributes.json.
        complex_types: its ``complexTypes`` member.
    """

    def __init__(self, enums: Mapping[str, Any], complex_types: Mapping[str, Any]) -> None:
        self._enums = enums
        self._complex = complex_types
        self._built: dict[str, Check] = {}

    def check_for(self, row: Mapping[str, Any]) -> Check:
        """The check of a table row (``type``, ``items``, ``enum``, ``card``)."""
        name = row["type"]
        if row.get("sname") == "rn":
            return _resource_name
        if name == "constant":
            return _constant(row["value"])
        if name == "enum":
            return self._enum(row.get("enum", ""))
        if name == "list":
            items = row.get("items")
            item = self._enum(row.get("enum", "")) if items == "enum" else self.named(items) if items else None
            non_empty = bool(row.get("nonEmpty")) or row.get("card") == "1LN"
            return _list_of(item, non_empty=non_empty)
        return self.named(name)

    def named(self, name: str) -> Check:
        """The check of a named data type, simple or complex."""
        simple = _SIMPLE.get(name)
        if simple is not None:
            return simple
        if name.startswith("list of "):
            return _list_of(self.named(name.removeprefix("list of ")), non_empty=False)
        if name.startswith("enum "):
            return self._enum(name.removeprefix("enum "))
        built = self._built.get(name)
        if built is None:
            # Recursive types meet their own placeholder, which looks the finished check up when it is called.
            self._built[name] = lambda value: self._built[name](value)
            built = self._built[name] = self._complex_check(name)
        return built

    def _complex_check(self, name: str) -> Check:
        declared = self._complex.get(name)
        if declared is None or not declared.get("members"):
            return _object if name.startswith("object") else _text
        members = {member["sname"]: self.check_for(member) for member in declared["members"]}
        required = [member["sname"] for member in declared["members"] if member["card"].startswith("1")]
        open_ended = any(":" in member or "<" in member for member in members)

        def check(value: Any) -> str | None:
            if type(value) is not dict:
                return f"an object {{{', '.join(members)}}}"
            for key in required:
                if key not in value:
                    return f"an object with the member {key!r}"
            for key, part in value.items():
                member = members.get(key)
                if member is None:
                    if open_ended:
                        continue
                    return f"an object without the member {key!r}; known are {', '.join(members)}"
                wrong = member(part)
                if wrong:
                    return f"an object whose {key!r} is {wrong}"
            return None

        return check

    def _enum(self, name: str) -> Check:
        declared = self._enums.get(name, {})
        if "bitmask" in declared:
            top = sum(int(bit) for bit in declared["bitmask"])
            return lambda value: None if type(value) is int and 0 <= value <= top else f"an integer 0..{top}"
        allowed: set[int] = set()
        ranges: list[tuple[int, int]] = []
        for key in declared.get("values", {}):
            low, _, high = key.partition("..")
            if high:
                ranges.append((int(low), int(high)))
            else:
                allowed.add(int(low))
        if not allowed and not ranges:
            return _integer
        shown = [str(value) for value in sorted(allowed)][:12] + [f"{low}..{high}" for low, high in ranges]
        expected = f"one of {', '.join(shown)}{', ...' if len(allowed) > 12 else ''}"

        def check(value: Any) -> str | None:
            if type(value) is int and (value in allowed or any(low <= value <= high for low, high in ranges)):
                return None
            return expected

        return check


def _list_of(item: Check | None, *, non_empty: bool) -> Check:
    def check(value: Any) -> str | None:
        if type(value) is not list:
            return "a list"
        if non_empty and not value:
            return "a list that is not empty"
        if item is not None:
            for entry in value:
                wrong = item(entry)
                if wrong:
                    return f"a list whose entries are each {wrong}"
        return None

    return check


def content_info(value: Any) -> str | None:
    """The check of contentInfo: ``media/type:encoding[:security]`` (TS-0004 clause 6.3.3)."""
    if type(value) is str:
        media, _, rest = value.partition(":")
        parts = rest.split(":") if rest else []
        kind, slash, subtype = media.partition("/")
        if (
            slash
            and kind
            and subtype
            and 1 <= len(parts) <= 2
            and parts[0] in ("0", "1", "2")
            and all(part in ("0", "1", "2", "3", "4", "5") for part in parts)
        ):
            return None
    return "media type and encoding, e.g. 'text/plain:0' or 'application/json:0'"
