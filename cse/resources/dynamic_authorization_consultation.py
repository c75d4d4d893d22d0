"""dynamicAuthorizationConsultation, type 34: whom to ask for access (TS-0001 clause 9.6.40, TS-0003 clause 7.3.2)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Generator
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Operation, Response
from cse.onem2m.serialisation import load_json
from cse.onem2m.timestamps import absolute_time, format_timestamp
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, Privilege, declare

_REQUEST, _RESPONSE = 1, 2
#: how long rules hold whose answer does not say, and at most, in seconds
_SHORT_S, _LONGEST_S = 10.0, 86400.0
Granted = tuple[list[dict[str, Any]], float]


class DynamicAuthorizationConsultationHooks(Hooks):
    """Asks the authorization systems of the resources that name them (``daci``)."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """There must be somebody to ask."""
        _check(attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same after the change."""
        _check({**resource.attributes, **changes})

    def consult(
        self, ctx: Context, resource: Resource, privilege: Privilege
    ) -> Generator[Send, Response | None, Granted | None]:
        """What the first system that answers grants: rules, and until when (seconds since the epoch).

        Args:
            ctx: the request that was denied.
            resource: its target.
            privilege: what it needs.
        """
        for consultation in _consultations(ctx, resource):
            request = _das_request(ctx, resource, privilege, consultation)
            for target in consultation["dap"]:
                send = ctx.notification(target, {"m2m:seci": {"sit": _REQUEST, "dreq": request}})
                if send is None:
                    continue
                answer = yield send
                if answer is not None and answer.status.is_success:
                    return _granted(ctx, resource, consultation, answer.content)
        return None


def _check(attributes: dict[str, Any]) -> None:
    if not attributes["dap"]:
        raise BadRequest("attribute 'dap' must name at least one point of access of an authorization system")


def _consultations(ctx: Context, resource: Resource) -> list[dict[str, Any]]:
    """The enabled consultations of a resource, or else of its nearest ancestor that names any."""
    current: Resource | None = resource
    while current is not None and not current.attributes.get("daci"):
        current = ctx.store.get(current.pi) if current.pi else None
    if current is None:
        return []
    named = [ctx.local(identifier) for identifier in current.attributes["daci"]]
    return [
        one.attributes for one in named if one is not None and one.attributes.get("dae") and "dap" in one.attributes
    ]


def _das_request(
    ctx: Context, resource: Resource, privilege: Privilege, consultation: dict[str, Any]
) -> dict[str, Any]:
    request = ctx.request
    asked: dict[str, Any] = {
        "op": int(request.operation),
        "or": sp_relative(ctx.originator, ctx.settings.cse_id),
        "trid": sp_relative(resource.ri, ctx.settings.cse_id),
        "trt": request.resource_type if request.operation is Operation.CREATE else resource.ty,
        "rts": format_timestamp(ctx.env.now),
    }
    address = request.peer_address
    if address:
        asked["oip"] = {"ipv6" if ":" in address else "ipv4": [address]}
    if request.role_ids:
        asked["orid"] = list(request.role_ids)
    if request.token_ids:
        asked["tids"] = list(request.token_ids)
    if "dal" in consultation:
        asked["ppl"] = consultation["dal"]
    return asked


def _granted(ctx: Context, resource: Resource, consultation: dict[str, Any], content: Any) -> Granted | None:
    """What an answer grants, None when it grants nothing or makes no sense."""
    try:
        info = content["m2m:seci"]
        answer = info["dres"]
        if info["sit"] != _RESPONSE:
            return None
        now = ctx.env.now
        limits = [now + _LONGEST_S]
        if "dal" in consultation:
            limits.append(absolute_time(consultation["dal"], now))
        dynamic = answer.get("dai") or {}
        if dynamic:
            limits.append(absolute_time(dynamic["pl"], now) if "pl" in dynamic else now + _SHORT_S)
        rules = list((dynamic.get("gp") or {}).get("acr", ()))
        for token in answer.get("tkns") or ():
            claims = _claims(token)
            if _holds(ctx, claims):
                limits.append(absolute_time(claims["tkna"], now))
                rules.extend(_token_rules(ctx, resource, claims))
    except (KeyError, TypeError, AttributeError, ValueError, BadRequest):
        return None
    until_s = min(limits)
    return (rules, until_s) if rules and until_s > now else None


def _claims(token: str) -> dict[str, Any]:
    """The claims of a token of the authorization system, which vouches for it: it is its own answer to our question."""
    _, payload, _ = token.split(".")
    claims = load_json(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if not isinstance(claims, dict):
        raise TypeError
    return claims


def _holds(ctx: Context, claims: dict[str, Any]) -> bool:
    own = ctx.settings.cse_id
    audience = claims.get("tkau")
    now = ctx.env.now
    return (
        sp_relative(claims["tkhd"], own) == sp_relative(ctx.originator, own)
        and absolute_time(claims["tknb"], now) <= now < absolute_time(claims["tkna"], now)
        and (not audience or own in audience)
    )


def _token_rules(ctx: Context, resource: Resource, claims: dict[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    for permission in (claims.get("tkps") or {}).get("pm", ()):
        named = permission.get("ris")
        if not named or any((one := ctx.local(name)) is not None and one.ri == resource.ri for name in named):
            rules.extend((permission.get("pv") or {}).get("acr", ()))
    return rules


TYPES = (declare("dynamicAuthorizationConsultation", DynamicAuthorizationConsultationHooks()),)
