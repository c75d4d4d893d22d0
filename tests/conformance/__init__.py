"""The behaviours this product claims, one row each, and the tests that prove them (docs/conformance.md)."""
