"""No CoAP answer makes much of a small question of somebody who may not be there (RFC 9175 clause 2; trust.md R14).

As long as an endpoint has not returned an Echo, it gets at most three times the bytes it sent. A RETRIEVE whose answer
is larger is answered 4.01 with an Echo to be returned; of anything else, which was executed and must not be again, only
the content is left out.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from cse.bindings.coap_exchange import Exchange, Peer
from cse.bindings.coap_message import ECHO, EMPTY, GET, Message, code, encode

_UNAUTHORISED, _SUCCESS = code("4.01"), range(2 << 5, 3 << 5)
_WORDS = b"send again with this Echo option (RFC 9175)"
_TAG_BYTES = 8


@dataclass(frozen=True, slots=True)
class EchoLimits:
    """Who must prove to be there, and for how long that holds.

    Attributes:
        factor: an answer to somebody unproven has at most so many times the bytes of the request; 0: nobody must prove.
        fresh_s: how long an Echo may be returned.
        valid_s: how long an endpoint that returned one is believed to be there.
        remembered: most such endpoints.
        loopback: addresses of this machine must prove it too; nobody elsewhere can pretend to be one.
    """

    factor: int = 3
    fresh_s: float = 60.0
    valid_s: float = 600.0
    remembered: int = 10_000
    loopback: bool = False


class EchoGate:
    """Knows who is there.

    Args:
        limits: see there.
    """

    def __init__(self, limits: EchoLimits) -> None:
        self._limits = limits
        self._secret = secrets.token_bytes(32)
        self._there: OrderedDict[Peer, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._there)

    def hear(self, peer: Peer, message: Message, now_s: float) -> bool:
        """Whether somebody is known to be there, perhaps by the Echo of this message.

        Args:
            peer: the endpoint it came from.
            message: a request.
            now_s: monotonic seconds.
        """
        limits = self._limits
        if not limits.factor or (not limits.loopback and _is_loopback(str(peer[0]))):
            return True
        until_s = self._there.get(peer)
        if until_s is not None:
            if until_s > now_s:
                return True
            del self._there[peer]
        value = message.option(ECHO)
        if value is None or len(value) != 4 + _TAG_BYTES:
            return False
        made_s = int.from_bytes(value[:4], "big")
        if not 0 <= int(now_s) - made_s <= limits.fresh_s or not hmac.compare_digest(value, self.value(peer, made_s)):
            return False
        self._there[peer] = now_s + limits.valid_s
        if len(self._there) > limits.remembered:
            self._there.popitem(last=False)
        return True

    def value(self, peer: Peer, now_s: float) -> bytes:
        """The Echo for an endpoint: when it was made, and proof that we made it for this endpoint."""
        when = int(now_s).to_bytes(4, "big")
        return when + hmac.digest(self._secret, repr(peer[:2]).encode() + when, sha256)[:_TAG_BYTES]

    def shorten(self, exchange: Exchange, answer: Message, now_s: float) -> Message | None:
        """What may be sent of an answer to somebody who is perhaps not there; None: only an acknowledgement.

        Args:
            exchange: the request.
            answer: the whole answer.
            now_s: monotonic seconds.
        """
        most = self._limits.factor * exchange.size_bytes
        if _size(exchange, answer) <= most:
            return answer
        shorter: list[Message] = []
        if exchange.message.code == GET and answer.code in _SUCCESS:
            echo = [(ECHO, self.value(exchange.peer, now_s))]
            shorter = [Message(_UNAUTHORISED, options=echo, payload=text) for text in (_WORDS, b"")]
        elif answer.code not in _SUCCESS:
            shorter = [Message(answer.code, options=answer.options, payload=b"")]
        shorter += [Message(answer.code, options=_without_block(answer)), Message(answer.code)]
        return next((message for message in shorter if _size(exchange, message) <= most), None)


def _without_block(answer: Message) -> list[tuple[int, bytes]]:
    """The options of an answer whose payload is left out: nothing of its format and blocks (12, 23, 28)."""
    return [option for option in answer.options if option[0] not in (12, 23, 28)]


def _size(exchange: Exchange, message: Message) -> int:
    sized = Message(message.code or EMPTY, 2, 0, exchange.message.token, message.options, message.payload)
    return len(encode(sized))


def _is_loopback(host: str) -> bool:
    return host.startswith(("127.", "::ffff:127.")) or host in ("::1", "localhost")
