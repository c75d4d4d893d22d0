"""The embedded MEC platform ("MEC in a box"): one router per MEC API over pure registries."""
