"""Ports: can the CSE listen where it is told to, and if not, who does?"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from onemec.doctor.findings import Finding, ok, problem, skipped

if TYPE_CHECKING:
    from cse.config import CseConfig

#: state of a listening TCP socket, and of a UDP socket that is bound, in /proc/net
_LISTENING, _BOUND = "0A", "07"


def look_at_ports(config: CseConfig, running_pids: set[int]) -> Iterator[Finding]:
    """Each address the CSE is to listen on.

    Args:
        config: of the CSE.
        running_pids: gets the processes that hold a port and look like a CSE of ours.
    """
    from cse.config import split_address

    for name, address, udp in (
        ("http", config.http, False), ("coap", config.coap, True), ("coaps", config.coaps, True),
    ):  # fmt: skip
        if address:
            host, port = split_address(address)
            yield look_at_port(f"port {name}", host, port, udp=udp, option=f"--{name}", running_pids=running_pids)


def look_at_port(check: str, host: str, port: int, *, udp: bool, option: str, running_pids: set[int]) -> Finding:
    """Whether somebody can listen on a port.

    Args:
        check: name of the finding.
        host: name or address.
        port: number; 0 takes a free one.
        udp: UDP, not TCP.
        option: that gives another address.
        running_pids: see ``look_at_ports``.
    """
    where = f"{host}:{port}/{'udp' if udp else 'tcp'}"
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, number) as probe:
            if not udp:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            if not udp:
                probe.listen()
    except socket.gaierror as error:
        return problem(check, f"{host} is no address: {error.strerror}", f"give another with {option}")
    except OSError as error:
        return _not_free(check, where, port, udp, option, error, running_pids)
    return ok(check, f"{where} is free")


def _not_free(
    check: str, where: str, port: int, udp: bool, option: str, error: OSError, running_pids: set[int]
) -> Finding:
    if error.errno == errno.EADDRINUSE:
        pid = process_at(port, udp=udp)
        words = command_of(pid) if pid else ""
        if pid and _is_ours(words):
            running_pids.add(pid)
            return skipped(check, f"{where} is used by a CSE that runs (pid {pid}: {words})")
        who = f"by pid {pid}: {words}" if pid else "by a process of another user or container"
        return problem(check, f"{where} is used {who}", f"stop it (kill {pid or 'PID'}), or give another with {option}")
    if error.errno == errno.EACCES:
        return problem(check, f"{where} needs privileges: ports below 1024 do", f"give one above with {option}")
    if error.errno == errno.EADDRNOTAVAIL:
        return problem(check, f"{where}: this machine does not have that address", f"give one it has with {option}")
    return problem(check, f"{where}: {error.strerror}", f"give another with {option}")


def _is_ours(words: str) -> bool:
    parts = words.split()
    return any(part.endswith("onemec") for part in parts) and not {"cse", "up"}.isdisjoint(parts)


def process_at(port: int, *, udp: bool = False) -> int | None:
    """The process that listens on a port, where this user may see it; None otherwise."""
    inodes = set()
    for table in ("udp", "udp6") if udp else ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == (_BOUND if udp else _LISTENING) and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for name in os.listdir("/proc"):
        if name.isdigit() and _holds(f"/proc/{name}/fd", inodes):
            return int(name)
    return None


def _holds(folder: str, inodes: set[str]) -> bool:
    try:
        names = os.listdir(folder)
    except OSError:  # of another user, or gone
        return False
    for name in names:
        try:
            if os.readlink(f"{folder}/{name}") in inodes:
                return True
        except OSError:  # closed meanwhile
            continue
    return False


def command_of(pid: int) -> str:
    """The command line of a process, cut to what fits a line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return "?"
    return words if len(words) < 120 else words[:117] + "..."
