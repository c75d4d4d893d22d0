"""``onemec handover``: move AEs from one edge CSE to another, now, when the network says so, or as a demonstration."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from onemec.process import CannotStart, fail, run_until_stopped, set_up_logging, tell
from onemec.settings import USAGE, environment, listed, option, seconds

if TYPE_CHECKING:
    from mec_adapter.handover import Edge
    from mec_adapter.handover_plan import Options, Outcome
    from onemec.handover_demo import Figures

_EXAMPLES = """
Examples:

  onemec handover --from http://127.0.0.1:8081 --to http://127.0.0.1:9081
                  --ae Cmeter-1

  onemec handover --from http://127.0.0.1:8081 --to http://127.0.0.1:9081
                  --label line:4 --mep http://127.0.0.1:8090 --tell command

  onemec handover --on-mobility --from http://127.0.0.1:8081
                  --mep http://127.0.0.1:8090        (until Ctrl-C: MEC 021)

  onemec handover --demo --aes 100 --rate 1/s

The originator must be allowed everything at both CSEs (onemec cse --admin), and
the target must believe it when it registers an AE under its own AE-ID. The
demonstration starts all it needs and exits with 1 when an AE did not move,
anything was lost or doubled, or the attach p95 is more than 200 ms.

Every option can be given as ONEMEC_HANDOVER_<OPTION> in the environment.
"""


def handover(
    source: Annotated[str, option("--from", help="URL of the CSE where the AEs are.")] = "",
    target: Annotated[str, option("--to", help="URL of the CSE where they go.")] = "",
    ae: Annotated[list[str] | None, option(help="AE-ID (repeat).")] = None,
    label: Annotated[list[str] | None, option(help="All AEs with this label (repeat).")] = None,
    originator: Annotated[str, option(help="AE-ID of the operator.")] = "CAdmin",
    mep: Annotated[str, option(help="apiRoot of a MEC platform that is told where exposed AEs are.")] = "",
    on_mobility: Annotated[
        bool, option("--on-mobility", help="Move AEs when the platform reports mobility (MEC 021).")
    ] = False,
    tell_: Annotated[str, option("--tell", help="Container of the AE that gets word of the new CSE.")] = "",
    leave_others: Annotated[
        bool, option("--leave-others", help="Lose what is no container, policy or subscription.")
    ] = False,
    concurrency: Annotated[int, option(help="AEs that are prepared at the same time.")] = 4,
    drain: Annotated[str, option(help="How long the old CSE may take to deliver last notifications.")] = "5s",
    journal: Annotated[
        bool, option("--journal/--no-journal", help="Write the steps of moves down at both CSEs, for their consoles.")
    ] = True,
    demo: Annotated[bool, option("--demo", help="Two CSEs, a platform, devices and a subscriber of its own.")] = False,
    aes: Annotated[int, option(help="With --demo: how many AEs.")] = 100,
    rate: Annotated[str, option(help="With --demo: posts of each, e.g. 1/s.")] = "1/s",
    as_json: Annotated[bool, option("--json", help="Print JSON.")] = False,
) -> None:
    """Move AEs between edge CSEs without losing or doubling what their subscribers get; prints how it went."""
    from mec_adapter.handover_plan import Options  # what it imports takes a while, --help should not

    if concurrency < 1:
        fail(f"--concurrency {concurrency}: give 1 or more", USAGE)
    options = Options(concurrency, 1, seconds("--drain", drain), leave_others, tell_)
    set_up_logging("warning", "handover")
    if demo:
        run_until_stopped(lambda stop: _demo(aes, rate, options, as_json, stop))
    if not source:
        fail("--from is missing: give the URL of the CSE where the AEs are", USAGE)
    if on_mobility:
        if not mep:
            fail("--on-mobility needs the MEC platform that reports mobility: give --mep", USAGE)
        run_until_stopped(lambda stop: _follow(source, target, originator, mep, options, as_json, journal, stop))
    if not target:
        fail("--to is missing: give the URL of the CSE where the AEs go", USAGE)
    if not ae and not label:
        fail("which AEs? give --ae with an AE-ID, or --label", USAGE)
    work = _Work(source, target, originator, mep, options, as_json, journal)
    run_until_stopped(lambda stop: work.go(listed(ae), listed(label)))


handover.__doc__ = f"{handover.__doc__}\n{_EXAMPLES}"
CONTEXT = environment("ONEMEC_HANDOVER")


async def _open(stack: AsyncExitStack, url: str, name: str, originator: str) -> Edge:
    from cse.client import Client, RequestFailed, Unreachable
    from mec_adapter.handover import edge_of

    try:
        client = await stack.enter_async_context(Client(url, originator=originator))
        return await edge_of(client, url)
    except (RequestFailed, Unreachable, ValueError) as error:
        raise CannotStart(f"{name} {url}: {error}") from error


class _Work:
    """One handover by command."""

    def __init__(
        self, source: str, target: str, originator: str, mep: str, options: Options, as_json: bool, journal: bool
    ) -> None:
        self._journal = journal
        self._source, self._target, self._originator = source, target, originator
        self._mep, self._options, self._as_json = mep, options, as_json

    async def go(self, ae_ids: tuple[str, ...], labels: tuple[str, ...]) -> int:
        """Move them; returns the exit code."""
        from cse.client import RequestFailed, Unreachable
        from mec_adapter.handover import Handover, journal_of
        from mec_adapter.handover_registry import arbiter, claim_exposed
        from mec_adapter.handover_tree import aes_with
        from mec_adapter.mp1.client import Mp1Client
        from mec_adapter.mp1.errors import Mp1Error

        async with AsyncExitStack() as stack:
            source = await _open(stack, self._source, "--from", self._originator)
            target = await _open(stack, self._target, "--to", self._originator)
            if source.profile.cse_id == target.profile.cse_id:
                raise CannotStart(f"--from and --to are the same CSE, {source.profile.cse_id}: give two")
            mp1 = Mp1Client(self._mep) if self._mep else None
            if mp1 is not None:
                stack.push_async_callback(mp1.close)
            wanted = list(dict.fromkeys([*ae_ids, *(await aes_with(source.client, labels) if labels else ())]))
            if not wanted:
                raise CannotStart(f"no AE of {source.profile.cse_id} has the label {', '.join(labels)}")
            journal = journal_of(source, target) if self._journal else None
            if journal is not None:
                stack.push_async_callback(journal.close)
            newest = arbiter(mp1) if mp1 is not None else None
            mover = Handover(source, target, self._options, arbiter=newest, journal=journal)
            outcomes = await mover.run(wanted)
            for outcome in outcomes if mp1 is not None else ():
                try:
                    if not outcome.trouble and mp1 is not None:
                        await claim_exposed(mp1, target, outcome.ae_id)
                except (Mp1Error, RequestFailed, Unreachable) as error:
                    raise CannotStart(f"the AEs moved, but the MEC registry could not be told: {error}") from error
            _show(outcomes, f"{source.profile.cse_id} -> {target.profile.cse_id}", self._as_json)
            return 1 if any(outcome.trouble for outcome in outcomes) else 0


async def _follow(
    source: str,
    target: str,
    originator: str,
    mep: str,
    options: Options,
    as_json: bool,
    journal: bool,
    stop: asyncio.Event,
) -> int:
    from mec_adapter.config import AdapterStartError
    from mec_adapter.handover_trigger import Trigger, run_handover_on_mobility
    from mec_adapter.mp1.client import Mp1Client
    from mec_adapter.mp1.errors import Mp1Error

    async with AsyncExitStack() as stack:
        edge = await _open(stack, source, "--from", originator)
        default = None
        if target:
            default = target, (await _open(stack, target, "--to", originator)).profile.cse_id
        mp1 = Mp1Client(mep)
        stack.push_async_callback(mp1.close)

        def done(outcome: Outcome) -> None:
            _show([outcome], f"from {edge.profile.cse_id}", as_json)

        def ready(url: str) -> None:
            tell(f"handover from {edge.profile.cse_id} on mobility reported by {mep}")
            tell(f"  status  {url}/status")
            tell("ready")

        trigger = Trigger(mp1, edge, originator, default, options, done=done, journal=journal)
        try:
            await run_handover_on_mobility(trigger, stop, ready)
        except (Mp1Error, AdapterStartError) as error:
            raise CannotStart(f"--mep {mep}: {error}") from error
    return 0


async def _demo(aes: int, rate: str, options: Options, as_json: bool, stop: asyncio.Event) -> int:
    from devices.run import parse_rate
    from onemec.handover_demo import run_demo

    try:
        rate_per_s = parse_rate(rate)
    except ValueError as error:
        fail(f"--rate: {error}", USAGE)
    if not 0 < aes <= 10_000:
        fail(f"--aes {aes}: give 1 to 10000", USAGE)
    if not as_json:
        tell(f"handover of {aes} AEs posting at {rate}: two MN-CSEs with SQLite, a MEC platform, MEC 021 as trigger")
    running = asyncio.create_task(run_demo(aes, rate_per_s, options))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return 130
    figures = running.result()
    _show_demo(figures, as_json)
    return 0 if figures.passed else 1


def _times(values: tuple[float, ...]) -> dict[str, float]:
    from mec_adapter.handover_plan import percentile

    shares = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {name: round(percentile(values, share) * 1000, 1) for name, share in shares.items()}


def _in_words(times: dict[str, float]) -> str:
    return "   ".join(f"{name} {value:g} ms" for name, value in times.items())


def _show(outcomes: list[Outcome], way: str, as_json: bool) -> None:
    moved = [outcome for outcome in outcomes if not outcome.trouble]
    attach = _times(tuple(outcome.attach_s for outcome in moved))
    if as_json:
        tell(json.dumps({"way": way, "attach_ms": attach, "aes": [asdict(outcome) for outcome in outcomes]}))
        return
    for outcome in outcomes:
        if outcome.trouble:
            tell(f"{outcome.ae_id}: {outcome.trouble}")
    tell(f"moved        {len(moved)} of {len(outcomes)}, {way}")
    if moved:
        late = sum(outcome.late for outcome in moved)
        tell(f"attach time  {_in_words(attach)}")
        tell(f"carried      {sum(outcome.copied for outcome in moved)} instances, {late} of them at the last moment")
        tell(f"undelivered  {sum(outcome.undelivered for outcome in moved)} notifications of the old CSE")


def _show_demo(figures: Figures, as_json: bool) -> None:
    from onemec.handover_demo import BAR_ATTACH_S

    attach, latency = _times(figures.attach), _times(figures.latency)
    counts: dict[str, Any] = {
        name: value for name, value in asdict(figures).items() if name not in ("attach", "latency")
    }
    if as_json:
        tell(json.dumps({**counts, "attach_ms": attach, "latency_ms": latency, "passed": figures.passed}))
        return
    for trouble in figures.troubles:
        tell(trouble)
    tell(f"moved              {figures.moved} of {figures.aes}")
    tell(f"attach time        {_in_words(attach)}   (bar: p95 {BAR_ATTACH_S * 1000:g} ms)")
    tell(f"posted             {figures.sent}, acknowledged {figures.acknowledged}")
    tell(f"lost               {figures.lost}")
    tell(f"duplicated         {figures.duplicated}")
    tell(f"latency            {_in_words(latency)}   (device to subscriber)")
    tell(f"carried            {figures.copied} instances; missing at the target {figures.missing_at_target}")
    tell(f"left at the source {figures.left_at_source} AEs; wrong in the MEC registry {figures.registry_wrong}")
    tell("bar met" if figures.passed else "bar missed")
