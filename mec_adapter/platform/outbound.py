"""Where the platform may call out to: a rule on addresses that also holds after names are resolved."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressRule = Callable[[Address], bool]


class CallbackRefused(Exception):
    """The URI leads to an address that the platform may not call."""


def address_rule(networks: Sequence[str], loopback: bool) -> AddressRule:
    """Return which addresses may be called.

    Args:
        networks: allowed networks; empty allows every unicast address that is not link-local.
        loopback: whether loopback is allowed when no networks are given.
    """
    allowed = [ipaddress.ip_network(network) for network in networks]

    def permits(address: Address) -> bool:
        plain: Address = address
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            plain = address.ipv4_mapped
        if allowed:
            return any(plain in network for network in allowed if network.version == plain.version)
        if plain.is_multicast or plain.is_unspecified or plain.is_link_local or plain.is_reserved:
            return False
        return loopback or not plain.is_loopback

    return permits


def check_uri(uri: str, rule: AddressRule) -> None:
    """Refuse literal addresses that the rule forbids; names are checked when they are resolved.

    Raises:
        CallbackRefused: the URI leads where the platform may not call.
    """
    host = urlsplit(uri).hostname or ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    if not rule(address):
        raise CallbackRefused(f"callbacks may not go to {host} (callback_networks)")


class _GuardedResolver(AbstractResolver):
    """Resolves names, and returns only addresses that the rule permits; the connection then uses exactly these."""

    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results = [
            ResolveResult(hostname=host, host=str(where[0]), port=port, family=kind, proto=proto, flags=0)
            for kind, _, proto, _, where in found
            if self._rule(ipaddress.ip_address(str(where[0]).partition("%")[0]))
        ]
        if not results:
            raise OSError(None, f"{host} has no address that callbacks may go to (callback_networks)")
        return results

    async def close(self) -> None:
        """Nothing is held."""


def guarded_session(rule: AddressRule, timeout_s: float) -> aiohttp.ClientSession:
    """Return an HTTP client that connects only to addresses the rule permits; literal ones need `check_uri` before.

    Args:
        rule: which addresses.
        timeout_s: for a whole exchange.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=_GuardedResolver(rule), limit=64, use_dns_cache=False),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )
