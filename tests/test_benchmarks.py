"""`onemec bench`: its figures are right, what is wrong is never counted as done, and everything it starts ends."""

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from benchmarks import load_coap, load_http, load_mqtt, markdown, peers, postgres, report, subjects
from benchmarks.processes import BenchError, Stage
from benchmarks.results import Results, relation, summary
from benchmarks.scenarios import MILLISECONDS, PER_SECOND, Reading, Scenario, Target, short
from benchmarks.session import YARDSTICK
from benchmarks.sink import Sink, SinkServer
from benchmarks.studies import studies
from benchmarks.tally import MARK, Tally, Template
from benchmarks.wire import Speaker
from benchmarks.yardsticks import ECHO
from onemec.cli import app
from tests.brokers import free_port

LOOPBACK = "127.0.0.1"
QUICK = ("--quick", "--seconds", "0.4")
SPEAKER = Speaker("Cbench")
CREATED = load_http.Expected(201, "2001")


def bench(*options: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onemec", "bench", *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL, check=False
    )


# --- the generator notices what is wrong ----------------------------------------------------------------------


async def http_server(answers: Callable[[int], bytes]) -> tuple[asyncio.Server, int]:
    """A server whose nth answer is given; it closes the connection after an empty one."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"Content-Length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            count += 1
            answer = answers(count)
            writer.write(answer)
            if not answer:
                break
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    return server, server.sockets[0].getsockname()[1]


def http_answer(status: int, rsc: int, body: bytes = b"{}", name: str = "X-M2M-RSC") -> bytes:
    head = f"HTTP/1.1 {status} Reason\r\n{name}: {rsc}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def drive(answers: Callable[[int], bytes], expected: load_http.Expected = CREATED, count: int = 20) -> Any:
    server, port = await http_server(answers)
    async with server:
        template = Template([SPEAKER.create_instance("cse-in/x")])
        tally = Tally(0, 0, count=count)
        return await load_http.drive((LOOPBACK, port), template, expected, tally, connections=4)


async def test_right_answers_are_counted() -> None:
    sample = await drive(lambda _: http_answer(201, 2001))
    assert (sample.right, sample.answers, sample.wrong) == (20, 20, 0)
    assert sample.rate > 0
    assert 0 < sample.p50_ms <= sample.p95_ms <= sample.p99_ms


@pytest.mark.parametrize("answer", [http_answer(503, 5000), http_answer(201, 4105), http_answer(200, 2001)])
async def test_an_http_answer_with_another_code_is_wrong(answer: bytes) -> None:
    sample = await drive(lambda _: answer)
    assert (sample.right, sample.answers, sample.wrong, sample.rate) == (0, 0, 20, 0.0)
    assert sample.first_wrong.startswith(answer[:12].decode())


async def test_one_wrong_answer_among_right_ones_is_found() -> None:
    sample = await drive(lambda number: http_answer(201, 2001 if number != 7 else 4001, name="x-m2m-rsc"))
    assert (sample.answers, sample.wrong) == (19, 1)


async def test_an_answer_without_what_must_be_in_it_is_wrong() -> None:
    expected = load_http.Expected(200, "2000", r"hit-\d", 2)
    sample = await drive(lambda number: http_answer(200, 2000, b"hit-1 hit-2"[: 11 if number % 2 else 6]), expected)
    assert (sample.answers, sample.wrong) == (10, 10)


async def test_a_broken_connection_is_wrong_and_a_new_one_is_made() -> None:
    sample = await drive(lambda number: http_answer(201, 2001) if number % 5 else b"")
    assert sample.answers == 16
    assert sample.wrong == 4
    assert "closed by the server" in sample.first_wrong


async def test_no_two_requests_are_the_same() -> None:
    template = Template([b"a" + MARK + b"b" + MARK, b"c" + MARK])
    assert template.render(2) == b"a0000000002b0000000002"
    assert template.render(3) == b"c0000000003"


async def test_a_coap_answer_with_another_code_is_wrong() -> None:
    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.count = transport, 0

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.count += 1
            stale = bytes((0x62, 0x41)) + data[2:4] + b"zz"  # of another exchange: neither right nor wrong
            self.transport.sendto(stale, addr)
            self.transport.sendto(bytes((0x62, 0x41 if self.count % 4 else 0x84)) + data[2:6], addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=(LOOPBACK, 0))
    address = transport.get_extra_info("sockname")
    template = Template([SPEAKER.coap_create_instance("cse-in/x")])
    sample = await load_coap.drive(address, template, 0x41, Tally(0, 0, count=20), clients=2)
    transport.close()
    assert (sample.answers, sample.wrong) == (15, 5)
    assert sample.first_wrong.startswith("4.04")


async def test_coap_where_nobody_listens_is_wrong() -> None:
    template = Template([SPEAKER.coap_create_instance("cse-in/x")])
    address = (LOOPBACK, free_port())
    sample = await load_coap.drive(address, template, 0x41, Tally(0, 0, count=5), clients=1)
    assert sample.answers == 0
    assert sample.wrong
    assert "refused" in sample.first_wrong


async def broker_that_answers(rsc: Callable[[int], int]) -> tuple[asyncio.Server, int]:
    """Enough of a broker and a CSE for one client; acknowledgements and answers come in pieces."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            try:
                head, length, shift = (await reader.readexactly(1))[0], 0, 0
                while True:
                    digit = (await reader.readexactly(1))[0]
                    length, shift = length | (digit & 127) << shift, shift + 7
                    if digit < 128:
                        break
                body = await reader.readexactly(length)
            except asyncio.IncompleteReadError:
                break
            if head >> 4 == 1:
                writer.write(b"\x20\x02\0\0")
            elif head >> 4 == 8:
                writer.write(b"\x90\x03" + body[:2] + b"\1")
            elif head >> 4 == 3:
                count += 1
                found = re.search(rb'"rqi":"([^"]+)"', body)
                assert found
                text = b'{"rsc": %d, "rqi": "%b", "pc": "%b"}' % (rsc(count), found[1], b"x" * 200)
                answer = load_mqtt.frame(0x32, load_mqtt.text("/resp") + b"\0\7" + text)
                writer.write(answer[:50])
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(answer[50:])
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    return server, server.sockets[0].getsockname()[1]


async def test_an_mqtt_answer_with_another_code_is_wrong() -> None:
    server, port = await broker_that_answers(lambda number: 2001 if number % 10 else 4004)
    async with server:
        template = Template([SPEAKER.mqtt_create_instance("cse-in/x")])
        sample = await load_mqtt.drive(
            (LOOPBACK, port), template, 2001, Tally(0, 0, count=50), topics=("/req", "/resp"), clients=8
        )
    assert (sample.answers, sample.wrong) == (45, 5)
    assert '"rsc": 4004' in sample.first_wrong


async def test_notifications_that_are_lost_or_come_twice_are_found() -> None:
    target = SinkServer()
    target.sink = sink = Sink(wait=False)
    port = await target.start()
    went_on: list[int] = []
    for number in range(1, 11):
        sink.expect(number, time.perf_counter(), lambda number=number: went_on.append(number))  # type: ignore[misc]
        sink.created(number)
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    for number in (1, 2, 3, 3, 4, 5, 6, 7, 8):
        body = b'{"m2m:sgn": {"nev": {"rep": {"con": "bench-%010d"}}}}' % number
        head = f"POST / HTTP/1.1\r\nX-M2M-RI: n{number}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b"X-M2M-RSC: 2000" in answer
        assert f"X-M2M-RI: n{number}\r\n".encode() in answer
    writer.close()
    await sink.settle(0.05)
    assert went_on == list(range(1, 11))
    result = sink.result()
    assert (result["notified"], result["lost"], result["repeated"]) == (8, 2, 1)
    assert result["notified_p50_ms"] > 0


# --- figures ---------------------------------------------------------------------------------------------------


def test_medians_verdicts_and_ratios() -> None:
    fast = Scenario("a", "A", PER_SECOND, target=Target(100, 1.0), best_peer=50)
    row = summary(fast, "onemec", [Reading(value, 0.9) for value in (90, 200, 110)], scale=1, ours=True)
    assert (row.value, row.lowest, row.highest, row.met) == (110, 90, 200, True)
    assert summary(fast, "onemec", [Reading(110, 1.1)], scale=1, ours=True).met is False
    assert summary(fast, "onemec", [Reading(110, 0.9, wrong=1)], scale=1, ours=True).met is False
    assert summary(fast, "acme", [Reading(110, 0.9)], scale=1, ours=False).met is None
    slow = Scenario("b", "B", MILLISECONDS, target=Target(20), scaled=True)
    assert summary(slow, "onemec", [Reading(19)], scale=1, ours=True).met is True
    assert summary(slow, "onemec", [Reading(21)], scale=1, ours=True).met is False
    assert summary(slow, "onemec", [Reading(19)], scale=0.01, ours=True).met is None
    assert summary(slow, "onemec", [Reading(None)], scale=1, ours=True).value is None
    assert relation([10, 20, 60], [10, 10, 10]) == 2
    other = summary(fast, "acme", [Reading(10)], scale=1, ours=False)
    results = Results({}, [row, other], {("a", "onemec"): [90, 200, 110], ("a", "acme"): [9, 10, 10]})
    assert results.ratio("a", "onemec", "acme") == 11
    assert report.against_peers(results, row) == ["11.0x acme (measured)", "2.2x best peer (quoted)"]


def test_every_row_of_the_targets_is_there() -> None:
    rows = [*short(), *(row for study in studies() for row in study.rows)]
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    goals = {row.name: row.target.value for row in rows if row.target is not None}
    assert goals == {
        "http-create-c1": 1_500,
        "http-create-c32": 10_000,
        "http-la-c32": 20_000,
        "mqtt-create-c1": 1_000,
        "mqtt-create-c50": 6_000,
        "coap-create-c32": 8_000,
        "discovery-1000": 8_000,
        "discovery-10000": 6_000,
        "discovery-100000": 4_000,
        "notification-c1": 1.5,
        "subscribed-c32": 5_000,
        "fan-out-100": 20,
        "entities-1000": 5_000,
        "growth-create-p99": 2,
        "growth-la-p99": 2,
        "memory-idle": 70,
        "memory-containers": 300,
        "memory-instances": 30,
        "start-empty": 0.7,
        "start-100000": 3,
        "postgresql-create-c32": 3_000,
        "sync-sustained": 5_000,
        "sync-drain": 5_000,
    }


# --- the command -----------------------------------------------------------------------------------------------

MEASURED = ("http-create-c32", "coap-create-c32", "notification-c1")


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("bench")
    files = [word for kind in ("json", "csv", "markdown") for word in (f"--{kind}", str(folder / f"out.{kind}"))]
    done = bench(
        *(*QUICK, "--repetitions", "2", "--only", ",".join(MEASURED), *files, "--plot", str(folder / "out.svg")),
        *("--directory", str(folder)),
    )
    return done, folder


def test_a_quick_run_has_plausible_figures(quick_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = quick_run
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((folder / "out.json").read_text())
    rows = {row["scenario"]: row for row in found["rows"]}
    assert set(MEASURED) <= set(rows)
    for name in MEASURED:
        row = rows[name]
        assert row["subject"] == "onemec"
        assert row["wrong"] == 0
        assert row["repetitions"] == len(row["values"]) == 2
        assert row["lowest"] <= row["value"] <= row["highest"]
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    create = rows["http-create-c32"]
    # 32 in flight: Little's law ties the rate to the response time, whatever the machine
    assert create["value"] * create["p50_ms"] / 1e3 < 64
    assert 0 < create["of_echo"] < 3
    assert 0 < create["of_ceiling"] < 1
    assert create["cpu_us"] > 1
    assert rows["echo-uvicorn-c32"]["value"] > 50
    assert rows["memory-after"]["value"] > 20
    assert {"date", "machine", "command", "durability of onemec"} <= set(found["facts"])
    assert "synchronous=FULL" in found["facts"]["durability of onemec"]
    assert "HTTP create, c=32" in done.stdout


def test_csv_picture_and_document_agree_with_it(quick_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = quick_run
    found = {row["scenario"]: row for row in json.loads((folder / "out.json").read_text())["rows"]}
    with (folder / "out.csv").open() as file:
        lines = {row["scenario"]: row for row in csv.DictReader(file)}
    assert set(lines) == set(found)
    assert float(lines["http-create-c32"]["value"]) == found["http-create-c32"]["value"]
    picture = ElementTree.parse(folder / "out.svg").getroot()
    assert picture.tag.endswith("}svg")
    assert len(list(picture.iter())) > 50
    document = (folder / "out.markdown").read_text()
    assert document.startswith("# Performance\n\nWritten by `onemec bench --quick")
    assert f"| {report.figure(found['http-create-c32']['value'], '/s')} (" in document
    assert "synchronous=FULL" in document


def test_nothing_is_left_behind(quick_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = quick_run
    assert not list(folder.glob("onemec-bench-*"))
    assert not _processes_of(folder)


def _processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in " ".join(process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_sigterm_ends_everything_it_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "onemec", "bench", "--only", "http-create-c1", "--seconds", "60"]
    process = subprocess.Popen([*command, "--directory", str(tmp_path)], stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(_processes_of(tmp_path)) < 2 and time.monotonic() < deadline:  # itself and the CSE
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def running_cse() -> Iterator[subjects.Subject]:
    with Stage() as stage:
        yield subjects.ours(stage, store="memory", options=("--admin", "CAdmin"))[0]


def test_a_running_cse_is_measured_and_left_as_it_was(running_cse: subjects.Subject, tmp_path: Path) -> None:
    url = f"http://{LOOPBACK}:{running_cse.http[1]}/cse-in"
    before = running_cse.ask("GET", "cse-in?fu=1", originator="CAdmin")
    coap = f"{LOOPBACK}:{running_cse.coap[1]}" if running_cse.coap else ""
    names = "http-la-c1,coap-create-c1,mqtt-create-c1,entities-1000"
    done = bench(
        *(*QUICK, "--url", url, "--coap", coap, "--originator", "CAdmin", "--only", names),
        *("--json", str(tmp_path / "out.json")),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["scenario"]: row for row in json.loads((tmp_path / "out.json").read_text())["rows"]}
    assert rows["http-la-c1"]["value"] > 1
    assert rows["coap-create-c1"]["value"] > 1
    assert rows["mqtt-create-c1"]["value"] is None
    assert "MQTT" in rows["mqtt-create-c1"]["remark"]
    assert rows["entities-1000"]["value"] > 1
    assert rows["http-la-c1"]["cpu_us"] > 1, "its process is known by the port it listens on"
    assert running_cse.ask("GET", "cse-in?fu=1", originator="CAdmin") == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "http://127.0.0.1:9"], "no CSE answers at http://127.0.0.1:9"),
        (["--url", "coap://127.0.0.1"], "has to be an http:// URL"),
        (["--only", "http-create-c32,nonsense"], "there is no scenario nonsense: see onemec bench --list"),
        (["--plot", "picture.gif"], "--plot writes .png or .svg files"),
        (["--json", "/nowhere/at/all.json"], "cannot be written"),
        (["--peer", "nobody"], "there is no peer nobody: choose from acme"),
        (["--directory", "/nowhere"], "there is no directory /nowhere"),
        (["--url", "http://127.0.0.1:9", "--only", "start-empty"], "not with --url"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(options: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["bench", *QUICK, *options])
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert words in done.stderr


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "find_tool", lambda _: None)
    assert "apt-get install postgresql" in postgres.missing()
    with Stage() as stage, pytest.raises(BenchError, match="PostgreSQL is not installed"):
        postgres.start(stage)


def test_the_list_names_scenarios_and_targets() -> None:
    done = CliRunner().invoke(app, ["bench", "--list"])
    assert done.exit_code == 0
    assert re.search(r"^http-create-c32 .* ≥ 10,000/s$", done.stdout, re.MULTILINE)
    assert re.search(r"^http-create-c1 .* ≥ 1,500/s, p50 ≤ 0.6 ms$", done.stdout, re.MULTILINE)
    assert re.search(r"^sync-drain ", done.stdout, re.MULTILINE)


def test_settings_of_the_shell_do_not_change_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEMEC_CSE_NAME", "another")
    with Stage() as stage:
        subject, child = subjects.ours(stage, store="memory")
        assert subject.ask("GET", "another", originator="CAdmin")[0] == 404
        assert not any(name.startswith("ONEMEC_") for name in psutil.Process(child.pid).environ())
    assert "ONEMEC_CSE_NAME" in os.environ


def test_a_peer_that_cannot_be_installed_is_said_in_one_line(tmp_path: Path) -> None:
    peer = peers.AcmePeer("acme", tmp_path)
    with pytest.raises(BenchError, match="there is no peer somebody"):
        peers.chosen(["acme", "somebody"], tmp_path)
    folder = tmp_path / f"acme-{peers.ACME_VERSION}-py{sys.version_info[0]}.{sys.version_info[1]}" / "bin"
    folder.mkdir(parents=True)
    python = folder / "python"  # an environment whose pip finds nothing
    python.write_text("#!/bin/sh\necho looking >&2; echo 'ERROR: No matching distribution' >&2; exit 1\n")
    python.chmod(0o755)
    with pytest.raises(BenchError) as caught:
        peer.install()
    assert str(caught.value).startswith("acmecse==2026.5.3 could not be installed into ")
    assert str(caught.value).endswith("ERROR: No matching distribution")


def results_of_two() -> Results:
    create = Scenario("http-create-c32", "HTTP create, c=32", PER_SECOND, lambda arena: Reading(0.0), Target(10_000))
    echo = Scenario(ECHO, "raw echo", PER_SECOND, lambda arena: Reading(0.0))
    rows = [
        summary(echo, YARDSTICK, [Reading(16_500.0)], scale=1, ours=False),
        summary(create, "onemec", [Reading(6_000.0, p50_ms=5.0)], scale=1, ours=True),
        summary(create, "acme", [Reading(200.0)], scale=1, ours=False),
    ]
    rows[1].of_echo = 0.36
    facts = {"date": "2026-11-23", "machine": "2 cores", "command": "onemec bench", "runs": "one"}
    return Results(facts, rows, {("http-create-c32", "onemec"): [6000.0], ("http-create-c32", "acme"): [200.0]})


def test_targets_are_scaled_by_what_the_echo_says_of_the_machine() -> None:
    document = markdown.write(results_of_two())
    assert "**0 of 1 targets met.**" in document
    assert "**Scaled by it, 1 of 1 are met**" in document
    assert "**no**, 1.20 scaled" in document


def test_the_ratios_go_between_the_marks_of_the_readme_and_nowhere_else() -> None:
    text = "before\n<!-- performance -->\nold\n<!-- /performance -->\nafter\n"
    made = markdown.into_readme(results_of_two(), text)
    assert made.startswith("before\n<!-- performance -->\n")
    assert made.endswith("<!-- /performance -->\nafter\n")
    assert "| HTTP create, c=32 | 0.36 | 30.0x |" in made
    assert "old" not in made
    assert markdown.into_readme(results_of_two(), made) == made


def test_a_readme_without_marks_is_said_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing\n")
    ended = bench("--quick", "--readme", str(tmp_path / "README.md"))
    assert ended.returncode == 1
    assert "<!-- performance -->" in ended.stderr
