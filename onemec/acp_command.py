"""``onemec acp``: who may do what, in roles, without writing accessControlPolicies by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onemec import acp_rules as rules
from onemec.explain_command import explain
from onemec.process import fail, tell
from onemec.resources_command import (
    ADMIN,
    CSE_ID,
    URL,
    At,
    Cse,
    CseId,
    Json,
    Originator,
    ResourceCommand,
    To,
    run_at,
)
from onemec.settings import USAGE

if TYPE_CHECKING:
    from cse.client import Client
    from onemec.acp_sites import Policy, Site

app = typer.Typer(
    no_args_is_help=True,
    help="Access control: give roles, grant and revoke operations, see and explain who may do what.",
)

_Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")]
_Below = Annotated[bool, typer.Option("--below/--only", help="Also what is below it and has no policies of its own.")]
_Who = Annotated[str, typer.Argument(help="Who: an AE-ID, CSE-ID, group, or a pattern such as C*.")]


@dataclass(slots=True)
class _Work:
    """What is done, or would be: each step is told, and all of them are the result.

    Attributes:
        client: who does it.
        dry_run: nothing is changed.
        as_json: the steps are printed at the end, as one JSON document.
        steps: what was done so far.
    """

    client: Client
    dry_run: bool
    as_json: bool
    steps: list[dict[str, Any]] = field(default_factory=list)

    def step(self, what: str, address: str, words: str) -> None:
        """Something changes."""
        self.steps.append({"what": what, "address": address, "words": words})
        if not self.as_json:
            tell(f"{'would: ' if self.dry_run else ''}{words}")

    def remark(self, words: str) -> None:
        """Something that changes nothing."""
        if not self.as_json:
            tell(words)
        self.steps.append({"what": "remark", "words": words})

    def end(self, site: Site) -> None:
        """Say that nothing had to be done, or print the document."""
        changed = [step for step in self.steps if step["what"] != "remark"]
        if self.as_json:
            shown = {"address": site.address, "dryRun": self.dry_run, "changed": bool(changed), "steps": self.steps}
            tell(json.dumps(shown, indent=2))
        elif not changed:
            tell(f"nothing to change at {site.address}")


@app.command(cls=ResourceCommand)
def role(
    to: To,
    viewer: Annotated[list[str] | None, typer.Option(help="May RETRIEVE and DISCOVER (repeat).")] = None,
    device: Annotated[list[str] | None, typer.Option(help="May also CREATE and NOTIFY: post data (repeat).")] = None,
    operator: Annotated[list[str] | None, typer.Option(help="May do all but DELETE (repeat).")] = None,
    admin: Annotated[list[str] | None, typer.Option(help="May do all, and change the policy (repeat).")] = None,
    below: _Below = True,
    dry_run: _Dry = False,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    as_json: Json = False,
) -> None:
    """Give roles on a resource and all below it: one policy, made and linked where it is missing.

    Who made the resource keeps all rights. Somebody who has another role there changes it. Run it again for resources
    that are made later.

    Example: onemec acp role -/me --viewer CViewer --operator COp
    """
    given = {"viewer": viewer, "device": device, "operator": operator, "admin": admin}
    wanted = {name: role_name for role_name, names in given.items() for name in names or ()}
    if not wanted:
        fail("say who: --viewer CViewer, --operator COp, --device Clamp, --admin COps", USAGE)
    if sum(len(names or ()) for names in given.values()) > len(wanted):
        fail("somebody is given two roles: one includes what the other may", USAGE)

    async def work(client: Client) -> None:
        from onemec.acp_sites import find_site

        doing = _Work(client, dry_run, as_json)
        site = await find_site(client, to)
        _say_site(doing, site)
        await _give_roles(doing, site, wanted)
        policy = await _own_policy(client, site)
        identifier = policy.identifier if policy is not None else ""
        await _link(doing, site.address, site.policies, identifier, site.own_policy)
        if below:
            await _link_below(doing, site, identifier)
        doing.end(site)

    run_at(At(cse, cse_id, originator), work)


@app.command(cls=ResourceCommand)
def grant(
    to: To,
    who: _Who,
    operations: Annotated[
        list[str], typer.Argument(help="Operations or roles: RETRIEVE UPDATE ..., viewer, operator, device, admin.")
    ],
    below: _Below = False,
    dry_run: _Dry = False,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    as_json: Json = False,
) -> None:
    """Let somebody do something: in a policy the resource has, or in a new one where it has none.

    Example: onemec acp grant -/me/data CViewer RETRIEVE DISCOVERY
    """
    bits = _bits(operations)

    async def work(client: Client) -> None:
        from onemec.acp_sites import find_site, read_policies

        doing = _Work(client, dry_run, as_json)
        site = await find_site(client, to)
        _say_site(doing, site)
        readable = [policy for policy in await read_policies(client, site) if not policy.problem]
        identifier = ""
        if readable:
            chosen = _fitting(readable, who, bits)
            identifier = chosen.identifier
            await _save(doing, site, chosen, rules.grant(chosen.rules, who, bits))
        else:
            await _own_rules(doing, site, lambda before: rules.grant(before, who, bits))
            policy = await _own_policy(client, site)
            identifier = policy.identifier if policy is not None else ""
            await _link(doing, site.address, site.policies, identifier, site.own_policy)
        if below:
            await _link_below(doing, site, identifier)
        doing.end(site)

    run_at(At(cse, cse_id, originator), work)


@app.command(cls=ResourceCommand)
def revoke(
    to: To,
    who: _Who,
    operations: Annotated[list[str] | None, typer.Argument(help="Operations or roles; without any, all.")] = None,
    dry_run: _Dry = False,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    as_json: Json = False,
) -> None:
    """Take rights away: from every rule, of every policy of the resource, that names somebody.

    Examples: onemec acp revoke -/me CViewer; onemec acp revoke -/me COp UPDATE DELETE
    """
    bits = _bits(operations) if operations else rules.ALL

    async def work(client: Client) -> None:
        from onemec.acp_sites import find_site, read_policies

        doing = _Work(client, dry_run, as_json)
        site = await find_site(client, to)
        _say_site(doing, site)
        for policy in await read_policies(client, site):
            if policy.problem:
                doing.remark(f"{policy.address} cannot be read ({policy.problem}): left as it is")
                continue
            after = rules.revoke(policy.rules, who, bits)
            await _save(doing, site, policy, after)
            for entry in rules.still_granting(after, who, bits):
                doing.remark(f"{policy.address} still lets {who} in, because it names {entry}")
        if not site.policies:
            doing.remark(f"{site.address} has no policies: only who made it ({site.owner}) may use it")
        doing.end(site)

    run_at(At(cse, cse_id, originator), work)


@app.command(cls=ResourceCommand)
def show(
    to: To,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    as_json: Json = False,
) -> None:
    """Show the policies that decide about a resource, rule by rule.

    Example: onemec acp show -/me/data
    """

    async def work(client: Client) -> None:
        from onemec.acp_sites import find_site, read_policies

        site = await find_site(client, to)
        policies = await read_policies(client, site)
        if as_json:
            tell(json.dumps(_shown(site, policies), indent=2))
            return
        tell(f"{site.address}: " + (f"{len(policies)} policies" if policies else f"only who made it ({site.owner})"))
        for policy in policies:
            tell(f"  {policy.address}" + (f": cannot be read, {policy.problem}" if policy.problem else ""))
            for number, rule in enumerate(policy.rules, 1):
                tell(f"    rule {number}: {rules.describe(rule)}")
            for number, rule in enumerate(policy.own_rules, 1):
                tell(f"    over the policy itself, rule {number}: {rules.describe(rule)}")

    run_at(At(cse, cse_id, originator), work)


app.command("explain", cls=ResourceCommand)(explain)


def _shown(site: Site, policies: list[Policy]) -> dict[str, Any]:
    return {
        "address": site.address,
        "owner": site.owner,
        "policies": [
            {
                "address": policy.address,
                "problem": policy.problem,
                "rules": [_rule(rule) for rule in policy.rules],
                "selfPrivileges": [_rule(rule) for rule in policy.own_rules],
            }
            for policy in policies
        ],
    }


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    bits = rule.get("acop", 0)
    names = [name for name, bit in rules.OPERATIONS.items() if bits & bit]
    conditions = {name: value for name, value in rule.items() if name not in ("acor", "acop")}
    return {
        "originators": rule.get("acor", []),
        "operations": names,
        "role": rules.role_of(bits),
        "conditions": conditions,
    }


def _bits(words: list[str]) -> int:
    try:
        return rules.parse_operations(words)
    except ValueError as error:
        fail(str(error), USAGE)


def _say_site(doing: _Work, site: Site) -> None:
    if site.asked:
        doing.remark(f"{site.asked} has no policies itself: {site.address} decides")


def _fitting(policies: list[Policy], who: str, bits: int) -> Policy:
    """The policy to change: one that grants it already, one that names them, else the first."""
    for policy in policies:
        if not bits & ~rules.held(policy.rules, who):
            return policy
    for policy in policies:
        if any(who in rule.get("acor", ()) for rule in policy.rules):
            return policy
    return policies[0]


async def _own_policy(client: Client, site: Site) -> Policy | None:
    """The policy that was made for a site by these commands; None when it is not there."""
    from onemec.acp_sites import read_policy

    found = await read_policy(client, site, site.own_policy)
    return None if found.problem else found


async def _give_roles(doing: _Work, site: Site, wanted: dict[str, str]) -> None:
    admins = [name for name, role_name in wanted.items() if role_name == "admin"]

    def change(before: list[rules.Rule]) -> list[rules.Rule]:
        after = before
        for name, role_name in wanted.items():
            after = rules.assign(after, name, role_name)
        return after

    await _own_rules(doing, site, change, admins)


async def _own_rules(doing: _Work, site: Site, change: Any, admins: list[str] | None = None) -> None:
    """Change the rules of the policy of a site, and make it when it is not there."""
    from onemec.acp_sites import first_rules

    policy = await _own_policy(doing.client, site)
    if policy is not None:
        after_self = policy.own_rules
        for name in admins or ():
            after_self = rules.grant(after_self, name, rules.ALL)
        await _save(doing, site, policy, change(policy.rules), after_self)
        return
    first, own = first_rules(site, doing.client)
    for name in admins or ():
        own = rules.grant(own, name, rules.ALL)
    after = change(first)
    lines = "; ".join(rules.differences([], after))
    doing.step("create", site.own_policy, f"policy {site.own_policy} made: {lines}")
    if not doing.dry_run:
        body = {"rn": site.policy_name, "pv": {"acr": after}, "pvs": {"acr": own}}
        await doing.client.create(site.home, 1, body)


async def _save(
    doing: _Work, site: Site, policy: Policy, after: list[rules.Rule], own: list[rules.Rule] | None = None
) -> None:
    """Write the rules of a policy where they changed; say what else a policy rules that was not made for the site."""
    from onemec.acp_sites import others_under

    changes: dict[str, Any] = {}
    if after != policy.rules:
        changes["pv"] = {"acr": after}
        lines = rules.differences(policy.rules, after)
        doing.step("update", policy.address, f"policy {policy.address}: {'; '.join(lines)}")
    if own is not None and own != policy.own_rules:
        changes["pvs"] = {"acr": own}
        lines = rules.differences(policy.own_rules, own)
        doing.step("update", policy.address, f"policy {policy.address} itself: {'; '.join(lines)}")
    if not changes:
        return
    others = await others_under(doing.client, site, policy)
    if others and policy.address != site.own_policy:
        some = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        doing.remark(f"this policy also rules {len(others)} other resources: {some}")
    if not doing.dry_run:
        await doing.client.update(policy.address, 1, changes)


async def _link(doing: _Work, address: str, linked: list[str], identifier: str, policy: str) -> None:
    if identifier and identifier in linked:
        return
    doing.step("link", address, f"{address} is linked to {policy}")
    if not doing.dry_run:
        await doing.client.change(address, {"acpi": [*linked, identifier]})


async def _link_below(doing: _Work, site: Site, identifier: str) -> None:
    """Link what is below and has no policies; say what has others."""
    from onemec.acp_sites import below

    for address, linked in await below(doing.client, site):
        if not linked:
            await _link(doing, address, linked, identifier, site.own_policy)
        elif identifier not in linked:
            doing.remark(f"{address} has policies of its own: left as it is")
