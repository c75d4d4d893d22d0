"""Fuzzing of everything that reads bytes of strangers: what is fuzzed, with what, and who runs it (trust.md R6)."""
