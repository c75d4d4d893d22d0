"""Every claimed behaviour has a test, every marked test a behaviour, and the published table is the true one."""

from pathlib import Path

import pytest

from tests.conformance.rows import TABLES, Row, marked_tests, page, rows

ROOT = Path(__file__).resolve().parent.parent


def _all_rows() -> list[Row]:
    return [row for table in TABLES for row in rows(table)]


def test_row_ids_are_unique() -> None:
    ids = [row.id for row in _all_rows()]
    assert [row_id for row_id in set(ids) if ids.count(row_id) > 1] == []


@pytest.mark.parametrize("table", list(TABLES))
def test_every_row_has_a_test_or_a_reason(table: str) -> None:
    tests = marked_tests()
    assert [f"{row.id}: {row.behaviour}" for row in rows(table) if row.id not in tests and not row.unsupported] == []


def test_what_is_not_done_has_no_test_that_says_it_is() -> None:
    tests = marked_tests()
    assert [row.id for row in _all_rows() if row.unsupported and row.id in tests] == []


def test_every_mark_names_a_row() -> None:
    known = {row.id for row in _all_rows()}
    assert {row_id: names for row_id, names in marked_tests().items() if row_id not in known} == {}


def test_the_published_table_is_the_true_one() -> None:
    assert (ROOT / "docs/conformance.md").read_text() == page(), (
        "run: python -m tests.conformance > docs/conformance.md"
    )
