"""Query parameters of lists: filter, all_fields, fields, exclude_fields, exclude_default [MEC 009 6.18, 6.19]."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request

from mec_adapter.platform.dependencies import listed, single
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.problems import BadRequest
from mec_adapter.platform.selectors import FILTER_PATTERN, Condition, matching, only, parse_filter, without

_FLAGS = ("all_fields", "exclude_default")


@dataclass(frozen=True, slots=True)
class AttributeQuery:
    """Which entries of a list are asked for, and which of their attributes."""

    conditions: tuple[Condition, ...] = ()
    fields: tuple[str, ...] = ()
    exclude_fields: tuple[str, ...] = ()

    def apply(self, documents: Iterable[JsonObject]) -> list[JsonObject]:
        """Return what is asked for of some documents; no attribute of them is excluded by default."""
        found = matching(documents, self.conditions)
        if self.fields:
            return [only(document, self.fields) for document in found]
        if self.exclude_fields:
            return [without(document, self.exclude_fields) for document in found]
        return found


def attribute_query(
    request: Request,
    fields: Annotated[list[str], Query(default_factory=list, description="Attributes to include")],
    exclude_fields: Annotated[list[str], Query(default_factory=list, description="Attributes to leave out")],
    filter_: Annotated[str | None, Query(alias="filter", json_schema_extra={"pattern": FILTER_PATTERN})] = None,
    all_fields: Annotated[str | None, Query(description="Flag: all attributes")] = None,
    exclude_default: Annotated[str | None, Query(description="Flag: without what is left out by default")] = None,
) -> AttributeQuery:
    """Return what a list is asked for.

    Raises:
        BadRequest: a wrong filter, or selectors that exclude each other.
    """
    single(request, "filter", *_FLAGS)
    used = [name for name in ("all_fields", "fields", "exclude_fields") if name in request.query_params]
    if len(used) > 1:
        raise BadRequest(f"query parameters {' and '.join(used)} exclude each other; send one of them")
    if exclude_default is not None and all_fields is not None:
        raise BadRequest("query parameters all_fields and exclude_default exclude each other; send one of them")
    return AttributeQuery(tuple(parse_filter(filter_)), listed(fields), listed(exclude_fields))


AttributeQueryDep = Annotated[AttributeQuery, Depends(attribute_query)]
