"""accessControlPolicy, type 1: who may do what (TS-0001 clause 9.6.2, TS-0004 clause 7.4.2)."""

from __future__ import annotations

from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import BadRequest
from cse.ports import Resource
from cse.resources.datatypes import schedule_entry
from cse.resources.declare import Context, Hooks, Privilege, declare


class AccessControlPolicyHooks(Hooks):
    """A policy is guarded by its own selfPrivileges and by nothing else."""

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """Pvs decides, even against the creator."""
        return ctx.granted_by_rules(resource.attributes["pvs"].get("acr", ()), privilege, resource, originator)

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Pvs must grant something; pv may be empty."""
        _check_rules(attributes["pv"], "pv")
        _check_self(attributes["pvs"])

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same for what an UPDATE sets."""
        if "pv" in changes:
            _check_rules(changes["pv"], "pv")
        if "pvs" in changes:
            _check_self(changes["pvs"])

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """Resources that were linked to the policy lose the link."""
        for identifier in (
            resource.ri,
            resource.path,
            sp_relative(resource.ri, ctx.settings.cse_id),
            sp_relative(resource.path, ctx.settings.cse_id),
        ):
            for linked in ctx.store.referring("acpi", identifier):
                rest = [entry for entry in linked.attributes["acpi"] if entry != identifier]
                ctx.adjust(linked, {"acpi": rest or None})


def _check_self(rules: dict[str, Any] | None) -> None:
    if not rules or not rules.get("acr"):
        raise BadRequest(
            "attribute 'pvs' must hold at least one rule, or nobody could ever change the policy: "
            'send e.g. {"acr": [{"acor": ["Cmy-ae"], "acop": 63}]}'
        )
    _check_rules(rules, "pvs")


def _check_rules(rules: dict[str, Any] | None, name: str) -> None:
    for rule in (rules or {}).get("acr", ()):
        for context in rule.get("acco", ()):
            for window in context.get("actw", ()):
                expected = schedule_entry(window)
                if expected:
                    raise BadRequest(f"attribute {name!r}: actw must hold {expected}, not {window!r}")


TYPES = (declare("accessControlPolicy", AccessControlPolicyHooks()),)
