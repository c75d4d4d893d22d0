"""Subscriptions of clients that open no port: through a polling channel, and by watching over HTTP."""

import asyncio
import contextlib
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from cse.client import BlockingClient, Client, RequestFailed, Unreachable, watch
from cse.client.watching import Watch
from cse.storage.memory import MemoryStore
from tests.client.running import running_cse


@pytest.fixture(params=["http", "coap"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    async with running_cse(MemoryStore()) as cse:
        yield cse.addresses()[request.param]


def _stem() -> str:
    return f"Cp{secrets.token_hex(4)}"


async def test_a_client_that_polls_gets_every_event_once_and_in_order(url: str) -> None:
    async with Client(url, originator=_stem(), listen="poll") as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        async with await client.subscribe("-/me/data") as subscription:
            for number in range(30):
                await client.post("-/me/data", str(number))
            async with asyncio.timeout(30):
                taken = [(await anext(subscription)).resource["con"] for _ in range(30)]
            assert taken == [str(number) for number in range(30)]
        assert await client.discover("-/me", types=[23]) == []


async def test_it_opens_no_port(url: str) -> None:
    def listening() -> set[tuple[int, int]]:
        here = psutil.Process().net_connections("inet")
        return {(c.type, c.laddr.port) for c in here if c.status == "LISTEN"}

    before = listening()
    async with Client(url, originator=_stem(), listen="poll") as client:
        await client.register("Ntest", "me")
        await client.subscribe("-/me", events=(1,))
        assert listening() == before


async def test_a_channel_of_an_earlier_run_is_replaced(url: str) -> None:
    originator = _stem()
    for number in range(2):
        async with Client(url, originator=originator, listen="poll") as client:
            await client.register("Ntest", "me")
            await client.create_container("-/me", "data", reuse=True)
            subscription = await client.subscribe("-/me/data", name="mine", replace=True)
            await client.post("-/me/data", str(number))
            async with asyncio.timeout(30):
                assert (await anext(subscription)).resource["con"] == str(number)
            assert len(await client.discover("-/me", types=[15])) == 1
    async with Client(url, originator=originator) as client:
        assert await client.discover("-/me", types=[15]) == []
        # one that a run left which did not end well
        await client.create("-/me", 15, {"rn": "left"})
    async with Client(url, originator=originator, listen="poll") as client:
        await client.subscribe("-/me/data")
        assert not [path for path in await client.discover("-/me", types=[15]) if path.endswith("/left")]


async def test_two_subscriptions_share_the_channel(url: str) -> None:
    async with Client(url, originator=_stem(), listen="poll") as client:
        await client.register("Ntest", "me")
        for name in ("a", "b"):
            await client.create_container("-/me", name)
        of_a, of_b = await client.subscribe("-/me/a"), await client.subscribe("-/me/b")
        await client.post("-/me/a", "for a")
        await client.post("-/me/b", "for b")
        async with asyncio.timeout(30):
            assert (await anext(of_a)).resource["con"] == "for a"
            assert (await anext(of_b)).resource["con"] == "for b"


async def test_who_is_not_registered_has_no_channel(url: str) -> None:
    async with Client(url, originator="Cstranger", listen="poll") as client:
        with pytest.raises(RequestFailed, match="polling channel"):
            await client.subscribe("-")


async def test_a_script_without_async_polls_too(url: str) -> None:
    def script() -> list[str]:
        with BlockingClient(url, originator="Cscript", listen="poll") as client:
            client.register("Nscript", "script")
            client.create_container("-/script", "data")
            with client.subscribe("-/script/data") as subscription:
                client.post("-/script/data", "1")
                found = subscription.next(timeout_s=30)
                return [found.resource["con"]] if found is not None else []

    async with asyncio.timeout(60):
        assert await asyncio.to_thread(script) == ["1"]


async def test_watching_needs_no_subscription() -> None:
    async with running_cse(MemoryStore(), coap="off") as cse:
        url = cse.addresses()["http"]
        async with Client(url, originator="Cw") as client:
            await client.register("Ntest", "me")
            await client.create_container("-/me", "data")
            async with watch(url, "-/me/data", "Cw") as events:
                await client.post("-/me/data", "seen")
                async with asyncio.timeout(30):
                    assert (await anext(events)).resource["con"] == "seen"
            assert await client.discover("-/me", types=[23]) == []


async def test_a_script_without_async_watches_too() -> None:
    def script(url: str) -> list[str]:
        with BlockingClient(url, originator="Cscript") as client:
            client.register("Nscript", "script")
            client.create_container("-/script", "data")
            with pytest.raises(RequestFailed), client.watch("-/script/nothing"):
                pass
            with client.watch("-/script/data") as changes:
                for value in ("1", "2"):
                    client.post("-/script/data", value)
                seen = [next(changes).resource["con"] for _ in range(2)]
                with pytest.raises(TimeoutError):
                    changes.next(timeout_s=0.05)
                client.post("-/script/data", "3")
                seen.append(next(changes).resource["con"])
                client.delete("-/script/data")
                seen += [str(change.event) for change in changes]
            assert list(changes) == []
            forgotten = client.watch("-/script")
        with pytest.raises(RuntimeError):
            next(forgotten)
        return seen

    async with asyncio.timeout(60), running_cse(MemoryStore(), coap="off") as cse:
        assert (await asyncio.to_thread(script, cse.addresses()["http"]))[:3] == ["1", "2", "3"]


async def test_a_reader_of_a_watch_hears_of_its_end() -> None:
    async with asyncio.timeout(60):
        async with running_cse(MemoryStore(), coap="off") as cse:
            url = cse.addresses()["http"]
            async with Client(url, originator="Cw") as client:
                await client.register("Ntest", "me")
                closed = await Watch().begin(url, "-/me", "Cw")
                for number in range(3):
                    await client.create_container("-/me", f"c{number}")
                assert (await anext(closed)).resource["rn"] == "c0"
                await closed.close()
                await closed.close()
                assert [change async for change in closed] == []
                broken = await Watch().begin(url, "-/me", "Cw")
                reading = asyncio.create_task(anext(broken, None))
        with contextlib.suppress(Unreachable):
            assert await reading is None, "the CSE says goodbye, or the connection breaks"
        with pytest.raises(Unreachable):
            await Watch().begin("http://127.0.0.1:1", "-/me", "Cw")


def test_only_http_is_watched() -> None:
    with BlockingClient("coap://127.0.0.1:1", originator="Cscript") as client, pytest.raises(ValueError, match="HTTP"):
        client.watch("-/me")


def test_users_with_strict_types_can_use_it(tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(
        "import asyncio\n"
        "from cse.client import BlockingClient, Client, Notification\n\n"
        "async def main() -> list[Notification]:\n"
        '    async with Client("http://127.0.0.1:8080", originator="Cme", listen="poll") as client:\n'
        '        latest = await client.latest("-/me/data")\n'
        '        print(latest["con"])\n'
        '        async with await client.subscribe("-/me/data") as subscription:\n'
        "            return [event async for event in subscription]\n\n"
        "def script() -> str:\n"
        '    with BlockingClient("http://127.0.0.1:8080") as client:\n'
        "        return client.originator + client.latest(1)\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file", "/dev/null"]
    done = subprocess.run(
        [*mypy, str(script)],
        capture_output=True, text=True, timeout=600, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 2, done.stdout  # both in the last line, and py.typed makes them seen
    assert all('"int"' in line or '"dict[str, Any]"' in line for line in errors)
