"""What parts with models share: cards, what runs a model here, and servers that run it elsewhere."""
