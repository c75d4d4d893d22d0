"""The console: a web page of the CSE for people, and what it asks of the CSE (docs/console.md, ADR 0023)."""
