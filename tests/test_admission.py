"""What one party may take of a CSE: rates and requests in flight, and how a refusal looks on each binding (R7)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
import pytest

from cse.admission import Admission, AdmissionLimits
from cse.app import Cse
from cse.bindings.coap_codec import encode_request
from cse.bindings.coap_message import Message, decode, dotted, encode
from cse.config import load_config
from cse.onem2m.errors import Overloaded
from cse.onem2m.primitives import Operation, Request

NOW = [0.0]


def asking(address: str = "192.0.2.1", credential: str = "", to: str = "cse-in") -> Request:
    """A request of a party."""
    request = Request(Operation.RETRIEVE, to, "Cx", "1", release="3")
    request.peer_address, request.credential = address, credential
    return request


def admission(**limits: Any) -> Admission:
    NOW[0] = 100.0
    return Admission(AdmissionLimits(**limits), lambda: NOW[0])


def passes(admission: Admission, request: Request, times: int = 1) -> int:
    """How many of so many equal requests, one after the other, are let in."""
    admitted = 0
    for _ in range(times):
        with contextlib.suppress(Overloaded), admission.admit(request):
            admitted += 1
    return admitted


def test_a_rate_with_a_burst() -> None:
    limited = admission(rate_per_s=10, burst_s=2)
    assert passes(limited, asking(), 100) == 20
    assert limited.refused == 80
    NOW[0] += 1
    assert passes(limited, asking(), 100) == 10
    NOW[0] += 3600
    assert passes(limited, asking(), 100) == 20


def test_parties_do_not_pay_for_each_other() -> None:
    limited = admission(rate_per_s=1, burst_s=5)
    assert passes(limited, asking("192.0.2.1"), 50) == 5
    assert passes(limited, asking("192.0.2.2"), 50) == 5
    assert passes(limited, asking("192.0.2.1", credential="Clamp"), 50) == 5
    assert passes(limited, asking("192.0.2.9", credential="Clamp"), 50) == 0


def test_this_machine_is_one_address_for_many() -> None:
    assert passes(admission(rate_per_s=1), asking("127.0.0.1"), 50) == 50
    assert passes(admission(rate_per_s=1), asking(""), 50) == 50
    assert passes(admission(rate_per_s=1, burst_s=5), asking("127.0.0.1", credential="Clamp"), 50) == 5
    assert passes(admission(rate_per_s=1, burst_s=5, loopback=True), asking("127.0.0.1"), 50) == 5


def test_no_rate_is_no_bound() -> None:
    assert passes(admission(rate_per_s=0), asking(), 5000) == 5000


def test_requests_in_flight_are_bounded_and_their_places_come_back() -> None:
    limited = admission(in_flight=3, in_flight_total=5, rate_per_s=0)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(limited.admit(asking("192.0.2.1")))
        with pytest.raises(Overloaded, match="3 of your requests"), limited.admit(asking("192.0.2.1")):
            pass
        for number in range(2):
            stack.enter_context(limited.admit(asking(f"192.0.2.{number + 2}")))
        with pytest.raises(Overloaded, match="too many"), limited.admit(asking("192.0.2.7")):
            pass
        with limited.admit(asking("192.0.2.7", to="cse-in/ae/pch/pcu")):
            assert limited.in_flight == 5
    assert limited.in_flight == 0
    assert passes(limited, asking("192.0.2.1")) == 1


def test_polls_take_no_place_but_count_for_the_rate() -> None:
    limited = admission(rate_per_s=1, burst_s=5, in_flight=1)
    polls = asking(to="cse-in/ae/pch/pcu")
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(limited.admit(polls))
        with pytest.raises(Overloaded, match="a second"), limited.admit(polls):
            pass


def test_what_is_remembered_of_parties_is_bounded() -> None:
    limited = admission(rate_per_s=1)
    for number in range(20_000):
        passes(limited, asking(f"10.0.{number // 250}.{number % 250}"))
    assert len(limited._allowances) <= 10_000
    assert not limited._running


@pytest.fixture
async def strict_cse() -> Any:
    """A CSE that takes two requests a second, also from this machine."""
    cse = Cse(load_config({"http": "127.0.0.1:0", "coap": "127.0.0.1:0", "insecure_dev": True, "admin": "CAdmin"}))
    cse.admission = Admission(AdmissionLimits(rate_per_s=0.01, burst_s=200, loopback=True), lambda: 1.0)
    await cse.start()
    yield cse
    await cse.stop()


async def test_over_http_it_is_503_with_the_time_to_come_again(strict_cse: Cse) -> None:
    url = f"{strict_cse.addresses()['http']}/cse-in"
    headers = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "r1", "X-M2M-RVI": "3"}
    seen = []
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(3):
            async with session.get(url) as answer:
                seen.append(answer.status)
                body = json.loads(await answer.read())
    assert seen == [200, 200, 503]
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["X-M2M-RI"] == "r1"
    assert "X-M2M-RSC" not in answer.headers
    assert "requests a second" in body["m2m:dbg"]


async def test_over_coap_it_is_503_with_max_age(strict_cse: Cse) -> None:
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            answers.put_nowait(data)

    host, _, port = strict_cse.addresses()["coap"].removeprefix("coap://").rpartition(":")
    transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(host, int(port)))
    seen: list[Message] = []
    try:
        for number in range(3):
            message = encode_request(Request(Operation.RETRIEVE, "cse-in", "CAdmin", "r", release="3"), path=["cse-in"])
            message.message_id, message.token = number, bytes([number])
            transport.sendto(encode(message))
            seen.append(decode(await asyncio.wait_for(answers.get(), 15)))
    finally:
        transport.close()
    assert [dotted(message.code) for message in seen] == ["2.05", "2.05", "5.03"]
    assert seen[-1].option(14) is not None


async def test_over_a_websocket_it_is_4008(strict_cse: Cse) -> None:
    url = strict_cse.addresses()["ws"]
    seen = []
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(url, protocols=["oneM2M.json"], headers={"X-M2M-Origin": "CAdmin"})
        for number in range(3):
            request = {"op": 2, "to": "cse-in", "fr": "CAdmin", "rqi": f"r{number}", "rvi": "3"}
            await socket.send_str(json.dumps(request))
            seen.append(json.loads((await socket.receive(timeout=15)).data)["rsc"])
        await socket.close()
    assert seen == [2000, 2000, 4008]
