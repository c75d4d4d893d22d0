"""Where this CSE may send: every address a client can name is decided on when it is connected to (trust.md R4).

Names are resolved once, what may not be reached is dropped, and the connection goes to exactly what was decided on, so
a name that resolves differently a moment later leads nowhere else. IPv6 forms of IPv4 addresses (mapped, compatible,
6to4, NAT64, Teredo) are judged by the address inside too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from cse.bindings.outbound_rules import WORDS, Rules
from cse.ports import Unreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: metadata and control services of clouds: only a network of this one address allows them
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
#: addresses remembered as those of a host that is allowed by name
_REMEMBERED = 1024


class Refused(Unreachable, OSError):
    """This CSE may not send there. The message says why and what allows it, without the address."""


class Guard(Protocol):
    """Decides about every outgoing connection."""

    def check_url(self, url: str) -> None:
        """Refuse a URL that is not one to send to.

        Raises:
            Refused: it may not be used.
        """

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to at a port.

        Raises:
            Refused: there are some, but none may be.
            OSError: the name is unknown.
        """

    async def address(self, host: str, port: int) -> str:
        """The first of ``addresses``."""

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for a connection to an address (as ``getaddrinfo`` has it).

        Raises:
            Refused: not there.
        """


class OutboundGuard:
    """The guard of one CSE.

    Args:
        rules: what is allowed besides public addresses.
        own: the sockets this CSE listens on, which are never sent to: (host, port), wildcards included.
        resolve: ``loop.getaddrinfo``, or a stand-in for it.
    """

    def __init__(
        self,
        rules: Rules,
        own: Callable[[], Sequence[tuple[str, int]]] = tuple,
        resolve: Callable[[str, int], Any] | None = None,
    ) -> None:
        self._rules = rules
        self._own = own
        self._resolve = resolve or _getaddrinfo
        self._named: OrderedDict[tuple[str, int], None] = OrderedDict()

    def check_url(self, url: str) -> None:
        """Refuse what is no plain URL.

        Raises:
            Refused: control characters or a user in it.
        """
        if any(character <= " " or character == "\x7f" for character in url):
            raise Refused("its URL holds spaces or control characters: percent-encode them")
        try:
            parts = urlsplit(url)
            user, host, port = parts.username, parts.hostname or "", parts.port or 0
        except ValueError as error:
            raise Refused("this is no URL: give scheme://host[:port][/path]") from error
        if user is not None and not self._names(host, port):
            raise Refused("its URL holds a user or password: leave them out")

    async def addresses(self, host: str, port: int) -> list[str]:
        """See ``Guard``."""
        found = await self._resolve(host, port)
        named = self._names(host, port)
        allowed: list[str] = []
        reason = ""
        for text in found:
            why_not = self.refusal(text, port, named=named)
            if why_not:
                reason = reason or why_not
            elif text not in allowed:
                allowed.append(text)
                if named:
                    self._remember((text, port))
        if not allowed:
            raise Refused(reason or "its name has no address")
        return allowed

    async def address(self, host: str, port: int) -> str:
        """See ``Guard``."""
        return (await self.addresses(host, port))[0]

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """See ``Guard``."""
        family, kind, protocol, _, where = info
        why_not = self.refusal(where[0], where[1], named=(where[0], where[1]) in self._named)
        if why_not:
            raise Refused(why_not)
        return socket.socket(family, kind, protocol)

    def refusal(self, text: str, port: int, *, named: bool = False) -> str:
        """Why nothing may be sent to an address, "" when it may.

        Args:
            text: an address, with or without zone.
            port: the port meant there.
            named: it belongs to a host that is allowed by name.
        """
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return "this is no address"
        for inner in _unwrapped(address):
            if self._is_own(inner, port):
                return "this is where the CSE itself listens: give the URL of the one who is to be notified"
            if inner.is_multicast or inner.is_unspecified or inner == _BROADCAST:
                return f"{_kind(inner)} addresses are never sent to"
            if self._is_allowed(inner, port) or (named and inner not in _METADATA):
                continue
            if inner in _METADATA or not inner.is_global:
                return f"this CSE may not send to {_kind(inner)} addresses: allow the network or host with --outbound"
        return ""

    def _is_allowed(self, address: Address, port: int) -> bool:
        sensitive = address in _METADATA
        return any(
            address in network and only in (0, port) and (not sensitive or network.num_addresses == 1)
            for network, only in self._rules.networks
            if network.version == address.version
        )

    def _names(self, host: str, port: int) -> bool:
        hosts = self._rules.hosts
        return bool(hosts) and ((host.lower(), 0) in hosts or (host.lower(), port) in hosts)

    def _remember(self, endpoint: tuple[str, int]) -> None:
        self._named[endpoint] = None
        self._named.move_to_end(endpoint)
        if len(self._named) > _REMEMBERED:
            self._named.popitem(last=False)

    def _is_own(self, address: Address, port: int) -> bool:
        for host, own_port in self._own():
            if own_port != port:
                continue
            listening = None
            with contextlib.suppress(ValueError):
                listening = ipaddress.ip_address(host)
            if listening is None or listening.is_unspecified:
                if address.is_unspecified or _is_of_this_machine(address):
                    return True
            elif address == listening or address.is_unspecified:
                return True
        return False


async def pinned(guard: Guard | None, host: str, port: int) -> str:
    """The address to connect to for a host; the host itself without a guard.

    Raises:
        Refused: nothing may be sent there.
        OSError: the name is unknown.
    """
    return host if guard is None else await guard.address(host, port)


async def _getaddrinfo(host: str, port: int) -> list[str]:
    # Numbers in all their spellings (127.1, 0x7f000001) are read at once; only names need the resolver's thread.
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError, OverflowError):
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (ValueError, OverflowError) as error:  # a NUL, a name no resolver takes, a port beyond all bounds
            raise OSError(f"{host!r} is no host name, or {port} no port") from error
    return [_zoned(where) for *_, where in found]


def _zoned(where: Sequence[Any]) -> str:
    text = str(where[0])
    return text if len(where) < 4 or not where[3] or "%" in text else f"{text}%{where[3]}"


_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


def _unwrapped(address: Address) -> Iterator[Address]:
    """An address, or the IPv4 addresses in it: whatever the network may make of it."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif any(address in network for network in _NAT64):
        yield low
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif address in _COMPATIBLE and int(address) > 1:
        yield low
    else:
        yield address


def _kind(address: Address) -> str:
    if address in _METADATA:
        return "cloud metadata"
    for word, networks in WORDS.items():
        if any(address in ipaddress.ip_network(text) for text in networks):
            return word
    return "multicast" if address.is_multicast else "unspecified" if address.is_unspecified else "reserved"


def _is_of_this_machine(address: Address) -> bool:
    """Whether an interface of this machine has the address: then a socket can be bound to it."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
