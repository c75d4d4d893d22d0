"""`onemec config show`: every setting of every part, its value and where that came from, secrets masked."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cse.config import CseConfig
from onemec import origins
from onemec.cli import app


def show(*words: str, code: int = 0, **environment: str) -> Result:
    done = CliRunner().invoke(app, ["config", "show", *words], env={"COLUMNS": "200", **environment})
    assert done.exit_code == code, done.output
    return done


def settings(*words: str, **environment: str) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads(show("--json", *words, **environment).stdout)}


def test_a_default_a_file_a_variable_and_an_option_of_the_cse(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('[cse]\nname = "cse-lab"\nhttp = "127.0.0.1:1"\nmax-body-bytes = 2048\nid = "/id-lab"\n')
    given = {"ONEMEC_CSE_HTTP": "127.0.0.1:2", "ONEMEC_CSE_ID": "/id-env"}
    found = settings("-c", str(file), "cse", "--http", "127.0.0.1:3", "--request-timeout", "2s", **given)
    assert set(CseConfig.model_fields) <= set(found)
    expected = {
        "http": ("127.0.0.1:3", "command line", ""),
        "request_timeout_s": (2.0, "command line", ""),
        "id": ("/id-env", "environment", "ONEMEC_CSE_ID"),
        "name": ("cse-lab", "file", str(file)),
        "max_body_bytes": (2048, "file", str(file)),
        "store": ("memory", "default", ""),
    }
    for name, (value, origin, where) in expected.items():
        shown = found[name]
        assert (shown["value"], shown["origin"], shown["where"]) == (value, origin, where), name
        assert shown["about"]
    text = show("--origin", "-c", str(file), **given).stdout
    assert f"(file {file})" in text
    assert "(environment ONEMEC_CSE_HTTP)" in text
    changed = show("--changed", "-c", str(file)).stdout.splitlines()
    assert [line.split()[0] for line in changed] == ["id", "name", "http", "max_body_bytes"]


@pytest.mark.parametrize("part", [part for part in origins.PARTS if part != "cse"])
def test_the_other_parts_have_the_same_four_places(part: str, tmp_path: Path) -> None:
    names = {"adapter": ("cse", "mep"), "mep": ("host_id", "name"), "devices": ("cse", "rate")}
    first, second = names.get(part, ("", ""))
    found = settings(part)
    assert found
    assert {entry["origin"] for entry in found.values()} == {"default"}
    if not first:
        return
    file = tmp_path / "part.toml"
    file.write_text(f'[{part}]\n{first} = "from-file"\n{second} = "from-file"\n')
    prefix = f"ONEMEC_{part.upper()}_"
    found = settings("-c", str(file), part, **{f"{prefix}{second.upper()}": "from-variable"})
    assert (found[first]["value"], found[first]["origin"], found[first]["where"]) == ("from-file", "file", str(file))
    assert (found[second]["value"], found[second]["origin"]) == ("from-variable", "environment")
    assert found[second]["where"] == f"{prefix}{second.upper()}"
    found = settings("-c", str(file), part, f"--{first.replace('_', '-')}", "typed")
    assert (found[first]["value"], found[first]["origin"]) == ("typed", "command line")


def test_secrets_are_never_shown() -> None:
    secret = "s3cr3t"
    given = {
        "ONEMEC_CSE_MQTT": f"mqtt://id-in:{secret}@127.0.0.1",
        "ONEMEC_CSE_STORE": f"postgresql://onemec:{secret}@127.0.0.1/db",
        "ONEMEC_ADAPTER_CLIENT_SECRET": secret,
        "ONEMEC_ADAPTER_CLOUD": f"http://Cedge:{secret}@127.0.0.1",
        "ONEMEC_MEP_ADMIN_TOKEN": secret,
    }
    for part in origins.PARTS:
        for form in (), ("--json",):
            assert secret not in show(*form, part, **given).output
    assert settings("cse", **given)["mqtt"]["value"] == "mqtt://id-in:***@127.0.0.1"
    assert settings("mep", **given)["ONEMEC_MEP_ADMIN_TOKEN"]["value"] == "***"
    assert settings("adapter")["ONEMEC_ADAPTER_CLIENT_SECRET"]["value"] == ""


def test_single_settings() -> None:
    assert show("-n", "http", "--no-origin").stdout == "http  127.0.0.1:8080\n"
    assert "no setting colour" in show("-n", "colour", code=2).stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("toaster",), "cse, adapter"),
        (("adapter", "--colour", "red"), "--colour"),
        (("cse", "--http", "x"), "host:port"),
    ],
)
def test_what_makes_no_sense_is_one_line(words: tuple[str, ...], says: str) -> None:
    done = show(*words, code=2)
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_every_option_of_the_cse_is_a_setting() -> None:
    root: Any = typer.main.get_command(app)
    options = {parameter.name for parameter in root.commands["cse"].params} - {"config"}
    assert {origins.cse_field(name) for name in options} <= set(CseConfig.model_fields)


def test_every_variable_the_product_reads_is_known() -> None:
    known = origins.known_variables(typer.main.get_command(app))
    assert {
        "ONEMEC_CSE", "ONEMEC_ORIGINATOR", "ONEMEC_TOKEN", "ONEMEC_CSE_HTTP", "ONEMEC_CSE_REQUEST_TIMEOUT_S",
        "ONEMEC_MEP_ADMIN_TOKEN", "ONEMEC_ADAPTER_MEP", "ONEMEC_UP_DEVICES", "ONEMEC_DEVICES_RATE", "ONEMEC_MEP_TOKEN",
    } <= known  # fmt: skip
