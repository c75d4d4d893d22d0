"""The client's resources over every binding, against the real CSE."""

import secrets

import pytest

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status


def _stem() -> str:
    # Brokers keep the session of an AE-ID beyond the test, so that every test has its own.
    return f"Ct{secrets.token_hex(4)}"


async def test_an_ae_posts_and_reads_back(cse_url: str) -> None:
    originator = _stem()
    async with Client(cse_url, originator=originator) as client:
        entity = await client.register("Ntest", "weather", labels=["kind:test"])
        assert (entity["aei"], entity["rn"], entity["lbl"]) == (originator, "weather", ["kind:test"])
        container = await client.create_container("-/weather", "data", mni=10)
        assert container["mni"] == 10
        first = await client.post("-/weather/data", "21.5", cnf="text/plain:0")
        assert first["con"] == "21.5"
        await client.post("-/weather/data", {"nested": [1, 2]}, name="second")
        assert (await client.latest("-/weather/data"))["con"] == {"nested": [1, 2]}
        assert await client.retrieve("-/weather/data/second", attributes=["con"]) == {"con": {"nested": [1, 2]}}
        assert (await client.update("-/weather/data", 3, {"mni": 5}))["mni"] == 5
        await client.delete("-/weather/data/second")
        assert (await client.latest("-/weather/data"))["ri"] == first["ri"]
        await client.deregister()
        with pytest.raises(RequestFailed) as refused:
            await client.retrieve(originator)
        assert refused.value.status in (Status.NOT_FOUND, Status.ORIGINATOR_HAS_NO_PRIVILEGE)


@pytest.mark.parametrize("asked", ["", "C", "S"])
async def test_the_cse_chooses_the_ae_id(cse_url: str, asked: str) -> None:
    async with Client(cse_url, originator=asked) as client:
        entity = await client.register("Ntest")
        assert client.originator == entity["aei"] != asked
        assert client.originator.startswith(asked or "C")
        # what follows is sent as that AE, which has the right to its own resource
        await client.create_container(entity["ri"], "data")
        assert (await client.retrieve(f"{entity['ri']}/data"))["rn"] == "data"


async def test_registering_again_takes_the_registration_over(cse_url: str) -> None:
    originator = _stem()
    async with Client(cse_url, originator=originator) as client:
        first = await client.register("Ntest", "thing", labels=["a"])
    async with Client(cse_url, originator=originator) as client:
        again = await client.register("Ntest", "thing", labels=["b"])
        assert (again["ri"], again["ct"], again["lbl"]) == (first["ri"], first["ct"], ["b"])
        renamed = await client.register("Ntest", "other-name")
        assert renamed["rn"] == "thing"


async def test_a_name_of_somebody_else_is_refused(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as owner, Client(cse_url, originator=_stem()) as other:
        await owner.register("Ntest", "mine")
        with pytest.raises(RequestFailed) as refused:
            await other.register("Ntest", "mine")
        assert refused.value.status is Status.CONFLICT
        assert "mine" in refused.value.debug


async def test_refusals_carry_status_and_words(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as client:
        await client.register("Ntest", "me")
        with pytest.raises(RequestFailed, match="CREATE -/me: 4000 BAD_REQUEST") as refused:
            await client.create("-/me", "m2m:cnt", {"nonsense": 1})
        assert "nonsense" in refused.value.debug
        with pytest.raises(RequestFailed) as missing:
            await client.latest("-/me/nowhere")
        assert missing.value.status is Status.NOT_FOUND
        response = await client.request(Request(Operation.RETRIEVE, "-/me/nowhere"))
        assert response.status is Status.NOT_FOUND


async def test_containers_are_reused_when_asked_for(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as client:
        await client.register("Ntest", "me")
        made = await client.create_container("-/me", "data")
        assert (await client.create_container("-/me", "data", reuse=True))["ri"] == made["ri"]
        with pytest.raises(RequestFailed):
            await client.create_container("-/me", "data")


async def test_discovery_by_type_and_label(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as client:
        entity = await client.register("Ntest", "me", labels=["kind:me"])
        for name in ("a", "b", "c"):
            await client.create_container("-/me", name, lbl=[f"room:{name}", "all rooms"])
        assert await client.discover("-/me", types=[3]) == ["cse-in/me/a", "cse-in/me/b", "cse-in/me/c"]
        assert await client.discover("-/me", labels=["room:a", "room:c"]) == ["cse-in/me/a", "cse-in/me/c"]
        assert await client.discover("-/me", labels=["all rooms"], limit=2) == ["cse-in/me/a", "cse-in/me/b"]
        assert await client.discover(types=[2], labels=["kind:me"], unstructured=True) == [entity["ri"]]
        assert await client.discover("-/me", labels=["none"]) == []


async def test_discovery_goes_on_until_the_answer_is_complete(http_cse: str) -> None:
    async with Client(http_cse, originator=_stem()) as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        for number in range(1005):  # a CSE gives 1000 at a time
            await client.post("-/me/data", str(number), name=f"n{number}", rcn=0)
        found = await client.discover("-/me/data", types=[4])
        assert found == [f"cse-in/me/data/n{number}" for number in range(1005)]
        assert len(await client.discover("-/me/data", types=[4], limit=1003)) == 1003


async def test_the_name_of_the_csebase_is_found_out(http_cse: str) -> None:
    async with Client(http_cse, originator="CAdmin") as client:
        assert await client.cse_name() == "cse-in"
        assert (await client.cse_base())["csi"] == "/id-in"


async def test_cbor_is_carried_too(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem(), serialisation="cbor") as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        await client.post("-/me/data", {"t": 1.5})
        assert (await client.latest("-/me/data"))["con"] == {"t": 1.5}


@pytest.mark.parametrize("scheme", ["http", "coap"])
async def test_a_cse_that_is_not_there_is_unreachable(scheme: str, free_port: int) -> None:
    async with Client(f"{scheme}://127.0.0.1:{free_port}", originator="Cme", timeout_s=3) as client:
        with pytest.raises(Unreachable):
            await client.retrieve("-")


async def test_a_websocket_that_cannot_be_opened_is_unreachable(free_port: int) -> None:
    with pytest.raises(Unreachable, match="refused"):
        async with Client(f"ws://127.0.0.1:{free_port}", originator="Cme"):
            pass


async def test_a_broker_that_is_not_there_is_unreachable(free_port: int) -> None:
    with pytest.raises(Unreachable, match=str(free_port)):
        async with Client(f"mqtt://127.0.0.1:{free_port}", originator="Cme"):
            pass


async def test_a_cse_that_is_not_at_the_broker_is_unreachable(mosquitto_url: str) -> None:
    async with Client(mosquitto_url, cse_id="/nobody", originator=_stem(), timeout_s=0.5) as client:
        with pytest.raises(Unreachable, match="nobody"):
            await client.retrieve("-")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://127.0.0.1", {}),
        ("127.0.0.1:8080", {}),
        ("http://127.0.0.1", {"serialisation": "xml"}),
        ("http://127.0.0.1", {"listen": "nowhere"}),
    ],
)
def test_nonsense_is_refused_at_once(url: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"use |give "):
        Client(url, **options)  # type: ignore[arg-type]


async def test_several_requests_are_executed_in_order_and_each_has_its_answer(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as client:
        await client.register("Ntest", "several")
        await client.create_container("-/several", "data")

        def creation(name: str) -> Request:
            content = {"m2m:cin": {"rn": name, "con": name}}
            return Request(Operation.CREATE, "-/several/data", resource_type=4, content=content, result_content=0)

        names = ["a", "b", "c", "b", "d"]
        outcomes = await client.request_several([creation(name) for name in names])
        assert client.takes_several is cse_url.startswith("http:")
        answers = [outcome.status for outcome in outcomes if not isinstance(outcome, Unreachable)]
        assert answers == [*[Status.CREATED] * 3, Status.CONFLICT, Status.CREATED]
        everything = await client.retrieve("-/several/data", rcn=4, filter={"ty": [4], "lvl": 1})
        assert [instance["rn"] for instance in everything["m2m:cin"]] == ["a", "b", "c", "d"]
        await client.deregister()


async def test_several_requests_to_nobody_are_one_that_nobody_answered() -> None:
    async with Client("http://127.0.0.1:1", originator="Ctest", timeout_s=2.0) as client:
        request = Request(Operation.RETRIEVE, "-")
        (outcome,) = await client.request_several([request, request])
        assert isinstance(outcome, Unreachable)
