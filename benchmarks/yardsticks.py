"""The yardsticks of a run: the load generator's own ceiling per binding, and a raw uvicorn JSON echo."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.driver import Address, Effort, Generator
from benchmarks.processes import LOOPBACK, Stage, free_port
from benchmarks.scenarios import PER_SECOND, Reading, Scenario, rate
from benchmarks.wire import CREATED, Speaker

ECHO = "echo-uvicorn-c32"
_EXPECTED = {"status": 201}


class Yardsticks:
    """Trivial servers, started when they are first needed.

    Args:
        stage: ends them.
        generator: drives them.
        broker: where the MQTT echo is, None when MQTT is not measured.
    """

    def __init__(self, stage: Stage, generator: Generator, broker: Address | None) -> None:
        self._stage, self._generator, self._broker = stage, generator, broker
        self._ports: dict[str, int] = {}
        self._speaker = Speaker("echo")

    def wanted(self, scenarios: Iterable[Scenario]) -> list[tuple[str, str]]:
        """Names and titles of those that belong to the scenarios."""
        found = {ECHO: "raw uvicorn JSON echo, c=32"}
        for scenario in scenarios:
            if scenario.unit == PER_SECOND and scenario.binding in ("http", "coap", "mqtt"):
                if scenario.binding == "mqtt" and self._broker is None:
                    continue
                what = {"http": "bare uvloop and httptools echo", "coap": "UDP echo", "mqtt": "echo over the broker"}
                name = ceiling(scenario)
                found[name] = f"ceiling of the generator: {what[scenario.binding]}, c={name.rpartition('-c')[2]}"
        return list(found.items())

    def measure(self, name: str, effort: Effort) -> Reading:
        """One run of a yardstick."""
        kind, clients = name.split("-")[1], int(name.rpartition("-c")[2])
        if kind == "mqtt":
            assert self._broker is not None
            self._port(kind)
            return rate(
                self._generator.mqtt(
                    self._broker,
                    self._speaker.mqtt_create_instance("cse-in/bench/data"),
                    clients=clients,
                    effort=effort,
                    topics=self._speaker.mqtt_topics("/echo"),
                )
            )
        address = (LOOPBACK, self._port(kind))
        if kind == "coap":
            wire = self._speaker.coap_create_instance("cse-in/bench/data")
            return rate(self._generator.coap(address, wire, clients=clients, effort=effort, code=CREATED))
        request = self._speaker.create_instance("cse-in/bench/data")
        return rate(self._generator.http(address, [request], clients=clients, expected=_EXPECTED, effort=effort))

    def _port(self, kind: str) -> int:
        if kind not in self._ports:
            if kind == "mqtt":
                assert self._broker is not None
                port = self._broker[1]
                self._stage.python("-m", "benchmarks.ceiling", kind, str(port)).wait_for_line("ready")
            elif kind == "uvicorn":
                port = free_port()
                self._stage.python("-m", "benchmarks.echo", str(port)).wait_for_port(port)
            else:
                port = free_port()
                self._stage.python("-m", "benchmarks.ceiling", kind, str(port)).wait_for_line("ready")
            self._ports[kind] = port
        return self._ports[kind]


def ceiling(scenario: Scenario) -> str:
    """Name of the yardstick that bounds a scenario."""
    if scenario.binding == "mqtt":
        return f"ceiling-mqtt-c{scenario.clients}"
    return f"ceiling-{scenario.binding}-c{32 if scenario.clients > 1 else 1}"
