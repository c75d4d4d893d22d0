"""`onemec export` and `import`: what goes out in any format comes back as it was, types, order and all."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from onemec import values
from onemec.cli import app
from tests.brokers import free_port
from tests.onemec.processes import ENVIRONMENT, running

CONTENTS: list[Any] = ["21.5", 21.5, 7, True, '{"text": 1}', {"on": [1, None]}, 'a, "b"\nc', "Grüße", ""]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A CSE with values of all sorts below -/site: two containers, one inside the other, and a timeSeries."""
    http = f"127.0.0.1:{free_port()}"
    words = ["cse", "--http", http, "--insecure-dev", "--admin", "CAdmin"]
    with running(tmp_path_factory.mktemp("cse"), *words) as cse:
        cse.wait_ready()
        _fill(f"http://{http}")
        yield f"http://{http}"


def _fill(url: str) -> None:
    from cse.client import BlockingClient

    with BlockingClient(url, originator="CAdmin") as client:
        client.create("-", 2, {"rn": "site", "api": "Ns", "rr": False, "srv": ["3"]})
        client.create_container("-/site", "a")
        client.create_container("-/site/a", "inner")
        client.create("-/site", 29, {"rn": "series"})
        for content in CONTENTS:
            client.post("-/site/a", content)
        client.post("-/site/a/inner", "eA==", cnf="text/plain:1", lbl=["room:1", "day:2"])
        for number in range(3):
            client.create("-/site/series", 30, {"con": str(number), "dgt": f"20260101T00000{number},500000"})


def onemec(url: str, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, list(words), env={"ONEMEC_CSE": url, "COLUMNS": "200"})
    assert done.exit_code == code, done.output
    return done


def rows_of(file: Path) -> list[values.Row]:
    form = values.format_of(file)
    return [row for _, row, _ in values.read(form, file) if isinstance(row, values.Row)]


def said(row: values.Row) -> tuple[Any, ...]:
    """What must survive: everything but the creation time and the place, which are the CSE's and the user's."""
    return (row.container.rpartition("/")[2], row.name, row.kind, row.content, row.generated, row.info, row.labels)


@pytest.mark.parametrize("form", values.FORMATS)
def test_what_is_exported_is_imported_as_it_was(url: str, form: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first.{form}", tmp_path / f"second.{form}"
    onemec(url, "export", "-/site", "-f", form, "-o", str(first))
    exported = rows_of(first)
    assert [row.content for row in exported if row.container == "cse-in/site/a"] == CONTENTS
    assert len(exported) == len(CONTENTS) + 4
    done = onemec(url, "import", str(first), "--into", f"-/copy-{form}", "--json")
    summary = json.loads(done.stdout)
    assert (summary["posted"], summary["skipped"], summary["refused"]) == (len(exported), 0, 0)
    assert sorted(summary["containers"]) == [
        f"-/copy-{form}", *(f"-/copy-{form}/site{below}" for below in ("", "/a", "/a/inner", "/series")),
    ]  # fmt: skip
    onemec(url, "export", f"-/copy-{form}", "-f", form, "-o", str(second))
    assert sorted(map(said, rows_of(second)), key=str) == sorted(map(said, exported), key=str)
    order = [row.content for row in rows_of(second) if row.container.endswith("/a")]
    assert order == CONTENTS, "values of a container keep their order"
    again = onemec(url, "import", str(first), "--into", f"-/copy-{form}")
    assert f"0 values imported, {len(exported)} were there already" in again.stdout


def test_parquet_has_types_that_others_read(url: str, tmp_path: Path) -> None:
    file = tmp_path / "site.parquet"
    onemec(url, "export", "-/site", "-f", "parquet", "-o", str(file))
    table = pyarrow.parquet.read_table(file)
    assert table.schema.field("time").type == pyarrow.timestamp("us", tz="UTC")
    assert table.schema.field("generated").type == pyarrow.timestamp("us", tz="UTC")
    assert table.schema.field("value").type == pyarrow.float64()
    shown = [row for row in table.to_pylist() if row["container"] == "cse-in/site/a"]
    assert [row["value"] for row in shown] == [21.5, 21.5, 7.0, None, None, None, None, None, None]
    assert [row["encoding"] for row in shown[:4]] == ["text", "json", "json", "json"]
    assert abs((datetime.now(UTC) - shown[0]["time"]).total_seconds()) < 3600
    series = [row for row in table.to_pylist() if row["kind"] == "timeSeriesInstance"]
    assert series[1]["generated"] == datetime(2026, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)


def test_a_time_range(url: str, tmp_path: Path) -> None:
    file = tmp_path / "all.ndjson"
    onemec(url, "export", "-/site/a", "-f", "ndjson", "-o", str(file))
    times = [row.time for row in rows_of(file) if row.container == "cse-in/site/a"]
    middle = times[3]
    part = onemec(url, "export", "-/site/a", "-f", "ndjson", "--from", middle, "--to", times[6]).stdout
    kept = [json.loads(line) for line in part.splitlines()]
    assert [row["time"] for row in kept] == [time for time in times if middle <= time < times[6]]
    iso = onemec(url, "export", "-/site/a", "--to", "2020-01-01T00:00:00Z").stdout
    assert len(iso.splitlines()) == 1
    assert "--from: 'soon' is no time" in onemec(url, "export", "-", "--from", "soon", code=2).stderr


def test_groups_are_written_as_they_come_and_read_as_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "_GROUP", 10)
    file = tmp_path / "many.parquet"
    with values.writing("parquet", file) as write:
        for number in range(95):
            write(values.Row("20261123T080000,000000", "cse-in/a", f"n{number}", number))
    assert pyarrow.parquet.ParquetFile(file).num_row_groups == 10
    reading = values.read("parquet", file)
    number, row, part = next(reading)
    assert (number, part) == (1, pytest.approx(1 / 95))
    assert isinstance(row, values.Row)
    assert row.content == 0
    assert sum(1 for _ in reading) == 94


def test_a_table_of_somebody_else_needs_only_a_column_of_values(url: str, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("timestamp,value\n2026-11-23T08:00:00Z,1\n2026-11-23T08:00:01Z,1\n2026-11-23T08:00:01Z,2\n")
    into = "import", str(file), "--into", "-/foreign"
    assert "3 values imported, 1 containers made" in onemec(url, *into).stdout
    assert "0 values imported, 3 were there already" in onemec(url, *into).stdout
    assert onemec(url, "get", "-/foreign/la", "-a", "con").stdout.split()[-1] == "2"
    file.write_text(file.read_text() + "2026-11-23T08:00:02Z,3\n")
    assert "1 values imported, 3 were there already" in onemec(url, *into).stdout


def test_lines_that_are_refused_are_said_and_the_rest_is_imported(url: str, tmp_path: Path) -> None:
    file = tmp_path / "mixed.ndjson"
    good = {"container": "cse-in/mixed", "name": "n1", "content": "1"}
    bad_name = good | {"name": "a/b"}
    file.write_text(
        f"{json.dumps(good)}\nno json\n{json.dumps(bad_name)}\n"
        f"{json.dumps({'container': 'cse-in/mixed'})}\n{json.dumps(good | {'name': 'n2', 'time': 'late'})}\n"
    )
    done = onemec(url, "import", str(file), code=1)
    assert "1 values imported, 1 containers made, 4 lines refused" in done.stdout
    for line, words in ((2, "this is no JSON"), (3, "4000 BAD_REQUEST"), (4, "no content"), (5, "'late' is no time")):
        assert any(f"line {line}: " in shown and words in shown for shown in done.stderr.splitlines()), done.stderr
    shown = json.loads(onemec(url, "import", str(file), "--json", code=1).stdout)
    assert (shown["posted"], shown["skipped"], shown["refused"]) == (0, 1, 4)
    assert shown["reasons"]["bad line"] == 3


def test_many_refused_lines_are_counted(url: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("container,content,encoding\n" + "cse-in/x,{,json\n" * 50)
    done = onemec(url, "import", str(file), code=1)
    assert sum(line.startswith("  line ") for line in done.stderr.splitlines()) == 20
    assert "and 30 more; in all 50 x bad line" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "code", "says"),
    [
        ("a.txt", "x", 2, "--format is one of"),
        ("a.csv", "time,name\n1,2\n", 1, "no column 'content'"),
        ("a.parquet", "nothing", 1, "is no Parquet file"),
        ("a.ndjson", None, 1, "No such file"),
    ],
)
def test_files_that_cannot_be_read_are_one_line(
    url: str, tmp_path: Path, name: str, content: str | None, code: int, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    done = onemec(url, "import", str(tmp_path / name), code=code)
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_nobody_there_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    onemec(gone, "export", "-", "-f", "parquet", "-o", str(tmp_path / "x.parquet"), code=3)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.csv").write_text("content\n1\n")
    done = onemec(gone, "import", str(tmp_path / "a.csv"), code=3)
    assert "is the CSE there?" in done.stderr


def test_without_the_extra_it_is_said_how_to_install_it(url: str) -> None:
    script = "import sys; sys.modules['pyarrow'] = None\nfrom onemec.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", script, "export", "-/site", "-f", "parquet"],
        capture_output=True, text=True, timeout=120, check=False, env={**ENVIRONMENT, "ONEMEC_CSE": url},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'onemec[parquet]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_csv_says_what_is_text(url: str) -> None:
    rows = list(csv.DictReader(onemec(url, "export", "-/site/a/inner").stdout.splitlines()))
    assert rows[0]["container"] == "cse-in/site/a/inner"
    assert (rows[0]["encoding"], rows[0]["info"], rows[0]["labels"]) == ("text", "text/plain:1", "room:1 day:2")
