"""The example in shell and curl: from the registry of a MEC platform to a device's data, with real processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from cse.client import Client
from tests.brokers import free_port
from tests.mec.adapter_fixtures import until
from tests.onemec.processes import running

EXAMPLE = Path(__file__).parents[2] / "examples" / "discover_with_curl.sh"
OPEN = [{"acor": ["all"], "acop": 63}]


def example(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        ["sh", str(EXAMPLE), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


async def test_it_finds_the_newest_value_with_what_the_registry_tells(tmp_path: Path) -> None:
    mep, edge = free_port(), free_port()
    url = f"http://127.0.0.1:{mep}"
    with running(tmp_path, "mep", "--http", f"127.0.0.1:{mep}", "--insecure-dev") as platform:
        platform.wait_ready()
        nobody = await asyncio.to_thread(example, url, "room:1")
        assert nobody.returncode == 1
        assert "knows no CSE" in nobody.stderr
        named = ("--type", "MN", "--id", "/id-anything", "--name", "any-name", "--insecure-dev")
        with (
            running(tmp_path, "cse", *named, "--http", f"127.0.0.1:{edge}") as cse,
            running(
                tmp_path,
                *("adapter", "--cse", f"http://127.0.0.1:{edge}", "--cse-id", "/id-anything", "--mep", url),
                *("--listen", f"127.0.0.1:{free_port()}", "--outbox", str(tmp_path / "outbox.db")),
            ),
        ):
            cse.wait_ready()
            async with Client(f"http://127.0.0.1:{edge}", originator="Cdev") as device:
                await device.register("Ndev", "dev")
                policy = await device.create("-/dev", 1, {"rn": "open", "pv": {"acr": OPEN}, "pvs": {"acr": OPEN}})
                for room in (1, 2):
                    await device.create_container("-/dev", f"room-{room}", acpi=[policy["ri"]], lbl=[f"room:{room}"])
                    await device.post(f"-/dev/room-{room}", f"old {room}")
                    await device.post(f"-/dev/room-{room}", f"value of {room}")

            async def found() -> bool:
                return (await asyncio.to_thread(example, url, "room:2")).stdout == "value of 2\n"

            await until(found, timeout_s=30)
            again = await asyncio.to_thread(example, url, "room:1")
            assert (again.returncode, again.stdout) == (0, "value of 1\n"), again.stderr
            assert "/id-anything" in again.stderr
            assert "already" in again.stderr
            unknown = await asyncio.to_thread(example, url, "room:3")
            assert unknown.returncode == 1
            assert "room:3" in unknown.stderr.splitlines()[-1]


def test_without_a_platform_it_says_so() -> None:
    done = example(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "no MEC platform" in done.stderr
    assert "usage" in example().stderr


def test_it_knows_no_address_and_no_name_of_a_cse() -> None:
    text = "\n".join(line for line in EXAMPLE.read_text().splitlines() if not line.lstrip().startswith("#"))
    assert "127.0.0.1" not in text
    assert "cse-" not in text.replace("oneM2M-CSE", "").replace("http://host:port/cse-name", "")
