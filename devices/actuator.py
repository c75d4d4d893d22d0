"""An actuator: a lamp that takes commands through its container ``command`` and posts its new state, over MQTT."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from devices.kind import JSON, DeviceKind

_WORDS = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}


def react(state: Mapping[str, Any], command: Any) -> dict[str, Any]:
    """The state after a command.

    Args:
        state: ``{"on": bool, "level_percent": int}``.
        command: ``on``, ``off``, ``toggle``, or an object (also as JSON text) with ``on`` and ``level_percent``.

    Raises:
        ValueError: the command makes no sense; the message says what to send.
    """
    if isinstance(command, str):
        word = command.strip().lower()
        if word == "toggle":
            return {**state, "on": not state["on"]}
        if word in _WORDS:
            return {**state, "on": _WORDS[word]}
        try:
            command = json.loads(command)
        except ValueError:
            command = None
    if isinstance(command, bool):
        return {**state, "on": command}
    if not isinstance(command, dict) or not command or not command.keys() <= {"on", "level_percent"}:
        raise ValueError('send on, off, toggle, or e.g. {"on": true, "level_percent": 60}')
    on, level = command.get("on", state["on"]), command.get("level_percent", state["level_percent"])
    if not isinstance(on, bool):
        raise ValueError('"on" must be true or false')
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 100:
        raise ValueError('"level_percent" must be an integer from 0 to 100')
    return {"on": on, "level_percent": level}


KIND = DeviceKind(
    name="actuator",
    description="lamp that reacts to commands (on, off, toggle, level)",
    app_id="Norg.onemec.actuator",
    binding="mqtt",
    container="state",
    content_info=JSON,
    react=react,
    initial={"on": False, "level_percent": 100},
    labels=("quantity:light",),
    expose=True,
)
