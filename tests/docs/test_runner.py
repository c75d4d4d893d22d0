"""The runner of the documents itself: what is not true fails, with file and line, and nothing escapes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.documents import run_document
from tests.docs.markdown import DocumentError, blocks
from tests.docs.places import Ports


def shown(folder: Path, text: str) -> int:
    """Run a document; returns how many blocks ran."""
    document = folder / "page.md"
    document.write_text(text)
    return run_document(document, "page.md", folder / "run")


def fenced(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```", ""])


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        (fenced("sh", "true", "false", "true"), "page.md:3", "exit code 1"),
        (fenced("sh", "f() {", "  false | true", "}", "f"), "page.md:3", "exit code 1"),
        (fenced("sh", "no-such-command --at all"), "page.md:2", "exit code 127"),
        (fenced("sh", "true") + "text\n" + fenced("bash", "true", "exit 3"), "page.md:6", "exit code 3"),
        (fenced("python", "x = 1", "assert x == 2"), "page.md:3", "exit code 1"),
        (fenced("python", "import asyncio", "await asyncio.sleep(0)", "raise ValueError"), "page.md:4", "exit code 1"),
        ("<!-- expect: two -->\n" + fenced("sh", "echo one"), "page.md:3", "does not contain 'two'"),
        (fenced("sh", "echo one") + "<!-- output -->\n" + fenced("text", "one", "two"), "page.md:7", "'two'"),
        (fenced("console", "$ echo one", "one", "$ echo two", "three"), "page.md:4", "'three'"),
        ("<!-- run: status=4 -->\n" + fenced("sh", "exit 5"), "page.md:3", "exit code 5"),
        ("<!-- run: status=4 -->\n" + fenced("sh", "true"), "page.md:3", "exit code 0"),
        ("<!-- run: retry=0.1 -->\n" + fenced("sh", "false"), "page.md:3", "exit code 1"),
        ("<!-- run: timeout=0.3 -->\n" + fenced("sh", "sleep 60"), "page.md:3", "in time"),
        ("<!-- run: background -->\n" + fenced("sh", "echo no"), "page.md:3", "did not print 'ready'"),
        (fenced("sh", """echo '{"m2m:dbg": "no"}'"""), "page.md:2", "refused"),
        ("<!-- run: with=nothing -->\n", "page.md:1", "no fixture"),
        (fenced("", "curl http://127.0.0.1:8080"), "page.md:1", "looks like shell"),
        ("    onemec types\n", "page.md:1", "indented"),
        ("<!-- run: skip -->\n" + fenced("sh", "true"), "page.md:2", "reason"),
        ("<!-- run: skpi -->\n" + fenced("sh", "true"), "page.md:1", "means nothing"),
        ("<!-- run: status=1 -->\ntext\n" + fenced("sh", "false"), "page.md:2", "before text"),
        (fenced("shell", "true"), "page.md:1", "```sh"),
        ("```sh\ntrue\n", "page.md:1", "no end"),
    ],
)
def test_what_is_not_true_fails_with_its_line(tmp_path: Path, text: str, where: str, reason: str) -> None:
    with pytest.raises(DocumentError) as failure:
        shown(tmp_path, text)
    first = str(failure.value).splitlines()[0]
    assert first.startswith(where + ":"), first
    assert reason in first


def test_what_is_true_runs_from_the_first_block_to_the_last(tmp_path: Path) -> None:
    text = (
        fenced("sh", "name=world", "greet() { echo hello $name; }", "mkdir made && cd made")
        + "<!-- expect: hello world -->\n"
        + fenced("sh", "greet", "test $(basename $PWD) = made")
        + "<!-- output -->\n"
        + fenced("text", "hello ...")
        + "<!-- file: app.json -->\n"
        + fenced("json", '{"at": "127.0.0.1:8080"}')
        + fenced("sh", "grep -v 8080 ../app.json")
        + fenced("console", "$ echo one \\", "> two", "one two", "$ false || echo three", "three")
        + "<!-- run: status=4 -->\n"
        + fenced("sh", "greet; exit 4")
        + "<!-- run: background name=it -->\n"
        + fenced("sh", "echo ready; until test -e now; do sleep 0.01; done; echo later; sleep 60")
        + fenced("sh", "touch ../now")
        + "<!-- run: wait name=it until=later -->\n\n"
        + "<!-- run: stop name=it -->\n\n"
        + "<!-- run: retry=20 -->\n"
        + fenced("sh", "echo . >> tries; test $(wc -l < tries) = 3")
        + fenced("python", "import asyncio", "x = await asyncio.sleep(0, 21)")
        + "<!-- expect: 42 -->\n"
        + fenced("python", "print(2 * x)")
        + '<!-- run: skip reason="would be false anyway" -->\n'
        + fenced("sh", "false")
        + fenced("json", "{}")
    )
    assert shown(tmp_path, text) == 10


def test_what_runs_beside_ends_with_the_document(tmp_path: Path) -> None:
    import psutil

    shown(tmp_path, "<!-- run: background -->\n" + fenced("sh", f"echo ready; cd {tmp_path}; sleep 61.7"))
    assert [process for process in psutil.process_iter(["cmdline"]) if "61.7" in (process.info["cmdline"] or ())] == []


def test_documented_ports_become_free_ones_and_back() -> None:
    ports = Ports()
    text = (
        "curl http://127.0.0.1:8080/cse-in; coap-client coap://127.0.0.1/cse-in; mosquitto_rr -h x -p 1883\n"
        "onemec up --edge-port 8081 --mqtt-url mqtt://id-in:secret@127.0.0.1\nlistener 1883 127.0.0.1"
    )
    there = ports.rewritten(text)
    for port in (8080, 8081, 1883, 5683):
        assert str(ports.free(port)) in there
    assert "8080" not in there
    assert ports.as_documented(there) == text.replace("127.0.0.1/", "127.0.0.1:5683/").replace(
        "127.0.0.1\nl", "127.0.0.1:1883\nl"
    )
    assert ports.rewritten("at 12:30, port 1.2.127.0.0.1:80800") == "at 12:30, port 1.2.127.0.0.1:80800"


def test_a_comment_belongs_to_the_block_after_it() -> None:
    found = blocks("<!-- expect: a -->\n<!-- run: timeout=5 -->\n\n" + fenced("sh", "true") + fenced("sh", "true"), "x")
    assert [(block.expects, block.options) for block in found] == [(("a",), {"timeout": "5"}), ((), {})]
