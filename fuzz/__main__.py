"""``python -m fuzz [TARGET ...] [--seconds N]``: run the targets under atheris, which sees what code an input reaches.

What breaks something is written to ``fuzz/found/<target>/`` and, once committed, tried by the tests for ever. Further
options go to libFuzzer. Exits with 1 when something was found.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = (
    "json",
    "cbor",
    "http_request",
    "http_response",
    "coap_datagram",
    "mqtt_message",
    "websocket_message",
    "identifiers",
    "filter_criteria",
    "pipeline",
)


def main() -> int:
    """Run each target in a process of its own; how many failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--seconds", type=int, default=12, help="for each target")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options, more = parser.parse_known_args()
    unknown = [name for name in options.targets if name not in NAMES]
    if unknown:
        parser.error(f"there is no target {unknown[0]!r}: there are {', '.join(NAMES)}")
    if options.one:
        _fuzz(options.targets[0], options.seconds, more)
    failed = []
    for name in options.targets or NAMES:
        words = [sys.executable, "-m", "fuzz", name, "--one", "--seconds", str(options.seconds), *more]
        done = subprocess.run(words, capture_output=True, text=True, timeout=options.seconds + 120)
        last = [line for line in done.stderr.splitlines() if line.startswith(("Done", "stat::"))]
        verdict = "FOUND SOMETHING" if done.returncode else "ok"
        print(f"{name:18} {verdict}  {last[-1] if last else ''}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout[-2000:] + done.stderr[-4000:])
    return bool(failed)


def _fuzz(name: str, seconds: int, more: list[str]) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    # Counting branches of all of the CSE takes seconds at every start, and only its own target reaches all of it.
    with atheris.instrument_imports(include=["cse"] if name == "pipeline" else ["cse.bindings", "cse.onem2m"]):
        from fuzz.seeds import FOUND, seeds
        from fuzz.targets import all_targets

    target = all_targets()[name]
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
        for number, seed in enumerate(seeds(name)):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        words = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5", f"-artifact_prefix={found}/", *more]
        atheris.Setup([sys.argv[0], *words, folder], target)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
