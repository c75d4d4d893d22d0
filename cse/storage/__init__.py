"""Storage engines behind cse.ports.Store, one per file."""
