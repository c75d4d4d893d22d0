"""The load generator as a process of its own: takes jobs as JSON lines on stdin, answers each with one JSON line.

It encodes nothing and parses next to nothing while it measures; ``benchmarks.driver`` writes the jobs.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from dataclasses import replace
from typing import Any

import orjson
import uvloop

from benchmarks import load_coap, load_http, load_mqtt
from benchmarks.sink import Sink, SinkServer
from benchmarks.tally import Sample, Tally, Template

#: how long notifications are waited for after the last answer
_NOTIFIED_WITHIN_S = 60.0


class _Generator:
    def __init__(self) -> None:
        self._sinks: SinkServer | None = None

    async def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """One job; its result or what went wrong."""
        try:
            if job["kind"] == "sink":
                return {"port": await self._sink_port()}
            return (await self._drive(job)).as_dict()
        except OSError as error:
            return {"error": f"{job['host']}:{job['port']}: {os.strerror(error.errno) if error.errno else error}"}

    async def _sink_port(self) -> int:
        self._sinks = SinkServer()
        return await self._sinks.start()

    async def _drive(self, job: dict[str, Any]) -> Sample:
        template = Template([base64.b64decode(one) for one in job["templates"]])
        options = {name: job[name] for name in ("count", "first", "rate_per_s") if name in job}
        tally = Tally(job["warm_up_s"], job["seconds"], **options)
        address = (job["host"], job["port"])
        match job["kind"]:
            case "http":
                sink = self._begin_sink(job["notified"])
                expected = load_http.Expected(**job["expected"])
                sample = await load_http.drive(
                    address, template, expected, tally, connections=job["clients"], sink=sink
                )
                return sample if sink is None else await self._with_notifications(sample, sink)
            case "coap":
                return await load_coap.drive(address, template, job["code"], tally, clients=job["clients"])
            case _:
                return await load_mqtt.drive(
                    address, template, job["rsc"], tally, topics=tuple(job["topics"]), clients=job["clients"]
                )

    def _begin_sink(self, mode: str) -> Sink | None:
        if not mode:
            return None
        if self._sinks is None:
            raise OSError("no sink was asked for")
        self._sinks.sink = Sink(wait=mode == "wait")
        return self._sinks.sink

    async def _with_notifications(self, sample: Sample, sink: Sink) -> Sample:
        await sink.settle(_NOTIFIED_WITHIN_S)
        return replace(sample, **sink.result())


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 28)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    generator = _Generator()
    while line := await reader.readline():
        result = await generator.run(orjson.loads(line))
        sys.stdout.buffer.write(orjson.dumps(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(_main())
