"""`/grafana`: what Grafana's data sources ask, answered within what the caller may see."""

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from cse.app import Cse
from cse.client import Client
from cse.config import CseConfig
from cse.onem2m.instance_pages import InstancePages
from onemec.cli import app

WEEK = {"from": "2026-01-01T00:00:00Z", "to": "2036-01-01T00:00:00.000Z"}


@pytest.fixture
async def cse() -> AsyncIterator[Cse]:
    """A CSE with numbers, JSON and words of Cmeter, which CViewer may not see all of."""
    running = Cse(CseConfig(http="127.0.0.1:0", insecure_dev=True, admin=("CAdmin",)))
    await running.start()
    try:
        async with Client(running.addresses()["http"], originator="Cmeter") as client:
            await client.register("Nmeter", "meter")
            for name in ("data", "json", "words", "empty"):
                await client.create_container("-/meter", name)
            for number in range(10):
                await client.post("-/meter/data", str(number))
                await client.post("-/meter/json", {"t": number / 2, "at": {"floor": 3}})
            await client.post("-/meter/words", 'door "open", again')
            await client.create("-/meter", 29, {"rn": "series"})
            for second in range(3):
                await client.create("-/meter/series", 30, {"con": str(second), "dgt": f"20260601T00000{second}"})
        yield running
    finally:
        await running.stop(1.0)


class Asked:
    """A caller of /grafana."""

    def __init__(self, cse: Cse, **headers: str) -> None:
        self._url, self._headers = f"{cse.addresses()['http']}/grafana", headers

    async def __call__(self, name: str, body: Any = None, status: int = 200, **query: str) -> Any:
        async with aiohttp.ClientSession(headers=self._headers) as session:
            method = "GET" if body is None else "POST"
            async with session.request(method, f"{self._url}/{name}", json=body, params=query) as answer:
                text = await answer.text()
                assert answer.status == status, text
                return json.loads(text) if answer.content_type == "application/json" else text


@pytest.fixture
def meter(cse: Cse) -> Asked:
    return Asked(cse, **{"X-M2M-Origin": "Cmeter"})


async def test_a_data_source_finds_it_and_its_containers(meter: Asked) -> None:
    assert (await meter(""))["status"] == "ok"
    found = await meter("search", {"target": ""})
    assert found == [f"cse-in/meter/{name}" for name in ("data", "json", "words", "empty", "series")]
    assert await meter("search", {"target": "-/meter/da"}) == ["cse-in/meter/data"]
    assert await meter("metrics", {"metric": "wor"}) == [{"label": "cse-in/meter/words", "value": "cse-in/meter/words"}]


async def test_a_graph_gets_numbers_with_their_times(meter: Asked) -> None:
    body = {"range": WEEK, "targets": [{"target": "-/meter/data", "refId": "A"}, {"target": "-/meter/json:t"}]}
    data, picked = await meter("query", body)
    assert (data["target"], data["refId"]) == ("-/meter/data", "A")
    assert [value for value, _ in data["datapoints"]] == [float(number) for number in range(10)]
    times = [at_ms for _, at_ms in data["datapoints"]]
    assert times == sorted(times)
    assert [value for value, _ in picked["datapoints"]] == [number / 2 for number in range(10)]
    (deep,) = await meter("query", {"range": WEEK, "targets": [{"target": "-/meter/json:at.floor"}]})
    assert {value for value, _ in deep["datapoints"]} == {3.0}
    (empty,) = await meter("query", {"range": WEEK, "targets": [{"target": "-/meter/empty"}]})
    assert empty["datapoints"] == []


async def test_many_points_are_thinned_to_means(meter: Asked) -> None:
    body = {"range": WEEK, "maxDataPoints": 5, "targets": [{"target": "-/meter/data"}]}
    (series,) = await meter("query", body)
    assert [value for value, _ in series["datapoints"]] == [0.5, 2.5, 4.5, 6.5, 8.5]


async def test_measured_times_count_for_time_series(meter: Asked) -> None:
    (series,) = await meter("query", {"range": WEEK, "targets": [{"target": "-/meter/series"}]})
    assert series["datapoints"] == [[float(second), 1780272000000 + second * 1000] for second in range(3)]


async def test_words_are_a_table_and_marks(meter: Asked) -> None:
    (table,) = await meter("query", {"range": WEEK, "targets": [{"target": "-/meter/words"}]})
    assert table["type"] == "table"
    assert [row[1] for row in table["rows"]] == ['door "open", again']
    (mark,) = await meter("annotations", {"range": WEEK, "annotation": {"query": "-/meter/words"}})
    assert (mark["title"], mark["text"]) == ('door "open", again', "-/meter/words")


async def test_infinity_reads_rows_as_json_and_csv(meter: Asked) -> None:
    rows = await meter("values", target="-/meter/data", limit="3")
    assert [(row["value"], row["content"]) for row in rows] == [(7.0, "7"), (8.0, "8"), (9.0, "9")]
    later = await meter("values", target="-/meter/data", **{"from": rows[1]["time"]})
    assert [row["content"] for row in later] == ["8", "9"]
    table = list(csv.DictReader((await meter("values", target="-/meter/words", format="csv")).splitlines()))
    assert [row["content"] for row in table] == ['door "open", again']
    assert await meter("values", target="-/meter/data", to="1767225600000") == []


async def test_a_time_range_is_a_filter(meter: Asked) -> None:
    for early in ({"to": "2026-01-01T00:00:00Z"}, {"from": "2036-01-01T00:00:00Z"}):
        (series,) = await meter("query", {"range": early, "targets": [{"target": "-/meter/data"}]})
        assert series["datapoints"] == []


async def test_nobody_sees_what_it_may_not_retrieve(cse: Cse) -> None:
    stranger = Asked(cse, **{"X-M2M-Origin": "CStranger"})
    async with Client(cse.addresses()["http"], originator="CStranger") as client:
        await client.register("Nstranger", "stranger")
    assert await stranger("search", {}) == []
    refused = await stranger("query", {"targets": [{"target": "-/meter/data"}]}, status=403)
    assert "'CStranger' may not RETRIEVE" in refused["error"]
    assert "error" in await stranger("values", target="-/meter/data", status=403)
    assert "say who asks" in (await Asked(cse)("search", {}, status=401))["error"]
    assert len(await Asked(cse)("values", target="-/meter/data", originator="Cmeter")) == 10


async def test_outside_insecure_dev_a_credential_decides(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    tokens = {}
    for name in ("lamp", "other"):
        done = CliRunner().invoke(app, ["device", "add", name, "--credentials", str(path), "--json"])
        tokens[name] = json.loads(done.stdout)["token"]
    cse = Cse(CseConfig(http="127.0.0.1:0", credentials=str(path)))
    await cse.start()
    try:
        url = cse.addresses()["http"].replace("://", f"://Clamp:{tokens['lamp']}@")
        async with Client(url, originator="Clamp") as client:
            await client.register("Nlamp", "lamp")
            await client.create_container("-/lamp", "data")
            await client.post("-/lamp/data", "1")
        mine = Asked(cse, Authorization=f"Bearer {tokens['lamp']}")
        assert [row["value"] for row in await mine("values", target="-/lamp/data")] == [1.0]
        theirs = Asked(cse, Authorization=f"Bearer {tokens['other']}")
        assert "error" in await theirs("values", target="-/lamp/data", status=403)
        pretending = Asked(cse, Authorization=f"Bearer {tokens['other']}", **{"X-M2M-Origin": "Clamp"})
        assert "error" in await pretending("values", target="-/lamp/data", status=403)
        assert "token" in (await Asked(cse, **{"X-M2M-Origin": "Clamp"})("search", {}, status=401))["error"]
        await Asked(cse, Authorization="Bearer wrong")("search", {}, status=401)
    finally:
        await cse.stop(1.0)


@pytest.mark.parametrize(
    ("name", "body", "query", "status", "says"),
    [
        ("query", {}, {}, 400, "targets"),
        ("query", {"targets": [{"target": ""}]}, {}, 400, "name a container"),
        ("query", {"targets": [{"target": "-/meter"}]}, {}, 400, "holds no values"),
        ("query", {"targets": [{"target": "-/none"}]}, {}, 404, "none"),
        ("query", {"range": {"from": "soon"}, "targets": [{"target": "-/meter/data"}]}, {}, 400, "is no time"),
        ("query", ["x"], {}, 400, "JSON object"),
        ("values", None, {"target": "-/meter/data", "colour": "red"}, 400, "no parameter 'colour'"),
        ("values", None, {"target": "-/meter/data", "limit": "0"}, 400, "limit"),
        ("values", None, {"target": "-/meter/data", "format": "xml"}, 400, "json or csv"),
        ("paint", None, {}, 404, "/grafana/query"),
    ],
)
async def test_what_makes_no_sense_is_said_in_words(
    meter: Asked, name: str, body: Any, query: dict[str, str], status: int, says: str
) -> None:
    assert says in (await meter(name, body, status, **query))["error"]


async def test_of_a_long_container_only_the_newest_are_read(
    cse: Cse, meter: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client(cse.addresses()["http"], originator="Cmeter") as client:
        await client.create_container("-/meter", "long")
        for number in range(300):
            await client.post("-/meter/long", str(number))
            if number % 50 == 0:  # the stateTag counts changes of the container too
                await client.change("-/meter/long", {"lbl": [f"n{number}"]})
        times = [one["ct"] async for one in client.instances("-/meter/long")]
        await client.delete("-/meter/long/ol")
    assert len(times) == 300
    read: list[int] = []
    take = InstancePages.take
    monkeypatch.setattr(
        InstancePages, "take", lambda self, page, partial: read.append(len(page)) or take(self, page, partial=partial)
    )
    rows = await meter("values", target="-/meter/long", limit="7")
    assert [row["content"] for row in rows] == [str(number) for number in range(293, 300)]
    assert sum(read) <= 10
    rows = await meter("values", target="-/meter/long", limit="120", to=times[200])
    assert [row["content"] for row in rows] == [str(number) for number in range(80, 200)]
    rows = await meter("values", target="-/meter/long", to=times[200], **{"from": times[190]})
    assert [row["content"] for row in rows] == [str(number) for number in range(190, 200)]
    assert len(await meter("values", target="-/meter/long")) == 299
