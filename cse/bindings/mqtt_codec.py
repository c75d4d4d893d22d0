"""MQTT topics and the identifiers in them: parse, build, check (TS-0010 clauses 6.2 to 6.5). Pure.

In a topic an identifier loses one leading slash and every other slash becomes a colon: ``/id-in/Cae`` is
``id-in:Cae``, ``//sp.example/id-in`` is ``:sp.example:id-in``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from cse.onem2m.addressing import MAX_ID_LENGTH, is_entity_id
from cse.onem2m.errors import BadRequest, OriginatorHasNotRegistered
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.serialisation import dump_cbor, dump_json, load_cbor, load_json

REQUEST, RESPONSE, REGISTRATION_REQUEST, REGISTRATION_RESPONSE = "req", "resp", "reg_req", "reg_resp"
#: the kind of the answer to each kind of request
ANSWERS = {REQUEST: RESPONSE, REGISTRATION_REQUEST: REGISTRATION_RESPONSE}
#: serialisations by the last level of a topic
TYPES = ("json", "cbor")
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}

_KINDS = (REQUEST, RESPONSE, REGISTRATION_REQUEST, REGISTRATION_RESPONSE)
_AE, _REMOTE_CSE = 2, 16
#: a From that asks the registrar to choose an AE-ID
_UNNAMED = ("", "C", "S")
_LEVEL = re.compile(r"[A-Za-z0-9\-._~:@]+", re.ASCII)


def to_topic_level(identifier: str) -> str:
    """An identifier as a topic level.

    Raises:
        BadRequest: it has a character that identifiers cannot have, among them the ``+ # $`` and NUL of MQTT.
    """
    if not is_entity_id(identifier):
        raise BadRequest(
            f"{identifier[:80]!r} is no AE-ID or CSE-ID: use letters, digits, '-', '.', '_' and, between parts, '/'"
        )
    return identifier.removeprefix("/").replace("/", ":")


def from_topic_level(level: str) -> str:
    """The identifier of a topic level: an AE-ID stem for ``C...`` and ``S...``, else SP-relative or absolute.

    Raises:
        BadRequest: it is no identifier.
    """
    if level.startswith(":"):
        identifier = "//" + level[1:].replace(":", "/")
    elif ":" not in level and level[:1] in ("C", "S"):
        identifier = level
    else:
        identifier = "/" + level.replace(":", "/")
    if not is_entity_id(identifier):
        raise BadRequest(f"the topic level {level[:80]!r} is no AE-ID or CSE-ID")
    return identifier


def cse_of_topic_level(level: str) -> str:
    """The CSE-ID of a topic level that is known to be a CSE, even when it looks like an AE-ID stem.

    Raises:
        BadRequest: it is no identifier.
    """
    identifier = from_topic_level(level)
    return identifier if identifier.startswith("/") else "/" + identifier


@dataclass(frozen=True, slots=True)
class Topic:
    """A oneM2M topic taken apart (TS-0010 clause 6.4.2).

    Attributes:
        kind: ``req``, ``resp``, ``reg_req`` or ``reg_resp``.
        originator: topic level of who sent the request.
        receiver: topic level of who answers it.
        type: ``json``, ``cbor`` or "" for the older form without type, which is JSON.
    """

    kind: str
    originator: str
    receiver: str
    type: str = "json"

    @property
    def serialisation(self) -> str:
        """``json`` or ``cbor``."""
        return self.type or "json"

    def text(self, prefix: str = "") -> str:
        """The topic as it is published on, below ``prefix`` when that is not empty."""
        text = f"{prefix}/oneM2M/{self.kind}/{self.originator}/{self.receiver}"
        return f"{text}/{self.type}" if self.type else text

    def answer(self) -> Topic:
        """The topic of the response: originator and receiver stay in their places."""
        return Topic(ANSWERS[self.kind], self.originator, self.receiver, self.type)


def parse_topic(text: str, prefix: str = "", *, lenient: bool) -> Topic | None:
    """A topic taken apart; None when it is not of oneM2M, has the wrong depth, an unknown type or a hostile level.

    Args:
        text: the topic of a message.
        prefix: what stands before ``/oneM2M``.
        lenient: accept the form of Release 1 without type.
    """
    if not text.startswith(prefix):
        return None
    levels = text[len(prefix) :].split("/")
    if len(levels) == 6 and levels[5] in TYPES:
        type_ = levels[5]
    elif len(levels) == 5 and lenient:
        type_ = ""
    else:
        return None
    empty, root, kind, originator, receiver = levels[:5]
    if empty or root != "oneM2M" or kind not in _KINDS or not (_is_level(originator) and _is_level(receiver)):
        return None
    return Topic(kind, originator, receiver, type_)


def _is_level(level: str) -> bool:
    return 0 < len(level) <= MAX_ID_LENGTH and _LEVEL.fullmatch(level) is not None


def subscriptions(own: str, prefix: str, *, is_cse: bool) -> list[str]:
    """The topic filters an entity listens on (TS-0010 clause 6.4.2).

    Args:
        own: topic level of the entity.
        prefix: what stands before ``/oneM2M``.
        is_cse: a CSE takes registrations; an AE waits for the answer to its own.
    """
    root = f"{prefix}/oneM2M"
    last = f"{root}/reg_req/+/{own}/#" if is_cse else f"{root}/reg_resp/{own}/+/#"
    filters = [f"{root}/req/+/{own}/#", f"{root}/resp/{own}/+/#", last]
    # a CSE registers itself with another one on reg_req too
    return [*filters, f"{root}/reg_resp/{own}/+/#"] if is_cse else filters


def is_registration(request: Request) -> bool:
    """Whether a request registers an AE or a CSE, so that it goes over the registration topics."""
    return request.operation is Operation.CREATE and request.resource_type in (_AE, _REMOTE_CSE)


def own_address(to: str, cse_name: str, cse_id: str) -> str:
    """``to`` without the slash some clients put before the name of the CSEBase (dialect: ``/cse-in/ae``).

    Args:
        to: the address as sent.
        cse_name: resourceName of the own CSEBase.
        cse_id: the own CSE-ID; it wins when both have the same name.
    """
    if to.startswith("/") and cse_name and cse_id != "/" + cse_name:
        first, _, _ = to[1:].partition("/")
        if first == cse_name:
            return to[1:]
    return to


def identify(request: Request, topic: Topic, own: str, sp_id: str = "") -> bool:
    """Compare the originator of a request with its topic and fill in what only the topic says (TS-0010 clause 6.3).

    A registration may come under a Credential-ID, which is kept with the request. A CSE may send for the
    entities below it. Anything else a CSE sends for is for the caller to decide.

    Args:
        request: is changed: ``originator`` when it was absent, ``credential_id`` when the topic names one.
        topic: where the request came in, ``req`` or ``reg_req``.
        own: topic level of the receiving entity.
        sp_id: the own M2M-SP-ID with leading ``//``, or "".

    Returns:
        True when the originator is as the topic says; False when only a CSE known to relay for it may send it.

    Raises:
        BadRequest: something else than a registration on ``reg_req``, or no originator where one is needed.
        OriginatorHasNotRegistered: the originator is not who the topic says.
    """
    if topic.originator == own:
        raise OriginatorHasNotRegistered(f"the topic names this entity itself, {own!r}, as originator: send your own")
    registration = topic.kind == REGISTRATION_REQUEST
    if registration and not is_registration(request):
        raise BadRequest("only CREATE of an AE (ty 2) or a remoteCSE (ty 16) goes to reg_req: send others to req")
    if registration and request.resource_type == _AE:
        return _identify_registration(request, topic)
    if not request.originator:
        raise BadRequest("'fr' is missing: send the AE-ID or CSE-ID that the topic has as originator")
    claimed = to_topic_level(request.originator)
    hop = topic.originator
    if _local(claimed, own, sp_id) == _local(hop, own, sp_id):
        return True
    if is_registration(request) or hop.count(":") != (2 if hop.startswith(":") else 0):
        raise mismatch(request, topic)  # registrations are never relayed; an AE below a CSE speaks for itself only
    # what looks like an AE stem may be a CSE-ID, which only the caller can know
    return hop[0] not in "CS" and claimed.startswith(hop + ":")


def _identify_registration(request: Request, topic: Topic) -> bool:
    level = topic.originator
    names_entity = level[:1] in ("C", "S", ":") or ":" in level
    if request.originator in _UNNAMED:
        if not names_entity:
            request.credential_id = level
        elif not request.originator:
            request.originator = from_topic_level(level)
        return True
    claimed = to_topic_level(request.originator)
    if claimed != level:
        if names_entity and level not in _UNNAMED:
            raise mismatch(request, topic)
        request.credential_id = "" if level in _UNNAMED else level
    return True


def mismatch(request: Request, topic: Topic) -> OriginatorHasNotRegistered:
    """The error for an originator that is not who the topic says."""
    return OriginatorHasNotRegistered(
        f"'fr' is {request.originator!r} but the topic says {topic.originator!r}: send both the same, "
        "'/' written as ':' in the topic"
    )


def _local(level: str, own: str, sp_id: str) -> str:
    """An AE-ID below the own CSE as its stem, so that ``Cae``, ``id-in:Cae`` and ``:sp:id-in:Cae`` are one."""
    if sp_id and level.startswith(":"):
        level = level.removeprefix(f":{sp_id[2:]}:")
    return level.removeprefix(own + ":")


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """An mqtt or mqtts URL taken apart (TS-0010 clause 6.6).

    Attributes:
        host: name or address of the broker.
        port: its TCP port.
        tls: the scheme is mqtts.
        path: what follows the first slash, percent-decoded: a prefix of topics, or a whole topic.
        serialisation: the value of ``ct``, "" without one.
        user: user name, "" without one.
        password: "" without one.
    """

    host: str
    port: int
    tls: bool
    path: str = ""
    serialisation: str = ""
    user: str = ""
    password: str = ""

    @property
    def address(self) -> str:
        """The URL without path and secrets, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    @property
    def prefix(self) -> str:
        """The path as a prefix of topics, without slash at its end."""
        return self.path.rstrip("/")


def parse_url(url: str) -> BrokerUrl:
    """Take an mqtt or mqtts URL apart.

    Raises:
        BadRequest: another scheme, no host, no valid port, an unknown ``ct``, or wildcards in the path.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadRequest(f"{url[:80]!r} is no URL ({error}): send mqtt://host:1883") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise BadRequest(f"{url[:80]!r} names no broker: send mqtt://host:1883 or mqtts://host:8883")
    path = unquote(parts.path.removeprefix("/"))
    if parts.fragment or any(character in path for character in "+#\x00"):
        raise BadRequest(f"the path of {url[:80]!r} has '+', '#' or NUL, which no topic to publish on may have")
    serialisation = ""
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if name == "ct":
            serialisation = value
    if serialisation not in ("", *TYPES):
        raise BadRequest(f"ct={serialisation!r} in a URL: send ct=json or ct=cbor")
    return BrokerUrl(
        parts.hostname,
        port or DEFAULT_PORTS[parts.scheme],
        parts.scheme == "mqtts",
        path,
        serialisation,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def dump(value: Any, serialisation: str) -> bytes:
    """A payload of ``json`` or ``cbor``."""
    return dump_cbor(value) if serialisation == "cbor" else dump_json(value)


def load(payload: bytes, serialisation: str) -> Any:
    """The value of a payload of ``json`` or ``cbor``.

    Raises:
        BadRequest: it is not what its topic says it is.
    """
    return load_cbor(payload) if serialisation == "cbor" else load_json(payload)
