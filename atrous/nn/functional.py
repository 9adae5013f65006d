"""The operations of networks as functions: names only; each is explained in `ops`."""
