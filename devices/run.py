"""Run a fleet of simulated devices: the entry point for the command line and for tests."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from devices.device import DeviceConfig
from devices.fleet import Fleet, FleetReport
from devices.kind import BINDINGS
from devices.registry import kind_named
from devices.signals import derive, noise

_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:\s*/\s*(s|sec|second|m|min|minute|h|hour))?", re.ASCII)
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_SCHEMES = {"http": "http", "https": "http", "mqtt": "mqtt", "mqtts": "mqtt", "coap": "coap"}
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def parse_rate(text: str) -> float:
    """Readings per second of a text like ``1/s``, ``10/min``, ``0.5/s``, ``3600/h``, or ``2`` (per second).

    Raises:
        ValueError: it is no rate, or 0.
    """
    match = _RATE.fullmatch(text.strip())
    rate_per_s = float(match.group(1)) / _UNIT_S[(match.group(2) or "s")[0]] if match else 0.0
    if not 0.0 < rate_per_s < float("inf"):
        raise ValueError(f"rate {text!r}: give e.g. 1/s, 10/min or 3600/h")
    return rate_per_s


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """A fleet of devices of one kind.

    Attributes:
        kind: name of the kind, see ``devices.registry``.
        count: how many.
        rate_per_s: readings per second of each device; kinds that only react do not use it.
        url: of the CSE (``http://``, ``coap://``), or of its broker (``mqtt://``).
        binding: ``http``, ``mqtt`` or ``coap``; "" takes it from ``url``.
        cse_id: CSE-ID of the CSE.
        seed: of all signals; the same seed gives the same values.
        duration_s: how long to run; None runs until stopped.
        name_prefix: devices are called ``<prefix>-1``, ...; "" takes the name of the kind.
        expose: devices become MEC application instances; None leaves it to the kind.
        readers: AE-IDs (or ``all``) that may read the data and subscribe to it.
        commanders: AE-IDs (or ``all``) that may send commands.
        labels: more labels of each AE.
        max_instances: most instances a container keeps; None for no limit.
        buffer_size: most readings a device keeps while the CSE is away.
        timeout_s: how long the CSE may take to answer.
        grace_s: how long devices go on to deliver what is left when they have to stop; an answer may take
            ``timeout_s`` more.
        run_id: beginning of the names of all instances, unique to this run; "" makes one of the time.
        listen: host and port for notifications over HTTP and CoAP.
        public_url: how the CSE reaches that listener (over MQTT: the broker) when it is not at the address it has here.
        serialisation: ``json`` or ``cbor``.
        report_interval_s: how often ``run_fleet`` reports.

    Raises:
        ValueError: something that cannot work; the message says what to give instead.
    """

    kind: str
    count: int = 1
    rate_per_s: float = 1.0
    url: str = "http://127.0.0.1:8080"
    binding: str = ""
    cse_id: str = "/id-in"
    seed: int = 0
    duration_s: float | None = None
    name_prefix: str = ""
    expose: bool | None = None
    readers: tuple[str, ...] = ("all",)
    commanders: tuple[str, ...] = ("all",)
    labels: tuple[str, ...] = ()
    max_instances: int | None = None
    buffer_size: int = 1000
    timeout_s: float = 5.0
    grace_s: float = 3.0
    run_id: str = ""
    listen: str = "127.0.0.1:0"
    public_url: str = ""
    serialisation: str = "json"
    report_interval_s: float = 1.0

    def __post_init__(self) -> None:
        kind_named(self.kind)
        spoken = _SCHEMES.get(urlsplit(self.url).scheme.lower())
        if spoken is None:
            raise ValueError(f"{self.url!r}: give http://host:port, coap://host:port or mqtt://host:port")
        if self.binding and self.binding not in BINDINGS:
            raise ValueError(f"binding {self.binding!r}: choose one of {', '.join(BINDINGS)}")
        if self.binding and self.binding != spoken:
            raise ValueError(f"binding {self.binding} does not go with {self.url}: give a {self.binding}:// URL")
        if self.count < 1:
            raise ValueError(f"count {self.count}: give 1 or more")
        if not 0.0 < self.rate_per_s < float("inf"):
            raise ValueError(f"rate {self.rate_per_s} per second: give more than 0")
        if self.duration_s is not None and not self.duration_s > 0:
            raise ValueError(f"duration {self.duration_s} s: give more than 0")
        if self.name_prefix and not _NAME.fullmatch(self.name_prefix):
            raise ValueError(f"name {self.name_prefix!r}: use letters, digits, '-', '.', '_'")

    @property
    def spoken(self) -> str:
        """The binding the devices use."""
        return self.binding or _SCHEMES[urlsplit(self.url).scheme.lower()]

    def devices(self) -> list[DeviceConfig]:
        """The devices of this fleet."""
        kind = kind_named(self.kind)
        prefix = self.name_prefix or kind.name
        run_id = self.run_id or _token(time.time_ns() // 1_000_000)
        names = [f"{prefix}-{number}" for number in range(1, self.count + 1)]
        return [
            DeviceConfig(
                name=name,
                kind=kind,
                binding=self.spoken,
                run_id=run_id,
                seed=derive(self.seed, name),
                rate_per_s=self.rate_per_s,
                # spread over one interval or second, so that fifty devices do not speak at once
                phase_s=(noise(derive(self.seed, name), -4) + 1.0) / 2.0 * min(1.0, 1.0 / self.rate_per_s),
                expose=kind.expose if self.expose is None else self.expose,
                readers=self.readers,
                commanders=self.commanders,
                labels=self.labels,
                max_instances=self.max_instances,
                buffer_size=self.buffer_size,
                timeout_s=self.timeout_s,
                grace_s=self.grace_s,
            )
            for name in names
        ]


async def run_fleet(
    config: FleetConfig,
    report: Callable[[FleetReport], None] | None = None,
    stop: asyncio.Event | None = None,
) -> FleetReport:
    """Run a fleet until its time is over or ``stop`` is set; returns when everything begun is finished.

    A CSE that does not answer is no error here: devices wait for it and keep their readings meanwhile.

    Args:
        config: the fleet.
        report: is called about every ``report_interval_s`` seconds, and once at the end.
        stop: ends the run.

    Returns:
        What came of it: ``sent`` and ``acknowledged`` are exact.
    """
    fleet = Fleet(
        config.devices(),
        config.url,
        cse_id=config.cse_id,
        listen=config.listen,
        public_url=config.public_url,
        serialisation=config.serialisation,
    )
    ending = asyncio.Event()
    watch = asyncio.create_task(_end(ending, stop, config.duration_s))
    try:
        return await fleet.run(ending, report, config.report_interval_s)
    finally:
        watch.cancel()


async def _end(ending: asyncio.Event, stop: asyncio.Event | None, duration_s: float | None) -> None:
    try:
        async with asyncio.timeout(duration_s):
            await (stop or asyncio.Event()).wait()
    except TimeoutError:
        pass
    ending.set()


def _token(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _ALPHABET[digit] + digits
    return digits or "0"
