"""Resource-IDs of instances: each encodes its parent and its place below it (docs/adr/0006).

An instance is known to the store by one 64 bit integer, ``parent number << 37 | sequence``, so that all instances of
a parent are one range of the primary key in the order of their creation. Its resource-ID is the same in text:
``i<parent number>-<sequence>`` in hexadecimal, which are unreserved characters only (TS-0001 clause 7.2).
"""

from __future__ import annotations

import re

#: how many bits of an instance key count the instances of one parent: 137 thousand million
SEQUENCE_BITS = 37
MAX_SEQUENCE = (1 << SEQUENCE_BITS) - 1
#: parents that ever had an instance: 67 million
MAX_NUMBER = (1 << (63 - SEQUENCE_BITS)) - 1

_FORM = re.compile(r"i([1-9a-f][0-9a-f]{0,6})-([1-9a-f][0-9a-f]{0,9})")


def instance_ri(key: int) -> str:
    """The resource-ID of the instance with this key."""
    return f"i{key >> SEQUENCE_BITS:x}-{key & MAX_SEQUENCE:x}"


def instance_key(ri: str) -> int | None:
    """The key that a resource-ID stands for, or None when it is not the resource-ID of an instance.

    There is one spelling per key: lower case, no leading zeros.
    """
    match = _FORM.fullmatch(ri)
    if match is None:
        return None
    number, sequence = int(match[1], 16), int(match[2], 16)
    if number > MAX_NUMBER or sequence > MAX_SEQUENCE:
        return None
    return number << SEQUENCE_BITS | sequence


def first_key(number: int) -> int:
    """The lowest key below the parent with this number (no instance has it: sequences start at 1)."""
    return number << SEQUENCE_BITS


def last_key(number: int) -> int:
    """The highest key below the parent with this number."""
    return number << SEQUENCE_BITS | MAX_SEQUENCE
