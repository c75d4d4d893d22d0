"""What the core needs from the shell, and what it wants sent: Store, Env, Settings, Send, Outcome.

The core is driven like this (architecture law 2)::

    steps = pipeline.handle(request, core, env)
    answer = None
    while True:
        try:
            send = steps.send(answer)          # the core wants another entity asked first
        except StopIteration as done:
            outcome = done.value               # Outcome(response, outbox, ticket)
            break
        answer = await deliver(send)           # a Response, or None when nobody answered
    await engine.durable(outcome.ticket)       # acknowledged means on disk (law 5)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from cse.metering import StoreFigures
from cse.onem2m.primitives import Request, Response
from cse.onem2m.timestamps import format_timestamp

#: what every binding calls with a decoded request
Serve = Callable[[Request], Awaitable[Response]]
#: takes the response to a request
Done = Callable[[Response], None]


class Cancellable(Protocol):
    """Work under way, e.g. an ``asyncio.Task``."""

    def cancel(self) -> object:
        """End it soon."""
        ...


#: the same as ``Serve`` without a task: calls ``Done`` once, maybe at once. Gives what must ask others first, which may
#: be cancelled instead; None when the request has taken effect, and waits for the disk at most. Raises what refuses the
#: request before it is looked at (CseError)
Begin = Callable[[Request, Done], Cancellable | None]


class CseType(StrEnum):
    """The kind of a CSE (TS-0004 clause 6.3.4.2.2)."""

    IN = "IN"
    MN = "MN"
    ASN = "ASN"

    @property
    def number(self) -> int:
        """The wire value of cseTypeID."""
        return {"IN": 1, "MN": 2, "ASN": 3}[self.value]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the core must know of the CSE it serves. All of it comes from ``cse.config``.

    Attributes:
        cse_type: IN, MN or ASN.
        cse_id: SP-relative CSE-ID with leading slash.
        cse_name: resourceName of the CSEBase.
        sp_id: M2M-SP-ID with leading ``//``.
        releases: supported release versions, oldest first; "1" in it accepts requests without rvi.
        poa: the points of access advertised on the CSEBase.
        serialisations: media types advertised in csz.
        admin: originators with full access ("" entries never match).
        believe_originators: an originator need not prove who it is (profile insecure-dev).
        open_registration: any AE may register (profile insecure-dev).
        allowed_originators: AE-ID patterns that may register when registration is not open.
        max_expiration_s: longest life time a resource may ask for, in seconds.
        default_expiration_s: life time given when a resource asks for none, in seconds.
        request_expiration_s: life time of ``<request>`` resources, in seconds.
        request_timeout_s: how long another entity may take to answer, in seconds.
        max_results: most resources in one answer (discovery, rcn 4, 5, 6, 8).
        max_subscriptions: most subscriptions of one originator; those with full access may have any number.
        max_subscriptions_per_resource: most subscriptions to one resource.
        lenient: dialect tolerance is on (docs: dialects); refuses less, never grants more.
        registrar: CSE-ID of the registrar CSE, or "".
        in_cse_id: CSE-ID of the IN-CSE when known (``ici``), or "".
    """

    cse_type: CseType = CseType.IN
    cse_id: str = "/id-in"
    cse_name: str = "cse-in"
    sp_id: str = "//onemec.local"
    releases: tuple[str, ...] = ("1", "2", "2a", "3", "4", "5")
    poa: tuple[str, ...] = ()
    serialisations: tuple[str, ...] = ("application/json", "application/cbor")
    admin: tuple[str, ...] = ()
    believe_originators: bool = True
    open_registration: bool = True
    allowed_originators: tuple[str, ...] = ()
    max_expiration_s: float = 5 * 365 * 86400.0
    default_expiration_s: float = 5 * 365 * 86400.0
    request_expiration_s: float = 300.0
    request_timeout_s: float = 10.0
    max_results: int = 1000
    max_subscriptions: int = 1000
    max_subscriptions_per_resource: int = 100
    lenient: bool = True
    registrar: str = ""
    in_cse_id: str = ""


class Env:
    """One request's view of time and randomness (architecture law 1).

    Args:
        now: seconds since the epoch, UTC; fixed for the whole step of the request.
        new_id: gives a new unique token of unreserved characters at every call.
    """

    __slots__ = ("_timestamp", "new_id", "now")

    def __init__(self, now: float, new_id: Callable[[], str]) -> None:
        self.now = now
        self.new_id = new_id
        self._timestamp = ""

    @property
    def timestamp(self) -> str:
        """``now`` in wire form."""
        if not self._timestamp:
            self._timestamp = format_timestamp(self.now)
        return self._timestamp


@dataclass(slots=True, eq=False)
class Resource:
    """A stored resource.

    Attributes:
        ri: unstructured resource-ID, unique in the CSE.
        pi: resource-ID of the parent, "" for the CSEBase.
        rn: resourceName.
        ty: resource type number.
        root: the name of its root element on the wire, e.g. ``m2m:cnt`` (specialisations have their own).
        path: structured CSE-relative address, e.g. ``cse-in/ae/cnt``.
        attributes: what travels, by short names, ri, pi, rn and ty included. Never changed in place: writers give the
            store a new dict.
        internal: what never travels (originator of the creation, counters, ...), by long names. Same rule.
    """

    ri: str
    pi: str
    rn: str
    ty: int
    root: str
    path: str
    attributes: dict[str, Any]
    internal: dict[str, Any] = field(default_factory=dict)


#: a promise of durability: 0 means nothing was written, a positive number is that of a group commit, a negative one
#: says that the changes were refused and undone already; ``Engine.durable`` must be asked about all but 0
Ticket = int


def both(one: Ticket, other: Ticket) -> Ticket:
    """The ticket that stands for two: the later group, or the refusal of either."""
    return min(one, other) if one < 0 or other < 0 else max(one, other)


class Store(Protocol):
    """A tree of resources with transactions (architecture clause 4).

    All calls are synchronous and quick. Resources are of two kinds. *Instances* (contentInstance,
    timeSeriesInstance, flexContainerInstance) are many and live below one parent in the order of their creation;
    everything else is a *plain* resource. Lookups by ri, by (pi, rn), of the newest and the oldest instance, and
    creating cost the same however large the tree is.

    Writes happen between ``begin`` and ``commit`` or ``rollback`` only, with no await in between. They are visible to
    reads at once and durable when the ticket of the commit is (see ``Engine.durable``).
    """

    def get(self, ri: str) -> Resource | None:
        """The resource with this resource-ID, plain or instance."""

    def child(self, pi: str, rn: str) -> Resource | None:
        """The child of ``pi`` with this name, plain or instance."""

    def children(self, pi: str, ty: int | None = None) -> Sequence[Resource]:
        """The plain children of ``pi`` in the order of their creation, of one type or of all."""

    def of_type(self, ty: int) -> Sequence[Resource]:
        """All plain resources of a type in the order of their creation."""

    def has_type(self, ty: int) -> bool:
        """Whether there is a plain resource of a type; costs the same however many there are."""

    def referring(self, attribute: str, value: str) -> Sequence[Resource]:
        """Resources whose ``attribute`` is or holds ``value``, in the order of their creation.

        Answered from an index for the attributes in ``INDEXED_ATTRIBUTES`` only, and for what plain resources have by
        such a name among ``INDEXED_INTERNAL``. Instances are found by ``lbl`` too,
        and there also by the text in ``internal["indexed"]``, which must be none that a label can have.

        Raises:
            KeyError: the attribute is not indexed.
        """

    def instances(self, pi: str, *, newest_first: bool = False) -> Iterator[Resource]:
        """The instances below ``pi`` in (or against) the order of their creation, read as they are consumed."""

    def instances_from(self, pi: str, reached: Callable[[Resource], bool]) -> Iterator[Resource]:
        """The instances below ``pi`` in the order of their creation, from the first that was ``reached``.

        Args:
            pi: the parent.
            reached: False for all instances up to some place in that order, True from there on. It is asked of so few
                that the cost grows with the logarithm of their number.
        """

    def newest(self, pi: str) -> Resource | None:
        """The instance created last below ``pi``."""

    def oldest(self, pi: str) -> Resource | None:
        """The instance created first below ``pi``."""

    def plain_count(self) -> int:
        """How many plain resources there are."""

    def expired(self, timestamp: str, limit: int) -> Sequence[Resource]:
        """Up to ``limit`` resources whose et is at or before ``timestamp``, earliest first."""

    def next_expiry(self) -> str | None:
        """The earliest et of all resources in wire form; None when nothing expires."""

    def begin(self) -> None:
        """Open a transaction; there is at most one."""

    def commit(self, sends: Sequence[Send] = ()) -> Ticket:
        """Close the transaction and keep its changes.

        Args:
            sends: what is to be sent because of them; kept with them, both or neither, until ``Engine.sent``.
        """

    def rollback(self) -> None:
        """Close the transaction and undo its changes."""

    def unsettled(self) -> Ticket:
        """What was promised last and is not durable yet; 0 when everything is."""

    def insert(self, resource: Resource) -> None:
        """Add a plain resource.

        Raises:
            Conflict: its parent has a child of this name, or the ri is taken.
        """

    def replace(self, ri: str, attributes: dict[str, Any], internal: dict[str, Any] | None = None) -> Resource:
        """Give a plain resource new attributes (and new internal ones unless None); returns it."""

    def remove(self, ri: str) -> None:
        """Remove one resource, plain or instance, and with a plain one all its instances. Plain children must be gone
        already.
        """

    def new_instance_id(self, pi: str) -> str:
        """The resource-ID the next instance below ``pi`` must have."""

    def insert_instance(self, instance: Resource) -> None:
        """Add an instance whose ri came from ``new_instance_id`` in this transaction.

        An instance without ``et`` of its own in ``attributes`` lives as long as its parent does.

        Raises:
            Conflict: its parent has a child of this name.
        """

    def replace_instance(self, ri: str, internal: dict[str, Any]) -> None:
        """Give an instance new internal attributes (its wire attributes never change)."""

    def remove_instances(self, pi: str) -> None:
        """Remove all instances below ``pi``."""


#: attributes whose values the store indexes (``Store.referring``)
INDEXED_ATTRIBUTES = ("lbl", "acpi", "mid", "csi", "lnk", "nl", "aei", "ni", "dcse")
#: the same for ``Resource.internal``: the resource that an action watches, who made a subscription
INDEXED_INTERNAL = ("subject", "subscriber")


class Engine(Store, Protocol):
    """A store as the shell sees it: opened, waited for, closed."""

    async def durable(self, ticket: Ticket) -> None:
        """Return when everything up to ``ticket`` is on disk; at once for ticket 0.

        Raises:
            InternalServerError: it could not be written; the changes are undone.
        """

    def when_durable(self, ticket: Ticket, call: Callable[[str], None]) -> None:
        """As ``durable``, for who has no task to wait in: ``call`` gets "", or words when the changes are undone.

        It is called on the thread of the loop, at once when there is nothing to wait for.
        """

    def unsent(self) -> Sequence[Send]:
        """What was committed with changes and not ``sent`` when the store was opened, in its order; given once."""

    def keeps(self, send: Send) -> bool:
        """Whether a send outlives this process."""

    def sent(self, send: Send) -> None:
        """Nobody needs this send any more. Not waited for: after a crash it may be among the ``unsent`` again."""

    async def close(self) -> None:
        """Write what is pending and let go of files and threads."""

    def health(self) -> str:
        """Either "ok", or in words why the store takes no writes."""

    def figures(self) -> StoreFigures:
        """How large it is and what it did, for those who watch."""


#: an RDF document: its form (m2m:semanticFormat), and its text in base64, as descriptors carry it
Document = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Work on RDF that may be long: the shell has it done aside and within bounds (ADR 0013).

    Whoever yields it gets a Response: OK with the content described below; or an error with ``m2m:dbg``: 5001 this CSE
    cannot, or does not, evaluate this; 4000 a document cannot be read; 4143 the SPARQL text is wrong; 5212 the update
    failed; 4137 it would take too long or too much.

    Attributes:
        kind: ``parse``: can every document be read (content: True); ``match``: in which graphs does any of the queries
            find something (a list of booleans); ``select``: what the query gives over all graphs together (SPARQL
            results XML or RDF/XML as text); ``update``: the first document after the update (base64, same form);
            ``terms``: for each graph, what it declares and what it uses (a list of pairs of lists of IRIs).
        texts: SPARQL queries, or one update; none for ``parse`` and ``terms``.
        graphs: documents that are read together. For ``match`` and ``select`` one that cannot be read counts as empty.
    """

    kind: str
    texts: tuple[str, ...]
    graphs: tuple[tuple[Document, ...], ...]


class Evaluator(Protocol):
    """Does evaluations; the shell has one."""

    async def evaluate(self, work: Evaluation) -> Response:
        """The answer to ``work``, as described there; never raises."""

    async def close(self) -> None:
        """End what runs."""


@dataclass(frozen=True, slots=True)
class Send:
    """A request the core wants sent to another entity.

    Attributes:
        request: the primitive; its ``to`` and ``originator`` are already as the receiver must see them.
        urls: points of access in order of preference; empty when only an open channel (polling channel, WebSocket)
            may reach the receiver.
        receiver: identifier of the next hop, for MQTT topics and open channels: AE-ID stem of an AE registered here,
            else SP-relative; "" for a bare URL.
        exact_url: POST to the URL as it is (notification URLs); otherwise the converted ``to`` is appended (Mcc).
        serialisation: ``json`` or ``cbor``.
        timeout_s: how long to wait for the answer.
        subject: resource-ID of the subscription (or other resource) that must be told how delivery went, or "".
        final: last word of a subject that is gone or going: no retries beyond the usual, no feedback.
        target: the notification target as the subject names it, for that feedback.
        channel: resource-ID of the polling channel through which the receiver fetches requests when no URL reaches
            it; "" without one. With ``receiver`` "pcu" the request is for the channel itself: a RETRIEVE waits (at
            most ``timeout_s``) until requests are queued and takes the first, or with a content all of them; a NOTIFY
            hands an answer to the one who waits for it. The shell always answers such a request.
        resume_at_s: nothing is sent: resume the procedure with None at this instant, seconds since the epoch; 0: send.
        evaluation: nothing is sent: resume the procedure with the answer to this; None: send.
        kept: the store keeps it with the change it tells of, so that it outlives a crash; False when the subject keeps
            it itself, or when it is worth nothing later.
    """

    request: Request
    urls: tuple[str, ...] = ()
    receiver: str = ""
    exact_url: bool = True
    serialisation: str = "json"
    timeout_s: float = 10.0
    subject: str = ""
    final: bool = False
    target: str = ""
    channel: str = ""
    resume_at_s: float = 0.0
    evaluation: Evaluation | None = None
    kept: bool = True


#: an instant that is over
_AT_ONCE_S = 1.0


def breath(request: Request) -> Send:
    """Lets others in between two pieces of long work: the procedure is resumed with None as soon as they had a turn.

    What was read from the store before may be gone or changed after it.

    Args:
        request: the one whose work is long.
    """
    return Send(request, resume_at_s=_AT_ONCE_S)


#: a procedure of the core: yields what must be sent and is resumed with the answer, None when nobody answered
Steps = Generator[Send, Response | None, Any]


@dataclass(slots=True)
class Outcome:
    """What a request came to.

    Attributes:
        response: for the originator, to be sent when ``ticket`` is durable.
        outbox: to be sent after that, each on its own, in order per target.
        ticket: what the store promised for the changes.
        later: a further request to run on its own after the response (non-blocking requests), or None.
    """

    response: Response
    outbox: list[Send] = field(default_factory=list)
    ticket: Ticket = 0
    later: Callable[[Env], Generator[Send, Response | None, Outcome]] | None = None


class Unreachable(Exception):
    """Nobody answered at any point of access. The message says why, in words for the delivery log."""


class Sender(Protocol):
    """The sending side of a binding."""

    async def send(self, url: str, send: Send) -> Response:
        """Send ``send.request`` to one of its URLs and return the answer.

        Raises:
            Unreachable: no connection, no answer in ``send.timeout_s``, or an answer that is no oneM2M response.
        """

    async def close(self) -> None:
        """Close idle connections."""
