"""policyDeletionRules, type 27: when a notification target may remove itself (TS-0001 clause 9.6.32).

They are evaluated in ``target_removal``.
"""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import Conflict
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare

_NUMBER, _MOST = 27, 2


class PolicyDeletionRulesHooks(Hooks):
    """Two at most for each policy, which says how they are joined."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse a third one.

        Raises:
            Conflict: the policy has two.
        """
        if len(ctx.store.children(parent.ri, _NUMBER)) >= _MOST:
            raise Conflict(f"{parent.path!r} has {_MOST} policyDeletionRules already: DELETE one first")


TYPES = (declare("policyDeletionRules", PolicyDeletionRulesHooks()),)
