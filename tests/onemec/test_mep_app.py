"""`onemec mep app`: the operator's side of the MEC platform, as real processes."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import free_port
from tests.onemec.processes import run, running

SECRET = "operator-secret-of-32-characters-x"


@pytest.fixture(scope="module")
def mep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a platform that asks for tokens."""
    port = free_port()
    words = ("mep", "--http", f"127.0.0.1:{port}", "--tls-elsewhere")
    with running(tmp_path_factory.mktemp("mep"), *words, ONEMEC_MEP_ADMIN_TOKEN=SECRET) as platform:
        platform.wait_ready()
        yield f"http://127.0.0.1:{port}"


def one_line(stderr: str) -> str:
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("onemec: ")
    return lines[0]


def test_life_of_an_application_instance(mep: str, tmp_path: Path) -> None:
    environment = {"ONEMEC_MEP_URL": mep, "ONEMEC_MEP_ADMIN_TOKEN": SECRET}
    file = tmp_path / "app.json"
    rule = {"dnsRuleId": "d1", "domainName": "a.example", "ipAddressType": "IP_V4", "ipAddress": "192.0.2.7"}
    file.write_text(json.dumps({"appName": "my-app", "appInstanceId": "my-app-1", "appDNSRule": [rule]}))

    created = run("mep", "app", "create", "--descriptor", str(file), "--json", **environment)
    assert (created.returncode, created.stderr) == (0, "")
    made = json.loads(created.stdout)
    assert made["appInstanceId"] == "my-app-1"
    assert {"clientId", "clientSecret", "tokenEndpoint", "token"} <= made.keys()

    # The token is the instance's own: it opens its DNS rules, and without it they stay closed.
    rules = f"{mep}/mec_app_support/v2/applications/my-app-1/dns_rules"
    request = urllib.request.Request(rules, headers={"Authorization": f"Bearer {made['token']}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert [entry["dnsRuleId"] for entry in json.loads(answer.read())] == ["d1"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(rules, timeout=5)

    table = run("mep", "app", "list", **environment).stdout.splitlines()
    assert table[0].split() == ["ID", "NAME", "STATE", "READY", "SERVICES"]
    assert table[1].split() == ["my-app-1", "my-app", "STARTED", "no", "0"]
    assert "already" in one_line(run("mep", "app", "create", "--descriptor", str(file), **environment).stderr)

    ended = run("mep", "app", "terminate", "my-app-1", "--graceful", "10s", **environment)
    assert (ended.returncode, ended.stdout) == (0, "terminating my-app-1 within 10 s\n")
    listed = json.loads(run("mep", "app", "list", "--json", **environment).stdout)
    assert [entry["instantiationState"] for entry in listed] == ["NOT_INSTANTIATED"] or listed == []


def test_now_needs_no_grace(mep: str) -> None:
    options = ("--mep", mep, "--token", SECRET)
    shown = run("mep", "app", "create", "--name", "other", *options).stdout
    app_id = shown.splitlines()[0].split()[-1]
    ended = run("mep", "app", "terminate", app_id, "--now", "--stop", "--json", *options)
    assert json.loads(ended.stdout) == {
        "appInstanceId": app_id,
        "operationAction": "STOPPING",
        "gracefulTimeoutS": 0,
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create",), 2, "--name"),
        (("create", "--descriptor", "/nowhere.json"), 2, "No such file"),
        (("terminate", "x", "--now", "--graceful", "1s"), 2, "exclude"),
        (("terminate", "x", "--graceful", "soon"), 2, "no time span"),
        (("list", "--mep", "ftp://x"), 2, "http://"),
        (("list", "--mep", "http://127.0.0.1:9"), 1, "onemec mep"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(words: tuple[str, ...], code: int, said: str) -> None:
    done = run("mep", "app", *words)
    assert done.returncode == code
    assert said in one_line(done.stderr)


def test_refusals_of_the_platform_are_one_line(mep: str) -> None:
    assert "ONEMEC_MEP_ADMIN_TOKEN" in one_line(run("mep", "app", "list", "--mep", mep).stderr)
    unknown = run("mep", "app", "terminate", "nope", "--mep", mep, "--token", SECRET)
    assert unknown.returncode == 1
    assert "'nope'" in one_line(unknown.stderr)


@pytest.mark.parametrize("command", ["create", "list", "terminate"])
def test_every_command_has_examples(command: str) -> None:
    shown = run("mep", "app", command, "--help").stdout
    assert "Examples:" in shown
    assert f"onemec mep app {command}" in shown
