"""A client names an address, the CSE connects there, or does not: 40 addresses and a canary (trust.md R4, TP-15).

The canary listens on a loopback port over TCP and UDP. In the guarded CSE nothing may arrive there whatever the address
is called; in the control, whose operator allows loopback, the same subscriptions do reach it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cse.app import Cse
from cse.bindings.outbound import OutboundGuard, Refused, _getaddrinfo
from cse.bindings.outbound_rules import parse_rules
from cse.config import load_config, outbound_rules
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status
from cse.ports import Send
from tests.brokers import free_port


class Canary(asyncio.DatagramProtocol):
    """Listens on loopback, over TCP and UDP at one port, and counts who comes."""

    def __init__(self) -> None:
        self.port = free_port()
        self.hits: list[str] = []
        self.redirect = ""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.hits.append(f"udp {data[:20]!r}")

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count a connection, and be gone."""
        self.hits.append("tcp")
        writer.close()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    """The canary on 127.0.0.1 and ::1."""
    made = Canary()
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        for host in ("127.0.0.1", "::1"):
            stack.push_async_callback(_closed, await asyncio.start_server(made.take, host, made.port))
            transport, _ = await loop.create_datagram_endpoint(lambda: made, local_addr=(host, made.port))
            stack.callback(transport.close)
        yield made


async def _closed(server: asyncio.Server) -> None:
    server.close()


async def running(outbound: str, **more: Any) -> Cse:
    """A CSE whose operator allows ``outbound``, ready."""
    options = {"http": "127.0.0.1:0", "insecure_dev": True, "admin": "CAdmin", "request_timeout_s": 1.0}
    cse = Cse(load_config({**options, "outbound": outbound, **more}))
    await cse.start()
    return cse


@pytest.fixture
async def guarded() -> AsyncIterator[Cse]:
    """A CSE that may send to public addresses only."""
    cse = await running("public", coap="127.0.0.1:0")
    yield cse
    await cse.stop()


#: addresses by which a client may name this machine, its network or its cloud; {p} is the port of the canary
HOSTS = [
    "127.0.0.1:{p}",
    "127.1:{p}",
    "127.0.0.2:{p}",
    "2130706433:{p}",
    "0x7f000001:{p}",
    "0x7f.0.0.1:{p}",
    "0177.0.0.1:{p}",
    "0:{p}",
    "0.0.0.0:{p}",
    "[::1]:{p}",
    "[::]:{p}",
    "[0:0:0:0:0:0:0:1]:{p}",
    "[::ffff:127.0.0.1]:{p}",
    "[::ffff:7f00:1]:{p}",
    "[::127.0.0.1]:{p}",
    "[64:ff9b::7f00:1]:{p}",
    "[64:ff9b:1::7f00:1]:{p}",
    "[2002:7f00:1::]:{p}",
    "[2001:0:7f00:1::80ff:fffe]:{p}",
    "localhost:{p}",
    "LOCALHOST:{p}",
    "127.0.0.1.:{p}",
    "１２７.0.0.1:{p}",
    "169.254.169.254:{p}",
    "[fe80::1%25lo]:{p}",
    "[fd00:ec2::254]:{p}",
    "100.100.100.200:{p}",
    "224.0.0.1:{p}",
    "[ff02::1]:{p}",
    "255.255.255.255:{p}",
    "10.0.0.1:{p}",
    "192.168.0.1:{p}",
    "user:secret@127.0.0.1:{p}",
    "example.org@127.0.0.1:{p}",
]
#: whole URLs that are no address of anybody
URLS = [
    "file:///etc/passwd",
    "gopher://127.0.0.1:{p}/",
    "unix:///var/run/docker.sock",
    "http://127.0.0.1:{p}/\r\nX-Injected: 1",
    "http://127.0.0.1:{p}\\@example.org/",
    "http:///127.0.0.1:{p}/",
]
SCHEMES = ("http", "ws", "coap", "mqtt")


def targets(port: int) -> Iterator[str]:
    """Every address in every scheme, and the URLs."""
    for host in HOSTS:
        for scheme in SCHEMES:
            yield f"{scheme}://{host.format(p=port)}/x"
    for url in URLS:
        yield url.format(p=port)


async def subscribe(cse: Cse, number: int, target: str) -> Status:
    """Subscribe somebody, who may be anywhere, to the CSEBase; what came of it."""
    content = {"m2m:sub": {"rn": f"s{number}", "nu": [target], "enc": {"net": [3]}}}
    request = Request(Operation.CREATE, "cse-in", "CAdmin", f"r{number}", 23, content, "3")
    return (await cse.serve(request)).status


def test_there_are_forty_addresses() -> None:
    assert len(HOSTS) + len(URLS) == 40


async def test_no_subscription_makes_the_cse_connect_to_this_machine(guarded: Cse, canary: Canary) -> None:
    wanted = list(targets(canary.port))
    answers = await asyncio.gather(*(subscribe(guarded, number, url) for number, url in enumerate(wanted)))
    refused = {Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED, Status.BAD_REQUEST}
    assert {url: answer for url, answer in zip(wanted, answers, strict=True) if answer not in refused} == {}
    assert canary.hits == []


async def test_no_point_of_access_makes_the_cse_connect_to_this_machine(guarded: Cse, canary: Canary) -> None:
    """What is sent to an AE goes to its poa without a verification before."""
    request = Request(Operation.NOTIFY, "Cae", "/id-in", "n", content={"m2m:sgn": {}})
    sends = [Send(request, (url,), receiver="Cae", timeout_s=1.0) for url in targets(canary.port)]
    assert set(await asyncio.gather(*(guarded.delivery.ask(send) for send in sends))) == {None}
    assert canary.hits == []


async def test_the_canary_sings_when_the_operator_allows_loopback(canary: Canary) -> None:
    """The control: the same addresses do reach it, over each scheme."""
    cse = await running("loopback")
    try:
        for number, scheme in enumerate(SCHEMES):
            before = len(canary.hits)
            await subscribe(cse, number, f"{scheme}://127.0.0.1:{canary.port}/x")
            if scheme != "mqtt":  # that binding is off here
                assert len(canary.hits) > before, scheme
        for number, host in enumerate(("127.1", "2130706433", "localhost", "[::ffff:127.0.0.1]"), 10):
            before = len(canary.hits)
            await subscribe(cse, number, f"ws://{host}:{canary.port}/x")
            assert len(canary.hits) > before, host
    finally:
        await cse.stop()


async def test_another_broker_is_guarded_too(canary: Canary, mosquitto_url: str) -> None:
    """The own broker was named by the operator and is used; no other one on this machine is."""
    cse = await running("public", mqtt=mosquitto_url, id=f"/id-ssrf{free_port()}")
    try:
        request = Request(Operation.NOTIFY, "Cae", cse.config.id, "n", content={"m2m:sgn": {}})
        for host in ("127.0.0.1", "localhost", "[::1]"):
            send = Send(request, (f"mqtt://{host}:{canary.port}",), receiver="Cae", timeout_s=1.0)
            assert await cse.delivery.ask(send) is None
        assert canary.hits == []
        own = cse.config.id[1:]
        for topic in (f"/oneM2M/req/CVictim/{own}/json", f"/oneM2M/req/{own}/{own}/json", "/oneM2M/resp/Ca/id-b/json"):
            send = Send(request, (f"{mosquitto_url}/{topic}",), timeout_s=1.0)
            assert await cse.delivery.ask(send) is None, topic
        send = Send(request, (f"{mosquitto_url}//plain/topic",), timeout_s=5.0)
        assert await cse.delivery.ask(send) is not None
    finally:
        await cse.stop()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed(canary: Canary, status: int) -> None:
    seen: list[bytes] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        location = f"http://127.0.0.1:{canary.port}/"
        writer.write(f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cse = await running(f"127.0.0.1:{port}")
    try:
        assert await subscribe(cse, 1, f"http://127.0.0.1:{port}/") is not Status.CREATED
        assert len(seen) == 1
        assert canary.hits == []
    finally:
        await cse.stop()
        server.close()


async def test_a_name_that_answers_twice_leads_only_where_it_was_decided_to(canary: Canary) -> None:
    """Rebinding: the second answer of the name is never asked for; with two addresses, only the allowed one counts."""
    answers = [["203.0.113.7", "127.0.0.1"], ["127.0.0.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    guard = OutboundGuard(parse_rules(["203.0.113.0/24"]), resolve=resolve)
    assert await guard.addresses("two.example", 80) == ["203.0.113.7"]
    with pytest.raises(Refused, match="loopback"):
        await guard.address("two.example", 80)
    with pytest.raises(Refused, match="loopback"):
        guard.socket((2, 1, 6, "", ("127.0.0.1", canary.port)))


async def test_the_cse_never_sends_to_where_it_listens() -> None:
    """Not even when the operator allows loopback: a request of its own would carry its own rights."""
    cse = await running("loopback", coap="127.0.0.1:0")
    try:
        for number, (scheme, url) in enumerate(cse.addresses().items()):
            assert await subscribe(cse, number, f"{url}/cse-in") is not Status.CREATED, scheme
            host = url.replace("127.0.0.1", "127.1")
            assert await subscribe(cse, 100 + number, f"{host}/cse-in") is not Status.CREATED, scheme
        assert not cse.requests.counts().get(("http", 5, 0, 2000))
    finally:
        await cse.stop()


def test_what_is_listened_on_by_wildcard_is_known_by_every_address_of_this_machine() -> None:
    guard = OutboundGuard(parse_rules(["loopback", "private"]), lambda: [("0.0.0.0", 8080)])
    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert "itself listens" in guard.refusal(address, 8080), address
        assert guard.refusal(address, 8081) == "", address
    assert guard.refusal("10.255.255.254", 8080) == ""


@pytest.mark.parametrize(
    ("options", "address", "allowed"),
    [
        ({"insecure_dev": True}, "127.0.0.1", True),
        ({"insecure_dev": True}, "192.168.1.9", True),
        ({"insecure_dev": True}, "169.254.169.254", False),
        ({"insecure_dev": True, "outbound": "public"}, "127.0.0.1", False),
        ({"http": "127.0.0.1:8080"}, "127.0.0.1", True),
        ({"http": "127.0.0.1:8080"}, "192.168.1.9", False),
        ({"outbound": "192.168.1.0/24"}, "192.168.1.9", True),
        ({"outbound": "192.168.1.0/24"}, "192.168.2.9", False),
        ({"outbound": "192.168.1.9:81"}, "192.168.1.9", False),
        ({"outbound": "192.168.1.9:80"}, "192.168.1.9", True),
        ({"outbound": "169.254.0.0/16"}, "169.254.169.254", False),
        ({"outbound": "169.254.169.254"}, "169.254.169.254", True),
        ({"outbound": "private"}, "93.184.216.34", True),
        ({"type": "MN", "outbound": "public", "registrar": "http://10.1.1.1"}, "10.1.1.1", True),
    ],
)
def test_the_profile_and_the_operator_say_what_is_allowed(options: dict[str, Any], address: str, allowed: bool) -> None:
    base = {"id": "/id-x", "name": "cse-x"}
    guard = OutboundGuard(outbound_rules(load_config({**base, **options})))
    assert (guard.refusal(address, 80) == "") is allowed, guard.refusal(address, 80)


async def test_a_host_may_be_allowed_by_name() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return {"sensor.lan": ["192.168.7.7"], "meta.lan": ["169.254.169.254"]}[host]

    guard = OutboundGuard(parse_rules(["sensor.lan:8000", "meta.lan"]), resolve=resolve)
    assert await guard.addresses("sensor.lan", 8000) == ["192.168.7.7"]
    guard.socket((2, 1, 6, "", ("192.168.7.7", 8000))).close()
    with pytest.raises(Refused):
        await guard.addresses("sensor.lan", 22)
    with pytest.raises(Refused):
        await guard.addresses("meta.lan", 80)


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "http://x", "a b", "", "1.2.3.4/24/8"])
def test_a_wrong_allow_list_is_said_at_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="nothing to send to"):
        parse_rules([entry])


@pytest.mark.parametrize(("host", "port"), [("a\0b", 80), ("a" * 70, 80), ("\udcff", 80), ("localhost", 1 << 70)])
async def test_what_no_resolver_takes_is_an_unknown_name(host: str, port: int) -> None:
    with pytest.raises(OSError, match=r"no host name|not known|resolution|hostname"):
        await _getaddrinfo(host, port)
