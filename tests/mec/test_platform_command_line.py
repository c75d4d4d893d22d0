"""The MEC platform from the command line: federation of two, descriptors, restarts, limits, starts, status page."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import free_port
from tests.mec.conftest import service_info
from tests.onemec.processes import run, running

SECRET = "operator-secret-of-32-characters-x"


def ask(url: str, token: str = "", method: str = "GET", body: Any = None) -> tuple[int, Any]:
    """Send one request and return status and decoded JSON (or text)."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        status, raw = refused.code, refused.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, raw.decode()


@contextlib.contextmanager
def mep(folder: Path, *options: str, secret: str = SECRET) -> Iterator[str]:
    """Run a platform as its own process; with a secret it asks for tokens."""
    port = free_port()
    words = ["mep", "--http", f"127.0.0.1:{port}", *options]
    environment = {"ONEMEC_MEP_ADMIN_TOKEN": secret} if secret else {}
    if not secret:
        words.append("--insecure-dev")
    with running(folder, *words, **environment) as platform:
        platform.wait_ready()
        yield f"http://127.0.0.1:{port}"


def made_app(url: str, *options: str) -> dict[str, Any]:
    created = run("mep", "app", "create", "--json", *options, ONEMEC_MEP_URL=url, ONEMEC_MEP_ADMIN_TOKEN=SECRET)
    assert (created.returncode, created.stderr) == (0, "")
    made: dict[str, Any] = json.loads(created.stdout)
    return made


@pytest.mark.behaviour("OTH-2.07")
def test_two_platforms_that_ask_for_tokens_discover_each_others_systems_and_services(tmp_path: Path) -> None:
    with (
        mep(tmp_path, "--host-id", "site-1", "--name", "north", "--provider", "us") as north,
        mep(tmp_path, "--host-id", "site-2", "--name", "south", "--provider", "them") as south,
    ):
        app = made_app(south, "--name", "meter-reading")
        path = f"{south}/mec_service_mgmt/v1/applications/{app['appInstanceId']}/services"
        assert ask(path, app["token"], "POST", service_info(serName="metering"))[0] == 201

        words = ("mep", "federate", "--mep", north, "--token", SECRET, "--with", south, "--with-token", SECRET)
        done = run(*words, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        first, second = json.loads(done.stdout)
        assert [first["system"]["systemName"], first["finds"]["systemName"]] == ["north", "south"]
        assert [second["system"]["systemName"], second["finds"]["systemProvider"]] == ["south", "us"]
        assert [info["serName"] for info in first["finds"]["services"]] == ["metering"]
        assert first["finds"]["services"][0]["isLocal"] is False
        assert second["finds"]["services"] == []

        again = run(*words)
        assert again.returncode == 0
        assert "north finds south by them" in again.stdout
        assert "metering 1.0.0 ACTIVE" in again.stdout
        clients = ask(f"{south}/mep/v1/clients", SECRET)[1]
        assert len([client for client in clients if client["name"].startswith("federation")]) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "--with"),
        (("--with", "http://127.0.0.1:9"), 1, "onemec mep"),
    ],
)
def test_a_federation_that_cannot_work_is_refused_in_one_line(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    with mep(tmp_path, secret="") as url:
        done = run("mep", "federate", "--mep", url, *words)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (code, 1)
        assert said in done.stderr
        itself = run("mep", "federate", "--mep", url, "--with", url)
        assert "--host-id" in itself.stderr


DESCRIPTOR = {
    "appName": "camera",
    "appInstanceId": "camera-1",
    "appTrafficRule": [
        {
            "trafficRuleId": "t1",
            "filterType": "FLOW",
            "priority": 1,
            "trafficFilter": [{"dstAddress": ["192.0.2.0/24"]}],
            "action": "PASSTHROUGH",
            "dstInterface": [{"interfaceType": "IP", "dstIpAddress": "192.0.2.9"}],
        }
    ],
    "appDNSRule": [{"dnsRuleId": "d1", "domainName": "a.example", "ipAddressType": "IP_V4", "ipAddress": "192.0.2.7"}],
}


@pytest.mark.behaviour("OTH-9.01", "OTH-9.02", "OTH-9.03")
def test_descriptor_rules_activation_and_token_survive_a_restart_until_termination(tmp_path: Path) -> None:
    file, store = tmp_path / "app.json", f"sqlite:///{tmp_path}/mep.db"
    file.write_text(json.dumps(DESCRIPTOR))
    with mep(tmp_path, "--store", store) as url:
        made = made_app(url, "--descriptor", str(file))
        assert made["appInstanceId"] == "camera-1"
        token = made["token"]
        rules = f"{url}/mec_app_support/v2/applications/camera-1"
        status, rule = ask(f"{rules}/traffic_rules/t1", token)
        assert (status, rule) == (200, {**DESCRIPTOR["appTrafficRule"][0], "state": "INACTIVE"})
        assert ask(f"{rules}/traffic_rules/t1", token, "PUT", {**rule, "state": "ACTIVE"})[0] == 200
        assert ask(f"{rules}/confirm_ready", token, "POST", {"indication": "READY"})[0] == 204
    with mep(tmp_path, "--store", store) as url:
        rules = f"{url}/mec_app_support/v2/applications/camera-1"
        assert ask(f"{rules}/traffic_rules", token)[1][0]["state"] == "ACTIVE"
        assert ask(f"{rules}/dns_rules", token)[1][0]["dnsRuleId"] == "d1"
        operator = {"ONEMEC_MEP_URL": url, "ONEMEC_MEP_ADMIN_TOKEN": SECRET}
        (listed,) = json.loads(run("mep", "app", "list", "--json", **operator).stdout)
        assert (listed["appInstanceId"], listed["ready"], listed["managed"]) == ("camera-1", True, True)
        ended = run("mep", "app", "terminate", "camera-1", "--now", "--json", **operator)
        assert json.loads(ended.stdout)["operationAction"] == "TERMINATING"
        (listed,) = json.loads(run("mep", "app", "list", "--json", **operator).stdout)
        assert listed["instantiationState"] == "NOT_INSTANTIATED"
        assert ask(f"{rules}/traffic_rules", token)[0] == 403


@pytest.mark.behaviour("M11-8.02")
def test_insecure_dev_beyond_loopback_is_refused_unless_the_network_is_said_to_be_closed() -> None:
    refused = run("mep", "--http", f"0.0.0.0:{free_port()}", "--insecure-dev")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1)
    assert "loopback only" in refused.stderr


@pytest.mark.behaviour("M11-8.12")
def test_rate_limit_of_the_command_line_is_429_with_retry_after(tmp_path: Path) -> None:
    with mep(tmp_path, "--requests-per-s", "0.01", "--request-burst", "3", secret="") as url:
        answers = [ask(f"{url}/mec_service_mgmt/v1/services") for _ in range(4)]
    assert [status for status, _ in answers] == [200, 200, 200, 429]
    assert answers[3][1]["status"] == 429


@pytest.mark.behaviour("OTH-9.04")
def test_status_page_shows_what_the_command_line_made(tmp_path: Path) -> None:
    with mep(tmp_path, secret="") as url:
        run("mep", "app", "create", "--name", "shown-app", ONEMEC_MEP_URL=url)
        status, page = ask(f"{url}/")
    assert status == 200
    assert "shown-app" in page


def test_clocks_named_at_the_command_line_are_offered_to_applications(tmp_path: Path) -> None:
    options = ("--ntp-server", "ntp.example", "--ntp-server", "192.0.2.1", "--ptp-master", "192.0.2.5")
    with mep(tmp_path, *options, "--time-traceable", secret="") as url:
        caps = ask(f"{url}/mec_app_support/v2/timing/timing_caps")[1]
        now = ask(f"{url}/mec_app_support/v2/timing/current_time")[1]
    assert [server["ntpServerAddrType"] for server in caps["ntpServers"]] == ["DNS_NAME", "IP_ADDRESS"]
    assert [master["ptpMasterIpAddress"] for master in caps["ptpMasters"]] == ["192.0.2.5"]
    assert now["timeSourceStatus"] == "TRACEABLE"
