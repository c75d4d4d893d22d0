"""What could not be announced yet: found again at every start, and tried again (TS-0001 clause 10.2.9).

``HostingCse.unannounced`` says which resources are due at which CSE. It is not stored: the resources themselves say
what is missing (``announced`` of their internal attributes), and the parents of instances that they have such
instances, so that a start looks at no instance.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import islice

from cse.core.announcements import RETRY, RETRY_S, Announcing, settle, targets_by_cse
from cse.core.forwarding import next_hop
from cse.core.hosting import HostingCse
from cse.onem2m.addressing import parse_address
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Response
from cse.ports import Resource, Send

_LONGEST_PAUSE_S = 6 * 3600.0
#: failures in a row after which a CSE is left alone until the next time
_MOST_FAILURES = 3
#: instances looked at below a parent that has some to announce, newest first
_MOST_INSTANCES = 1000

_Steps = Generator[Send, Response | None, None]


def restore(cse: HostingCse, types: Iterable[int]) -> None:
    """Find what is due; done at every start.

    Args:
        cse: the CSE, its store open.
        types: numbers of the plain types that can be announced, or have instances that can.
    """
    cse.unannounced.clear()
    for number in types:
        for resource in cse.store.of_type(number):
            internal = resource.internal
            if "announced" in internal:
                state = internal["announced"]
                for cse_id in targets_by_cse(cse.settings, state["targets"]):
                    if cse_id not in state["at"]:
                        cse.unannounced.setdefault(cse_id, {})[resource.ri] = None
            for cse_id in internal.get("unannounced_instances", ()):
                cse.unannounced.setdefault(cse_id, {})[resource.ri] = None


def is_due(ctx: Announcing, hop: Resource) -> bool:
    """Whether something is to be announced at a CSE that is reached through a remoteCSE."""
    return any(_leads(ctx, cse_id, hop) for cse_id in ctx.cse.unannounced)


def try_again(ctx: Announcing, hop: Resource) -> _Steps:
    """Announce what is due through a remoteCSE; sets the next time when something is left."""
    for cse_id in [known for known in ctx.cse.unannounced if _leads(ctx, known, hop)]:
        yield from _announce_due(ctx, cse_id)
    if not is_due(ctx, hop):
        ctx.cse.retry_pauses.pop(hop.ri, None)
        return
    pause_s = min(2 * ctx.cse.retry_pauses.get(hop.ri, RETRY_S / 2), _LONGEST_PAUSE_S)
    ctx.cse.retry_pauses[hop.ri] = pause_s
    ctx.set_timer(hop.ri, RETRY, ctx.env.now + pause_s)


def _announce_due(ctx: Announcing, cse_id: str) -> _Steps:
    due = list(ctx.cse.unannounced.pop(cse_id, ()))
    failures = 0
    while due and failures < _MOST_FAILURES:
        resource = ctx.store.get(due.pop(0))
        if resource is None:
            continue
        if cse_id in resource.internal.get("unannounced_instances", ()):
            due.extend(_take_instances(ctx, resource, cse_id))
        ctx.announcing.append(resource.ri)
        yield from settle(ctx, retry=True)
        failures = failures + 1 if resource.ri in ctx.cse.unannounced.get(cse_id, ()) else 0
    failed = ctx.cse.unannounced.pop(cse_id, {})
    # What was not tried comes first next time, so that nothing waits for what is refused for ever.
    left = {**dict.fromkeys(due), **failed}
    if left:
        ctx.cse.unannounced[cse_id] = left


def _take_instances(ctx: Announcing, parent: Resource, cse_id: str) -> list[str]:
    """The instances below a parent that are due, from now on each on its own."""
    due = [
        instance.ri
        for instance in islice(ctx.store.instances(parent.ri, newest_first=True), _MOST_INSTANCES)
        if (state := instance.internal.get("announced")) is not None
        and cse_id not in state["at"]
        and cse_id in targets_by_cse(ctx.settings, state["targets"])
    ]
    rest = [known for known in parent.internal["unannounced_instances"] if known != cse_id]
    internal = {**parent.internal, "unannounced_instances": rest}
    if not rest:
        del internal["unannounced_instances"]
    with ctx.transaction():
        ctx.store.replace(parent.ri, parent.attributes, internal)
    return due[::-1]


def _leads(ctx: Announcing, cse_id: str, hop: Resource) -> bool:
    try:
        return next_hop(ctx, parse_address(cse_id)).ri == hop.ri
    except CseError:
        return False
