"""What runs models: their cards, runtimes and servers."""
