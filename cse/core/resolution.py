"""From an address to a resource (TS-0001 clause 9.3.1, TS-0004 clause 7.3.3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cse.core.hosting import HostingCse
from cse.core.numbers import AE, ANNOUNCED
from cse.onem2m.addressing import Address, parse_address
from cse.onem2m.errors import BadRequest, NotFound
from cse.ports import Env, Resource, Settings, Store
from cse.resources.declare import VirtualChild


@dataclass(frozen=True, slots=True)
class Target:
    """What an address names at this CSE.

    Attributes:
        resource: the resource, or the parent of the virtual child.
        virtual: the virtual child, or None.
        tail: what the address says below the virtual child.
    """

    resource: Resource
    virtual: VirtualChild | None = None
    tail: tuple[str, ...] = ()


def is_own(address: Address, cse: HostingCse) -> bool:
    """Whether an address names this CSE or something below it."""
    settings = cse.settings
    if address.sp_id and address.sp_id != settings.sp_id:
        return False
    return not address.cse_id or address.cse_id == settings.cse_id


def localise(address: Address, settings: Settings, store: Store) -> Address:
    """An address that begins with an S-stem as one that says where that AE is registered; others as they are.

    S-stems are unique in the service provider, so their SP-relative form ``/S...`` names no CSE (TS-0001 clause 7.2).
    The registrar of the AE has the AE itself, the IN-CSE has its AEAnnc; nobody else knows.
    """
    if not address.cse_id.startswith("/S") or (address.sp_id and address.sp_id != settings.sp_id):
        return address
    stem = address.cse_id[1:]
    entity = store.get(stem)
    if entity is None or entity.ty not in (AE, AE + ANNOUNCED):
        return address
    link = "" if entity.ty == AE else entity.attributes["lnk"]
    if link and not link.startswith("/"):
        return address  # it is registered nowhere for now
    return replace(
        address, sp_id="", cse_id=parse_address(link).cse_id if link else "", segments=(stem, *address.segments)
    )


def is_alive(resource: Resource, env: Env) -> bool:
    """Whether a resource has not expired yet; expired ones are as good as gone (TS-0001 clause 9.6.1.3)."""
    expiry = resource.attributes.get("et")
    return expiry is None or expiry > env.timestamp


def find(cse: HostingCse, segments: tuple[str, ...], env: Env) -> Target:
    """Walk a CSE-relative address.

    Args:
        cse: this CSE.
        segments: path segments: CSEBase name, ``-`` or a resource-ID first.
        env: for expiry.

    Raises:
        BadRequest: there is no segment.
        NotFound: nothing there, or expired.
    """
    if not segments:
        raise BadRequest("'to' names a CSE but no resource of it: append the CSEBase name, e.g. /cse-id/cse-name")
    store = cse.store
    first = segments[0]
    resource = store.get(cse.base_ri if first in ("-", cse.settings.cse_name) else first)
    if resource is None:
        raise NotFound(
            f"no resource {'/'.join(segments)!r} here: the first part must be the CSEBase name "
            f"{cse.settings.cse_name!r}, '-' or a resource-ID"
        )
    for index in range(1, len(segments)):
        name = segments[index]
        virtual = cse.registry[resource.ty].virtual.get(name)
        if virtual is not None:
            tail = segments[index + 1 :]
            if tail and not virtual.takes_tail:
                raise NotFound(f"nothing can be below {name!r}: end the address there")
            if not is_alive(resource, env):
                break
            return Target(resource, virtual, tail)
        child = store.child(resource.ri, name)
        if child is None:
            raise NotFound(f"{resource.path!r} has no child {name!r}: ask with rcn=6 for those it has")
        resource = child
    if not is_alive(resource, env):
        raise NotFound(f"{resource.path!r} has expired")
    return Target(resource)
