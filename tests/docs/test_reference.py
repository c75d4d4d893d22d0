"""docs/reference is what the code says: made again it is the same, and everything in it is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from onemec.cli import app
from onemec.reference.commands import commands
from onemec.reference_command import reference_pages
from tests.docs.places import ROOT

FOLDER = ROOT / "docs/reference"
PAGES = reference_pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PAGES[name], "run: make docs"


def test_there_is_no_page_that_nobody_makes() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_command_and_option_says_what_it_is() -> None:
    silent = []
    for words, command in commands(typer.main.get_command(app)):
        silent += [words] if not command.help else []
        silent += [(*words, parameter.name) for parameter in command.params if not getattr(parameter, "help", "")]
    assert silent == []


def test_links_within_a_page_lead_to_its_headings() -> None:
    for name, text in PAGES.items():
        headings = {
            re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in re.findall(r"(?m)^#+ (.+)$", text)
        }
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings, name


def test_the_command_writes_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["reference", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert {path.name: path.read_text("utf-8") for path in (tmp_path / "new").iterdir()} == PAGES
    (tmp_path / "file").write_text("")
    refused = CliRunner().invoke(app, ["reference", str(tmp_path / "file")])
    assert refused.exit_code == 1
    assert len(refused.stderr.strip().splitlines()) == 1
