"""dynamicAuthorizationConsultation, type 34: whom to ask for access (TS-0001 clause 9.6.40)."""

from __future__ import annotations

from cse.resources.declare import declare

TYPES = (declare("dynamicAuthorizationConsultation"),)
