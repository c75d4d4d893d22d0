"""`onemec doctor`: each fault is made for real, found, and said in words with what to do."""

import asyncio
import contextlib
import datetime
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp.web
import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from cse.config import CseConfig
from cse.storage import statements as sql
from onemec.cli import app
from onemec.doctor import broker as broker_checks
from onemec.doctor.configuration import look_at_configuration
from onemec.doctor.findings import Finding
from onemec.doctor.machine import clock_state, look_at_packages
from onemec.doctor.store import file_system, look_at_store
from tests.brokers import free_port, require_tool
from tests.brokers import running as running_process
from tests.onemec.processes import ENVIRONMENT, Command, running

OFF = {"ONEMEC_ADAPTER_MEP": "off", "ONEMEC_CSE_HTTP": "off", "ONEMEC_CSE_COAP": "127.0.0.1:0"}


def look(*words: str, code: int | None = None, **environment: str) -> dict[str, dict[str, Any]]:
    """The findings by check; nothing runs and nothing is configured but what is said."""
    done = CliRunner().invoke(app, ["doctor", "--json", *words], env={**OFF, **environment})
    shown = json.loads(done.stdout)
    assert done.exit_code == (1 if shown["problems"] else 0), done.output
    if code is not None:
        assert done.exit_code == code, done.stdout
    for finding in shown["findings"]:
        assert finding["words"]
        assert bool(finding["advice"]) is (finding["level"] in ("warning", "problem")), finding
    return {finding["check"]: finding for finding in shown["findings"]}


def is_problem(finding: dict[str, Any], *says: str) -> None:
    assert finding["level"] == "problem", finding
    for words in says:
        assert words in finding["words"] + finding["advice"], finding


def is_warning(finding: dict[str, Any], *says: str) -> None:
    assert finding["level"] == "warning", finding
    for words in says:
        assert words in finding["words"] + finding["advice"], finding


@pytest.fixture(autouse=True)
def _no_rival_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_checks, "_RIVAL_S", 0.1)


# --- the machine -----------------------------------------------------------------------------------------------------


def test_a_sound_machine_has_no_problems() -> None:
    found = look(code=0)
    for check in ("Python", "packages", "extra parquet", "variables", "configuration", "settings"):
        assert found[check]["level"] == "ok", found[check]


def test_few_open_files() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "onemec", "doctor", "--json"],
        capture_output=True, text=True, timeout=120, check=False, env={**ENVIRONMENT, **OFF},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )  # fmt: skip
    (finding,) = [entry for entry in json.loads(found.stdout)["findings"] if entry["check"] == "open files"]
    is_problem(finding, "256 files", "ulimit -n")
    assert found.returncode == 1


def test_packages_that_are_missing_or_old() -> None:
    lines = ["pytest>=1.0", "no-such-package>=2", "typer>=999.0", 'pyarrow>=999; extra == "parquet"']
    found = {
        finding.check: finding for finding in look_at_packages([*lines, 'x; sys_platform == "win32"'], {"parquet"})
    }
    assert "no-such-package, typer 999.0 (there is " in found["packages"].words
    assert found["extra parquet"].level == "problem"
    assert found["extra parquet"].advice == "pip install 'onemec[parquet]'"
    _, optional = look_at_packages(['no-such; extra == "semantic"'], set())
    assert (optional.check, optional.level) == ("extra semantic", "skipped")


def test_a_clock_that_nothing_keeps() -> None:
    assert clock_state(5).level == "warning"
    assert clock_state(0).level == "ok"
    assert clock_state(None).level == "skipped"
    assert "clock" in look()


# --- configuration ---------------------------------------------------------------------------------------------------


def test_a_variable_that_nobody_reads() -> None:
    is_problem(look(ONEMEC_CSE_HTPP="x")["variables"], "ONEMEC_CSE_HTPP (meant ONEMEC_CSE_HTTP?)")


def test_a_configuration_that_cannot_work(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[cse]\nregistrar = "http://127.0.0.1:1"\n')
    is_problem(look("-c", str(file))["configuration"], "an IN-CSE has no registrar")


@pytest.mark.parametrize(
    ("environment", "level", "says"),
    [
        ({"ONEMEC_CSE_HTTP": "0.0.0.0:0", "ONEMEC_CSE_INSECURE_DEV": "1"}, "warning", "believes everybody"),
        ({"ONEMEC_CSE_DEFAULT_EXPIRATION_S": "2h", "ONEMEC_CSE_MAX_EXPIRATION_S": "1h"}, "warning", "which wins"),
        ({"ONEMEC_CSE_WORKERS": "2"}, "problem", "--workers"),
        ({"ONEMEC_CSE_ALLOWED_ORIGINATORS": "C*", "ONEMEC_CSE_INSECURE_DEV": "1"}, "warning", "--allow"),
        ({"ONEMEC_CSE_MQTT": "mqtt://127.0.0.1:1"}, "warning", "--mqtt-acl"),
    ],
    ids=["reachable insecure", "expirations", "workers", "allow", "mqtt unproved"],
)
def test_settings_that_contradict_each_other(environment: dict[str, str], level: str, says: str) -> None:
    finding = look(**environment)["settings"]
    assert (finding["level"], says in finding["words"]) == (level, True), finding


def test_a_registrar_that_does_not_answer() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    found = look(ONEMEC_CSE_TYPE="MN", ONEMEC_CSE_ID="/id-mn", ONEMEC_CSE_NAME="cse-mn", ONEMEC_CSE_REGISTRAR=url)
    is_problem(found["registrar"], url, "works alone")


def _certificate(folder: Path, name: str, days: int) -> tuple[str, str]:
    """A certificate that is valid for so many days from now, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
    )  # fmt: skip
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))
    return str(cert_file), str(key_file)


def test_certificates(tmp_path: Path) -> None:
    good, key = _certificate(tmp_path, "good", 100)
    old, old_key = _certificate(tmp_path, "old", -1)
    late, late_key = _certificate(tmp_path, "late", 3)

    def certificate(cert: str, key: str) -> dict[str, Any]:
        return by_check(look_at_configuration(CseConfig(tls_cert=cert, tls_key=key)))["certificate"]

    assert certificate(good, key)["level"] == "ok"
    is_problem(certificate(good, old_key), "key is not that of the certificate")
    is_problem(certificate(old, old_key), "was valid until")
    is_warning(certificate(late, late_key), "is valid until")
    is_problem(certificate(str(tmp_path / "none.pem"), key), "there is no file")
    found = look(ONEMEC_CSE_TLS_CERT=good, ONEMEC_CSE_TLS_KEY=key, ONEMEC_CSE_TLS_CA=str(tmp_path / "none"))
    is_problem(found["tls-ca"], "No such file")


def test_credentials_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    CliRunner().invoke(app, ["device", "add", "lamp", "--credentials", str(path)])
    assert look(ONEMEC_CSE_CREDENTIALS=str(path))["credentials"]["level"] == "ok"
    path.chmod(0o644)
    is_problem(look(ONEMEC_CSE_CREDENTIALS=str(path))["credentials"], "0644", f"chmod 600 {path}")
    path.write_text("[]")
    is_problem(look(ONEMEC_CSE_CREDENTIALS=str(path))["credentials"], "no file of onemec device")


# --- ports -----------------------------------------------------------------------------------------------------------


def test_ports_in_use_name_the_process(tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-c",
        f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(99)",
    ]
    with running_process(command, port):
        found = look(ONEMEC_CSE_HTTP=f"127.0.0.1:{port}")["port http"]
        is_problem(found, f"127.0.0.1:{port}/tcp is used by pid ", "socket.create_server", "--http")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{other.getsockname()[1]}"
        is_problem(look(ONEMEC_CSE_COAP=where)["port coap"], f"{where}/udp", f"pid {os.getpid()}", "--coap")


def test_an_address_this_machine_does_not_have() -> None:
    found = look(ONEMEC_CSE_HTTP="192.0.2.1:8080", ONEMEC_CSE_INSECURE_DEV="1")["port http"]
    is_problem(found, "does not have that address")
    found = look(ONEMEC_CSE_HTTP="no-such-host.invalid:80", ONEMEC_CSE_INSECURE_DEV="1")["port http"]
    is_problem(found, "is no address")


# --- store -----------------------------------------------------------------------------------------------------------


def by_check(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """Findings of one part of the doctor."""
    return {finding.check: asdict(finding) for finding in findings}


def store(path: Path | str) -> dict[str, dict[str, Any]]:
    return by_check(look_at_store(f"sqlite:///{path}"))


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    is_problem(store(tmp_path / "gone" / "cse.db")["store"], "there is no folder", "mkdir -p")
    is_problem(store(tmp_path)["store"], "is a folder")
    (tmp_path / "text.db").write_text("no database at all, but long enough to look at" * 50)
    is_problem(store(tmp_path / "text.db")["store schema"], "not a database")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (x)")
    is_problem(store(tmp_path / "other.db")["store schema"], "another program")
    is_problem(look(ONEMEC_CSE_STORE="mysql://x")["store"], "not understood")
    is_warning(look()["store"], "in memory")


def _made(path: Path, version: int) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.execute(f"PRAGMA application_id={sql.APPLICATION_ID}")
        for statement in sql.CREATE:
            made.execute(statement)
        made.execute(sql.SET_META, ("schema_version", str(version)))


def test_schemas_of_other_releases(tmp_path: Path) -> None:
    for version, level in ((sql.SCHEMA_VERSION, "ok"), (sql.SCHEMA_VERSION - 1, "warning"), (99, "problem")):
        path = tmp_path / f"{version}.db"
        _made(path, version)
        assert store(path)["store schema"]["level"] == level
    is_problem(store(tmp_path / "99.db")["store schema"], "later release")


def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o755)
    script = "import os; from onemec.doctor.store import look_at_store\nos.setegid(65534); os.seteuid(65534)\n"
    # access(2) asks for the real user, so that one changes too
    script = script.replace("os.setegid(65534); os.seteuid(65534)", "os.setgid(65534); os.setuid(65534)")
    script += f"print(next(iter(look_at_store('sqlite:///{folder}/cse.db'))).words)"
    for parent in [*tmp_path.parents][:3]:
        if parent != Path("/tmp") and parent.is_relative_to("/tmp"):
            parent.chmod(0o755)
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "cannot be written" in done.stdout, done.stderr


def test_a_full_disk_and_one_that_forgets(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    unshare = shutil.which("unshare") or ""
    inner = f"mount -t tmpfs -o size=1m none {small} && exec {sys.executable} -m onemec doctor --json"
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", inner], capture_output=True, text=True, timeout=120, check=False,
        env={**ENVIRONMENT, **OFF, "ONEMEC_CSE_STORE": f"sqlite:///{small}/cse.db"},
    )  # fmt: skip
    if done.returncode and not done.stdout:
        # no user namespaces here: the kernel's own memory disk shows at least what it is
        assert file_system(Path("/dev/shm")).level == "warning", done.stderr
        return
    found = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    is_problem(found["store space"], "MiB are free", "make room")
    is_warning(found["store disk"], "(tmpfs) is memory")


def test_disks_that_lie(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\noverlay /var overlay rw 0 0\n")
    assert "nfs4" in file_system(tmp_path, str(mounts)).words
    assert file_system(tmp_path, str(mounts)).level == "warning"
    assert "layer of a container" in file_system(Path("/var"), str(mounts)).words
    assert file_system(Path("/usr"), str(mounts)).level == "ok"


def test_a_database_that_does_not_answer() -> None:
    url = f"postgresql://onemec:s3cret@127.0.0.1:{free_port()}/db"
    found = look(ONEMEC_CSE_STORE=url)["store"]
    is_problem(found, "refused", "start the database")
    assert "s3cret" not in json.dumps(found)


# --- broker ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mosquitto(folder: Path, rules: str) -> Iterator[int]:
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\npersistence false\n{rules}")
    with running_process([require_tool("mosquitto"), "-c", str(config)], port):
        yield port


def broker(url: str, **more: str) -> dict[str, dict[str, Any]]:
    return look(ONEMEC_CSE_MQTT=url, ONEMEC_CSE_INSECURE_DEV="1", **more)


def test_a_broker_that_is_not_there() -> None:
    port = free_port()
    is_problem(broker(f"mqtt://127.0.0.1:{port}")["broker"], f"nothing answers at mqtt://127.0.0.1:{port}")
    is_problem(broker("mqtt://no-such-host.invalid")["broker"], "no host name")
    assert look()["broker"]["level"] == "skipped"


def test_something_else_at_the_port_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_checks, "_WAIT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        is_problem(broker(f"mqtt://127.0.0.1:{other.getsockname()[1]}")["broker"], "port of")


def test_credentials_that_the_broker_does_not_know(tmp_path: Path) -> None:
    password = tmp_path / "passwd"
    subprocess.run([require_tool("mosquitto_passwd"), "-b", "-c", str(password), "id-in", "right"], check=True)
    password.chmod(0o644)
    tmp_path.chmod(0o755)
    with mosquitto(tmp_path, f"user root\nallow_anonymous false\npassword_file {password}\n") as port:
        is_problem(broker(f"mqtt://id-in:wrong@127.0.0.1:{port}")["broker"], "refuses the user id-in")
        is_problem(broker(f"mqtt://127.0.0.1:{port}")["broker"], "without user and password")
        found = broker(f"mqtt://id-in:right@127.0.0.1:{port}", ONEMEC_CSE_MQTT_ACL="1")
        assert found["broker"]["level"] == found["broker ACL"]["level"] == found["client id"]["level"] == "ok"
        assert found["broker strangers"]["level"] == "ok"
        assert "wrong" not in json.dumps(found)


def test_an_acl_that_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_checks, "_WAIT_S", 2.0)
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite somewhere/#\n")
    with mosquitto(tmp_path, f"user root\nallow_anonymous true\nacl_file {acl}\n") as port:
        is_problem(broker(f"mqtt://127.0.0.1:{port}")["broker ACL"], "onemec device mosquitto")


def test_a_broker_that_lets_everybody_in(mosquitto_url: str) -> None:
    found = broker(mosquitto_url, ONEMEC_CSE_MQTT_ACL="1")
    is_problem(found["broker strangers"], "anybody may use any topic")


def test_a_client_id_that_somebody_else_has(mosquitto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_checks, "_RIVAL_S", 20.0)
    own = f"id-{os.getpid()}"
    rival = mqtt.Client(CallbackAPIVersion.VERSION2, f"C::{own}")
    rival.connect("127.0.0.1", int(mosquitto_url.rpartition(":")[2]))
    rival.loop_start()
    try:
        found = broker(mosquitto_url, ONEMEC_CSE_ID=f"/{own}")
    finally:
        rival.disconnect()
        rival.loop_stop()
    is_problem(found["client id"], f"C::{own} too", "another --id")
    monkeypatch.setattr(broker_checks, "_RIVAL_S", 2.5)
    assert broker(mosquitto_url, ONEMEC_CSE_ID=f"/{own}")["client id"]["level"] == "ok"


# --- what runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cse(tmp_path_factory: pytest.TempPathFactory, mosquitto_url: str) -> Iterator[dict[str, str]]:
    """A CSE on four bindings, as its variables have it."""
    given = {
        "ONEMEC_CSE_HTTP": f"127.0.0.1:{free_port()}",
        "ONEMEC_CSE_COAP": f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
        "ONEMEC_CSE_MQTT": mosquitto_url,
        "ONEMEC_CSE_ID": f"/id-d{os.getpid()}",
        "ONEMEC_CSE_INSECURE_DEV": "1",
        "ONEMEC_CSE_ADMIN": "CAdmin",
    }
    with running(tmp_path_factory.mktemp("cse"), "cse", **given) as running_cse:
        running_cse.wait_ready()
        yield given


def test_a_cse_that_runs_is_asked_on_every_binding(cse: dict[str, str]) -> None:
    found = look(**cse)
    for binding in ("http", "ws", "coap", "mqtt"):
        assert found[f"CSE over {binding}"]["level"] == "ok", found
    assert found["CSE parts"]["level"] == found["clock of the CSE"]["level"] == "ok"
    assert "used by a CSE that runs" in found["port http"]["words"]
    assert found["client id"]["level"] == "skipped"


def test_another_cse_at_the_address(cse: dict[str, str]) -> None:
    found = look(**{**cse, "ONEMEC_CSE_ID": "/id-other"})
    is_problem(found["CSE over http"], f"is {cse['ONEMEC_CSE_ID']}, not /id-other")


def test_a_cse_that_should_run_and_does_not() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    is_problem(look("--cse", url)["CSE over http"], url, "start it")
    quiet = look(ONEMEC_CSE_HTTP=url.removeprefix("http://"))
    assert quiet["CSE over http"]["level"] == "skipped"


def test_a_part_of_the_cse_that_does_not_work(tmp_path: Path) -> None:
    at = f"127.0.0.1:{free_port()}"
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker", "allow_anonymous true\n") as port:
        given = {"ONEMEC_CSE_HTTP": at, "ONEMEC_CSE_MQTT": f"mqtt://127.0.0.1:{port}", "ONEMEC_CSE_INSECURE_DEV": "1"}
        command = Command(tmp_path, "cse", **given)
        command.wait_ready()
    try:
        deadline = time.monotonic() + 30
        while "CSE part mqtt" not in (found := look("--cse", f"http://{at}")):
            assert time.monotonic() < deadline, found
        is_problem(found["CSE part mqtt"], "not connected")
    finally:
        command.end()


def serve(*routes: aiohttp.web.RouteDef) -> "contextlib.AbstractAsyncContextManager[str]":
    """A web server of the test."""

    @contextlib.asynccontextmanager
    async def serving() -> Any:
        application = aiohttp.web.Application()
        application.add_routes(routes)
        runner = aiohttp.web.AppRunner(application)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    return serving()


async def test_a_clock_that_is_an_hour_ahead() -> None:
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)

    async def services(_request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.json_response([], headers={"Date": f"{ahead:%a, %d %b %Y %H:%M:%S GMT}"})

    async with serve(aiohttp.web.get("/mec_service_mgmt/v1/services", services)) as url:
        found = await asyncio.to_thread(look, "--mep", url)
    is_problem(found["clock of the MEC platform"], "ahead of this machine", "time service")
    is_warning(found["MEC services"], "no service is registered", "onemec adapter")


def test_a_mec_platform_and_its_token(tmp_path: Path) -> None:
    url, operator = f"http://127.0.0.1:{free_port()}", "t0ken-of-the-operator-0123456789"
    with running(tmp_path, "mep", "--http", url.removeprefix("http://"), ONEMEC_MEP_ADMIN_TOKEN=operator) as mep:
        mep.wait_ready()
        is_problem(look("--mep", url)["MEC platform"], "refuses requests without a token")
        is_problem(look("--mep", url, "--mep-token", "wrong")["MEC platform"], "refuses this token")
        words = ["mep", "app", "create", "--name", "doctor-test", "--mep", url, "--json"]
        done = CliRunner().invoke(app, words, env={"ONEMEC_MEP_ADMIN_TOKEN": operator})
        assert done.exit_code == 0, done.output
        made = json.loads(done.stdout)
        assert look("--mep", url, ONEMEC_MEP_TOKEN=made["token"])["MEC platform"]["level"] == "ok"
        adapter = {
            "ONEMEC_ADAPTER_TOKEN_URL": made["tokenEndpoint"],
            "ONEMEC_ADAPTER_CLIENT_ID": made["clientId"],
            "ONEMEC_ADAPTER_CLIENT_SECRET": made["clientSecret"],
        }
        found = look("--mep", url, **adapter)
        assert found["MEC token"]["level"] == found["MEC platform"]["level"] == "ok"
        refused = look("--mep", url, **{**adapter, "ONEMEC_ADAPTER_CLIENT_SECRET": "wrong"})
        is_problem(refused["MEC token"], "no token from", "--token-url")
        is_problem(look("--mep", f"{url}/sbx1", ONEMEC_MEP_TOKEN=made["token"])["MEC platform"], "apiRoot")
    is_problem(look("--mep", url)["MEC platform"], "start it")


def test_what_is_printed_for_people() -> None:
    done = CliRunner().invoke(app, ["doctor", "--quiet"], env={**OFF, "ONEMEC_CSE_STORE": "mysql://x"})
    assert done.exit_code == 1
    assert "PROBLEM  store: 'mysql://x' is not understood" in done.stdout
    assert "           -> give memory" in done.stdout
    assert "1 problems" in done.stdout
    assert "\nok " not in done.stdout
