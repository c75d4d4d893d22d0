"""Which dated names need no look into the table: False is certain, True may be wrong now and then (docs/adr/0031)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cse.dated_names import BEYOND, PERIOD_S, PREFIX, dated_name, first_name
from cse.storage.dated import DatedNames

NOW = 1_800_000_000.0
#: few names, so that they come again; of a few minutes, before them, and chosen by somebody
NAMES = st.one_of(
    st.builds(
        lambda ago, digest: dated_name(NOW, f"{digest:030x}", periods_ago=ago),
        st.integers(-3, 4),
        st.integers(0, 20),
    ),
    st.sampled_from(["once-", "once-zzz", "once", "temperature", "i1-1", ""]),
)


def test_names_are_in_the_order_of_time() -> None:
    digests = ("0" * 30, "f" * 30)
    names = [dated_name(NOW + seconds, digest) for seconds in range(0, 3000, PERIOD_S) for digest in digests]
    assert names == sorted(names)
    assert all(PREFIX < name < BEYOND for name in names)
    assert dated_name(NOW, "ab", periods_ago=2) == dated_name(NOW - 2 * PERIOD_S, "ab")
    assert first_name(NOW) <= names[0]
    assert first_name(NOW, periods_ago=1) <= dated_name(NOW, "0", periods_ago=1)


@given(st.lists(NAMES), st.lists(st.one_of(NAMES, st.none())), st.lists(NAMES))
def test_a_name_that_exists_is_never_called_new(before: list[str], added: list[str | None], asked: list[str]) -> None:
    after = first_name(NOW, periods_ago=1)
    known = DatedNames(after, [name for name in before if after < name < BEYOND], generation=3)
    exist = set(before)
    for name in added:
        if name is not None:
            known.add(name)
            exist.add(name)
        assert all(known.may_exist(one) for one in exist)
    for name in asked:
        assert known.may_exist(name) or name not in exist


def test_new_names_are_called_new_and_memory_is_bounded() -> None:
    known = DatedNames(first_name(NOW), generation=1000)
    wrong = 0
    for number in range(5000):
        name = dated_name(NOW + number, f"{number:030x}")
        wrong += known.may_exist(name)
        known.add(name)
        assert known.may_exist(name)
    assert wrong < 50
    assert known.may_exist(dated_name(NOW, "0" * 30)), "forgotten, so it may exist"
    assert len(known._old) + len(known._young) == 4 << 20
    assert known.may_exist("temperature"), "of other names nothing is known"
