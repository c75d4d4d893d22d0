"""The resource types the request procedure itself is defined with; the core names no others (architecture law 3)."""

from __future__ import annotations

from typing import Final

ACCESS_CONTROL_POLICY: Final = 1
AE: Final = 2
CSE_BASE: Final = 5
REMOTE_CSE: Final = 16
SUBSCRIPTION: Final = 23
#: the number of an announced variant is that of its original and this
ANNOUNCED: Final = 10000
