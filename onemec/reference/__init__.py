"""The reference in ``docs/reference``: pages made from the tables and options the programs themselves use."""
