"""``docs/performance.md``: the table with targets, written by ``onemec bench --markdown`` and by nothing else."""

from __future__ import annotations

from benchmarks.report import against_peers, aim, figure
from benchmarks.results import Results, Row
from benchmarks.session import YARDSTICK
from benchmarks.yardsticks import ECHO

#: HTTP create c=32 in relation to a raw uvicorn echo: what holds on any machine
ECHO_BAR = 0.30

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
    return [*lines, ""]


def _line(results: Results, row: Row) -> str:
    measured = figure(row.value, row.unit)
    if row.repetitions > 1:
        measured += f" ({_short(row.lowest, row.unit)} to {_short(row.highest, row.unit)})"
    times = f"{row.p50_ms:.2f} / {row.p99_ms:.2f}" if row.p50_ms else ""
    met = {None: "", True: "yes", False: "**no**"}[row.met]
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
