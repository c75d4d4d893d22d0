"""Behaviour of the core, each test on every codec and every store; no sockets, no sleeps."""
