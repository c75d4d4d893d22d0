"""WebSocket messages and the primitives in them, subprotocols, and who may say what on a connection (TS-0020).

Pure. One message is one whole primitive; requests and responses travel in both directions over one connection, told
apart by ``rsc``, which only a response has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cse.bindings import primitive_codec as primitives
from cse.bindings.media import CBOR, JSON, dump_body, load_body
from cse.bindings.primitive_codec import Note
from cse.onem2m import errors
from cse.onem2m.addressing import is_entity_id, shorten
from cse.onem2m.errors import BadRequest, CseError, OriginatorHasNoPrivilege, OriginatorHasNotRegistered
from cse.onem2m.primitives import Operation, Request, Response

#: serialisation by subprotocol (TS-0020 clause 6.2); the second pair are the names of Release 2
SUBPROTOCOLS = {
    "oneM2M.json": JSON,
    "oneM2M.cbor": CBOR,
    "oneM2M.R2.0.json": JSON,
    "oneM2M.R2.0.cbor": CBOR,
}
#: subprotocol by serialisation, as this CSE asks for it
NAMES = {JSON: "oneM2M.json", CBOR: "oneM2M.cbor"}
#: close codes (RFC 6455 clause 7.4.1)
NORMAL, GOING_AWAY, UNSUPPORTED_DATA, INVALID_DATA, POLICY_VIOLATION = 1000, 1001, 1003, 1007, 1008
#: what browsers, which cannot send Authorization, offer besides the subprotocol: this and a token
TOKEN_SUBPROTOCOL = "bearer."
POLICY, INTERNAL_ERROR, TRY_AGAIN_LATER = 1008, 1011, 1013

_AE, _REMOTE_CSE = 2, 16
#: a From that asks the registrar to choose an AE-ID
UNNAMED = ("", "C", "S")


class Unreadable(Exception):
    """A message that cannot be answered: it is not even clear which request it was.

    Args:
        close_code: the code to close the connection with.
        reason: what was wrong and what to send instead; at most 123 bytes reach the peer.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.reason = reason


@dataclass(slots=True)
class Incoming:
    """A message taken apart.

    Attributes:
        primitive: the request or response, or the error it is refused with; its ``request_id`` says which one it was.
        serialisation: ``json`` or ``cbor``.
        wrapped: it had a wrapper object, and its answer gets one.
        is_answer: it is, or was meant as, a response.
    """

    primitive: Request | Response | CseError
    serialisation: str
    wrapped: bool = False
    is_answer: bool = False


def choose_subprotocol(offered: Iterable[str]) -> str:
    """The first offered subprotocol this CSE speaks, "" when there is none."""
    return next((name for name in offered if name in SUBPROTOCOLS), "")


def is_text(serialisation: str) -> bool:
    """Whether a serialisation travels in text frames (TS-0020 clause 6.2)."""
    return serialisation == JSON


def encode_request(request: Request, serialisation: str) -> bytes:
    """The payload of a request."""
    return dump_body(serialisation, primitives.encode_request(request))


def encode_response(response: Response, serialisation: str, *, wrapped: bool = False) -> bytes:
    """The payload of a response, in the wrapper some clients put around it when their request had one."""
    value: dict[str, Any] = primitives.encode_response(response)
    return dump_body(serialisation, {"m2m:rsp": value} if wrapped else value)


def decode(payload: bytes, *, text: bool, subprotocol: str, lenient: bool, note: Note) -> Incoming:
    """The primitive in a message.

    Args:
        payload: the message, its fragments joined.
        text: it came in text frames.
        subprotocol: what was agreed on, "" when the peer offered none (lenient only).
        lenient: wrappers, the other kind of frame and loose values are understood.
        note: told of each dialect.

    Raises:
        Unreadable: close the connection.
    """
    serialisation = SUBPROTOCOLS.get(subprotocol, JSON if text else CBOR)
    if text != is_text(serialisation):
        kind = "text" if is_text(serialisation) else "binary"
        if not lenient:
            raise Unreadable(UNSUPPORTED_DATA, f"{subprotocol} travels in {kind} frames")
        note(f"{serialisation} in a {'text' if text else 'binary'} frame")
    try:
        value = load_body(serialisation, payload)
    except BadRequest as error:
        return _refused(error, primitives.find_request_id(payload), serialisation, is_answer=False)
    is_answer = isinstance(value, dict) and ("m2m:rsp" in value or ("rsc" in value and "op" not in value))
    whole = value
    try:
        value, wrapped = primitives.unwrap(value, "m2m:rsp" if is_answer else "m2m:rqp", lenient=lenient, note=note)
        if is_answer:
            response = primitives.decode_response(value, lenient=lenient, note=note)
            return Incoming(response, serialisation, wrapped, is_answer)
        return Incoming(primitives.decode_request(value, lenient=lenient, note=note), serialisation, wrapped)
    except (BadRequest, errors.NotImplemented) as error:
        return _refused(error, error.request_id or primitives.request_id(whole), serialisation, is_answer=is_answer)


def _refused(error: CseError, request_id: str, serialisation: str, *, is_answer: bool) -> Incoming:
    if not request_id:
        raise Unreadable(INVALID_DATA, error.debug) from error
    error.request_id = request_id
    return Incoming(error, serialisation, is_answer=is_answer)


def entity_of_handshake(header: str, own_id: str, sp_id: str) -> str:
    """The entity a handshake names in X-M2M-Origin, in its shortest form; "" when it is still to be registered.

    Raises:
        BadRequest: it is no identifier.
        OriginatorHasNotRegistered: it is that of this CSE itself.
    """
    if header in UNNAMED:
        return ""
    if not is_entity_id(header):
        raise BadRequest("X-M2M-Origin is no AE-ID or CSE-ID: send e.g. Cmy-ae or /cse-id")
    entity = shorten(header, sp_id, own_id)
    if entity in (own_id, sp_id + own_id):
        raise OriginatorHasNotRegistered(f"X-M2M-Origin names this CSE itself, {own_id!r}: send your own identifier")
    return entity


def registers(request: Request) -> bool:
    """Whether a request registers an AE or a CSE, so that it may come first on a connection."""
    return request.operation is Operation.CREATE and request.resource_type in (_AE, _REMOTE_CSE)


def registered_entity(request: Request, response: Response, own_id: str, sp_id: str) -> str:
    """The entity a successful registration was for, in its shortest form; "" when nobody can tell."""
    if request.resource_type == _AE:
        entity = response.content.get("m2m:ae") if isinstance(response.content, dict) else None
        if isinstance(entity, dict) and isinstance(entity.get("aei"), str):
            return shorten(entity["aei"], sp_id, own_id)
    return "" if request.originator in UNNAMED else shorten(request.originator, sp_id, own_id)


def identify(request: Request, bound: str, own_id: str, sp_id: str) -> bool:
    """Compare the originator of a request with the entity its connection belongs to (TS-0020 clause 6.5, peer).

    Args:
        request: is changed: ``originator`` when it was absent and the connection says who it is.
        bound: the entity, "" before it is known.
        own_id: the own CSE-ID.
        sp_id: the own M2M-SP-ID, ``//...`` or "".

    Returns:
        True when the originator is the entity; False when only a CSE known to relay for it may send it.

    Raises:
        OriginatorHasNoPrivilege: the connection belongs to nobody yet, and this is no registration.
        OriginatorHasNotRegistered: the originator is somebody else.
    """
    if not bound:
        if registers(request):
            return True
        raise OriginatorHasNoPrivilege(
            "this connection belongs to nobody yet: create your AE first, or open it with X-M2M-Origin in the handshake"
        )
    if not request.originator:
        request.originator = bound
        return True
    claimed = shorten(request.originator, sp_id, own_id)
    if claimed == bound:
        return True
    if not bound.startswith("/") or registers(request):
        raise mismatch(request, bound)
    return claimed.startswith(bound + "/")


def mismatch(request: Request, bound: str) -> OriginatorHasNotRegistered:
    """The error for an originator that is not the entity the connection belongs to."""
    return OriginatorHasNotRegistered(
        f"'fr' is {request.originator!r} but this connection belongs to {bound!r}: send that, or open a connection of "
        "your own"
    )


def origin_allowed(origin: str, host: str, allowed: Collection[str]) -> bool:
    """Whether a page of this origin may open a connection: its own server's pages, and those of the allow list.

    Args:
        origin: the Origin header, "" when no browser is involved.
        host: the Host header.
        allowed: origins such as ``https://app.example``, or ``*``.
    """
    if not origin or origin in allowed or "*" in allowed:
        return True
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
