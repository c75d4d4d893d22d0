"""What a kind of device is: a name, where its data comes from, and what it does when it is told something."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: the bindings a device can use
BINDINGS = ("http", "mqtt", "coap")
TEXT = "text/plain:0"
JSON = "application/json:0"

#: gives the content of one instance for a seed and a time in seconds since the device started
Sample = Callable[[int, float], str]
#: gives the next state for a state and a command; raises ValueError for a command that makes no sense
React = Callable[[Mapping[str, Any], Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """A kind of device.

    Attributes:
        name: as on the command line.
        description: in one line.
        app_id: App-ID of its AE.
        binding: what it speaks unless told otherwise: ``http``, ``mqtt`` or ``coap``.
        container: name of the container its data goes to.
        content_info: contentInfo (cnf) of its data.
        sample: its signal; None for a device that only reacts.
        react: what it does on a command; None for a device that takes none.
        initial: its state before the first command.
        labels: of its AE.
        expose: whether it becomes a MEC application instance unless told otherwise (label ``mec:expose``).
    """

    name: str
    description: str
    app_id: str
    binding: str
    container: str = "data"
    content_info: str = TEXT
    sample: Sample | None = None
    react: React | None = None
    initial: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    expose: bool = False


def as_json(values: Mapping[str, Any]) -> str:
    """An object as JSON text: what most oneM2M software takes for content."""
    return json.dumps(values, separators=(",", ":"))
