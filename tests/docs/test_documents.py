"""What the documents show is run, document by document, on real processes on 127.0.0.1 (see tests/docs/markdown.py)."""

from __future__ import annotations

import faulthandler
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import brokers
from tests.docs.documents import run_document
from tests.docs.markdown import DocumentError, blocks, documents
from tests.docs.places import ROOT

DOCUMENTS = [str(path.relative_to(ROOT)) for path in documents(ROOT)]
#: how many blocks of a document are not run, so that nobody adds one unseen; each says why beside it
NOT_RUN = {
    "README.md": 1,
    "CONTRIBUTING.md": 2,
    "docs/mec-platform.md": 1,
}
#: what a reader has to install besides onemec (Debian's names are in tests/brokers.py)
TOOLS = ("mosquitto", "mosquitto_rr", "coap-client-notls", "coap-client-openssl", "curl", "jq", "sqlite3", "openssl")
#: documents that are run at a time: most of what they do is waiting for a process to start
_TOGETHER = 2


def to_run(name: str) -> int:
    """How many blocks of a document are run; a document that cannot be read counts, and fails."""
    try:
        shown = blocks((ROOT / name).read_text("utf-8"), name)
    except DocumentError:
        return 1
    return sum(block.is_run and not block.skipped for block in shown)


def tools(name: str) -> list[str]:
    """The tools that the blocks of a document call."""
    try:
        text = "".join(block.text for block in blocks((ROOT / name).read_text("utf-8"), name) if block.is_run)
    except DocumentError:
        return []
    return [tool for tool in TOOLS if re.search(rf"(?<![\w/.-]){tool}(?![\w/.-])", text)]


def run(name: str) -> str:
    """Run a document in a folder with a short path (sockets may live in it); returns what is not true in it."""
    folder = Path(tempfile.mkdtemp(prefix="onemec-docs-"))
    try:
        run_document(ROOT / name, name, folder)
    except DocumentError as error:
        return str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[str]]]:
    """The runs of the documents whose tests were chosen, in their order."""
    chosen = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    names = {params["document"] for params in chosen if params.get("document") in DOCUMENTS}
    names = {name for name in names if all(map(brokers.find_tool, tools(name)))}
    with ThreadPoolExecutor(_TOGETHER) as pool:
        yield {name: pool.submit(run, name) for name in sorted(names, key=DOCUMENTS.index)}


@pytest.mark.stack
@pytest.mark.parametrize("document", [name for name in DOCUMENTS if to_run(name)])
def test_what_the_document_shows_is_true(document: str, runs: dict[str, Future[str]]) -> None:
    for tool in tools(document):
        brokers.require_tool(tool)
    # each block has its own time limit; that of a test (pyproject.toml) would end all of pytest on a slow machine
    faulthandler.cancel_dump_traceback_later()
    if failure := runs[document].result():
        pytest.fail(failure, pytrace=False)


def test_what_is_not_run_is_counted() -> None:
    skipped = {name: sum(block.skipped for block in blocks((ROOT / name).read_text(), name)) for name in DOCUMENTS}
    assert {name: count for name, count in skipped.items() if count} == NOT_RUN
