"""Which MQTT broker the stack uses: the one it is told, the one that runs on this machine, or its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from onemec.stack.parts import ADMIN, EDGE_ID, IN_ID

DEFAULT_URL = "mqtt://127.0.0.1:1883"
#: asks for a broker of our own even where another one runs
EMBEDDED = "embedded"
_ANSWER_S = 0.8


class BrokerTrouble(Exception):
    """The broker that was asked for cannot be used; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker to use.

    Attributes:
        url: where it is; "" for one of our own, whose port is chosen with the others.
        remark: what to tell about the choice, "" for nothing.
    """

    url: str
    remark: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the stack has to start it."""
        return not self.url


async def choose_broker(wanted: str) -> Broker:
    """The broker to use.

    Args:
        wanted: its URL, ``embedded``, or "" to take the one on port 1883 when it answers.

    Raises:
        BrokerTrouble: the broker at ``wanted`` does not answer, or carries another stack.
    """
    if wanted == EMBEDDED:
        return Broker("")
    from onemec.broker import find_broker

    url = wanted or DEFAULT_URL
    if not url.startswith(("mqtt://", "mqtts://")):
        raise BrokerTrouble(f"--mqtt-url {url!r}: write mqtt://host:port, or {EMBEDDED} for a broker of our own")
    if not await find_broker(url):
        if not wanted:
            return Broker("")
        raise BrokerTrouble(
            f"no MQTT broker answers at {url}: start it, correct --mqtt-url, or leave the option out to use our own"
        )
    other = await _stack_on(url)
    if not other:
        return Broker(url)
    if not wanted:
        return Broker("", f"the broker at {url} carries another {other}: using one of our own")
    raise BrokerTrouble(
        f"the broker at {url} carries another {other}: stop that stack, or keep apart with a topic prefix "
        f"({url.rstrip('/')}/second) or --mqtt-url {EMBEDDED}"
    )


async def _stack_on(url: str) -> str:
    """A CSE with one of our CSE-IDs that answers over a broker, "" when there is none."""
    answers = await asyncio.gather(*(_answers(url, cse_id) for cse_id in (EDGE_ID, IN_ID)))
    return next((f"CSE {cse_id}" for cse_id, there in zip((EDGE_ID, IN_ID), answers, strict=True) if there), "")


async def _answers(url: str, cse_id: str) -> bool:
    from cse.client import Client, RequestFailed, Unreachable

    try:
        async with Client(url, cse_id=cse_id, originator=f"{ADMIN}-{cse_id[1:]}", timeout_s=_ANSWER_S) as client:
            await client.cse_base()
    except Unreachable:
        return False
    except RequestFailed:
        pass
    return True
