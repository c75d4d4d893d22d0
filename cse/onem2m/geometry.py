"""Geometries of locations and geo queries: validity, within, contains, intersects (TS-0001 clause 8.1.2, 9.6.1.3).

Coordinates are GeoJSON (RFC 7946 clause 3.1): positions of two numbers, or three, of which the third (the height) is
checked but not compared. Positions are taken as points of a plane, as other stacks do; shapes that cross the 180th
meridian must be cut there, as RFC 7946 asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from typing import Any, TypeVar

from cse.onem2m.errors import BadRequest
from cse.onem2m.serialisation import load_json

Point = tuple[float, float]
Segment = tuple[Point, Point]
_Part = TypeVar("_Part")

#: positions one geometry may have: comparing two costs the product of theirs
MAX_POSITIONS = 500
_EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Geometry:
    """A checked geometry, taken apart.

    Attributes:
        points: of Point and MultiPoint.
        lines: of LineString and MultiLineString.
        areas: of Polygon and MultiPolygon: rings, the outer one first, each closed.
    """

    points: tuple[Point, ...] = ()
    lines: tuple[tuple[Point, ...], ...] = ()
    areas: tuple[tuple[tuple[Point, ...], ...], ...] = ()

    def edges(self) -> Iterator[Segment]:
        """Every straight piece of its lines and of the borders of its areas."""
        for path in (*self.lines, *(ring for rings in self.areas for ring in rings)):
            yield from pairwise(path)


@lru_cache(maxsize=4096)
def parse_geometry(kind: int, coordinates: str, *, decimals_only: bool = False) -> Geometry:
    """The geometry of a type number and its coordinates.

    Args:
        kind: 1 Point, 2 LineString, 3 Polygon, 4 MultiPoint, 5 MultiLineString, 6 MultiPolygon.
        coordinates: JSON text of the coordinates.
        decimals_only: numbers must be written with a decimal point, as locations of resources are.

    Raises:
        BadRequest: not valid; the message says what it must be.
    """
    try:
        value = load_json(coordinates.encode())
    except BadRequest as error:
        raise BadRequest("coordinates must be the text of a JSON array, e.g. '[8.4, 49.0]'") from error
    reader = _Reader(decimals_only)
    match kind:
        case 1:
            return Geometry(points=(reader.position(value),))
        case 2:
            return Geometry(lines=(reader.line(value),))
        case 3:
            return Geometry(areas=(reader.area(value),))
        case 4:
            return Geometry(points=tuple(reader.each(value, reader.position)))
        case 5:
            return Geometry(lines=tuple(reader.each(value, reader.line)))
        case 6:
            return Geometry(areas=tuple(reader.each(value, reader.area)))
    raise BadRequest("the geometry type must be 1 (Point) to 6 (MultiPolygon)")


class _Reader:
    """Reads nested coordinates and counts positions."""

    def __init__(self, decimals_only: bool) -> None:
        self._numbers = (float,) if decimals_only else (float, int)
        self._count = 0

    def position(self, value: Any) -> Point:
        if not isinstance(value, list) or not 2 <= len(value) <= 3:
            raise BadRequest("a position must be an array of two or three numbers, e.g. [8.4, 49.0]")
        if any(type(number) not in self._numbers or not isfinite(number) for number in value):
            raise BadRequest("a position must hold decimal numbers, e.g. [8.0, 49.0]")
        self._count += 1
        if self._count > MAX_POSITIONS:
            raise BadRequest(f"a geometry may have at most {MAX_POSITIONS} positions")
        return float(value[0]), float(value[1])

    def line(self, value: Any) -> tuple[Point, ...]:
        positions = tuple(self.each(value, self.position))
        if len(positions) < 2:
            raise BadRequest("a LineString must have two positions or more")
        return positions

    def area(self, value: Any) -> tuple[tuple[Point, ...], ...]:
        return tuple(self.each(value, self._ring))

    def _ring(self, value: Any) -> tuple[Point, ...]:
        positions = tuple(self.each(value, self.position))
        if len(positions) < 4 or positions[0] != positions[-1]:
            raise BadRequest("a ring of a Polygon must have four positions or more, the last one equal to the first")
        return positions

    def each(self, value: Any, read: Callable[[Any], _Part]) -> Iterator[_Part]:
        if not isinstance(value, list) or not value:
            raise BadRequest("the coordinates do not fit the geometry type: an array that is not empty is missing")
        return (read(entry) for entry in value)


def intersects(one: Geometry, other: Geometry) -> bool:
    """Whether they have a point in common, borders included."""
    return (
        any(_holds(other, point) for point in _vertices(one))
        or any(_holds(one, point) for point in _vertices(other))
        or any(_cuts(edge, border) for edge in one.edges() for border in other.edges())
    )


def contains(one: Geometry, other: Geometry) -> bool:
    """Whether no point of ``other`` lies outside ``one`` and some point inside one lies inside the other."""
    return within(other, one)


def within(one: Geometry, other: Geometry) -> bool:
    """Whether every point of ``one`` belongs to ``other``, and not to its border only."""
    inner = False
    for point in one.points:
        if not _holds(other, point):
            return False
        inner = inner or _inside(other, point)
    for edge in one.edges():
        for point in _pieces(edge, other):
            if not _holds(other, point):
                return False
            inner = inner or _inside(other, point)
    if not one.areas:
        return inner
    if not other.areas:
        return False
    # A border of the other inside one means that something outside the other, a hole or a gap, is in there too.
    own = Geometry(areas=one.areas)
    border = (point for edge in other.edges() for point in _pieces(edge, own))
    return not any(_inside(own, point) for point in border)


def _vertices(geometry: Geometry) -> Iterable[Point]:
    yield from geometry.points
    for line in geometry.lines:
        yield from line
    for rings in geometry.areas:
        for ring in rings:
            yield from ring


def _holds(geometry: Geometry, point: Point) -> bool:
    return (
        point in geometry.points
        or any(_on(edge, point) for edge in geometry.edges())
        or any(_in_area(rings, point) for rings in geometry.areas)
    )


def _inside(geometry: Geometry, point: Point) -> bool:
    """Whether a point is in the interior: not on the border of an area, not the open end of a line."""
    if point in geometry.points:
        return True
    for line in geometry.lines:
        ends = () if line[0] == line[-1] else (line[0], line[-1])
        if point not in ends and any(_on(edge, point) for edge in pairwise(line)):
            return True
    return any(
        _in_area(rings, point) and not any(_on(edge, point) for ring in rings for edge in pairwise(ring))
        for rings in geometry.areas
    )


def _in_area(rings: Sequence[Sequence[Point]], point: Point) -> bool:
    # Even-odd rule over all rings: holes count out what the outer ring counted in.
    x, y = point
    odd = False
    for ring in rings:
        for (x1, y1), (x2, y2) in pairwise(ring):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                odd = not odd
    return odd


def _pieces(edge: Segment, other: Geometry) -> Iterator[Point]:
    """The ends of an edge, and a point between each two places where it meets ``other``."""
    (x1, y1), (x2, y2) = edge
    cuts = {0.0, 1.0}
    for border in other.edges():
        cuts.update(_meetings(edge, border))
    for point in other.points:
        if _on(edge, point):
            cuts.add(_share(edge, point))
    yield edge[0]
    yield edge[1]
    ordered = sorted(cuts)
    for low, high in pairwise(ordered):
        if high - low > _EPSILON:
            middle = (low + high) / 2
            yield x1 + (x2 - x1) * middle, y1 + (y2 - y1) * middle


def _cross(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _length(edge: Segment) -> float:
    return max(abs(edge[1][0] - edge[0][0]), abs(edge[1][1] - edge[0][1]))


def _on(edge: Segment, point: Point) -> bool:
    (x1, y1), (x2, y2) = edge
    x, y = point
    slack = 1e-9
    if not (min(x1, x2) - slack <= x <= max(x1, x2) + slack and min(y1, y2) - slack <= y <= max(y1, y2) + slack):
        return False
    # The distance from the line, in units of the coordinates.
    return abs(_cross(*edge, point)) <= slack * max(_length(edge), slack)


def _share(edge: Segment, point: Point) -> float:
    (x1, y1), (x2, y2) = edge
    return (point[0] - x1) / (x2 - x1) if abs(x2 - x1) >= abs(y2 - y1) else (point[1] - y1) / (y2 - y1)


def _meetings(edge: Segment, border: Segment) -> Iterator[float]:
    """Where two segments meet, as shares of the first."""
    if _length(edge) == 0.0:
        return
    direction = (edge[1][0] - edge[0][0], edge[1][1] - edge[0][1])
    other = (border[1][0] - border[0][0], border[1][1] - border[0][1])
    denominator = direction[0] * other[1] - direction[1] * other[0]
    if abs(denominator) <= _EPSILON:
        for end in border:
            if _on(edge, end):
                yield min(1.0, max(0.0, _share(edge, end)))
        return
    offset = (border[0][0] - edge[0][0], border[0][1] - edge[0][1])
    share = (offset[0] * other[1] - offset[1] * other[0]) / denominator
    along = (offset[0] * direction[1] - offset[1] * direction[0]) / denominator
    if -_EPSILON <= share <= 1 + _EPSILON and -_EPSILON <= along <= 1 + _EPSILON:
        yield min(1.0, max(0.0, share))


def _cuts(edge: Segment, border: Segment) -> bool:
    return next(_meetings(edge, border), None) is not None
