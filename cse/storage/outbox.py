"""What is to be sent because of changes, kept with them until it is delivered (trust.md R1, docs/adr/0027).

A row is written in the group of the change that caused it, so both are on disk or neither is. It goes with a later
group, which nobody waits for: after a crash in between it is sent once more, with the same request identifier.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any

import orjson

from cse.onem2m.primitives import Operation, Request
from cse.ports import Send
from cse.storage import statements as sql
from cse.storage.group import Group
from cse.storage.reader import Reader

_REQUEST = {field.name: field.default for field in fields(Request)}
_SEND = {field.name: field.default for field in fields(Send) if field.name not in ("request", "evaluation")}
#: what most sends differ in; the others are asked for together
_USED = ("operation", "to", "originator", "request_id", "content", "release", "event_category")
_USED_OF_SEND = ("urls", "receiver", "exact_url", "serialisation", "timeout_s", "subject", "final", "target", "channel")
_RARE = {name: default for name, default in _REQUEST.items() if name not in _USED}
_RARE_OF_SEND = {name: default for name, default in _SEND.items() if name not in _USED_OF_SEND}
_used_values, _used_values_of_send = attrgetter(*_USED), attrgetter(*_USED_OF_SEND)
_rare_values, _rare_values_of_send = attrgetter(*_RARE), attrgetter(*_RARE_OF_SEND)
_no_rare, _no_rare_of_send = tuple(_RARE.values()), tuple(_RARE_OF_SEND.values())


class Outbox:
    """The sends of one store that are on disk, or about to be.

    Args:
        keeps: keep them; False forgets them at a crash and is for control tests only.
    """

    __slots__ = ("_carried", "_keeps", "_next", "_numbers", "unsent")

    def __init__(self, *, keeps: bool = True) -> None:
        self._keeps = keeps
        #: number by request identifier
        self._numbers: dict[str, int] = {}
        self._next = 1
        #: numbers whose removal was in a group that failed
        self._carried: list[int] = []
        #: what was there when the store was opened, in its order
        self.unsent: list[Send] = []

    def __contains__(self, send: Send) -> bool:
        return send.request.request_id in self._numbers

    def load(self, read: Reader) -> None:
        """Read what is to be sent.

        Raises:
            KeyError, TypeError, ValueError: a row makes no sense.
        """
        for number, body in read.execute(sql.LOAD_SENDS).fetchall():
            send = decode(body)
            self._numbers[send.request.request_id] = number
            self.unsent.append(send)
            self._next = number + 1

    def add(self, group: Group, sends: Iterable[Send]) -> bool:
        """Put sends into a group, all or none; gives whether there were any to keep.

        Raises:
            TypeError: the content of one is no JSON.
        """
        rows = [(send.request.request_id, encode(send)) for send in sends if send.kept] if self._keeps else []
        for request_id, body in rows:
            self._numbers[request_id] = self._next
            group.sends.append((self._next, body))
            self._next += 1
        return bool(rows)

    def sent(self, group: Group, send: Send) -> bool:
        """Nobody needs this one any more: its row goes with a group; gives whether there was one."""
        number = self._numbers.pop(send.request.request_id, None)
        if number is not None:
            group.sent.append(number)
        return number is not None

    def lost(self, group: Group) -> None:
        """A group failed: its rows never were, what it was to remove is still there."""
        if group.sends:
            numbers = {number for number, _ in group.sends}
            self._numbers = {key: number for key, number in self._numbers.items() if number not in numbers}
        self._carried += group.sent

    def next_group(self, group: Group) -> None:
        """What a failed group was to remove goes with this one."""
        if self._carried:
            group.sent += self._carried
            self._carried = []


def encode(send: Send) -> bytes:
    """A send as a row holds it: its fields by name as JSON, those that are rarely used only where they differ."""
    request = dict(zip(_USED, _used_values(send.request), strict=True))
    rare = _rare_values(send.request)
    if rare != _no_rare:
        request.update(_changed(_RARE, rare))
    fields_of_send = dict(zip(_USED_OF_SEND, _used_values_of_send(send), strict=True))
    rare = _rare_values_of_send(send)
    if rare != _no_rare_of_send:
        fields_of_send.update(_changed(_RARE_OF_SEND, rare))
    return orjson.dumps((request, fields_of_send))


def decode(body: bytes) -> Send:
    """The send that a row holds; fields that this release does not know are left out.

    Raises:
        KeyError, TypeError, ValueError: it makes no sense.
    """
    request, send = orjson.loads(body)
    request = {name: value for name, value in request.items() if name in _REQUEST}
    send = {name: value for name, value in send.items() if name in _SEND}
    send["urls"] = tuple(send.get("urls", ()))
    return Send(Request(**{**request, "operation": Operation(request["operation"])}), **send)


def _changed(defaults: dict[str, Any], values: tuple[Any, ...]) -> dict[str, Any]:
    return {name: value for (name, default), value in zip(defaults.items(), values, strict=True) if value != default}
