"""The shelf of objectives: one file each, found through the registry. Put your own beside them."""
