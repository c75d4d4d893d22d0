"""Request and response primitives, free of any binding (TS-0001 clause 8, TS-0004 clause 6.4).

Fields carry long names; the short names live in the codecs. A primitive built by a codec has the right Python types
(integers, lists, ...); whether the values make sense is the core's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from cse.onem2m.status import Status


class Operation(IntEnum):
    """The operation of a request (TS-0004 clause 6.3.4.2.5). DISCOVERY is only ever a privilege."""

    CREATE = 1
    RETRIEVE = 2
    UPDATE = 3
    DELETE = 4
    NOTIFY = 5


class ResponseType(IntEnum):
    """How the originator wants its answer (TS-0004 clause 6.3.4.2.6)."""

    NON_BLOCKING_SYNCH = 1
    NON_BLOCKING_ASYNCH = 2
    BLOCKING = 3
    FLEX_BLOCKING = 4
    NO_RESPONSE = 5


class ResultContent(IntEnum):
    """What a response contains (TS-0004 clause 6.3.4.2.7)."""

    NOTHING = 0
    ATTRIBUTES = 1
    HIERARCHICAL_ADDRESS = 2
    HIERARCHICAL_ADDRESS_AND_ATTRIBUTES = 3
    ATTRIBUTES_AND_CHILDREN = 4
    ATTRIBUTES_AND_CHILD_REFERENCES = 5
    CHILD_REFERENCES = 6
    ORIGINAL_RESOURCE = 7
    CHILDREN = 8
    MODIFIED_ATTRIBUTES = 9
    SEMANTIC_CONTENT = 10
    DISCOVERY_RESULT = 11
    PERMISSIONS = 12


class FilterUsage(IntEnum):
    """What a filter is for (TS-0004 clause 6.3.4.2.15)."""

    DISCOVERY = 1
    CONDITIONAL = 2
    IPE_ON_DEMAND = 3
    DISCOVERY_BASED_OPERATION = 4


@dataclass(slots=True)
class Request:
    """A request primitive (TS-0001 clause 8.1.2).

    ``filter`` holds the filter criteria by their short names with typed values: lists for tags that may be repeated
    (``lbl``, ``ty``, ...), integers for numbers, ``atr``/``catr``/``patr`` as lists of ``{"nm": ..., "val": ...}``.
    ``attribute_list`` is the partial-retrieve list (``atrl``), whichever way the binding carried it.
    Timestamps stay as they were sent: absolute strings, or integers of milliseconds from reception.
    The last fields are no part of the primitive: the binding that took the request sets them.
    """

    operation: Operation
    to: str
    originator: str = ""
    request_id: str = ""
    resource_type: int | None = None
    content: Any = None
    release: str | None = None
    result_content: int | None = None
    filter: dict[str, Any] | None = None
    attribute_list: list[str] | None = None
    desired_identifier: int | None = None
    response_type: int | None = None
    response_targets: list[str] | None = None
    result_persistence: str | int | None = None
    originating_time: str | None = None
    request_expiration: str | int | None = None
    result_expiration: str | int | None = None
    execution_time: str | int | None = None
    event_category: int | None = None
    delivery_aggregation: bool | None = None
    group_request_id: str | None = None
    group_targets: list[str] | None = None
    role_ids: list[str] | None = None
    tokens: list[str] | None = None
    token_ids: list[str] | None = None
    local_token_ids: list[str] | None = None
    token_request: bool | None = None
    authorization_signatures: list[str] | None = None
    authorization_signature_request: bool | None = None
    authorization_relationship: bool | None = None
    semantic_query: bool | None = None
    vendor: str | None = None
    #: the entity the connection proved itself to be, in its shortest form ("" when it proved nothing)
    credential: str = ""
    #: the Credential-ID a registration names, which proves nothing
    credential_id: str = ""
    #: the socket peer's address, for accessControlContexts ("" when there is none)
    peer_address: str = ""
    #: the name of the binding the request came over ("" for requests made inside the CSE)
    binding: str = ""
    #: W3C Trace Context of what causes the request: travels over HTTP only, "" for nothing that is traced
    trace_parent: str | None = None


@dataclass(slots=True)
class Response:
    """A response primitive (TS-0001 clause 8.1.3). ``content`` is the whole ``pc`` object or None."""

    status: Status
    request_id: str = ""
    content: Any = None
    release: str | None = None
    to: str | None = None
    originator: str | None = None
    originating_time: str | None = None
    result_expiration: str | int | None = None
    event_category: int | None = None
    content_status: int | None = None
    content_offset: int | None = None
    assigned_tokens: list[dict[str, Any]] | None = None
    vendor: str | None = None
    #: rt=5: the originator wants nothing back; bindings send the least their transport demands
    silent: bool = False


def error_response(request: Request, status: Status, debug: str) -> Response:
    """A response that carries an error in words (TS-0004 clause 7.3.1, ``m2m:dbg``).

    Args:
        request: the request that failed.
        status: the response status code.
        debug: what was wrong and what to send instead.
    """
    return Response(
        status,
        request_id=request.request_id,
        content={"m2m:dbg": debug},
        release=request.release,
        vendor=request.vendor,
    )
