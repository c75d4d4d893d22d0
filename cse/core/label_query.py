"""Label queries (filter ``lbq``): conditions on labels of the form ``key`` or ``key:value`` (TS-0001 clause 8.1.2).

Grammar, keywords in capitals, AND before OR::

    query     = and-query *( "OR" and-query )
    and-query = condition *( "AND" condition )
    condition = "(" query ")" / "NT" key / key [ ":" value / "EQ" value / "NE" value / ( "IN" / "NI" ) "(" values ")" ]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from cse.onem2m.errors import BadRequest

Labels = Sequence[str]
LabelTest = Callable[[Labels], bool]

_TOKEN = re.compile(r"\s*([(),]|\"[^\"]*\"|[^\s(),]+)")
_KEYWORDS = frozenset({"AND", "OR", "NT", "EQ", "NE", "IN", "NI"})
_LONGEST = 1024
_DEEPEST = 20


def compile_label_query(text: str) -> LabelTest:
    """A test on a resource's labels.

    Raises:
        BadRequest: not a label query.
    """
    if len(text) > _LONGEST:
        raise BadRequest(f"filter 'lbq' must have at most {_LONGEST} characters")
    parser = _Parser(_TOKEN.findall(text))
    test = parser.alternatives(0)
    if parser.left():
        raise _wrong()
    return test


def _wrong() -> BadRequest:
    return BadRequest(
        "filter 'lbq' must be a label query such as 'room', 'NT room', 'room:kitchen', 'room EQ kitchen', "
        "'room NE hall', 'room IN(kitchen,hall)', 'room NI(hall)', combined with AND, OR and parentheses"
    )


class _Parser:
    """Reads tokens by recursive descent."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def left(self) -> bool:
        return self._at < len(self._tokens)

    def alternatives(self, depth: int) -> LabelTest:
        tests = [self._all_of(depth)]
        while self._accept("OR"):
            tests.append(self._all_of(depth))
        return tests[0] if len(tests) == 1 else lambda labels: any(test(labels) for test in tests)

    def _all_of(self, depth: int) -> LabelTest:
        tests = [self._condition(depth)]
        while self._accept("AND"):
            tests.append(self._condition(depth))
        return tests[0] if len(tests) == 1 else lambda labels: all(test(labels) for test in tests)

    def _condition(self, depth: int) -> LabelTest:
        if depth > _DEEPEST:
            raise _wrong()
        if self._accept("("):
            test = self.alternatives(depth + 1)
            self._expect(")")
            return test
        if self._accept("NT"):
            absent = self._word()
            return lambda labels: not _has_key(labels, absent)
        word = self._word()
        if self._accept("EQ"):
            return _equal(word, (self._word(),))
        if self._accept("NE"):
            return _different(word, (self._word(),))
        if self._accept("IN"):
            return _equal(word, self._values())
        if self._accept("NI"):
            return _different(word, self._values())
        key, colon, value = word.partition(":")
        if colon:
            return _equal(key, (value,))
        return lambda labels: _has_key(labels, word)

    def _values(self) -> tuple[str, ...]:
        self._expect("(")
        values = [self._word()]
        while self._accept(","):
            values.append(self._word())
        self._expect(")")
        return tuple(values)

    def _word(self) -> str:
        if not self.left() or self._tokens[self._at] in _KEYWORDS or self._tokens[self._at] in "(),":
            raise _wrong()
        self._at += 1
        return self._tokens[self._at - 1].strip('"')

    def _accept(self, token: str) -> bool:
        if self.left() and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise _wrong()


def _has_key(labels: Labels, key: str) -> bool:
    return any(label == key or label.startswith(key + ":") for label in labels)


def _values_of(labels: Labels, key: str) -> Iterable[str]:
    return (label[len(key) + 1 :] for label in labels if label.startswith(key + ":"))


def _equal(key: str, values: tuple[str, ...]) -> LabelTest:
    return lambda labels: any(value in values for value in _values_of(labels, key))


def _different(key: str, values: tuple[str, ...]) -> LabelTest:
    # Only labels that have the key can have another value.
    return lambda labels: _has_key(labels, key) and not any(value in values for value in _values_of(labels, key))
