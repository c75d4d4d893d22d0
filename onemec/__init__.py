"""onemec: oneM2M meets MEC. The command line, and the whole stack on one machine."""
