"""FlexContainers of a CSE as entities of Home Assistant, by its MQTT discovery (docs/home-assistant.md)."""
