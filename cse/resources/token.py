"""token, type 32: permissions and roles signed by somebody (TS-0001 clause 9.6.39)."""

from __future__ import annotations

from cse.resources.declare import declare

TYPES = (declare("token"),)
