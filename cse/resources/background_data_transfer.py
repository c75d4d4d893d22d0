"""backgroundDataTransfer, type 49: a transfer asked of a network operator, who sees to it (TS-0001 clause 9.6.47)."""

from __future__ import annotations

from cse.resources.declare import declare

TYPES = (declare("backgroundDataTransfer"),)
