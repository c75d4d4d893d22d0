"""m2mServiceSubscriptionProfile, type 11: what a subscriber may use (TS-0001 clause 9.6.19)."""

from __future__ import annotations

from cse.resources.declare import declare

TYPES = (declare("m2mServiceSubscriptionProfile", in_cse_only=True),)
