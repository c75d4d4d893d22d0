"""``python -m onemec``: the same as the command ``onemec``."""

from onemec.cli import main

if __name__ == "__main__":
    main()
