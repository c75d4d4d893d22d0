"""A CREATE that comes twice has one effect, also across a restart (trust.md R9; TS-0010 clause 6.5).

Who repeats a request over MQTT or CoAP because no answer came repeats it byte for byte. A request that says of itself
that it is one and no other (an originating timestamp, or a request identifier too long to be a constant) gets a name
derived from all it says, written with the resource in one transaction: the repetition finds the name taken, and is
answered as the first was. Equal values of clients whose request identifier never changes are not affected.
"""

from __future__ import annotations

from base64 import b32encode
from collections import OrderedDict
from hashlib import blake2b

from cse.core.numbers import AE, REMOTE_CSE
from cse.onem2m.primitives import Request
from cse.onem2m.serialisation import dump_json
from cse.onem2m.timestamps import absolute_time
from cse.ports import Env, Resource, Store
from cse.resources.declare import ResourceType

#: from this length on a request identifier is taken to be unique; shorter ones are constant in many clients
UNIQUE_ID_LENGTH = 16
#: how long a repetition is recognised, in seconds
REMEMBERED_S = 300.0
_MOST = 20_000
#: bindings over which requests come twice; HTTP and WebSocket carry each one once
_AT_LEAST_ONCE = frozenset({"mqtt", "coap"})


class Replays:
    """The creations of the last minutes by what was asked, bounded in number."""

    __slots__ = ("_known", "_since")

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._since: float | None = None

    def earlier(self, store: Store, env: Env, parent: Resource, name: str) -> Resource | None:
        """What an equal request created before; None when there is none.

        Args:
            store: where it would be.
            env: the time.
            parent: where it creates.
            name: the name derived from it.
        """
        now = env.now
        if self._since is None:
            self._since = now
        key = f"{parent.ri}/{name}"
        ri, when = self._known.get(key, ("", 0.0))
        if ri and now - when <= REMEMBERED_S:
            return store.get(ri)
        if now - self._since > REMEMBERED_S:
            return None  # what an earlier run of this CSE created is too old by now
        found = store.child(parent.ri, name)
        if found is None or now - absolute_time(found.attributes["ct"], now) > REMEMBERED_S:
            return None
        return found

    def remember(self, created: Resource, name: str, now: float) -> None:
        """Keep in mind what a request created, by the name derived from it."""
        self._known[f"{created.pi}/{name}"] = (created.ri, now)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


def name_of(request: Request, resource_type: ResourceType) -> str:
    """The resourceName that belongs to this CREATE alone; "" when it may be one of several equal ones."""
    unique = request.originating_time is not None or len(request.request_id) >= UNIQUE_ID_LENGTH
    if not unique or request.binding not in _AT_LEAST_ONCE or resource_type.number in (AE, REMOTE_CSE):
        return ""
    said = (request.originator, request.request_id, request.to, request.originating_time)
    digest = blake2b(repr(said).encode(), digest_size=15)
    digest.update(dump_json(request.content))
    return f"{resource_type.short_name}-{b32encode(digest.digest()).decode().lower()}"
