"""What of the MEC APIs this platform leaves out, and what it answers instead; printed into docs/capabilities.json."""

from typing import Final

UNSUPPORTED: Final[tuple[dict[str, str], ...]] = (
    {
        "feature": "MEC 010-2: instantiating, operating and terminating over app_lcm; operation occurrences",
        "answer": "501 (404 for what does not exist); /mep/v1 and onemec mep app do it",
    },
    {
        "feature": "MEC 013: periodic user and zone status subscriptions; reportingCtrl, occurrenceInfo",
        "answer": "400; the last two are ignored and not returned",
    },
    {
        "feature": "MEC 016: instantiation for a context (appAutoInstantiation); reading a context",
        "answer": "404 when nothing runs; 405",
    },
    {"feature": "MEC 021: networks' own mobility events", "answer": "the operator reports them at /mep/v1"},
    {"feature": "GSMA EWBI between partners; CAMARA APIs", "answer": "404"},
)
"""Feature and answer of each."""
