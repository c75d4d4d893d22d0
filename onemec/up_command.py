"""``onemec up``: the whole stack on this machine, with a live view or with a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console

from onemec.process import CannotStart, fail, run_until_stopped
from onemec.settings import USAGE, environment, option, seconds
from onemec.stack.brokers import BrokerTrouble, choose_broker
from onemec.stack.parts import NoExample, Part, StackConfig, parts_of, write_fleets
from onemec.stack.ports import LOOPBACK, USES, PortInUse, choose_ports
from onemec.stack.supervisor import PartFailed, Supervisor

if TYPE_CHECKING:
    from onemec.stack.check import CheckPlan
    from onemec.stack.observe import Observer

CONTEXT = environment("ONEMEC_UP")
_PROGRESS_S = 5.0
#: trees with many devices are read less often: seconds between two looks are devices divided by this
_LOOKS_PER_DEVICE = 100.0

_EXAMPLES = """
Examples:

  onemec up                                 live view; Ctrl-C stops everything

  onemec up --devices 50 --rate 2/s --data ./stack      keep data and logs

  onemec up --check 30s                     run, count end to end, exit 0 or 1

  onemec up --check 30s --kill-cloud 10s:20s     with the cloud away in between

Ports: cloud 8080, edge 8081, CoAP 5683, adapter 8082, MEC platform 8090, broker
1883. A documented port that is taken is replaced by a free one; a port that is
given has to be free. The broker is the one at --mqtt-url, or the one that runs on
1883, or else our own.

Every option can be given as ONEMEC_UP_<OPTION> in the environment.
"""


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the options say."""

    devices: int
    rate: str
    seed: int
    mqtt_url: str
    data: Path | None
    ports: dict[str, int | None]
    plan: CheckPlan | None


def up(
    devices: Annotated[int, option(help="How many simulated devices.")] = 12,
    rate: Annotated[str, option(help="Readings of each: 1/s, 10/min.")] = "1/s",
    seed: Annotated[int, option(help="The same seed gives the same readings.")] = 0,
    check: Annotated[str, option(help="Run so long without a view, verify end to end, exit 0 or 1.")] = "",
    kill_cloud: Annotated[str, option(help="With --check: kill -9 the cloud at 10s, start it at 20s: 10s:20s.")] = "",
    mqtt_url: Annotated[str, option(help="MQTT broker mqtt://host:port, or embedded for our own.")] = "",
    data: Annotated[Path | None, option(help="Folder for data and logs; default: one that is removed.")] = None,
    cloud_port: Annotated[int | None, option(help="HTTP port of the cloud IN-CSE; 0: any free one.")] = None,
    edge_port: Annotated[int | None, option(help="HTTP port of the edge CSE.")] = None,
    coap_port: Annotated[int | None, option(help="CoAP (UDP) port of the edge CSE.")] = None,
    adapter_port: Annotated[int | None, option(help="Port of the adapter.")] = None,
    mep_port: Annotated[int | None, option(help="Port of the MEC platform.")] = None,
    broker_port: Annotated[int | None, option(help="Port of our own broker.")] = None,
) -> None:
    """Start the whole stack on this machine: broker, MEC platform, cloud and edge CSE, adapter, devices, MEC app."""
    ports = {
        "cloud": cloud_port,
        "edge": edge_port,
        "coap": coap_port,
        "adapter": adapter_port,
        "mep": mep_port,
        "broker": broker_port,
    }
    for use in USES:
        port = ports[use.name]
        if port is not None and not 0 <= port <= 65535:
            fail(f"{use.option} {port}: give a port from 1 to 65535, or 0 for any free one", USAGE)
    if devices < 1:
        fail(f"--devices {devices}: give 1 or more", USAGE)
    from devices.run import parse_rate

    try:
        parse_rate(rate)
    except ValueError as error:
        fail(f"--rate: {error}", USAGE)
    wishes = _Wishes(devices, rate, seed, mqtt_url, data, ports, _plan(check, kill_cloud))
    run_until_stopped(lambda stop: _Up(wishes).go(stop))


up.__doc__ = f"{up.__doc__}\n{_EXAMPLES}"


def _plan(check: str, kill_cloud: str) -> CheckPlan | None:
    from onemec.stack.check import CheckPlan

    if not check:
        if kill_cloud:
            fail("--kill-cloud needs --check, e.g. --check 30s --kill-cloud 10s:20s", USAGE)
        return None
    duration_s = seconds("--check", check)
    if duration_s < 1:
        fail(f"--check {check}: give 1s or more", USAGE)
    if not kill_cloud:
        return CheckPlan(duration_s)
    begin, colon, end = kill_cloud.partition(":")
    if not colon:
        fail(f"--kill-cloud {kill_cloud!r}: write when it is killed and when it is started again, e.g. 10s:20s", USAGE)
    kill_at_s, restart_at_s = seconds("--kill-cloud", begin), seconds("--kill-cloud", end)
    if not kill_at_s < restart_at_s < duration_s:
        fail(
            f"--kill-cloud {kill_cloud}: both times must lie within --check {check}, the second after the first", USAGE
        )
    return CheckPlan(duration_s, kill_at_s, restart_at_s)


class _Up:
    """One ``onemec up``.

    Args:
        wishes: what the options say.
    """

    def __init__(self, wishes: _Wishes) -> None:
        self._wishes = wishes
        self._console = Console(highlight=False, soft_wrap=True)
        self._started_at = time.monotonic()
        self._keep = wishes.data is not None

    def _say(self, line: str, style: str | None = None) -> None:
        self._console.print(line, markup=False, style=style)

    async def go(self, stop: asyncio.Event) -> int:
        """Start everything, show or check it, stop everything; returns the exit code."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, stop.set)
        folder = self._folder()
        try:
            config = await self._config(folder)
            return await self._run(config, stop)
        finally:
            if self._keep:
                self._say(f"data and logs are in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)

    def _folder(self) -> Path:
        given = self._wishes.data
        try:
            folder = given.expanduser().resolve() if given else Path(tempfile.mkdtemp(prefix="onemec-"))
            (folder / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotStart(f"--data {given}: {error.strerror}: {error.filename}") from error
        return folder

    async def _config(self, folder: Path) -> StackConfig:
        wishes = self._wishes
        try:
            broker = await choose_broker(wishes.mqtt_url)
            ports = choose_ports(wishes.ports)
        except (BrokerTrouble, PortInUse) as error:
            raise CannotStart(str(error)) from error
        if broker.remark:
            self._say(f"  {broker.remark}")
        for use in USES:
            if wishes.ports[use.name] is None and ports[use.name] != use.default:
                if use.name == "broker" and not broker.embedded:
                    continue
                self._say(
                    f"  port {use.default} is taken: {use.title} on {ports[use.name]} ({use.option} chooses another)"
                )
        return StackConfig(
            folder=folder,
            ports=ports,
            broker_url=broker.url or f"mqtt://{LOOPBACK}:{ports['broker']}",
            embedded=broker.embedded,
            devices=wishes.devices,
            rate=wishes.rate,
            seed=wishes.seed,
            run_id=f"r{int(time.time() * 1000):x}",
            checking=wishes.plan is not None,
        )

    async def _run(self, config: StackConfig, stop: asyncio.Event) -> int:
        from onemec.stack.observe import Observer

        try:
            write_fleets(config)
            parts = parts_of(config)
        except NoExample as error:
            raise CannotStart(str(error)) from error
        observer = Observer(config)
        supervisor = Supervisor(parts, config.folder / "logs", observer.line, self._ready)
        ours = " (our own)" if config.embedded else ""
        self._say(f"onemec up: {config.devices} devices, broker {config.broker_url}{ours}")
        self._say(f"  logs in {config.folder / 'logs'}")
        try:
            if not await _unless(stop, supervisor.start()):
                return 0
            await observer.start(max(1.0, config.devices / _LOOKS_PER_DEVICE))
            self._say(f"everything is up after {time.monotonic() - self._started_at:.1f} s")
            self._say(f"  console {config.url('edge')}/console/")
            return await self._show_or_check(config, supervisor, observer, stop)
        except PartFailed as error:
            self._keep = True
            raise CannotStart(str(error)) from error
        finally:
            await observer.stop()
            killed = await supervisor.stop()
            for title in killed:
                self._say(f"  {title} did not end in time and was killed")
            self._say("everything is stopped")

    def _ready(self, part: Part, after_s: float) -> None:
        self._say(f"  {part.title:24} {part.address:44} {after_s:4.1f} s")

    async def _show_or_check(
        self, config: StackConfig, supervisor: Supervisor, observer: Observer, stop: asyncio.Event
    ) -> int:
        if self._wishes.plan is not None:
            return await self._check(self._wishes.plan, supervisor, observer, stop)
        if sys.stdout.isatty():
            from onemec.stack.view import View

            await View(config, supervisor, observer).show(stop)
            for running in supervisor.died():
                self._keep = True
                self._say(f"{running.part.title} has ended, {running.end_in_words()}")
            return 0
        return await self._tell_for_ever(supervisor, observer, stop)

    async def _check(self, plan: CheckPlan, supervisor: Supervisor, observer: Observer, stop: asyncio.Event) -> int:
        from onemec.stack.check import Check, Interrupted
        from onemec.stack.report import print_verdict

        try:
            verdict = await Check(plan, supervisor, observer, self._say).run(stop)
        except Interrupted:
            self._say("interrupted before the end: nothing is verified")
            return 130
        print_verdict(self._console, verdict)
        self._keep = self._keep or not verdict.passed
        return 0 if verdict.passed else 1

    async def _tell_for_ever(self, supervisor: Supervisor, observer: Observer, stop: asyncio.Event) -> int:
        """A line of figures now and then, for outputs that are no terminals."""
        from onemec.stack.check import in_words

        told: set[str] = set()
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PROGRESS_S)
            self._say(f"{time.monotonic() - self._started_at:4.0f} s: {in_words(observer)}")
            for running in supervisor.died():
                if running.part.name not in told:
                    told.add(running.part.name)
                    self._keep = True
                    self._say(f"{running.part.title} has ended, {running.end_in_words()}")
        return 0


async def _unless(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Whether some work was finished before ``stop`` was set; else it is given up."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
