"""A CREATE that comes twice has one effect, also across a restart (trust.md R9; TS-0010 clause 6.5).

Who repeats a request over MQTT or CoAP because no answer came repeats it byte for byte. A request that says of itself
that it is one and no other (an originating timestamp, or a request identifier too long to be a constant) gets a name
derived from all it says and from the time, written with the resource in one transaction: the repetition finds the
resource by that name, and is answered as the first was. Equal values of clients whose request identifier never changes
are not affected. How this is cheap: docs/adr/0031.
"""

from __future__ import annotations

from hashlib import blake2b

from cse.core.numbers import AE, REMOTE_CSE
from cse.dated_names import PERIOD_S, dated_name
from cse.onem2m.primitives import Request
from cse.onem2m.serialisation import dump_json
from cse.onem2m.timestamps import absolute_time
from cse.ports import Env, Resource, Store
from cse.resources.declare import ResourceType

#: from this length on a request identifier is taken to be unique; shorter ones are constant in many clients
UNIQUE_ID_LENGTH = 16
#: how long a repetition is recognised, in seconds: what is in the names of this period and the last covers it
REMEMBERED_S = PERIOD_S
#: bindings over which requests come twice; HTTP and WebSocket carry each one once
_AT_LEAST_ONCE = frozenset({"mqtt", "coap"})


def digest_of(request: Request, resource_type: ResourceType) -> str:
    """What tells this CREATE from all others, in hexadecimal; "" when it may be one of several equal ones."""
    unique = request.originating_time is not None or len(request.request_id) >= UNIQUE_ID_LENGTH
    if not unique or request.binding not in _AT_LEAST_ONCE or resource_type.number in (AE, REMOTE_CSE):
        return ""
    said = (request.originator, request.request_id, request.to, request.originating_time)
    digest = blake2b(repr(said).encode(), digest_size=15)
    digest.update(dump_json(request.content))
    return digest.hexdigest()


def earlier(store: Store, env: Env, parent: Resource, digest: str) -> Resource | None:
    """What an equal request created before; None when there is none.

    Args:
        store: where it would be.
        env: the time.
        parent: where it creates.
        digest: of the request.
    """
    now = env.now
    for periods_ago in (0, 1):
        found = store.child(parent.ri, dated_name(now, digest, periods_ago=periods_ago))
        if found is not None and now - absolute_time(found.attributes["ct"], now) <= REMEMBERED_S:
            return found
    return None
