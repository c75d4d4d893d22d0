"""Filter criteria compiled to one test on a resource (TS-0004 clause 6.3.5.8, TS-0001 clause 8.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from cse.core.json_path import compile_json_path
from cse.core.label_query import compile_label_query
from cse.onem2m import geometry
from cse.onem2m.errors import BadRequest
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.geometry import parse_geometry
from cse.onem2m.serialisation import load_json
from cse.onem2m.timestamps import normalise_timestamp
from cse.onem2m.wildcards import wildcard
from cse.ports import Resource, Store
from cse.resources.registry import Registry

Test = Callable[[Resource], bool]

#: tags that say how to search, not what for
_HANDLING = frozenset({"fu", "fo", "lim", "lvl", "ofst", "arp", "ops"})
_LISTS = frozenset({"lbl", "clbl", "palb", "ty", "chty", "pty", "cty", "atr", "catr", "patr", "smf"})
_UNSUPPORTED = {
    "smf": "goes with discovery (fu=1) or a semantic query (sqi) only",
    "aq": "is not supported by this CSE: leave it out",
}
#: tags that make one condition together
_GEO = ("gmty", "geom", "gsf")
_CONTENT = ("cfs", "cfq")
_JSON_PATH = 1
_MAX_VALUES = 100
_MAX_QUERIES = 5
_ALL_OPERATIONS = 63
#: conditions that instances, in the order of their creation, begin to meet at some place and cease to meet at another
_FROM, _UNTIL = ("cra", "ms", "stb"), ("crb", "us", "sts")
#: attributes that have a tag of their own
_OWN_TAG = frozenset({"ct", "lt", "st", "et", "lbl", "ty", "cs", "cnf"})


class Filter:
    """Compiled filter criteria.

    Args:
        criteria: typed filter criteria (``Request.filter``).
        registry: for attribute and type names.
        store: for conditions on parents and children.
        semantic: ``smf`` is allowed; whoever says so looks at ``queries``, ``matches`` does not.

    Raises:
        BadRequest: an unknown tag or attribute, or a value that does not fit its tag.
        NotSupported: a tag this CSE does not support (5001).
    """

    __slots__ = (
        "_begins",
        "_lasts",
        "_store",
        "criteria",
        "has_conditions",
        "labels",
        "level",
        "limit",
        "matches",
        "matches_itself",
        "of_children",
        "offset",
        "operations",
        "queries",
        "types",
    )

    def __init__(
        self, criteria: Mapping[str, Any], registry: Registry, store: Store, *, semantic: bool = False
    ) -> None:
        self.criteria = criteria
        #: SPARQL queries of which one must find something
        self.queries: tuple[str, ...] = ()
        if semantic and "smf" in criteria:
            self.queries = _semantic_queries(criteria)
            criteria = {tag: value for tag, value in criteria.items() if tag != "smf"}
        self.limit = _integer(criteria, "lim", 0)
        self.level = _integer(criteria, "lvl", 1)
        self.offset = _integer(criteria, "ofst", 1) or 1
        #: operations the originator must be allowed to perform (ops), 0 when it does not matter
        self.operations = _integer(criteria, "ops", 1) or 0
        if self.operations > _ALL_OPERATIONS:
            raise BadRequest(f"filter 'ops' must be 1 to {_ALL_OPERATIONS}: bits as in accessControlOperations")
        operation = criteria.get("fo", 1)
        if operation not in (1, 2, 3):
            raise BadRequest("filter 'fo' must be 1 (AND), 2 (OR) or 3 (XOR)")
        tests = _compile(criteria, registry, store)
        if self.queries and tests and operation != 1:
            raise NotSupported("filter 'smf' goes together with other conditions by fo=1 (AND) only")
        self.has_conditions = bool(tests)
        self.matches: Test = _combine(tests, operation)
        narrow = operation == 1 or len(tests) == 1
        #: what of ``matches`` is about the children of a resource: a search looks at many of them bit by bit
        self.of_children = tuple(test for test in tests if isinstance(test, _OfChildren)) if narrow else ()
        rest = [test for test in tests if test not in self.of_children]
        self.matches_itself: Test = _combine(rest, operation) if self.of_children else self.matches
        self.types: frozenset[int] | None = frozenset(criteria["ty"]) if narrow and criteria.get("ty") else None
        self._store = store
        self._begins = [_condition(tag, criteria[tag], registry, store) for tag in _FROM if narrow and tag in criteria]
        self._lasts = [_condition(tag, criteria[tag], registry, store) for tag in _UNTIL if narrow and tag in criteria]
        labels = criteria.get("lbl")
        self.labels: tuple[str, ...] | None = (
            tuple(labels) if narrow and labels and not any("*" in label for label in labels) else None
        )

    def instances(self, pi: str) -> Iterator[Resource]:
        """The instances below ``pi`` that may match, in the order of their creation.

        Conditions on ct, lt and st bound them from below and from above, so that what lies outside is never read.
        """
        begins, lasts = self._begins, self._lasts
        candidates = (
            self._store.instances_from(pi, lambda instance: all(test(instance) for test in begins))
            if begins
            else self._store.instances(pi)
        )
        return takewhile(lambda instance: all(test(instance) for test in lasts), candidates) if lasts else candidates


def _combine(tests: list[Test], operation: int) -> Test:
    if not tests:
        return lambda resource: True
    if len(tests) == 1:
        return tests[0]
    if operation == 1:
        return lambda resource: all(test(resource) for test in tests)
    if operation == 2:
        return lambda resource: any(test(resource) for test in tests)
    return lambda resource: sum(test(resource) for test in tests) % 2 == 1


def _semantic_queries(criteria: Mapping[str, Any]) -> tuple[str, ...]:
    queries = criteria["smf"]
    if not isinstance(queries, list) or not 1 <= len(queries) <= _MAX_QUERIES:
        raise BadRequest(f"filter 'smf' must be a list of 1 to {_MAX_QUERIES} SPARQL queries")
    if not all(isinstance(query, str) for query in queries):
        raise BadRequest("filter 'smf' must hold SPARQL queries as text")
    return tuple(queries)


def _compile(criteria: Mapping[str, Any], registry: Registry, store: Store) -> list[Test]:
    tests: list[Test] = []
    for tag, value in criteria.items():
        if tag in _HANDLING:
            continue
        if tag in _UNSUPPORTED:
            raise NotSupported(f"filter {tag!r} {_UNSUPPORTED[tag]}")
        if tag in _GEO or tag in _CONTENT:
            group = _GEO if tag in _GEO else _CONTENT
            missing = [other for other in group if other not in criteria]
            if missing:
                raise BadRequest(f"filter {tag!r} goes together with {missing[0]!r}: send {', '.join(group)}")
            if tag == group[0]:
                tests.append(_geo_test(criteria) if group is _GEO else _content_test(criteria))
            continue
        if tag in _LISTS and (not isinstance(value, list) or not value or len(value) > _MAX_VALUES):
            raise BadRequest(f"filter {tag!r} must be a list of 1 to {_MAX_VALUES} values")
        tests.append(_condition(tag, value, registry, store))
    return tests


def _condition(tag: str, value: Any, registry: Registry, store: Store) -> Test:
    if tag in _TIMES:
        return _time_test(tag, value, store)
    if tag in _SIZES:
        return _size_test(tag, value)
    if tag in ("ty", "pty", "chty"):
        return _type_test(tag, value, registry, store)
    if tag in ("lbl", "palb", "clbl"):
        return _related(tag[0] if tag != "lbl" else "", _label_test(value), store)
    if tag == "lbq":
        if not isinstance(value, str):
            raise BadRequest("filter 'lbq' must be a text")
        query = compile_label_query(value)
        return lambda resource: query(resource.attributes.get("lbl") or ())
    if tag == "cty":
        wanted = frozenset(value)
        return lambda resource: str(resource.attributes.get("cnf", "")).partition(":")[0] in wanted
    if tag in ("atr", "patr", "catr"):
        tests = [_attribute_test(entry, registry) for entry in value]
        relation = "" if tag == "atr" else tag[0]
        return _related(relation, lambda resource: all(test(resource) for test in tests), store)
    raise BadRequest(f"unknown filter {tag!r}: see TS-0004 table 6.3.5.8-1 for the names")


_TIMES = {
    "crb": ("ct", True),
    "cra": ("ct", False),
    "us": ("lt", True),
    "ms": ("lt", False),
    "exb": ("et", True),
    "exa": ("et", False),
}
_SIZES = {"sts": ("st", True, 0), "stb": ("st", False, 0), "szb": ("cs", True, 1), "sza": ("cs", False, 0)}


def _time_test(tag: str, value: Any, store: Store) -> Test:
    if not isinstance(value, str):
        raise BadRequest(f"filter {tag!r} must be a timestamp YYYYMMDDThhmmss")
    name, before = _TIMES[tag]
    bound = normalise_timestamp(value)
    if name == "et":

        def expires(resource: Resource) -> bool:
            expiry = resource.attributes.get("et")
            if expiry is None and resource.pi:  # an instance without one lives as long as its parent
                parent = store.get(resource.pi)
                expiry = parent.attributes.get("et") if parent is not None else None
            return expiry is not None and (expiry < bound if before else expiry >= bound)

        return expires
    if before:
        return lambda resource: name in resource.attributes and resource.attributes[name] < bound
    return lambda resource: name in resource.attributes and resource.attributes[name] >= bound


def _size_test(tag: str, value: Any) -> Test:
    name, below, lowest = _SIZES[tag]
    if type(value) is not int or value < lowest:
        raise BadRequest(f"filter {tag!r} must be an integer >= {lowest}")
    if below:
        return lambda resource: name in resource.attributes and resource.attributes[name] < value
    return lambda resource: name in resource.attributes and resource.attributes[name] >= value


def _type_test(tag: str, value: list[Any], registry: Registry, store: Store) -> Test:
    for number in value:
        if type(number) is not int or number not in registry.known_numbers:
            raise BadRequest(f"filter {tag!r}: {number!r} is no resource type number")
    wanted = frozenset(value)
    if tag == "ty":
        return lambda resource: resource.ty in wanted
    return _related(tag[0], lambda resource: resource.ty in wanted, store, alike=True)


def _related(relation: str, test: Test, store: Store, *, alike: bool = False) -> Test:
    """The test of a parent ("p") or of any child ("c"); ``alike``: one instance is as good as all."""
    if not relation:
        return test

    def parent_matches(resource: Resource) -> bool:
        parent = store.get(resource.pi) if resource.pi else None
        return parent is not None and test(parent)

    if relation == "p":
        return parent_matches
    return _OfChildren(test, store, alike=alike)


class _OfChildren:
    """The test whether a resource has a child that passes another test.

    Args:
        test: of the child.
        store: where the children are.
        alike: one instance is as good as all.
    """

    def __init__(self, test: Test, store: Store, *, alike: bool) -> None:
        self.test, self._store, self._alike = test, store, alike

    def __call__(self, resource: Resource) -> bool:
        return any(map(self.test, self.candidates(resource)))

    def candidates(self, resource: Resource) -> Iterator[Resource]:
        """The children of a resource, read as they are consumed; one of them must pass ``test``."""
        store, ri = self._store, resource.ri
        yield from store.children(ri)
        if not self._alike:
            yield from store.instances(ri)
        elif (newest := store.newest(ri)) is not None:
            yield newest


def _label_test(values: list[Any]) -> Test:
    if not all(isinstance(value, str) for value in values):
        raise BadRequest("filter 'lbl' must hold texts")
    exact = frozenset(value for value in values if "*" not in value)
    patterns = [wildcard(value) for value in values if "*" in value]

    def test(resource: Resource) -> bool:
        labels = resource.attributes.get("lbl")
        if not labels:
            return False
        return any(label in exact or any(pattern.fullmatch(label) for pattern in patterns) for label in labels)

    return test


def _attribute_test(entry: Any, registry: Registry) -> Test:
    if not isinstance(entry, dict) or not isinstance(entry.get("nm"), str) or "val" not in entry:
        raise BadRequest('filter \'atr\' must hold entries {"nm": attribute, "val": value}')
    name, wanted = entry["nm"], entry["val"]
    if name not in registry.known_attributes:
        raise BadRequest(f"unknown filter or attribute {name!r}: no resource type has it")
    if name in _OWN_TAG:
        raise BadRequest(f"attribute {name!r} has filters of its own: use those instead of 'atr'")
    text = _as_text(wanted)
    pattern = wildcard(text) if "*" in text else None

    def equal(value: Any) -> bool:
        if isinstance(value, list):
            return any(equal(item) for item in value)
        if value == wanted and type(value) is type(wanted):
            return True
        shown = _as_text(value)
        return pattern.fullmatch(shown) is not None if pattern and isinstance(value, str) else shown == text

    return lambda resource: name in resource.attributes and equal(resource.attributes[name])


_RELATIONS = {1: geometry.within, 2: geometry.contains, 3: geometry.intersects}


def _geo_test(criteria: Mapping[str, Any]) -> Test:
    kind, coordinates, function = (criteria[tag] for tag in _GEO)
    relation = _RELATIONS.get(function)
    if relation is None:
        raise BadRequest("filter 'gsf' must be 1 (within), 2 (contains) or 3 (intersects)")
    if type(kind) is not int or not isinstance(coordinates, str):
        raise BadRequest("filter 'gmty' must be 1 (Point) to 6 (MultiPolygon), 'geom' the text of its coordinates")
    try:
        wanted = parse_geometry(kind, coordinates)
    except BadRequest as error:
        raise BadRequest(f"filter 'geom': {error.debug}") from error

    def test(resource: Resource) -> bool:
        location = resource.attributes.get("loc")
        return location is not None and relation(parse_geometry(location["typ"], location["crd"]), wanted)

    return test


def _content_test(criteria: Mapping[str, Any]) -> Test:
    if criteria["cfs"] != _JSON_PATH:
        raise BadRequest("filter 'cfs' must be 1 (jsonpath)")
    if not isinstance(criteria["cfq"], str):
        raise BadRequest("filter 'cfq' must be a text")
    query = compile_json_path(criteria["cfq"])

    def test(resource: Resource) -> bool:
        content = resource.attributes.get("con")
        if isinstance(content, str):
            try:
                content = load_json(content.encode())
            except BadRequest:
                return False  # a content that is no JSON has nothing a path could select
        return content is not None and query(content)

    return test


def _as_text(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def _integer(criteria: Mapping[str, Any], tag: str, lowest: int) -> int | None:
    value = criteria.get(tag)
    if value is None:
        return None
    if type(value) is not int or value < lowest:
        raise BadRequest(f"filter {tag!r} must be an integer >= {lowest}")
    return value
