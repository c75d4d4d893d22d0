"""The client without async, from ordinary threads, against a real CSE over each binding."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cse.client import BlockingClient, RequestFailed, Unreachable
from cse.onem2m.status import Status
from tests.brokers import free_port


async def off_the_loop(work: Callable[[], object]) -> None:
    """Run blocking work beside the loop on which the CSE of the test runs."""
    async with asyncio.timeout(60):
        await asyncio.get_running_loop().run_in_executor(None, work)


async def test_every_call_as_a_script_makes_it(cse_url: str) -> None:
    def script() -> None:
        with BlockingClient(cse_url, originator="Cscript") as client:
            assert client.register("Nscript", "script")["aei"] == client.originator == "Cscript"
            client.create_container("-/script", "data", lbl=["room:1"])
            with client.subscribe("-/script/data") as subscription:
                for value in ("1", "2"):
                    client.post("-/script/data", value)
                assert [next(subscription).resource["con"] for _ in range(2)] == ["1", "2"]
                with pytest.raises(TimeoutError):
                    subscription.next(timeout_s=0.05)
            assert list(subscription) == []
            assert client.latest("-/script/data")["con"] == "2"
            assert client.change("-/script/data", {"mni": 1})["mni"] == 1
            assert client.retrieve("-/script/data", attributes=["cni"])["cni"] == 1
            assert client.discover(labels=["room:1"]) == ["cse-in/script/data"]
            client.create("-/script", "m2m:grp", {"rn": "all", "mid": ["cse-in/script/data"], "mnm": 2})
            client.delete("-/script/data")
            with pytest.raises(RequestFailed) as refused:
                client.latest("-/script/data")
            assert refused.value.status is Status.NOT_FOUND
            client.deregister()

    await off_the_loop(script)


async def test_many_threads_share_one_client(http_cse: str) -> None:
    def script() -> None:
        with BlockingClient(http_cse, originator="Cscript") as client, ThreadPoolExecutor(8) as threads:
            client.register("Nscript", "script")
            client.create_container("-/script", "data")
            made = list(threads.map(lambda number: client.post("-/script/data", number)["ri"], range(100)))
            assert len(set(made)) == 100
            assert client.retrieve("-/script/data")["cni"] == 100

    await off_the_loop(script)


def test_nothing_is_left_of_a_client_that_ended_or_never_began() -> None:
    before = threading.active_count()
    with pytest.raises(Unreachable), BlockingClient(f"http://127.0.0.1:{free_port()}", timeout_s=5) as client:
        client.retrieve("-")
    with pytest.raises(RuntimeError, match="not open"):
        client.retrieve("-")
    with pytest.raises(ValueError, match="gopher"):
        BlockingClient("gopher://127.0.0.1").open()
    client.close()
    assert threading.active_count() == before
