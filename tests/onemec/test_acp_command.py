"""`onemec acp` against a running CSE: roles, grants, revocations, and what `explain` says decides."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from onemec import acp_rules
from onemec.cli import app
from tests.brokers import free_port
from tests.onemec.processes import running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An edge CSE that believes everybody."""
    http = f"127.0.0.1:{free_port()}"
    words = ["cse", "--id", "/id-edge", "--name", "cse-edge", "--http", http, "--insecure-dev", "--admin", "CAdmin"]
    with running(tmp_path_factory.mktemp("cse"), *words) as cse:
        cse.wait_ready()
        yield f"http://{http}"


class Shell:
    """Commands typed at a shell, at one CSE."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, list(words), env={"ONEMEC_CSE": self.url, "COLUMNS": "200"})

    def ok(self, *words: str) -> str:
        done = self.run(*words)
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def explain(self, who: str, operation: str, to: str, *more: str) -> dict[str, Any]:
        done = self.run("explain", who, operation, to, "--json", *more)
        assert done.exit_code in (0, 4), done.output
        shown: dict[str, Any] = json.loads(done.stdout)
        assert shown["granted"] is (done.exit_code == 0)
        return shown

    def may(self, who: str, operation: str, to: str) -> bool:
        return bool(self.explain(who, operation, to)["granted"])


@pytest.fixture
def shell(url: str) -> Shell:
    return Shell(url)


@pytest.fixture
def site(shell: Shell, request: pytest.FixtureRequest) -> str:
    """An AE of this test with two containers, one inside the other; gives its address."""
    name = f"ae{abs(hash(request.node.name)) % 10**8}"
    shell.ok("post", "-", "-t", "AE", "-n", name, "api=Nme", "--as", f"C{name}")
    for parent, child in (("", "data"), ("/data", "inner")):
        shell.ok("post", f"-/{name}{parent}", "-t", "cnt", "-n", child, "--as", f"C{name}")
    return f"-/{name}"


# --- roles -----------------------------------------------------------------------------------------------------------


def test_roles_on_a_resource_and_all_below_it_in_one_command(shell: Shell, site: str) -> None:
    name = site.removeprefix("-/")
    said = shell.ok("acp", "role", site, "--viewer", "CViewer", "--operator", "COp", "--device", "CDevice")
    assert f"policy cse-edge/{name}/acp made" in said
    assert "CViewer may now RETRIEVE, DISCOVERY" in said
    assert f"cse-edge/{name}/data/inner is linked to cse-edge/{name}/acp" in said
    for to in (site, f"{site}/data", f"{site}/data/inner"):
        assert shell.may("CViewer", "RETRIEVE", to)
        assert not shell.may("CViewer", "UPDATE", to)
        assert shell.may("COp", "UPDATE", to)
        assert not shell.may("COp", "DELETE", to)
        assert shell.may(f"C{name}", "DELETE", to), "who made it keeps its rights"
        assert not shell.may("CStranger", "RETRIEVE", to)
    # what is explained is what happens
    shell.ok("post", f"{site}/data", "1", "--as", "CDevice")
    shell.ok("get", f"{site}/data/la", "--as", "CViewer")
    refused = shell.run("put", f"{site}/data", "mni=3", "--as", "CViewer")
    assert (refused.exit_code, "4103" in refused.stderr) == (1, True)


def test_roles_a_second_time_change_nothing_and_link_what_is_new(shell: Shell, site: str) -> None:
    words = "acp", "role", site, "--viewer", "CViewer"
    shell.ok(*words)
    assert shell.ok(*words).strip() == f"nothing to change at cse-edge/{site.removeprefix('-/')}"
    shell.ok("post", site, "-t", "cnt", "-n", "later", "--as", f"C{site.removeprefix('-/')}")
    assert not shell.may("CViewer", "RETRIEVE", f"{site}/later")
    again = shell.json(*words)
    assert [step["address"] for step in again["steps"]] == [f"cse-edge/{site.removeprefix('-/')}/later"]
    assert shell.may("CViewer", "RETRIEVE", f"{site}/later")


def test_another_role_replaces_the_first(shell: Shell, site: str) -> None:
    shell.ok("acp", "role", site, "--operator", "CMoved")
    assert shell.may("CMoved", "UPDATE", site)
    said = shell.ok("acp", "role", site, "--viewer", "CMoved")
    assert "CMoved may no longer CREATE, UPDATE, NOTIFY" in said
    assert not shell.may("CMoved", "UPDATE", site)
    assert shell.may("CMoved", "RETRIEVE", site)


def test_an_administrator_may_change_the_policy(shell: Shell, site: str) -> None:
    shell.ok("acp", "role", site, "--admin", "CBoss", "--viewer", "CViewer")
    shell.ok("acp", "grant", site, "CGuest", "RETRIEVE", "--as", "CBoss")
    assert shell.may("CGuest", "RETRIEVE", site)
    refused = shell.run("acp", "grant", site, "CGuest", "UPDATE", "--as", "CViewer")
    assert (refused.exit_code, "4103" in refused.stderr) == (1, True)


def test_the_owner_of_an_ae_gives_roles_on_it(shell: Shell, site: str) -> None:
    owner = f"C{site.removeprefix('-/')}"
    shell.ok("acp", "role", site, "--viewer", "CViewer", "--as", owner)
    assert shell.may("CViewer", "RETRIEVE", f"{site}/data/inner")
    assert "nothing to change" in shell.ok("acp", "role", site, "--viewer", "CViewer", "--as", owner)


def test_policies_that_are_there_already_stay(shell: Shell, site: str) -> None:
    rule = '{"acr": [{"acor": ["CPrivate"], "acop": 63}]}'
    shell.ok("post", "-", "-t", "ACP", "-n", f"own{site[2:]}", f"pv={rule}", f"pvs={rule}")
    private = shell.json("get", f"-/own{site[2:]}")["ri"]
    shell.ok("put", f"{site}/data/inner", f'acpi=["{private}"]')
    said = shell.ok("acp", "role", site, "--viewer", "CViewer")
    assert "data/inner has policies of its own: left as it is" in said
    assert not shell.may("CViewer", "RETRIEVE", f"{site}/data/inner")
    shell.ok("acp", "role", f"{site}/data/inner", "--viewer", "CViewer")
    assert shell.may("CViewer", "RETRIEVE", f"{site}/data/inner")
    assert shell.may("CPrivate", "DELETE", f"{site}/data/inner")


# --- grant and revoke ------------------------------------------------------------------------------------------------


def test_grant_makes_a_policy_where_there_is_none_and_widens_it_later(shell: Shell, site: str) -> None:
    name = site.removeprefix("-/")
    assert "acp-data made" in shell.ok("acp", "grant", f"{site}/data", "CGuest", "retrieve")
    assert shell.may("CGuest", "RETRIEVE", f"{site}/data")
    assert not shell.may("CGuest", "RETRIEVE", site)
    said = shell.ok("acp", "grant", f"{site}/data", "CGuest", "viewer", "UPDATE")
    assert said.strip() == f"policy cse-edge/{name}/acp-data: CGuest may now UPDATE, DISCOVERY"
    assert "nothing to change" in shell.ok("acp", "grant", f"{site}/data", "CGuest", "UPDATE,RETRIEVE")


def test_a_dry_run_says_all_of_it_and_changes_nothing(shell: Shell, site: str) -> None:
    for words in (("role", site, "--viewer", "CDry"), ("grant", site, "CDry", "UPDATE")):
        shown = shell.json("acp", *words, "--dry-run")
        assert (shown["dryRun"], shown["changed"]) == (True, True)
        assert {"create", "link"} <= {step["what"] for step in shown["steps"]}
    assert "would: policy" in shell.ok("acp", "role", site, "--viewer", "CDry", "--dry-run")
    assert not shell.may("CDry", "RETRIEVE", site)
    assert shell.json("acp", "show", site)["policies"] == []


def test_revoke_takes_away_what_it_says_and_names_what_is_left(shell: Shell, site: str) -> None:
    shell.ok("acp", "role", site, "--operator", "COp", "--viewer", "CViewer")
    assert "COp may no longer CREATE, UPDATE" in shell.ok("acp", "revoke", site, "COp", "UPDATE", "CREATE")
    assert shell.may("COp", "RETRIEVE", site)
    assert not shell.may("COp", "UPDATE", site)
    shell.ok("acp", "revoke", site, "COp")
    assert not shell.may("COp", "RETRIEVE", site)
    assert shell.may("CViewer", "RETRIEVE", site), "nobody else loses anything"
    shell.ok("acp", "grant", site, "C*", "DISCOVERY")
    assert "still lets CViewer in, because it names C*" in shell.ok("acp", "revoke", site, "CViewer")
    assert "nothing to change" in shell.ok("acp", "revoke", site, "CViewer")


def test_a_policy_that_rules_others_too_is_said(shell: Shell, site: str) -> None:
    rule = '{"acr": [{"acor": ["CPrivate"], "acop": 63}]}'
    shared = shell.json("post", "-", "-t", "ACP", "-n", f"shared{site[2:]}", f"pv={rule}", f"pvs={rule}")["ri"]
    for to in (f"{site}/data", f"{site}/data/inner"):
        shell.ok("put", to, f'acpi=["{shared}"]')
    said = shell.ok("acp", "grant", f"{site}/data", "CGuest", "RETRIEVE")
    assert "also rules 1 other resources: cse-edge/" in said
    assert shell.may("CGuest", "RETRIEVE", f"{site}/data/inner")


def test_an_instance_follows_its_container(shell: Shell, site: str) -> None:
    shell.ok("post", f"{site}/data", "1")
    assert f"cse-edge/{site[2:]}/data decides" in shell.ok("acp", "grant", f"{site}/data/la", "CGuest", "RETRIEVE")
    assert shell.may("CGuest", "RETRIEVE", f"{site}/data/la")


def test_show_names_rules_and_roles(shell: Shell, site: str) -> None:
    assert f"only who made it (C{site[2:]})" in shell.ok("acp", "show", site)
    shell.ok("acp", "role", site, "--viewer", "CViewer")
    assert "rule 2: CViewer: RETRIEVE, DISCOVERY (viewer)" in shell.ok("acp", "show", site)
    shown = shell.json("acp", "show", site)["policies"][0]
    assert shown["rules"][1] == {
        "originators": ["CViewer"], "operations": ["RETRIEVE", "DISCOVERY"], "role": "viewer", "conditions": {}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("role", "-/nowhere", "--viewer", "CViewer"), 1, "4004"),
        (("role", "-"), 2, "--viewer CViewer"),
        (("role", "-", "--viewer", "Ca", "--operator", "Ca"), 2, "two roles"),
        (("grant", "-", "Ca", "PAINT"), 2, "CREATE, RETRIEVE"),
        (("grant", "-/nowhere", "Ca", "RETRIEVE"), 1, "4004"),
        (("show", "-", "--cse", "http://127.0.0.1:1"), 3, "--cse"),
    ],
)
def test_what_cannot_be_done_is_one_line(shell: Shell, words: tuple[str, ...], code: int, says: str) -> None:
    done = shell.run("acp", *words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_policy_has_no_policies(shell: Shell, site: str) -> None:
    shell.ok("acp", "role", site, "--viewer", "CViewer")
    done = shell.run("acp", "grant", f"{site}/acp", "CGuest", "RETRIEVE")
    assert (done.exit_code, "has no acpi" in done.stderr) == (1, True)


# --- explain: the bar ------------------------------------------------------------------------------------------------


def test_explain_names_the_policy_and_the_rule_for_a_denial_and_for_a_grant(shell: Shell) -> None:
    shell.ok("post", "-", "-t", "AE", "-n", "lamp", "api=Nlamp", "--as", "Clamp")
    shell.ok("acp", "role", "-/lamp", "--viewer", "CViewer", "--operator", "COp")
    refused = shell.run("put", "cse-edge/lamp", 'lbl=["x"]', "--as", "CViewer")
    assert "4103" in refused.stderr
    denied = shell.run("acp", "explain", "CViewer", "UPDATE", "cse-edge/lamp")
    assert denied.exit_code == 4
    assert "the nearest, rule 2 of cse-edge/lamp/acp: it is for CViewer and allows RETRIEVE, DISCOVERY" in denied.stdout
    granted = shell.ok("explain", "COp", "UPDATE", "cse-edge/lamp")
    assert "rule 3 of cse-edge/lamp/acp decides: it allows UPDATE to COp" in granted


def test_explain_knows_instances_creators_and_holders(shell: Shell, site: str) -> None:
    name = site.removeprefix("-/")
    shell.ok("post", f"{site}/data", "1", "--as", f"C{name}")
    made = shell.explain("CViewer", "RETRIEVE", f"{site}/data/la")
    assert (made["granted"], made["ruledBy"]) == (False, f"cse-edge/{name}/data")
    assert f"only the creator may; CViewer did not create it (C{name} did)" in made["because"]
    assert "CViewer created it" not in shell.explain(f"C{name}", "UPDATE", f"{site}/data")["because"]
    shell.ok("acp", "grant", f"{site}/data", "CViewer", "viewer")
    inherited = shell.explain("CViewer", "RETRIEVE", f"{site}/data/la")
    assert (inherited["granted"], inherited["ruledBy"]) == (True, f"cse-edge/{name}/data")
    assert f"rule 2 of cse-edge/{name}/acp-data decides" in inherited["because"]
    shell.ok("post", site, "-t", "cnt", "-n", "held", "cstn=CHolder")
    assert "is its custodian" in shell.explain("CHolder", "DELETE", f"{site}/held")["because"]
    assert "is not its custodian CHolder" in shell.explain("CViewer", "RETRIEVE", f"{site}/held")["because"]


def test_explain_counts_a_role_when_it_is_claimed(shell: Shell) -> None:
    role = "nurse@issuer.example"
    shell.ok("post", "-", "-t", "AE", "-n", "ward", "api=Nward", "--as", "Cward")
    rule = {"acor": [role], "acop": 4}
    pv, pvs = json.dumps({"acr": [rule]}), json.dumps({"acr": [{"acor": ["Cward"], "acop": 63}]})
    shell.ok("post", "-/ward", "-t", "acp", "-n", "nurses", f"pv={pv}", f"pvs={pvs}")
    shell.ok("put", "-/ward", 'acpi=["cse-edge/ward/nurses"]')
    held = {"rlid": role, "tkis": "/id-edge", "tkhd": "CNurse", "tknb": "20200101T000000", "tkna": "20990101T000000"}
    shell.ok("post", "-", "-t", "role", *(f"{name}={json.dumps(value)}" for name, value in held.items()))
    assert not shell.explain("CNurse", "UPDATE", "-/ward")["granted"]
    claimed = shell.explain("CNurse", "UPDATE", "-/ward", "--role", role)
    assert (claimed["granted"], claimed["rules"][0]["grants"]) == (True, True)


# --- rules, as such --------------------------------------------------------------------------------------------------


def test_rules_with_conditions_are_never_widened_and_always_revoked() -> None:
    night = {"acor": ["Ca", "Cb"], "acop": 63, "acco": [{"actw": ["* * 22-23 * * * *"]}]}
    granted = acp_rules.grant([night], "Ca", 2)
    assert granted == [night, {"acor": ["Ca"], "acop": 2}]
    assert acp_rules.revoke(granted, "Ca", 2) == [
        {**night, "acor": ["Cb"]},
        {**night, "acor": ["Ca"], "acop": 61},
    ]
    assert acp_rules.assign([night], "Ca", "viewer") == [{"acor": ["Ca"], "acop": 34}, night]


def test_what_all_may_is_not_granted_again() -> None:
    assert acp_rules.grant([{"acor": ["all"], "acop": 34}], "Ca", 2) == [{"acor": ["all"], "acop": 34}]
