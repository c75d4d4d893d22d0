"""What holds for every command: an example in its help, --json where it prints a result, completion in the shell."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from onemec.cli import app
from tests.brokers import free_port
from tests.onemec.processes import ENVIRONMENT, running

#: they run until they are stopped, or write files for people: what they print is no result
NO_RESULT = {"up", "cse", "adapter", "mep", "reference"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        below = getattr(command, "commands", {})
        if words and (not below or command.callback is not None):
            yield words, command
        waiting += [(f"{words} {name}".strip(), child) for name, child in below.items()]


COMMANDS = sorted(commands(), key=lambda entry: entry[0])


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_help_has_an_example_of_the_command_itself(words: str, command: Any) -> None:
    text = CliRunner().invoke(app, [*words.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    assert re.search(r"Examples?[:,]", text), text
    assert f"onemec {words}" in text.partition("Example")[2], text


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_whatever_prints_a_result_prints_it_as_json(words: str, command: Any) -> None:
    options = {name for parameter in command.params for name in parameter.opts}
    assert ("--json" in options) is (words not in NO_RESULT)


def test_json_of_what_needs_no_cse_is_json() -> None:
    for words in (["types"], ["devices", "list"], ["config", "show"], ["device", "list"]):
        assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout) is not None


# --- completion ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A CSE with -/lamp/data and -/lantern."""
    http = f"127.0.0.1:{free_port()}"
    with running(tmp_path_factory.mktemp("cse"), "cse", "--http", http, "--insecure-dev", "--admin", "CAdmin") as cse:
        cse.wait_ready()
        for words in (
            ["post", "-", "-t", "AE", "-n", "lamp", "api=Nx", "--as", "Clamp"],
            ["post", "-", "-t", "AE", "-n", "lantern", "api=Nx", "--as", "Clantern"],
            ["post", "-/lamp", "-t", "cnt", "-n", "data"],
            ["post", "-/lamp/data", "1", "-n", "instance"],
        ):
            done = CliRunner().invoke(app, [*words, "--cse", f"http://{http}"])
            assert done.exit_code == 0, done.output
        yield f"http://{http}"


def offered(line: str, **environment: str) -> list[str]:
    """What a shell offers at the end of a line."""
    words = line.split(" ")
    asked = {"_ONEMEC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "onemec"],
        capture_output=True, text=True, timeout=60, check=False, env={**ENVIRONMENT, **environment, **asked},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("command", ["get", "post", "put", "delete", "discover", "watch", "acp role", "export"])
def test_addresses_are_completed_at_a_running_cse(url: str, command: str) -> None:
    assert offered(f"onemec {command} -/la", ONEMEC_CSE=url) == ["-/lamp", "-/lantern"]


def test_addresses_of_every_form_are_completed(url: str) -> None:
    assert offered(f"onemec get --cse {url} -/lamp/d") == ["-/lamp/data"]
    assert offered("onemec get -/lamp/data/", ONEMEC_CSE=url) == ["-/lamp/data/la", "-/lamp/data/ol"], "no instances"
    assert offered("onemec get cse-in/lam", ONEMEC_CSE=url) == ["cse-in/lamp"]
    assert offered("onemec get cs", ONEMEC_CSE=url) == ["cse-in"]
    assert offered("onemec get -/lamp --attr", ONEMEC_CSE=url) == ["--attribute"]


def test_a_cse_that_does_not_answer_costs_no_time() -> None:
    import socket

    assert offered("onemec get -/la", ONEMEC_CSE=f"http://127.0.0.1:{free_port()}") == []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert offered("onemec get -/la", ONEMEC_CSE=f"http://127.0.0.1:{silent.getsockname()[1]}") == []
        assert time.monotonic() - began < 15  # 1.5 s, and a start of Python on a busy machine


def test_names_of_settings_types_and_parts_are_completed() -> None:
    assert offered("onemec config show --name http") == ["http"]
    assert "adapter" in offered("onemec config show a")
    assert "contentInstance" in offered("onemec post - --type contentI")


def test_completion_is_installed_and_works_in_a_shell(url: str, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "onemec"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m onemec "$@"\n')
    program.chmod(0o755)
    environment = {
        **ENVIRONMENT,
        "HOME": str(tmp_path),
        "ONEMEC_CSE": url,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    # `:` keeps bash from giving its process to a single command: the shell is found by looking at the parents
    done = subprocess.run(
        [bash, "-c", "onemec --install-completion bash; status=$?; :; exit $status"],
        capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    script = (
        "source ~/.bash_completions/onemec.sh; COMP_WORDS=(onemec get -/la); COMP_CWORD=2; "
        '_onemec_completion onemec; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [bash, "-c", script],
        capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.split() == ["-/lamp", "-/lantern"], done.stderr
