"""Ports of the stack: the documented ones, those somebody chose, or free ones where the documented are taken."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
#: below the ports that the kernel gives to outgoing connections, so that a part finds its port free again after a kill
_FREE_RANGE = (18000, 32000)
_ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class PortUse:
    """One listener of the stack.

    Attributes:
        name: short name.
        default: the documented port.
        title: who listens there.
        udp: a UDP port (CoAP).
    """

    name: str
    default: int
    title: str
    udp: bool = False

    @property
    def option(self) -> str:
        """The option of ``onemec up`` that chooses it."""
        return f"--{self.name}-port"


USES = (
    PortUse("cloud", 8080, "cloud IN-CSE, HTTP"),
    PortUse("edge", 8081, "edge CSE, HTTP"),
    PortUse("coap", 5683, "edge CSE, CoAP", udp=True),
    PortUse("adapter", 8082, "adapter"),
    PortUse("mep", 8090, "MEC platform"),
    PortUse("broker", 1883, "embedded MQTT broker"),
)


class PortInUse(Exception):
    """A port somebody chose cannot be used; the message is one line that says what to do."""


def is_free(port: int, *, udp: bool = False) -> bool:
    """Whether a port of 127.0.0.1 can be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        if not udp:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            if not udp:
                probe.listen()
        except OSError:
            return False
    return True


def a_free_port(*, udp: bool = False, taken: Iterable[int] = (), chance: random.Random | None = None) -> int:
    """A free port that is none of ``taken``.

    Raises:
        PortInUse: there is none to be found.
    """
    chosen, avoided = chance or random.Random(), set(taken)
    for _ in range(_ATTEMPTS):
        port = chosen.randint(*_FREE_RANGE)
        if port not in avoided and is_free(port, udp=udp):
            return port
    raise PortInUse(f"no free port of 127.0.0.1 between {_FREE_RANGE[0]} and {_FREE_RANGE[1]} was found")


def choose_ports(chosen: Mapping[str, int | None]) -> dict[str, int]:
    """A port for every listener.

    Args:
        chosen: by name: a port that has to be used, 0 for any free one, None for the documented one if it is free.

    Raises:
        PortInUse: a chosen port is taken.
    """
    ports: dict[str, int] = {}
    for use in USES:
        wanted = chosen.get(use.name)
        if wanted and (wanted in ports.values() or not is_free(wanted, udp=use.udp)):
            raise PortInUse(
                f"port {wanted} is in use ({use.title}): stop what uses it, give {use.option} another one, "
                f"or 0 for any free one"
            )
        port = use.default if wanted is None else wanted
        if not port or port in ports.values() or not is_free(port, udp=use.udp):
            port = a_free_port(udp=use.udp, taken=ports.values())
        ports[use.name] = port
    return ports
