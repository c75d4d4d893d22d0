"""multimediaSession, type 46: a session between AEs (TS-0001 clause 9.6.44, TS-0004 clause 7.4.50)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import SessionIsOnline, TargetHasNoSessionCapability
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare

_OFFLINE, _ONLINE = 1, 2


class MultimediaSessionHooks(Hooks):
    """Below AEs that can hold sessions; described while offline."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse a session with an AE that has no session capability (scp).

        Raises:
            TargetHasNoSessionCapability: the AE has no scp.
        """
        if "scp" not in parent.attributes:
            raise TargetHasNoSessionCapability(f"{parent.path!r} has no session capability (scp): it must register one")

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """A session begins offline."""
        resource.attributes["sst"] = _OFFLINE

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse other descriptions while the session is online.

        Raises:
            SessionIsOnline: it is.
        """
        if resource.attributes["sst"] == _ONLINE and ("osd" in changes or "asd" in changes):
            raise SessionIsOnline("the session is online: set sst to 1 (offline) before its descriptions change")


TYPES = (declare("multimediaSession", MultimediaSessionHooks()),)
