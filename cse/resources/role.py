"""role, type 31: a role that its holder may claim (TS-0001 clause 9.6.38)."""

from __future__ import annotations

from cse.resources.declare import declare

TYPES = (declare("role"),)
