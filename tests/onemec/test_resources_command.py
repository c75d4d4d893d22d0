"""`onemec get | post | put | delete | discover | watch` against a running CSE, as typed at a shell."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import free_port
from tests.onemec.processes import ENVIRONMENT, Command, run, running


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A CSE with the AE Clamp and its container, by HTTP and CoAP."""
    http, coap = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    words = ["cse", "--type", "IN", "--id", "/id-in", "--name", "cse-in", "--http", http, "--coap", coap]
    words += ["--store", "memory:", "--insecure-dev", "--admin", "CAdmin"]
    with running(tmp_path_factory.mktemp("cse"), *words) as cse:
        cse.wait_ready()
        found = {"http": f"http://{http}", "coap": f"coap://{coap}"}
        made = [
            at(found["http"], "post", "-", "--type", "AE", "--name", "lamp", "api=Nlamp", "--as", "Clamp"),
            at(found["http"], "post", "-/lamp", "-t", "container", "-n", "data", 'lbl=["room:1"]', "--as", "Clamp"),
        ]
        assert [done.returncode for done in made] == [0, 0], [done.stderr for done in made]
        yield found


def at(url: str, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``onemec`` with a CSE in its environment."""
    if stdin is None:
        return run(*words, ONEMEC_CSE=url)
    return subprocess.run(
        [sys.executable, "-m", "onemec", *words],
        input=stdin, capture_output=True, text=True, timeout=60, check=False, env={**ENVIRONMENT, "ONEMEC_CSE": url},
    )  # fmt: skip


@pytest.mark.parametrize("binding", ["http", "coap"])
def test_what_is_posted_is_got(urls: dict[str, str], binding: str) -> None:
    for typed, kept in (("21.5", "21.5"), ("on", "on"), ('{"on": true}', {"on": True})):
        assert at(urls[binding], "post", "-/lamp/data", typed).returncode == 0
        shown = at(urls[binding], "get", "-/lamp/data/la", "--json")
        assert json.loads(shown.stdout)["con"] == kept
    table = at(urls[binding], "get", "-/lamp/data/la", "-a", "con", "-a", "cs").stdout
    assert [line.split()[0] for line in table.splitlines()] == ["con", "cs"]
    assert "contentSize" in at(urls[binding], "get", "-/lamp/data/la").stdout


def test_lines_of_the_standard_input_are_posted_in_their_order(urls: dict[str, str]) -> None:
    assert at(urls["http"], "post", "-/lamp", "-t", "cnt", "-n", "lines").returncode == 0
    done = at(urls["http"], "post", "-/lamp/lines", "-", stdin="".join(f"{number}\n" for number in range(100)) + "\n")
    assert (done.returncode, done.stdout.strip()) == (0, "100 posted")
    tree = json.loads(at(urls["http"], "get", "-/lamp/lines", "--rcn", "4", "--json").stdout)
    assert [instance["con"] for instance in tree["m2m:cin"]] == [str(number) for number in range(100)]


def test_put_changes_and_removes(urls: dict[str, str]) -> None:
    assert at(urls["http"], "put", "-/lamp/data", "mni=100", 'lbl=["room:1", "new"]').returncode == 0
    shown = json.loads(at(urls["http"], "get", "-/lamp/data", "--json").stdout)
    assert (shown["mni"], shown["lbl"]) == (100, ["room:1", "new"])
    assert at(urls["http"], "put", "-/lamp/data", "mni=null").returncode == 0
    assert "mni" not in json.loads(at(urls["http"], "get", "-/lamp/data", "--json").stdout)


def test_discover_prints_addresses_and_delete_removes(urls: dict[str, str]) -> None:
    assert at(urls["http"], "post", "-/lamp", "-t", "cnt", "-n", "old", 'lbl=["gone:soon"]').returncode == 0
    found = at(urls["coap"], "discover", "--type", "container", "--label", "gone:soon")
    assert found.stdout.splitlines() == ["cse-in/lamp/old"]
    assert at(urls["http"], "delete", "-/lamp/old").returncode == 0
    assert json.loads(at(urls["http"], "discover", "--label", "gone:soon", "--json").stdout) == []


@pytest.mark.parametrize("binding", ["http", "coap"])
def test_watch_prints_what_happens_until_it_has_seen_enough(urls: dict[str, str], binding: str, tmp_path: Path) -> None:
    words = "watch", "-/lamp/data", "--json", "--count", "2", "--cse", urls[binding]
    with running(tmp_path, *words, PYTHONUNBUFFERED="1") as watching:
        number = 0

        def seen() -> bool:
            # It starts to watch some time after it has started: post until it has seen its share.
            nonlocal number
            number += 1
            assert at(urls["http"], "post", "-/lamp/data", f"{binding}-{number}").returncode == 0
            return watching.process.poll() is not None

        watching.wait_until(seen)
        assert watching.process.returncode == 0
        _check_events(watching, binding)


def _check_events(watching: Command, binding: str) -> None:
    events = [json.loads(line) for line in watching.out.splitlines()]
    assert [(event["event"], event["type"]) for event in events] == [(3, "m2m:cin")] * 2
    first, second = (int(event["resource"]["con"].removeprefix(f"{binding}-")) for event in events)
    assert second == first + 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("get", "-/nope"), 1, "4004 NOT_FOUND"),
        (("watch", "-/nope"), 1, "4004 NOT_FOUND"),
        (("get", "-", "--as", "Cnobody"), 1, "4103"),
        (("get", "-", "--cse", "http://127.0.0.1:1"), 3, "--cse"),
        (("watch", "-", "--cse", "http://127.0.0.1:1"), 3, "--cse"),
        (("get", "-", "--cse", "gopher://here"), 1, "gopher"),
        (("put", "-/lamp/data", "mni"), 2, "name=value"),
        (("put", "-/lamp/data", "mni=many"), 1, "4000"),
        (("post", "-/lamp", "--type", "toaster"), 2, "onemec types"),
        (("post", "-/lamp/data"), 2, "content"),
    ],
)
def test_a_refusal_is_one_line_and_a_code(urls: dict[str, str], words: tuple[str, ...], code: int, says: str) -> None:
    done = at(urls["http"], *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_explain_names_what_decides_for_a_denial_and_for_a_grant(urls: dict[str, str]) -> None:
    assert at(urls["http"], "post", "-", "-t", "AE", "-n", "viewer", "api=Nv", "--as", "CViewer").returncode == 0
    rules = '{"acr": [{"acor": ["CViewer"], "acop": 2}]}'
    made = at(urls["http"], "post", "-", "-t", "ACP", "-n", "view", f"pv={rules}", f"pvs={rules}", "--json")
    policy = json.loads(made.stdout)["ri"]
    body = at(urls["http"], "post", "-/lamp", "-t", "cnt", "-n", "seen", f'acpi=["{policy}"]', "--as", "Clamp")
    assert body.returncode == 0, body.stderr
    granted = at(urls["http"], "explain", "CViewer", "RETRIEVE", "-/lamp/seen")
    assert (granted.returncode, "may RETRIEVE" in granted.stdout) == (0, True), granted.stderr
    assert "rule 1 of cse-in/view decides" in granted.stdout
    denied = at(urls["http"], "explain", "CViewer", "UPDATE", "-/lamp/seen", "--json")
    assert denied.returncode == 4
    shown = json.loads(denied.stdout)
    assert (shown["granted"], shown["rules"][0]["policy"]) == (False, "cse-in/view")
    unknown = at(urls["http"], "explain", "CViewer", "PAINT", "-/lamp/seen")
    assert unknown.returncode == 1
    assert "send one of CREATE" in unknown.stderr


def test_export_gives_every_value_below_a_resource_in_order(urls: dict[str, str], tmp_path: Path) -> None:
    assert at(urls["http"], "post", "-", "-t", "AE", "-n", "site", "api=Ns", "--as", "Csite").returncode == 0
    for room in ("a", "b"):
        assert at(urls["http"], "post", "-/site", "-t", "cnt", "-n", room, "--as", "Csite").returncode == 0
    lines = "".join(f"{number}\n" for number in range(1100))
    assert at(urls["http"], "post", "-/site/a", "-", stdin=lines).returncode == 0
    assert at(urls["http"], "post", "-/site/b", '{"on": true, "why": "a, \\"b\\""}').returncode == 0

    done = at(urls["http"], "export", "-/site")
    assert done.returncode == 0, done.stderr
    assert "1101 values exported" in done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["content"] for row in rows[:-1]] == [str(number) for number in range(1100)]
    assert json.loads(rows[-1]["content"]) == {"on": True, "why": 'a, "b"'}
    assert rows[-1]["container"] == "cse-in/site/b"

    target = tmp_path / "b.ndjson"
    assert at(urls["coap"], "export", "-/site/b", "-f", "ndjson", "-o", str(target)).returncode == 0
    (row,) = [json.loads(line) for line in target.read_text().splitlines()]
    assert row["content"] == {"on": True, "why": 'a, "b"'}
    later = at(urls["http"], "export", "-/site", "--since", rows[-1]["time"])
    assert len(later.stdout.splitlines()) == 2
    refused = at(urls["http"], "export", "-/nope", "-o", str(tmp_path / "nope.csv"))
    assert (refused.returncode, sorted(path.name for path in tmp_path.iterdir())) == (1, ["b.ndjson"])
