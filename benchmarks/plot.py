"""The results as a picture (PNG or SVG): each scenario against its target, and against what else was measured."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import BenchError
from benchmarks.report import figure
from benchmarks.results import Results, Row
from benchmarks.session import YARDSTICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (".png", ".svg")
_COLOURS = ("#1b6ca8", "#d08c2e", "#8a5a9e", "#5b8c5a")
_TARGET_COLOUR = "#b03a3a"
_BAR = 0.8


def check(path: Path) -> None:
    """Whether a picture can be drawn into this file.

    Raises:
        BenchError: another kind of file, or matplotlib is not installed.
    """
    if path.suffix.lower() not in KINDS:
        raise BenchError(f"--plot writes {' or '.join(KINDS)} files, and {path.name} is neither")
    if importlib.util.find_spec("matplotlib") is None:
        raise BenchError("--plot needs matplotlib: pip install 'onemec[bench]'")


def draw(results: Results, path: Path) -> None:
    """Draw it: rates on the left, times and memory in relation to their targets on the right."""
    from matplotlib.figure import Figure  # an optional extra, and half a second to import

    names = list(dict.fromkeys(row.subject for row in results.rows if row.subject != YARDSTICK))
    rates = _scenarios([row for row in results.rows if row.unit == "/s" and row.subject != YARDSTICK])
    others = _scenarios([row for row in results.rows if row.unit != "/s" and row.target is not None])
    panels = [group for group in (rates, others) if group]
    height = 1.6 + 0.32 * max([len(group) * max(1, len(names)) for group in panels] or [1])
    picture = Figure(figsize=(8.5 * max(1, len(panels)), height), layout="constrained")
    axes = picture.subplots(1, max(1, len(panels)), squeeze=False)[0]
    for place, group in zip(axes, panels, strict=False):
        if group is rates:
            _bars(place, group, names, "requests per second (log)", relative=False)
        else:
            _bars(place, group, names, "measured / target (less is better)", relative=True)
    facts = results.facts
    picture.suptitle(f"onemec bench, {facts.get('date', '')}; {facts.get('machine', '')}", fontsize=8)
    picture.savefig(path, dpi=120)


def _scenarios(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the title of their scenario, without those that have no value."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.value:
            found.setdefault(row.title, []).append(row)
    return found


def _bars(axes: Axes, groups: dict[str, list[Row]], names: Sequence[str], label: str, *, relative: bool) -> None:
    thickness = _BAR / max(1, len(names))
    for place, rows in enumerate(groups.values()):
        for row in rows:
            assert row.value is not None
            goal = row.target.value if row.target is not None else 0.0
            number = names.index(row.subject)
            height = place + (number + 0.5) * thickness - _BAR / 2
            width = row.value / goal if relative else row.value
            axes.barh(height, width, thickness * 0.9, color=_COLOURS[number % len(_COLOURS)])
            axes.text(width, height, f" {figure(row.value, row.unit)}", va="center", fontsize=7)
            if goal and not relative:
                edges = (place - _BAR / 2, place + _BAR / 2)
                axes.plot((goal, goal), edges, color=_TARGET_COLOUR, linewidth=2)
    axes.set_yticks(range(len(groups)), [title[:70] for title in groups], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.margins(x=0.18)
    if relative:
        axes.axvline(1.0, color=_TARGET_COLOUR, linewidth=2)
    else:
        axes.set_xscale("log")
        axes.set_xlim(left=1)
    for number, name in enumerate(names):
        axes.barh(0, 0, color=_COLOURS[number % len(_COLOURS)], label=name)
    axes.plot([], [], color=_TARGET_COLOUR, linewidth=2, label="target")
    axes.legend(fontsize=8, loc="lower right")
