"""How a resource type is declared: a table of attributes (data) and hooks (behaviour) (architecture law 3).

A type's file ends with ``TYPES = (declare("container", ContainerHooks(), ...),)``. The table of the type, its parents
and what may be done with it come from ``data/attributes.json`` under the same long name; ``registry`` joins the two.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from typing import Any, Protocol

from cse.onem2m.errors import BadRequest, CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.ports import Env, Resource, Send, Settings, Store


class Presence(Enum):
    """Whether a request may or must carry an attribute (TS-0004 clause 7.4, request optionality)."""

    MANDATORY = "M"
    OPTIONAL = "O"
    NOT_PRESENT = "NP"


class Privilege(IntFlag):
    """Bits of accessControlOperations (TS-0004 clause 6.3.4.2.29)."""

    CREATE = 1
    RETRIEVE = 2
    UPDATE = 4
    DELETE = 8
    NOTIFY = 16
    DISCOVERY = 32


#: says what an attribute must be when ``value`` is not that, e.g. "an integer >= 0"; None when it fits
Check = Callable[[Any], "str | None"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of a resource type's table.

    Attributes:
        name: short name, as on the wire.
        long_name: the name in TS-0001.
        check: says what the value must be when it is not.
        create: presence in CREATE requests.
        update: presence in UPDATE requests.
        removable: null in an UPDATE removes it.
        assigned: null or absence makes the CSE assign a value (cardinality 1N).
        is_list: a list on the wire.
        announce: ``MA``, ``OA``, ``NA`` or ``unknown``.
        type_name: data type of the value, or of the entries of a list.
    """

    name: str
    long_name: str
    check: Check
    create: Presence
    update: Presence
    removable: bool
    assigned: bool = False
    is_list: bool = False
    announce: str = "unknown"
    type_name: str = ""


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """The attributes that one root element may carry.

    Attributes:
        root: name of the root element, e.g. ``m2m:cnt``.
        attributes: rows by short name.
        required: short names that a CREATE must carry.
        definition: value of containerDefinition or mgmtDefinition of a specialisation, else None.
    """

    root: str
    attributes: Mapping[str, Attribute]
    required: tuple[str, ...]
    definition: str | int | None = None


@dataclass(frozen=True, slots=True)
class Specialisation:
    """One root element of a type that has several, as its file reads it from a data table.

    Attributes:
        root: name of the root element, e.g. ``cod:tempe`` or ``m2m:bat``.
        rows: rows of its attributes in the form of ``attributes.json``; those all share may be the same objects.
        definition: value of containerDefinition or mgmtDefinition, None when it has none.
        announced_root: name of the root element of its announced variant, "" when it has none.
    """

    root: str
    rows: Sequence[dict[str, Any]]
    definition: str | int | None = None
    announced_root: str = ""


#: makes the root elements of a type: from its row of attributes.json and a function that reads a data table by name
Specialise = Callable[[Mapping[str, Any], Callable[[str], dict[str, Any]]], Iterable[Specialisation]]


class Context(Protocol):
    """One request as the hooks of a type see it: the store, time, and what the core does for them."""

    store: Store
    settings: Settings
    env: Env
    request: Request
    #: the originator in its shortest local form
    originator: str

    def type_of(self, resource: Resource) -> ResourceType:
        """The declaration of a resource's type."""

    def local(self, identifier: str) -> Resource | None:
        """The live resource of this CSE that any form of identifier names, virtual ones excluded; else None."""

    def is_local(self, identifier: str) -> bool:
        """Whether an identifier of any form names something of this CSE."""

    def allowed(self, resource: Resource, privilege: Privilege, originator: str | None = None) -> bool:
        """Whether ``originator`` (default: the request's) has a privilege on a resource."""

    def allowed_by(
        self, policies: Sequence[str], privilege: Privilege, resource: Resource, originator: str | None = None
    ) -> bool:
        """Whether any of the accessControlPolicies named grants a privilege, by their ``pv``."""

    def granted_by_rules(
        self, rules: Iterable[Mapping[str, Any]], privilege: Privilege, resource: Resource, originator: str
    ) -> bool:
        """Whether any accessControlRule grants a privilege to an originator in local form."""

    def transaction(self) -> AbstractContextManager[None]:
        """Everything stored inside becomes visible and durable together, or not at all."""

    def create(self, parent: Resource, ty: int, attributes: dict[str, Any], *, creator: str = "") -> Resource:
        """Create a child by the CSE itself, inside a transaction, with all that follows from it."""

    def modify(self, resource: Resource, changes: Mapping[str, Any]) -> Resource:
        """Set (or, with None, remove) attributes by the CSE itself, inside a transaction, with all that follows."""

    def adjust(self, resource: Resource, changes: Mapping[str, Any], **internal: Any) -> Resource:
        """Set bookkeeping attributes silently: no lt, no notification. Inside a transaction."""

    def delete(self, resource: Resource) -> None:
        """Delete a resource with all below it, inside a transaction, with all that follows from it."""

    def follow(self, request: Request) -> None:
        """Have a request performed when the change is stored, before the response; its answer changes nothing."""

    def withdraw(self, resource: Resource) -> None:
        """Have what is announced of a resource removed that goes without ``delete``; inside a transaction."""

    def announce_through(self, hop: Resource) -> Generator[Send, Response | None, None]:
        """Announce, through a remoteCSE, what could not be announced while that was out of reach."""

    def has_to_announce(self, hop: Resource) -> bool:
        """Whether something is still to be announced through a remoteCSE."""

    def group_id_is_new(self, group_id: str) -> bool:
        """Remember a group request identifier; False when it was seen before."""

    def set_timer(self, ri: str, kind: str, due_s: float | None) -> None:
        """Have ``Hooks.timer_due`` called for a resource at an instant, or (None) not (see ``cse.core.timers``)."""

    def event(self, resource: Resource, event_type: int, detail: Any = None) -> None:
        """Notify the subscriptions to a resource of an event only its type can see; inside a transaction.

        Args:
            resource: the subscribed-to resource.
            event_type: 3 (``detail``: a new subscription, which alone is told of the instances before it),
                6 (trigger received; ``detail``: the m2m:tgp) or 8 (missing data points; ``detail``: the list of the
                newly missing dataGenerationTimes).
            detail: see there.
        """

    def queue(self, send: Send) -> None:
        """Have something sent after the response, when the changes are durable."""

    def queue_request(self, request: Request) -> None:
        """Have a request of this CSE served, here or elsewhere, after the response; its answer is of no interest."""

    def perform(self, request: Request) -> Generator[Send, Response | None, Response]:
        """Run another request, local or not, as a part of this one."""

    def notification(
        self,
        target: str,
        content: dict[str, Any],
        *,
        subject: str = "",
        final: bool = False,
        category: int | None = None,
    ) -> Send | None:
        """A NOTIFY to a URL, an AE, a CSE or any resource address; None when nothing can reach it."""


@dataclass(frozen=True, slots=True)
class VirtualChild:
    """A child that exists by declaration only (TS-0001 clause 9.5.1.2): la, ol, fopt, pcu, ntsr, ...

    Either ``redirect`` names the resource that stands for it, or ``handle`` answers the request.

    Attributes:
        name: resource name.
        operations: what may be done with it; anything else is 4005.
        redirect: gives the resource meant, or raises NotFound.
        handle: answers a request; gets the rest of the address below the virtual child.
        takes_tail: an address may go on below it.
    """

    name: str
    operations: frozenset[Operation]
    redirect: Callable[[Context, Resource], Resource] | None = None
    handle: Callable[[Context, Resource, tuple[str, ...]], Generator[Send, Response | None, Response]] | None = None
    takes_tail: bool = False


class Semantics(Protocol):
    """Answers semantic filters (smf) from what resources say of themselves in RDF (TS-0001 clause 10.2.14)."""

    def discover(
        self, ctx: Context, target: Resource, queries: Iterable[str], types: frozenset[int] | None
    ) -> Generator[Send, Response | None, list[Resource]]:
        """The resources below ``target`` that any of the queries fits.

        Args:
            ctx: the request.
            target: where to look.
            queries: SPARQL queries.
            types: the types asked for besides, None for all.
        """

    def answer(self, ctx: Context, target: Resource, query: str) -> Generator[Send, Response | None, str]:
        """What a query gives over all that is said at and below ``target``."""


class Hooks:
    """What is special about a resource type. Every method here is the plain behaviour; a type overrides what differs.

    ``check_*`` run before anything is stored, on attributes that fit the table; they may raise and may change the
    dict they are given. ``verify_*`` are generators that may ask other entities; they are None where a type needs
    none. The others run inside the transaction and must not fail for reasons a check could have found.
    """

    verify_create: Callable[[Context, Resource, dict[str, Any]], Generator[Send, Response | None, None]] | None = None
    verify_update: Callable[[Context, Resource, dict[str, Any]], Generator[Send, Response | None, None]] | None = None
    #: sets up what a resource just stored needs elsewhere, outside a transaction; an error takes the resource back
    established: Callable[[Context, Resource], Generator[Send, Response | None, None]] | None = None
    #: answers a NOTIFY to a resource of this type; None: 4000
    notified: Callable[[Context, Resource], Generator[Send, Response | None, Response]] | None = None
    #: replaces the answer of a RETRIEVE (e.g. by asking somebody else); None: plain retrieve
    retrieve: Callable[[Context, Resource], Generator[Send, Response | None, None]] | None = None

    #: takes a non-blocking request (rt 1, 2) to be served later, gets the CSEBase; the one type that keeps them has it
    accept: Callable[[Context, Resource], Response] | None = None

    #: answers semantic filters; the one type that keeps descriptions has it
    semantics: Semantics | None = None

    #: asks for access that no policy grants: the target of the request and the privilege it needs; gives
    #: accessControlRules and until when they hold (seconds since the epoch), or None; the one type that can has it
    consult: (
        Callable[
            [Context, Resource, Privilege], Generator[Send, Response | None, tuple[list[dict[str, Any]], float] | None]
        ]
        | None
    ) = None
    #: whether the originator of a request has a role (a name with "@") by resources of this type; None: of no interest
    attests_role: Callable[[Context, str, str], bool] | None = None

    #: makes resources that must exist below the CSEBase; at every start, in a transaction, as the CSE
    at_start: Callable[[Context, Resource], None] | None = None
    #: requests for the parent of such a resource wait there to be fetched while the parent cannot be reached
    holds_requests: bool = False

    #: told of every request that says when it was made (ot), after it was served, outside a transaction
    request_seen: Callable[[Context], None] | None = None
    #: told of every plain resource whose attributes changed, of whatever type, in the transaction; None: not interested
    resource_changed: Callable[[Context, Resource], None] | None = None
    #: told of every plain resource that is gone, of whatever type; None: not interested
    resource_gone: Callable[[Context, Resource], None] | None = None

    #: a notification with this resource as ``Send.subject`` got an answer, or (None) none: a procedure of its own,
    #: outside a transaction, as the CSE; the last argument is the answer
    delivered: Callable[[Context, Resource, Send, Response | None], Generator[Send, Response | None, None]] | None = (
        None
    )
    #: whether ``delivered`` wants to know, asked for each answer so that most cost nothing
    wants_delivered: Callable[[Resource, Response | None], bool] | None = None

    #: a contentInstance (last) was stored in a container (third) whose li names this resource; in its transaction
    data_arrived: Callable[[Context, Resource, Resource, Resource], None] | None = None
    #: of the CSEBase only: may refuse any request before its target is looked at
    admit: Callable[[Context], None] | None = None
    #: what an UPDATE whose content has another root element than the resource is refused with
    wrong_root: type[CseError] = BadRequest
    #: a timer of this resource and kind is due: in a transaction, as the CSE (see ``cse.core.timers``); None: no timers
    timer_due: Callable[[Context, Resource, str], None] | None = None
    #: the same for work that must ask others: a generator, outside a transaction; used in place of ``timer_due``
    timer_steps: Callable[[Context, Resource, str], Generator[Send, Response | None, None]] | None = None
    #: which timers (kind, due_s) a stored resource needs; asked at every start
    timers: Callable[[Context, Resource], Iterable[tuple[str, float]]] | None = None

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """True or False where the type itself decides access, None where policies do."""
        return None

    def child_access(self, ctx: Context, resource: Resource, child_type: int, originator: str) -> bool | None:
        """Like ``access``, for creating a child of ``child_type`` below ``resource``."""
        return None

    def resource_id(self, ctx: Context, attributes: dict[str, Any]) -> str:
        """The resource-ID of a new plain resource."""
        return ctx.env.new_id()

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Look at the attributes of a CREATE; may set others."""

    def unknown_root(self, attributes: Mapping[str, Any]) -> None:
        """A CREATE has a root element this type does not have, which is 4000 unless this raises what tells more."""

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """The resource is about to be stored; its dicts may still be filled."""

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """The resource is stored."""

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Look at the attributes of an UPDATE; None means remove; may set others."""

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """The resource is stored with its new attributes."""

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Refuse a DELETE by request."""

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """The resource is about to go; its children are gone or going with it."""

    def entered(self, ctx: Context, resource: Resource) -> None:
        """The state of a process that this resource belongs to became the current one."""

    def check_retrieve(self, ctx: Context, resource: Resource) -> None:
        """Refuse a RETRIEVE."""

    def retrieved(self, ctx: Context, resource: Resource) -> None:
        """A RETRIEVE by request succeeded (inside no transaction)."""

    def representation(self, ctx: Context, resource: Resource) -> dict[str, Any]:
        """The attributes that a response shows. Must not change ``resource.attributes``."""
        return resource.attributes

    def check_child(self, ctx: Context, resource: Resource, child_type: int, attributes: dict[str, Any]) -> None:
        """Refuse (or adjust) a child about to be created below this resource, by request or by the CSE."""

    def child_created(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A child was stored below this resource."""

    def child_deleted(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A child of this resource was removed, and not together with it."""

    def hides(self, ctx: Context, resource: Resource, child_type: int) -> bool:
        """Whether children of a type are left out of every listing."""
        return False


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a type's file declares; the rest comes from the data tables."""

    long_name: str
    hooks: Hooks
    virtual: tuple[VirtualChild, ...] = ()
    is_instance: bool = False
    in_cse_only: bool = False
    specialise: Specialise | None = None


def declare(
    long_name: str,
    hooks: Hooks | None = None,
    *,
    virtual: Iterable[VirtualChild] = (),
    is_instance: bool = False,
    in_cse_only: bool = False,
    specialise: Specialise | None = None,
) -> Declaration:
    """Declare a resource type.

    Args:
        long_name: the name of the type in the data tables, e.g. ``contentInstance``.
        hooks: its behaviour; plain when None.
        virtual: its virtual children.
        is_instance: stored as one of many instances of its parent.
        in_cse_only: may be created at an IN-CSE only.
        specialise: gives its root elements when it has several; None: the one of its row.
    """
    return Declaration(long_name, hooks or Hooks(), tuple(virtual), is_instance, in_cse_only, specialise)


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A resource type ready for use: declaration and tables joined (see ``registry``)."""

    number: int
    long_name: str
    short_name: str
    parents: frozenset[int]
    tables: Mapping[str, AttributeTable]
    hooks: Hooks
    virtual: Mapping[str, VirtualChild]
    is_instance: bool
    in_cse_only: bool
    creatable: bool
    updatable: bool
    deletable: bool
    inherits_access: bool
    has_state_tag: bool
    children: frozenset[int] = field(default_factory=frozenset)
    #: number of its announced variant; None when it cannot be announced
    announced: int | None = None
    #: number of the type it is the announced variant of, or None
    original: int | None = None
    #: root element of the announced variant by own root element; for announced types the other way round
    counterparts: Mapping[str, str] = field(default_factory=dict)

    def table(self, root: str) -> AttributeTable:
        """The attribute table of a root element.

        Raises:
            BadRequest: this type has no such root element.
        """
        table = self.tables.get(root)
        if table is None:
            expected = (
                next(iter(self.tables)) if len(self.tables) == 1 else f"one of {len(self.tables)} specialisations"
            )
            raise BadRequest(
                f"the content's root {root!r} does not fit type {self.number} ({self.long_name}): "
                f"send {{{expected!r}: {{...}}}}"
            )
        return table

    @property
    def root(self) -> str:
        """The root element of a type that has just one."""
        return next(iter(self.tables))
