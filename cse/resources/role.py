"""role, type 31: a role that its holder may claim (TS-0001 clause 9.6.38, TS-0003 clause 7.4).

A role claimed in a request (rids) counts where accessControlOriginators name it, when a ``<role>`` here says that the
originator holds it now. Roles are made below the CSEBase, so whoever may create there decides about them.
"""

from __future__ import annotations

from cse.onem2m.addressing import sp_relative
from cse.resources.declare import Context, Hooks, declare

_ROLE = 31


class RoleHooks(Hooks):
    """Says who holds which role."""

    def attests_role(self, ctx: Context, role: str, originator: str) -> bool:
        """Whether the originator claims the role and holds it."""
        if role not in (ctx.request.role_ids or ()):
            return False
        own, now = ctx.settings.cse_id, ctx.env.timestamp
        holder = sp_relative(originator, own)
        return any(
            known["rlid"] == role and sp_relative(known["tkhd"], own) == holder and known["tknb"] <= now < known["tkna"]
            for resource in ctx.store.of_type(_ROLE)
            if (known := resource.attributes)["et"] > now
        )


TYPES = (declare("role", RoleHooks()),)
