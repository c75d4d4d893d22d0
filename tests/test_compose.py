"""compose.yaml and the Dockerfile, checked as far as that goes without a container engine."""

import http.server
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import brokers

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = sorted(name for name, service in SERVICES.items() if "build" in service)

# What of the compose specification this file uses; a misspelt key is silently ignored by nobody but a reader.
TOP_LEVEL = {"name", "services", "volumes"}
SERVICE_KEYS = {
    *("build", "cap_drop", "command", "depends_on", "entrypoint", "environment", "healthcheck", "image", "ports"),
    *("profiles", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "user", "volumes"),
}
HEALTHCHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
SPAN = re.compile(r"\d+(ms|s|m|h)")


def dockerfile() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions as (name, arguments), continuation lines joined and comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    parts = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(part[0], part[1].strip()) for part in parts]


def arguments(service: dict[str, Any], key: str) -> list[str]:
    """Return a service's command or entrypoint as a list, as the engine splits it."""
    value = service.get(key, [])
    return shlex.split(value) if isinstance(value, str) else list(value)


# --- compose.yaml --------------------------------------------------------------------------------------------


def test_only_known_keys_are_used() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} <= TOP_LEVEL
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name)
        assert set(service) <= SERVICE_KEYS, name
        assert set(service.get("build", {})) <= {"context", "dockerfile"}, name
        assert isinstance(service["image"], str)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_a_health_check_with_times(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert set(check) == HEALTHCHECK_KEYS
    assert check["test"][0] == "CMD"
    assert len(check["test"]) > 1
    assert all(isinstance(word, str) for word in check["test"])
    assert all(SPAN.fullmatch(check[key]) for key in ("interval", "timeout", "start_period"))
    assert check["retries"] >= 1


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_runs_as_root_or_with_capabilities(name: str) -> None:
    service = SERVICES[name]
    user, group = (int(part) for part in service["user"].split(":"))
    assert user > 0
    assert group > 0
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


def test_services_wait_for_healthy_ones_and_never_for_each_other() -> None:
    def chain(name: str, seen: tuple[str, ...] = ()) -> None:
        assert name not in seen, f"{' -> '.join(seen)} -> {name}"
        for other, how in SERVICES[name].get("depends_on", {}).items():
            assert other in SERVICES
            assert how == {"condition": "service_healthy"}
            chain(other, (*seen, name))

    for name in SERVICES:
        chain(name)


def test_a_service_waits_for_each_service_it_is_told_to_talk_to() -> None:
    def waits_for(name: str) -> set[str]:
        direct = set(SERVICES[name].get("depends_on", {}))
        return direct.union(*(waits_for(other) for other in direct))

    for name, service in SERVICES.items():
        command = re.sub(r"--console-peer \S+", "", " ".join(arguments(service, "command")))  # they may come later
        hosts = set(re.findall(r"\w+://([a-z][a-z-]*)[:/]", command))
        assert hosts <= set(SERVICES), f"{name} talks to {hosts - set(SERVICES)}"
        assert hosts - {name} <= waits_for(name), f"{name} must wait for {hosts - {name} - waits_for(name)}"


def test_every_path_and_every_volume_exists() -> None:
    used = set()
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            assert target.startswith("/")
            if source.startswith("."):
                assert (ROOT / source).exists(), source
                assert mode == ["ro"]
            else:
                used.add(source)
        if "build" in service:
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert used == set(COMPOSE["volumes"])


def test_what_is_stored_is_stored_on_a_volume() -> None:
    for name, service in SERVICES.items():
        stores = re.findall(r"(?:sqlite:///|--outbox )(/\S+)", " ".join(arguments(service, "command")))
        targets = [mount.split(":")[1] for mount in service.get("volumes", [])]
        for store in stores:
            assert str(Path(store).parent) in targets, f"{name}: {store} would be lost with the container"


def test_who_stores_in_postgresql_has_it_and_waits_for_it() -> None:
    users = [name for name, service in SERVICES.items() if "postgresql://" in " ".join(arguments(service, "command"))]
    assert users
    for name in users:
        host = re.findall(r"postgresql://\w+@([a-z-]+):", " ".join(arguments(SERVICES[name], "command")))[0]
        assert SERVICES[name]["depends_on"][host] == {"condition": "service_healthy"}
        assert SERVICES[name]["profiles"] == SERVICES[host]["profiles"]
    assert any("--extra postgresql" in text for _, text in dockerfile())


def test_ports_are_published_on_loopback_only_and_documented() -> None:
    published = set()
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            match = re.fullmatch(r"127\.0\.0\.1:(\d+):\d+(?:/(udp))?", port)
            assert match, f"{name} publishes {port} on more than 127.0.0.1"
            published.add((int(match[1]), match[2] or "tcp"))
    documented = re.findall(r"^\| `127\.0\.0\.1:(\d+)` ?(udp)?", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert published == {(int(port), kind or "tcp") for port, kind in documented}


def test_who_is_called_back_tells_an_address_they_can_reach() -> None:
    for name, service in SERVICES.items():
        words = arguments(service, "command")
        if words[:1] in (["cse"], ["adapter"]):
            told = [words[index + 1] for index, word in enumerate(words) if word in ("--poa", "--public-url")]
            assert told, f"{name} would advertise 0.0.0.0"
            assert all(re.match(r"\w+://[a-z][a-z-]*:\d+$", url) for url in told)


def test_who_listens_beyond_loopback_says_insecure_dev() -> None:
    for name, service in SERVICES.items():
        words = arguments(service, "command")
        if words[:1] in (["cse"], ["mep"]) and any(word.startswith("0.0.0.0:") for word in words):
            assert "--insecure-dev" in words, f"{name} would refuse to start"
            assert words[0] != "mep" or "--insecure-network" in words, f"{name} would refuse to start"


@pytest.mark.parametrize("name", [name for name in OWN if "entrypoint" not in SERVICES[name]])
def test_the_command_line_knows_every_command_and_option(name: str) -> None:
    words = arguments(SERVICES[name], "command")
    first_option = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    command = words[:first_option]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-c", "from onemec.cli import main; main()", *command, "--help"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, f"onemec {' '.join(command)}: {done.stderr[-500:]}"
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout))
    unknown = [word for word in words[first_option:] if word.startswith("-") and word not in known]
    assert unknown == [], f"onemec {' '.join(command)} knows {sorted(known)}"


def test_the_example_application_knows_its_options() -> None:
    service = SERVICES["mec-app"]
    program = arguments(service, "entrypoint")
    assert program[0] == "python"
    source = ROOT / Path(program[1]).relative_to("/opt/onemec")
    done = subprocess.run(
        [sys.executable, str(source), "--help"], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-500:]
    unknown = [word for word in arguments(service, "command") if word.startswith("--") and word not in done.stdout]
    assert unknown == []


# --- Dockerfile ----------------------------------------------------------------------------------------------


def test_the_dockerfile_has_only_known_instructions_and_starts_with_from() -> None:
    known = {
        *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL"),
        *("USER", "VOLUME", "WORKDIR"),
    }
    names = [name for name, _ in dockerfile()]
    assert names[0] == "FROM"
    assert set(names) <= known
    for name, text in dockerfile():
        if text.startswith("["):
            assert all(isinstance(word, str) for word in json.loads(text)), name
        if name == "RUN":
            subprocess.run(["bash", "-n", "-c", text], check=True)


def test_the_image_is_pinned_small_and_multi_stage() -> None:
    stages = [text for name, text in dockerfile() if name == "FROM"]
    assert len(stages) == 2
    assert stages[0].endswith(" AS build")
    images = [re.match(r"python:3\.(\d+)-slim(-\w+)?(?: AS build)?$", stage) for stage in stages]
    assert all(match and int(match[1]) >= 11 for match in images), stages
    assert len({match[1] for match in images if match}) == 1, "both stages need the same Python: the environment moves"


def test_everything_that_is_copied_exists_and_reaches_the_engine() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = []
    for name, text in dockerfile():
        if name == "COPY" and "--from=" not in text:
            copied += text.split()[:-1]
    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert set(copied) == allowed


def test_the_image_has_every_package_of_the_wheel() -> None:
    copied = {word for name, text in dockerfile() if name == "COPY" for word in text.split()[:-1]}
    assert {"cse", "mec_adapter", "devices", "onemec"} <= copied


def test_the_image_runs_as_the_user_that_compose_names_and_is_watched() -> None:
    last_stage = dockerfile()[[name for name, _ in dockerfile()].index("FROM", 1) :]
    given = dict(last_stage)
    assert given["USER"] == "10001:10001"
    assert {SERVICES[name]["user"] for name in OWN} == {"10001:10001"}
    assert any("--uid 10001" in text for name, text in last_stage if name == "RUN")
    assert "HEALTHCHECK" in given
    assert json.loads(given["ENTRYPOINT"]) == ["onemec"]


def test_health_checks_call_a_script_that_is_in_the_image() -> None:
    copied = {text.split()[-1] for name, text in dockerfile() if name == "COPY"}
    assert "/opt/onemec/healthcheck.py" in copied
    for name in OWN:
        assert SERVICES[name]["healthcheck"]["test"][1:3] == ["python", "/opt/onemec/healthcheck.py"]


# --- the pieces that can run here ----------------------------------------------------------------------------


@pytest.fixture
def answering() -> Iterator[str]:
    """A server that answers /good with a list of services and everything else with 404."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.path == "/good" and self.headers["X-M2M-Origin"] == "CAdmin"
            self.send_response(200 if good else 404)
            self.end_headers()
            self.wfile.write(b'[{"state":"ACTIVE"}]')

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "options", "code"),
    [
        ("/good", [], 0),
        ("/good", ["--contains", "ACTIVE"], 0),
        ("/good", ["--contains", "SUSPENDED"], 1),
        ("/bad", [], 1),
    ],
)
def test_the_health_check_tells_good_from_bad(answering: str, path: str, options: list[str], code: int) -> None:
    script = ROOT / "docker/healthcheck.py"
    done = subprocess.run(
        [sys.executable, str(script), answering + path, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == code


def test_the_health_check_says_when_nobody_answers(free_port: int) -> None:
    script = ROOT / "docker/healthcheck.py"
    url = f"http://127.0.0.1:{free_port}/x"
    done = subprocess.run([sys.executable, str(script), url], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(url)


def test_mosquitto_starts_with_the_configuration_that_compose_mounts(tmp_path: Path, free_port: int) -> None:
    text = (ROOT / "docker/mosquitto.conf").read_text()
    assert re.search(r"^max_queued_messages 0$", text, re.MULTILINE)
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        text.replace("listener 1883", f"listener {free_port} 127.0.0.1").replace("/mosquitto/data/", f"{tmp_path}/")
        + "user root\n"  # it would drop to a user that may not write into the test's folder
    )
    command = [brokers.require_tool("mosquitto"), "-c", str(config)]
    with brokers.running(command, free_port) as url, brokers.Client(url) as sender, brokers.Client(url) as receiver:
        receiver.subscribe("/oneM2M/req/+/id-in/json")
        sender.publish("/oneM2M/req/C1/id-in/json", "{}")
        assert receiver.take()[0].payload == b"{}"
