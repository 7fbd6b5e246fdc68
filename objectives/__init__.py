"""The objectives, found through the registry. Put your own beside them."""
