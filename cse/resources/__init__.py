"""Resource types, one per file: an attribute table (data) and hooks (behaviour) (TS-0001 clause 9.6)."""
