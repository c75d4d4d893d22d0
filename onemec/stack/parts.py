"""The parts of the stack: which processes, with which commands, in which order, and where they are found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onemec

LOOPBACK = "127.0.0.1"
ADMIN = "CAdmin"
IN_ID, IN_NAME = "/id-in", "cse-in"
EDGE_ID, EDGE_NAME = "/id-edge", "cse-edge"
#: resourceName of the MEC application's AE and of its subscriptions
APP_NAME = "mec-app"
#: instances a container keeps when the stack runs until it is stopped
_LIVE_INSTANCES = 20_000


@dataclass(frozen=True, slots=True)
class StackConfig:
    """What to start.

    Attributes:
        folder: data and logs.
        ports: by the names in ``stack.ports``.
        broker_url: the MQTT broker.
        embedded: it is ours and has to be started.
        devices: how many.
        rate: readings of each, e.g. ``1/s``.
        seed: of their signals.
        run_id: beginning of the names of their instances.
        checking: a run that is verified afterwards: nothing may be forgotten, and devices may take time to finish.
    """

    folder: Path
    ports: dict[str, int]
    broker_url: str
    embedded: bool
    devices: int = 12
    rate: str = "1/s"
    seed: int = 0
    run_id: str = ""
    checking: bool = False

    def url(self, name: str, scheme: str = "http") -> str:
        """The URL of a listener."""
        return f"{scheme}://{LOOPBACK}:{self.ports[name]}"


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack.

    Attributes:
        name: short name, also of its log.
        title: for people.
        address: for people.
        command: how to start it.
        after: names of the parts that must be ready before.
        ready: beginning of the line that says that it is ready.
        wave: when it is stopped: all of one wave together, the lowest first.
    """

    name: str
    title: str
    address: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    ready: str = "ready"
    wave: int = 0


class NoExample(Exception):
    """The example application is not where it should be; the message says where that is."""


def parts_of(config: StackConfig) -> list[Part]:
    """The processes of a stack; those that others wait for come first.

    Raises:
        NoExample: the MEC application cannot be found.
    """
    broker = ("broker",) if config.embedded else ()
    found = [
        Part(
            "mep",
            "MEC platform",
            f"{config.url('mep')}",
            _onemec("mep", "--http", f"{LOOPBACK}:{config.ports['mep']}", "--insecure-dev", "--log-level", "warning"),
            wave=3,
        ),
        _cse(config, "cloud", "IN", IN_ID, IN_NAME, after=broker, wave=3),
        _cse(config, "edge", "MN", EDGE_ID, EDGE_NAME, after=broker, wave=2),
        _adapter(config),
        _mec_app(config),
        _devices(config),
    ]
    if config.embedded:
        port = str(config.ports["broker"])
        command = _child("module", "onemec.broker", "--host", LOOPBACK, "--port", port)
        found.insert(0, Part("broker", "MQTT broker", config.broker_url, command, wave=4))
    return found


def _cse(
    config: StackConfig, name: str, kind: str, cse_id: str, base: str, *, after: tuple[str, ...], wave: int
) -> Part:
    command = [
        *("cse", "--type", kind, "--id", cse_id, "--name", base),
        *("--http", f"{LOOPBACK}:{config.ports[name]}", "--mqtt", config.broker_url),
        *("--store", f"sqlite:///{config.folder / name}.db", "--profile", "lenient"),
        *("--insecure-dev", "--admin", ADMIN, "--log-level", "info"),
    ]
    if name == "edge":
        command += ["--coap", f"{LOOPBACK}:{config.ports['coap']}"]
        command += ["--registrar", config.url("cloud"), "--registrar-id", IN_ID]
        command += ["--console-peer", f"adapter={config.url('adapter')}"]
    title = f"{'edge CSE' if name == 'edge' else 'cloud IN-CSE'} {cse_id}"
    return Part(name, title, f"{config.url(name)}/{base}", _onemec(*command), after=after, wave=wave)


def _adapter(config: StackConfig) -> Part:
    command = _onemec(
        *("adapter", "--cse", config.url("edge"), "--cse-id", EDGE_ID, "--mep", config.url("mep")),
        *("--cloud", config.url("cloud"), "--cloud-id", IN_ID),
        *("--sync-path", f"{EDGE_NAME}/*/data", "--sync-path", f"{EDGE_NAME}/*/state"),
        *("--outbox", str(config.folder / "outbox.db"), "--listen", f"{LOOPBACK}:{config.ports['adapter']}"),
        *("--discovery", "1s", "--retry-longest", "2s", "--audit", "10s"),
    )
    return Part("adapter", "Mp1 adapter", f"{config.url('adapter')}/status", command, ("edge",), wave=1)


def _mec_app(config: StackConfig) -> Part:
    command = _child("script", str(example()), "--mep", config.url("mep"))
    # it tells figures from the moment on in which it has found the CSE
    return Part("mec-app", "MEC application", "examples/mec_app.py", command, ("mep",), ready='{"cse"')


def example() -> Path:
    """The path of ``examples/mec_app.py``: below the installed package, or in the checkout.

    Raises:
        NoExample: it is in neither place.
    """
    package = Path(onemec.__file__).resolve().parent
    places = [package / "examples/mec_app.py", package.parent / "examples/mec_app.py"]
    for place in places:
        if place.is_file():
            return place
    raise NoExample(f"the MEC application is missing: put examples/mec_app.py back into {places[-1].parent}")


# --- devices -------------------------------------------------------------------------------------------------------


def fleet_sizes(count: int) -> dict[str, int]:
    """How many of each kind a stack with ``count`` devices has: from four on there is an actuator among them."""
    kinds = ["temperature", "meter", "air-quality"]
    actuators = 1 if count > len(kinds) else 0
    rest = count - actuators
    sizes = {kind: rest // 3 + (number < rest % 3) for number, kind in enumerate(kinds)}
    return {**{kind: size for kind, size in sizes.items() if size}, **({"actuator": 1} if actuators else {})}


def write_fleets(config: StackConfig) -> Path:
    """Write the configuration of ``onemec devices run`` and return its path."""
    urls = {"temperature": config.broker_url, "actuator": config.broker_url}
    urls |= {"meter": config.url("coap", "coap"), "air-quality": config.url("edge")}
    lines = [
        "# written by onemec up; try: onemec devices run --config devices.toml",
        "[devices]",
        f'cse_id = "{EDGE_ID}"',
        f"seed = {config.seed}",
        f'rate = "{config.rate}"',
        f'run_id = "{config.run_id}"',
        "expose = true",
        f'grace = "{"20s" if config.checking else "3s"}"',
    ]
    if not config.checking:
        lines.append(f"max_instances = {_LIVE_INSTANCES}")
    for kind, count in fleet_sizes(config.devices).items():
        lines += ["", "[[devices.fleet]]", f'kind = "{kind}"', f"count = {count}", f'cse = "{urls[kind]}"']
    path = config.folder / "devices.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _devices(config: StackConfig) -> Part:
    command = _onemec("devices", "run", "--config", str(config.folder / "devices.toml"), "--json", "--report", "500ms")
    title = f"{config.devices} simulated devices"
    return Part("devices", title, ", ".join(fleet_sizes(config.devices)), command, ("edge",))


def _onemec(*words: str) -> tuple[str, ...]:
    return _child("onemec", *words)


def _child(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "onemec.stack.child", *words)


def waves(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts in the order in which they are stopped: data stops flowing first, what carries it ends last."""
    return [[part for part in parts if part.wave == wave] for wave in sorted({part.wave for part in parts})]
