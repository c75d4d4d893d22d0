"""What one request to the console's API carries, and who serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cse.console.people import Person, Refused, Role


@dataclass(frozen=True, slots=True)
class Call:
    """One request to ``/console/api/<name>``.

    Attributes:
        person: who asks.
        query: its parameters.
        body: the JSON of a POST, None for a GET.
    """

    person: Person
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None

    def text(self, name: str) -> str:
        """A text of the body, "" when there is none.

        Raises:
            Refused: the body is no object, or this is no text.
        """
        value = self.body.get(name, "") if isinstance(self.body, dict) else None
        if not isinstance(value, str):
            raise Refused(400, f"send one JSON object in which {name!r} is a text")
        return value

    def number(self, name: str, default: int = 0) -> int:
        """A number of the query.

        Raises:
            Refused: it is none.
        """
        value = self.query.get(name, "")
        if value and not (value.isascii() and value.isdigit() and len(value) < 16):
            raise Refused(400, f"{name}={value[:40]!r} is no number: send e.g. {name}={default or 1}")
        return int(value) if value else default


#: gives the JSON of the answer
Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """Who serves a name of the API.

    Attributes:
        method: GET, or POST for what changes something.
        role: the least one that may.
        handler: gives the answer.
    """

    method: str
    role: Role
    handler: Handler


__all__ = ["Call", "Handler", "Route"]
