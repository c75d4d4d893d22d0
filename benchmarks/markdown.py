"""What the documents say of speed, written by ``onemec bench`` and by nothing else.

``--markdown docs/performance.md`` is the table with targets, ``--readme README.md`` the ratios between its two marks.
"""

from __future__ import annotations

from benchmarks.report import against_peers, aim, figure
from benchmarks.results import Results, Row
from benchmarks.session import YARDSTICK
from benchmarks.yardsticks import ECHO

#: HTTP create c=32 in relation to a raw uvicorn echo: what holds on any machine
ECHO_BAR = 0.30
#: what the same echo gave on the machine for which the targets were set
REFERENCE_ECHO_PER_S = 33_000
_BEGIN, _END = "<!-- performance -->\n", "<!-- /performance -->"
_README = """\
A write that was answered is on disk (SQLite, WAL, `synchronous=FULL`). Ratios of one run, measured {date} on {machine}:

| scenario | {peers} |
|---|{lines}|
{rows}

[Performance](docs/performance.md) has every scenario with its target; `onemec bench` measures them on your machine.
"""

_HEAD = """\
# Performance

Written by `{command}` on {date}; do not edit by hand, run it again.

- **Machine**: {machine}; load generator on the same machine.
- **Durability**: {durability}. Every figure is the whole CSE: validation, access control and subscriptions are on.
- **Method**: {runs}. Answers are checked; wrong ones and lost notifications are counted and in no rate
  ([ADR 0022](adr/0022-measuring.md)).
- **Peers**: *measured* means in this run, interleaved slice by slice, at whatever durability the peer has; *quoted* is
  the best of ACME 2026.5, tinyIoT, Mobius 2.5 and Mobius4 in one run of November 2026 on two cores.
"""


def write(results: Results) -> str:
    """The document."""
    facts = results.facts
    durability = next((text for name, text in facts.items() if name.startswith("durability")), "as it was started")
    rows = [row for row in results.rows if row.subject != YARDSTICK]
    mine = rows[0].subject if rows else ""
    ours = [row for row in rows if row.subject == mine]
    lines = [_HEAD.format(durability=durability, **{key: facts[key] for key in ("command", "date", "machine", "runs")})]
    if "other work" in facts:
        lines.append(f"**The machine was not quiet: {facts['other work']}.**\n")
    if "scale" in facts:
        lines.append(
            f"**This run used {facts['scale']}; the large scenarios are not comparable with their targets.**\n"
        )
    lines += _summary(results, ours)
    lines += ["## Scenarios", "", "| scenario | target | measured | p50 / p99 ms | CPU µs | met | against peers | |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    lines += [_line(results, row) for row in ours]
    lines += _yardsticks(results)
    lines += _peers(results, mine)
    return "\n".join(lines) + "\n"


def _summary(results: Results, ours: list[Row]) -> list[str]:
    judged = [row for row in ours if row.met is not None]
    lines = [f"**{sum(bool(row.met) for row in judged)} of {len(judged)} targets met.**"]
    create = next((row for row in ours if row.scenario == "http-create-c32"), None)
    if create is not None and create.of_echo:
        word = "met" if create.of_echo >= ECHO_BAR else "not met"
        lines.append(
            f"HTTP create c=32 is {create.of_echo:.2f} of a raw uvicorn JSON echo in the same run "
            f"(bar: {ECHO_BAR:.2f}, {word}); machines differ, this ratio holds."
        )
    factor = _factor(results)
    if factor:
        reached = sum(bool(row.met) or _part(row, factor) >= 1 for row in judged)
        lines.append(
            f"The targets were set on a machine where that echo gives {REFERENCE_ECHO_PER_S:,}/s; here it gives "
            f"{factor:.2f} of that. **Scaled by it, {reached} of {len(judged)} are met** (memory is not scaled)."
        )
    return [*lines, ""]


def _factor(results: Results) -> float:
    """How fast this machine is, against that of the targets; 0.0 when the echo was not measured."""
    echo = next((row.value for row in results.rows if row.scenario == ECHO), None)
    return (echo or 0.0) / REFERENCE_ECHO_PER_S


def _part(row: Row, factor: float) -> float:
    """How much of its scaled target a row reaches: 1 and more is met. 0.0 when nothing can be said."""
    if row.target is None or not row.value or row.wrong or row.met is None:
        return 0.0
    if row.unit == "/s":
        part = row.value / (row.target.value * factor)
        return min(part, row.target.p50_ms / factor / row.p50_ms) if row.target.p50_ms and row.p50_ms else part
    times = row.unit in ("ms", "s")
    return row.target.value / (factor if times else 1.0) / row.value


def parts(text: str) -> tuple[str, str]:
    """What stands before and after the marks.

    Raises:
        ValueError: there are none.
    """
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the marks {_BEGIN.strip()} and {_END.strip()} are missing, each on a line of its own")
    return head, tail


def into_readme(results: Results, text: str) -> str:
    """The README with the ratios of this run between its marks.

    Raises:
        ValueError: it has no marks.
    """
    head, tail = parts(text)
    rows = [row for row in results.rows if row.subject != YARDSTICK]
    mine = rows[0].subject if rows else ""
    peers = list(dict.fromkeys(row.subject for row in rows if row.subject != mine))
    lines = []
    for row in rows:
        ratios = [results.ratio(row.scenario, mine, peer) for peer in peers]
        if row.subject == mine and (row.of_echo or any(ratios)):
            cells = [f"{ratio:.1f}x" if ratio else "" for ratio in ratios]
            lines.append(f"| {row.title} | {' | '.join([f'{row.of_echo:.2f}' if row.of_echo else '', *cells])} |")
    table = _README.format(
        date=results.facts["date"],
        machine=results.facts["machine"],
        peers=" | ".join(["of a raw uvicorn echo", *(f"against {peer}" for peer in peers)]),
        lines="|".join("---" for _ in range(len(peers) + 1)),
        rows="\n".join(lines),
    )
    return head + _BEGIN + table + _END + tail


def _line(results: Results, row: Row) -> str:
    measured = figure(row.value, row.unit)
    if row.repetitions > 1:
        measured += f" ({_short(row.lowest, row.unit)} to {_short(row.highest, row.unit)})"
    times = f"{row.p50_ms:.2f} / {row.p99_ms:.2f}" if row.p50_ms else ""
    met = {None: "", True: "yes", False: "**no**"}[row.met]
    if row.met is False and (part := _part(row, _factor(results))):
        met += f", {part:.2f} scaled"
    notes = "; ".join(filter(None, [f"{row.wrong} wrong or lost" if row.wrong else "", row.remark]))
    cells = (
        *(row.title, aim(row.target, row.unit), measured, times, f"{row.cpu_us:.0f}" if row.cpu_us else ""),
        *(met, "; ".join(against_peers(results, row)), notes),
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _short(value: float, unit: str) -> str:
    return f"{value:,.0f}" if unit in ("/s", "MB") else f"{value:.2f}"


def _yardsticks(results: Results) -> list[str]:
    rows = [row for row in results.rows if row.subject == YARDSTICK]
    if not rows:
        return []
    lines = ["", "## Yardsticks of the same run", "", "| | requests/s | p50 / p99 ms |", "|---|---|---|"]
    lines += [
        f"| {row.title} | {figure(row.value, row.unit)} | {row.p50_ms:.2f} / {row.p99_ms:.2f} |"
        for row in sorted(rows, key=lambda row: row.scenario != ECHO)
    ]
    return lines


def _peers(results: Results, mine: str) -> list[str]:
    peers = list(dict.fromkeys(row.subject for row in results.rows if row.subject not in (mine, YARDSTICK)))
    lines: list[str] = []
    for name in peers:
        lines += ["", f"## {name}, in the same run", "", f"{results.facts.get(f'durability of {name}', '')}.", ""]
        lines += [f"| scenario | {mine} | {name} | {mine} is better by | |", "|---|---|---|---|---|"]
        for row in results.rows:
            if row.subject != name:
                continue
            own, ratio = results.row(row.scenario, mine), results.ratio(row.scenario, mine, name)
            notes = "; ".join(filter(None, [f"{row.wrong} wrong" if row.wrong else "", row.remark]))
            cells = (
                *(row.title, figure(own.value if own else None, row.unit), figure(row.value, row.unit)),
                *(f"{ratio:.1f}x" if ratio else "", notes.replace("|", "/")),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines
