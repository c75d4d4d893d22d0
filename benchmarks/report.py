"""The results on the terminal, as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from benchmarks.results import Results, Row
from benchmarks.scenarios import Target
from benchmarks.session import YARDSTICK


def figure(value: float | None, unit: str) -> str:
    """A value with its unit, as long as it has to be."""
    if value is None:
        return "-"
    if unit == "/s":
        return f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s"
    if unit == "MB":
        return f"{value:,.0f} MB"
    return f"{value:.2f} {unit}"


def aim(target: Target | None, unit: str) -> str:
    """A target in words, "" for none."""
    if target is None:
        return ""
    sign = "≥" if unit == "/s" else "≤"
    return f"{sign} {figure(target.value, unit)}" + (f", p50 ≤ {target.p50_ms:g} ms" if target.p50_ms else "")


def verdict(row: Row) -> str:
    """Whether the target was met, in a word."""
    if row.wrong:
        return "wrong or lost"
    return {None: "", True: "met", False: "not met"}[row.met]


def against_peers(results: Results, row: Row) -> list[str]:
    """How many times better than each peer that was measured, or than the best one as quoted."""
    peers = {other.subject: other for other in results.rows if other.scenario == row.scenario and other is not row}
    found = []
    for name in peers:
        ratio = results.ratio(row.scenario, row.subject, name)
        if ratio:
            found.append(f"{ratio:.1f}x {name} (measured)")
    if row.best_peer and row.value:
        ratio = row.value / row.best_peer if row.unit == "/s" else row.best_peer / row.value
        found.append(f"{ratio:.1f}x best peer (quoted)")
    return found


def as_table(results: Results, console: Console) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, right in (
        *(("scenario", False), ("of", False), ("median", True), ("p50 ms", True), ("p99 ms", True)),
        *(("cpu µs", True), ("of echo", True), ("of ceiling", True), ("target", True), ("", False)),
    ):
        table.add_column(name, justify="right" if right else "left", no_wrap=name not in ("scenario", ""))
    for row in results.rows:
        peers = [text for text in against_peers(results, row) if "measured" in text] if _is_first(results, row) else []
        notes = ", ".join(filter(None, [verdict(row), *peers, row.remark]))
        table.add_row(
            row.title,
            row.subject,
            figure(row.value, row.unit),
            *(f"{value:.2f}" if value else "" for value in (row.p50_ms, row.p99_ms)),
            f"{row.cpu_us:.0f}" if row.cpu_us else "",
            *(f"{value:.2f}" if value else "" for value in (row.of_echo, row.of_ceiling)),
            aim(row.target, row.unit),
            notes,
        )
    console.print(table)
    for row in results.rows:
        if row.first_wrong:
            said = " ".join(row.first_wrong.split())[:300]
            console.print(f"{row.title} ({row.subject}): {row.wrong} wrong, the first: {said}", markup=False)
    for name, text in results.facts.items():
        console.print(f"{name}: {text}", markup=False, style="dim")


def _is_first(results: Results, row: Row) -> bool:
    return row.subject != YARDSTICK and next(other for other in results.rows if other.scenario == row.scenario) is row


def as_json(results: Results) -> str:
    """All of it as one JSON object."""
    return json.dumps(results.as_dict(), indent=1) + "\n"


def as_csv(results: Results) -> str:
    """The rows as CSV with a header."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(Row.__dataclass_fields__))
    writer.writeheader()
    writer.writerows(asdict(row) for row in results.rows)
    return file.getvalue()
