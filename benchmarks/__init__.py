"""Repeatable measurements of the CSE; ``python -m benchmarks --help``."""
