"""serviceSubscribedAppRule, type 19: which applications a credential may register (TS-0001 clause 9.6.29)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import BadRequest
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare


class AppRuleHooks(Hooks):
    """Patterns of App-IDs."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse patterns that match no App-ID."""
        _check(attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse patterns that match no App-ID."""
        _check(changes)


def _check(attributes: dict[str, Any]) -> None:
    for pattern in attributes.get("aai") or ():
        if pattern[0] not in "*RN":
            raise BadRequest(f"attribute 'aai' holds {pattern!r}: an App-ID begins with R or N, a pattern may with *")


TYPES = (declare("serviceSubscribedAppRule", AppRuleHooks(), in_cse_only=True),)
