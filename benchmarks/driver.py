"""The other end of the load generator process: sends it jobs, and reads what the server's processes cost meanwhile."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.processes import BenchError, cpu_seconds, python_path
from benchmarks.tally import Sample

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Attributes:
        seconds: of one run.
        warm_up_s: before it.
        count: so many requests instead, 0 for by time.
        rate_per_s: most requests a second, 0 for as fast as answers come.
    """

    seconds: float = 2.0
    warm_up_s: float = 0.3
    count: int = 0
    rate_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A sample and what it cost the server.

    Attributes:
        sample: what the generator counted.
        cpu_us: processor time of the server per right answer in microseconds, 0.0 when not known.
    """

    sample: Sample
    cpu_us: float


class Generator:
    """The load generator process; use as a context."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": python_path()},
        )
        # Numbers are not used again by the next run within minutes: a CSE recognises what comes twice.
        self._next = int(time.time()) % 9000 * 1_000_000 + 1
        self._sink_port = 0

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def sink_port(self) -> int:
        """Where its notification target listens (127.0.0.1)."""
        if not self._sink_port:
            self._sink_port = int(self._ask({"kind": "sink"})["port"])
        return self._sink_port

    def http(
        self,
        address: Address,
        templates: Sequence[bytes],
        *,
        clients: int,
        expected: dict[str, Any],
        effort: Effort,
        notified: str = "",
        pids: Sequence[int] = (),
        first: int = 0,
    ) -> Measured:
        """Drive HTTP.

        Args:
            address: of the server.
            templates: pre-encoded requests, used in turn.
            clients: connections with one request in flight each.
            expected: fields of ``load_http.Expected``.
            effort: how long.
            notified: "wait": the next request waits for the notification of the last; "count": all must come at last.
            pids: processes whose time is counted.
            first: number of the first request, when it matters.
        """
        job = {"kind": "http", "expected": expected, "notified": notified}
        return self._measure(job, address, templates, clients, effort, pids, first)

    def coap(
        self,
        address: Address,
        template: bytes,
        *,
        clients: int,
        effort: Effort,
        code: int,
        pids: Sequence[int] = (),
    ) -> Measured:
        """Drive CoAP; ``code`` is the response code on the wire that is right."""
        return self._measure({"kind": "coap", "code": code}, address, [template], clients, effort, pids, 0)

    def mqtt(
        self,
        address: Address,
        template: bytes,
        *,
        clients: int,
        effort: Effort,
        topics: tuple[str, str],
        pids: Sequence[int] = (),
    ) -> Measured:
        """Drive a CSE through the broker at ``address``."""
        job = {"kind": "mqtt", "rsc": 2001, "topics": list(topics)}
        return self._measure(job, address, [template], clients, effort, pids, 0)

    def _measure(
        self,
        job: dict[str, Any],
        address: Address,
        templates: Sequence[bytes],
        clients: int,
        effort: Effort,
        pids: Sequence[int],
        first: int,
    ) -> Measured:
        job |= {
            "host": address[0],
            "port": address[1],
            "templates": [base64.b64encode(one).decode() for one in templates],
            "clients": clients,
            "seconds": effort.seconds,
            "warm_up_s": effort.warm_up_s,
            "count": effort.count,
            "rate_per_s": effort.rate_per_s,
            "first": first or self._next,
        }
        before = cpu_seconds(pids)
        answer = self._ask(job)
        if "error" in answer:
            raise BenchError(answer["error"])
        used = cpu_seconds(pids) - before
        sample = Sample(**answer)
        if not first:
            self._next += sample.answers + sample.wrong + clients + 1
        return Measured(sample, used / sample.answers * 1e6 if sample.answers else 0.0)

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"the load generator ended with code {self._process.wait(10)}") from None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the load generator ended with code {self._process.wait(10)}")
        answer: dict[str, Any] = json.loads(line)
        return answer
