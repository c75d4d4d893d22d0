"""The command line: help, settings from three places, one clear line for a start that cannot work, exit codes."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import free_port
from tests.onemec.processes import ENVIRONMENT, run, running

COMMANDS = [["cse"], ["mep"], ["adapter"], ["devices"], ["devices", "run"], ["devices", "list"], ["up"]]


def get(url: str) -> Any:
    request = urllib.request.Request(url, headers={"X-M2M-Origin": "CAdmin", "X-M2M-RI": "1", "X-M2M-RVI": "3"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())


def words(result: "subprocess.CompletedProcess[str]") -> str:
    """The one line that a failed start says."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("onemec: ")
    assert "Traceback" not in result.stderr + result.stdout
    return lines[0]


# --- help ------------------------------------------------------------------------------------------------------------


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    for command in ("up", "cse", "mep", "adapter", "devices"):
        assert re.search(rf"\b{command}\b", text)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "Usage: onemec " + " ".join(command) in done.stdout
    if command not in (["devices"], ["devices", "list"]):
        assert re.search(r"Examples?:", done.stdout)
        assert f"onemec {' '.join(command)} --" in done.stdout


def test_help_fits_80_columns() -> None:
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "onemec", *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={**ENVIRONMENT, "COLUMNS": "80"},
        )
        assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_needs_no_part_to_be_imported() -> None:
    heavy = "import sys; from onemec.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass\n"
    heavy += "print([n for n in ('fastapi', 'aiohttp', 'pydantic', 'aiocoap', 'amqtt') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert run("--version").stdout.strip() == version("onemec")


def test_kinds_of_devices_are_listed() -> None:
    lines = run("devices", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(["actuator", "air-quality", "meter", "temperature"])


# --- what cannot work ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["cse", "--http", "8080"], "host:port"),
        (["cse", "--type", "XN"], "type"),
        (["cse", "--http", "0.0.0.0:0"], "--insecure-dev"),
        (["mep", "--http", "x"], "host:port"),
        (["mep"], "ONEMEC_MEP_ADMIN_TOKEN"),
        (["mep", "--insecure-dev", "--prefix", "x"], "prefix"),
        (["adapter", "--cse", "x"], "http://"),
        (["adapter", "--cse-id", "edge"], "/id-edge"),
        (["adapter", "--profile", "etsi"], "auto, spec, sandbox"),
        (["adapter", "--max-outbox", "much"], "256M"),
        (["adapter", "--audit", "often"], "30s"),
        (["adapter", "--token-url", "https://127.0.0.1/token"], "ONEMEC_ADAPTER_CLIENT_SECRET"),
        (["adapter", "--log-level", "loud"], "debug, info"),
        (["devices", "run"], "--kind"),
        (["devices", "run", "--kind", "toaster"], "meter"),
        (["devices", "run", "--kind", "meter", "--rate", "often"], "1/s"),
        (["devices", "run", "--kind", "meter", "--count", "0"], "1 or more"),
        (["devices", "run", "--kind", "meter", "--binding", "http", "--cse", "mqtt://127.0.0.1"], "http://"),
        (["devices", "run", "--kind", "meter", "--binding", "xmpp"], "http"),
        (["devices", "run", "--kind", "meter", "--report", "0"], "more than 0"),
        (["up", "--rate", "often"], "1/s"),
        (["up", "--devices", "0"], "1 or more"),
        (["up", "--check", "long"], "30s"),
        (["up", "--kill-cloud", "1s:2s"], "--check"),
        (["up", "--check", "5s", "--kill-cloud", "1s"], "10s:20s"),
        (["up", "--check", "5s", "--kill-cloud", "3s:2s"], "within --check"),
        (["up", "--edge-port", "70000"], "--edge-port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_settings_that_make_no_sense_are_one_line_and_exit_code_2(options: list[str], said: str) -> None:
    done = run(*options)
    assert done.returncode == 2
    assert said in words(done)


@pytest.mark.parametrize("command", [["cse"], ["mep"], ["adapter"], ["devices", "run"], ["up"]], ids=" ".join)
def test_an_unknown_option_is_named(command: list[str]) -> None:
    done = run(*command, "--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["cse"], ["mep"], ["adapter"], ["devices", "run"]], ids=" ".join)
@pytest.mark.parametrize(
    ("content", "said"),
    [("[broken", "configuration file"), ('no-such-setting = "x"', "no_such_setting"), (None, "No such file")],
    ids=["bad TOML", "unknown setting", "missing file"],
)
def test_a_bad_configuration_file_is_one_line(
    tmp_path: Path, command: list[str], content: str | None, said: str
) -> None:
    file = tmp_path / "settings.toml"
    if content is not None:
        file.write_text(content)
    done = run(*command, "--config", str(file))
    assert done.returncode == 2
    assert said in words(done)


def test_ports_in_use_are_one_line_with_the_port(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        for options in (
            ["cse", "--http", f"127.0.0.1:{port}"],
            ["mep", "--insecure-dev", "--http", f"127.0.0.1:{port}"],
            ["adapter", "--mep", "off", "--outbox", str(tmp_path / "o.db"), "--listen", f"127.0.0.1:{port}"],
            ["up", "--mqtt-url", "embedded", "--edge-port", port],
        ):
            done = run(*options)
            assert done.returncode == 1, options
            last = done.stderr.strip().splitlines()[-1]
            assert last.startswith("onemec: ")
            assert port in last, options
            assert "Traceback" not in done.stderr


def test_a_broker_that_does_not_answer_is_one_line() -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    for options in (["cse", "--http", "127.0.0.1:0", "--mqtt", url], ["up", "--mqtt-url", url]):
        done = run(*options)
        assert done.returncode == 1
        assert url.removeprefix("mqtt://") in words(done)


# --- where settings come from ---------------------------------------------------------------------------------------


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[devices]\nkind = "meter"\ncount = 2\nrate = "9/min"\nseed = 5\n')
    said = [f"http://127.0.0.1:{free_port()}" for _ in range(3)]
    environment = {"ONEMEC_DEVICES_CSE": said[1], "ONEMEC_DEVICES_COUNT": "3", "ONEMEC_DEVICES_CONFIG": str(file)}
    with running(tmp_path, "devices", "run", "--count", "4", **environment) as fleet:
        fleet.wait_until(lambda: fleet.out.count("\n") >= 2)
        assert fleet.out.splitlines()[0] == "4 x meter, 0.15/s each, seed 5"
        assert said[1] in fleet.out.splitlines()[1]


def test_a_file_may_have_several_fleets_and_an_option_holds_for_all(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    file = tmp_path / "fleets.toml"
    file.write_text(
        f'[devices]\ncse = "{url}"\nseed = 3\n[[devices.fleet]]\nkind = "meter"\nseed = 4\n'
        '[[devices.fleet]]\nkind = "air-quality"\ncount = 2\n'
    )
    with running(tmp_path, "devices", "run", "-c", str(file), "--rate", "2/s") as fleet:
        fleet.wait_until(lambda: fleet.out.count("\n") >= 4)
        assert fleet.out.splitlines()[0::2][:2] == ["1 x meter, 2/s each, seed 4", "2 x air-quality, 2/s each, seed 3"]
    file.write_text('[[devices.fleet]]\nkind = "meter"\ncolour = "red"\n')
    done = run("devices", "run", "-c", str(file))
    assert done.returncode == 2
    assert "colour" in words(done)


def test_the_adapter_takes_its_settings_from_the_environment_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "adapter.toml"
    file.write_text(
        f'[adapter]\nmep = "off"\ncse = "http://127.0.0.1:1"\noutbox = "{tmp_path}/o.db"\nsync-path = ["a/*", "b/*"]\n'
    )
    listen = f"127.0.0.1:{free_port()}"
    cloud = f"http://127.0.0.1:{free_port()}"
    options = ["adapter", "-c", str(file), "--cloud", cloud]
    with running(tmp_path, *options, ONEMEC_ADAPTER_LISTEN=listen, ONEMEC_ADAPTER_CLOUD="off") as adapter:
        adapter.wait_ready()
        assert "MEC platform off" in adapter.out
        assert cloud in adapter.out
        assert f"http://{listen}/status" in adapter.out
        status = get(f"http://{listen}/status")
        assert status["mp1"] == "OFF"
        assert adapter.end() == 0


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_parts_say_where_they_are_and_end_with_0(tmp_path: Path, number: signal.Signals) -> None:
    store = f"sqlite:///{tmp_path}/cse.db"
    with (
        running(
            tmp_path, "cse", "--insecure-dev", "--admin", "CAdmin", "--http", "127.0.0.1:0", "--store", store
        ) as cse,
        running(tmp_path, "mep", "--insecure-dev", "--http", "127.0.0.1:0") as mep,
    ):
        for command in (cse, mep):
            command.wait_ready()
            url = re.search(r"http +(http://127\.0\.0\.1:[1-9]\d*)", command.out)
            assert url, command.out
        base = get(re.search(r"http +(\S+)", cse.out)[1] + "/cse-in")  # type: ignore[index]
        assert base["m2m:cb"]["csi"] == "/id-in"
        assert cse.end(number) == 0
        assert mep.end(number) == 0


def test_devices_finish_and_tell_what_came_of_it(tmp_path: Path) -> None:
    with running(tmp_path, "cse", "--insecure-dev", "--admin", "CAdmin", "--http", "127.0.0.1:0") as cse:
        cse.wait_ready()
        url = re.search(r"http +(\S+)", cse.out)[1]  # type: ignore[index]
        options = ["--kind", "meter", "--count", "3", "--rate", "20/s", "--cse", url, "--cse-id", "/id-in", "--json"]
        with running(tmp_path, "devices", "run", *options, "--report", "200ms") as fleet:
            fleet.wait_ready()
            fleet.wait_until(lambda: fleet.out.count("\n") > 6)
            assert fleet.end() == 0
        figures = [json.loads(line) for line in fleet.out.splitlines() if line.startswith("{")]
        last = figures[-1]
        assert last["final"] is True
        assert last["sent"] == last["acknowledged"] > 0
        assert last["bindings"]["http"]["devices"] == 3
        for device in last["each"]:
            container = get(f"{url}/-/{device['name']}/data")["m2m:cnt"]
            assert container["cni"] == device["acknowledged"]


def test_devices_end_by_themselves_after_their_time(tmp_path: Path) -> None:
    with running(tmp_path, "cse", "--insecure-dev", "--http", "127.0.0.1:0") as cse:
        cse.wait_ready()
        url = re.search(r"http +(\S+)", cse.out)[1]  # type: ignore[index]
        done = run("devices", "run", "--kind", "meter", "--cse", url, "--rate", "10/s", "--duration", "1s")
        assert done.returncode == 0
        assert re.match(r"sent (\d+), acknowledged \1, refused 0", done.stdout.splitlines()[-1])


def test_devices_wait_for_a_broker_and_say_so_once(tmp_path: Path) -> None:
    port = free_port()
    options = ["--kind", "temperature", "--count", "2", "--cse", f"mqtt://127.0.0.1:{port}", "--report", "300ms"]
    with running(tmp_path, "devices", "run", *options) as fleet:
        fleet.wait_until(lambda: "trying again" in fleet.err)
        seen = fleet.out.count("away")
        fleet.wait_until(lambda: fleet.out.count("away") > seen + 10)
        assert fleet.err.count("trying again") == 1
        assert str(port) in fleet.err
        assert "ready" not in fleet.out.splitlines()
        assert fleet.end() == 0


def test_the_adapter_waits_for_the_platform_says_so_once_and_registers_when_it_comes(tmp_path: Path) -> None:
    mep_port = free_port()
    with running(tmp_path, "cse", "--insecure-dev", "--http", "127.0.0.1:0") as cse:
        cse.wait_ready()
        url = re.search(r"http +(\S+)", cse.out)[1]  # type: ignore[index]
        options = ["--cse", url, "--cse-id", "/id-in", "--mep", f"http://127.0.0.1:{mep_port}"]
        options += ["--listen", "127.0.0.1:0", "--outbox", str(tmp_path / "outbox.db")]
        with running(tmp_path, "adapter", *options) as adapter:
            adapter.wait_ready()
            status = re.search(r"status +(\S+)", adapter.out)[1]  # type: ignore[index]
            adapter.wait_until(lambda: str(mep_port) in adapter.err)
            assert get(status)["cse"] == "up"
            with running(tmp_path, "mep", "--insecure-dev", "--http", f"127.0.0.1:{mep_port}") as mep:
                mep.wait_ready()
                services = f"http://127.0.0.1:{mep_port}/mec_service_mgmt/v1/services"
                # one service for HTTP and one for WebSocket, which share the port
                adapter.wait_until(lambda: [service["state"] for service in get(services)] == ["ACTIVE", "ACTIVE"])
                assert len(re.findall(r"WARNING .*no connection.*trying again", adapter.err)) == 1, adapter.err
                assert adapter.end() == 0
                assert get(services) == []
