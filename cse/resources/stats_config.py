"""statsConfig, type 22: which events are counted (TS-0001 clause 9.6.23)."""

from __future__ import annotations

from cse.resources.declare import declare

TYPES = (declare("statsConfig", in_cse_only=True),)
