"""Content queries (filter ``cfq`` with ``cfs`` 1): the common part of JSONPath, compiled (TS-0004 clause 6.3.4.2.32).

Understood: ``$``, ``.name``, ``['name']``, ``[0]``, ``[-1]``, ``[0:2]``, ``[*]``, ``.*``, ``..name``, ``..*`` and
filters ``[?(@.a.b == 'x' && (@.c > 1 || !@.d))]`` with ``== != < <= > >=``. A query is true when it selects something.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from cse.onem2m.errors import BadRequest

Step = Callable[[Iterable[Any]], Iterator[Any]]
Condition = Callable[[Any], bool]

_LONGEST = 512
#: values looked at for one resource: a content of a megabyte must not hold up other requests
_MOST_VALUES = 20_000
_NAME = re.compile(r"[A-Za-z_\u0080-\uffff][\w\-\u0080-\uffff]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SLICE = re.compile(r"(-?\d+)?\s*:\s*(-?\d+)?(?:\s*:\s*(-?\d+))?")
_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_COMPARISONS: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = (
    ("==", operator.eq),
    ("!=", operator.ne),
    ("<=", operator.le),
    (">=", operator.ge),
    ("<", operator.lt),
    (">", operator.gt),
)
_WORDS = (("true", True), ("false", False), ("null", None))


@lru_cache(maxsize=256)
def compile_json_path(text: str) -> Callable[[Any], bool]:
    """A test that is true for values in which the path selects something.

    Raises:
        BadRequest: not a path, or a part of JSONPath that is not understood.
    """
    if len(text) > _LONGEST:
        raise BadRequest(f"filter 'cfq' must have at most {_LONGEST} characters")
    parser = _Parser(text)
    parser.take("$")
    steps = parser.steps()
    if not parser.done():
        raise parser.wrong()

    def test(value: Any) -> bool:
        return next(_run(steps, value), _NOTHING) is not _NOTHING

    return test


_NOTHING = object()


def _run(steps: list[Step], value: Any) -> Iterator[Any]:
    values: Iterable[Any] = (value,)
    for step in steps:
        values = step(values)
    return islice(iter(values), _MOST_VALUES)


class _Parser:
    """Reads a path by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._at = 0
        self._depth = 0

    def done(self) -> bool:
        return self._at >= len(self._text)

    def wrong(self) -> BadRequest:
        return BadRequest(
            f"filter 'cfq' is not understood at {self._text[self._at : self._at + 20]!r}: send a JSONPath of names, "
            "indexes, slices, '*', '..' and filters such as $.values[?(@.unit == 'C' && @.value > 20)]"
        )

    def steps(self) -> list[Step]:
        found: list[Step] = []
        while not self.done():
            if self.accept(".."):
                found.append(_descend)
                if self._peek("["):
                    continue
                found.append(_wildcard if self.accept("*") else _member(self._name()))
            elif self.accept("."):
                found.append(_wildcard if self.accept("*") else _member(self._name()))
            elif self.accept("["):
                found.append(self._bracket())
            else:
                break
        return found

    def take(self, token: str) -> None:
        if not self.accept(token):
            raise self.wrong()

    def accept(self, token: str) -> bool:
        if self._peek(token):
            self._at += len(token)
            return True
        return False

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._at)

    def _blanks(self) -> None:
        while not self.done() and self._text[self._at].isspace():
            self._at += 1

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _name(self) -> str:
        found = self._match(_NAME)
        if found is None:
            raise self.wrong()
        return found.group()

    def _string(self) -> str | None:
        found = self._match(_STRING)
        if found is None:
            return None
        text = found.group(1) if found.group(1) is not None else found.group(2)
        return re.sub(r"\\(.)", r"\1", text)

    def _bracket(self) -> Step:
        self._blanks()
        step: Step
        if self.accept("*"):
            step = _wildcard
        elif self.accept("?"):
            self._blanks()
            step = _filter(self._alternatives())
        elif (name := self._string()) is not None:
            step = _member(name)
        elif (found := self._match(_SLICE)) is not None:
            step = _slice(*(int(part) if part else None for part in found.groups()))
        elif (found := self._match(_NUMBER)) is not None and "." not in found.group():
            step = _index(int(found.group()))
        else:
            raise self.wrong()
        self._blanks()
        self.take("]")
        return step

    def _alternatives(self) -> Condition:
        tests = [self._all_of()]
        while self._operator("||"):
            tests.append(self._all_of())
        return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)

    def _all_of(self) -> Condition:
        tests = [self._condition()]
        while self._operator("&&"):
            tests.append(self._condition())
        return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)

    def _operator(self, token: str) -> bool:
        self._blanks()
        return self.accept(token)

    def _condition(self) -> Condition:
        self._depth += 1
        if self._depth > 20:
            raise self.wrong()
        self._blanks()
        if self.accept("!"):
            negated = self._condition()
            return lambda value: not negated(value)
        if self.accept("("):
            inner = self._alternatives()
            self._blanks()
            self.take(")")
            return inner
        self.take("@")
        path = self.steps()
        self._blanks()
        for token, compare in _COMPARISONS:
            if self.accept(token):
                return _comparison(path, compare, self._literal())
        return lambda value: next(_run(path, value), _NOTHING) is not _NOTHING

    def _literal(self) -> Any:
        self._blanks()
        text = self._string()
        if text is not None:
            return text
        for word, value in _WORDS:
            if self.accept(word):
                return value
        found = self._match(_NUMBER)
        if found is None:
            raise self.wrong()
        return float(found.group())


def _comparison(path: list[Step], compare: Callable[[Any, Any], Any], wanted: Any) -> Condition:
    ordered = compare not in (operator.eq, operator.ne)

    def test(value: Any) -> bool:
        for found in _run(path, value):
            same_kind = _kind(found) is _kind(wanted)
            if ordered and (not same_kind or not isinstance(wanted, str | float)):
                continue
            if not same_kind:
                if compare is operator.ne:
                    return True
                continue
            if compare(found, wanted):
                return True
        return False

    return test


def _kind(value: Any) -> type:
    # In JSON all numbers are of one kind, and true is not one of them.
    return float if type(value) in (int, float) else type(value)


def _member(name: str) -> Step:
    return lambda values: (value[name] for value in values if isinstance(value, dict) and name in value)


def _index(position: int) -> Step:
    return lambda values: (
        value[position] for value in values if isinstance(value, list) and -len(value) <= position < len(value)
    )


def _slice(start: int | None = None, stop: int | None = None, step: int | None = None) -> Step:
    if step == 0:
        raise BadRequest("filter 'cfq': the step of a slice must not be 0")
    return lambda values: chain.from_iterable(value[start:stop:step] for value in values if isinstance(value, list))


def _members(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _wildcard(values: Iterable[Any]) -> Iterator[Any]:
    return chain.from_iterable(_members(value) for value in values)


def _filter(condition: Condition) -> Step:
    return lambda values: (entry for value in values for entry in _members(value) if condition(entry))


def _descend(values: Iterable[Any]) -> Iterator[Any]:
    stack = list(values)[::-1]
    seen = 0
    while stack and seen < _MOST_VALUES:
        value = stack.pop()
        seen += 1
        yield value
        stack.extend(list(_members(value))[::-1])
