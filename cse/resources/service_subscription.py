"""Which AEs a service subscription lets register (TS-0001 clause 9.6.19, 9.6.20, 9.6.29, 10.2.2.2; TS-0004 7.4.5.2.1).

Not a resource type of its own: ``ae`` uses it. A serviceSubscribedNode names a CSE and links the rules for it; while
none names this CSE, no subscription is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from cse.onem2m.addressing import shorten
from cse.onem2m.errors import AppRuleValidationFailed, ServiceSubscriptionNotEstablished
from cse.ports import Resource
from cse.resources.declare import Context

_APP_RULE, _NODE = 19, 20
#: the Credential-ID of those who have none
_NO_CREDENTIAL = "None"


def check(ctx: Context, stem: str, app_id: str) -> None:
    """Refuse a registration that the service subscriptions of this CSE's node do not cover.

    Args:
        ctx: the registration.
        stem: AE-ID stem asked for; "", "C" or "S" when the CSE is to choose.
        app_id: App-ID.

    Raises:
        ServiceSubscriptionNotEstablished: the node has no rules.
        AppRuleValidationFailed: none of its rules covers the AE.
    """
    settings = ctx.settings
    nodes = [
        node
        for node in ctx.store.of_type(_NODE)
        if node.attributes.get("csi") and _same_cse(ctx, node.attributes["csi"], settings.cse_id)
    ]
    if not nodes:
        return
    found = [ctx.local(link) for node in nodes for link in node.attributes.get("rlk") or ()]
    rules = [rule for rule in found if rule is not None and rule.ty == _APP_RULE]
    if not rules:
        raise ServiceSubscriptionNotEstablished(
            "no service subscription covers AEs at this CSE: link a serviceSubscribedAppRule to its node (rlk)"
        )
    if not any(_covers(ctx, rule, stem, app_id) for rule in rules):
        raise AppRuleValidationFailed(
            f"no serviceSubscribedAppRule covers App-ID {app_id!r} with AE-ID {stem!r}: ask the service provider"
        )


def _covers(ctx: Context, rule: Resource, stem: str, app_id: str) -> bool:
    credential = ctx.request.credential_id or ctx.request.credential or _NO_CREDENTIAL
    attributes = rule.attributes
    return all(
        _fits(attributes.get(name), value) for name, value in (("apci", credential), ("aai", app_id), ("aae", stem))
    )


def _fits(patterns: Sequence[str] | None, value: str) -> bool:
    return patterns is None or any(fnmatchcase(value, pattern) for pattern in patterns)


def _same_cse(ctx: Context, one: str, other: str) -> bool:
    sp_id, cse_id = ctx.settings.sp_id, ctx.settings.cse_id
    return shorten(one, sp_id, cse_id) == shorten(other, sp_id, cse_id)
