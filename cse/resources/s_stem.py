"""AE-IDs that are unique in the service provider: S-stems, kept by the IN-CSE as AEAnnc (TS-0001 clause 10.2.2.2).

Not a resource type of its own: ``ae`` uses it at MN-CSEs and ASN-CSEs.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from cse.onem2m.errors import OriginatorHasAlreadyRegistered, TargetNotReachable
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import CseType, Resource, Send
from cse.resources.announced import INACTIVE
from cse.resources.declare import Context

_ANNOUNCED_AE = 10002
_ROOT = "m2m:aeA"
_DEFAULT_RELEASES = ["3"]


def register(ctx: Context, parent: Resource, attributes: dict[str, Any]) -> Generator[Send, Response | None, None]:
    """Have the IN-CSE give out or confirm an S-stem; the stem becomes ``aei`` of the attributes.

    Args:
        ctx: the registration; its originator is ``S`` or an S-stem.
        parent: the CSEBase.
        attributes: of the AE; gets an ``rn`` when it has none, since the IN-CSE is told the address.

    Raises:
        TargetNotReachable: the IN-CSE does not answer.
        OriginatorHasAlreadyRegistered: it refuses: the stem is in use.
    """
    in_cse = _in_cse(ctx)
    if not in_cse:
        return
    stem = ctx.originator
    attributes.setdefault("rn", f"ae_{ctx.env.new_id()}")
    content: dict[str, Any] = {
        "lnk": f"{ctx.settings.cse_id}/{parent.path}/{attributes['rn']}",
        "lbl": [f"Credential-ID:{ctx.request.credential_id or ctx.request.credential}"],
    }
    answer: Response | None = None
    if len(stem) > 1:
        answer = yield from ctx.perform(_request(ctx, Operation.UPDATE, f"{in_cse}/{stem}", content, stem))
    if answer is None or answer.status is Status.NOT_FOUND:
        further = {"api": attributes["api"], "srv": attributes.get("srv") or _DEFAULT_RELEASES}
        further["et"] = attributes.get("et") or parent.attributes.get("et") or _latest(ctx)
        request = _request(ctx, Operation.CREATE, f"{in_cse}/-", {**content, **further}, stem)
        answer = yield from ctx.perform(request)
    if answer.status is Status.TARGET_NOT_REACHABLE:
        raise TargetNotReachable(f"the IN-CSE {in_cse!r} that gives out S-stems does not answer: register as 'C'")
    if not answer.status.is_success:
        raise OriginatorHasAlreadyRegistered(
            f"the IN-CSE {in_cse!r} does not grant the AE-ID stem {stem!r} (it answers {int(answer.status)})"
        )
    attributes["aei"] = answer.content[_ROOT]["ri"]


def deregister(ctx: Context, resource: Resource) -> None:
    """Tell the IN-CSE that no AE is behind an S-stem for now."""
    in_cse = _in_cse(ctx)
    if resource.ri.startswith("S") and in_cse:
        ctx.follow(_request(ctx, Operation.UPDATE, f"{in_cse}/{resource.ri}", {"lnk": INACTIVE}, resource.ri))


def _in_cse(ctx: Context) -> str:
    """The IN-CSE to ask; "" when this is one, or a CSE on its own that gives out stems itself."""
    settings = ctx.settings
    return "" if settings.cse_type is CseType.IN else settings.in_cse_id or settings.registrar


def _latest(ctx: Context) -> str:
    return format_timestamp(ctx.env.now + ctx.settings.default_expiration_s)


def _request(ctx: Context, operation: Operation, to: str, content: dict[str, Any], stem: str) -> Request:
    # The stem behind the CSE-ID tells the IN-CSE what this is about.
    return Request(
        operation,
        to,
        f"{ctx.settings.cse_id}/{stem}",
        ctx.env.new_id(),
        resource_type=_ANNOUNCED_AE if operation is Operation.CREATE else None,
        content={_ROOT: content},
        release="3" if "3" in ctx.settings.releases else ctx.settings.releases[-1],
    )
