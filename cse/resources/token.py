"""token, type 32: permissions and roles signed by somebody (TS-0001 clause 9.6.39, TS-0003 clause 7.3.2.5).

A request names tokens kept here by their identifiers (tids). What counts of them are their roles, while they are valid
and for their holder only. Tokens are made below the CSEBase, so whoever may create there vouches for them; tokens that
travel in the request itself (tkns) are believed by nobody, as this CSE knows no issuer's key.
"""

from __future__ import annotations

from cse.onem2m.addressing import sp_relative
from cse.resources.declare import Context, Hooks, declare

_TOKEN = 32


class TokenHooks(Hooks):
    """Says which roles the tokens of a request give."""

    def attests_role(self, ctx: Context, role: str, originator: str) -> bool:
        """Whether a token that the request names gives its originator the role."""
        named = ctx.request.token_ids
        if not named:
            return False
        own, now = ctx.settings.cse_id, ctx.env.timestamp
        holder = sp_relative(originator, own)
        for resource in ctx.store.of_type(_TOKEN):
            known = resource.attributes
            if known["tkid"] not in named or known["et"] <= now or "tkhd" not in known:
                continue
            if sp_relative(known["tkhd"], own) != holder:
                continue
            if not known.get("tknb", "") <= now < known.get("tkna", "9"):
                continue
            if own not in known.get("tkau", (own,)):
                continue
            permissions = known.get("tkps", {}).get("pm", ())
            if any(role in permission.get("rids", ()) for permission in permissions):
                return True
        return False


TYPES = (declare("token", TokenHooks()),)
