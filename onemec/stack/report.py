"""The verdict of a check as a table."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onemec.stack.audit import Row, Verdict


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Print figures by binding, what was verified, and PASS or FAIL with the reason."""
    console.print()
    console.print(_figures(verdict.rows), soft_wrap=False)
    console.print()
    for finding in verdict.findings:
        line = Text("  ok    " if finding.passed else "  FAIL  ", style="green" if finding.passed else "bold red")
        line.append(f"{finding.what:22}", style="default not bold")
        line.append(finding.words, style="default not bold")
        console.print(line)
    console.print()
    if verdict.passed:
        console.print("PASS", style="bold green")
    else:
        failed = next(finding for finding in verdict.findings if not finding.passed)
        console.print(Text(f"FAIL: {failed.what}: {failed.words}", style="bold red"))


def _figures(rows: list[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_footer=True)
    total = Row("total")
    for row in rows:
        for name in ("devices", "sent", "acknowledged", "edge", "cloud"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
    table.add_column("binding", footer="total")
    for name in ("devices", "sent", "acknowledged", "edge", "cloud"):
        table.add_column(name, justify="right", footer=str(getattr(total, name)))
    for row in rows:
        figures = (row.devices, row.sent, row.acknowledged, row.edge, row.cloud)
        table.add_row(row.binding.upper() if row.binding != "coap" else "CoAP", *map(str, figures))
    return table
