"""What the parts of a running stack tell about themselves, gathered from their public interfaces.

oneM2M requests to both CSEs as the admin, Mp1 requests to the MEC platform, the adapter's /status, and the lines of
figures that devices and the MEC application print.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from cse.client import Client, RequestFailed, Unreachable
from onemec.stack.parts import ADMIN, APP_NAME, EDGE_ID, EDGE_NAME, IN_ID, Part, StackConfig
from onemec.stack.trees import AE, CONTAINER, SUBSCRIPTION, Node, read_tree

_TIMEOUT_S = 5.0
_RATE_WINDOW_S = 4.0
_COMMAND_EVERY_S = 5.0
#: the container of an actuator that takes commands
COMMANDS = "command"


class Rates:
    """Events per second over the last seconds, from a counter that grows."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, count: int) -> None:
        """Note what the counter says now."""
        self._seen.append((now_s, count))
        while len(self._seen) > 2 and self._seen[0][0] < now_s - _RATE_WINDOW_S:
            self._seen.popleft()

    @property
    def per_s(self) -> float:
        """Events per second."""
        if len(self._seen) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


@dataclass(slots=True)
class Received:
    """What the MEC application has received, as it says itself.

    Attributes:
        count: how many instances, each counted once.
        instances: which: addresses of their containers, and names; kept only for a check.
        last: the last one: its container and its content.
        said: the last line about something else.
        rate: notifications per second.
    """

    count: int = 0
    instances: set[tuple[str, str]] = field(default_factory=set)
    last: tuple[str, str] = ("", "")
    said: str = ""
    rate: Rates = field(default_factory=Rates)


@dataclass(slots=True)
class Figures:
    """The last word of every part; None where there is none, or none any more.

    Attributes:
        devices: the last line of the devices.
        rates: readings acknowledged per second, by binding.
        received: of the MEC application.
        commands: commands sent to actuators, by container.
        adapter: its status.
        services: of the MEC platform, as a MEC application sees them.
        apps: application instances of the platform.
        edge: AEs and containers of the edge CSE.
        cloud: those of the cloud.
    """

    devices: dict[str, Any] = field(default_factory=dict)
    rates: dict[str, Rates] = field(default_factory=dict)
    received: Received = field(default_factory=Received)
    commands: Counter[str] = field(default_factory=Counter)
    adapter: dict[str, Any] | None = None
    services: list[dict[str, Any]] | None = None
    apps: list[dict[str, Any]] | None = None
    edge: list[Node] | None = None
    cloud: list[Node] | None = None

    def device_containers(self) -> list[Node]:
        """Containers at the edge that devices fill."""
        devices = {node.path for node in self.edge or () if node.type == AE and "onemec:device" in node.labels}
        return [
            node
            for node in self.edge or ()
            if node.type == CONTAINER and node.parent in devices and not node.path.endswith(f"/{COMMANDS}")
        ]

    def app_containers(self) -> list[str]:
        """Containers at the edge that the MEC application subscribed to."""
        return [node.parent for node in self.edge or () if node.type == SUBSCRIPTION and node.name == APP_NAME]

    def edge_count(self) -> int:
        """Instances in the devices' containers."""
        return sum(node.count for node in self.device_containers())

    def cloud_count(self) -> int:
        """Instances in the cloud's copies of containers of the edge."""
        return sum(node.count for node in self.cloud or () if node.origin.startswith(f"{EDGE_ID}/"))


class Observer:
    """Asks the parts again and again.

    Args:
        config: where they are.
    """

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        self.figures = Figures()
        self.edge = Client(config.url("edge"), cse_id=EDGE_ID, originator=ADMIN, timeout_s=_TIMEOUT_S)
        self.cloud = Client(config.url("cloud"), cse_id=IN_ID, originator=ADMIN, timeout_s=_TIMEOUT_S)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._commanding: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()

    async def start(self, every_s: float = 1.0) -> None:
        """Begin to ask every part ``every_s`` seconds, and to command an actuator now and then."""
        await self.edge.open()
        await self.cloud.open()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        self._tasks = [
            asyncio.create_task(self._for_ever(look, every_s))
            for look in (self.look_at_adapter, self.look_at_platform, self.look_at_edge, self.look_at_cloud)
        ]
        self._commanding = asyncio.create_task(self._command_for_ever())

    async def stop(self) -> None:
        """Ask no more."""
        await self.stop_commanding()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.edge.close()
        await self.cloud.close()
        if self._session is not None:
            await self._session.close()

    async def stop_commanding(self) -> None:
        """Send no more commands; returns when the last one is answered."""
        self._enough.set()
        if self._commanding is not None:
            await self._commanding

    async def _for_ever(self, look: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            await look()
            await asyncio.sleep(every_s)

    # --- one look ------------------------------------------------------------------------------------------------

    async def look_at_adapter(self) -> None:
        """The adapter's status."""
        status = await self._get(f"{self.config.url('adapter')}/status")
        self.figures.adapter = status if isinstance(status, dict) else None

    async def look_at_platform(self) -> None:
        """Services and application instances."""
        services = await self._get(f"{self.config.url('mep')}/mec_service_mgmt/v1/services")
        self.figures.services = services if isinstance(services, list) else None
        apps = await self._get(f"{self.config.url('mep')}/mep/v1/app_instances")
        self.figures.apps = apps if isinstance(apps, list) else None

    async def look_at_edge(self) -> None:
        """AEs and containers of the edge."""
        self.figures.edge = await _tree(self.edge)

    async def look_at_cloud(self) -> None:
        """AEs and containers of the cloud."""
        self.figures.cloud = await _tree(self.cloud)

    async def _get(self, url: str) -> Any:
        assert self._session is not None  # start() made it
        try:
            async with self._session.get(url) as response:
                return await response.json() if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None

    # --- commands ------------------------------------------------------------------------------------------------

    async def _command_for_ever(self) -> None:
        """Switch the first actuator every few seconds, so that commands can be seen to work."""
        target = f"{EDGE_NAME}/actuator-1/{COMMANDS}"
        while not self._enough.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), _COMMAND_EVERY_S)
                return
            if any(node.path == target for node in self.figures.edge or ()):
                with contextlib.suppress(RequestFailed, Unreachable):
                    await self.edge.post(target, "toggle", rcn=0)
                    self.figures.commands[target] += 1

    # --- lines ---------------------------------------------------------------------------------------------------

    def line(self, part: Part, line: str) -> None:
        """Take a line that a part has printed."""
        if part.name == "devices":
            self._device_line(line)
        elif part.name == "mec-app":
            self._app_line(line)

    def _device_line(self, line: str) -> None:
        report = _object(line)
        if report is None or "bindings" not in report:
            return
        self.figures.devices = report
        for binding, totals in report["bindings"].items():
            rates = self.figures.rates.setdefault(binding, Rates())
            rates.add(report["elapsed_s"], totals["acknowledged"])

    def _app_line(self, line: str) -> None:
        received = self.figures.received
        told = _object(line)
        if told is not None and "container" in told:
            received.count += 1
            received.last = (str(told["container"]), str(told.get("con", "")))
            if self.config.checking:
                received.instances.add((received.last[0], str(told.get("rn", ""))))
        elif told is not None and "received" in told:
            received.rate.add(time.monotonic(), received.count)
        elif line:
            received.said = line


def _object(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


async def _tree(client: Client) -> list[Node] | None:
    try:
        return await read_tree(client)
    except (RequestFailed, Unreachable):
        return None
