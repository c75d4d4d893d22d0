"""Several processes that are one CSE on one PostgreSQL database: one leads, the others parse and forward (ADR 0018)."""
