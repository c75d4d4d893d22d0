"""What a store costs: instance creates per second with 1, 32 and 128 requests under way, empty and full.

Run ``python benchmarks/storage.py [--instances 1000000] [--seconds 2]``; figures include the sync to disk.
"""

from __future__ import annotations

import argparse
import asyncio
import resource as usage
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from cse.ports import Resource
from cse.storage.sqlite import SqliteStore

CONTENT = "x" * 256
MNI = 1000


def make(ri: str, pi: str, rn: str, ty: int, path: str, **attributes: Any) -> Resource:
    return Resource(ri, pi, rn, ty, "m2m:cin", path, {"ri": ri, "pi": pi, "rn": rn, "ty": ty, **attributes})


def container(store: SqliteStore, ri: str) -> None:
    stamp = "20261122T120000"
    store.begin()
    store.insert(make(ri, "cb", ri, 3, f"cse/{ri}", ct=stamp, lt=stamp, et="20311122T120000", cni=0, cbs=0, st=0))
    store.commit()


def create(store: SqliteStore, pi: str, trim: int) -> int:
    """One create as the core does it: the instance, the counters of its parent, the oldest one dropped."""
    store.begin()
    parent = store.get(pi)
    assert parent is not None
    ri = store.new_instance_id(pi)
    stamp = "20261122T120000"
    path = f"{parent.path}/{ri}"
    store.insert_instance(make(ri, pi, ri, 4, path, ct=stamp, lt=stamp, st=1, cs=256, cnf="text/plain:0", con=CONTENT))
    attributes = dict(parent.attributes)
    attributes["cni"] += 1
    attributes["cbs"] += 256
    attributes["st"] += 1
    if trim and attributes["cni"] > trim:
        oldest = store.oldest(pi)
        assert oldest is not None
        store.remove(oldest.ri)
        attributes["cni"] -= 1
        attributes["cbs"] -= oldest.attributes["cs"]
    store.replace(pi, attributes)
    return store.commit()


async def load(
    store: SqliteStore, pi: str, clients: int, seconds: float, trim: int
) -> tuple[float, float, list[float]]:
    """Creates per second, processor time of each in microseconds, and how long each took in milliseconds."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while (start := time.perf_counter()) < end:
            await store.durable(create(store, pi, trim))
            took.append((time.perf_counter() - start) * 1000)

    start, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(took) / (time.perf_counter() - start), (time.process_time() - used) / len(took) * 1e6, took


def fill(store: SqliteStore, instances: int) -> None:
    for number in range(10):
        container(store, f"full{number}")
    for number in range(instances):
        create(store, f"full{number % 10}", 0)
        if number % 1000 == 999:
            store.flush()


async def run(path: Path, instances: int, seconds: float, rounds: int) -> None:
    store = SqliteStore(path)
    store.begin()
    store.insert(make("cb", "", "cse", 5, "cse"))
    store.commit()
    start = time.perf_counter()
    fill(store, instances)
    print(f"-- {instances} instances stored ({time.perf_counter() - start:.1f} s)")
    for clients in (1, 32, 128):
        for trim in (0, MNI):
            rates, costs, all_took = [], [], []
            for turn in range(rounds):
                name = f"c{clients}-{trim}-{turn}"
                container(store, name)
                rate, cost, took = await load(store, name, clients, seconds, trim)
                rates.append(rate)
                costs.append(cost)
                all_took += took
            all_took.sort()
            p50, p99 = all_took[len(all_took) // 2], all_took[int(len(all_took) * 0.99)]
            print(
                f"{clients:4} under way  mni {trim or '-':>4}  {statistics.median(rates):7.0f}/s"
                f"  (best {max(rates):6.0f})  {statistics.median(costs):5.1f} us"
                f"  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  max {all_took[-1]:6.1f} ms"
            )
    print(f"   resident at most {usage.getrusage(usage.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", default=None, help="where the database goes; the disk matters")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for instances in dict.fromkeys((0, options.instances)):
            uvloop.run(run(Path(directory) / f"{instances}.db", instances, options.seconds, options.rounds))


if __name__ == "__main__":
    main()
