"""``onemec homeassistant``: flexContainers of a CSE in Home Assistant, by its MQTT discovery."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from onemec.completion import complete_address
from onemec.process import CannotStart, run_until_stopped, set_up_logging, tell
from onemec.resources_command import CSE_ID, URL, Cse, CseId, Json, address
from onemec.settings import log_level, seconds

if TYPE_CHECKING:
    from onemec.homeassistant.bridge import Bridge


def homeassistant(
    root: Annotated[
        str,
        typer.Argument(
            help="flexContainers below this.", parser=address, metavar="ADDRESS", autocompletion=complete_address
        ),
    ] = "-",
    mqtt: Annotated[
        str, typer.Option(envvar="ONEMEC_HOMEASSISTANT_MQTT", help="Home Assistant's broker, with user:password@.")
    ] = "mqtt://127.0.0.1:1883",
    prefix: Annotated[str, typer.Option(help="Its discovery prefix.")] = "homeassistant",
    commands: Annotated[bool, typer.Option("--commands/--read-only", help="Switches may be switched.")] = True,
    scan: Annotated[str, typer.Option(help="How often new flexContainers are looked for.")] = "10s",
    once: Annotated[bool, typer.Option("--once", help="Publish what is there now, and end.")] = False,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Annotated[str, typer.Option("--as", help="AE-ID to register as.")] = "Chomeassistant",
    level: Annotated[str, typer.Option("--log-level", help="debug, info, warning, error.")] = "warning",
    as_json: Json = False,
) -> None:
    """Show flexContainers (TS-0023) in Home Assistant, until SIGTERM or Ctrl-C; prints ready when it does.

    Each attribute is an entity: numbers and words are sensors, booleans binary sensors, binarySwitch a switch. The
    bridge registers as an AE and needs RETRIEVE, CREATE (subscriptions) and UPDATE (switches): onemec acp role ADDRESS
    --operator Chomeassistant. It opens no port.

    Examples: onemec homeassistant; onemec homeassistant -/house --mqtt mqtt://ha:secret@homeassistant.local --read-only
    """
    every_s = seconds("--scan", scan)
    set_up_logging(log_level(level), "homeassistant")

    async def work(stop: asyncio.Event) -> None:
        from cse.client import Client, RequestFailed, Unreachable
        from onemec.homeassistant.bridge import Bridge, BrokerRefused
        from onemec.homeassistant.mapping import Topics

        topics = Topics(f"onemec/{cse_id.strip('/')}", prefix)
        try:
            async with Client(cse, cse_id=cse_id, originator=originator, listen="poll") as client:
                await client.register("Nhomeassistant", "homeassistant")
                bridge = Bridge(client, root, topics, mqtt, commands)
                try:
                    await bridge.open()
                    _say(bridge, as_json)
                    if not once:
                        tell("ready")
                        await _keep(bridge, stop, every_s, as_json)
                finally:
                    await bridge.close()
        except (RequestFailed, Unreachable, BrokerRefused, ValueError) as error:
            raise CannotStart(str(error)) from error

    run_until_stopped(work)


async def _keep(bridge: Bridge, stop: asyncio.Event, every_s: float, as_json: bool) -> None:
    """Look for new ones until it is stopped; a CSE that is away is waited for."""
    from cse.client import RequestFailed, Unreachable

    told = bridge.counts.flex_containers
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await stop.wait()
                break
        with contextlib.suppress(RequestFailed, Unreachable):
            await bridge.look()
        if bridge.counts.flex_containers != told:
            told = bridge.counts.flex_containers
            _say(bridge, as_json)


def _say(bridge: Bridge, as_json: bool) -> None:
    counts = bridge.counts
    if as_json:
        tell(json.dumps(asdict(counts)))
    else:
        tell(f"{counts.flex_containers} flexContainers, {counts.entities} entities")
