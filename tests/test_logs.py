"""Log lines: readable by machines, about which request, without secrets, and never waited for."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from cse.log_context import about
from cse.onem2m.primitives import Operation, Request
from onemec import logs
from tests.brokers import free_port

REQUEST = Request(Operation.CREATE, to="cse-in", originator="Cme", request_id="r-17")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def logged(layout: str, root: logging.Logger, *calls: Any, **options: Any) -> list[str]:
    """The lines that calls with a logger make."""
    stream = io.StringIO()
    handler = logs.set_up("info", "/id-in", layout, stream, **options)
    for call in calls:
        call(logging.getLogger("cse.test"))
    handler.flush()
    return stream.getvalue().splitlines()


def fails(log: logging.Logger) -> None:
    try:
        raise ValueError("bad mqtt://user:hunter2@broker/x")
    except ValueError:
        log.exception("request failed", extra=about(REQUEST))


def test_a_json_line_has_time_level_logger_message_and_the_request(root: logging.Logger) -> None:
    (line,) = logged("json", root, lambda log: log.warning("%d things\nwent", 3, extra=about(REQUEST)))
    shown = json.loads(line)
    assert datetime.fromisoformat(shown.pop("time")).tzinfo is not None
    assert shown == {
        "level": "warning",
        "part": "/id-in",
        "logger": "cse.test",
        "message": "3 things\nwent",
        "request_id": "r-17",
        "originator": "Cme",
    }


def test_a_json_line_holds_its_traceback_and_the_trace_that_runs(root: logging.Logger) -> None:
    (line,) = logged("json", root, fails, trace_id=lambda: "4bf92f3577b34da6a3ce929d0e0e4736")
    shown = json.loads(line)
    assert shown["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "ValueError: bad" in shown["exception"]
    assert "hunter2" not in line


def test_a_text_line_is_one_line_whatever_a_client_sent(root: logging.Logger) -> None:
    evil = "r\n2026-01-01 00:00:00 /id-in ERROR cse: all is lost\x1b[2J\u2028"
    request = Request(Operation.CREATE, to="x", originator="Cme", request_id=evil)
    (line,) = logged("text", root, lambda log: log.error("request %s", evil, extra=about(request)))
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} /id-in ERROR cse\.test: request r\\n2026", line)
    assert line.endswith("originator=Cme]")
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("mqtt://cse:s3cret@broker:1883/x", "mqtt://cse:***@broker:1883/x"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer ***"),
        ("GET /x?token=abc123&y=1", "GET /x?token=***&y=1"),
        ("http://127.0.0.1:8080/cse-in?rcn=4", "http://127.0.0.1:8080/cse-in?rcn=4"),
        ("the token of Cme is not known", "the token of Cme is not known"),
    ],
)
@pytest.mark.parametrize("layout", logs.FORMATS)
def test_no_line_shows_a_secret(said: str, shown: str, layout: str, root: logging.Logger) -> None:
    (line,) = logged(layout, root, lambda log: log.info("%s", said))
    assert shown in line


def test_a_reader_who_does_not_read_is_not_waited_for_and_told_what_it_missed(root: logging.Logger) -> None:
    reading, writing = os.pipe()
    stream = open(writing, "w")  # noqa: SIM115 - closed below, when it has been read
    handler = logs.BackgroundHandler(stream, most_waiting=100)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.Logger("full")
    log.addHandler(handler)
    text = "x" * 1000
    began = time.monotonic()
    for _ in range(5000):  # far more than a pipe holds
        log.info(text)
    assert handler.dropped > 1000
    assert time.monotonic() - began < 30
    read = b""
    while b"lines were dropped" not in read:
        read += os.read(reading, 1 << 16)
    assert read.count(b"\n") >= 100
    handler.flush()
    stream.close()
    os.close(reading)


def test_lines_of_a_forked_process_are_written_too(tmp_path: Any) -> None:
    program = (
        "import logging, os, sys\n"
        "from onemec.logs import set_up\n"
        "set_up('info', 'p', 'json', sys.stderr)\n"
        "logging.warning('parent')\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    logging.warning('child'); logging.shutdown(); os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(json.loads(line)["message"] for line in done.stderr.splitlines()) == ["child", "parent"]


def test_the_cse_logs_json_when_told_and_its_last_line_arrives() -> None:
    """A registrar that is away is worth a line; then SIGTERM."""
    away = f"http://127.0.0.1:{free_port()}"
    options = ["--type", "MN", "--id", "/id-e", "--name", "e", "--registrar", away, "--http", "127.0.0.1:0"]
    command = [sys.executable, "-m", "onemec", "cse", *options, "--log-format", "json", "--insecure-dev"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.strip() == "ready":
                break
        found = next(line for line in process.stderr if line.startswith("{"))
        process.terminate()
        rest = process.stderr.read()
        assert process.wait(30) == 0
    shown = json.loads(found)
    assert shown["part"] == "/id-e"
    assert shown["level"] in ("warning", "info")
    assert all(json.loads(line) for line in rest.splitlines() if line.startswith("{"))
    assert "Traceback" not in rest


@pytest.mark.parametrize("command", ["cse", "mep", "adapter", "devices run"])
def test_every_part_knows_the_formats_and_refuses_others_in_a_line(command: str) -> None:
    extra = ["--insecure-dev"] if command in ("cse", "mep") else []
    done = subprocess.run(
        [sys.executable, "-m", "onemec", *command.split(), "--log-format", "xml", *extra],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "json" in done.stderr
    assert "Traceback" not in done.stderr
