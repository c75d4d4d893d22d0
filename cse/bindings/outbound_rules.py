"""What an operator allows this CSE to send to besides public addresses (trust.md R4): read, not yet decided on."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: words an allow list knows besides networks and hosts
LOOPBACK, PRIVATE, LINK_LOCAL = "loopback", "private", "link-local"
WORDS: dict[str, tuple[str, ...]] = {
    "public": (),
    LOOPBACK: ("127.0.0.0/8", "::1/128"),
    PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    LINK_LOCAL: ("169.254.0.0/16", "fe80::/10"),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator allows besides public addresses.

    Attributes:
        networks: networks, each with the only port that is meant, 0 for any.
        hosts: host names in small letters with the only port that is meant, 0 for any.
    """

    networks: tuple[tuple[Network, int], ...] = ()
    hosts: frozenset[tuple[str, int]] = field(default_factory=frozenset)


def parse_rules(entries: Iterable[str]) -> Rules:
    """The rules of an allow list.

    Args:
        entries: ``public`` (nothing more), ``loopback``, ``private``, ``link-local``, a network
            (``192.168.1.0/24``), an address, or a host name; each but the words may end in
            ``:port`` (IPv6 in brackets then).

    Raises:
        ValueError: an entry is none of these.
    """
    networks: list[tuple[Network, int]] = []
    hosts: set[tuple[str, int]] = set()
    for entry in entries:
        if entry in WORDS:
            networks += [(ipaddress.ip_network(text), 0) for text in WORDS[entry]]
            continue
        text, port = _with_port(entry)
        try:
            networks.append((ipaddress.ip_network(text, strict=False), port))
        except ValueError as error:
            if not text or "/" in text or not text.replace("-", "").replace(".", "").replace("_", "").isalnum():
                raise ValueError(
                    f"{entry!r} is nothing to send to: write loopback, private, 192.168.1.0/24, a host or host:port"
                ) from error
            hosts.add((text.lower(), port))
    return Rules(tuple(networks), frozenset(hosts))


def _with_port(entry: str) -> tuple[str, int]:
    if entry.startswith("["):
        text, _, port = entry[1:].partition("]")
        return text, int(port[1:]) if port[1:].isdigit() else 0
    text, colon, port = entry.rpartition(":")
    if colon and ":" not in text and port.isdigit():
        return text, int(port)
    return entry, 0
