"""Where access to a resource is decided, and by which policies: what ``onemec acp`` works on (TS-0001 clause 9.6.2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onemec.acp_rules import ALL, Rule

if TYPE_CHECKING:
    from cse.client import Client

_ACP, _AE, _CSE_BASE = 1, 2, 5
#: resources that are looked at or linked at a time
_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Site:
    """A resource that has policies of its own, or could have.

    Attributes:
        address: structured, below the CSE it is at.
        prefix: CSE-ID before addresses when that is another CSE than the one asked, else "".
        resource: its attributes.
        owner: who made it, as far as the resources above it tell.
        home: address of the resource below which a policy for it can be made.
        policy_name: resourceName of the policy that ``onemec acp`` makes for it.
        asked: the address that was asked about, where that has no policies itself.
    """

    address: str
    prefix: str
    resource: dict[str, Any]
    owner: str
    home: str
    policy_name: str
    asked: str = ""

    @property
    def policies(self) -> list[str]:
        """Its accessControlPolicyIDs."""
        return list(self.resource.get("acpi") or ())

    @property
    def own_policy(self) -> str:
        """Address of the policy that ``onemec acp`` makes for it."""
        return f"{self.home}/{self.policy_name}"


@dataclass(frozen=True, slots=True)
class Policy:
    """An accessControlPolicy, or the name of one that cannot be read here.

    Attributes:
        identifier: as ``acpi`` has it.
        address: structured, or the identifier when it cannot be read.
        rules: ``pv/acr``.
        own_rules: ``pvs/acr``.
        problem: why it cannot be read, else "".
    """

    identifier: str
    address: str
    rules: list[Rule]
    own_rules: list[Rule]
    problem: str = ""


async def find_site(client: Client, to: str) -> Site:
    """The resource that decides about access to an address: itself, or the nearest above it with ``acpi``.

    Raises:
        RequestFailed: the CSE refused.
        Unreachable: nobody answered.
        ValueError: access to it is decided otherwise.
    """
    from cse.resources.registry import load_registry

    registry = load_registry()
    prefix = _prefix(to)
    line = await _lineage(client, to, prefix)
    names = [str(resource["rn"]) for resource in reversed(line)]
    at = 0
    while (kind := registry.get(line[at]["ty"])) is not None and kind.inherits_access and at + 1 < len(line):
        at += 1
    kind = registry.get(line[at]["ty"])
    if kind is None or not any("acpi" in table.attributes for table in kind.tables.values()):
        what = kind.long_name if kind is not None else f"resource of type {line[at]['ty']}"
        raise ValueError(f"{to}: a {what} has no acpi; whoever its own rules name may use it")
    depth = next(number for number, above in enumerate(line[at:]) if above["ty"] in registry[_ACP].parents)
    address = "/".join(names[: len(names) - at])
    home = "/".join(names[: len(names) - at - depth])
    below = names[len(names) - at - depth : len(names) - at]
    entity = next((above for above in line[at:] if above["ty"] == _AE), {})
    owner = line[at].get("cstn") or line[at].get("cr") or entity.get("aei") or client.originator
    return Site(
        prefix + address,
        prefix.rstrip("/"),
        line[at],
        str(owner),
        prefix + home,
        ".".join(["acp", *below]) if not below else f"acp-{'.'.join(below)}",
        asked=to if at else "",
    )


async def _lineage(client: Client, to: str, prefix: str) -> list[dict[str, Any]]:
    """The resource and all above it, up to the CSEBase, which not everybody who owns an AE may read."""
    from cse.client import RequestFailed

    line = [await client.retrieve(to)]
    while parent := line[-1].get("pi"):
        try:
            line.append(await client.retrieve(prefix + str(parent)))
        except RequestFailed:
            if line[-1]["ty"] != _AE:
                raise
            line.append({"rn": "-", "ty": _CSE_BASE})
    return line


async def address_of(client: Client, to: str) -> str:
    """The structured address of a resource; as it was given where what is above it may not be read."""
    from cse.client import RequestFailed

    prefix = _prefix(to)
    try:
        line = await _lineage(client, to, prefix)
    except RequestFailed:
        return to
    return prefix + "/".join(str(resource["rn"]) for resource in reversed(line))


def _prefix(to: str) -> str:
    """The CSE-ID, with a slash behind it, of an address at another CSE; "" at the one asked."""
    if to.startswith("//"):
        return "/".join(to.split("/")[:4]) + "/"
    return "/".join(to.split("/")[:2]) + "/" if to.startswith("/") else ""


async def read_policies(client: Client, site: Site) -> list[Policy]:
    """The policies a site names, those that cannot be read with the reason."""
    return [await read_policy(client, site, identifier) for identifier in site.policies]


async def read_policy(client: Client, site: Site, identifier: str) -> Policy:
    """A policy by its identifier or address; one that cannot be read has the reason."""
    from cse.client import RequestFailed

    at = identifier if identifier.startswith("/") or not site.prefix else f"{site.prefix}/{identifier}"
    try:
        line = await _lineage(client, at, f"{site.prefix}/" if site.prefix else "")
    except RequestFailed as error:
        return Policy(identifier, identifier, [], [], f"{int(error.status)} {error.status.name}")
    address = "/".join(str(resource["rn"]) for resource in reversed(line))
    found = line[0]
    return Policy(
        f"{site.prefix}/{found['ri']}" if site.prefix else str(found["ri"]),
        f"{site.prefix}/{address}" if site.prefix else address,
        list((found.get("pv") or {}).get("acr", ())),
        list((found.get("pvs") or {}).get("acr", ())),
    )


def first_rules(site: Site, client: Client) -> tuple[list[Rule], list[Rule]]:
    """What a new policy begins with: the owner keeps its rights, and may change the policy, as may its maker."""
    keepers = list(dict.fromkeys([site.owner, client.originator]))
    return [{"acor": [site.owner], "acop": ALL}], [{"acor": keepers, "acop": ALL}]


async def below(client: Client, site: Site) -> list[tuple[str, list[str]]]:
    """The addresses of all below a site that have ``acpi``, each with what that holds."""
    from cse.resources.registry import load_registry

    kinds = [
        kind.number
        for kind in load_registry()
        if not kind.inherits_access
        and kind.number != _ACP
        and any("acpi" in table.attributes for table in kind.tables.values())
    ]
    found = await client.discover(site.address, types=kinds)
    turns = asyncio.Semaphore(_TOGETHER)

    async def look(address: str) -> tuple[str, list[str]] | None:
        from cse.client import RequestFailed

        async with turns:
            try:
                resource = await client.retrieve(address)
            except RequestFailed:  # gone meanwhile
                return None
        return address, list(resource.get("acpi") or ())

    prefix = f"{site.prefix}/" if site.prefix else ""
    addresses = [address if address.startswith("/") else prefix + address for address in found]
    looked = await asyncio.gather(*(look(address) for address in addresses if not _same(address, site.address)))
    return [entry for entry in looked if entry is not None]


def _same(address: str, other: str) -> bool:
    """Whether structured addresses at one CSE are the same; ``-`` stands for the name of the CSEBase."""
    return address == other or (other.startswith("-/") and address.partition("/")[2] == other[2:])


async def others_under(client: Client, site: Site, policy: Policy) -> list[str]:
    """The addresses of resources besides the site that a policy rules."""
    from cse.client import RequestFailed

    try:
        found = await client.discover(f"{site.prefix}/-" if site.prefix else "-", filter={"acpi": policy.identifier})
    except RequestFailed:
        return []
    return [address for address in found if not _same(address, site.address)]
