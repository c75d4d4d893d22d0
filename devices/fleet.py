"""Many devices in one process: those over HTTP share one transport, those over CoAP a few, those over MQTT none.

A CoAP endpoint has one request at a time on its way to another (RFC 7252 clause 4.7, NSTART), so that a lost message
would hold up all devices behind one socket. A broker knows a device by its client id and its topics, so real MQTT
devices never share a connection; simulated ones do not either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cse.client import Transport, open_transport
from devices.device import Device, DeviceConfig
from devices.outbox import DeviceReport

#: devices that share a transport; a binding that is not here has a transport for all
_SHARING = {"mqtt": 1, "coap": 8}


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over devices; see ``DeviceReport``."""

    devices: int = 0
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class FleetReport:
    """How far a fleet is."""

    devices: tuple[DeviceReport, ...] = ()

    def __add__(self, other: FleetReport) -> FleetReport:
        return FleetReport(self.devices + other.devices)

    def totals(self, binding: str | None = None) -> Totals:
        """Sums over the devices of one binding, or over all."""
        chosen = [device for device in self.devices if binding in (None, device.binding)]
        return Totals(
            len(chosen),
            sum(device.sent for device in chosen),
            sum(device.acknowledged for device in chosen),
            sum(device.failed for device in chosen),
            sum(device.dropped for device in chosen),
            sum(device.waiting for device in chosen),
        )

    def per_binding(self) -> dict[str, Totals]:
        """Sums for each binding in use."""
        return {binding: self.totals(binding) for binding in sorted({device.binding for device in self.devices})}


class Fleet:
    """Devices at one CSE that start and stop together.

    Args:
        configs: the devices.
        url: of the CSE, or for MQTT of its broker; all devices have the same binding.
        cse_id: CSE-ID of the CSE.
        listen: host and port for notifications over HTTP and CoAP.
        public_url: how the CSE reaches that listener (over MQTT: the broker) when it is not at the address it has here.
        serialisation: ``json`` or ``cbor``.

    Raises:
        ValueError: a URL, ``listen`` or ``serialisation`` that makes no sense.
    """

    def __init__(
        self,
        configs: Sequence[DeviceConfig],
        url: str,
        *,
        cse_id: str = "/id-in",
        listen: str = "127.0.0.1:0",
        public_url: str = "",
        serialisation: str = "json",
    ) -> None:
        def transport() -> Transport:
            return open_transport(url, cse_id=cse_id, listen=listen, public_url=public_url, serialisation=serialisation)

        size = _SHARING.get(configs[0].binding, len(configs)) if configs else 1
        shared = [transport() for _ in range(0, len(configs), size)]
        self._transports = [shared[number // size] for number in range(len(configs))]
        self._devices = [Device(config, way) for config, way in zip(configs, self._transports, strict=True)]

    def report(self) -> FleetReport:
        """How far the devices are."""
        return FleetReport(tuple(device.report() for device in self._devices))

    async def run(
        self, stop: asyncio.Event, report: Callable[[FleetReport], None] | None = None, interval_s: float = 1.0
    ) -> FleetReport:
        """Run all devices until ``stop``; returns when everything begun is finished.

        Args:
            stop: ends the devices.
            report: is called with the state of things again and again.
            interval_s: how often.
        """
        async with AsyncExitStack() as stack:
            for transport in set(self._transports):
                stack.push_async_callback(transport.close)
            async with asyncio.TaskGroup() as group:
                reporting = group.create_task(self._report_for_ever(report, interval_s)) if report else None
                running = [group.create_task(device.run(stop)) for device in self._devices]
                if running:
                    await asyncio.wait(running)
                if reporting is not None:
                    reporting.cancel()
        final = self.report()
        if report is not None:
            report(final)
        return final

    async def _report_for_ever(self, report: Callable[[FleetReport], None], interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            report(self.report())
