"""pollingChannel, type 15, and its pollingChannelURI (TS-0001 clause 9.6.21, 9.6.22, 10.2.5.13; TS-0004 clause 7.4.13).

An entity that cannot be reached fetches the requests for it here, and answers them here. What waits is in the shell.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from cse.onem2m.errors import BadRequest, OriginatorHasNoPrivilege
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.timestamps import absolute_time
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, Privilege, VirtualChild, declare

_NUMBER = 15


class PollingChannelHooks(Hooks):
    """A channel is its entity's own: nobody else makes, sees or removes it."""

    holds_requests = True

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """Only the entity registered as its parent."""
        parent = ctx.store.get(resource.pi)
        return parent is not None and _entity(parent) == originator

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse a channel for somebody else, and a second one.

        Raises:
            OriginatorHasNoPrivilege: the originator is not the entity registered as the parent.
            BadRequest: it has one already.
        """
        if ctx.originator != _entity(parent):
            raise OriginatorHasNoPrivilege(f"only {_entity(parent)!r} itself may create its polling channel")
        if ctx.store.children(parent.ri, _NUMBER):
            raise BadRequest(f"{parent.path!r} has a polling channel already: use that one, or DELETE it first")
        attributes.setdefault("rqag", False)


def _entity(parent: Resource) -> str:
    """The identifier of the AE or CSE registered as ``parent``."""
    return str(parent.attributes.get("csi") or parent.ri)


def _serve(ctx: Context, channel: Resource, tail: tuple[str, ...]) -> Generator[Send, Response | None, Response]:
    """Hold a poll until something is to be fetched, or take the answer to what was fetched.

    Raises:
        OriginatorHasNoPrivilege: it is the channel of somebody else.
        BadRequest: a NOTIFY that carries no response.
    """
    request = ctx.request
    if not ctx.allowed(channel, Privilege.RETRIEVE):
        raise OriginatorHasNoPrivilege(f"originator {ctx.originator!r} may not use the polling channel of another")
    wait_s = ctx.settings.request_timeout_s
    if request.operation is Operation.RETRIEVE:
        content: Any = {"rqag": True} if channel.attributes.get("rqag") else None
        if request.request_expiration is not None:
            wait_s = max(0.0, absolute_time(request.request_expiration, ctx.env.now) - ctx.env.now)
    else:
        content = request.content
        if not isinstance(content, dict) or not isinstance(content.get("m2m:rsp"), dict):
            raise BadRequest(
                'a NOTIFY to pcu carries the answer to a fetched request: {"m2m:rsp": {"rsc": ..., "rqi": ...}}'
            )
    own = Request(request.operation, f"{channel.ri}/pcu", ctx.settings.cse_id, ctx.env.new_id(), content=content)
    answer = yield Send(own, receiver="pcu", channel=channel.ri, timeout_s=wait_s)
    assert answer is not None  # the shell answers for the channel itself, always
    return replace(answer, request_id=request.request_id)


TYPES = (
    declare(
        "pollingChannel",
        PollingChannelHooks(),
        virtual=(VirtualChild("pcu", frozenset({Operation.RETRIEVE, Operation.NOTIFY}), handle=_serve),),
    ),
)
