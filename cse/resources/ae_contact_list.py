"""AEContactList, type 43, and AEContactListPerCSE, type 44: kept by an IN-CSE itself (TS-0001 clause 9.6.45, 9.6.46).

Nobody creates, updates or deletes them by request. This CSE keeps none yet: they are known so that such requests are
refused for what they are.
"""

from __future__ import annotations

from cse.resources.declare import declare

TYPES = (
    declare("AEContactList", in_cse_only=True),
    declare("AEContactListPerCSE", in_cse_only=True),
)
