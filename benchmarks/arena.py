"""One subject with everything the scenarios set up in it, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.driver import Effort, Generator, Measured
from benchmarks.processes import BenchError
from benchmarks.subjects import Subject
from benchmarks.tally import MARK
from benchmarks.wire import CONTAINER, CREATED, GROUP, SUBSCRIPTION

RIGHT_CREATE: dict[str, Any] = {"status": 201, "rsc": "2001"}
RIGHT_RETRIEVE: dict[str, Any] = {"status": 200, "rsc": "2000"}
HITS = 10
MEMBERS = 100
_FILLING_CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for.

    Attributes:
        effort: of one run.
        repetitions: runs per scenario.
        scale: part of the large numbers that is used, 1.0 for all.
    """

    effort: Effort
    repetitions: int = 5
    scale: float = 1.0

    def scaled(self, number: int) -> int:
        """A large number as it is used in this run."""
        return max(20, round(number * self.scale))


class Unsupported(Exception):
    """This subject cannot do what a scenario needs; the message says why."""


class Arena:
    """A subject and what was set up in it.

    Args:
        subject: the CSE.
        generator: the load generator process.
        options: of the run.
    """

    def __init__(self, subject: Subject, generator: Generator, options: Options) -> None:
        self.subject, self.generator, self.options = subject, generator, options
        self._made: dict[str, Any] = {}
        self._in_base: list[str] = []

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, made the first time."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @property
    def ae(self) -> str:
        """Address of the AE under which everything is."""
        address: str = self.once("ae", self._register)
        return address

    def _register(self) -> str:
        address = self.subject.register()
        self._in_base.append(address)
        return address

    def clean_up(self) -> None:
        """Delete what was made, for a CSE that goes on running."""
        for address in self._in_base:
            self.subject.ask("DELETE", address, timeout_s=600)

    def data(self) -> str:
        """A container with one instance."""

        def make() -> str:
            address = self.subject.container(self.ae, "data")
            self.fill([self.subject.speaker.create_instance(address)], 1)
            return address

        address: str = self.once("data", make)
        return address

    # --- filling -----------------------------------------------------------------------------------------------

    def fill(
        self, templates: list[bytes], count: int, *, first: int = 0, expected: dict[str, Any] | None = None
    ) -> float:
        """Send so many requests, all of which must succeed; returns how many a second they were.

        Raises:
            BenchError: one was refused.
        """
        measured = self.generator.http(
            self.subject.http,
            templates,
            clients=min(_FILLING_CLIENTS, count),
            expected=expected or RIGHT_CREATE,
            effort=Effort(count=count),
            first=first,
        )
        if measured.sample.wrong:
            raise BenchError(f"{self.subject.name} refused what a scenario needs: {_line(measured.sample.first_wrong)}")
        return measured.sample.rate

    def containers(self, parent: str, count: int, label: str = "", hits: int = 0) -> None:
        """Make containers below ``parent``, the first ``hits`` of them with the label."""
        number = MARK.decode()
        for name, attributes, some, first in (
            ("hit", {"lbl": [label]}, hits, 1),
            ("c", {"lbl": ["bench-other"]} if label else {}, count - hits, hits + 1),
        ):
            if some > 0:
                body = {"m2m:cnt": {"rn": f"{name}-{number}", **attributes}}
                self.fill([self.subject.speaker.http("POST", parent, body, CONTAINER)], some, first=first)

    def subscribe(self, target: str, originator: str = "") -> None:
        """Subscribe the generator's sink to new children."""
        attributes = {
            "rn": "sub",
            "nu": [f"http://127.0.0.1:{self.generator.sink_port()}/"],
            "enc": {"net": [3]},
            "nct": 1,
        }
        self.subject.create(target, SUBSCRIPTION, "m2m:sub", attributes, originator)

    def group(self) -> str:
        """A group of 100 containers; returns the address of its fan-out point."""

        def make() -> str:
            parent = self.subject.container(self.ae, "members")
            self.containers(parent, MEMBERS)
            members = [f"{parent}/c-{number:010}" for number in range(1, MEMBERS + 1)]
            attributes = {"rn": "group", "mt": CONTAINER, "mnm": MEMBERS, "mid": members}
            return self.subject.create(self.ae, GROUP, "m2m:grp", attributes) + "/fopt"

        address: str = self.once("group", make)
        return address

    # --- measuring ---------------------------------------------------------------------------------------------

    def http(self, templates: list[bytes], clients: int, expected: dict[str, Any], *, notified: str = "") -> Measured:
        """One run over HTTP."""
        return self.generator.http(
            self.subject.http,
            templates,
            clients=clients,
            expected=expected,
            effort=self.options.effort,
            notified=notified,
            pids=self.subject.pids,
        )

    def create(self, clients: int) -> Measured:
        """CREATE of instances over HTTP into a new container."""
        return self.create_in(self.subject.container(self.ae), clients)

    def create_in(self, container: str, clients: int) -> Measured:
        """CREATE of instances over HTTP into a container that is there."""
        return self.http([self.subject.speaker.create_instance(container)], clients, RIGHT_CREATE)

    def retrieve(self, path: str, clients: int, pattern: str) -> Measured:
        """RETRIEVE over HTTP; the answer must have ``pattern`` in it once."""
        expected = RIGHT_RETRIEVE | {"pattern": pattern, "count": 1}
        return self.http([self.subject.speaker.http("GET", path)], clients, expected)

    def discover(self, resources: int) -> Measured:
        """Discovery by label: 10 hits among so many resources, in a CSE that has no others where one can be started."""

        def make() -> tuple[Arena, str]:
            arena = self
            if self.subject.another is not None:
                arena = Arena(self.subject.another(), self.generator, self.options)
            tree = arena.subject.container(arena.ae, f"among-{resources}")
            arena.containers(tree, resources, f"hit-{resources}", HITS)
            return arena, tree

        arena, tree = self.once(f"tree of {resources}", make)
        query = f"{tree}?fu=1&lbl=hit-{resources}"
        expected = RIGHT_RETRIEVE | {"pattern": r"hit-\d{10}", "count": HITS}
        measured: Measured = arena.http([arena.subject.speaker.http("GET", query)], 32, expected)
        return measured

    def create_notified(self, clients: int, *, wait: bool) -> Measured:
        """CREATE with a subscription; ``wait``: the next only when the notification has come."""
        container = self.subject.container(self.ae)
        self.subscribe(container)
        template = self.subject.speaker.create_instance(container)
        return self.http([template], clients, RIGHT_CREATE, notified="wait" if wait else "count")

    def fan_out(self) -> Measured:
        """CREATE of an instance in each of 100 members through one request."""
        expected = RIGHT_RETRIEVE | {"pattern": r'"rsc":\s*2001', "count": MEMBERS}
        return self.http([self.subject.speaker.create_instance(self.group())], 1, expected)

    def mqtt(self, clients: int) -> Measured:
        """CREATE over MQTT into a new container."""
        if self.subject.broker is None:
            raise Unsupported("it is on no MQTT broker")
        container = self.subject.container(self.ae)
        speaker = self.subject.speaker
        return self.generator.mqtt(
            self.subject.broker,
            speaker.mqtt_create_instance(container),
            clients=clients,
            effort=self.options.effort,
            topics=speaker.mqtt_topics(self.subject.cse_id),
            pids=self.subject.pids,
        )

    def coap(self, clients: int) -> Measured:
        """CREATE over CoAP into a new container."""
        if self.subject.coap is None:
            raise Unsupported("it has no CoAP address")
        container = self.subject.container(self.ae)
        return self.generator.coap(
            self.subject.coap,
            self.subject.speaker.coap_create_instance(container),
            clients=clients,
            effort=self.options.effort,
            code=CREATED,
            pids=self.subject.pids,
        )

    def many_entities(self, entities: int, clients: int) -> Measured:
        """So many AEs with a container and a subscription each, and clients that post to all of them in turn."""

        def make() -> list[bytes]:
            number, speaker = MARK.decode(), self.subject.speaker
            tag = speaker.originator[-6:]
            who, name = f"Cb{tag}{number}", f"{speaker.originator}-{number}"
            nu = [f"http://127.0.0.1:{self.generator.sink_port()}/"]
            ae = {"m2m:ae": {"rn": name, "api": "Nbench", "rr": False, "srv": ["3"]}}
            subscription = {"m2m:sub": {"rn": "sub", "nu": nu, "enc": {"net": [3]}, "nct": 1}}
            for parent, body, ty in (
                (self.subject.base, ae, 2),
                (f"{self.subject.base}/{name}", {"m2m:cnt": {"rn": "data"}}, CONTAINER),
                (f"{self.subject.base}/{name}/data", subscription, SUBSCRIPTION),
            ):
                self.fill([speaker.http("POST", parent, body, ty, who)], entities, first=1)
            numbers = [f"{one:010}" for one in range(1, entities + 1)]
            self._in_base += [f"{self.subject.base}/{speaker.originator}-{one}" for one in numbers]
            return [
                speaker.create_instance(f"{self.subject.base}/{speaker.originator}-{one}/data", f"Cb{tag}{one}")
                for one in numbers
            ]

        return self.http(self.once("entities", make), clients, RIGHT_CREATE, notified="count")

    def with_effort(self, effort: Effort) -> Arena:
        """The same with another length of runs; what was set up is shared."""
        other = Arena(self.subject, self.generator, replace(self.options, effort=effort))
        other._made, other._in_base = self._made, self._in_base
        return other


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
