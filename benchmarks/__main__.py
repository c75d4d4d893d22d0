"""``make bench``: the CSE against a raw uvicorn echo, over HTTP, MQTT and CoAP, every write durable.

Runs are interleaved (echo, create, retrieve, ..., again), so that a machine that slows down slows down all of them;
the table gives medians and ratios. The store is SQLite with ``synchronous=FULL``, as shipped.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks import load
from cse.bindings import coap_codec, coap_message
from cse.onem2m.primitives import Operation, Request
from tests.brokers import free_port

CONTENT = "x" * 256
CONTAINER = "cse-in/bench/data"
HEADERS = b"X-M2M-Origin: Cbench\r\nX-M2M-RI: bench-request-1\r\nX-M2M-RVI: 3\r\n"


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one scenario."""

    scenario: str
    rate: float
    p50_ms: float
    p99_ms: float
    wrong: int
    of_echo: float


class Bench:
    """Starts what is measured and measures it.

    Args:
        seconds: length of one run.
        repetitions: runs per scenario.
        folder: where the database is.
    """

    def __init__(self, seconds: float, repetitions: int, folder: Path) -> None:
        self.seconds = seconds
        self.repetitions = repetitions
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        self.http_port, self.coap_port, self.echo_port, self.mqtt_port = (free_port() for _ in range(4))
        self.broker = "none"
        self.cse: subprocess.Popen[str]

    def start(self) -> None:
        """Broker, CSE and echo server."""
        self.broker = self._start_broker()
        self.cse = self._spawn(
            *("-m", "onemec", "cse", "--http", f"127.0.0.1:{self.http_port}", "--coap", f"127.0.0.1:{self.coap_port}"),
            *("--mqtt", f"mqtt://127.0.0.1:{self.mqtt_port}", "--store", f"sqlite:///{self.folder}/bench.db"),
            *("--insecure-dev", "--log-level", "error"),
        )
        assert self.cse.stdout is not None
        for line in self.cse.stdout:
            if line.strip() == "ready":
                break
        else:
            sys.exit("benchmarks: the CSE did not start")
        self._spawn("-m", "benchmarks.echo", str(self.echo_port))
        time.sleep(1.5)

    def _start_broker(self) -> str:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.mqtt_port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            "max_inflight_messages 100\nset_tcp_nodelay true\npersistence false\nlog_type none\n"
        )
        try:
            self.processes.append(subprocess.Popen(["mosquitto", "-c", str(config)], text=True))
            time.sleep(0.3)
            return "mosquitto"
        except FileNotFoundError:
            self._spawn("-m", "onemec.broker", "--host", "127.0.0.1", "--port", str(self.mqtt_port))
            time.sleep(2.0)
            return "embedded"

    def _spawn(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """End what was started, by process id."""
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    # --- scenarios --------------------------------------------------------------------------------------------------

    def scenarios(self) -> dict[str, Callable[[], load.Sample]]:
        """What is measured, by name; each call is one run."""
        create = self._http("POST", f"/{CONTAINER}", {"m2m:cin": {"con": CONTENT}}, 4)
        latest, container = self._http("GET", f"/{CONTAINER}/la"), self._http("GET", f"/{CONTAINER}")
        echo = self._http("POST", "/", {"m2m:cin": {"con": CONTENT}}, 4)
        return {
            "raw uvicorn JSON echo, c=32": lambda: self._run_http(self.echo_port, echo, 32, 201),
            "HTTP create, c=32": lambda: self._run_http(self.http_port, create, 32, 201),
            "HTTP create, c=1": lambda: self._run_http(self.http_port, create, 1, 201),
            "HTTP retrieve la, c=32": lambda: self._run_http(self.http_port, latest, 32, 200),
            "HTTP retrieve container, c=32": lambda: self._run_http(self.http_port, container, 32, 200),
            f"MQTT create, c=1 ({self.broker})": lambda: self._run_mqtt(1),
            f"MQTT create, c=50 ({self.broker})": lambda: self._run_mqtt(50),
            "CoAP create, c=32": lambda: self._run_coap(32),
        }

    def set_up(self) -> None:
        """Register the AE and create the container."""
        ae = {"m2m:ae": {"rn": "bench", "api": "Nbench", "rr": False, "srv": ["3"]}}
        limits = {"m2m:cnt": {"rn": "data"}}
        for path, body, ty in (("/cse-in", ae, 2), ("/cse-in/bench", limits, 3)):
            sample = self._run_http(self.http_port, self._http("POST", path, body, ty), 1, 201, once=True)
            assert sample is not None

    def _http(self, method: str, path: str, body: Any = None, ty: int = 0) -> bytes:
        payload = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode() + HEADERS
        if payload:
            head += f"Content-Type: application/json;ty={ty}\r\nContent-Length: {len(payload)}\r\n".encode()
        return head + b"\r\n" + payload

    def _run_http(
        self, port: int, request: bytes, connections: int, expected: int, *, once: bool = False
    ) -> load.Sample:
        tally = load.Tally(0.0, 0.001) if once else load.Tally(0.3, self.seconds)
        return _run(
            load.http("127.0.0.1", port, lambda: request, connections=connections, expected=expected, tally=tally)
        )

    def _run_mqtt(self, clients: int) -> load.Sample:
        primitive = {"op": 1, "to": CONTAINER, "fr": "Cbench", "rvi": "3", "ty": 4, "pc": {"m2m:cin": {"con": CONTENT}}}
        text = json.dumps(primitive)[:-1].encode()
        topics = ("/oneM2M/req/Cbench/id-in/json", "/oneM2M/resp/Cbench/id-in/json")
        tally = load.Tally(0.5, self.seconds)
        return load.mqtt(
            "127.0.0.1",
            self.mqtt_port,
            topics,
            lambda number: text + b', "rqi":"%d"}' % number,
            clients=clients,
            tally=tally,
        )

    def _run_coap(self, window: int) -> load.Sample:
        request = Request(
            Operation.CREATE, CONTAINER, "Cbench", "bench-1", 4, {"m2m:cin": {"con": CONTENT}}, release="3"
        )
        message = coap_codec.encode_request(request, path=coap_codec.uri_path(CONTAINER))
        message.token = b"\x01\x02"
        wire = coap_message.encode(message)
        return _run(
            load.coap(
                "127.0.0.1",
                self.coap_port,
                lambda mid: wire[:2] + mid.to_bytes(2, "big") + wire[4:],
                window=window,
                expected=coap_message.code("2.01"),
                tally=load.Tally(0.3, self.seconds),
            )
        )

    def measure(self) -> list[Row]:
        """All scenarios, interleaved."""
        scenarios = self.scenarios()
        samples: dict[str, list[load.Sample]] = {name: [] for name in scenarios}
        for repetition in range(self.repetitions):
            for name, run in scenarios.items():
                print(f"\r{repetition + 1}/{self.repetitions}  {name:40}", end="", file=sys.stderr, flush=True)
                samples[name].append(run())
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
        echo = next(iter(samples.values()))
        return [self._row(name, runs, echo) for name, runs in samples.items()]

    def _row(self, name: str, runs: list[load.Sample], echo: list[load.Sample]) -> Row:
        ratios = [run.rate / base.rate for run, base in zip(runs, echo, strict=True) if base.rate]
        return Row(
            name,
            round(statistics.median(run.rate for run in runs), 1),
            round(statistics.median(run.p50_ms for run in runs), 3),
            round(statistics.median(run.p99_ms for run in runs), 3),
            sum(run.wrong for run in runs),
            round(statistics.median(ratios), 3) if ratios else 0.0,
        )

    def memory_mb(self) -> float:
        """Resident memory of the CSE."""
        return float(psutil.Process(self.cse.pid).memory_info().rss) / 1e6


def _run(work: Any) -> load.Sample:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result: load.Sample = runner.run(work)
        return result


def _print(rows: list[Row], facts: dict[str, Any]) -> None:
    print(f"{'scenario':38} {'per second':>11} {'p50 ms':>8} {'p99 ms':>8} {'of echo':>8} {'wrong':>6}")
    for row in rows:
        print(
            f"{row.scenario:38} {row.rate:11,.0f} {row.p50_ms:8.2f} {row.p99_ms:8.2f} {row.of_echo:8.2f} {row.wrong:6}"
        )
    print("; ".join(f"{name}: {value}" for name, value in facts.items()))


def main() -> None:
    """Entry point of ``make bench``."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run (default 2)")
    parser.add_argument("--repetitions", type=int, default=5, help="runs per scenario (default 5)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--csv", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="onemec-bench-") as folder:
        bench = Bench(options.seconds, options.repetitions, Path(folder))
        try:
            bench.start()
            bench.set_up()
            rows = bench.measure()
            facts = {
                "store": "sqlite, WAL, synchronous=FULL",
                "machine": f"{psutil.cpu_count()} cores, Python {platform.python_version()}",
                "memory of the CSE": f"{bench.memory_mb():.0f} MB",
            }
        finally:
            bench.stop()
    _print(rows, facts)
    if options.json:
        options.json.write_text(json.dumps({"facts": facts, "rows": [asdict(row) for row in rows]}, indent=1))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Row.__dataclass_fields__)
            writer.writerows([tuple(asdict(row).values()) for row in rows])


if __name__ == "__main__":
    main()
