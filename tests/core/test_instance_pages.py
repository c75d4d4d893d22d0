"""Reading a long container page by page: nothing twice, nothing missed, whatever the CSE and others do meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cse.onem2m.instance_pages import InstancePages, instances_in

Instance = dict[str, Any]


class Container:
    """A CSE's answers: its bounds include or exclude, its pages may be smaller than asked for.

    Args:
        tags: stateTags of what is there; None for instances without.
        times: their creation times.
        inclusive: whether ``stb`` and ``cra`` include their bound.
        cap: most instances in an answer, whatever was asked for.
    """

    def __init__(self, tags: list[int | None], times: list[int], *, inclusive: bool, cap: int) -> None:
        self.all = [
            {"rn": f"i{number}", "ty": 4, "ct": f"20260101T{time:06}", **({} if tag is None else {"st": tag})}
            for number, (tag, time) in enumerate(zip(tags, times, strict=True))
        ]
        self.inclusive, self.cap = inclusive, cap
        self.asked = 0

    def answer(self, criteria: dict[str, Any]) -> tuple[list[Instance], bool]:
        self.asked += 1
        found = [one for one in self.all if self._reached(one, criteria)]
        start = criteria.get("ofst", 1) - 1
        page = found[start : start + min(self.cap, criteria["lim"])]
        return page, start + len(page) < len(found)

    def _reached(self, one: Instance, criteria: dict[str, Any]) -> bool:
        for name, tag in (("st", "stb"), ("ct", "cra")):
            if tag in criteria and not (one[name] > criteria[tag] or (self.inclusive and one[name] == criteria[tag])):
                return False
        return True


def read(container: Container, size: int, removals: list[int]) -> list[str]:
    """The names in the order they come; after each page the oldest so many instances are removed."""
    pages = InstancePages(4, {}, size)
    names: list[str] = []
    going = iter(removals)
    while not pages.done:
        assert container.asked < 1000
        page, partial = container.answer(pages.criteria)
        names += [one["rn"] for one in pages.take(page, partial=partial)]
        del container.all[: next(going, 0)]
    return names


_INCREASING = st.lists(st.integers(1, 3), min_size=0, max_size=60).map(
    lambda steps: [sum(steps[: place + 1]) for place in range(len(steps))]
)


@settings(max_examples=300)
@given(_INCREASING, st.booleans(), st.integers(2, 9), st.integers(1, 9), st.lists(st.integers(0, 4), max_size=30))
def test_what_is_there_all_the_time_comes_once(
    tags: list[int], inclusive: bool, size: int, cap: int, removals: list[int]
) -> None:
    container = Container(list(tags), [0] * len(tags), inclusive=inclusive, cap=max(2, cap))
    names = read(container, size, removals)
    assert len(names) == len(set(names))
    assert {one["rn"] for one in container.all} <= set(names)
    assert names == sorted(names, key=lambda name: int(name[1:]))


@settings(max_examples=300)
@given(st.lists(st.integers(0, 5), max_size=60), st.booleans(), st.booleans(), st.integers(1, 9), st.booleans())
def test_nothing_is_missed_without_tags_with_equal_times_or_against_their_order(
    times: list[int], ordered: bool, inclusive: bool, size: int, same_tag: bool
) -> None:
    times = sorted(times) if ordered else times
    tags: list[int | None] = [0 if same_tag else None] * len(times)
    container = Container(tags, times, inclusive=inclusive, cap=1000)
    if not ordered:
        # a CSE that sorts by time, or a clock that was put back: only what one answer shows can be known
        size = 1000
    names = read(container, size, [])
    assert names == [one["rn"] for one in container.all]


def test_pages_begin_where_the_last_one_ended() -> None:
    container = Container(list(range(1000)), [0] * 1000, inclusive=True, cap=1000)
    asked: list[dict[str, Any]] = []
    pages = InstancePages(4, {"cra": "20260101T000000"}, 100)
    while not pages.done:
        asked.append(pages.criteria)
        page, partial = container.answer(pages.criteria)
        pages.take(page, partial=partial)
    assert all("ofst" not in criteria and criteria["cra"] == "20260101T000000" for criteria in asked)
    assert [criteria.get("stb") for criteria in asked[:3]] == [None, 98, 196]


def test_the_instances_of_an_answer_are_those_of_the_type() -> None:
    content = {"m2m:cnt": {"rn": "data", "m2m:cin": [{"ty": 4, "rn": "a"}], "m2m:sub": [{"ty": 23, "rn": "s"}]}}
    assert instances_in(content, 4) == [{"ty": 4, "rn": "a"}]
    assert instances_in({}, 4) == instances_in(None, 4) == instances_in({"m2m:cnt": {}}, 4) == []
