"""Dialects of older and careless clients, mended before the core sees them (profile ``lenient``; docs: users).

Only the form of a request is changed, never what it asks for, and each use is counted so that an operator sees which
clients need them. Under ``strict`` nothing here runs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from cse.onem2m.primitives import Operation, Request

_AE = 2
#: attributes that clients send as "true" and "false"
_BOOLEANS = frozenset({"rr", "disr", "tren", "mdd", "ln", "nse", "eeno", "fcied", "rqag"})
#: attributes that clients send as "10"
_NUMBERS = frozenset(
    {
        "mni",
        "mbs",
        "mia",
        "exc",
        "nct",
        "acop",
        "mnm",
        "mt",
        "csy",
        "pn",
        "nec",
        "nsp",
        "pei",
        "peid",
        "mdn",
        "mdt",
        "cst",
    }
)
_NUMBER_LISTS = frozenset({"net", "chty"})
_NESTED = frozenset({"enc", "pv", "pvs", "bn", "rl"})
_WORDS = {"true": True, "false": False}
_MEDIA_TYPES = ("application/", "text/", "image/")


class Dialects:
    """Mends requests and counts what it mended.

    Args:
        cse_name: resourceName of the CSEBase.
    """

    def __init__(self, cse_name: str) -> None:
        self._cse_name = cse_name
        #: uses since the start, by dialect
        self.uses: Counter[str] = Counter()

    def note(self, dialect: str) -> None:
        """Count a dialect that a codec mended."""
        self.uses[dialect] += 1

    def mend(self, request: Request) -> Request:
        """The request in the form the standard wants; the same object when nothing had to be mended."""
        to = request.to
        if to.endswith("/") and len(to) > 1 and not to.endswith("//"):
            self.uses["trailing slash"] += 1
            request = replace(request, to=to[:-1])
        if to == f"/{self._cse_name}" or to.startswith(f"/{self._cse_name}/"):
            self.uses["CSEBase name with a leading slash"] += 1
            request = replace(request, to=request.to[1:])
        if request.operation not in (Operation.CREATE, Operation.UPDATE) or not isinstance(request.content, dict):
            return request
        before = self.uses.total()
        content = {
            root: self._attributes(request, attributes) if isinstance(attributes, dict) else attributes
            for root, attributes in request.content.items()
        }
        return request if self.uses.total() == before else replace(request, content=content)

    def _attributes(self, request: Request, attributes: dict[str, Any]) -> dict[str, Any]:
        mended = {name: self._value(name, value) for name, value in attributes.items()}
        if request.operation is Operation.CREATE and request.resource_type == _AE:
            if "srv" not in mended:
                self.uses["AE without srv"] += 1
                mended["srv"] = [request.release or "1"]
            if "aei" in mended and mended["aei"] == request.originator.rpartition("/")[2]:
                self.uses["aei in a registration"] += 1
                del mended["aei"]
        return mended

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            if name in _BOOLEANS and value.lower() in _WORDS:
                self.uses["boolean as text"] += 1
                return _WORDS[value.lower()]
            if name in _NUMBERS and value.isascii() and value.isdigit():
                self.uses["number as text"] += 1
                return int(value)
            if name == "cnf" and value.startswith(_MEDIA_TYPES) and ":" not in value:
                self.uses["cnf without encoding"] += 1
                return value + ":0"
        elif isinstance(value, list) and name in _NUMBER_LISTS:
            return [self._number(entry) for entry in value]
        elif isinstance(value, dict) and name in _NESTED:
            return {inner: self._value(inner, part) for inner, part in value.items()}
        elif isinstance(value, list) and name == "acr":
            return [self._rule(rule) for rule in value]
        return value

    def _rule(self, rule: Any) -> Any:
        return {name: self._value(name, part) for name, part in rule.items()} if isinstance(rule, dict) else rule

    def _number(self, value: Any) -> Any:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            self.uses["number as text"] += 1
            return int(value)
        return value
