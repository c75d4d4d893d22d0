"""The CSE as the console sees it, and what a person may see there."""

from __future__ import annotations

import time
from typing import Protocol

from cse.admission import Admission
from cse.bindings.http_watch import Watches
from cse.config import CseConfig
from cse.console.inspector import Inspector
from cse.console.people import Person, Role
from cse.core.access_control import decide
from cse.core.context import RequestContext
from cse.core.explanation import virtual_parent
from cse.core.hosting import HostingCse
from cse.core.pipeline import serve
from cse.delivery import Delivery
from cse.onem2m.primitives import Operation, Request, Response
from cse.ports import Engine, Env
from cse.resources.declare import Privilege
from cse.security import Security


class House(Protocol):
    """A running CSE; ``cse.app.Cse`` is one."""

    config: CseConfig
    security: Security
    admission: Admission
    delivery: Delivery
    hosting: HostingCse
    engine: Engine
    inspector: Inspector

    @property
    def watches(self) -> Watches:
        """Who tells of changes."""
        ...

    def addresses(self) -> dict[str, str]:
        """Where it can be reached, by binding, without secrets."""
        ...

    async def serve(self, request: Request) -> Response:
        """Serve one request."""
        ...


def environment() -> Env:
    """Time, for questions that make nothing."""
    return Env(time.time(), lambda: "question")


def may_see(house: House, person: Person, privilege: Privilege, to: str) -> bool:
    """Whether a person has a privilege on a resource of this CSE; an administrator has it on what is not there, too."""
    if person.role is Role.ADMIN:
        return True
    operation = Operation.RETRIEVE if privilege is Privilege.DISCOVERY else Operation[str(privilege.name)]
    asked = Request(operation, to, person.originator, "question", credential=person.credential)
    ctx = RequestContext(house.hosting, environment(), asked, serve)
    resource = ctx.find_local(to) or virtual_parent(ctx, to) if to else None
    return resource is not None and decide(ctx, resource, privilege, ctx.originator)


__all__ = ["House", "environment", "may_see"]
