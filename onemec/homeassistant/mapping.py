"""What a flexContainer is in Home Assistant: entities with their discovery messages, states, commands (pure).

The data model is TS-0023's: what an attribute is follows from its type and name in the attribute tables of this
product. Attributes of flexContainers nobody has a table for are taken by what they hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_FLEX_CONTAINER = 28
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: attributes whose meaning Home Assistant has a class for: the class and its unit
_CLASSES = {
    "curT0": ("temperature", "°C"), "tarTe": ("temperature", "°C"), "relHy": ("humidity", "%"),
    "humiy": ("humidity", "%"),
    "power": ("power", "W"), "volte": ("voltage", "V"), "currt": ("current", "A"), "enery": ("energy", "Wh"),
    "abECn": ("energy", "Wh"), "atmPe": ("atmospheric_pressure", "mbar"), "co2": ("carbon_dioxide", "ppm"),
    "pm25": ("pm25", "µg/m³"), "pm10": ("pm10", "µg/m³"), "winSd": ("wind_speed", "m/s"),
    "noise": ("sound_pressure", "dB"),
}  # fmt: skip
#: those that only rise
_RISING = {"enery", "abECn"}
#: roots whose boolean is a thing to be switched; booleans of all others are only shown
_SWITCHES = {"cod:binSh": "state", "cod:powS0": "powSe"}
#: types of attributes
_NUMBERS = frozenset({"float", "integer", "nonNegInteger", "positiveInteger"})
_NOT_SHOWN = frozenset({"list", "constant", "anyURI"})


@dataclass(frozen=True, slots=True)
class Entity:
    """One attribute of a flexContainer as an entity.

    Attributes:
        component: of Home Assistant: sensor, binary_sensor or switch.
        object_id: names it among all entities of the CSE.
        attribute: short name of the attribute.
        config: its discovery message.
    """

    component: str
    object_id: str
    attribute: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Topics:
    """Where messages go.

    Attributes:
        base: before all topics of this bridge, e.g. ``onemec/id-in``.
        discovery: Home Assistant's prefix, e.g. ``homeassistant``.
    """

    base: str
    discovery: str = "homeassistant"

    @property
    def status(self) -> str:
        """Whether the bridge is there."""
        return f"{self.base}/status"

    @property
    def commands(self) -> str:
        """A filter for all commands."""
        return f"{self.base}/+/+/set"

    def state(self, ri: str) -> str:
        """The values of a flexContainer."""
        return f"{self.base}/{_plain(ri)}/state"

    def command(self, ri: str, attribute: str) -> str:
        """A new value of an attribute."""
        return f"{self.base}/{_plain(ri)}/{attribute}/set"

    def config(self, entity: Entity) -> str:
        """The discovery message of an entity."""
        return f"{self.discovery}/{entity.component}/{_plain(self.base)}/{entity.object_id}/config"


def entities_of(
    root: str, resource: Mapping[str, Any], path: str, topics: Topics, *, commands: bool = True
) -> Iterator[Entity]:
    """The entities of a flexContainer.

    Args:
        root: its root element, e.g. ``cod:tempe``.
        resource: its attributes.
        path: its structured address.
        topics: where messages go.
        commands: whether what can be switched may be switched.
    """
    names = _attributes(root)
    for attribute, value in custom(root, resource).items():
        long_name, kind = names.get(attribute, (attribute, ""))
        component, more = _component(root, attribute, kind, value, commands)
        if not component:
            continue
        object_id = f"{_plain(str(resource['ri']))}_{attribute}"
        config: dict[str, Any] = {
            "name": _spoken(long_name),
            "unique_id": f"{_plain(topics.base)}_{object_id}",
            "object_id": f"{_plain(path)}_{attribute}",
            "state_topic": topics.state(str(resource["ri"])),
            "value_template": f"{{{{ value_json.{attribute} }}}}",
            "availability_topic": topics.status,
            "device": _device(path, topics),
            "origin": {"name": "onemec"},
            **more,
        }
        if component != "sensor":
            config["value_template"] = f"{{{{ 'ON' if value_json.{attribute} else 'OFF' }}}}"
        if component == "switch":
            config["command_topic"] = topics.command(str(resource["ri"]), attribute)
        yield Entity(component, object_id, attribute, config)


def _component(root: str, attribute: str, kind: str, value: Any, commands: bool) -> tuple[str, dict[str, Any]]:
    """What an attribute becomes, and what its discovery message has besides."""
    if kind in _NOT_SHOWN or isinstance(value, list | dict):
        return "", {}
    if kind == "boolean" or isinstance(value, bool):
        return ("switch", {}) if commands and _SWITCHES.get(root) == attribute else ("binary_sensor", {})
    if kind in _NUMBERS or isinstance(value, int | float):
        more: dict[str, Any] = {"state_class": "total_increasing" if attribute in _RISING else "measurement"}
        if attribute in _CLASSES:
            more["device_class"], more["unit_of_measurement"] = _CLASSES[attribute]
        elif attribute == "lvl" and root == "cod:bat":
            more |= {"device_class": "battery", "unit_of_measurement": "%"}
        return "sensor", more
    return "sensor", {}


def _device(path: str, topics: Topics) -> dict[str, Any]:
    """What holds the flexContainer, for people a device: the AE, or the flexContainer it is a part of."""
    names = path.split("/")
    owner = "/".join(names[:-1]) if len(names) > 2 else path
    return {
        "identifiers": [f"{_plain(topics.base)}_{_plain(owner)}"],
        "name": owner.partition("/")[2] or owner,
        "manufacturer": "oneM2M",
        "model": "flexContainer",
    }


def custom(root: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    """The custom attributes of a flexContainer."""
    common = _common()
    return {name: value for name, value in resource.items() if name not in common and ":" not in name}


def state_of(root: str, resource: Mapping[str, Any]) -> str:
    """The message with all values of a flexContainer."""
    return json.dumps(custom(root, resource), ensure_ascii=False, sort_keys=True)


def value_of(payload: str) -> bool | None:
    """What a command says; None when it says nothing a switch knows."""
    return {"ON": True, "OFF": False}.get(payload.strip().upper())


def _attributes(root: str) -> dict[str, tuple[str, str]]:
    """Long name and type of the attributes of a root; nothing for one without a table."""
    from cse.resources.registry import load_registry

    table = load_registry()[_FLEX_CONTAINER].tables.get(root)
    return {row.name: (row.long_name, row.type_name) for row in table.attributes.values()} if table else {}


def _common() -> frozenset[str]:
    """The attributes that all flexContainers have."""
    from cse.resources.registry import load_registry

    tables = list(load_registry()[_FLEX_CONTAINER].tables.values())
    shared = {name for name in tables[0].attributes if all(name in table.attributes for table in tables)}
    return frozenset(shared | {"ty", "ri", "rn", "pi", "ct", "lt", "et", "acpi", "lbl", "cr", "st", "cs", "cnd", "dgt"})


def _plain(text: str) -> str:
    """A text as topics and identifiers of Home Assistant may have it."""
    return _NO_NAME.sub("_", text.strip("/"))


def _spoken(long_name: str) -> str:
    """``currentTemperature`` as people write it."""
    return _WORDS.sub(" ", long_name).capitalize()
