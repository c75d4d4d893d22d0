"""The oneM2M vocabulary: primitives, status codes, identifiers, time and serialisation (TS-0001, TS-0004)."""
