"""Protocol bindings: <name>_codec.py maps primitives and messages, <name>.py owns the sockets."""
