"""``onemec bench``: measure a CSE over HTTP, MQTT and CoAP against targets, yardsticks and peers."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from onemec.process import errors, fail

if TYPE_CHECKING:
    from benchmarks.results import Results
    from benchmarks.scenarios import Scenario
    from benchmarks.session import Progress, Wish
    from benchmarks.studies import Study

_EXAMPLES = """
Examples:

  onemec bench                                    everything, against an onemec cse of its own

  onemec bench --quick --only http-create-c32,http-la-c32

  onemec bench --url http://127.0.0.1:8080 --coap 127.0.0.1:5683 --mqtt 127.0.0.1:1883

  onemec bench --peer acme --peer acme-tinydb     installed from PyPI into ~/.cache/onemec/peers, interleaved

  onemec bench --json bench.json --csv bench.csv --plot bench.svg --markdown docs/performance.md
"""


def bench(
    only: Annotated[str, typer.Option(help="Only these scenarios, with commas; see --list.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="Show the scenarios and their targets.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="One second each, once, a hundredth of the large numbers.")
    ] = False,
    repetitions: Annotated[int | None, typer.Option(min=1, help="Runs per scenario.  [default: 5]")] = None,
    seconds_: Annotated[
        float | None, typer.Option("--seconds", min=0.1, help="Length of one run.  [default: 3]")
    ] = None,
    warm_up: Annotated[float, typer.Option(min=0.0, help="Seconds before each run that are not counted.")] = 0.5,
    scale: Annotated[
        float | None, typer.Option(min=0.0001, max=1.0, help="Part of the large numbers.  [default: 1]")
    ] = None,
    url: Annotated[str, typer.Option(help="Measure the CSE that runs there instead of one of its own.")] = "",
    coap: Annotated[str, typer.Option(help="host:port of that CSE's CoAP binding.")] = "",
    mqtt: Annotated[str, typer.Option(help="host:port of that CSE's MQTT broker.")] = "",
    originator: Annotated[str, typer.Option(help="AE-ID to ask that CSE with.  [default: a fresh one]")] = "",
    token: Annotated[str, typer.Option(help="Its bearer token (HTTP only).", envvar="ONEMEC_TOKEN")] = "",
    peer: Annotated[
        list[str] | None, typer.Option(help="Compare with this CSE in the same run (repeat): acme, acme-tinydb.")
    ] = None,
    peer_dir: Annotated[
        Path | None, typer.Option(help="Where peers are installed.  [default: ~/.cache/onemec/peers]")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Where the databases go: the disk matters.  [default: for temporary files]")
    ] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the results to this file.")] = None,
    csv_: Annotated[Path | None, typer.Option("--csv", help="Write the rows to this file.")] = None,
    plot_: Annotated[Path | None, typer.Option("--plot", help="Draw the results into this .svg or .png file.")] = None,
    markdown_: Annotated[
        Path | None, typer.Option("--markdown", help="Write the table with targets here: docs/performance.md.")
    ] = None,
    readme: Annotated[Path | None, typer.Option(help="Put the ratios between the marks of this file.")] = None,
) -> None:
    """Measure a CSE: requests per second, response times, processor time and memory, against targets."""
    from benchmarks import (
        markdown,
        peers,
        plot,
        report,
        session,
    )  # uvloop and the codecs take a while to import, --help should not
    from benchmarks.processes import BenchError
    from benchmarks.subjects import FOREIGN, OURS

    try:
        scenarios, studies, demanded = _chosen(only)
        if list_:
            _list(scenarios, studies)
            return
        for wanted in (json_, csv_, plot_, markdown_):
            _writable(wanted)
        if plot_ is not None:
            plot.check(plot_)
        marked = _marked(readme)
        wish = _wish(scenarios, studies, demanded, quick, repetitions, seconds_, warm_up, scale, directory)
        if peer:
            wish = replace(wish, peers=peers.chosen(peer, peer_dir or peers.DEFAULT_DIRECTORY))
        if url:
            from benchmarks.subjects import running

            wish = replace(wish, subject=lambda: running(url, originator=originator, token=token, coap=coap, mqtt=mqtt))
        results = _with_progress(lambda progress: session.measure(wish, progress))
    except BenchError as error:
        fail(str(error))
    from rich.console import Console

    report.as_table(results, Console(width=None if sys.stdout.isatty() else 200, highlight=False))
    for path, text in ((json_, report.as_json), (csv_, report.as_csv), (markdown_, markdown.write)):
        if path is not None:
            path.write_text(text(results))
    if readme is not None:
        readme.write_text(markdown.into_readme(results, marked))
    if plot_ is not None:
        plot.draw(results, plot_)
    if results.failed:
        fail("; ".join(f"{name} could not be measured: {why}" for name, why in results.failed.items()), 3)
    if any(row.wrong for row in results.rows if row.subject in (OURS, FOREIGN)):
        fail("answers were wrong or notifications lost, see above: they are not in the rates", 3)


bench.__doc__ = f"{bench.__doc__}\n{_EXAMPLES}"


def _chosen(only: str) -> tuple[list[Scenario], list[Study], frozenset[str]]:
    """Repeated scenarios, studies, and the names that were given.

    Raises:
        BenchError: there is no scenario of a name.
    """
    from benchmarks.processes import BenchError
    from benchmarks.scenarios import short
    from benchmarks.studies import studies

    names = frozenset(name.strip() for name in only.split(",") if name.strip())
    repeated, lasting = list(short()), list(studies())
    known = {scenario.name for scenario in repeated} | {row.name for study in lasting for row in study.rows}
    if unknown := sorted(names - known):
        raise BenchError(f"there is no scenario {', '.join(unknown)}: see onemec bench --list")
    if names:
        repeated = [scenario for scenario in repeated if scenario.name in names]
        lasting = [study for study in lasting if any(row.name in names for row in study.rows)]
    return repeated, lasting, names


def _list(repeated: list[Scenario], lasting: list[Study]) -> None:
    from benchmarks.report import aim

    for scenario in [*repeated, *(row for study in lasting for row in study.rows)]:
        print(f"{scenario.name:22} {scenario.title:82} {aim(scenario.target, scenario.unit)}".rstrip())


def _writable(path: Path | None) -> None:
    """A run of an hour should not end with a folder that is not there."""
    from benchmarks.processes import BenchError

    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise BenchError(f"{path} cannot be written: its folder is not there, or it is a folder itself")


def _marked(readme: Path | None) -> str:
    """The text of a file with the marks; looked for before the run, not after it."""
    from benchmarks import markdown
    from benchmarks.processes import BenchError

    if readme is None:
        return ""
    try:
        text = readme.read_text()
        markdown.parts(text)
    except (OSError, ValueError) as error:
        raise BenchError(f"{readme}: {error}") from error
    return text


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(143)


def _with_progress(work: Callable[[Progress], Results]) -> Results:
    """Do the work with a bar on a terminal; without one in silence."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(30), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    previous = signal.signal(signal.SIGTERM, _terminated)  # so that what was started is ended then too
    with ExitStack() as stack, Bar(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        stack.callback(signal.signal, signal.SIGTERM, previous)
        task = bar.add_task("", total=None)
        return work(lambda done, total, what: bar.update(task, completed=done, total=total, description=what))


def _wish(
    scenarios: list[Scenario],
    studies: list[Study],
    demanded: frozenset[str],
    quick: bool,
    repetitions: int | None,
    seconds: float | None,
    warm_up_s: float,
    scale: float | None,
    directory: Path | None,
) -> Wish:
    from benchmarks.arena import Options
    from benchmarks.driver import Effort
    from benchmarks.session import Wish

    effort = Effort(seconds or (1.0 if quick else 3.0), min(warm_up_s, 0.2) if quick else warm_up_s)
    options = Options(effort, repetitions or (1 if quick else 5), scale or (0.01 if quick else 1.0))
    return Wish(scenarios, options, directory, command=_command_line(), studies=studies, demanded=demanded)


def _command_line() -> str:
    words = sys.argv[1:]
    return shlex.join(["onemec", "bench", *(words[1:] if words[:1] == ["bench"] else words)])
