"""``python -m onemec``: the command line."""

from onemec.cli import main

main()
