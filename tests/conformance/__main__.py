"""`python -m tests.conformance > docs/conformance.md`."""

from tests.conformance.rows import page

print(page(), end="")
