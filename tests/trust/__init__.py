"""What must hold under load and faults; truth is the log of what was acknowledged, kept outside the CSE."""
