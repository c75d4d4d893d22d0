"""Distances and areas on the globe, for the location API; places are (latitude, longitude) in degrees; pure."""

import math
from collections.abc import Iterable, Sequence

from mec_adapter.platform.documents import JsonObject

Place = tuple[float, float]
_EARTH_RADIUS_M = 6_371_008.8


def distance_m(first: Place, second: Place) -> int:
    """Return the distance of two places on the globe in metres."""
    (lat1, lon1), (lat2, lon2) = ((math.radians(a), math.radians(b)) for a, b in (first, second))
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return round(2 * _EARTH_RADIUS_M * math.asin(math.sqrt(half)))


def is_inside(place: Place, area: JsonObject) -> bool:
    """Whether a place is in an area: within the radius of a circle (shape 1), or inside a polygon (shape 2).

    Args:
        place: latitude and longitude.
        area: an AreaInfo [MEC 013 6.5.7].
    """
    corners = [(point["latitude"], point["longitude"]) for point in area["points"]]
    if area["shape"] == 1:
        return distance_m(place, corners[0]) <= int(area["radius"])
    return _in_polygon(place, corners)


def _in_polygon(place: Place, corners: Sequence[Place]) -> bool:
    """Count how many edges a line from the place eastwards crosses: inside when that is odd."""
    latitude, longitude = place
    inside = False
    for (lat1, lon1), (lat2, lon2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if (lat1 > latitude) != (lat2 > latitude):
            inside ^= longitude < lon1 + (latitude - lat1) * (lon2 - lon1) / (lat2 - lat1)
    return inside


def criteria_hold(criteria: str, limit_m: float, distances_m: Iterable[int]) -> bool:
    """Whether a distance criterion is true of the distances between users; never of none [MEC 013 6.3.9].

    Args:
        criteria: a DistanceCriteria, e.g. `AnyWithinDistance`.
        limit_m: the distance it is about, in metres.
        distances_m: between the users, in metres.
    """
    found = [distance <= limit_m if "Within" in criteria else distance > limit_m for distance in distances_m]
    return bool(found) and (all(found) if criteria.startswith("All") else any(found))
