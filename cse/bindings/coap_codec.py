"""oneM2M primitives as CoAP messages and back, in both option numberings (TS-0008 clause 6).

Pure: a server asks ``reply_style`` how a request wants its answer, which never fails, then ``decode_request``; what
that raises goes into ``encode_error``, what the CSE answers into ``encode_response``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cse.bindings.coap_codes import (
    COAP_CODE,
    FORMATS,
    NEW_NUMBERS,
    OLD_NUMBERS,
    PLAIN_FORMAT,
    UNSUPPORTED_PARAMETERS,
    VENDOR_FORMAT,
    Numbering,
)
from cse.bindings.coap_message import (
    ACCEPT,
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    DELETE,
    GET,
    LOCATION_PATH,
    MAX_AGE,
    POST,
    PROXY_SCHEME,
    PROXY_URI,
    PUT,
    URI_HOST,
    URI_PATH,
    URI_PORT,
    URI_QUERY,
    Message,
    code,
    dotted,
    uint,
)
from cse.bindings.coap_options import (
    ONLY_IN_RESPONSES,
    REQUEST_OPTIONS,
    RESPONSE_OPTIONS,
    BadOption,
    append_parameters,
    read_text,
    readable,
    write_text,
)
from cse.bindings.primitive_codec import Note, silent
from cse.bindings.query_codec import apply_query, query_pairs
from cse.onem2m.addressing import is_resource_name
from cse.onem2m.errors import BadRequest, CseError, NotAcceptable, OperationNotAllowed, UnsupportedMediaType
from cse.onem2m.errors import NotImplemented as ParameterNotSupported
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.serialisation import dump_cbor, dump_json, load_cbor, load_json
from cse.onem2m.status import Status

_NO_PROXY = code("5.05")
_CREATED, _CONTENT, _CHANGED = code("2.01"), code("2.05"), code("2.04")
_METHODS = {GET: Operation.RETRIEVE, PUT: Operation.UPDATE, DELETE: Operation.DELETE}
_CODES = {operation: method for method, operation in _METHODS.items()}
_ONLY_OLD = frozenset(
    (OLD_NUMBERS.fr, OLD_NUMBERS.rqi, OLD_NUMBERS.rqet, OLD_NUMBERS.rset, OLD_NUMBERS.oet, OLD_NUMBERS.gid)
)
_ONLY_NEW = frozenset((NEW_NUMBERS.fr, NEW_NUMBERS.rqi))
_UNDERSTOOD = frozenset((URI_HOST, URI_PORT, BLOCK1, BLOCK2, ACCEPT))
_NO_CACHING = (MAX_AGE, b"")
_FORMAT_VALUE = {number: uint(number) for number in FORMATS}
#: longer paths are not kept, so that nobody can fill the memory with them
_SEGMENTS_KEPT = 16
_STATUS_VALUE = {status: uint(status) for status in Status}


@dataclass(slots=True)
class ReplyStyle:
    """How a request wants its answer written; complete even when the request is not.

    Attributes:
        numbers: the option numbering of the caller.
        request_id: what it sent as request identifier, "" when that is missing or unreadable.
        release: its release version indicator, None when absent or unreadable.
        serialisation: ``json`` or ``cbor``.
        format: the content format asked for with Accept, 0 when it left the choice.
        vendor: it writes oneM2M media types rather than plain ones.
    """

    numbers: Numbering = NEW_NUMBERS
    request_id: str = ""
    release: str | None = None
    serialisation: str = "json"
    format: int = 0
    vendor: bool = False


def reply_style(message: Message, *, lenient: bool = True) -> ReplyStyle:
    """Find out how to answer a request; never raises.

    Args:
        message: a request, however malformed its options.
        lenient: the older option numbers are known.
    """
    values = dict(message.options)
    numbers = NEW_NUMBERS
    if lenient and _ONLY_NEW.isdisjoint(values) and not _ONLY_OLD.isdisjoint(values):
        numbers = OLD_NUMBERS
    request_id = readable(values.get(numbers.rqi, b""))
    release = readable(values.get(numbers.rvi, b"")) or None
    accepted = int.from_bytes(values[ACCEPT][:4], "big") if ACCEPT in values else 0
    sent = int.from_bytes(values[CONTENT_FORMAT][:4], "big") if CONTENT_FORMAT in values else 0
    if FORMATS.get(accepted) in PLAIN_FORMAT:
        return ReplyStyle(numbers, request_id, release, FORMATS[accepted], accepted)
    if FORMATS.get(sent) in PLAIN_FORMAT:
        return ReplyStyle(numbers, request_id, release, FORMATS[sent], vendor=sent >= 10000)
    return ReplyStyle(numbers, request_id, release, "cbor" if _looks_like_cbor(message.payload) else "json")


def _looks_like_cbor(payload: bytes) -> bool:
    # A CBOR map begins with 0xA0 to 0xBF, which no JSON text can begin with.
    return bool(payload) and 0xA0 <= payload[0] <= 0xBF


# --- requests --------------------------------------------------------------------------------------------------------


def decode_request(message: Message, style: ReplyStyle, *, lenient: bool = True, note: Note = silent) -> Request:
    """The request primitive in a CoAP request.

    Args:
        message: with its whole body when it came in blocks.
        style: what ``reply_style`` found.
        lenient: tolerate a trailing slash and take a resourceName from the Release 1 option.
        note: told of each dialect.

    Raises:
        BadRequest: an option or the body is malformed, or the request identifier is missing.
        BadOption: an unknown critical, repeated or overlong option; a proxy request.
        UnsupportedMediaType: the content format is not one of JSON or CBOR.
        NotAcceptable: Accept asks for something else than JSON or CBOR.
        OperationNotAllowed: a method other than GET, POST, PUT and DELETE.
        NotImplemented: a parameter of Release 4 this CSE does not act on.
    """
    request = Request(Operation.NOTIFY, "")
    path: list[bytes] = []
    pairs: list[tuple[str, str]] = []
    critical: list[tuple[int, bytes]] = []
    known = REQUEST_OPTIONS[style.numbers.name].by_number
    previous = -1
    for number, value in message.options:
        if number == URI_PATH:
            path.append(value)
        elif number in known:
            _, name, field, read, _ = known[number]
            if number == previous:  # decoded options are in order
                raise BadOption(f"the option {name} stands twice: send it once")
            previous = number
            setattr(request, field, read(name, value))
        elif number == URI_QUERY:
            name, _, text = read_text("15 (Uri-Query)", value).partition("=")
            pairs.append((name, text))
        elif number & 1:
            critical.append((number, value))
    for number, value in critical:
        _check_critical(number, value, style)
    request.operation = _operation(message.code, request, pairs)
    if not request.request_id:
        raise BadRequest(f"the request identifier is missing: send it in option {style.numbers.rqi} (oneM2M-RQI)")
    if lenient and len(path) > 1 and not path[-1]:
        path.pop()
        note("trailing slash")
    request.to = _address(tuple(path)) if len(path) <= _SEGMENTS_KEPT else _address.__wrapped__(tuple(path))
    if pairs:
        apply_query(pairs, request, lenient=lenient, note=note)
    content_format = message.option(CONTENT_FORMAT)
    if message.payload:
        request.content = content_of(message.payload, content_format)
        if lenient and content_format is None:
            note("body without Content-Format")
    if lenient:
        _note_form(message, style, request, note)
    return request


def _note_form(message: Message, style: ReplyStyle, request: Request, note: Note) -> None:
    """Tell of what older clients leave out or write in another way, and take their resourceName."""
    if style.numbers.nm:
        note("CoAP options of an older release")
        if _apply_name(message, style.numbers, request):
            note("resourceName in a CoAP option")
    if request.release is None:
        note("no rvi")


def _check_critical(number: int, value: bytes, style: ReplyStyle) -> None:
    if number == ACCEPT:
        wanted = int.from_bytes(value[:4], "big")
        if FORMATS.get(wanted) not in PLAIN_FORMAT:
            raise NotAcceptable(f"Accept asks for content format {wanted}: accept 50 (JSON) or 60 (CBOR)")
    elif number in UNSUPPORTED_PARAMETERS:
        raise ParameterNotSupported(
            f"the option {number} ({UNSUPPORTED_PARAMETERS[number]}) is not supported: leave it out"
        )
    elif number in (PROXY_URI, PROXY_SCHEME):
        raise BadOption("this is no proxy: send Uri-Path options, without Proxy-Uri and Proxy-Scheme", _NO_PROXY)
    elif number not in _UNDERSTOOD and number not in ONLY_IN_RESPONSES[style.numbers.name]:
        if number in _ONLY_OLD:
            raise BadOption(
                f"the option {number} is of older releases: send the originator in option {NEW_NUMBERS.fr} and the "
                f"request identifier in option {NEW_NUMBERS.rqi}"
            )
        raise BadOption(f"the critical option {number} is unknown here: leave it out")


def _operation(method: int, request: Request, pairs: list[tuple[str, str]]) -> Operation:
    """The operation of a method; takes ``op`` out of the query, which names it on a POST."""
    named = [value for name, value in pairs if name == "op"] if pairs else []
    if named:
        pairs[:] = [pair for pair in pairs if pair[0] != "op"]
    by_method = _METHODS.get(method)
    if method != POST and by_method is None:
        raise OperationNotAllowed(f"the method {dotted(method)} is not used by oneM2M: send GET, POST, PUT or DELETE")
    if not named:
        if by_method is not None:
            return by_method
        return Operation.NOTIFY if request.resource_type is None else Operation.CREATE
    if len(named) > 1 or named[0] not in ("1", "2", "3", "4", "5"):
        raise BadRequest(f"the parameter 'op' is {'&'.join(named)!r}: send it once, 1 to 5")
    operation = Operation(int(named[0]))
    if by_method is not None and operation != by_method:
        raise BadRequest(f"op={named[0]} does not fit the method {dotted(method)}: send it with POST")
    return operation


@lru_cache(maxsize=1024)  # clients ask for the same few again and again
def _address(path: tuple[bytes, ...]) -> str:
    """The ``to`` of Uri-Path options; "" when there are none, as with the bare address of a notification target."""
    segments = [read_text("11 (Uri-Path)", value) for value in path]
    for segment in segments:
        if "/" in segment or "#" in segment:
            raise BadRequest(
                f"the Uri-Path option {segment!r} holds a '/' or '#': send one option for each segment, "
                "and a single attribute as Uri-Query atrl=<attribute>"
            )
    to = "/".join(segments)
    if segments and segments[0] in ("~", "_"):
        if len(segments) == 1 or not segments[1]:
            raise BadRequest(f"the Uri-Path is '{segments[0]}' alone: send the CSE-ID in the segment after it")
        return ("/" if segments[0] == "~" else "//") + to[2:]
    return to


def content_of(payload: bytes, content_format: bytes | None) -> dict[str, Any]:
    """The content in a payload.

    Args:
        payload: at least one byte.
        content_format: the value of that option, None when it is absent.

    Raises:
        BadRequest: it is malformed.
        UnsupportedMediaType: the content format is not one of JSON or CBOR.
    """
    if content_format is None:
        # Many small clients send none; the first byte tells the two serialisations apart.
        serialisation = "cbor" if _looks_like_cbor(payload) else "json"
    else:
        number = int.from_bytes(content_format[:4], "big")
        serialisation = FORMATS.get(number, "")
        if serialisation not in PLAIN_FORMAT:
            raise UnsupportedMediaType(f"the content format {number} is not supported: send 50 (JSON) or 60 (CBOR)")
    content = load_cbor(payload) if serialisation == "cbor" else load_json(payload)
    if not isinstance(content, dict):
        raise BadRequest('the body is not an object: send the content of the primitive, e.g. {"m2m:cnt":{}}')
    return content


def _apply_name(message: Message, numbers: Numbering, request: Request) -> bool:
    """Put the resourceName of a Release 1 CREATE where later releases have it; says whether there was one."""
    value = message.option(numbers.nm)
    # No-Response (RFC 7967) has the same number, but its values are no resource names.
    if value is None or request.operation != Operation.CREATE or not is_resource_name(readable(value)):
        return False
    if isinstance(request.content, dict) and len(request.content) == 1:
        (resource,) = request.content.values()
        if isinstance(resource, dict):
            resource.setdefault("rn", readable(value))
            return True
    return False


def uri_path(to: str) -> list[str]:
    """The Uri-Path segments of a ``to`` (TS-0008 clause 6.2.2.1). A fragment must be sent as ``atrl`` instead."""
    if to.startswith("//"):
        return ["_", *to[2:].split("/")]
    if to.startswith("/"):
        return ["~", *to[1:].split("/")]
    return to.split("/") if to else []


def encode_request(
    request: Request,
    *,
    path: Sequence[str],
    query: Iterable[str] = (),
    serialisation: str = "json",
    numbers: Numbering = NEW_NUMBERS,
) -> Message:
    """A CON message for a request; its message ID and token are left to the transport.

    Args:
        request: the primitive; its ``to`` is not looked at.
        path: Uri-Path segments, see ``uri_path``.
        query: Uri-Query options to send besides those of the request.
        serialisation: ``json`` or ``cbor``.
        numbers: the option numbering of the receiver.

    Raises:
        BadRequest: something is longer than an option can hold.
    """
    options = [(URI_PATH, write_text("a path segment", segment)) for segment in path]
    options.extend((URI_QUERY, write_text("the query", entry)) for entry in query)
    if request.operation in (Operation.CREATE, Operation.NOTIFY):
        method = POST
        if (request.operation == Operation.CREATE) != (request.resource_type is not None):
            options.append((URI_QUERY, b"op=%d" % request.operation))
    else:
        method = _CODES[request.operation]
    for name, value in query_pairs(request):
        options.append((URI_QUERY, write_text(f"the parameter {name}", f"{name}={value}")))
    append_parameters(options, REQUEST_OPTIONS[numbers.name], request)
    message = Message(method, options=options)
    if request.content is not None and method in (POST, PUT):
        options.append((CONTENT_FORMAT, uint(PLAIN_FORMAT[serialisation])))
        message.payload = dump_cbor(request.content) if serialisation == "cbor" else dump_json(request.content)
    return message


# --- responses -------------------------------------------------------------------------------------------------------


def encode_response(response: Response, style: ReplyStyle, operation: Operation) -> Message | None:
    """The message for a response; its type, message ID and token are left to the transport.

    Args:
        response: what the CSE answered.
        style: how the request wanted it.
        operation: what was asked for; it decides between 2.05 and 2.04.

    Returns:
        None when an empty acknowledgement is all the originator gets: rt=5, and status 1000.

    Raises:
        BadRequest: a parameter of the response is longer than an option can hold.
    """
    wire_code = _response_code(response, operation)
    if response.silent or not wire_code:
        return None
    options: list[tuple[int, bytes]] = [_NO_CACHING, (style.numbers.rsc, _STATUS_VALUE[response.status])]
    append_parameters(options, RESPONSE_OPTIONS[style.numbers.name], response)
    message = Message(wire_code, options=options)
    content = response.content
    if content is not None:
        number = style.format
        if not number and style.vendor:
            number = VENDOR_FORMAT[_content_kind(content), style.serialisation]
        options.append((CONTENT_FORMAT, _FORMAT_VALUE[number or PLAIN_FORMAT[style.serialisation]]))
        message.payload = dump_cbor(content) if style.serialisation == "cbor" else dump_json(content)
        if wire_code == _CREATED:
            options.extend((LOCATION_PATH, write_text("the address", segment)) for segment in _location(content))
    return message


def _response_code(response: Response, operation: Operation) -> int:
    if response.status is Status.OK:
        return _CONTENT if operation is Operation.RETRIEVE else _CHANGED
    if response.status is Status.ACCEPTED_NONBLOCKING_ASYNC and response.content is None:
        return _CHANGED
    return COAP_CODE[response.status]


def _content_kind(content: Any) -> str:
    if isinstance(content, dict):
        if "m2m:rqp" in content:
            return "preq"
        if "m2m:rsp" in content:
            return "prsp"
    return "res"


def _location(content: Any) -> list[str]:
    """The Location-Path segments of a created resource when the content holds its address (TS-0008 clause 6.2.4)."""
    if not isinstance(content, dict):
        return []
    uri = content.get("m2m:uri")
    if uri is None and isinstance(content.get("m2m:rce"), dict):
        uri = content["m2m:rce"].get("uri")
    return uri_path(uri) if isinstance(uri, str) else []


def encode_error(error: CseError, style: ReplyStyle) -> Message:
    """The response for a request that could not be decoded, or failed without an answer (TS-0004 clause 7.3.1)."""
    response = Response(
        error.status, request_id=style.request_id, content={"m2m:dbg": error.debug}, release=style.release
    )
    message = encode_response(response, style, Operation.NOTIFY)
    if message is None:  # no error has the code of an empty message
        raise TypeError(f"{error.status!r} is no error")
    if isinstance(error, BadOption):
        message.code = error.coap_code
    return message


def decode_response(message: Message) -> Response:
    """The response primitive in a CoAP response, in either numbering.

    Raises:
        BadRequest: no response status code in it, a malformed option or body.
        UnsupportedMediaType: the body is neither JSON nor CBOR.
    """
    numbers = NEW_NUMBERS
    raw_status = message.option(NEW_NUMBERS.rsc)
    if raw_status is None:
        numbers, raw_status = OLD_NUMBERS, message.option(OLD_NUMBERS.rsc)
    if raw_status is None or len(raw_status) > 2:
        raise BadRequest(f"the answer {dotted(message.code)} carries no oneM2M response status code")
    response = Response(_status(int.from_bytes(raw_status, "big")))
    table = RESPONSE_OPTIONS[numbers.name].by_number
    for number, value in message.options:
        known = table.get(number)
        if known is not None:
            setattr(response, known.field, known.read(known.name, value))
    if message.payload:
        response.content = content_of(message.payload, message.option(CONTENT_FORMAT))
    return response


def _status(number: int) -> Status:
    try:
        return Status(number)
    except ValueError:
        # A code of a later release: its class says what to make of it (TS-0004 clause 6.6.2).
        known = {1: Status.ACCEPTED, 2: Status.OK, 4: Status.BAD_REQUEST}
        return known.get(number // 1000, Status.INTERNAL_SERVER_ERROR)
