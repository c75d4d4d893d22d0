"""The hosting CSE's procedures, pure: one procedure of TS-0004 per file."""
