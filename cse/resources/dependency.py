"""dependency, type 66: a further condition of an action (TS-0001 clause 9.6.62). Evaluated in ``action``."""

from __future__ import annotations

from typing import Any

from cse.onem2m.errors import ContentsUnacceptable
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare
from cse.resources.evaluation import check_criteria, subject_for


class DependencyHooks(Hooks):
    """The condition must be one that can be evaluated."""

    wrong_root = ContentsUnacceptable

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Look at the referenced resource and the criteria."""
        check_criteria(ctx, attributes["evc"], subject_for(ctx, attributes["rri"], "rri"))

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same with the changes applied."""
        if "evc" in changes or "rri" in changes:
            merged = {**resource.attributes, **changes}
            check_criteria(ctx, merged["evc"], subject_for(ctx, merged["rri"], "rri"))


TYPES = (declare("dependency", DependencyHooks()),)
