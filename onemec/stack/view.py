"""The live view of ``onemec up``: what flows, who is registered, where it can be reached; redrawn twice a second."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from onemec.stack.observe import Figures, Observer
from onemec.stack.parts import EDGE_NAME, IN_NAME, StackConfig
from onemec.stack.supervisor import Supervisor

_REDRAW_S = 0.5
_BINDINGS = {"mqtt": "MQTT", "coap": "CoAP", "http": "HTTP"}
_GOOD = frozenset({"ACTIVE", "READY", "up", "running"})
#: lines around the two lists: title, figures above them, addresses below them, their own borders
_FIGURES_LINES, _ADDRESS_LINES = 8, 5
#: from so many columns on, lists have all of theirs
_WIDE = 120
#: in the names of services that are AEs
_AE_SERVICE = "-ae-"


class View:
    """Draws the figures of a running stack.

    Args:
        config: where everything is.
        supervisor: knows which parts have ended.
        observer: has the figures.
    """

    def __init__(self, config: StackConfig, supervisor: Supervisor, observer: Observer) -> None:
        self._config = config
        self._supervisor = supervisor
        self._observer = observer
        self._started_at = time.monotonic()

    async def show(self, stop: asyncio.Event) -> None:
        """Redraw until ``stop``."""
        console = Console()
        with Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
            while not stop.is_set():
                live.update(self.draw(console.width, console.height), refresh=True)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _REDRAW_S)

    def draw(self, width: int, height: int) -> RenderableType:
        """One picture.

        Args:
            width: columns.
            height: lines.
        """
        figures = self._observer.figures
        room = max(1, height - 1 - _FIGURES_LINES - _ADDRESS_LINES - 2)
        whole, upper, lists = Layout(), Layout(size=_FIGURES_LINES), Layout()
        upper.split_row(Layout(self._devices(figures)), Layout(self._cloud(figures)))
        lists.split_row(Layout(_services(figures, room, width)), Layout(_instances(figures, room, width)))
        whole.split_column(
            Layout(self._title(), size=1), upper, lists, Layout(self._addresses(width), size=_ADDRESS_LINES)
        )
        return whole

    # --- panels ----------------------------------------------------------------------------------------------------

    def _title(self) -> RenderableType:
        minutes, seconds = divmod(int(time.monotonic() - self._started_at), 60)
        line = Text(f" onemec up  {minutes:02}:{seconds:02}  ", style="bold reverse")
        dead = [running for running in self._supervisor.running.values() if running.ended.is_set()]
        if dead:
            names = ", ".join(running.part.title for running in dead)
            line.append(f" {names} ended, {dead[0].end_in_words()}", style="bold red not reverse")
        else:
            line.append("  all parts run", style="green not reverse")
        return line

    def _devices(self, figures: Figures) -> Panel:
        table = _table(
            _Column("binding"), _Column("devices", "right"), _Column("per s", "right"), _Column("stored", "right")
        )
        for binding, title in _BINDINGS.items():
            totals = figures.devices.get("bindings", {}).get(binding)
            rates = figures.rates.get(binding)
            if totals is not None:
                rate = f"{rates.per_s:.1f}" if rates is not None else ""
                table.add_row(title, str(totals["devices"]), rate, f"{totals['acknowledged']:,}")
        total = f"{figures.devices.get('acknowledged', 0):,}"
        rate = f"{sum(rates.per_s for rates in figures.rates.values()):.1f}"
        table.add_row("all", str(figures.devices.get("devices", 0)), rate, total, style="bold")
        states = {state: count for state, count in figures.devices.get("states", {}).items() if state != "running"}
        waiting = ", ".join(f"{count} {state}" for state, count in states.items())
        rows: list[RenderableType] = [table]
        if waiting:
            rows.append(Text(f" {waiting}, {figures.devices.get('waiting', 0)} readings kept", style="yellow"))
        return _panel("devices > edge CSE", Group(*rows))

    def _cloud(self, figures: Figures) -> Panel:
        sync = (figures.adapter or {}).get("sync", {})
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True, min_width=16)
        table.add_column(justify="right", no_wrap=True, overflow="ellipsis", ratio=1)
        edge = "no answer" if figures.edge is None else f"{figures.edge_count():,}"
        cloud = "away" if figures.cloud is None else f"{figures.cloud_count():,}"
        table.add_row("at the edge", _word(edge, figures.edge is not None))
        table.add_row("in the cloud", _word(cloud, figures.cloud is not None))
        lag_s, pending = sync.get("oldest_pending_s", 0.0), sync.get("pending", 0)
        table.add_row("on the way", f"{pending:,}, {lag_s:.1f} s behind" if pending else "0")
        received = figures.received
        table.add_row("MEC app received", Text(f"{received.count:,}, {received.rate.per_s:.1f}/s", style="bold"))
        container, content = received.last
        table.add_row(Text(container.removeprefix(f"{EDGE_NAME}/"), style="dim"), Text(content, style="dim"))
        trouble = sync.get("trouble") or (figures.adapter or {}).get("trouble", "")
        warning = [Text(str(trouble), style="yellow", no_wrap=True, overflow="ellipsis")] if trouble else []
        return _panel("edge > cloud and MEC application", Group(table, *warning))

    def _addresses(self, width: int) -> RenderableType:
        config = self._config
        addresses = [
            ("edge", f"{config.url('edge')}/{EDGE_NAME}"),
            ("cloud", f"{config.url('cloud')}/{IN_NAME}"),
            ("CoAP", config.url("coap", "coap")),
            ("adapter", f"{config.url('adapter')}/status"),
            ("broker", config.broker_url + (" (ours)" if config.embedded else "")),
            ("MEC", config.url("mep")),
        ]
        table = Table.grid(padding=(0, 1), expand=True)
        for _ in range(2):
            table.add_column(style="dim", no_wrap=True, min_width=7)
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for left, right in zip(addresses[::2], addresses[1::2], strict=True):
            table.add_row(f" {left[0]}", left[1], *right)
        ending = f" console {config.url('edge')}/console/; Ctrl-C stops everything; logs in {config.folder / 'logs'}"
        return Group(
            Text("─" * width, style="dim"), table, Text(ending, style="dim", no_wrap=True, overflow="ellipsis")
        )


def _services(figures: Figures, room: int, width: int) -> Panel:
    """Services of the platform, those of the same name and state as one line."""
    if figures.services is None:
        return _panel("MEC services", Text("the MEC platform does not answer", style="yellow"))
    alike: Counter[tuple[str, str, str]] = Counter()
    for service in figures.services:
        transport = service.get("transportInfo", {})
        alike[str(service.get("serName", "")), str(transport.get("type", "")), str(service.get("state", ""))] += 1
    active = sum(service.get("state") == "ACTIVE" for service in figures.services)
    rows = sorted(alike.items(), key=lambda row: (row[0][2] in _GOOD, _AE_SERVICE in row[0][0], row[0][0]))
    longest = max((len(state) for _, _, state in alike), default=6)
    columns = [
        _Column("service"),
        _Column("transport", wide=True),
        _Column("", "right", least=4),
        _Column("state", least=longest),
    ]
    cells = [
        [
            _end_of(name, width // 2 - 14 - longest if width < _WIDE else 32),
            transport,
            f"{count} x" if count > 1 else "",
            state,
        ]
        for (name, transport, state), count in rows
    ]
    return _panel(f"MEC services: {active} of {len(figures.services)} ACTIVE", _list(columns, cells, room, width))


def _instances(figures: Figures, room: int, width: int) -> Panel:
    """Application instances: the CSE, its exposed AEs, and whoever else the platform knows."""
    if figures.adapter is None:
        return _panel("MEC application instances", Text("the adapter does not answer", style="yellow"))
    adapter = figures.adapter
    state = adapter["services"][0]["state"] if adapter["services"] else ""
    rows = [["edge CSE", str(adapter["app_instance_id"]), str(adapter["mp1"]), state]]
    known = {adapter["app_instance_id"], *(entry["app_instance_id"] for entry in adapter["exposed"])}
    for app in figures.apps or ():
        if app["appInstanceId"] not in known:
            rows.append([str(app["appName"]), app["appInstanceId"], "READY" if app["ready"] else "", "none"])
    exposed = [
        [f"AE {entry['ae'].rpartition('/')[2]}", entry["app_instance_id"], entry["phase"], entry["state"]]
        for entry in adapter["exposed"]
    ]
    rows += sorted(exposed, key=lambda row: _natural(row[0]))
    rows.sort(key=lambda row: row[3] in _GOOD or row[3] == "none")
    for row in rows:
        row[1] = f"{row[1][:13]}…"  # enough to tell them apart
    columns = [
        _Column("instance"),
        _Column("appInstanceId", wide=True),
        _Column("phase", least=7),
        _Column("service", least=7),
    ]
    return _panel(f"MEC application instances: {len(rows)}", _list(columns, rows, room, width))


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its title, how it is justified, its least width, whether only wide terminals show it."""

    title: str
    justify: Literal["left", "right"] = "left"
    least: int = 0
    wide: bool = False


def _list(columns: Sequence[_Column], rows: Sequence[Sequence[str]], room: int, width: int) -> Table:
    """Rows as a table, its last column coloured; rows that do not fit are counted."""
    shown = [place for place, column in enumerate(columns) if width >= _WIDE or not column.wide]
    table = _table(*(columns[place] for place in shown))
    fits = room - 1 if len(rows) <= room - 1 else room - 2
    for row in rows[: max(0, fits)]:
        *cells, state = (row[place] for place in shown)
        table.add_row(*cells, _word(state, state in _GOOD))
    if len(rows) > fits:
        table.add_row(Text(f"and {len(rows) - fits} more", style="dim"))
    return table


def _end_of(text: str, width: int) -> str:
    """The end of a text that is too long, which tells names with a common beginning apart."""
    return text if len(text) <= width else f"…{text[1 - width :]}"


def _natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts ``meter-2`` before ``meter-10``."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in text.replace("-", " - ").split(" ")]


def _table(*columns: _Column) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(
            column.title, justify=column.justify, no_wrap=True, overflow="ellipsis", min_width=column.least or None
        )
    return table


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=f"[bold]{title}[/bold]", title_align="left", box=box.ROUNDED, border_style="dim")


def _word(text: str, good: bool) -> Text:
    return Text(text, style="green" if good else "yellow")
