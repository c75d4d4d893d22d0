"""What ``onemec doctor`` looks at: one file for each kind of thing that can be wrong, each check a function."""
