"""``onemec devices``: run simulated devices, list their kinds."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onemec.process import errors, fail, run_until_stopped, set_up_logging, tell, tell_ready
from onemec.settings import USAGE, environment, from_file, given, listed, log_format, log_level, option, seconds

if TYPE_CHECKING:
    from devices.fleet import FleetReport
    from devices.run import FleetConfig

#: where the edge CSE of `onemec up` listens by default, by binding
DEFAULT_URLS = {"http": "http://127.0.0.1:8081", "mqtt": "mqtt://127.0.0.1:1883", "coap": "coap://127.0.0.1:5683"}
#: a fleet of more devices is asked less often how far it is
_LARGE_FLEET = 1000
_HELPED_S = 2.0

_EXAMPLES = """
Examples:

  onemec devices run --kind meter --count 50 --rate 1/s --binding coap

  onemec devices run --kind temperature --cse mqtt://127.0.0.1:1883

  onemec devices run --config fleets.toml    (several \\[\\[devices.fleet]] tables)

Every option can be given as ONEMEC_DEVICES_<OPTION> in the environment or in
the \\[devices] table of a TOML file (--config); an option wins over the
environment, the environment over the file.
"""

app = typer.Typer(help="Run simulated devices, or list the kinds there are.", no_args_is_help=True)


@app.command("list")
def list_kinds(as_json: Annotated[bool, option("--json", help="Print JSON.")] = False) -> None:
    """List the kinds of devices: name, the binding it uses unless told otherwise, what it is.

    Example: onemec devices list --json
    """
    from devices.registry import kinds

    if as_json:
        tell(
            json.dumps(
                [
                    {
                        "name": kind.name.replace("_", "-"),
                        "binding": kind.binding,
                        "description": kind.description,
                        "exposed": kind.expose,
                    }
                    for kind in kinds().values()
                ],
                indent=2,
            )
        )
        return
    for kind in kinds().values():
        exposed = "  (MEC application instance)" if kind.expose else ""
        tell(f"{kind.name.replace('_', '-'):12} {kind.binding:5} {kind.description}{exposed}")


def run(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        option("--config", "-c", is_eager=True, callback=from_file("devices", ("fleet",)), help="TOML file."),
    ] = None,
    kind: Annotated[str, option(help="What they are: see onemec devices list.")] = "",
    count: Annotated[int, option(help="How many.")] = 1,
    rate: Annotated[str, option(help="Readings of each: 1/s, 10/min, 3600/h.")] = "1/s",
    binding: Annotated[str, option(help="http, mqtt or coap; default: as --cse says, else the kind's.")] = "",
    cse: Annotated[
        str, option(help="URL of the CSE (http://, coap://) or of its broker (mqtt://); default: as onemec up.")
    ] = "",
    cse_id: Annotated[str, option(help="CSE-ID of that CSE.")] = "/id-edge",
    name: Annotated[str, option(help="Devices are called NAME-1, NAME-2, ...; default: the kind.")] = "",
    seed: Annotated[int, option(help="The same seed gives the same values.")] = 0,
    duration: Annotated[str, option(help="How long, e.g. 30s; default: until SIGTERM or Ctrl-C.")] = "",
    expose: Annotated[
        bool | None, option("--expose/--no-expose", help="Become MEC application instances (mec:expose).")
    ] = None,
    reader: Annotated[list[str] | None, option(help="AE-ID, or all, that may read (repeat).")] = None,
    commander: Annotated[list[str] | None, option(help="AE-ID, or all, that may command (repeat).")] = None,
    label: Annotated[list[str] | None, option(help="One more label of each AE (repeat).")] = None,
    max_instances: Annotated[int | None, option(help="Most instances a container keeps (mni).")] = None,
    buffer: Annotated[int, option(help="Most readings a device keeps while the CSE is away.")] = 1000,
    timeout: Annotated[str, option(help="How long the CSE may take to answer.")] = "5s",
    grace: Annotated[str, option(help="At the end: how long to deliver what is left.")] = "5s",
    run_id: Annotated[str, option(help="Beginning of the names of all instances; default: of the time.")] = "",
    listen: Annotated[str, option(help="host:port for notifications over HTTP and CoAP.")] = "127.0.0.1:0",
    public_url: Annotated[str, option(help="How the CSE reaches that address, when it differs.")] = "",
    serialisation: Annotated[str, option(help="json or cbor.")] = "json",
    report: Annotated[str, option(help="How often a line of figures is printed.")] = "5s",
    as_json: Annotated[bool, option("--json", help="Print the figures as JSON, one object a line.")] = False,
    log_level_: Annotated[
        str, option("--log-level", envvar="ONEMEC_DEVICES_LOG_LEVEL", help="debug, info, warning, error.")
    ] = "warning",
    log_format_: Annotated[
        str, option("--log-format", envvar="ONEMEC_DEVICES_LOG_FORMAT", help="text, or json: one object a line.")
    ] = "text",
) -> None:
    """Run simulated devices until SIGTERM, Ctrl-C or the end of --duration; prints ready when all have registered.

    What a device has begun it finishes first. A CSE that is away is waited for, and readings are kept meanwhile.
    """
    own: dict[str, Any] = {
        "kind": kind,
        "count": count,
        "rate": rate,
        "binding": binding,
        "cse": cse,
        "cse_id": cse_id,
        "name": name,
        "seed": seed,
        "duration": duration,
        "expose": expose,
        "reader": reader,
        "commander": commander,
        "label": label,
        "max_instances": max_instances,
        "buffer": buffer,
        "timeout": timeout,
        "grace": grace,
        "run_id": run_id,
        "listen": listen,
        "public_url": public_url,
        "serialisation": serialisation,
    }
    set_up_logging(log_level(log_level_), "devices", log_format(log_format_))
    every_s = seconds("--report", report)
    if every_s <= 0:
        fail(f"--report {report}: give more than 0", USAGE)
    fleets = [_fleet(settings) for settings in _tables(ctx, own)]
    run_until_stopped(lambda stop: _Run(fleets, every_s, as_json).go(stop))


run.__doc__ = f"{run.__doc__}\n{_EXAMPLES}"
app.command("run", context_settings=environment("ONEMEC_DEVICES"))(run)


# --- what to run ---------------------------------------------------------------------------------------------------


def _tables(ctx: typer.Context, own: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings of each fleet: its table in the file, below them what holds for all."""
    tables = (ctx.obj or {}).get("fleet", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        fail("configuration file: fleet must be a list of tables, \\[\\[devices.fleet]]", USAGE)
    if not tables:
        return [own]
    fixed = {key: value for key, value in own.items() if given(ctx, key)}
    merged = []
    for table in tables:
        named = {key.replace("-", "_"): value for key, value in table.items()}
        unknown = named.keys() - own.keys()
        if unknown:
            fail(f"configuration file: a fleet has no setting {min(unknown)!r}: see onemec devices run --help", USAGE)
        merged.append({**own, **named, **fixed})
    return merged


def _fleet(settings: dict[str, Any]) -> FleetConfig:
    from devices.registry import kind_named, kinds
    from devices.run import FleetConfig, parse_rate

    if not settings["kind"]:
        fail(f"--kind is missing: give one of {', '.join(known.replace('_', '-') for known in kinds())}", USAGE)
    try:
        kind = kind_named(settings["kind"])
        url = settings["cse"] or DEFAULT_URLS.get(settings["binding"] or kind.binding, "")
        if not url:
            raise ValueError(f"binding {settings['binding']!r}: choose one of {', '.join(DEFAULT_URLS)}")
        config = FleetConfig(
            kind=kind.name,
            count=int(settings["count"]),
            rate_per_s=parse_rate(str(settings["rate"])),
            url=url,
            binding=settings["binding"],
            cse_id=settings["cse_id"],
            seed=int(settings["seed"]),
            duration_s=seconds("--duration", settings["duration"]) if settings["duration"] else None,
            name_prefix=settings["name"],
            expose=settings["expose"],
            readers=listed(_texts(settings["reader"])) or ("all",),
            commanders=listed(_texts(settings["commander"])) or ("all",),
            labels=listed(_texts(settings["label"])),
            max_instances=settings["max_instances"],
            buffer_size=int(settings["buffer"]),
            timeout_s=seconds("--timeout", str(settings["timeout"])),
            grace_s=seconds("--grace", str(settings["grace"])),
            run_id=settings["run_id"],
            listen=settings["listen"],
            public_url=settings["public_url"],
            serialisation=settings["serialisation"],
            report_interval_s=0.25 if int(settings["count"]) <= _LARGE_FLEET else 1.0,
        )
        config.devices()
    except ValueError as error:
        fail(str(error), USAGE)
    return config


def _texts(value: list[str] | str | None) -> list[str]:
    return [value] if isinstance(value, str) else [str(entry) for entry in value or ()]


# --- running it ----------------------------------------------------------------------------------------------------


class _Run:
    """Fleets that run together, and what is said about them.

    Args:
        fleets: what to run.
        every_s: seconds between two lines of figures.
        as_json: figures as JSON.
    """

    def __init__(self, fleets: list[FleetConfig], every_s: float, as_json: bool) -> None:
        self._fleets = fleets
        self._every_s = every_s
        self._as_json = as_json
        self._reports: dict[int, FleetReport] = {}
        self._ready = asyncio.Event()
        self._started_at = time.monotonic()

    async def go(self, stop: asyncio.Event) -> int:
        """Run until ``stop``; returns the exit code."""
        from devices.run import run_fleet

        for fleet in self._fleets:
            rate = f"{fleet.rate_per_s:g}/s each" if fleet.rate_per_s else ""
            tell(f"{fleet.count} x {fleet.kind.replace('_', '-')}, {rate}, seed {fleet.seed}")
            tell(f"  {fleet.spoken:5} {fleet.url} ({fleet.cse_id})")
        telling = asyncio.create_task(self._tell_for_ever())
        helping = asyncio.create_task(self._say_who_is_missing())
        try:
            await asyncio.gather(
                *(run_fleet(fleet, self._taker(number), stop) for number, fleet in enumerate(self._fleets))
            )
        except ValueError as error:
            fail(str(error), USAGE)
        finally:
            telling.cancel()
            helping.cancel()
        self._tell_figures(final=True)
        return 0

    def _taker(self, number: int) -> Any:
        def take(report: FleetReport) -> None:
            self._reports[number] = report
            if not self._ready.is_set() and len(self._reports) == len(self._fleets):
                states = self._states()
                if states.keys() <= {"running", "stopped"} and "running" in states:
                    self._ready.set()
                    tell_ready()
                    self._tell_figures()

        return take

    def _all(self) -> FleetReport:
        from devices.fleet import FleetReport

        return sum(self._reports.values(), FleetReport())

    def _states(self) -> Counter[str]:
        return Counter(device.state for device in self._all().devices)

    async def _say_who_is_missing(self) -> None:
        """One line when it takes long until all devices are there, one when trouble comes or goes later."""
        told = ""
        await asyncio.sleep(_HELPED_S)
        while True:
            devices = self._all().devices
            away = [device for device in devices if device.state in ("away", "refused")]
            if not away and told:
                errors.print("onemec: all devices are served again", markup=False)
                told = ""
            elif away and not told:
                told = away[0].last_error
                errors.print(
                    f"onemec: {len(away)} of {len(devices)} devices are not served yet, trying again until they are; "
                    f"{away[0].name}: {told}",
                    markup=False,
                )
            await asyncio.sleep(_HELPED_S)

    async def _tell_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            self._tell_figures()

    def _tell_figures(self, *, final: bool = False) -> None:
        if self._as_json:
            tell(json.dumps(self._figures(final), separators=(",", ":")))
            return
        total = self._all().totals()
        line = f"sent {total.sent}, acknowledged {total.acknowledged}, refused {total.failed}"
        line += f", dropped {total.dropped}, waiting {total.waiting}"
        states = ", ".join(f"{count} {state}" for state, count in sorted(self._states().items()))
        tell(f"{line} ({states})" if sys.stdout.isatty() or not final else line)

    def _figures(self, final: bool) -> dict[str, Any]:
        everything = self._all()
        figures: dict[str, Any] = {
            "elapsed_s": round(time.monotonic() - self._started_at, 3),
            "ready": self._ready.is_set(),
            "states": dict(self._states()),
            **asdict(everything.totals()),
            "bindings": {binding: asdict(totals) for binding, totals in everything.per_binding().items()},
        }
        if final:
            figures["final"] = True
            figures["each"] = [asdict(device) for device in everything.devices]
        return figures
