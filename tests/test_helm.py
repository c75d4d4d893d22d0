"""The Helm chart: linted and rendered where helm is found; what can be checked without it, everywhere."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.brokers import find_tool

CHART = Path(__file__).resolve().parent.parent / "deploy/helm/onemec"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
TEMPLATES = sorted((CHART / "templates").iterdir())
ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
#: functions of the templates
WORDS = {"if", "with", "end", "else", "not", "ne", "ternary", "upper", "toJson", "toYaml", "nindent"}


def bare(text: str, switched_on: bool) -> str:
    """A template as YAML: blocks kept or left out, values replaced by what they are in values.yaml."""
    lines: list[str] = []
    open_blocks: list[str] = []
    for line in text.splitlines():
        actions = ACTION.findall(line)
        if len(actions) == 1 and ACTION.sub("", line).strip() == "" and not actions[0].startswith("toJson"):
            word = actions[0].split()[0]
            if word in ("if", "with"):
                open_blocks.append(actions[0])
            elif word == "end":
                open_blocks.pop()
            continue
        if len(actions) == 3 and actions[2] == "end":  # {{ with list }}{{ toYaml . }}{{ end }}
            lines += ["            - --from-a-list"] if switched_on else []
            continue
        if not switched_on and not all(block.startswith("if not") for block in open_blocks):
            continue
        lines.append(ACTION.sub(lambda found: shown(found[1], open_blocks), line))
    assert open_blocks == []
    return "\n".join(lines)


def shown(action: str, blocks: list[str]) -> str:
    """What an action puts there."""
    if action.startswith("toJson"):
        return "{}"
    if action == ".":
        return "x"
    if action.startswith(".Values."):
        value = value_of(action.removeprefix(".Values."))
        return "x" if value == "" else str(value)
    if "scheme" in action:
        return "HTTPS" if action.startswith("upper") else "https"
    return "x"


def value_of(path: str) -> Any:
    """A value by its path.

    Raises:
        KeyError: there is none.
    """
    value: Any = VALUES
    for name in path.split("."):
        value = value[name]
    return value


def documents(switched_on: bool) -> dict[str, dict[str, Any]]:
    """What the templates come to, by kind."""
    found = {}
    for template in TEMPLATES:
        for document in yaml.safe_load_all(bare(template.read_text(), switched_on)):
            found[document["kind"]] = document
    return found


def test_the_chart_is_small_and_says_what_it_is() -> None:
    files = [CHART / "Chart.yaml", CHART / "values.yaml", *TEMPLATES]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 150
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2"
    assert re.fullmatch(r"\d+\.\d+\.\d+", chart["version"])
    project = (CHART.parents[2] / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
    assert VALUES["image"]["tag"] == chart["appVersion"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_value_that_is_used_exists_and_every_value_is_used(template: Path) -> None:
    text = template.read_text()
    used = set(re.findall(r"\.Values\.([\w.]+)", text))
    for path in used:
        value_of(path)

    def leaves(value: Any, path: str) -> set[str]:
        if isinstance(value, dict) and path not in used:
            return set().union(*(leaves(inner, f"{path}.{name}".lstrip(".")) for name, inner in value.items()))
        return {path}

    assert leaves(VALUES, "") == used
    for action in ACTION.findall(text):
        words = re.findall(r'(?<![\w.$"])([a-zA-Z]+)(?![\w.])', re.sub(r'"[^"]*"', "", action))
        assert set(words) <= WORDS, action
    assert text.count("{{") == len(ACTION.findall(text))


@pytest.mark.parametrize("switched_on", [True, False])
def test_the_pod_is_not_root_writes_only_where_it_may_and_is_probed(switched_on: bool) -> None:
    found = documents(switched_on)
    pod = found["StatefulSet"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001, "the user of the Dockerfile"
    assert "USER 10001:10001" in (CHART.parents[2] / "Dockerfile").read_text()
    containers = {container["name"]: container for container in pod["containers"]}
    assert set(containers) == ({"cse", "adapter"} if switched_on else {"cse"})
    claims = {claim["metadata"]["name"] for claim in found["StatefulSet"]["spec"]["volumeClaimTemplates"]}
    volumes = claims | {volume["name"] for volume in pod["volumes"]}
    for container in containers.values():
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        ports = {port["name"] for port in container["ports"]}
        assert container["livenessProbe"]["httpGet"]["path"] == "/health"
        assert container["livenessProbe"]["httpGet"]["port"] in ports
    cse = containers["cse"]
    assert cse["readinessProbe"]["httpGet"]["path"] == "/ready"
    store = next(word for word in cse["args"] if word.startswith("--store="))
    assert store.removeprefix("--store=sqlite:///").startswith("/data/")
    assert "data" in claims
    service = found["Service"]["spec"]
    named = {port["name"] for container in containers.values() for port in container["ports"]}
    assert {port["targetPort"] for port in service["ports"]} <= named
    assert ({"UDP"} <= {port.get("protocol") for port in service["ports"]}) is switched_on


@pytest.mark.parametrize("switched_on", [True, False])
def test_the_command_line_knows_every_option(switched_on: bool) -> None:
    pod = documents(switched_on)["StatefulSet"]["spec"]["template"]["spec"]
    for container in pod["containers"]:
        command, *options = container["args"]
        done = subprocess.run(
            [sys.executable, "-m", "onemec", command, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PATH": ""},
        )
        known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout))
        given = {option.partition("=")[0] for option in options} - {"--from-a-list"}
        assert given <= known, f"onemec {command} does not know {given - known}"


def test_helm_has_nothing_to_say_against_the_chart_and_renders_it() -> None:
    helm = find_tool("helm")
    if helm is None:
        pytest.skip("helm is not installed: see https://helm.sh; what can be checked without it is checked above")
    done = subprocess.run([helm, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    options = [
        "--set",
        "adapter.enabled=true,cse.insecureDev=true,secrets.tls=t,secrets.credentials=c,secrets.env=e",
    ]
    options += ["--set", "cse.extraArgs={--open-metrics,--rate=0}"]
    for given in ([], options):
        done = subprocess.run([helm, "template", "r", str(CHART), *given], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        kinds = [document["kind"] for document in yaml.safe_load_all(done.stdout)]
        assert kinds == ["Service", "StatefulSet"]
