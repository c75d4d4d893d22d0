"""One request in the core: what the procedures and the hooks of the types work with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from cse.core import access_control, announcement_retries, announcements, forwarding, lifecycle, notifications
from cse.core.hosting import HostingCse
from cse.core.resolution import find, is_alive, is_own
from cse.onem2m.addressing import parse_address, shorten
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Request, Response
from cse.ports import Env, Resource, Send, Ticket, both
from cse.resources.declare import Privilege, ResourceType

Handle = Callable[["RequestContext"], Generator[Send, Response | None, Response]]


class RequestContext:
    """A request being served. Implements ``cse.resources.declare.Context``.

    Args:
        cse: the CSE.
        env: time and identifiers.
        request: what is asked.
        handle: the procedure that serves a further request as a part of this one.
        depth: how many requests this one is nested in.
    """

    __slots__ = (
        "announcing",
        "cse",
        "depth",
        "env",
        "follow_ups",
        "handle",
        "in_transaction",
        "new_timers",
        "originator",
        "outbox",
        "registry",
        "request",
        "settings",
        "store",
        "ticket",
        "withdrawn",
    )

    def __init__(self, cse: HostingCse, env: Env, request: Request, handle: Handle, depth: int = 0) -> None:
        self.cse = cse
        self.settings = cse.settings
        self.registry = cse.registry
        self.store = cse.store
        self.env = env
        self.request = request
        self.handle = handle
        self.depth = depth
        self.originator = shorten(request.originator, cse.settings.sp_id, cse.settings.cse_id)
        self.outbox: list[Send] = []
        self.ticket: Ticket = 0
        self.in_transaction = False
        self.new_timers: list[tuple[str, str, float | None]] = []
        self.announcing: list[str] = []
        self.withdrawn: list[Resource] = []
        self.follow_ups: list[Request] = []

    def type_of(self, resource: Resource) -> ResourceType:
        """See ``Context.type_of``."""
        return self.registry[resource.ty]

    def find_local(self, identifier: str) -> Resource | None:
        """The live resource of this CSE that an identifier of any form names, virtual ones excluded; else None."""
        # Most identifiers are plain resource-IDs; only the others are worth parsing.
        resource = self.store.get(identifier)
        if resource is not None:
            return resource if is_alive(resource, self.env) else None
        try:
            address = parse_address(identifier)
            if not is_own(address, self.cse):
                stem = shorten(identifier, self.settings.sp_id, self.settings.cse_id)
                return self.store.get(stem) if stem != identifier else None
            if not address.segments:
                return self.cse.base()
            target = find(self.cse, address.segments, self.env)
        except CseError:
            return None
        return None if target.virtual is not None else target.resource

    local = find_local

    def is_local(self, identifier: str) -> bool:
        """See ``Context.is_local``."""
        try:
            return is_own(parse_address(identifier), self.cse)
        except CseError:
            return False

    def allowed(self, resource: Resource, privilege: Privilege, originator: str | None = None) -> bool:
        """See ``Context.allowed``."""
        who = self.originator if originator is None else self.short(originator)
        return access_control.decide(self, resource, privilege, who)

    def allowed_by(
        self, policies: Sequence[str], privilege: Privilege, resource: Resource, originator: str | None = None
    ) -> bool:
        """See ``Context.allowed_by``."""
        who = self.originator if originator is None else self.short(originator)
        if who and (who in self.settings.admin or who == self.settings.cse_id):
            return True
        return access_control.policies_grant(self, policies, privilege, resource, who)

    def granted_by_rules(
        self, rules: Iterable[Mapping[str, Any]], privilege: Privilege, resource: Resource, originator: str
    ) -> bool:
        """See ``Context.granted_by_rules``."""
        return access_control.policy_grants(self, rules, privilege, resource, originator)

    def short(self, identifier: str) -> str:
        """An identifier in its shortest local form."""
        return shorten(identifier, self.settings.sp_id, self.settings.cse_id)

    def transaction(self) -> AbstractContextManager[None]:
        """See ``Context.transaction``. Nested ones are one."""
        return _Transaction(self)

    def create(self, parent: Resource, ty: int, attributes: dict[str, Any], *, creator: str = "") -> Resource:
        """See ``Context.create``."""
        return lifecycle.store_new(self, parent, self.registry[ty], "", attributes, creator)

    def modify(self, resource: Resource, changes: Mapping[str, Any]) -> Resource:
        """See ``Context.modify``."""
        return lifecycle.apply_changes(self, resource, changes)

    def adjust(self, resource: Resource, changes: Mapping[str, Any], **internal: Any) -> Resource:
        """See ``Context.adjust``."""
        attributes = {**resource.attributes, **changes}
        for name, value in changes.items():
            if value is None:
                del attributes[name]
        if "announced" in resource.internal:
            announcements.changed(self, resource)
        return self.store.replace(resource.ri, attributes, {**resource.internal, **internal} if internal else None)

    def delete(self, resource: Resource) -> None:
        """See ``Context.delete``."""
        lifecycle.delete_tree(self, resource)

    @property
    def unsettled(self) -> bool:
        """Whether other CSEs must be told of the changes (see ``announcements.settle``)."""
        return bool(self.announcing or self.withdrawn or self.follow_ups)

    def follow(self, request: Request) -> None:
        """See ``Context.follow``."""
        self.follow_ups.append(request)

    def withdraw(self, resource: Resource) -> None:
        """See ``Context.withdraw``."""
        announcements.gone(self, resource)

    def announce_through(self, hop: Resource) -> Generator[Send, Response | None, None]:
        """See ``Context.announce_through``."""
        return announcement_retries.try_again(self, hop)

    def has_to_announce(self, hop: Resource) -> bool:
        """See ``Context.has_to_announce``."""
        return announcement_retries.is_due(self, hop)

    def group_id_is_new(self, group_id: str) -> bool:
        """See ``Context.group_id_is_new``."""
        return self.cse.group_id_is_new(group_id, self.env)

    def set_timer(self, ri: str, kind: str, due_s: float | None) -> None:
        """See ``Context.set_timer``."""
        if self.in_transaction:
            self.new_timers.append((ri, kind, due_s))
        else:
            self.cse.timers.set(ri, kind, due_s)

    def event(self, resource: Resource, event_type: int, detail: Any = None) -> None:
        """See ``Context.event``."""
        notifications.special_event(self, resource, event_type, detail)

    def queue(self, send: Send) -> None:
        """See ``Context.queue``."""
        self.outbox.append(send)

    def queue_request(self, request: Request) -> None:
        """See ``Context.queue_request``."""
        send = forwarding.own_request(self, request)
        if send is not None:
            self.outbox.append(send)

    def perform(self, request: Request) -> Generator[Send, Response | None, Response]:
        """See ``Context.perform``."""
        inner = RequestContext(
            self.cse,
            self.env,
            replace(request, credential=request.credential or self.request.credential),
            self.handle,
            self.depth + 1,
        )
        response = yield from self.handle(inner)
        self.outbox.extend(inner.outbox)
        self.ticket = both(self.ticket, inner.ticket)
        return response

    def notification(
        self,
        target: str,
        content: dict[str, Any],
        *,
        subject: str = "",
        final: bool = False,
        category: int | None = None,
    ) -> Send | None:
        """See ``Context.notification``."""
        return forwarding.notification(self, target, content, subject=subject, final=final, category=category)


class _Transaction(AbstractContextManager[None]):
    """What is stored inside, and what is queued because of it, counts together or not at all.

    A class and not a generator: every request has at least one, and this costs a third.
    """

    __slots__ = ("_ctx", "_nested", "_queued")

    def __init__(self, ctx: RequestContext) -> None:
        self._ctx = ctx
        self._nested = ctx.in_transaction
        self._queued = len(ctx.outbox)

    def __enter__(self) -> None:
        if not self._nested:
            self._ctx.store.begin()
            self._ctx.in_transaction = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._nested:
            return
        ctx = self._ctx
        try:
            if kind is not None:
                self._undo()
                return
            outbox = ctx.outbox
            caused = outbox[self._queued :] if len(outbox) > self._queued else ()
            ctx.ticket = both(ctx.ticket, ctx.store.commit(caused))
            if ctx.new_timers:
                for ri, timer, due_s in ctx.new_timers:
                    ctx.cse.timers.set(ri, timer, due_s)
                ctx.new_timers.clear()
        finally:
            ctx.in_transaction = False

    def _undo(self) -> None:
        ctx = self._ctx
        ctx.store.rollback()
        del ctx.outbox[self._queued :]
        ctx.new_timers.clear()
        ctx.announcing.clear()
        ctx.withdrawn.clear()
        ctx.follow_ups.clear()
