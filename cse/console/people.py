"""Who uses the console, what he may, and how he proves it (ADR 0023; trust.md R19).

A person is an originator: whatever the console asks of the CSE for him is asked in his name.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from cse.bindings.http_connections import CREDENTIAL
from cse.config import CseConfig
from cse.onem2m.addressing import is_loopback
from cse.onem2m.errors import CseError
from cse.security import Security

#: what a page must send with every change: no form and no page of another origin can, without being asked first
MARK = b"x-onemec-console"
#: a request that came by a proxy
_PROXIED = (b"x-forwarded-for", b"forwarded", b"via")
_FAILURES, _FAILURE_SPAN_S, _ADDRESSES = 5, 60.0, 1000


class Role(IntEnum):
    """What somebody may do in the console; each includes the ones before it."""

    VIEWER = 1  #: look
    OPERATOR = 2  #: create, update, repeat requests
    ADMIN = 3  #: delete, change policies, see what everybody sends

    @property
    def word(self) -> str:
        """Its name for people and programs."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at the console.

    Attributes:
        originator: in whose name the console asks.
        credential: what he proved to be, "" when nothing was asked of him.
        role: what he may do.
        inside: the requests are the CSE's own, because nobody has full access by name (insecure-dev).
        address: of his browser.
        certified: a TLS client certificate proves him, not a token.
    """

    originator: str
    credential: str
    role: Role
    inside: bool = False
    address: str = ""
    certified: bool = False


class Refused(Exception):
    """A request to the console that is not served.

    Args:
        status: of HTTP.
        words: what is wrong and what to do.
        retry_after_s: when to come again, in seconds; 0 leaves it open.
    """

    def __init__(self, status: int, words: str, *, retry_after_s: int = 0) -> None:
        super().__init__(words)
        self.status = status
        self.retry_after_s = retry_after_s


class Throttle:
    """Bounds how often one address may try tokens that are worth nothing.

    Args:
        clock: gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Let an address try.

        Raises:
            Refused: it failed too often within the last minute.
        """
        failed = self._failures.get(address)
        if failed is not None and len(failed) >= _FAILURES:
            left_s = failed[0] + _FAILURE_SPAN_S - self._clock()
            if left_s > 0:
                words = "too many tokens that are worth nothing: wait a minute"
                raise Refused(429, words, retry_after_s=int(left_s) + 1)

    def failed(self, address: str) -> None:
        """An address showed a token that is worth nothing."""
        self._failures.setdefault(address, deque(maxlen=_FAILURES)).append(self._clock())
        self._failures.move_to_end(address)
        if len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)


class Door:
    """Says who asks.

    Args:
        config: of the CSE.
        security: knows the credentials.
        clock: gives monotonic seconds.
    """

    def __init__(self, config: CseConfig, security: Security, clock: Callable[[], float]) -> None:
        self._config, self._security = config, security
        self._throttle = Throttle(clock)

    def person(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Person:
        """Who sends a request.

        Raises:
            Refused: he did not prove who he is, and has to; or a credential is worth nothing or is of no person.
        """
        client = scope["client"]
        address = client[0] if client is not None else ""
        entity: str = scope.get(CREDENTIAL) or ""
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        certified = bool(entity)
        if authorization and not certified:
            entity = self._proved(authorization, address)
        if entity:
            return Person(entity, entity, self._role(entity), address=address, certified=certified)
        if not self._config.insecure_dev:
            words = "say who you are: give the token of a credential"
            if self._security.credentials is None or not len(self._security.credentials):
                words = "nobody has a credential yet: make one with `onemec device add admin --admin`, then log in"
            raise Refused(401, words)
        return self._anybody(address, headers)

    def still(self, person: Person) -> bool:
        """Whether a person is who he was when he was let in, with the same role."""
        if not person.credential:
            return True
        known = self._security.credentials
        if known is None or not known.holds(person.credential):
            return person.certified
        try:
            return self._role(person.credential) is person.role
        except Refused:
            return False

    def _proved(self, authorization: str, address: str) -> str:
        authenticate = self._security.authenticate
        self._throttle.check(address)
        try:
            entity = authenticate(authorization) if authenticate is not None else ""
        except CseError as error:
            self._throttle.failed(address)
            raise Refused(401, error.debug) from error
        if not entity:
            self._throttle.failed(address)
            raise Refused(401, "this is no credential: log in with the token that `onemec device add` printed")
        return entity

    def _role(self, entity: str) -> Role:
        if entity in self._security.admins:
            return Role.ADMIN
        if entity.startswith("/"):
            raise Refused(403, f"{entity} is a CSE and no person: make a credential with `onemec device add <name>`")
        known = self._security.credentials
        word = known.console_role(entity) if known is not None else ""
        return Role[word.upper()] if word else Role.VIEWER

    def _anybody(self, address: str, headers: Mapping[bytes, bytes]) -> Person:
        """Somebody of whom nothing is asked, because this CSE believes everybody (insecure-dev)."""
        host = urlsplit("//" + headers.get(b"host", b"").decode("latin-1")).hostname or ""
        if not is_loopback(host) and not _is_address(host):
            # A page of elsewhere whose name was made to lead here comes with that name.
            raise Refused(403, f"without credentials the console is not shown under the name {host!r}: use an address")
        near = is_loopback(address) or (_is_address(address) and ip_address(address).is_private)
        if not near or any(name in headers for name in _PROXIED):
            raise Refused(403, "without credentials the console is for this machine and its private network only")
        admins = self._security.admins
        if admins:
            return Person(admins[0], "", Role.ADMIN, address=address)
        if not is_loopback(address):
            raise Refused(403, "nobody has full access here: start the CSE with --admin CAdmin")
        return Person(self._config.id, "", Role.ADMIN, inside=True, address=address)


def check_change(scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
    """Refuse a change that a page of another origin could have made somebody's browser send.

    Raises:
        Refused: it does not come from the console itself.
    """
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise Refused(415, "send Content-Type: application/json")
    if MARK not in headers:
        raise Refused(403, "this is for the console itself: send the header X-Onemec-Console: 1")
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != _host(headers):
        raise Refused(403, "a page of another origin may not change anything here")


def check_site(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what a page of another site asks for, as browsers say it.

    Raises:
        Refused: it does.
    """
    if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
        raise Refused(403, "a page of another site may not use the console")


def _host(headers: Mapping[bytes, bytes]) -> str:
    return headers.get(b"host", b"").decode("latin-1").lower()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


__all__ = ["MARK", "Door", "Person", "Refused", "Role", "Throttle", "check_change", "check_site"]
